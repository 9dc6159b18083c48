package firewall

import (
	"errors"
	"fmt"
	"hash/maphash"
	"math/rand/v2"
	"net/netip"

	"github.com/gaissmai/bart"

	"sttwall/inspect"
	"sttwall/policy"
	"sttwall/reason"
	"sttwall/reassembly"
	"sttwall/stt"
)

// ethernetHeaderLen is the shortest inner frame in bytes.
const ethernetHeaderLen = 14

// Config makes a [Firewall].
type Config struct {
	// Shared is what the workers of one firewall have in common. Required.
	Shared *Shared
	// Reassembly bounds what is held of frames that are not whole, and Hold the
	// later inner fragments that wait for their first one. Where Reassembly.Listed is nil
	// and the policy lists no endpoints, sources of which no frame of several packets was
	// accepted lately share one share.
	Reassembly reassembly.Config
	Hold       HoldConfig
	// Random is where new frame IDs come from. Required; it must not be
	// guessable from outside, and is used by this firewall alone.
	Random rand.Source
	// Observer, if not nil, is told of every frame; see [FrameEvent]. It is
	// called on the packet's way and must not block.
	Observer func(*FrameEvent)
	// WantsQuiet, if not nil, is asked before each batch of packets whether Observer
	// is to be told of quiet frames too: see [FrameEvent.Quiet]. Most frames are, and
	// to tell of them costs more than to decide them. It must not block.
	WantsQuiet func() bool
	// Panicked is told of each panic, which then costs the packet at hand and not the
	// firewall; see [Panic]. It is called on the packet's way and must not block. nil: no
	// panic is contained, so that tests, fuzz targets and who replays a capture see it.
	Panicked func(*Panic)
	// Fault, if not nil, is called at each [Stage] of a packet's way, and may panic there:
	// so that it can be seen what becomes of it. No packet takes the quick way then.
	Fault func(Stage)
}

// Firewall takes packets and decides them. Not for concurrent use.
type Firewall struct {
	shared   *Shared
	standing *standing // what holds for the packet at hand
	ids      *FrameIDFilter
	random   rand.Source
	observer func(*FrameEvent)

	wantsQuiet func() bool // nil: the observer wants all
	tellQuiet  bool        // in this batch
	work       work        // what is being done
	single     [1]Packet   // for Process
	panics     panics
	fault      func(Stage) // nil: there are none

	reassembler *reassembly.Reassembler
	known       knownSources
	hold        fragmentHold
	counters    Counters
	counts      counts // that counters do not show yet

	admitted   netip.Addr // the source that was last found among admittedBy
	admittedBy *bart.Lite // the endpoints that held then

	// Scratch, reset for every packet.
	segment stt.Segment // the packet at hand
	sum     uint16      // of its payload, valid iff summed
	summed  bool
	item    reassembly.Segment
	event   FrameEvent
	out     *Verdicts // where dropped frames leave their verdicts
	device  int       // that the packet at hand came in on
	more    bool      // the packet at hand can come again; see again.go
	now     int64     // of the last batch or Expire
	packetScratch
	fragment fragmentScratch
	tallies  tallies
	quick    quickScratch
	refused  [1]reassembly.Packet // what the event of a packet names that never reached reassembly

	shown heldShown
}

// New makes a firewall. The error says which field is missing or out of bounds.
func New(c Config) (*Firewall, error) {
	switch {
	case c.Shared == nil:
		return nil, errors.New("firewall without what its workers share")
	case c.Random == nil:
		return nil, errors.New("firewall without a random source")
	}
	f := &Firewall{
		shared: c.Shared, standing: c.Shared.current.Load(), ids: c.Shared.frameIDs,
		random: c.Random, observer: c.Observer, wantsQuiet: c.WantsQuiet,
		panics: panics{told: c.Panicked, reassembly: c.Reassembly}, fault: c.Fault,
	}
	f.quick.off = c.Fault != nil
	f.known.seed = maphash.MakeSeed()
	if c.Reassembly.Listed == nil {
		c.Reassembly.Listed = f.hasShare
		f.panics.reassembly.Listed = f.hasShare
	}
	r, err := reassembly.New(c.Reassembly, f)
	if err != nil {
		return nil, fmt.Errorf("reassembly: %w", err)
	}
	f.reassembler = r
	if c.Hold, err = c.Hold.WithDefaults(); err != nil {
		return nil, fmt.Errorf("held fragments: %w", err)
	}
	f.hold = newFragmentHold(c.Hold)
	f.counts.dropped = make([]reason.Reason, 0, reason.Count)
	f.shared.join(&f.tallies)
	return f, nil
}

