package reassembly

import (
	"net/netip"
	"slices"

	"sttwall/reason"
)

// model is the slow and obvious reassembler: lists that are searched, and
// sums that are counted anew each time.
type model struct {
	c          Config
	now        int64
	frames     []*modelFrame // oldest first
	tombstones []*modelTombstone
	out        []outcome
}

type modelFrame struct {
	first    Segment
	at       int64
	segments []Segment // in the order in which they came
}

type modelTombstone struct {
	key Key
	why reason.Reason
	at  int64
}

func (m *model) share(a netip.Addr) netip.Addr {
	if m.c.Listed != nil && !m.c.Listed(a) {
		return netip.Addr{}
	}
	return a
}

func (f *modelFrame) size() int {
	size := 1024
	for size < f.first.FrameLength {
		if size&(size-1) == 0 {
			size += size / 2
		} else {
			size += size / 3
		}
	}
	return size
}

// uses returns what a frame holds of memory, frames and packets.
func (f *modelFrame) uses() [3]int { return [3]int{f.size(), 1, len(f.segments)} }

func (m *model) used(of func(netip.Addr) bool) (sum [3]int) {
	for _, f := range m.frames {
		if of(m.share(f.first.Src)) {
			for i, n := range f.uses() {
				sum[i] += n
			}
		}
	}
	return sum
}

func (m *model) usedBy(a netip.Addr) [3]int {
	return m.used(func(b netip.Addr) bool { return a == b })
}

func (m *model) usedByAll() [3]int { return m.used(func(netip.Addr) bool { return true }) }

// oldestOf returns the oldest frame of a source.
func (m *model) oldestOf(a netip.Addr) *modelFrame {
	for _, f := range m.frames {
		if m.share(f.first.Src) == a {
			return f
		}
	}
	return nil
}

func (m *model) room(a netip.Addr, need [3]int, own *modelFrame, s Segment) bool {
	totals := [3]int{m.c.Memory, m.c.Frames, m.c.Packets}
	shares := [3]int{m.c.SourceMemory, m.c.SourceFrames, m.c.SourcePackets}
	for res, n := range need {
		for n > 0 {
			f, why := m.oldestOf(a), reason.SourceShareFull
			if m.usedBy(a)[res]+n <= shares[res] {
				if m.usedByAll()[res]+n <= totals[res] {
					break
				}
				f, why = m.frames[0], reason.ReassemblyFull
			}
			if f == own {
				m.drop(f, why, &s)
				return false
			}
			m.drop(f, why, nil)
		}
	}
	return true
}

func (m *model) bury(k Key, why reason.Reason) {
	count := func(a netip.Addr) (n int) {
		for _, t := range m.tombstones {
			if m.share(t.key.Src) == a {
				n++
			}
		}
		return n
	}
	a := m.share(k.Src)
	switch {
	case count(a) >= m.c.SourceTombstones:
		i := slices.IndexFunc(m.tombstones, func(t *modelTombstone) bool { return m.share(t.key.Src) == a })
		m.tombstones = slices.Delete(m.tombstones, i, i+1)
	case len(m.tombstones) >= m.c.Tombstones:
		m.tombstones = m.tombstones[1:]
	}
	m.tombstones = append(m.tombstones, &modelTombstone{k, why, m.now})
}

// start returns what is known of the frame from its first byte on.
func start(segments []Segment) string {
	known := make(map[int]byte)
	for _, s := range segments {
		for i, b := range s.Payload {
			known[s.Offset+i] = b
		}
	}
	var data []byte
	for {
		b, ok := known[len(data)]
		if !ok {
			return string(data)
		}
		data = append(data, b)
	}
}

func inOrder(segments []Segment) (list []uint64, bytes int) {
	sorted := slices.Clone(segments)
	slices.SortFunc(sorted, func(a, b Segment) int { return a.Offset - b.Offset })
	for _, s := range sorted {
		list = append(list, s.Packet.ID)
		bytes += s.length()
	}
	return list, bytes
}

func (m *model) remove(f *modelFrame) {
	i := slices.Index(m.frames, f)
	m.frames = slices.Delete(m.frames, i, i+1)
}

