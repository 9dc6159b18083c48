//go:build !amd64

package conntrack

import "unsafe"

// Where we do not know how, nothing is asked for ahead.

func prefetch(unsafe.Pointer) {}

func prefetchEntry(unsafe.Pointer) {}