// AlsoTell has another observer told of every frame, after those that there are; see
// [Config.Observer] and [Config.WantsQuiet]. Where one of them wants quiet frames, all
// are told of them. It must be called before the first packet.
func (f *Firewall) AlsoTell(observer func(*FrameEvent), wantsQuiet func() bool) {
	first, wants := f.observer, f.wantsQuiet
	if first == nil {
		f.observer, f.wantsQuiet = observer, wantsQuiet
		return
	}
	f.wantsQuiet = nil
	if wants != nil && wantsQuiet != nil {
		f.wantsQuiet = func() bool { return wants() || wantsQuiet() }
	}
	f.observer = func(e *FrameEvent) {
		first(e)
		observer(e)
	}
}

// Counters returns what f has done. The pointer stays valid.
func (f *Firewall) Counters() *Counters { return &f.counters }

// ProcessBatch takes packets that came at time now, in ns on a clock that never goes
// back, and appends to out the verdicts that are known then. Every packet gets
// exactly one verdict, at the latest from [Firewall.Flush].
//
// One policy decides all of them, and what they add to [Firewall.Counters] and
// [Firewall.Tallies] is there when it returns.
//
// A panic on the way costs the packet or frame that is being decided, see [Panic].
func (f *Firewall) ProcessBatch(now int64, packets []Packet, out *Verdicts) {
	f.do(now, work{packets: packets}, out)
}

// Process is [Firewall.ProcessBatch] for one packet.
func (f *Firewall) Process(now int64, p *Packet, out *Verdicts) {
	f.single[0] = *p
	f.do(now, work{packets: f.single[:], careful: true}, out)
	f.single[0].Data = nil
}

// begin makes ready for what comes at now, and drops what is overdue.
func (f *Firewall) begin(now int64) {
	f.standing = f.shared.look(now)
	f.tellQuiet = f.observer != nil && (f.wantsQuiet == nil || f.wantsQuiet())
	f.at(StageBegin)
	f.expireFrames(now)
	f.lookAtHeld(now)
}

// finish shows what was counted since begin, before which there were so many verdicts.
func (f *Firewall) finish(before int) {
	f.at(StageFinish)
	f.counts.verdicts(f.out.List[before:])
	f.counts.show(&f.counters)
	f.tallies.show(f.now)
}

func (f *Firewall) process(now int64, p *Packet) {
	f.counts.packets++
	f.counts.bytes += uint64(p.Length)
	f.work.counted = true
	f.device, f.more, f.repeated = p.Device, p.More, false
	f.at(StagePacket)
	switch r := f.admit(p); {
	case r == reason.None:
		f.reassemble(now, p)
	case r == reason.CopyTooShort && p.More:
		f.again(p.ID)
	default:
		f.refuse(now, p, r)
	}
	if f.repeated {
		f.counts.packets--
		f.counts.bytes -= uint64(p.Length)
	}
	f.work.counted = false
}

// Expire drops the frames whose time is over at now, and lets out inner fragments
// of which another worker has decided the first.
func (f *Firewall) Expire(now int64, out *Verdicts) {
	f.do(now, work{}, out)
}

// NextDeadline returns when [Firewall.Expire] has to be called next; false if
// nothing is held. While inner fragments wait it is soon.
func (f *Firewall) NextDeadline() (int64, bool) {
	deadline, ok := f.reassembler.NextDeadline()
	if wake, waits := f.hold.wake(); waits && (!ok || wake < deadline) {
		return wake, true
	}
	return deadline, ok
}

// Flush drops all that is held.
func (f *Firewall) Flush(out *Verdicts) {
	f.do(f.now, work{part: flushing}, out)
}

