package firewall

import (
	"fmt"
	"net/netip"
	"runtime/debug"
	"slices"

	"sttwall/reason"
	"sttwall/reassembly"
)

// A mistake in the firewall shall cost the packet that met it, and not all packets of
// all tenants. So what a batch brings is done under one deferred call (contain):
//
//	do ──> goOn ──> begin, packets, finish
//	  ▲      │ panic
//	  │      └──> contain: undo, drop, tell
//	  └─────────────┘ go on behind the packet
//
// What a panic may leave behind, and what becomes of it:
//
//	verdicts of the packet at hand       made drops; those before it stand
//	its frame, if other packets carried  dropped too
//	reassembly, if the panic was in it   all that it holds is dropped, and it begins empty
//	fragments that wait, likewise        likewise
//	the lock of a shard of flows         released, when the shard was put together anew from
//	                                     its entries, without the flow at hand
//	other locks                          released by those who took them, see there
//	what is kept for the next packet     reset
//
// A panic in here is one too many, and ends the program.

// MostPanics is how many panics within a minute are contained in one worker. The next one
// ends the program: so many have one cause, and nobody knows what else it does.
const MostPanics = 16

const panicWindow = int64(60e9) // ns

// Panic is a mistake of the firewall that was contained.
type Panic struct {
	// Value is what was panicked with, Stack the stack then.
	Value any
	Stack []byte
	// Time is that of the batch, in ns on the caller's clock.
	Time int64
	// Known: there was a packet at hand, with these outer endpoints, as far as its
	// header was read.
	Known    bool
	Src, Dst netip.Addr
	FrameID  uint32
	// Packets is how many packets were dropped for it.
	Packets int
}

// panics is what is remembered of them.
type panics struct {
	told       func(*Panic) // nil: none is contained
	reassembly reassembly.Config
	times      [MostPanics]int64 // of the last ones
	count      int               // since the start
}

// part is what of the work is being done.
type part uint8

const (
	beginning part = iota
	deciding
	finishing
	flushing // in place of the first two
	done
)

// work is what is being done, for contain to know.
type work struct {
	packets []Packet
	at      int // index of the packet at hand
	mark    int // how many verdicts there were before the decision at hand
	before  int // and before all of it
	part    part
	careful bool // the packets are taken one by one
	reading bool // packets are looked at before the first of them is decided
	counted bool // the packet at hand is in counts
	// inReassembly, inHold: the panic was there.
	inReassembly, inHold bool
	// frame is being decided; nil: none.
	frame *reassembly.Frame

	// unplaced is a panic while packets were only looked at: they are taken one by one
	// then, so that the one at fault shows.
	unplaced *Panic
}

// do does the work, whatever panics.
func (f *Firewall) do(now int64, w work, out *Verdicts) {
	w.before, w.mark = len(out.List), len(out.List)
	f.work = w
	f.out, f.now = out, now
	for f.work.part != done {
		f.goOn(now)
	}
	f.work.packets = nil
	if p := f.work.unplaced; p != nil { // none of them was at fault
		f.work.unplaced = nil
		f.panics.admit(p)
		f.counters.Panics.Add(1)
		f.tellPanic(p)
	}
}

// goOn does what is left of the work, up to the next panic.
func (f *Firewall) goOn(now int64) {
	defer f.contain()
	w := &f.work
	switch w.part {
	case beginning:
		f.begin(now)
		w.part = deciding
		fallthrough
	case deciding:
		f.decideAll(now)
		w.part = finishing
	case flushing:
		f.flushFrames()
		f.dropHeld()
		w.part = finishing
	}
	f.finish(w.before)
	w.part = done
}

func (f *Firewall) expireFrames(now int64) {
	f.work.inReassembly = true
	f.reassembler.Expire(now)
	f.work.inReassembly = false
}

func (f *Firewall) flushFrames() {
	f.work.inReassembly = true
	f.reassembler.Flush()
	f.work.inReassembly = false
}

// contain is deferred by goOn. After a panic it leaves everything so that goOn can be
// called again, to go on behind it.
func (f *Firewall) contain() {
	w := &f.work
	if w.part == done || f.panics.told == nil {
		return
	}
	v := recover()
	if v == nil {
		return // the goroutine ends
	}
	p := &Panic{Value: v, Stack: debug.Stack(), Time: f.now}
	f.shared.flows.Mend(&f.result)
	f.shared.flows.Mend(&f.quick.result)
	f.resetScratch()
	if w.reading {
		w.reading, w.careful, w.unplaced = false, true, p
		return
	}
	w.unplaced = nil // it was this one
	f.panics.admit(p)
	f.counters.Panics.Add(1) // at once: counts may be at fault
	switch at := w.part; at {
	case beginning:
		f.dropAtHand(p, nil)
		w.part = deciding
	case deciding:
		f.dropAtHand(p, &w.packets[w.at])
		w.at++
	case flushing:
		w.inReassembly, w.inHold = true, true // what is left of both
		f.dropAtHand(p, nil)
		w.part = finishing
	case finishing:
		f.counts.forget()
		f.tallies.unshown = 0
		w.part = done
	}
	f.tellPanic(p)
	w.frame, w.counted, w.careful = nil, false, true
	w.inReassembly, w.inHold, w.mark = false, false, len(f.out.List)
}

