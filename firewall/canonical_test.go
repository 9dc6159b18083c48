package firewall

import (
	"encoding/binary"
	"testing"

	"sttwall/reason"
	"sttwall/stt"
)

const tenantAll = `
tenant "all" {
  context_ids    = [100]
  default_action = "accept"
}
`

const linuxRules = "settings {\n  receivers = \"linux\"\n}\n" + tenantAll

// Each case is a frame that came, and what its frame header and first packet
// are when it leaves; nil changes mean that it leaves as it came.
func TestWhatLeavesIsCanonical(t *testing.T) {
	tcp := innerTCP(t, 1000, 80, 3000)
	arp := innerARP(t)
	udp := innerUDP(t, 100)
	marked := inner4(t, 0xb8) // inner DSCP EF
	type header = stt.FrameHeader
	complete := header{ContextID: 100}
	partialTCP, partialHeader := partial(tcp, 100, 1448)
	partialUDP, udpHeader := partial(udp, 100, 0)

	tests := []struct {
		name   string
		rules  string
		inner  []byte
		header header
		packet func(b []byte) // changes the packet that comes
		want   *header        // nil: as it came
		check  func(t *testing.T, b []byte, s *stt.Segment)
	}{
		{name: "a complete checksum leaves as it came", inner: tcp, header: complete},
		{name: "a partial checksum with MSS leaves as it came", inner: partialTCP, header: partialHeader},
		{name: "partial UDP leaves as it came", inner: partialUDP, header: udpHeader},
		{name: "checksum verified alone stands", inner: tcp, header: header{ContextID: 100, Flags: stt.FlagChecksumVerified}},
		{name: "ARP leaves as it came", inner: arp, header: complete},
		{name: "a tag with its V bit leaves as it came", inner: tcp, header: header{ContextID: 100, TCI: 0xb02b}},

		{name: "the reserved byte becomes 0", inner: tcp, header: header{ContextID: 100, Reserved: 9}, want: &complete},
		{name: "the padding becomes 0", inner: tcp, header: header{ContextID: 100, Padding: 0xffff}, want: &complete},
		{name: "unknown flags are cleared", inner: tcp, header: header{ContextID: 100, Flags: 0xf0}, want: &complete},
		{name: "the IPv4 and TCP flags mean nothing without checksum partial", inner: tcp,
			header: header{ContextID: 100, Flags: stt.FlagIPv4 | stt.FlagTCP}, want: &complete},
		{name: "a right L4 offset without checksum partial becomes 0", inner: tcp, header: header{ContextID: 100, L4Offset: 34}, want: &complete},
		{name: "an MSS without checksum partial becomes 0", inner: tcp, header: header{ContextID: 100, MSS: 1}, want: &complete},
		{name: "an MSS that cuts nothing becomes 0", inner: partialTCP,
			header: with(partialHeader, func(h *header) { h.MSS = 3000 }), want: new(with(partialHeader, func(h *header) { h.MSS = 0 }))},
		{name: "a tag gets its V bit", inner: tcp, header: header{ContextID: 100, TCI: 0xa02b}, want: &header{ContextID: 100, TCI: 0xb02b}},
		{name: "V alone is no tag", inner: tcp, header: header{ContextID: 100, TCI: 0x1000}, want: &header{ContextID: 100}},
		{name: "V alone is no tag for Linux receivers", rules: linuxRules, inner: tcp, header: header{ContextID: 100, TCI: 0x1000}, want: &header{ContextID: 100}},
		{name: "a tag stays as it came for Linux receivers", rules: linuxRules, inner: tcp, header: header{ContextID: 100, TCI: 0xa02b}},

		{name: "a missing ACK is set", inner: tcp, header: complete, want: &complete,
			packet: func(b []byte) { b[33] = 0 },
			check: func(t *testing.T, _ []byte, s *stt.Segment) {
				if s.Flags != stt.FlagACK|stt.FlagPSH {
					t.Errorf("flags %#x", s.Flags)
				}
			}},
		{name: "another window becomes 65535", inner: tcp, header: complete, want: &complete,
			packet: func(b []byte) { b[34] = 1 },
			check: func(t *testing.T, _ []byte, s *stt.Segment) {
				if s.Window != 65535 {
					t.Errorf("window %d", s.Window)
				}
			}},
		{name: "an urgent pointer becomes 0", inner: tcp, header: complete, want: &complete,
			packet: func(b []byte) { b[39] = 1 },
			check: func(t *testing.T, _ []byte, s *stt.Segment) {
				if s.Urgent != 0 {
					t.Errorf("urgent pointer %d", s.Urgent)
				}
			}},
		{name: "reserved TCP bits become 0", inner: tcp, header: complete, want: &complete,
			packet: func(b []byte) { b[32] |= 0x0f },
			check: func(t *testing.T, _ []byte, s *stt.Segment) {
				if s.Reserved != 0 {
					t.Errorf("reserved bits %#x", s.Reserved)
				}
			}},
		{name: "no PSH leaves as it came", inner: tcp, header: complete, packet: func(b []byte) { b[33] = stt.FlagACK }},
		{name: "an outer DSCP that is not the inner one becomes it", inner: marked, header: complete, want: &complete,
			packet: func(b []byte) { b[1] = 0x28 | 1 },
			check: func(t *testing.T, _ []byte, s *stt.Segment) {
				if s.TOS != 0xb8|1 {
					t.Errorf("TOS %#x", s.TOS)
				}
			}},
		{name: "an outer DSCP around ARP becomes 0", inner: arp, header: complete, want: &complete,
			packet: func(b []byte) { b[1] = 0x28 | 2 },
			check: func(t *testing.T, _ []byte, s *stt.Segment) {
				if s.TOS != 2 {
					t.Errorf("TOS %#x", s.TOS)
				}
			}},
		{name: "the inner DSCP outside leaves as it came", inner: marked, header: complete, packet: func(b []byte) { b[1] = 0xb8 }},
		{name: "no DSCP outside leaves as it came", inner: marked, header: complete},
		{name: "any outer DSCP leaves as it came for Linux receivers", rules: linuxRules, inner: marked, header: complete, packet: func(b []byte) { b[1] = 0x28 }},
		{name: "congestion experienced leaves as it came", inner: tcp, header: complete, packet: func(b []byte) { b[1] = 3 }},
		{name: "a packet without DF leaves as it came", inner: tcp, header: complete, packet: func(b []byte) { b[6] = 0 }},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			b := newBench(t, benchConfig{rules: tt.rules})
			packet := cut(path(), 5, sttFrame(tt.header, tt.inner), 0)[0]
			if tt.packet != nil {
				packet = remake(packet, tt.packet)
			}
			left := b.one(reason.None, packet)
			if tt.want == nil {
				if !equal(left, [][]byte{packet}) || b.out.List[0].Payload != nil || b.events[0].Rewritten {
					t.Fatalf("it was rewritten: %x", left)
				}
				return
			}
			if !b.events[0].Rewritten || len(left) != 1 {
				t.Fatalf("it was not rewritten")
			}
			var s stt.Segment
			if r := s.Decode(left[0], len(left[0]), []uint16{stt.Port}); r != reason.None || !s.ChecksumGood(left[0]) {
				t.Fatalf("what left is refused: %v", r)
			}
			if s.FrameID != 5 || s.TTL != 63 || s.ID != 7 || !s.DontFragment || s.SrcPort != 40000 {
				t.Errorf("outer fields changed: %+v", s)
			}
			var h stt.FrameHeader
			h.Decode(s.Payload)
			if h != *tt.want {
				t.Errorf("got %+v, want %+v", h, *tt.want)
			}
			if string(s.Payload[stt.FrameHeaderLen:]) != string(tt.inner) {
				t.Error("the inner frame changed")
			}
			if tt.check != nil {
				tt.check(t, left[0], &s)
			}
			// What leaves once leaves a second firewall untouched.
			again := newBench(t, benchConfig{rules: tt.rules})
			if again.one(reason.None, left[0]); again.events[0].Rewritten {
				t.Error("what left is not canonical to a second firewall")
			}
		})
	}
}

