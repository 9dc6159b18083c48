package firewall

import (
	"sttwall/conntrack"
	"sttwall/inspect"
	"sttwall/reason"
	"sttwall/stt"
)

// expect is told of packets before they are decided, so that the memory of their
// context IDs and flows is on its way to the cache meanwhile; see
// [policy.Policy.Expect] and [conntrack.Table.Expect]. It decides nothing. Frames in
// more than one packet have the waits of reassembly anyway, and are left out.
func (f *Firewall) expect(packets []Packet) {
	st := f.standing
	tenants, flows := st.policy.Cold(), f.shared.flows.Cold()
	if !tenants && !flows {
		return
	}
	e := &f.expected
	for len(packets) > 0 {
		n := min(len(packets), len(e.frames))
		frames := e.open(st, packets[:n])
		if tenants {
			st.policy.Expect(e.contextIDs[:frames])
		}
		if flows {
			f.shared.flows.Expect(e.keysOf(st, frames))
		}
		packets = packets[n:]
	}
}

// expected is the scratch of expect.
type expected struct {
	segment    stt.Segment
	header     stt.FrameHeader
	frame      inspect.Frame
	packet     conntrack.Packet
	frames     [conntrack.ExpectAtOnce]expectedFrame
	contextIDs [conntrack.ExpectAtOnce]uint64 // of frames
	keys       [conntrack.ExpectAtOnce]conntrack.Key
}

// expectedFrame is an inner frame that is whole in one packet.
type expectedFrame struct {
	data   []byte // belongs to the packet
	length int
	tci    uint16
}

// open finds the frames that are whole in one of the packets, and returns how many.
func (e *expected) open(st *standing, packets []Packet) (n int) {
	s, h := &e.segment, &e.header
	for i := range packets {
		p := &packets[i]
		if s.Decode(p.Data, p.Length, st.settings.STTPorts) != reason.None || !s.WholeFrame() || !h.Decode(s.Payload) {
			continue
		}
		e.frames[n] = expectedFrame{s.Payload[stt.FrameHeaderLen:], int(s.FrameLength) - stt.FrameHeaderLen, h.TCI}
		e.contextIDs[n] = h.ContextID
		n++
	}
	return n
}

// keysOf returns the keys of the flows that the first n frames most likely belong
// to; a frame may show none. They are good until the next call.
func (e *expected) keysOf(st *standing, n int) []conntrack.Key {
	keys := e.keys[:0]
	c := &e.packet
	for i := range n {
		f, id := &e.frames[i], e.contextIDs[i]
		if e.frame.Decode(f.data, f.length, f.tci, inspect.Tagged(f.tci&^stt.TagPresent != 0)) != reason.None {
			continue
		}
		d, found := st.policy.Find(id)
		if !found {
			continue
		}
		c.Tenant, c.OVN, c.Context = st.tenants[d.TenantIndex], st.policy.Tenant(d.TenantIndex).OVN, id
		c.Frame, c.Data = &e.frame, f.data
		if key, ok := conntrack.KeyOf(c); ok {
			keys = append(keys, key)
		}
	}
	return keys
}
