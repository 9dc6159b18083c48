package firewall

import (
	"sttwall/conntrack"
	"sttwall/inspect"
	"sttwall/reason"
	"sttwall/reassembly"
	"sttwall/stt"
)

// The quick way. Most packets are plain: a whole frame in one packet, which leaves as
// it came, of TCP or UDP, of a flow that is known. They take one look at their headers
// (quickread.go), one in the flow table, and no more:
//
//	packet ──> plain? ──────────> flow known, by the ──────> GSO: frame ──> accepted,
//	             │ no             rules that hold now?       ID unused?     counted
//	             │                        │ no                   │ no
//	             └──> process <───────────┴──────────────────────┘
//	                  the general way      with what the table said
//
// What is decided is what the general way decides: whatever is not sure goes there.
// The flow table moves on the quick way already, so the general way, which looks for
// the same flow, takes the result over instead of asking again.

// quickAtOnce is how many packets are read before the first of them is decided: their
// flows are on their way from memory, or from a cache further away, meanwhile.
const quickAtOnce = conntrack.ExpectAtOnce

// quickScratch is what the quick way needs, kept for the next batch.
type quickScratch struct {
	off bool // no packet is plain: for tests, which compare

	read   [quickAtOnce]quickPacket
	routes quickRoutes
	result conntrack.Result

	// handed: the general way is given a packet that the flow table has seen, with
	// result as its answer, and an inner checksum that makes it trusted or not.
	handed, trusted bool
	packet          Packet

	contextIDs [quickAtOnce]uint64
	packets    [1]reassembly.Packet // for an event
}

// decideAll decides the packets of a batch from work.at on.
func (f *Firewall) decideAll(now int64) {
	k, w := &f.quick, &f.work
	k.routes.follow(f.standing)
	if w.careful {
		f.decideEach(now)
		return
	}
	for from := w.at; from < len(w.packets); from += quickAtOnce {
		packets := w.packets[from:min(from+quickAtOnce, len(w.packets))]
		w.at, w.reading = from, true // what is before it is decided
		f.at(StageLook)
		f.quickExpect(packets)
		w.reading = false
		for i := range packets {
			w.at, w.mark = from+i, len(f.out.List)
			p := &packets[i]
			if q := &k.read[i]; !q.plain || !f.quickDecide(now, p, q) {
				f.process(now, p)
			}
		}
	}
}

// decideEach decides them one by one, without a look at those behind.
func (f *Firewall) decideEach(now int64) {
	w, q := &f.work, &f.quick.read[0]
	for ; w.at < len(w.packets); w.at++ {
		w.mark = len(f.out.List)
		p := &w.packets[w.at]
		if !f.quickRead(p, q) || !f.quickDecide(now, p, q) {
			f.process(now, p)
		}
	}
}

// quickExpect reads packets, and asks for the memory that is needed to decide them.
func (f *Firewall) quickExpect(packets []Packet) {
	k, st := &f.quick, f.standing
	cold := st.policy.Cold()
	if cold {
		st.policy.ExpectTenants(k.contextIDsOf(packets))
	}
	others := 0 // that are not plain, up to here
	for i := range packets {
		q := &k.read[i]
		if !f.quickRead(&packets[i], q) {
			others++
			continue
		}
		f.shared.flows.ExpectSlot(&q.packet)
		if others > 0 {
			f.expect(packets[i-others : i])
			others = 0
		}
	}
	if others > 0 {
		f.expect(packets[len(packets)-others:])
	}
	begin := k.contextIDs[:0] // of those that are of no flow
	for i := range packets {
		if q := &k.read[i]; q.plain && !f.shared.flows.ExpectEntry(&q.packet) {
			begin = append(begin, q.packet.Context)
		}
	}
	if cold {
		st.policy.Expect(begin)
	}
}

// contextIDsOf returns the context IDs that packets most likely have.
func (k *quickScratch) contextIDsOf(packets []Packet) []uint64 {
	ids := k.contextIDs[:0]
	for i := range packets {
		if id, ok := quickContext(&packets[i]); ok {
			ids = append(ids, id)
		}
	}
	return ids
}

// quickDecide decides a plain packet. It returns false where the general way has to.
func (f *Firewall) quickDecide(now int64, p *Packet, q *quickPacket) bool {
	k, st := &f.quick, f.standing
	if p.GSO && p.More && !f.ids.unused(now, q.src(), q.dst(), q.frameID) {
		return false // before anything moves: see again.go
	}
	r := &k.result
	f.shared.flows.TrackPlain(now, st.generation, &q.packet, r)
	known := r.State == conntrack.StateOriginal || r.State == conntrack.StateReply
	if !known || r.Mark&markAudit != 0 || st.sets && st.policy.Set(r.Rule) != nil ||
		p.GSO && !f.ids.take(now, q.src(), q.dst(), q.frameID) {
		f.handOver(now, p, q)
		return true
	}
	f.out.accept(p.ID)
	if f.tellQuiet {
		f.quickTell(now, p, q)
	}
	f.counts.packets++
	f.counts.bytes += uint64(p.Length)
	f.counts.framesAccepted++
	f.tallies.count(now, st, q.tenant, r.Rule, q.frameLength)
	return true
}

// handOver lets the general way decide a packet that the flow table has seen.
func (f *Firewall) handOver(now int64, p *Packet, q *quickPacket) {
	k := &f.quick
	k.handed, k.trusted, k.packet = true, q.packet.Trusted, *p
	if q.verified {
		k.packet.Checksum = ChecksumGood
	}
	f.process(now, &k.packet)
	k.handed, k.packet.Data = false, nil
}

// quickTell tells observers of a frame that was accepted on the quick way.
func (f *Firewall) quickTell(now int64, p *Packet, q *quickPacket) {
	s, r := &f.segment, &f.quick.result
	s.Decode(p.Data, p.Length, f.standing.settings.STTPorts)
	list := f.quick.packets[:]
	fillPacket(&list[0], p, s)
	e := f.beginEvent(reassembly.Key{Src: s.Src, Dst: s.Dst, FrameID: s.FrameID}, s.SrcPort, int(s.FrameLength), list, now)
	e.HasHeader = e.Header.Decode(s.Payload)
	e.InnerData = s.Payload[stt.FrameHeaderLen:]
	h := &e.Header
	why := e.Inner.Decode(e.InnerData, int(s.FrameLength)-stt.FrameHeaderLen, h.TCI, inspect.Tagged(h.Tagged()))
	e.HasInner = why == reason.None
	e.Verdict, e.State, e.Flow = Accept, r.State, r.Handle
	e.Reverse, e.HasReverse = r.ReverseContext, r.HasReverseContext
	t := f.standing.policy.Tenant(q.tenant)
	e.Decision.Tenant, e.Decision.TenantIndex = t.Name, q.tenant
	follow(f.standing.policy, r.Rule, r.Mark, &e.Decision)
	f.observer(e)
}