// admit checks what a packet shows by itself.
func (f *Firewall) admit(p *Packet) reason.Reason {
	s := &f.segment
	f.summed = false
	if r := s.Decode(p.Data, p.Length, f.standing.settings.STTPorts); r != reason.None {
		return r
	}
	if e := f.standing.endpoints; e != nil && (s.Src != f.admitted || e != f.admittedBy) {
		if !e.Contains(s.Src) {
			return reason.EndpointUnknown
		}
		f.admitted, f.admittedBy = s.Src, e
	}
	if p.Checksum == ChecksumUnverified {
		// Before reassembly: a packet that receivers would not take must
		// not spoil a frame that they would.
		if !s.Whole() {
			return reason.CopyTooShort
		}
		sum, good := s.Verify(p.Data)
		if !good {
			return reason.SegmentChecksum
		}
		f.sum, f.summed = sum, true
	}
	if !s.Whole() && !s.WholeFrame() {
		return reason.CopyTooShort
	}
	return reason.None
}

// reassemble hands the segment at hand to reassembly, and decides the frame
// that it completes.
func (f *Firewall) reassemble(now int64, p *Packet) {
	s := &f.segment
	item := &f.item
	item.Src, item.Dst, item.FrameID = s.Src, s.Dst, s.FrameID
	item.SrcPort, item.DstPort = s.SrcPort, s.DstPort
	item.FrameLength, item.Offset = int(s.FrameLength), int(s.Offset)
	item.Payload = s.Payload
	fillPacket(&item.Packet, p, s)
	item.Packet.Sum, item.Packet.Summed = f.sum, f.summed
	f.work.inReassembly = true
	f.at(StageReassembly)
	fr := f.reassembler.Add(now, item)
	if fr == nil {
		if s.Offset == 0 {
			f.ids.expect(s.Src, s.Dst, s.FrameID) // when the rest is there
		}
		f.work.inReassembly = false
		return
	}
	f.work.inReassembly = false
	f.decide(now, fr)
	if len(fr.Packets) > 1 && f.event.Verdict == Accept && f.standing.endpoints == nil {
		f.known.met(now, s.Src)
	}
	fr.Release()
}

// fillPacket writes down what a verdict and a new encoding need to know of a packet.
func fillPacket(kept *reassembly.Packet, p *Packet, s *stt.Segment) {
	// Field by field: a value with these would be made elsewhere and copied.
	kept.ID, kept.Length = p.ID, s.PayloadLen
	kept.FlowLabel, kept.IPID, kept.TTL, kept.TOS, kept.DontFragment = s.FlowLabel, s.ID, s.TTL, s.TOS, s.DontFragment
	kept.HeaderLen, kept.Canonical = uint8(s.HeaderLen+stt.SegmentHeaderLen), s.Canonical()
	kept.GSO, kept.Unfinished = p.GSO, p.Checksum == ChecksumPartial && !p.GSO
}

// decide judges a whole frame and appends the verdicts of its packets, unless it
// is an inner fragment that has to wait.
func (f *Firewall) decide(now int64, fr *reassembly.Frame) {
	outer := f.work.frame
	f.work.frame = fr
	f.decideFrame(now, fr)
	f.work.frame = outer
}

func (f *Firewall) decideFrame(now int64, fr *reassembly.Frame) {
	e := f.beginEvent(fr.Key, fr.SrcPort, fr.FrameLength, fr.Packets, fr.First)
	e.Waited = f.fragment.late
	f.fragment.first, f.fragment.waits = false, false
	cut := len(fr.Data) < fr.FrameLength
	r := f.judge(now, fr)
	if f.fragment.waits {
		switch {
		case f.fragment.late:
		case cut && f.more: // whether it can leave as it came is not known until it leaves
			f.again(fr.Packets[0].ID)
		default:
			f.keep(now, fr)
		}
		return
	}
	if r == reason.None {
		r = f.release(now, fr, cut)
	}
	// A later fragment may share the fate of a first one that was too short.
	if r == reason.CopyTooShort && e.Decision.Reason != r && f.more && !f.fragment.first {
		f.again(fr.Packets[0].ID)
		return
	}
	e.Reason = r
	if !e.HasHeader {
		e.Beginning = fr.Data
	}
	if r == reason.None {
		f.at(StageLeave)
		f.commitBindings(now)
		e.Verdict = Accept
	} else {
		if e.Decision.Action == policy.Accept {
			// The rule that accepted it is not why it was dropped.
			e.Decision = policy.Decision{Tenant: e.Decision.Tenant, TenantIndex: e.Decision.TenantIndex, RuleIndex: -1, Reason: r}
		}
		f.dropFrame(fr.Packets, r)
		if e.Decision.Action == policy.Reject {
			f.reject(now, fr, f.out)
		}
	}
	f.at(StageTell)
	if f.observer != nil && (f.tellQuiet || !e.Quiet()) {
		f.observer(e)
	}
	f.countDecision(now) // nothing of it can panic any more
	if f.fragment.first {
		f.rememberFirst(now)
	}
}

