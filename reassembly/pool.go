package reassembly

// pool has what frames are made of besides their buffers. It keeps what it
// made; as much as the bounds let be held at a time, and no more.
type pool struct {
	entries *entry // linked by links[ofAll].next
	runs    *run
	packets shelf[Packet]
	orders  shelf[*run]
}

func newPool(c *Config) pool {
	return pool{
		packets: shelf[Packet]{most: 4 * c.Packets},
		orders:  shelf[*run]{most: 4 * (c.Frames + c.Packets/(runLen/2))},
	}
}

func (p *pool) getEntry() *entry {
	e := p.entries
	if e == nil {
		return new(entry)
	}
	p.entries, e.links[ofAll].next = e.links[ofAll].next, nil
	return e
}

func (p *pool) putEntry(e *entry) {
	*e = entry{}
	e.links[ofAll].next, p.entries = p.entries, e
}

func (p *pool) getRun() *run {
	r := p.runs
	if r == nil {
		return new(run)
	}
	p.runs, r.next = r.next, nil
	return r
}

func (p *pool) putOrder(o order) {
	for i, r := range o {
		o[i] = nil
		r.n, r.next, p.runs = 0, p.runs, r
	}
	p.orders.put(o)
}

// shelf keeps idle slices, of most elements in all.
type shelf[T any] struct {
	slices     [][]T
	idle, most int // elements that there is room for
}

func (s *shelf[T]) get() []T {
	last := len(s.slices) - 1
	if last < 0 {
		return nil
	}
	t := s.slices[last]
	s.slices[last] = nil
	s.slices = s.slices[:last]
	s.idle -= cap(t)
	return t
}

// put takes a slice, whose content stays until the next get. One of pointers must
// be cleared.
func (s *shelf[T]) put(t []T) {
	if cap(t) == 0 || s.idle+cap(t) > s.most {
		return
	}
	s.slices = append(s.slices, t[:0])
	s.idle += cap(t)
}
