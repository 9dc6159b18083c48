package firewall

import (
	"sttwall/conntrack"
	"sttwall/inspect"
	"sttwall/reason"
	"sttwall/stt"
)

// Expect is told of packets before Process is, so that the memory of their flows
// is on its way to the cache meanwhile; see [conntrack.Table.Expect]. It decides
// nothing and need not be called. Frames in more than one packet have the waits of
// reassembly anyway, and are left out.
func (f *Firewall) Expect(packets []Packet) {
	if !f.shared.flows.Cold() {
		return
	}
	st := f.shared.current.Load()
	e := &f.expected
	for len(packets) > 0 {
		n := min(len(packets), len(e.keys))
		known := 0
		for i := range n {
			if key, ok := e.read(st, &packets[i]); ok {
				e.keys[known] = key
				known++
			}
		}
		f.shared.flows.Expect(e.keys[:known])
		packets = packets[n:]
	}
}

// expected is the scratch of Expect.
type expected struct {
	segment stt.Segment
	header  stt.FrameHeader
	frame   inspect.Frame
	packet  conntrack.Packet
	keys    [conntrack.ExpectAtOnce]conntrack.Key
}

// read returns the key of the flow that the packet most likely belongs to; false
// if it does not show one.
func (e *expected) read(st *standing, p *Packet) (key conntrack.Key, ok bool) {
	s, h, c := &e.segment, &e.header, &e.packet
	if s.Decode(p.Data, p.Length, st.settings.STTPorts) != reason.None || !s.WholeFrame() || !h.Decode(s.Payload) {
		return key, false
	}
	data := s.Payload[stt.FrameHeaderLen:]
	length := int(s.FrameLength) - stt.FrameHeaderLen
	if e.frame.Decode(data, length, h.TCI, inspect.Tagged(h.TCI != 0)) != reason.None {
		return key, false
	}
	d, found := st.policy.Find(h.ContextID)
	if !found {
		return key, false
	}
	c.Tenant, c.OVN, c.Context = st.tenants[d.TenantIndex], st.policy.Tenant(d.TenantIndex).OVN, h.ContextID
	c.Frame, c.Data = &e.frame, data
	return conntrack.KeyOf(c)
}
