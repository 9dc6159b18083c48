package checksum

import "golang.org/x/sys/cpu"

const (
	// bulkUnit is what sumBulk takes at a time, in bytes. Below bulkLen the call
	// costs more than it saves.
	bulkUnit = 32
	bulkLen  = 64
)

var hasAVX2 = cpu.X86.HasAVX2

// sum adds the little-endian words of b.
func sum(b []byte) uint64 {
	if len(b) < bulkLen || !hasAVX2 {
		return sumGo(0, b)
	}
	n := len(b) &^ (bulkUnit - 1)
	return sumGo(sumBulk(&b[0], n), b[n:])
}

// sumBulk adds the little-endian 32-bit words of the n bytes from p on; n is a
// multiple of [bulkUnit], above 0 and below 1<<34, so that nothing is lost. It
// needs AVX2.
//
//go:noescape
func sumBulk(p *byte, n int) uint64
