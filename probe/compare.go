package probe

import (
	"cmp"
	"fmt"
	"slices"
	"strings"

	"sttwall/stt"
)

// Fields of a [Change].
const (
	FieldTTL          = "ttl"
	FieldDSCP         = "dscp"
	FieldECN          = "ecn"
	FieldDF           = "df"
	FieldSourcePort   = "source_port"
	FieldFrameID      = "frame_id"
	FieldTCPSequence  = "tcp_sequence"
	FieldTCPFlags     = "tcp_flags"
	FieldTCPWindow    = "tcp_window"
	FieldTCPUrgent    = "tcp_urgent"
	FieldTCPReserved  = "tcp_reserved"
	FieldTCPOffset    = "tcp_data_offset"
	FieldSegmentation = "segmentation"
	FieldFrameHeader  = "frame_header"
	FieldTCI          = "tci"
	FieldVBit         = "tci_v"
	FieldInner        = "inner"
)

// meanings say of each field who does such a thing, and what comes of it.
var meanings = map[string]string{
	FieldTTL:          "a router sets the TTL: hops cannot be counted, and loops are not ended by it",
	FieldDSCP:         "a router on the way classifies anew; an sttwall with receivers = \"any\" sets what the inner packet has",
	FieldECN:          "marked on the way, or cleared; CE where the inner packet is not ECN-capable makes receivers drop it",
	FieldDF:           "DF was cleared: large packets become fragments, which STT receivers and firewalls drop",
	FieldSourcePort:   "address translation on the way: the source port spreads flows over paths and queues",
	FieldFrameID:      "re-encoded: an sttwall on the way, or something else that ends and begins STT",
	FieldTCPSequence:  "length and offset of STT are another: a firewall makes TCP sequence numbers random, and no receiver can read frames",
	FieldTCPFlags:     "something takes STT for TCP connections; an sttwall behind it drops such segments",
	FieldTCPWindow:    "something takes STT for TCP connections and scales windows; receivers do not look",
	FieldTCPUrgent:    "something normalises TCP; receivers do not look",
	FieldTCPReserved:  "something sets reserved bits; receivers do not look",
	FieldTCPOffset:    "TCP options were added: receivers read them as part of the frame",
	FieldSegmentation: "packets were merged (GRO, LRO) or cut again on the way or at the receiving host",
	FieldFrameHeader:  "the STT frame header was changed: no NIC and no router does that",
	FieldTCI:          "the VLAN tag in the frame header was changed: the frame is in another VLAN",
	FieldVBit:         "the V bit was set: an sttwall with receivers = \"any\" does",
	FieldInner:        "bytes of the inner frame were changed",
}

// change is one of one frame.
type change struct {
	field, sent, seen string
	hurts             bool
}

// compare says what of a frame is another than was sent. family is the length of the outer
// IP header.
func compare(m *message, context uint64, s *seen, ipHeader int) (list []change) {
	add := func(field string, hurts bool, sent, seen any) {
		list = append(list, change{field, fmt.Sprint(sent), fmt.Sprint(seen), hurts})
	}
	if s.FrameID != m.FrameID {
		add(FieldFrameID, false, fmt.Sprintf("%#x", m.FrameID), fmt.Sprintf("%#x", s.FrameID))
	}
	h := s.Header
	switch {
	case h.TCI == m.TCI:
	case h.TCI == m.TCI|stt.TagPresent:
		add(FieldVBit, false, fmt.Sprintf("%#04x", m.TCI), fmt.Sprintf("%#04x", h.TCI))
	default:
		add(FieldTCI, true, fmt.Sprintf("%#04x", m.TCI), fmt.Sprintf("%#04x", h.TCI))
	}
	if h.TCI = 0; h != (stt.FrameHeader{ContextID: context}) {
		add(FieldFrameHeader, true, "flags, L4 offset, MSS and what is reserved 0",
			fmt.Sprintf("version %d, flags %#x, L4 offset %d, MSS %d, reserved %d, padding %d", h.Version, h.Flags, h.L4Offset, h.MSS, h.Reserved, h.Padding))
	}
	if s.Changed != 0 {
		var parts []string
		for _, p := range []struct {
			is   changed
			name string
		}{{changedEther, "Ethernet header"}, {changedIP, "IP header"}, {changedUDP, "UDP header"}, {changedRest, "payload"}} {
			if s.Changed&p.is != 0 {
				parts = append(parts, p.name)
			}
		}
		add(FieldInner, true, "as it is", strings.Join(parts, ", "))
	}
	if size := int(m.MTU) - ipHeader - stt.SegmentHeaderLen; size > 0 {
		cut := (int(m.Length) + size - 1) / size
		merged := slices.ContainsFunc(s.Packets, func(p outerPacket) bool { return p.GSOSize != 0 })
		switch {
		case int(s.Count) != cut:
			add(FieldSegmentation, false, plural(cut, "packet"), plural(int(s.Count), "packet"))
		case merged && cut == 1:
			add(FieldSegmentation, false, "one packet", "one packet merged from several")
		}
	}
	if len(s.Packets) > 0 {
		if p := &s.Packets[0]; p.FrameLength != m.Length || p.Offset != 0 {
			add(FieldTCPSequence, true, fmt.Sprintf("length %d, offset 0", m.Length), fmt.Sprintf("length %d, offset %d", p.FrameLength, p.Offset))
		}
	}
	for i := range s.Packets {
		if found := comparePacket(m, &s.Packets[i], ipHeader); len(found) > 0 {
			return append(list, found...) // those of the others are the same, or as bad
		}
	}
	return list
}

