package evasion

import (
	"slices"
	"time"

	"sttwall/reason"
)

// Where ideas are from.
const (
	ptacek  = "Ptacek and Newsham 1998"
	handley = "Handley and Paxson 2001"
	stt     = "draft-davie-stt-08"
	linux   = "Open vSwitch stt.c"
	windows = "Open vSwitch Stt.c"
	both    = "Open vSwitch stt.c, Stt.c"
)

// needed is how many bytes of a web frame a decision rests on.
const needed = 18 + 14 + 20 + 20

func overlapCases() []Case {
	const class = "Segments that overlap"
	// over sends a web frame in three segments, and one more in front of the last.
	over := func(extra func(frame []byte) segment) func(*Script) {
		return func(s *Script) {
			frame := s.web(400)
			p := cut(1, frame, 160, 320)
			s.send(p[0], p[1], extra(frame), p[2])
		}
	}
	part := func(frame []byte, from, to int, fill byte) segment {
		b := slices.Clone(frame[from:to])
		for i := range b {
			b[i] ^= fill
		}
		return segment{total: len(frame), offset: from, id: 1, payload: b}
	}
	one := func(name, source, expects string, why reason.Reason, from, to int, fill byte) Case {
		return Case{Name: name, Class: class, Source: source, Expects: expects, Reasons: []reason.Reason{why},
			Send: over(func(frame []byte) segment { return part(frame, from, to, fill) })}
	}
	const whole = "The frame is dropped whole: a receiver keeps what came first (Linux) or last (Windows)."
	return []Case{
		one("a segment twice", ptacek, whole, reason.SegmentDuplicate, 160, 320, 0),
		one("a segment twice, with other bytes", ptacek, whole, reason.SegmentDuplicate, 160, 320, 0xff),
		one("forward overlap with equal bytes", ptacek, whole, reason.SegmentOverlap, 300, 340, 0),
		one("forward overlap with other bytes", ptacek, whole, reason.SegmentOverlap, 300, 340, 0xff),
		one("backward overlap with equal bytes", ptacek, whole, reason.SegmentOverlap, 100, 200, 0),
		one("backward overlap with other bytes", ptacek, whole, reason.SegmentOverlap, 100, 200, 0xff),
		one("a segment inside another, equal bytes", ptacek, whole, reason.SegmentOverlap, 200, 240, 0),
		one("a segment inside another, other bytes", ptacek, whole, reason.SegmentOverlap, 200, 240, 0xff),
		one("a segment around another", ptacek, whole, reason.SegmentOverlap, 150, 330, 0xff),
		one("the headers once more, for another port", "RFC 3128", whole, reason.SegmentOverlap, 0, 80, 0x42),
		{Name: "the bytes of a gap sent twice elsewhere", Class: class, Source: linux,
			Expects: "Lengths that add up are not a whole frame; the overlap drops it.", Reasons: []reason.Reason{reason.SegmentOverlap},
			Send: func(s *Script) {
				frame := s.web(400)
				s.send(part(frame, 0, 200, 0), part(frame, 150, 300, 0), part(frame, 350, len(frame), 0))
			}},
		{Name: "a gap", Class: class, Source: both, Expects: "The frame is never whole.", Reasons: []reason.Reason{reason.FrameTimeout},
			Send: func(s *Script) {
				frame := s.web(400)
				s.send(part(frame, 0, 200, 0), part(frame, 250, len(frame), 0))
			}},
		{Name: "what overlaps comes when the frame has left", Class: class, Source: ptacek,
			Expects: "The frame has left by then; the rest waits for a frame that never comes.", Accepted: 1, Reasons: []reason.Reason{reason.FrameTimeout},
			Send: func(s *Script) {
				frame := s.web(400)
				s.send(cut(1, frame, 160, 320)...)
				s.send(part(frame, 160, 320, 0xff))
			}},
	}
}