func TestReencodedSegmentsHaveConsecutiveIDsAndShareCE(t *testing.T) {
	b := newBench(t, benchConfig{})
	packets := cut(path(), 5, sttFrame(stt.FrameHeader{ContextID: 100, Padding: 1}, innerTCP(t, 1, 80, 4000)), 1460)
	for i := range packets {
		packets[i] = remake(packets[i], func(p []byte) {
			binary.BigEndian.PutUint16(p[4:], uint16(1000-17*i))
			if i == 1 {
				p[1] |= 3
			}
		})
	}
	for i, p := range b.one(reason.None, packets...) {
		var s stt.Segment
		s.Decode(p, len(p), []uint16{stt.Port})
		if s.ID != 1000+uint16(i) || !s.CongestionExperienced() {
			t.Errorf("packet %d: ID %d, TOS %#x", i, s.ID, s.TOS)
		}
		if last := i == len(packets)-1; (s.Flags&stt.FlagPSH != 0) != last {
			t.Errorf("packet %d: flags %#x", i, s.Flags)
		}
	}
}

func TestSegmentsLeaveInOrderHoweverTheyCame(t *testing.T) {
	packets := cut(path(), 5, sttFrame(stt.FrameHeader{ContextID: 100}, innerTCP(t, 1, 80, 6000)), 1460)
	for _, order := range [][]int{{0, 1, 2, 3, 4}, {4, 3, 2, 1, 0}, {2, 0, 4, 1, 3}} {
		b := newBench(t, benchConfig{})
		var came [][]byte
		for _, i := range order {
			came = append(came, packets[i])
		}
		if left := b.one(reason.None, came...); !equal(left, packets) {
			t.Errorf("order %v: did not leave as it came, in order", order)
		}
	}
}

