package classify

import "golang.org/x/sys/cpu"

var hasAVX2 = cpu.X86.HasAVX2

// flatLimit is the most boxes of a flat list.
func flatLimit() int {
	if hasAVX2 {
		return flatMost
	}
	return flatPortable
}

// scan returns a bit for each row of the blocks: whether the packet is in it.
func scan(blocks []block, dst, src, carried uint32) uint64 {
	if !hasAVX2 {
		return scanGo(blocks, dst, src, carried)
	}
	return scanBlocks(&blocks[0], len(blocks), dst, src, carried)
}

// scanBlocks is scanGo for n blocks from first on, 1 to scanMost. It needs AVX2.
//
//go:noescape
func scanBlocks(first *block, n int, dst, src, carried uint32) uint64