// resetScratch forgets what a packet leaves for the next.
func (f *Firewall) resetScratch() {
	g := &f.fragment
	g.first, g.waits, g.late, g.why = false, false, false, reason.None
	f.quick.handed, f.quick.packet.Data = false, nil
	f.quick.routes = quickRoutes{}
	f.admittedBy, f.learning, f.repeated = nil, nil, false
}

// dropAtHand drops what was being decided, and what nobody can decide any more: every
// packet has one verdict then, or is held.
func (f *Firewall) dropAtHand(p *Panic, at *Packet) {
	w, out := &f.work, f.out
	undone := slices.ContainsFunc(out.List[w.mark:], func(v Verdict) bool { return v.Action != Drop })
	out.allDrop(w.mark)
	decided := make(map[uint64]bool, len(out.List))
	for i := range out.List {
		decided[out.List[i].ID] = true
	}
	before := len(out.List)
	// drop drops those packets that have no verdict, and returns their length.
	drop := func(packets []reassembly.Packet) (bytes int) {
		for i := range packets {
			if o := &packets[i]; !decided[o.ID] {
				decided[o.ID] = true
				out.drop(o.ID)
				bytes += int(o.HeaderLen) + o.Length
			}
		}
		return bytes
	}
	f.beginPanicEvent(p, at)
	bytes := drop(f.reassembler.Whole())
	if w.frame != nil {
		bytes += drop(w.frame.Packets)
	}
	if at != nil {
		if !decided[at.ID] {
			decided[at.ID] = true
			out.drop(at.ID)
			bytes += at.Length
		}
		if !w.counted {
			f.counts.packets++
			f.counts.bytes += uint64(at.Length)
		}
	}
	if undone || len(out.List) > before {
		f.counts.framesDropped++
		f.counts.drop(f.now, reason.InternalError, bytes)
	}
	lost := func(packets []reassembly.Packet) {
		if n := len(out.List); len(packets) > 0 {
			bytes := drop(packets)
			if len(out.List) > n {
				f.counts.framesDropped++
				f.counts.drop(f.now, reason.InternalError, bytes)
			}
		}
	}
	if w.inReassembly {
		f.reassembler.Abandon(lost)
		fresh, err := reassembly.New(f.panics.reassembly, f)
		if err != nil {
			panic(err) // it was made with that before
		}
		f.reassembler = fresh
	}
	f.reassembler.Release() // or a panic in the next batch would find it decided again
	if w.inHold {
		for _, held := range f.hold.waiting {
			lost(held.frame.Packets)
		}
		f.hold = newFragmentHold(f.hold.config)
	}
	p.Packets = len(out.List) - w.mark
}

// beginPanicEvent makes the event of what was at hand ready, and says in p what it was.
func (f *Firewall) beginPanicEvent(p *Panic, at *Packet) {
	switch w := &f.work; {
	case w.frame != nil:
		fr := w.frame
		e := f.beginEvent(fr.Key, fr.SrcPort, fr.FrameLength, slices.Clone(fr.Packets), fr.First)
		e.Beginning = slices.Clone(fr.Data)
	case at == nil || !f.readAgain(at):
		return
	default:
		s := &f.segment
		f.refused[0] = reassembly.Packet{ID: at.ID, Length: s.PayloadLen, GSO: at.GSO}
		e := f.beginEvent(reassembly.Key{Src: s.Src, Dst: s.Dst, FrameID: s.FrameID}, s.SrcPort, int(s.FrameLength), f.refused[:], f.now)
		e.Incomplete = !s.WholeFrame()
		if s.Offset == 0 {
			e.Beginning = slices.Clone(s.Payload)
		}
	}
	e := &f.event
	e.Reason = reason.InternalError
	p.Known, p.Src, p.Dst, p.FrameID = true, e.Src, e.Dst, e.FrameID
}

// readAgain reads the headers of a packet, which may be where the panic was.
func (f *Firewall) readAgain(p *Packet) (read bool) {
	defer func() {
		if recover() != nil {
			read = false
		}
	}()
	return f.segment.Decode(p.Data, p.Length, f.standing.settings.STTPorts) == reason.None
}

// tellPanic tells of a panic. Whoever is told may be the one that panics: then he is not
// told.
func (f *Firewall) tellPanic(p *Panic) {
	f.panics.told(p)
	if !p.Known || f.observer == nil {
		return
	}
	defer func() { recover() }()
	f.observer(&f.event)
}

// admit counts a panic, or panics if it is one too many.
func (p *panics) admit(v *Panic) {
	at := &p.times[p.count%MostPanics]
	if p.count >= MostPanics && v.Time-*at < panicWindow {
		panic(fmt.Sprintf("%d panics within a minute in one worker: the firewall ends, and no packet passes without it; the last one was: %v\n\n%s",
			MostPanics+1, v.Value, v.Stack))
	}
	*at = v.Time
	p.count++
}
