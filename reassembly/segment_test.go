package reassembly

import (
	"net/netip"
	"testing"

	"github.com/google/go-cmp/cmp"

	"sttwall/reason"
)

// TestASegmentThatContradictsItsFrameDropsAllOfIt sends held segments and
// then one that cannot be part of their frame.
func TestASegmentThatContradictsItsFrameDropsAllOfIt(t *testing.T) {
	held := []Segment{piece(1, 40, 60), piece(2, 20, 30)}
	for _, tt := range []struct {
		name string
		held []Segment
		last Segment
		want reason.Reason
	}{
		{"the same segment again", held, piece(9, 40, 60), reason.SegmentDuplicate},
		{"the same range with other bytes", held,
			with(piece(9, 40, 60), func(s *Segment) { s.Payload = make([]byte, 20) }), reason.SegmentDuplicate},
		{"a part of a segment again", held, piece(9, 45, 50), reason.SegmentOverlap},
		{"a segment that starts like another", held, piece(9, 40, 50), reason.SegmentOverlap},
		{"a segment that ends like another", held, piece(9, 50, 60), reason.SegmentOverlap},
		{"one byte into the next", held, piece(9, 30, 41), reason.SegmentOverlap},
		{"one byte into the one before", held, piece(9, 59, 70), reason.SegmentOverlap},
		{"over two segments and the gap", held, piece(9, 19, 80), reason.SegmentOverlap},
		{"all but the last byte when a part is there", held, piece(9, 0, 99), reason.SegmentOverlap},
		{"a longer frame", held, pieceOf(9, 101, 60, 101), reason.FrameLengthChanged},
		{"a shorter frame", held, pieceOf(9, 99, 60, 99), reason.FrameLengthChanged},
		{"another source port", held,
			with(piece(9, 60, 70), func(s *Segment) { s.SrcPort++ }), reason.SourcePortChanged},
		{"another destination port", held,
			with(piece(9, 60, 70), func(s *Segment) { s.DstPort++ }), reason.DestinationPortChanged},
		{"no payload", held, piece(9, 60, 60), reason.SegmentEmpty},
		{"past the end by one byte", held,
			with(piece(9, 60, 100), func(s *Segment) { s.Offset++ }), reason.SegmentPastEnd},
		{"at the end", held,
			with(piece(9, 0, 1), func(s *Segment) { s.Offset = 100 }), reason.SegmentPastEnd},
		{"far behind the end", held,
			with(piece(9, 0, 100), func(s *Segment) { s.Offset = 65535 }), reason.SegmentPastEnd},
		{"a negative offset", held,
			with(piece(9, 0, 100), func(s *Segment) { s.Offset = -1 }), reason.SegmentPastEnd},
		{"a start in the frame header", held, piece(9, 1, 20), reason.SegmentTooSmall},
		{"a start at its last byte", held, piece(9, 17, 20), reason.SegmentTooSmall},
		{"an end in the frame header", held, piece(9, 0, 17), reason.SegmentTooSmall},

		{"first of all, past the end", nil,
			with(piece(9, 60, 100), func(s *Segment) { s.Offset++ }), reason.SegmentPastEnd},
		{"first of all, a frame of no length", nil, pieceOf(9, 0, 0, 20), reason.SegmentPastEnd},
		{"first of all, a frame longer than the wire can say", nil, pieceOf(9, 65536, 0, 65536), reason.SegmentPastEnd},
		{"first of all, a negative length", nil,
			with(piece(9, 0, 20), func(s *Segment) { s.FrameLength = -1 }), reason.SegmentPastEnd},
		{"first of all, a start in the frame header", nil, piece(9, 17, 40), reason.SegmentTooSmall},
		{"first of all, an end in the frame header", nil, piece(9, 0, 17), reason.SegmentTooSmall},
		{"a frame that is shorter than its header, in two", nil, pieceOf(9, 12, 0, 6), reason.SegmentTooSmall},
		{"on the wire past the end, in the copy not", nil,
			with(piece(9, 20, 100), func(s *Segment) { s.Payload, s.Packet.Length = s.Payload[:10], 81 }), reason.SegmentPastEnd},
	} {
		t.Run(tt.name, func(t *testing.T) {
			g := newRig(t, Config{})
			var want []uint64
			for _, s := range tt.held {
				if out := g.add(0, s); out != nil {
					t.Fatalf("got %v, want it held", out)
				}
			}
			if tt.held != nil {
				want = []uint64{2, 1} // by offset
			}
			out := g.add(1, tt.last)
			if len(out) != 1 || out[0].Reason != tt.want || out[0].Late {
				t.Fatalf("got %v, want one drop as %v", out, tt.want)
			}
			if diff := cmp.Diff(append(want, 9), out[0].IDs); diff != "" {
				t.Errorf("packets dropped (-want +got):\n%s", diff)
			}
			// The rest of the frame meets the tombstone, in order or not.
			for i, s := range []Segment{piece(20, 60, 80), piece(21, 0, 99), piece(22, 3, 3)} {
				out := g.add(2, s)
				if len(out) != 1 || out[0].Reason != tt.want || !out[0].Late || len(out[0].IDs) != 1 {
					t.Errorf("late segment %d: got %v, want it dropped as %v", i, out, tt.want)
				}
			}
			g.flush()
		})
	}
}

