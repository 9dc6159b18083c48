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

// inBlocks returns the lowest order of a row of the blocks that the packet is in, or
// noRule.
func inBlocks(blocks []block, dst, src, carried uint32) uint32 {
	if !hasAVX2 {
		return inBlocksGo(blocks, dst, src, carried)
	}
	for len(blocks) > 0 {
		n := min(len(blocks), scanMost)
		if in := scanBlocks(&blocks[0], n, dst, src, carried); in != 0 {
			return orderOf(blocks, in)
		}
		blocks = blocks[n:]
	}
	return noRule
}

// scanBlocks is scanGo for n blocks from first on, 1 to scanMost. It needs AVX2.
//
//go:noescape
func scanBlocks(first *block, n int, dst, src, carried uint32) uint64
