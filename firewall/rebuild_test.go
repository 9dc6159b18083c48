package firewall

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"
	"time"

	"sttwall/reason"
	"sttwall/stt"
)

var rebuildRules = strings.Replace(testRules, "settings {", "settings {\n  forward = \"rebuild\"", 1)

// frameIDOf reads the frame ID of an outer IPv4 packet.
func frameIDOf(b []byte) uint32 { return binary.BigEndian.Uint32(b[28:]) }

func TestRebuildEncodesEveryAcceptedFrameAnew(t *testing.T) {
	tcp, udp := innerTCP(t, 1000, 80, 3000), innerUDP(t, 100)
	plain := stt.FrameHeader{ContextID: 100}
	pieces := func(frame []byte, ends ...int) (list [][]byte) {
		p := path()
		at := 0
		for _, end := range append(ends, len(frame)) {
			list = append(list, stt.AppendSegment(nil, &p, &stt.Piece{FrameID: 5, FrameLength: len(frame), Offset: at, Payload: frame[at:end]}))
			at = end
			p.ID += 3
		}
		return list
	}
	frame := sttFrame(plain, tcp)
	for _, tt := range []struct {
		name    string
		inner   []byte
		packets [][]byte
		sizes   []int // of the payloads that leave
	}{
		{"a frame in one packet", udp, cut(path(), 5, sttFrame(plain, udp), 0), []int{len(udp) + stt.FrameHeaderLen}},
		{"a frame as real senders cut it", tcp, cut(path(), 5, frame, 1460), []int{1460, 1460, len(frame) - 2920}},
		{"a frame that is cut unevenly", tcp, pieces(frame, 500, 501, 1000, 2400), []int{1400, 1400, len(frame) - 2800}},
		{"a frame whose last piece is the largest", tcp, pieces(frame, 200, 400), []int{len(frame) - 400, 400}},
		{"a frame whose first piece is too small", tcp, pieces(frame, 30, 1400), []int{len(frame) - 1400, 1400}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			b := newBench(t, benchConfig{rules: rebuildRules})
			left := b.one(reason.None, tt.packets...)
			if !b.events[0].Rewritten || b.fw.Counters().FramesRewritten.Load() != 1 || b.fw.Counters().FrameIDsReplaced.Load() != 1 {
				t.Error("not counted as rewritten, with a new frame ID")
			}
			var sizes []int
			var got []byte
			var r receiver
			id := frameIDOf(left[0])
			for i, p := range left {
				sizes = append(sizes, len(p)-40)
				var s stt.Segment
				if why := s.Decode(p, len(p), []uint16{stt.Port}); why != reason.None {
					t.Fatalf("packet %d: %v", i, why)
				}
				if _, good := s.Verify(p); !good || !s.Canonical() || s.FrameID != id || s.ID != 7+uint16(i) || s.TTL != 63 || s.SrcPort != 40000 {
					t.Errorf("packet %d: checksum right %v, canonical %v, frame ID %d of %d, IP ID %d, TTL %d", i, good, s.Canonical(), s.FrameID, id, s.ID, s.TTL)
				}
				if d := r.take(p); d != nil {
					got = d
				}
			}
			if fmt.Sprint(sizes) != fmt.Sprint(tt.sizes) || id == 5 || !bytes.Equal(got, sttFrame(plain, tt.inner)) {
				t.Errorf("got payloads of %v bytes, want %v, frame ID %d, and the frame is right: %v", sizes, tt.sizes, id, bytes.Equal(got, sttFrame(plain, tt.inner)))
			}
		})
	}
}

// A packet of a known flow takes the quick way, unless it has to be encoded anew.
func TestRebuildAndBackIsAReloadThatKnownFlowsFollow(t *testing.T) {
	b := newBench(t, benchConfig{})
	packet := cut(path(), 5, sttFrame(stt.FrameHeader{ContextID: 100}, innerUDP(t, 100)), 0)[0]
	for i, rules := range []string{testRules, testRules, rebuildRules, rebuildRules, testRules} {
		if b.shared.Policy().Settings().Forward.String() == "canonical" || rules == testRules {
			b.shared.SetPolicy(compile(t, rules))
		}
		for range 2 {
			v := b.send(packet)
			if want := rules == rebuildRules; v[0].Action != Accept || (v[0].Payload != nil) != want {
				t.Fatalf("after reload %d: %+v, want it anew: %v", i, v[0], want)
			}
		}
	}
}

func TestRebuildHasWholePacketsCopied(t *testing.T) {
	b := newBench(t, benchConfig{rules: rebuildRules})
	if !b.shared.ChangesPackets() {
		t.Error("packets are not copied whole")
	}
	data := onePacket(t)
	part := Packet{ID: 1, Data: data[:len(data)-20], Length: len(data), Checksum: ChecksumGood, More: true}
	if v := b.sendAll(part); v[0].Action != Again {
		t.Errorf("a part, of which there is more: %v", v[0].Action)
	}
	part.More = false
	if v := b.sendAll(part); v[0].Action != Drop || b.fw.Counters().Reasons[reason.CopyTooShort].Load() != 1 {
		t.Errorf("a part, of which there is no more: %v", v[0].Action)
	}
}

// A super-segment leaves as one, since the kernel cuts it.
func TestRebuildKeepsSuperSegments(t *testing.T) {
	b := newBench(t, benchConfig{rules: rebuildRules})
	frame := sttFrame(stt.FrameHeader{ContextID: 100}, innerTCP(t, 1000, 80, 3000))
	data := cut(path(), 5, frame, 0)[0]
	v := b.sendAll(Packet{ID: 1, Data: data, Length: len(data), Checksum: ChecksumPartial, GSO: true})
	if len(v) != 1 || v[0].Action != Accept || len(v[0].Payload) != len(data) || frameIDOf(v[0].Payload) == 5 || !bytes.Equal(v[0].Payload[40:], frame) {
		t.Errorf("%+v", v)
	}
}

