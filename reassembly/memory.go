package reassembly

import (
	"math/bits"
	"unsafe"
)

// HeapBytes is how many bytes of Go's heap a [Reassembler] of c takes at most: the
// buffers, and what finds frames, packets and dropped keys. All fields of c are filled in.
func (c Config) HeapBytes() int64 {
	entries := int64(c.Frames + c.Tombstones)
	lists := int64(8) << bits.Len(uint(entries-1))
	// Twice the packets, as slices grow by doubling, and what the pool keeps of them.
	packets := int64(c.Packets) * (2 + 4) * int64(unsafe.Sizeof(Packet{}))
	orders := int64(c.Frames+c.Packets/(runLen/2)) * (int64(unsafe.Sizeof(run{})) + 4*8)
	sources := entries * int64(unsafe.Sizeof(source{})+64)
	return int64(c.Memory) + entries*int64(unsafe.Sizeof(entry{})) + lists + packets + orders + sources
}