func TestAFirstSegmentTooSmallForTheHeadersIsCutAnew(t *testing.T) {
	frame := sttFrame(stt.FrameHeader{ContextID: 100}, innerTCP(t, 1, 80, 4000))
	p := path()
	var packets [][]byte
	// Headers are 18 + 14 + 20 + 20 bytes.
	for _, piece := range [][2]int{{0, 71}, {71, 1531}, {1531, 2991}, {2991, len(frame)}} {
		packets = append(packets, stt.AppendSegment(nil, &p, &stt.Piece{
			FrameID: 5, FrameLength: len(frame), Offset: piece[0], Payload: frame[piece[0]:piece[1]],
		}))
	}
	b := newBench(t, benchConfig{})
	left := b.one(reason.None, packets...)
	want := cut(path(), 5, frame, 1460)
	if !equal(left, want) {
		t.Errorf("got %d packets, want %d cut at 1460", len(left), len(want))
	}

	// One byte more, and it leaves as it came.
	packets[0] = stt.AppendSegment(nil, &p, &stt.Piece{FrameID: 6, FrameLength: len(frame), Payload: frame[:72]})
	for i, piece := range [][2]int{{72, 1531}, {1531, 2991}, {2991, len(frame)}} {
		packets[i+1] = stt.AppendSegment(nil, &p, &stt.Piece{
			FrameID: 6, FrameLength: len(frame), Offset: piece[0], Payload: frame[piece[0]:piece[1]],
		})
	}
	if left := b.one(reason.None, packets...); !equal(left, packets) {
		t.Error("72 bytes hold all headers, but it did not leave as it came")
	}
}

