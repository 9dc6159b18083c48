package reassembly

import "net/netip"

// resource is one of the things that are bounded.
type resource uint8

const (
	memory resource = iota
	frames
	packets
	tombstones
	resources
)

// usage is an amount of each resource.
type usage [resources]int

// source is an outer source address that holds something, or all the unlisted
// ones together.
type source struct {
	addr       netip.Addr
	used       usage
	frames     fifo
	tombstones fifo

	leaving bool // in ledger.leaving
}

func newSource() *source {
	return &source{frames: fifo{by: ofSource}, tombstones: fifo{by: ofSource}}
}

// ledger says who holds what. Its sources are those that hold something, so
// there are never more of them than frames and tombstones.
type ledger struct {
	total, share usage // the bounds
	used         usage
	listed       func(netip.Addr) bool
	sources      map[netip.Addr]*source
	unlisted     *source

	leaving []*source // held nothing at some time in this call
	spare   []*source
}

func newLedger(c *Config) ledger {
	return ledger{
		total:    usage{c.Memory, c.Frames, c.Packets, c.Tombstones},
		share:    usage{c.SourceMemory, c.SourceFrames, c.SourcePackets, c.SourceTombstones},
		listed:   c.Listed,
		sources:  make(map[netip.Addr]*source),
		unlisted: newSource(),
	}
}

// source returns the one that an address belongs to. It lasts until settle if
// nothing is charged to it.
func (l *ledger) source(addr netip.Addr) *source {
	if l.listed != nil && !l.listed(addr) {
		return l.unlisted
	}
	s := l.sources[addr]
	if s != nil {
		return s
	}
	if last := len(l.spare) - 1; last >= 0 {
		s = l.spare[last]
		l.spare = l.spare[:last]
	} else {
		s = newSource()
	}
	s.addr = addr
	l.sources[addr] = s
	l.leave(s)
	return s
}

// fits reports whether s may hold one more.
func (l *ledger) fits(s *source, res resource) bool {
	return s.used[res] < l.share[res] && l.used[res] < l.total[res]
}

// charge adds n, which may be negative, to what s holds.
func (l *ledger) charge(s *source, res resource, n int) {
	s.used[res] += n
	l.used[res] += n
	if s.used == (usage{}) {
		l.leave(s)
	}
}

func (l *ledger) leave(s *source) {
	if !s.leaving && s != l.unlisted {
		s.leaving = true
		l.leaving = append(l.leaving, s)
	}
}

// settle forgets the sources that hold nothing, at the end of each call.
func (l *ledger) settle() {
	for i, s := range l.leaving {
		l.leaving[i] = nil
		s.leaving = false
		if s.used == (usage{}) {
			delete(l.sources, s.addr)
			l.spare = append(l.spare, s)
		}
	}
	l.leaving = l.leaving[:0]
}
