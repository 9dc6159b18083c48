package firewall

import (
	"bytes"
	"encoding/binary"
	"testing"
	"time"

	"github.com/google/gopacket/layers"

	"sttwall/reason"
	"sttwall/reassembly"
	"sttwall/stt"
)

// provoke holds for every reason packets that are dropped for it.
var provoke = map[reason.Reason]func(t *testing.T) *bench{
	reason.NotSTT: packetCase(func(b []byte) []byte { return remake(b, func(b []byte) { b[22]++ }) }),
	reason.CopyTooShort: func(t *testing.T) *bench {
		b := newBench(t, benchConfig{})
		data := onePacket(t)
		b.sendAll(Packet{ID: 1, Data: data[:100], Length: len(data)})
		return b
	},
	reason.OuterMalformed:  packetCase(func(b []byte) []byte { return b[:len(b)-1] }),
	reason.OuterOptions:    packetCase(withOptions),
	reason.OuterFragment:   packetCase(func(b []byte) []byte { return remake(b, func(b []byte) { b[6] = 0x20 }) }),
	reason.OuterIPChecksum: packetCase(func(b []byte) []byte { b[10]++; return b }),
	reason.EndpointUnknown: packetCase(func(b []byte) []byte { return remake(b, func(b []byte) { b[12] = 203 }) }),

	reason.SegmentMalformed: packetCase(func(b []byte) []byte { return remake(b, func(b []byte) { b[32] = 0x60 }) }),
	reason.SegmentFlags:     packetCase(func(b []byte) []byte { return remake(b, func(b []byte) { b[33] |= stt.FlagSYN }) }),
	reason.SegmentChecksum:  packetCase(func(b []byte) []byte { b[36]++; return b }),
	reason.SegmentEmpty:     piecesCase([2]int{0, 0}),
	reason.SegmentPastEnd: packetCase(func(b []byte) []byte {
		return remake(b, func(b []byte) { binary.BigEndian.PutUint16(b[24:], uint16(len(b)-41)) })
	}),
	reason.SegmentTooSmall: piecesCase([2]int{5, 100}),

	reason.SegmentDuplicate: piecesCase([2]int{0, 100}, [2]int{0, 100}),
	reason.SegmentOverlap:   piecesCase([2]int{0, 100}, [2]int{99, 160}),
	reason.FrameLengthChanged: func(t *testing.T) *bench {
		b := newBench(t, benchConfig{})
		f := sttFrame(stt.FrameHeader{ContextID: 100}, innerUDP(t, 100))
		b.send(cut(path(), 5, f, 100)[0], cut(path(), 5, append(f, 0), 100)[1])
		return b
	},
	reason.SourcePortChanged: func(t *testing.T) *bench {
		b := newBench(t, benchConfig{})
		f := sttFrame(stt.FrameHeader{ContextID: 100}, innerUDP(t, 100))
		other := path()
		other.SrcPort++
		b.send(cut(path(), 5, f, 100)[0], cut(other, 5, f, 100)[1])
		return b
	},
	reason.DestinationPortChanged: func(t *testing.T) *bench {
		b := newBench(t, benchConfig{rules: "settings {\n  stt_ports = [7471, 7472]\n}\n" + tenantAll})
		f := sttFrame(stt.FrameHeader{ContextID: 100}, innerUDP(t, 100))
		other := path()
		other.DstPort++
		b.send(cut(path(), 5, f, 100)[0], cut(other, 5, f, 100)[1])
		return b
	},
	reason.FrameTimeout: func(t *testing.T) *bench {
		b := piecesCase([2]int{0, 100})(t)
		deadline, ok := b.fw.NextDeadline()
		if !ok {
			t.Fatal("nothing is held")
		}
		b.fw.Expire(deadline, &b.out)
		return b
	},
	reason.FrameIncomplete: func(t *testing.T) *bench {
		b := piecesCase([2]int{0, 100})(t)
		b.fw.Flush(&b.out)
		return b
	},
	reason.SourceShareFull: func(t *testing.T) *bench {
		b := newBench(t, benchConfig{reassembly: reassembly.Config{Frames: 4, SourceFrames: 1}})
		f := sttFrame(stt.FrameHeader{ContextID: 100}, innerUDP(t, 100))
		b.send(cut(path(), 5, f, 100)[0], cut(path(), 6, f, 100)[0])
		b.fw.Flush(&b.out)
		return b
	},
	reason.ReassemblyFull: func(t *testing.T) *bench {
		b := newBench(t, benchConfig{reassembly: reassembly.Config{Frames: 2, SourceFrames: 2}})
		f := sttFrame(stt.FrameHeader{ContextID: 100}, innerUDP(t, 100))
		back := path()
		back.Src, back.Dst = back.Dst, back.Src
		b.send(cut(path(), 5, f, 100)[0], cut(path(), 6, f, 100)[0], cut(back, 7, f, 100)[0])
		b.fw.Flush(&b.out)
		return b
	},

	reason.FrameTooShort: frameCase(stt.FrameHeader{ContextID: 100}, func(t *testing.T) []byte { return make([]byte, 13) }),
	reason.FrameVersion:  frameCase(stt.FrameHeader{ContextID: 100, Version: 1}, udp),
	reason.FrameFlags: frameCase(stt.FrameHeader{ContextID: 100, L4Offset: 34,
		Flags: stt.FlagChecksumPartial | stt.FlagChecksumVerified | stt.FlagIPv4}, udp),
	reason.L4OffsetMismatch: frameCase(stt.FrameHeader{ContextID: 100, L4Offset: 35}, udp),
	reason.PartialFlags:     partialCase(func(h *stt.FrameHeader, _ []byte) { h.Flags ^= stt.FlagTCP }),
	reason.PartialLength:    partialCase(func(_ *stt.FrameHeader, b []byte) { b[39]-- }),
	reason.PartialChecksum:  partialCase(func(_ *stt.FrameHeader, b []byte) { b[41]++ }),
	reason.MSSInvalid:       partialCase(func(h *stt.FrameHeader, _ []byte) { h.MSS = 1000 }),

	reason.InnerTruncated: innerCase(func(b []byte) []byte { return b[:30] }),
	reason.InnerVLANDepth: innerCase(func(b []byte) []byte {
		tag := []byte{0x81, 0, 0, 1}
		return bytes.Join([][]byte{b[:12], tag, tag, tag, b[12:]}, nil)
	}),
	reason.InnerLLC:      innerCase(func(b []byte) []byte { b[12], b[13] = 0, 60; return b }),
	reason.InnerIPHeader: innerCase(func(b []byte) []byte { b[14] = 0x44; return b }),
	reason.InnerLength:   innerCase(func(b []byte) []byte { b[16] = 0xff; return b }),
	reason.InnerExtension: innerCase(func(b []byte) []byte {
		// IPv6 whose destination options are longer than the packet.
		b[12], b[13] = 0x86, 0xdd
		b[14], b[18], b[19], b[20] = 0x60, 0, 16, 60
		b[55] = 200
		return b
	}),
	reason.InnerSourceRoute: innerCase(func(b []byte) []byte {
		// A loose source route with one address to go.
		b = bytes.Join([][]byte{b[:34], {131, 7, 4, 10, 9, 9, 9, 0}, b[34:]}, nil)
		b[14] = 0x47
		binary.BigEndian.PutUint16(b[16:], uint16(len(b)-14))
		return b
	}),
	reason.InnerFragment:  innerCase(func(b []byte) []byte { b[16], b[17], b[20] = 0, 36, 0x20; return b[:14+36] }),
	reason.InnerTCPOffset: innerCase(func(b []byte) []byte { b[46] = 0x40; return b }),
	reason.InnerTCPFlags:  innerCase(func(b []byte) []byte { b[47] = 0x03; return b }),
	reason.InnerARP:       frameCase(stt.FrameHeader{ContextID: 100}, func(t *testing.T) []byte { return innerARP(t)[:30] }),

	reason.ContextReserved: stateCase(deny{context: 1<<63 | 7}, "udp 10.0.0.1:1 > 10.0.0.2:2"),
	reason.TenantEndpoint:  stateCase(deny{context: 500}, "udp 10.0.0.1:1 > 10.0.0.2:2 from 192.0.2.9"),
	reason.BindingDeclared: spoofCase(200, "udp 10.0.0.6:1 > 10.0.0.2:2 from 192.0.2.1"),
	reason.BindingLearned:  spoofCase(100, "udp 10.0.0.1:1 > 10.0.0.2:53 from 192.0.2.1", "udp 10.0.0.1:2 > 10.0.0.2:53 from 192.0.2.2"),
	reason.RuleReject:      stateCase(deny{context: 400}, "tcp 10.0.0.1:1 > 10.0.0.2:113 syn"),
	reason.RateLimit:       stateCase(deny{context: 400}, "udp 10.0.0.1:1 > 10.0.0.2:10", "udp 10.0.0.1:2 > 10.0.0.2:10"),
	reason.StateInvalid:    stateCase(deny{context: 400}, "tcp 10.0.0.1:1 > 10.0.0.2:80 ack"),
	reason.FlowEndpoint: stateCase(deny{context: 400}, "udp 10.0.0.1:1 > 10.0.0.2:53 from 192.0.2.1 to 192.0.2.2",
		"udp 10.0.0.2:53 > 10.0.0.1:1 from 192.0.2.3"),
	reason.TCPWindow:     stateCase(deny{context: 400}, "tcp 10.0.0.1:1 > 10.0.0.2:80 syn seq 1 from 192.0.2.1 to 192.0.2.2", "tcp 10.0.0.2:80 > 10.0.0.1:1 syn ack seq 9 ack-number 7 from 192.0.2.2 to 192.0.2.1"),
	reason.TCPReset:      stateCase(deny{context: 400}, "tcp 10.0.0.1:1 > 10.0.0.2:80 syn seq 1", "tcp 10.0.0.1:1 > 10.0.0.2:80 rst seq 77"),
	reason.TCPSyn:        stateCase(deny{context: 400}, "tcp 10.0.0.1:1 > 10.0.0.2:80 syn seq 1 from 192.0.2.1 to 192.0.2.2", "tcp 10.0.0.2:80 > 10.0.0.1:1 syn ack seq 9 ack-number 2 from 192.0.2.2 to 192.0.2.1", "tcp 10.0.0.1:1 > 10.0.0.2:80 ack seq 2 ack-number 10 from 192.0.2.1 to 192.0.2.2", "tcp 10.0.0.1:1 > 10.0.0.2:80 syn seq 99 from 192.0.2.1 to 192.0.2.2"),
	reason.TenantFlows:   stateCase(deny{context: 600}, "udp 10.0.0.1:1 > 10.0.0.2:1", "udp 10.0.0.2:1 > 10.0.0.3:1", "tcp 10.0.0.3:1 > 10.0.0.4:1 syn", "udp 10.0.0.4:1 > 10.0.0.3:1"),
	reason.SourceFlows:   stateCase(deny{context: 600}, "udp 10.0.0.1:1 > 10.0.0.2:1", "udp 10.0.0.1:2 > 10.0.0.3:1"),
	reason.HalfOpenLimit: stateCase(deny{context: 600}, "tcp 10.0.0.1:1 > 10.0.0.2:1 syn", "tcp 10.0.0.2:1 > 10.0.0.3:1 syn"),
	reason.EndpointFlows: stateCase(deny{context: 400, flows: 4},
		"udp 10.0.0.1:1 > 10.0.0.2:53 from 192.0.2.1 to 192.0.2.2", "udp 10.0.0.2:53 > 10.0.0.1:1 from 192.0.2.2 to 192.0.2.1",
		"udp 10.0.0.1:2 > 10.0.0.2:53 from 192.0.2.1 to 192.0.2.2", "udp 10.0.0.2:53 > 10.0.0.1:2 from 192.0.2.2 to 192.0.2.1",
		"udp 10.0.0.1:3 > 10.0.0.2:53 from 192.0.2.1 to 192.0.2.2", "udp 10.0.0.2:53 > 10.0.0.1:3 from 192.0.2.2 to 192.0.2.1",
		"udp 10.0.0.1:4 > 10.0.0.2:53 from 192.0.2.1 to 192.0.2.2"),
	reason.FlowTableFull: stateCase(deny{context: 400, flows: 1}, "udp 10.0.0.1:1 > 10.0.0.2:53 from 192.0.2.1 to 192.0.2.2", "udp 10.0.0.2:53 > 10.0.0.1:1 from 192.0.2.2 to 192.0.2.1", "udp 10.0.0.1:2 > 10.0.0.2:53"),

	reason.ContextUnknown: frameCase(stt.FrameHeader{ContextID: 999}, udp),
	reason.RuleDrop:       frameCase(stt.FrameHeader{ContextID: 200}, func(t *testing.T) []byte { return innerTCP(t, 1, 22, 10) }),
	reason.TenantDefault:  frameCase(stt.FrameHeader{ContextID: 200}, udp),

	reason.FragmentFirstMissing: func(t *testing.T) *bench {
		b := fragmentCase(t, HoldConfig{}, innerFragment(t, 1, 8, 53))
		b.now += int64(DefaultHoldWait)
		b.fw.Expire(b.now, &b.out)
		return b
	},
	reason.InternalError: func(t *testing.T) *bench {
		b := newBench(t, benchConfig{panicked: func(*Panic) {}, fault: func(s Stage) {
			if s == StageFlow {
				panic("a mistake")
			}
		}})
		b.send(onePacket(t))
		return b
	},
	reason.FragmentHoldFull: func(t *testing.T) *bench {
		b := fragmentCase(t, HoldConfig{Memory: 1}, innerFragment(t, 1, 8, 53))
		return b
	},
	reason.FragmentOverlap: func(t *testing.T) *bench {
		sctp := datagram{context: 400, port: 9, protocol: layers.IPProtocolSCTP}
		b := fragmentCase(t, HoldConfig{}, sctp.fragments(t)[0], sctp.fragment(t, layers.IPProtocolSCTP, 8, make([]byte, 16), true))
		b.primed = 1
		return b
	},
	reason.FragmentConflict: func(t *testing.T) *bench {
		b := fragmentCase(t, HoldConfig{}, innerFragment(t, 1, 0, 53), innerFragment(t, 1, 0, 54))
		b.primed = 1
		return b
	},

	reason.FrameIDExhausted: func(t *testing.T) *bench {
		b := newBench(t, benchConfig{bits: minFrameIDBits})
		for i := range b.fw.ids.maps[2] { // of the window before
			b.fw.ids.maps[2][i].Store(^uint64(0))
		}
		b.send(cut(path(), 5, sttFrame(stt.FrameHeader{ContextID: 100}, innerUDP(t, 100)), 100)...)
		return b
	},
}