// cycle is a random source that comes back to where it began.
type cycle struct{ next, length uint64 }

func (c *cycle) Uint64() uint64 {
	c.next++
	return c.next % c.length
}

func TestNoFrameIDOfRebuildComesTwiceWithin90Seconds(t *testing.T) {
	b := newBench(t, benchConfig{rules: rebuildRules})
	b.fw.random = &cycle{length: 8}
	packets := cut(path(), 5, sttFrame(stt.FrameHeader{ContextID: 100}, innerTCP(t, 1000, 80, 3000)), 1460)
	used := make(map[uint32]bool)
	for range 8 {
		id := frameIDOf(b.one(reason.None, packets...)[0])
		if used[id] {
			t.Fatalf("frame ID %d came twice", id)
		}
		used[id] = true
	}
	b.one(reason.FrameIDExhausted, packets...)
	// A frame in one packet needs none that is unused: nobody looks it up.
	if left := b.one(reason.None, onePacket(t)); frameIDOf(left[0]) >= 8 {
		t.Errorf("frame ID %d is not of the random source", frameIDOf(left[0]))
	}
	for range 2 {
		b.now += int64(90 * time.Second)
		b.fw.ids.turnAt(b.now)
	}
	b.one(reason.None, packets...)
}

func TestRebuildAllocatesNothing(t *testing.T) {
	for _, size := range []int{0, 1460, 700} {
		l := newLoadOf(t, rebuildRules, innerTCP(t, 1000, 80, 4000), size, stt.FrameHeader{ContextID: 100}, false)
		for range 3 {
			if !l.frame() || l.out.List[0].Payload == nil {
				t.Fatalf("it did not leave anew: %v", l.out.List)
			}
		}
		if got := testing.AllocsPerRun(100, func() { l.frame() }); got != 0 {
			t.Errorf("packets of %d bytes: got %v allocations, want 0", size, got)
		}
	}
}

// Whatever leaves is what the canonical way lets leave too, for random cuts of random
// frames: the same frames, decided for the same reasons.
func TestRebuildDecidesWhatTheCanonicalWayDecides(t *testing.T) {
	random := rand.New(rand.NewPCG(7, 7))
	canonical, rebuild := newBench(t, benchConfig{}), newBench(t, benchConfig{rules: rebuildRules})
	for i := range 2000 {
		h := stt.FrameHeader{ContextID: []uint64{100, 200, 300}[random.IntN(3)], Reserved: uint8(random.IntN(2)), TCI: []uint16{0, 0, 5, 0x1005}[random.IntN(4)]}
		frame := sttFrame(h, innerTCP(t, uint16(1000+i), []uint16{80, 22}[random.IntN(2)], random.IntN(3000)))
		packets := cut(path(), uint32(i), frame, []int{0, 17, 100, 600, 1460}[random.IntN(5)])
		var got [2][]byte
		for k, b := range []*bench{canonical, rebuild} {
			var r receiver
			for _, p := range leaving(packets, b.send(packets...)) {
				if d := r.take(p); d != nil {
					got[k] = d
				}
			}
		}
		a, b := canonical.events[len(canonical.events)-1], rebuild.events[len(rebuild.events)-1]
		if a.Reason != b.Reason || !bytes.Equal(got[0], got[1]) {
			t.Fatalf("frame %d: canonical %v, rebuild %v, the same frame: %v", i, a.Reason, b.Reason, bytes.Equal(got[0], got[1]))
		}
	}
}

func BenchmarkRebuild(b *testing.B) {
	for _, bm := range []struct{ frame, size int }{{150, 0}, {1500, 0}, {65000, 0}, {65000, 1460}} {
		for _, way := range []struct{ name, rules string }{{"canonical", testRules}, {"rebuild", rebuildRules}} {
			l := newLoadOf(b, way.rules, innerTCP(b, 1000, 80, bm.frame-72), bm.size, stt.FrameHeader{ContextID: 100}, false)
			b.Run(fmt.Sprintf("%s/frame=%d/packets=%d", way.name, bm.frame, len(l.packets)), func(b *testing.B) {
				b.ReportAllocs()
				b.SetBytes(int64(bm.frame))
				for b.Loop() {
					if !l.frame() {
						b.Fatal("it did not leave")
					}
				}
			})
		}
	}
}

func TestAnMSSBelowTheFloorOfTheSettingsIsDropped(t *testing.T) {
	frame, h := partial(innerTCP(t, 1000, 80, 3000), 100, 600)
	packet := cut(path(), 5, sttFrame(h, frame), 0)[0]
	for _, tt := range []struct {
		floor string
		want  reason.Reason
	}{{"", reason.None}, {"mss_floor = 600", reason.None}, {"mss_floor = 601", reason.MSSInvalid}, {"mss_floor = 1", reason.None}} {
		b := newBench(t, benchConfig{rules: strings.Replace(testRules, "settings {", "settings {\n  "+tt.floor, 1)})
		for range 2 { // the second is of a known flow
			b.one(tt.want, packet)
		}
		// A reload is in force at once, on the quick way too.
		b.shared.SetPolicy(compile(t, strings.Replace(testRules, "settings {", "settings {\n  mss_floor = 1000", 1)))
		b.one(reason.MSSInvalid, packet)
	}
}