// manyHops is more than any path has, so that a TTL that fell by more was set.
const manyHops = 40

func comparePacket(m *message, p *outerPacket, ipHeader int) (list []change) {
	add := func(field string, hurts bool, sent, seen any) {
		list = append(list, change{field, fmt.Sprint(sent), fmt.Sprint(seen), hurts})
	}
	if hops := int(m.TTL) - int(p.TTL); hops < 0 || hops > manyHops {
		add(FieldTTL, false, m.TTL, p.TTL)
	}
	if p.TOS>>2 != m.TOS>>2 {
		add(FieldDSCP, false, m.TOS>>2, p.TOS>>2)
	}
	if was, is := m.TOS&3, p.TOS&3; was != is {
		add(FieldECN, was == 0, ecnNames[was], ecnNames[is])
	}
	if !p.DF && ipHeader == 20 {
		add(FieldDF, true, "set", "cleared")
	}
	if p.SrcPort != m.SrcPort {
		add(FieldSourcePort, true, m.SrcPort, p.SrcPort)
	}
	if p.Flags|stt.FlagPSH != stt.FlagACK|stt.FlagPSH {
		add(FieldTCPFlags, true, "ACK, PSH", fmt.Sprintf("%#02x", p.Flags))
	}
	if p.Window != 65535 {
		add(FieldTCPWindow, false, 65535, p.Window)
	}
	if p.Urgent != 0 {
		add(FieldTCPUrgent, false, 0, p.Urgent)
	}
	if p.Data&0x0f != 0 {
		add(FieldTCPReserved, false, 0, p.Data&0x0f)
	}
	if p.Data>>4 != 5 {
		add(FieldTCPOffset, true, 5, p.Data>>4)
	}
	return list
}

var ecnNames = [4]string{"not ECN-capable", "ECT(1)", "ECT(0)", "CE"}

func plural(n int, what string) string {
	if n == 1 {
		return "one " + what
	}
	return fmt.Sprintf("%d %ss", n, what)
}

// ledger adds up the changes of many frames.
type ledger struct {
	ipHeader int
	of       map[Direction]int
	hops     map[Direction][]int
	changes  map[[2]string]*Change
}

func newLedger(ipHeader int) *ledger {
	return &ledger{ipHeader: ipHeader, of: map[Direction]int{}, hops: map[Direction][]int{}, changes: map[[2]string]*Change{}}
}

func (l *ledger) add(d Direction, m *message, context uint64, s *seen) {
	l.of[d]++
	for i := range s.Packets {
		if hops := int(m.TTL) - int(s.Packets[i].TTL); hops >= 0 && hops <= manyHops {
			l.hops[d] = append(l.hops[d], hops)
		}
	}
	for _, c := range compare(m, context, s, l.ipHeader) {
		key := [2]string{string(d), c.field}
		sum := l.changes[key]
		if sum == nil {
			sum = &Change{Direction: d, Field: c.field, Sent: c.sent, Seen: c.seen, Means: meanings[c.field]}
			l.changes[key] = sum
		}
		sum.Frames++
		if c.hurts && !sum.Hurts {
			sum.Hurts, sum.Sent, sum.Seen = true, c.sent, c.seen
		}
	}
}

// addAll adds both directions of a series.
func (l *ledger) addAll(context uint64, list []asked) {
	for i := range list {
		for j := range list[i].answers {
			a := &list[i].answers[j]
			l.add(Forward, &list[i].message, context, &a.report.seen)
			l.add(Back, &a.message, context, &a.seen)
		}
	}
}

// result returns the changes, those that hurt first.
func (l *ledger) result() []Change {
	list := []Change{}
	for _, c := range l.changes {
		c.Of = l.of[c.Direction]
		list = append(list, *c)
	}
	slices.SortFunc(list, func(a, b Change) int {
		return cmp.Or(-cmp.Compare(rank(a.Hurts), rank(b.Hurts)), cmp.Compare(a.Field, b.Field), -cmp.Compare(a.Direction, b.Direction))
	})
	return list
}

func rank(hurts bool) int {
	if hurts {
		return 1
	}
	return 0
}

// hopsOf returns the median of the hops, -1 if none are known.
func (l *ledger) hopsOf(d Direction) int {
	list := l.hops[d]
	if len(list) == 0 {
		return -1
	}
	slices.Sort(list)
	return list[len(list)/2]
}