func TestEveryReasonIsProvokedCountedOnceAndLetsNothingOut(t *testing.T) {
	for r := reason.None + 1; r < reason.Count; r++ {
		t.Run(r.String(), func(t *testing.T) {
			make, ok := provoke[r]
			if !ok {
				t.Fatal("no packet provokes it")
			}
			b := make(t)
			c := b.fw.Counters()
			if got := c.Reasons[r].Load(); got != 1 {
				for other := range reason.Count {
					if n := c.Reasons[other].Load(); n > 0 {
						t.Logf("%v: %d", other, n)
					}
				}
				t.Fatalf("counted %d times, want 1", got)
			}
			if first, last := c.FirstDropped[r].Load(), c.LastDropped[r].Load(); first == 0 || first != last {
				t.Errorf("dropped once, at %d and at %d", first, last)
			}
			var all uint64
			for other := range c.DroppedBytes {
				all += c.DroppedBytes[other].Load()
			}
			if whole := b.primed == 0 && c.LatePackets.Load() == 0; c.DroppedBytes[r].Load() == 0 || all > c.Bytes.Load() || whole && all != c.Bytes.Load() {
				t.Errorf("%d bytes, %d for all reasons, of %d", c.DroppedBytes[r].Load(), all, c.Bytes.Load())
			}
			for _, v := range b.out.List {
				if v.Action != Drop {
					t.Errorf("packet %d left", v.ID)
				}
			}
			if c.PacketsAccepted.Load() != b.primed || c.FramesAccepted.Load() != b.primed || len(b.out.List) == 0 ||
				c.PacketsDropped.Load() != uint64(len(b.out.List)) {
				t.Errorf("accepted %d frames; dropped %d of %d packets", c.FramesAccepted.Load(), c.PacketsDropped.Load(), len(b.out.List))
			}
		})
	}
}

