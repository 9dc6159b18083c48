package conntrack

import "unsafe"

// prefetch asks for a cache line and does not wait for it.
//
//go:noescape
func prefetch(line unsafe.Pointer)

// prefetchEntry asks for the three cache lines of an entry.
//
//go:noescape
func prefetchEntry(entry unsafe.Pointer)