func contradictionCases() []Case {
	const class = "Segments that contradict each other"
	three := func(edit func(p []segment)) func(*Script) {
		return func(s *Script) {
			p := cut(1, s.web(400), 160, 320)
			edit(p)
			s.send(p...)
		}
	}
	return []Case{
		{Name: "total length grows", Class: class, Source: linux, Expects: "The frame is dropped: Linux believes the first length, Windows the last.",
			Reasons: []reason.Reason{reason.FrameLengthChanged}, Send: three(func(p []segment) { p[1].total += 100 })},
		{Name: "total length shrinks to what has come", Class: class, Source: windows, Expects: "The frame is dropped: Windows would deliver what has come.",
			Reasons: []reason.Reason{reason.FrameLengthChanged}, Send: three(func(p []segment) { p[1].total = 320 })},
		{Name: "the first length is that of the lengths that come", Class: class, Source: linux, Expects: "The frame is dropped: Linux would deliver it with a gap.",
			Reasons: []reason.Reason{reason.FrameLengthChanged}, Send: three(func(p []segment) {
				p[0].total = len(p[0].payload) + len(p[2].payload)
				p[1], p[2] = p[2], p[1]
			})},
		{Name: "source port changes", Class: class, Source: both, Expects: "The frame is dropped; receivers would not notice.",
			Reasons: []reason.Reason{reason.SourcePortChanged}, Send: three(func(p []segment) { p[1].srcPort = 40001 })},
		{Name: "destination port changes", Class: class, Source: stt, Expects: "Segments to another port are no STT; the frame is never whole.",
			Reasons: []reason.Reason{reason.NotSTT, reason.FrameTimeout}, Send: three(func(p []segment) { p[1].port = 7472 })},
		{Name: "source address changes", Class: class, Source: both, Expects: "Two frames, and neither is ever whole.",
			Reasons: []reason.Reason{reason.FrameTimeout}, Send: three(func(p []segment) { p[1].src = 3 })},
		{Name: "segment past the end", Class: class, Source: both, Expects: "The frame is dropped.",
			Reasons: []reason.Reason{reason.SegmentPastEnd}, Send: three(func(p []segment) { p[2].offset += 40 })},
		{Name: "offset and length at the end of 16 bits", Class: class, Source: both, Expects: "No sum wraps: the segment is dropped.",
			Reasons: []reason.Reason{reason.SegmentPastEnd}, Send: func(s *Script) {
				s.send(segment{total: 65535, offset: 65535, id: 1, payload: s.web(100)})
			}},
		{Name: "empty segment", Class: class, Source: ptacek, Expects: "It is dropped.", Reasons: []reason.Reason{reason.SegmentEmpty}, On: OnPackets,
			Send: func(s *Script) { s.send(segment{total: 400, id: 1}) }},
		{Name: "empty segment of a frame that waits", Class: class, Source: ptacek, Expects: "It drops the frame.", Reasons: []reason.Reason{reason.SegmentEmpty}, On: OnPackets,
			Send: func(s *Script) {
				p := cut(1, s.web(400), 200)
				s.send(p[0], segment{total: p[0].total, offset: 200, id: 1}, p[1])
			}},
		{Name: "total length 0", Class: class, Source: windows, Expects: "It is dropped; Windows would compute a length below zero.", Reasons: []reason.Reason{reason.SegmentPastEnd},
			Send: func(s *Script) { s.send(segment{id: 1, payload: s.web(10)}) }},
		{Name: "frame shorter than its header", Class: class, Source: windows, Expects: "It is dropped.", Reasons: []reason.Reason{reason.SegmentTooSmall, reason.FrameTooShort},
			Send: func(s *Script) { s.send(wholeOf(1, s.web(10)[:17])); s.send(cut(2, s.web(10)[:17], 9)...) }},
		{Name: "frame without a whole Ethernet header", Class: class, Source: both, Expects: "It is dropped.", Reasons: []reason.Reason{reason.FrameTooShort},
			Send: func(s *Script) { s.whole(s.web(10)[:31]) }},
	}
}