func TestSegmentsBehindADroppedFrameAreLateNotCountedAgain(t *testing.T) {
	b := piecesCase([2]int{0, 100}, [2]int{50, 120})(t)
	late := b.send(cut(path(), 5, sttFrame(stt.FrameHeader{ContextID: 100}, innerUDP(t, 100)), 100)[1])
	c := b.fw.Counters()
	if len(late) != 1 || late[0].Action != Drop || c.LatePackets.Load() != 1 || c.Reasons[reason.SegmentOverlap].Load() != 1 {
		t.Errorf("verdicts %v, late %d, overlaps %d", late, c.LatePackets.Load(), c.Reasons[reason.SegmentOverlap].Load())
	}
}

func TestABadChecksumDoesNotSpoilTheFrame(t *testing.T) {
	b := newBench(t, benchConfig{})
	packets := cut(path(), 5, sttFrame(stt.FrameHeader{ContextID: 100}, innerUDP(t, 100)), 100)
	bad := bytes.Clone(packets[1])
	bad[len(bad)-1]++
	verdicts := b.send(packets[0], bad, packets[1])
	if left := leaving([][]byte{packets[0], bad, packets[1]}, verdicts); !equal(left, packets) {
		t.Errorf("%d packets left", len(left))
	}
}

func TestACutPacketLeavesOnlyAsItCame(t *testing.T) {
	whole := onePacket(t)
	short := whole[:40+stt.FrameHeaderLen+42]
	for _, tt := range []struct {
		name  string
		edit  func(b []byte)
		sum   ChecksumState
		guard time.Duration
		gso   bool
		want  reason.Reason
	}{
		{"verified by the kernel", nil, ChecksumGood, 0, false, reason.None},
		{"a super-segment", nil, ChecksumPartial, 0, true, reason.None},
		{"with a checksum that is still to be written", nil, ChecksumPartial, 0, false, reason.CopyTooShort},
		{"with a checksum that nobody verified", nil, ChecksumUnverified, 0, false, reason.CopyTooShort},
		{"that would need another header", func(b []byte) { b[40+3] = 1 }, ChecksumGood, 0, false, reason.CopyTooShort},
		{"that would need another frame ID", nil, ChecksumPartial, time.Minute, true, reason.CopyTooShort},
	} {
		t.Run(tt.name, func(t *testing.T) {
			b := newBench(t, benchConfig{guard: tt.guard})
			data := bytes.Clone(short)
			if tt.edit != nil {
				tt.edit(data)
			}
			v := b.sendAll(Packet{ID: 1, Data: data, Length: len(whole), Checksum: tt.sum, GSO: tt.gso})
			if len(v) != 1 || (v[0].Action == Accept) != (tt.want == reason.None) || v[0].Payload != nil {
				t.Fatalf("verdicts %v", v)
			}
			if tt.want != reason.None && b.fw.Counters().Reasons[tt.want].Load() != 1 {
				t.Errorf("not counted as %v", tt.want)
			}
		})
	}
}

