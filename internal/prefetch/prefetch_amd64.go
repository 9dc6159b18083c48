package prefetch

import "unsafe"

// Line asks for the cache line at p and does not wait for it.
//
//go:noescape
func Line(p unsafe.Pointer)

// TwoLines asks for the cache line at p and the one behind it.
//
//go:noescape
func TwoLines(p unsafe.Pointer)

// ThreeLines asks for the cache line at p and the two behind it.
//
//go:noescape
func ThreeLines(p unsafe.Pointer)