func splitCases() []Case {
	const class = "Headers split over segments"
	every := func(s *Script, from, to int) {
		for at := from; at < to; at++ {
			s.send(cut(uint32(at), s.frame(header{}, packet{payload: 200, fill: byte(at)}), at)...)
		}
	}
	return []Case{
		{Name: "split at every byte of the headers", Class: class, Source: "RFC 1858", Accepted: needed - 18, On: OnPackets,
			Expects: "The frames leave cut anew, with all headers in the first packet.", Send: func(s *Script) { every(s, 18, needed) }},
		{Name: "split at every byte of the frame header", Class: class, Source: windows, Reasons: []reason.Reason{reason.SegmentTooSmall},
			Expects: "Segments at offsets 1 to 17 drop their frame: Windows writes them outside of its buffer.", Send: func(s *Script) { every(s, 1, 18) }},
		{Name: "super-segments split at every byte of the headers", Class: class, Source: "RFC 1858", On: OnGSO | OnGSOReencoded,
			Expects: "They are dropped: how the kernel cuts them is not known.", Reasons: []reason.Reason{reason.SegmentTooSmall},
			Send: func(s *Script) { every(s, 1, needed) }},
		{Name: "split behind the headers", Class: class, Source: "RFC 1858", Accepted: 10,
			Expects: "The frames leave as they are cut.", Send: func(s *Script) { every(s, needed, needed+10) }},
		{Name: "one byte in each segment", Class: class, Source: ptacek, Expects: "No packet could hold the headers: the frame is dropped.",
			Reasons: []reason.Reason{reason.SegmentTooSmall}, Send: func(s *Script) {
				frame := s.web(20)
				for i := range frame {
					s.send(segment{total: len(frame), offset: i, id: 1, payload: frame[i : i+1]})
				}
			}},
		{Name: "a small first segment, for a denied port", Class: class, Source: "RFC 1858", Expects: "The rules see the whole frame and deny it.",
			Reasons: []reason.Reason{reason.TenantDefault}, On: OnStateless, Send: func(s *Script) { s.send(cut(1, s.ssh(200), 20, 72)...) }},
		{Name: "a segment at offset 5 alone", Class: class, Source: windows, Expects: "It is dropped at once.", Reasons: []reason.Reason{reason.SegmentTooSmall},
			Send: func(s *Script) { s.send(segment{total: 400, offset: 5, id: 1, payload: s.web(100)}) }},
		{Name: "segments in all orders", Class: class, Source: stt, Accepted: 6, Expects: "The order of segments does not matter.",
			Send: func(s *Script) {
				id := uint32(0)
				permute([]Wire{{Packet: []byte{0}}, {Packet: []byte{1}}, {Packet: []byte{2}}}, func(order []Wire) {
					id++
					p := cut(id, s.frame(header{}, packet{payload: 400, fill: byte(id)}), 160, 320)
					for _, w := range order {
						s.send(p[w.Packet[0]])
					}
				})
			}},
	}
}