func onePacket(t *testing.T) []byte {
	return cut(path(), 5, sttFrame(stt.FrameHeader{ContextID: 100}, innerUDP(t, 100)), 0)[0]
}

func packetCase(edit func(b []byte) []byte) func(t *testing.T) *bench {
	return func(t *testing.T) *bench {
		b := newBench(t, benchConfig{})
		b.send(edit(bytes.Clone(onePacket(t))))
		return b
	}
}

// piecesCase sends parts of one frame.
func piecesCase(pieces ...[2]int) func(t *testing.T) *bench {
	return func(t *testing.T) *bench {
		b := newBench(t, benchConfig{})
		frame := sttFrame(stt.FrameHeader{ContextID: 100}, innerUDP(t, 200))
		p := path()
		var packets [][]byte
		for _, piece := range pieces {
			packets = append(packets, stt.AppendSegment(nil, &p, &stt.Piece{
				FrameID: 5, FrameLength: len(frame), Offset: piece[0], Payload: frame[piece[0]:piece[1]],
			}))
		}
		b.send(packets...)
		return b
	}
}

func frameCase(h stt.FrameHeader, inner func(t *testing.T) []byte) func(t *testing.T) *bench {
	return func(t *testing.T) *bench {
		b := newBench(t, benchConfig{})
		b.send(cut(path(), 5, sttFrame(h, inner(t)), 0)...)
		return b
	}
}

