package firewall

import (
	"bytes"
	"fmt"
	"testing"
	"time"

	"github.com/google/gopacket/layers"

	"sttwall/inspect"
	"sttwall/policy"
	"sttwall/reason"
	"sttwall/reassembly"
	"sttwall/stt"
)

// script reads choices for a fuzz target from its input.
type script struct{ b []byte }

func (s *script) next() int {
	if len(s.b) == 0 {
		return 0
	}
	v := s.b[0]
	s.b = s.b[1:]
	return int(v)
}

func (s *script) done() bool { return len(s.b) == 0 }

// firsts are the inner packets of which a first fragment has been delivered.
type firsts map[string]bool

// allowed asks the layers below about one STT frame, without the core. A later
// fragment is allowed behind its first one.
func (seen firsts) allowed(p *policy.Policy, frame []byte) bool {
	var h stt.FrameHeader
	if !h.Decode(frame) || h.Version != 0 || h.ChecksumPartial() && h.ChecksumVerified() {
		return false
	}
	inner := frame[stt.FrameHeaderLen:]
	var f inspect.Frame
	if f.Decode(inner, len(inner), h.TCI, inspect.Tagged(h.TCI != 0)) != reason.None {
		return false
	}
	key := fmt.Sprint(h.ContextID, f.Src, f.Dst, f.Protocol, f.Fragment.ID)
	if f.Fragmented && f.Fragment.Offset > 0 {
		return seen[key]
	}
	ok := p.Evaluate(&policy.Packet{ContextID: h.ContextID, Frame: &f}).Action == policy.Accept
	if f.Fragmented {
		seen[key] = ok
	}
	return ok
}