func (m *model) drop(f *modelFrame, why reason.Reason, s *Segment) {
	list, bytes := inOrder(f.segments)
	if s != nil {
		list = append(list, s.Packet.ID)
	}
	m.remove(f)
	m.bury(f.first.key(), why)
	m.out = append(m.out, outcome{Key: f.first.key(), Reason: why, IDs: list,
		Data: start(f.segments), Received: bytes, First: f.at})
}

func (m *model) refuse(s Segment, why reason.Reason, late bool) {
	o := outcome{Key: s.key(), Reason: why, Late: late, IDs: []uint64{s.Packet.ID}, First: m.now}
	if s.Offset == 0 {
		o.Data = string(s.Payload)
	}
	m.out = append(m.out, o)
}

func (m *model) expire(now int64) []outcome {
	m.out = nil
	m.now = max(m.now, now)
	for len(m.frames) > 0 && m.now >= m.frames[0].at+int64(m.c.Timeout) {
		m.drop(m.frames[0], reason.FrameTimeout, nil)
	}
	for len(m.tombstones) > 0 && m.now >= m.tombstones[0].at+int64(m.c.TombstoneLife) {
		m.tombstones = m.tombstones[1:]
	}
	return m.out
}

func (m *model) flush() []outcome {
	m.out = nil
	for len(m.frames) > 0 {
		m.drop(m.frames[0], reason.FrameIncomplete, nil)
	}
	return m.out
}

func (m *model) add(now int64, s Segment) []outcome {
	m.expire(now)
	s.Payload = slices.Clone(s.Payload)
	if s.Offset == 0 && s.length() == s.FrameLength && m.judge(nil, s) == reason.None {
		m.out = append(m.out, outcome{Key: s.key(), IDs: []uint64{s.Packet.ID}, Data: string(s.Payload), First: m.now})
		return m.out
	}
	for _, t := range m.tombstones {
		if t.key == s.key() {
			m.refuse(s, t.why, true)
			return m.out
		}
	}
	var f *modelFrame
	for _, g := range m.frames {
		if g.first.key() == s.key() {
			f = g
		}
	}
	why := m.judge(f, s)
	if why == reason.None && f == nil && (&modelFrame{first: s}).size() > m.c.SourceMemory {
		why = reason.SourceShareFull
	}
	switch {
	case why != reason.None && f != nil:
		m.drop(f, why, &s)
		return m.out
	case why != reason.None:
		if why != reason.SegmentEmpty {
			m.bury(s.key(), why)
		}
		m.refuse(s, why, false)
		return m.out
	}
	received := s.length()
	if f != nil {
		_, bytes := inOrder(f.segments)
		received += bytes
	}
	if received < s.FrameLength {
		need := [3]int{0, 0, 1}
		if f == nil {
			need = (&modelFrame{first: s, segments: []Segment{s}}).uses()
		}
		if !m.room(m.share(s.Src), need, f, s) {
			return m.out
		}
	}
	if f == nil {
		f = &modelFrame{first: s, at: m.now}
		m.frames = append(m.frames, f)
	}
	f.segments = append(f.segments, s)
	if received == s.FrameLength {
		m.remove(f)
		list, _ := inOrder(f.segments)
		m.out = append(m.out, outcome{Key: s.key(), IDs: list, Data: start(f.segments), First: f.at})
	}
	return m.out
}

// judge says whether a segment may be part of a frame, f if there is one.
func (m *model) judge(f *modelFrame, s Segment) reason.Reason {
	end := s.Offset + s.length()
	switch {
	case s.length() == 0:
		return reason.SegmentEmpty
	case s.FrameLength > 65535 || s.Offset < 0 || end > s.FrameLength:
		return reason.SegmentPastEnd
	case s.Offset >= 1 && s.Offset <= 17, s.Offset == 0 && end < 18 && end < s.FrameLength:
		return reason.SegmentTooSmall
	case f == nil:
		return reason.None
	case s.SrcPort != f.first.SrcPort:
		return reason.SourcePortChanged
	case s.DstPort != f.first.DstPort:
		return reason.DestinationPortChanged
	case s.FrameLength != f.first.FrameLength:
		return reason.FrameLengthChanged
	}
	overlap := false
	for _, other := range f.segments {
		if other.Offset == s.Offset && other.length() == s.length() {
			return reason.SegmentDuplicate
		}
		overlap = overlap || other.Offset < end && s.Offset < other.Offset+other.length()
	}
	if overlap {
		return reason.SegmentOverlap
	}
	return reason.None
}