func innerCase(edit func(b []byte) []byte) func(t *testing.T) *bench {
	return func(t *testing.T) *bench {
		b := newBench(t, benchConfig{})
		b.send(cut(path(), 5, sttFrame(stt.FrameHeader{ContextID: 100}, edit(innerTCP(t, 1, 80, 100))), 0)...)
		return b
	}
}

// partialCase is a UDP packet with a partial checksum and something wrong.
func partialCase(edit func(h *stt.FrameHeader, inner []byte)) func(t *testing.T) *bench {
	return func(t *testing.T) *bench {
		b := newBench(t, benchConfig{})
		frame, h := partial(innerUDP(t, 100), 100, 0)
		edit(&h, frame)
		b.send(cut(path(), 5, sttFrame(h, frame), 0)...)
		return b
	}
}

// fragmentCase sends inner fragments of which the last is dropped.
func fragmentCase(t *testing.T, hold HoldConfig, fragments ...[]byte) *bench {
	b := newBench(t, benchConfig{rules: fragmentRules, hold: hold})
	for _, inner := range fragments {
		b.send(datagram{context: 400}.packet(endpointA, inner))
	}
	return b
}

// innerFragment is a fragment of a UDP packet.
func innerFragment(t *testing.T, id uint32, at int, port uint16) []byte {
	d := datagram{id: id, port: port}
	return d.fragment(t, layers.IPProtocolUDP, at, d.l4(t)[:1200], true)
}

func udp(t *testing.T) []byte { return innerUDP(t, 100) }

func withOptions(b []byte) []byte {
	b = append(bytes.Clone(b[:20]), append([]byte{1, 1, 1, 0}, b[20:]...)...)
	b[0] = 0x46
	binary.BigEndian.PutUint16(b[2:], uint16(len(b)))
	return b
}