// FuzzFirewall sends packets that the input makes out of a few frames, whole,
// cut, out of order, doubled, damaged, and holds: every packet gets exactly
// one verdict; what is held stays within bounds; what leaves is canonical; and
// what a receiver makes of what left is a frame that went in and is allowed.
func FuzzFirewall(f *testing.F) {
	f.Add([]byte{0, 0, 0, 1, 0, 0, 2, 0, 0})
	f.Add([]byte("\x03\x05\x10\x03\x05\x11\x03\x05\x12\x03\x05\x13"))
	f.Add([]byte{9, 1, 0, 9, 1, 1, 9, 1, 2, 200, 7, 7, 9, 1, 3})
	f.Add(bytes.Repeat([]byte{40, 3, 1, 90, 250}, 20))
	// Inner fragments: in order, the first last, of a packet that is denied, in
	// segments, a second first, time between them.
	f.Add([]byte{7, 0, 0, 0, 0, 0, 8, 0, 1, 0, 0, 0, 9, 0, 2, 0, 0, 0})
	f.Add([]byte{9, 0, 0, 0, 0, 0, 8, 0, 1, 0, 0, 0, 7, 0, 2, 0, 0, 0})
	f.Add([]byte{11, 0, 0, 0, 0, 0, 10, 0, 1, 0, 0, 0, 7, 0, 2, 0, 0, 0, 12, 0, 3, 0, 0, 0})
	f.Add([]byte{8, 0, 0, 6, 1, 0, 8, 0, 0, 6, 0, 0, 7, 0, 2, 0, 0, 0, 13, 0, 3, 0, 0, 5, 3, 9, 0, 1, 0, 0, 0})

	tcp := innerTCP(f, 1000, 80, 500)
	part, partHeader := partial(tcp, 200, 536)
	marker := func(h stt.FrameHeader, inner []byte) []byte { return sttFrame(h, inner) }
	frames := [][]byte{
		marker(stt.FrameHeader{ContextID: 100}, tcp),
		marker(stt.FrameHeader{ContextID: 200}, tcp),
		marker(partHeader, part),
		marker(stt.FrameHeader{ContextID: 200}, innerTCP(f, 1000, 22, 500)),
		marker(stt.FrameHeader{ContextID: 999}, tcp),
		marker(stt.FrameHeader{ContextID: 100, TCI: 0x2a, Reserved: 3}, innerUDP(f, 300)),
		marker(stt.FrameHeader{ContextID: 100}, innerARP(f)),
	}
	pass := datagram{protocol: layers.IPProtocolUDP, size: 900, mtu: 304, id: 1}
	deny := datagram{protocol: layers.IPProtocolTCP, size: 500, mtu: 304, id: 2, port: 22}
	for _, inner := range pass.fragments(f) { // 7 to 9
		frames = append(frames, marker(stt.FrameHeader{ContextID: 100}, inner))
	}
	for _, inner := range deny.fragments(f) { // 10 and 11
		frames = append(frames, marker(stt.FrameHeader{ContextID: 200}, inner))
	}
	frames = append(frames, marker(stt.FrameHeader{ContextID: 100}, deny.fragments(f)[1]),
		marker(stt.FrameHeader{ContextID: 100}, datagram{protocol: layers.IPProtocolUDP, port: 9, size: 900, mtu: 304, id: 1}.fragments(f)[0]))
	config := reassembly.Config{Memory: 1 << 20, Frames: 6, SourceFrames: 4, Packets: 12, SourcePackets: 9, Tombstones: 8, SourceTombstones: 5}
	hold := HoldConfig{Packets: 8, SourcePackets: 6, Memory: 8 << 10, SourceMemory: 6 << 10}
	rules := compile(f, testRules)
	f.Fuzz(func(t *testing.T, input []byte) {
		b := newBench(t, benchConfig{bits: 12, reassembly: config, hold: hold})
		s := &script{input}
		verdicts := map[uint64]int{}
		packets := map[uint64][]byte{}
		var model receiver
		delivered := firsts{}
		var id uint64

		take := func() {
			for _, v := range b.out.List {
				verdicts[v.ID]++
				if v.Action == Drop {
					continue
				}
				data := packets[v.ID]
				if v.Payload != nil {
					data = v.Payload
				}
				var seg stt.Segment
				if r := seg.Decode(data, len(data), []uint16{stt.Port}); r != reason.None || !seg.Canonical() || !seg.ChecksumGood(data) && !seg.ChecksumIsPseudo() {
					t.Fatalf("packet %d left as %x: %v", v.ID, data, r)
				}
				if frame := model.take(data); frame != nil && !delivered.allowed(rules, frame) {
					t.Fatalf("packet %d delivered a frame that is not allowed: %x", v.ID, frame)
				}
			}
			b.out.Reset()
			held := b.fw.Held()
			if held.Bytes+held.Idle > config.Memory || held.Frames > config.Frames || held.Packets > config.Packets || held.Tombstones > config.Tombstones ||
				held.FragmentPackets > hold.SourcePackets || held.FragmentMemory > hold.SourceMemory {
				t.Fatalf("bounds: %+v", held)
			}
		}

		for !s.done() && id < 300 {
			id++
			frame := frames[s.next()%len(frames)]
			p := path()
			p.SrcPort += uint16(s.next() % 3 / 2)
			frameID := uint32(s.next() % 4)
			// Cut at one of a few places, whatever they are.
			size := []int{len(frame), 18, 40, 71, 80, 200, 300}[s.next()%7]
			at := s.next() % (len(frame)/size + 1) * size
			piece := stt.Piece{FrameID: frameID, FrameLength: len(frame), Offset: at, Payload: frame[min(at, len(frame)):min(at+size, len(frame))]}
			packet := Packet{ID: id}
			op := s.next()
			if op%16 == 1 {
				packet.GSO, packet.Checksum = true, ChecksumPartial
				piece.Checksum = stt.ChecksumPartial
			}
			data := stt.AppendSegment(nil, &p, &piece)
			switch op % 16 {
			case 2:
				where, what := s.next(), byte(s.next())
				data = remake(data, func(b []byte) { b[20+where%(len(b)-20)] ^= what })
			case 3:
				data[s.next()%len(data)] ^= byte(1 + s.next())
			case 4:
				data = data[:s.next()%len(data)]
			case 5:
				b.now += int64(s.next()) * int64(100*time.Millisecond)
			}
			packet.Data, packet.Length = data, len(data)
			packets[id] = bytes.Clone(data)
			expectedKey(b.shared.current.Load(), &packet)
			b.fw.Process(b.now, &packet, &b.out)
			// The packet was borrowed.
			clear(data)
			take()
		}
		b.fw.Flush(&b.out)
		take()
		for n := uint64(1); n <= id; n++ {
			if verdicts[n] != 1 {
				t.Fatalf("packet %d got %d verdicts", n, verdicts[n])
			}
		}
		if held := b.fw.Held(); held.Frames != 0 || held.Packets != 0 || held.Bytes != 0 || held.FragmentPackets != 0 || held.FragmentMemory != 0 {
			t.Fatalf("still held: %+v", held)
		}
	})
}
