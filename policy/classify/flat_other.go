//go:build !amd64

package classify

// flatLimit is the most boxes of a flat list.
func flatLimit() int { return flatPortable }

// scan returns a bit for each row of the blocks: whether the packet is in it.
func scan(blocks []block, dst, src, carried uint32) uint64 {
	return scanGo(blocks, dst, src, carried)
}

// inBlocks returns the lowest order of a row of the blocks that the packet is in, or
// noRule.
func inBlocks(blocks []block, dst, src, carried uint32) uint32 {
	return inBlocksGo(blocks, dst, src, carried)
}
