package reassembly

import (
	"fmt"
	"net/netip"
	"time"
)

// What the zero value of a field of [Config] means. The share of a source is
// a quarter of the total where nothing else is said.
const (
	DefaultMemory     = 64 << 20
	DefaultFrames     = 4096
	DefaultPackets    = 8192
	DefaultTombstones = 8192
	// Segments that are late come within milliseconds, and the frame IDs of a
	// busy sender start over within seconds.
	DefaultTimeout       = 2 * time.Second
	DefaultTombstoneLife = 10 * time.Second
)

// Config bounds a [Reassembler]. A field of value zero has its default. A
// source is an outer source address.
//
// Where a new segment would go over the share of its source, frames of that
// source are dropped, the oldest first, as source_share_full. Where it would go
// over a total, the oldest frames of all are dropped, as reassembly_full: a
// frame that is going to be whole soon is among the youngest, however many
// others its sender has begun. The frame of the new segment can be among those
// that are dropped, and then the segment is too. A share as large as the total
// lets one source push out all others.
type Config struct {
	// Memory bounds the buffers in bytes, idle ones included; at least
	// [MinMemory]. SourceMemory bounds those of the frames of one source; a
	// frame for which it is too small is dropped as source_share_full unless
	// it comes in one packet. Buffers are up to half as large again as frames;
	// [LargestBuffer] is enough for any of them.
	Memory, SourceMemory int
	// Frames and SourceFrames bound the frames that wait for segments.
	Frames, SourceFrames int
	// Packets and SourcePackets bound the packets that wait for a verdict.
	Packets, SourcePackets int
	// Tombstones and SourceTombstones bound the keys that are remembered as
	// dropped. Beyond them one is forgotten: beyond the share the oldest of
	// the source, beyond the total the oldest of all. A late segment then
	// begins a new frame.
	Tombstones, SourceTombstones int
	// Timeout is how long a frame may take, from its first segment on.
	Timeout time.Duration
	// TombstoneLife is how long a dropped key is remembered. A longer one
	// drops new frames once the frame IDs of a sender start over.
	TombstoneLife time.Duration
	// Listed tells the sources that have a share each from those that have
	// one share together. It is called when a frame begins, and must neither
	// block nor allocate. nil: all have their own.
	Listed func(netip.Addr) bool
	// Refuse, if not nil, is asked when a frame begins that is to be held, and reports
	// whether to do as if there were no memory for it: it is dropped as reassembly_full.
	Refuse func() bool
}

// WithDefaults returns c with every field filled in. The error names the field
// that is out of bounds.
func (c Config) WithDefaults() (Config, error) {
	for _, bound := range []struct {
		what         string
		total, share *int
		def, least   int
	}{
		{"memory", &c.Memory, &c.SourceMemory, DefaultMemory, MinMemory},
		{"frames", &c.Frames, &c.SourceFrames, DefaultFrames, 1},
		{"packets", &c.Packets, &c.SourcePackets, DefaultPackets, 1},
		{"tombstones", &c.Tombstones, &c.SourceTombstones, DefaultTombstones, 1},
	} {
		if *bound.total == 0 {
			*bound.total = bound.def
		}
		if *bound.share == 0 {
			least := bound.least
			if bound.total == &c.Memory {
				// The default has room for a frame of any length.
				least = LargestBuffer
			}
			*bound.share = min(max(*bound.total/4, least), *bound.total)
		}
		switch {
		case *bound.total < bound.least:
			return c, fmt.Errorf("%s: %d is below %d", bound.what, *bound.total, bound.least)
		case *bound.share < bound.least:
			return c, fmt.Errorf("%s of one source: %d is below %d", bound.what, *bound.share, bound.least)
		case *bound.share > *bound.total:
			return c, fmt.Errorf("%s of one source: %d is above the %d of all", bound.what, *bound.share, *bound.total)
		}
	}
	if c.Timeout == 0 {
		c.Timeout = DefaultTimeout
	}
	if c.TombstoneLife == 0 {
		c.TombstoneLife = DefaultTombstoneLife
	}
	switch {
	case c.Timeout < 0:
		return c, fmt.Errorf("timeout: %v is negative", c.Timeout)
	case c.TombstoneLife < 0:
		return c, fmt.Errorf("tombstone life: %v is negative", c.TombstoneLife)
	}
	return c, nil
}
