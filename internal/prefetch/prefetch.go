//go:build !amd64

package prefetch

import "unsafe"

// Line does nothing: how this processor is asked for memory, we do not know.
func Line(unsafe.Pointer) {}

// TwoLines does nothing.
func TwoLines(unsafe.Pointer) {}

// ThreeLines does nothing.
func ThreeLines(unsafe.Pointer) {}