// TestAnEmptySegmentWithNothingHeldLeavesNoTombstone: it may be an
// acknowledgment of real TCP.
func TestAnEmptySegmentWithNothingHeldLeavesNoTombstone(t *testing.T) {
	g := newRig(t, Config{})
	for i, s := range []Segment{piece(1, 0, 0), piece(2, 20, 20), pieceOf(3, 0, 0, 0)} {
		out := g.add(0, s)
		if len(out) != 1 || out[0].Reason != reason.SegmentEmpty || out[0].Late {
			t.Errorf("empty segment %d: got %v, want it refused", i, out)
		}
	}
	if got := g.r.Held(); got != (Stats{}) {
		t.Errorf("held %+v, want nothing", got)
	}
	if out := g.add(0, piece(4, 0, 50)); out != nil {
		t.Errorf("got %v, want the segment held", out)
	}
	if out := g.add(0, piece(5, 50, 100)); len(out) != 1 || out[0].Reason != reason.None {
		t.Errorf("got %v, want the frame", out)
	}
}

func TestAFrameInOnePacketComesOutWhateverIsUnderItsKey(t *testing.T) {
	for _, tt := range []struct {
		name  string
		whole Segment
	}{
		{"of the same length", piece(9, 0, 100)},
		{"of another length", pieceOf(9, 30, 0, 30)},
		{"shorter than a frame header", pieceOf(9, 12, 0, 12)},
		{"of other ports", with(piece(9, 0, 100), func(s *Segment) { s.SrcPort, s.DstPort = 1, 2 })},
		{"copied in part", with(piece(9, 0, 100), func(s *Segment) { s.Payload, s.Packet.Length = s.Payload[:40], 100 })},
	} {
		t.Run(tt.name, func(t *testing.T) {
			g := newRig(t, Config{})
			comesOut := func(now int64) {
				t.Helper()
				before := g.r.Held()
				out := g.add(now, tt.whole)
				if len(out) != 1 || out[0].Reason != reason.None || out[0].First != now ||
					out[0].Data != string(tt.whole.Payload) || !cmp.Equal(out[0].IDs, []uint64{9}) {
					t.Errorf("got %v, want the frame of packet 9 alone", out)
				}
				if got := g.r.Held(); got != before {
					t.Errorf("held %+v, before that %+v: want no change", got, before)
				}
			}
			g.add(0, piece(1, 0, 50))
			comesOut(7)
			// The frame that was held goes on.
			out := g.add(8, piece(2, 50, 100))
			if len(out) != 1 || out[0].Reason != reason.None || out[0].First != 0 ||
				out[0].Data != string(numbered(100)) || !cmp.Equal(out[0].IDs, []uint64{1, 2}) {
				t.Errorf("got %v, want the frame of packets 1 and 2", out)
			}

			g.add(8, piece(3, 0, 50))
			g.add(8, piece(4, 40, 60))
			comesOut(8)
			// The tombstone is still there for all other segments.
			if out := g.add(8, piece(5, 50, 100)); len(out) != 1 || !out[0].Late || out[0].Reason != reason.SegmentOverlap {
				t.Errorf("got %v, want it late", out)
			}
		})
	}
}

