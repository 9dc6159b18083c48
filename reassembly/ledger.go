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

	rank    [resources]int // 1 + the index in the ranking; 0: holds nothing of it
	leaving bool           // in ledger.leaving
}

func newSource() *source {
	return &source{frames: fifo{by: ofSource}, tombstones: fifo{by: ofSource}}
}

// oldest returns what the source would lose first of a resource that it holds.
func (s *source) oldest(res resource) *entry {
	if res == tombstones {
		return s.tombstones.head
	}
	return s.frames.head
}

// ledger says who holds what. Its sources are those that hold something, so
// there are never more of them than frames and tombstones.
type ledger struct {
	total, share usage // the bounds
	used         usage
	rankings     [resources]ranking
	listed       func(netip.Addr) bool
	sources      map[netip.Addr]*source
	unlisted     *source

	leaving []*source // held nothing at some time in this call
	spare   []*source
}

func newLedger(c *Config) ledger {
	l := ledger{
		total:    usage{c.Memory, c.Frames, c.Packets, c.Tombstones},
		share:    usage{c.SourceMemory, c.SourceFrames, c.SourcePackets, c.SourceTombstones},
		listed:   c.Listed,
		sources:  make(map[netip.Addr]*source),
		unlisted: newSource(),
	}
	for res := range l.rankings {
		l.rankings[res].res = resource(res)
	}
	return l
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

// charge adds n, which may be negative, to what s holds. Entries are in the
// source's lists before they are charged, and out of them before they are
// taken off.
func (l *ledger) charge(s *source, res resource, n int) {
	s.used[res] += n
	l.used[res] += n
	l.rankings[res].update(s)
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

// victim returns who has to make room when the total of a resource is full
// and s wants more: who holds most, and s itself if nobody holds more than it.
// Among those who hold the same, it is who holds it longest, so that a source
// that is just starting gets in even if all the others hold as little.
func (l *ledger) victim(s *source, res resource) *source {
	most := l.rankings[res].sources[0]
	if s.used[res] >= most.used[res] {
		return s
	}
	return most
}

// ranking is a heap of the sources that hold something of a resource; the
// first one holds most.
type ranking struct {
	res     resource
	sources []*source
}

func (k *ranking) before(a, b *source) bool {
	if a.used[k.res] != b.used[k.res] {
		return a.used[k.res] > b.used[k.res]
	}
	return a.oldest(k.res).order < b.oldest(k.res).order
}

// update puts s where it belongs after what it holds has changed.
func (k *ranking) update(s *source) {
	i := s.rank[k.res] - 1
	switch {
	case s.used[k.res] == 0 && i >= 0:
		last := len(k.sources) - 1
		k.place(i, k.sources[last])
		k.sources[last] = nil
		k.sources = k.sources[:last]
		s.rank[k.res] = 0
		if i < last {
			k.sift(i)
		}
	case s.used[k.res] > 0 && i < 0:
		k.sources = append(k.sources, s)
		k.sift(len(k.sources) - 1)
	case i >= 0:
		k.sift(i)
	}
}

func (k *ranking) place(i int, s *source) {
	k.sources[i] = s
	s.rank[k.res] = i + 1
}

// sift moves the source at i up or down, whichever it needs.
func (k *ranking) sift(i int) {
	s := k.sources[i]
	for i > 0 {
		parent := (i - 1) / 2
		if !k.before(s, k.sources[parent]) {
			break
		}
		k.place(i, k.sources[parent])
		i = parent
	}
	for {
		child := 2*i + 1
		if child >= len(k.sources) {
			break
		}
		if child+1 < len(k.sources) && k.before(k.sources[child+1], k.sources[child]) {
			child++
		}
		if !k.before(k.sources[child], s) {
			break
		}
		k.place(i, k.sources[child])
		i = child
	}
	k.place(i, s)
}