func reuseCases() []Case {
	const class = "Frame IDs used again"
	at := []int{160, 320}
	fill := func(s *Script, fill byte) []byte { return s.frame(header{}, packet{payload: 400, fill: fill}) }
	// super sends frames in one super-segment each, two of one ID in a known flow and two
	// that are none. The first of the two left before the firewall was started, if before
	// is true. Their checksum is verified, else all of those in part would be asked for.
	super := func(name, expects string, before, part bool) Case {
		c := Case{Name: name, Class: class, Source: both, Expects: expects, Accepted: 4, On: OnGSO, Send: func(s *Script) {
			send := s.send
			if s.Startup = before; before {
				send = s.before
			}
			for id, context := range []uint64{100, 200} {
				send(wholeOf(uint32(id), s.frame(header{flags: 1, context: context}, packet{payload: 3000})))
			}
			for id, context := range []uint64{100, 200} {
				s.send(wholeOf(uint32(id), s.frame(header{flags: 1, context: context}, packet{payload: 3000, fill: 0xff})))
			}
			for i := range s.Sent {
				s.Sent[i].Part = part
			}
		}}
		if before {
			c.Accepted = 2
		}
		return c
	}
	return []Case{
		{Name: "while a frame is held", Class: class, Source: both, Expects: "Pieces of two frames meet: both are dropped.", Reasons: []reason.Reason{reason.SegmentDuplicate},
			Send: func(s *Script) {
				a, b := cut(1, fill(s, 0), at...), cut(1, s.ssh(400), at...)
				s.send(a[0], b[0], b[1], b[2], a[1], a[2])
			}},
		{Name: "just after the frame was accepted", Class: class, Source: both, Accepted: 2,
			Expects: "The second frame leaves with another ID: what is lost of one is not filled with the other.",
			Send: func(s *Script) {
				s.send(cut(1, fill(s, 0), at...)...)
				s.send(cut(1, fill(s, 0xff), at...)...)
			}},
		{Name: "just after the frame was accepted, for a denied port", Class: class, Source: both, Accepted: 1, Reasons: []reason.Reason{reason.TenantDefault}, On: OnStateless,
			Expects: "No piece of the second frame leaves.", Send: func(s *Script) {
				s.send(cut(1, fill(s, 0), at...)...)
				s.send(cut(1, s.ssh(400), at...)...)
			}},
		{Name: "many times at once", Class: class, Source: both, Accepted: 12, Expects: "All leave with IDs of their own.",
			Send: func(s *Script) {
				for i := range 12 {
					s.send(cut(1, fill(s, byte(i)), at...)...)
				}
			}},
		{Name: "20 s later", Class: class, Source: linux, Accepted: 2, Expects: "Receivers may still wait for the rest of the first frame: another ID.",
			Send: func(s *Script) {
				s.send(cut(1, fill(s, 0), at...)...)
				s.wait(20 * time.Second)
				s.send(cut(1, fill(s, 0xff), at...)...)
			}},
		{Name: "59 s later", Class: class, Source: windows, Accepted: 2, Expects: "Windows may still wait for the rest of the first frame: another ID.",
			Send: func(s *Script) {
				s.send(cut(1, fill(s, 0), at...)...)
				s.wait(59 * time.Second)
				s.send(cut(1, fill(s, 0xff), at...)...)
			}},
		{Name: "91 s later", Class: class, Source: both, Accepted: 2, Expects: "No receiver waits any more.",
			Send: func(s *Script) {
				s.send(cut(1, fill(s, 0), at...)...)
				s.wait(91 * time.Second)
				s.send(cut(1, fill(s, 0xff), at...)...)
			}},
		{Name: "just after the firewall was started", Class: class, Source: both, Accepted: 2,
			Expects: "The firewall of before may have let a part of a frame with this ID out: all leave with new IDs.", Send: func(s *Script) {
				s.Startup = true
				s.before(cut(1, fill(s, 0x11), at...)...)
				s.send(cut(1, fill(s, 0), at...)...)
				s.send(cut(2, fill(s, 0xff), at...)...)
			}},
		super("of a super-segment", "The kernel cuts both up behind the firewall: the second leaves with another ID.", false, false),
		super("of a super-segment, copied in part", "The rest of the second is asked for, and it leaves with another ID.", false, true),
		super("of a super-segment, just after the firewall was started", "It leaves with a new ID.", true, false),
		super("of a super-segment, copied in part, just after the firewall was started", "The rest is asked for, and it leaves with a new ID.", true, true),
		{Name: "after a timeout", Class: class, Source: linux, Accepted: 1, Reasons: []reason.Reason{reason.FrameTimeout},
			Expects: "The half that was held never leaves; the whole frame that comes later does.", Send: func(s *Script) {
				s.send(cut(1, s.ssh(400), at...)[:2]...)
				s.wait(2 * time.Minute)
				s.send(cut(1, fill(s, 0), at...)...)
			}},
		{Name: "the other half after a timeout", Class: class, Source: linux, Reasons: []reason.Reason{reason.FrameTimeout},
			Expects: "The halves are never one frame.", Send: func(s *Script) {
				p := cut(1, fill(s, 0), at...)
				s.send(p[0], p[1])
				s.wait(31 * time.Second)
				s.send(p[2])
			}},
		{Name: "after an eviction", Class: class, Source: linux, Reasons: []reason.Reason{reason.FrameTimeout, reason.SourceShareFull},
			Expects: "What was evicted is gone: its rest completes nothing.", Send: func(s *Script) {
				s.Held = 2
				p := cut(1, fill(s, 0), at...)
				s.send(p[0], p[1])
				for id := range uint32(4) {
					s.send(cut(10+id, fill(s, byte(id)), at...)[0])
				}
				s.wait(time.Minute)
				s.send(p[2])
			}},
		{Name: "two frames spliced: denied headers, accepted rest", Class: class, Source: both, Reasons: []reason.Reason{reason.TenantDefault}, On: OnStateless,
			Expects: "The frame that a receiver would see is denied.", Send: func(s *Script) {
				a, b := cut(1, s.ssh(400), at...), cut(1, fill(s, 0), at...)
				s.send(a[0], b[1], b[2])
			}},
		{Name: "two frames spliced: accepted headers, denied rest", Class: class, Source: both, Accepted: 1,
			Expects: "The rest is payload of the accepted frame, whatever it was meant to be.", Send: func(s *Script) {
				a, b := cut(1, fill(s, 0), at...), cut(1, s.ssh(400), at...)
				s.raw(header{}, slices.Concat(a[0].payload, b[1].payload, b[2].payload)[18:])
				s.send(a[0], b[1], b[2])
			}},
		{Name: "a middle that looks like a frame header", Class: class, Source: linux, Accepted: 1,
			Expects: "No receiver takes the middle for the beginning, whatever is lost.", Send: func(s *Script) {
				hidden := s.ssh(100)
				s.Frames = s.Frames[:0] // nobody sends it by itself
				p := packet{payload: 400}
				b := p.bytes()
				copy(b[14+40+60:], hidden)
				frame := s.raw(header{flags: 1}, b)
				s.send(cut(1, frame, 18+14+40+60, 18+14+40+60+len(hidden))...)
			}},
		{Name: "lost, then sent again in part", Class: class, Source: ptacek, Accepted: 1, Reasons: []reason.Reason{reason.FrameTimeout},
			Expects: "The part that comes again is held: firewall and receiver never hold different halves.", Send: func(s *Script) {
				p := cut(1, fill(s, 0), at...)
				s.send(p...)
				s.send(cut(1, s.ssh(400), at...)[1])
			}},
		{Name: "a whole frame in one packet, under the ID of one that is held", Class: class, Source: both, Accepted: 2,
			Expects: "Both leave: no receiver looks up a whole frame.", Send: func(s *Script) {
				p := cut(1, fill(s, 0), at...)
				s.send(p[0], p[1])
				s.whole(fill(s, 0xff))
				s.send(p[2])
			}},
		{Name: "a whole frame in one packet, many times", Class: class, Source: stt, Accepted: 8, On: OnPackets,
			Expects: "It leaves each time: nobody looks up its ID.", Send: func(s *Script) {
				for range 8 {
					s.whole(fill(s, 0))
				}
			}},
		{Name: "on two queues at once", Class: class, Source: both, Accepted: 2,
			Expects: "Workers share what they know of IDs: the second frame leaves with another one.", Send: func(s *Script) {
				s.Queues = true
				a, b := cut(1, fill(s, 0), at...), cut(1, fill(s, 0xff), at...)
				for i := range a {
					b[i].srcPort = s.other()
					s.send(a[i], b[i])
				}
			}},
		{Name: "one frame over two queues", Class: class, Source: both, Reasons: []reason.Reason{reason.FrameTimeout},
			Expects: "The source port has changed: no worker sees a whole frame.", Send: func(s *Script) {
				s.Queues = true
				p := cut(1, fill(s, 0), at...)
				p[1].srcPort = s.other()
				s.send(p...)
			}},
		{Name: "two frames spliced over two queues", Class: class, Source: both, Accepted: 1, Reasons: []reason.Reason{reason.FrameTimeout},
			Expects: "Only segments of one source port are put together.", Send: func(s *Script) {
				s.Queues = true
				a, b := cut(1, fill(s, 0), at...), cut(1, s.ssh(400), at...)
				for i := range b {
					b[i].srcPort = s.other()
				}
				s.send(b[0], b[1], a[0], a[1], a[2])
			}},
		{Name: "segments trickled over 50 s", Class: class, Source: both, Reasons: []reason.Reason{reason.FrameTimeout},
			Expects: "The frame is dropped in time; what comes late completes nothing.", Send: func(s *Script) {
				for _, p := range cut(1, fill(s, 0), at...) {
					s.send(p)
					s.wait(25 * time.Second)
				}
			}},
	}
}