func TestOtherKeysAreOtherFrames(t *testing.T) {
	for _, tt := range []struct {
		name   string
		change func(*Segment)
	}{
		{"another frame ID", func(s *Segment) { s.FrameID++ }},
		{"another source", func(s *Segment) { s.Src = endpoint6 }},
		{"another destination", func(s *Segment) { s.Dst = endpointA }},
		{"the other direction", func(s *Segment) { s.Src, s.Dst = s.Dst, s.Src }},
		{"the IPv6 address that maps the IPv4 one", func(s *Segment) { s.Src = netip.AddrFrom16(s.Src.As16()) }},
	} {
		t.Run(tt.name, func(t *testing.T) {
			g := newRig(t, Config{})
			other := func(s Segment) Segment {
				s.Packet.ID += 10
				for i := range s.Payload {
					s.Payload[i] ^= 0xff
				}
				return with(s, tt.change)
			}
			// A third segment of the first frame would complete either.
			for _, s := range []Segment{piece(1, 0, 40), other(piece(2, 40, 80)), piece(3, 40, 80), other(piece(4, 0, 40))} {
				if out := g.add(0, s); out != nil {
					t.Fatalf("got %v, want packet %d held", out, s.Packet.ID)
				}
			}
			flipped := numbered(100)
			for i := range flipped {
				flipped[i] ^= 0xff
			}
			for _, last := range []struct {
				segment Segment
				data    []byte
				ids     []uint64
			}{
				{piece(5, 80, 100), numbered(100), []uint64{1, 3, 5}},
				{other(piece(6, 80, 100)), flipped, []uint64{14, 12, 16}},
			} {
				out := g.add(0, last.segment)
				if len(out) != 1 || out[0].Data != string(last.data) || !cmp.Equal(out[0].IDs, last.ids) {
					t.Errorf("got %v, want the frame of packets %v", out, last.ids)
				}
			}
		})
	}
}

func TestWhatTheKernelDidNotCopyIsNotMadeUp(t *testing.T) {
	cut := func(s Segment, n int) Segment {
		s.Packet.Length = len(s.Payload)
		s.Payload = s.Payload[:n]
		return s
	}
	for _, tt := range []struct {
		name     string
		segments []Segment
		known    int
	}{
		{"the only packet", []Segment{cut(piece(1, 0, 100), 30)}, 30},
		{"the only packet, its headers alone", []Segment{cut(piece(1, 0, 100), 0)}, 0},
		{"the first packet", []Segment{cut(piece(1, 0, 50), 30), piece(2, 50, 100)}, 30},
		{"the second packet", []Segment{piece(1, 0, 50), cut(piece(2, 50, 100), 3)}, 53},
		{"the second packet, which came first", []Segment{cut(piece(2, 50, 100), 3), piece(1, 0, 50)}, 53},
		{"both", []Segment{cut(piece(2, 50, 100), 3), cut(piece(1, 0, 50), 49)}, 49},
		{"nothing missing", []Segment{piece(2, 50, 100), cut(piece(1, 0, 50), 50)}, 100},
	} {
		t.Run(tt.name, func(t *testing.T) {
			g := newRig(t, Config{})
			// Leave other bytes in the buffer that will be used.
			for i, s := range []Segment{piece(98, 0, 50), piece(99, 50, 100)} {
				for j := range s.Payload {
					s.Payload[j] = 0xaa
				}
				if out := g.add(0, s); len(out) != i {
					t.Fatalf("got %v, want %d outcomes", out, i)
				}
			}
			var out []outcome
			for _, s := range tt.segments {
				out = g.add(0, s)
			}
			want := string(numbered(100)[:tt.known])
			if len(out) != 1 || out[0].Reason != reason.None {
				t.Fatalf("got %v, want the frame", out)
			}
			if out[0].Data != want {
				t.Errorf("got %x, want %x", out[0].Data, want)
			}
		})
	}
}