// release lets an accepted frame out, with what its rule changes in it.
func (f *Firewall) release(now int64, fr *reassembly.Frame, cut bool) reason.Reason {
	data := fr.Data
	set := f.setOf(&f.event.Decision)
	if set != nil {
		if cut {
			return reason.CopyTooShort
		}
		data = f.change(set, data, stt.FrameHeaderLen)
	}
	return f.leave(now, fr, data, cut, set != nil, f.out)
}

// judge reads the frame header and the inner frame and asks the policy.
func (f *Firewall) judge(now int64, fr *reassembly.Frame) reason.Reason {
	e := &f.event
	if f.fragment.late {
		if r := f.admitHeld(fr); r != reason.None {
			return r
		}
	}
	f.at(StageFrame)
	if fr.FrameLength < stt.FrameHeaderLen+ethernetHeaderLen {
		return reason.FrameTooShort
	}
	if !e.Header.Decode(fr.Data) {
		return reason.CopyTooShort
	}
	e.HasHeader = true
	e.InnerData = fr.Data[stt.FrameHeaderLen:]
	length := fr.FrameLength - stt.FrameHeaderLen
	h := &e.Header
	switch {
	case h.Version != 0:
		return reason.FrameVersion
	case h.ChecksumPartial() && h.ChecksumVerified():
		return reason.FrameFlags
	}
	if r := e.Inner.Decode(e.InnerData, length, h.TCI, inspect.Tagged(h.Tagged())); r != reason.None {
		return r
	}
	e.HasInner = true
	if r := e.Inner.Verify(e.InnerData, length, inspect.Offload{
		Partial:  h.ChecksumPartial(),
		IPv4:     h.Flags&stt.FlagIPv4 != 0,
		TCP:      h.Flags&stt.FlagTCP != 0,
		L4Offset: h.L4Offset, MSS: h.MSS, MSSFloor: f.standing.settings.MSSFloor,
	}); r != reason.None {
		return r
	}
	if f.more && f.wantsRest(now, fr) {
		return reason.CopyTooShort
	}
	return f.judgePolicy(now, fr)
}

// refuse drops a packet that never reached reassembly.
func (f *Firewall) refuse(now int64, p *Packet, r reason.Reason) {
	f.out.drop(p.ID)
	f.counts.drop(now, r, p.Length)
	s := &f.segment
	if !s.WholeFrame() {
		return // the rest of its frame will be missed
	}
	f.counts.framesDropped++
	if f.observer != nil {
		f.refused[0] = reassembly.Packet{ID: p.ID, Length: s.PayloadLen, GSO: p.GSO}
		e := f.beginEvent(reassembly.Key{Src: s.Src, Dst: s.Dst, FrameID: s.FrameID}, s.SrcPort, int(s.FrameLength), f.refused[:], now)
		e.Reason = r
		if s.Offset == 0 {
			e.Beginning = s.Payload
		}
		f.observer(e)
	}
}

// Dropped takes a frame that reassembly gave up; it implements [reassembly.Sink].
func (f *Firewall) Dropped(d *reassembly.Dropped) {
	if d.Late {
		for i := range d.Packets {
			f.out.drop(d.Packets[i].ID)
		}
		f.counts.latePackets += uint64(len(d.Packets))
		return
	}
	f.dropFrame(d.Packets, d.Reason)
	f.at(StageDropped)
	if f.observer == nil {
		return
	}
	e := f.beginEvent(d.Key, d.SrcPort, d.FrameLength, d.Packets, d.First)
	e.Incomplete, e.Reason, e.Beginning = true, d.Reason, d.Data
	f.observer(e)
}

func (f *Firewall) dropFrame(packets []reassembly.Packet, r reason.Reason) {
	bytes := 0
	for i := range packets {
		f.out.drop(packets[i].ID)
		bytes += int(packets[i].HeaderLen) + packets[i].Length
	}
	f.counts.framesDropped++
	f.counts.drop(f.now, r, bytes)
}