func TestSegmentsTooSmallForTheHeadersAreRefused(t *testing.T) {
	frame := sttFrame(stt.FrameHeader{ContextID: 100}, innerTCP(t, 1, 80, 200))
	newBench(t, benchConfig{}).one(reason.SegmentTooSmall, cut(path(), 5, frame, 71)...)

	// With a super-segment among them nobody knows how it is cut.
	p := path()
	b := newBench(t, benchConfig{})
	verdicts := b.sendAll(
		packetOf(1, stt.AppendSegment(nil, &p, &stt.Piece{FrameID: 5, FrameLength: len(frame), Payload: frame[:71]}), false),
		packetOf(2, stt.AppendSegment(nil, &p, &stt.Piece{FrameID: 5, FrameLength: len(frame), Offset: 71, Payload: frame[71:], Checksum: stt.ChecksumPartial}), true),
	)
	if len(verdicts) != 2 || b.events[0].Reason != reason.SegmentTooSmall {
		t.Errorf("got %v, %v", verdicts, b.events)
	}
}

func TestASuperSegmentIsRewrittenWithAPartialChecksum(t *testing.T) {
	b := newBench(t, benchConfig{})
	p := path()
	frame := sttFrame(stt.FrameHeader{ContextID: 100, Reserved: 1}, innerTCP(t, 1, 80, 20000))
	data := stt.AppendSegment(nil, &p, &stt.Piece{FrameID: 5, FrameLength: len(frame), Payload: frame, Checksum: stt.ChecksumPartial})
	verdicts := b.sendAll(packetOf(1, data, true))
	if len(verdicts) != 1 || verdicts[0].Payload == nil {
		t.Fatalf("got %v", verdicts)
	}
	var s stt.Segment
	if r := s.Decode(verdicts[0].Payload, len(verdicts[0].Payload), []uint16{stt.Port}); r != reason.None || !s.ChecksumIsPseudo() {
		t.Errorf("%v: checksum %#x", r, s.Checksum)
	}
}

// A sender on the firewall's own host says where an unfinished checksum is to
// be written, and a device obeys when the packet leaves.
func TestAnUnfinishedChecksumIsFinishedHere(t *testing.T) {
	p := path()
	frame := sttFrame(stt.FrameHeader{ContextID: 100}, innerTCP(t, 1, 80, 2000))
	for _, size := range []int{len(frame), 1000} {
		b := newBench(t, benchConfig{})
		var packets []Packet
		for at := 0; at < len(frame); at += size {
			data := stt.AppendSegment(nil, &p, &stt.Piece{
				FrameID: 5, FrameLength: len(frame), Offset: at, Payload: frame[at:min(at+size, len(frame))], Checksum: stt.ChecksumPartial,
			})
			packets = append(packets, Packet{ID: uint64(len(packets) + 1), Data: data, Length: len(data), Checksum: ChecksumPartial})
		}
		verdicts := b.sendAll(packets...)
		if len(verdicts) != len(packets) {
			t.Fatalf("%d verdicts for %d packets", len(verdicts), len(packets))
		}
		for _, v := range verdicts {
			var s stt.Segment
			if v.Action != Accept || s.Decode(v.Payload, len(v.Payload), []uint16{stt.Port}) != reason.None || !s.ChecksumGood(v.Payload) || s.FrameID != 5 {
				t.Errorf("packet %d of %d left as %x", v.ID, len(packets), v.Payload)
			}
		}
	}
}

func packetOf(id uint64, data []byte, gso bool) Packet {
	p := Packet{ID: id, Data: data, Length: len(data), GSO: gso}
	if gso {
		p.Checksum = ChecksumPartial
	}
	return p
}

func with(h stt.FrameHeader, edit func(*stt.FrameHeader)) stt.FrameHeader {
	edit(&h)
	return h
}

// inner4 is a UDP packet with the given TOS byte.
func inner4(t *testing.T, tos uint8) []byte {
	b := innerUDP(t, 20)
	b[15] = tos
	binary.BigEndian.PutUint16(b[24:], 0)
	binary.BigEndian.PutUint16(b[24:], stt.Checksum(b[14:34]))
	return b
}
