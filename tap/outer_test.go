package tap

import (
	"bytes"
	"math/rand/v2"
	"net/netip"
	"testing"
	"time"

	"sttwall/describe"
	"sttwall/firewall"
	"sttwall/policy"
	"sttwall/reason"
	"sttwall/stt"
)

// rig is a firewall that lets all pass, behind a tapped core.
type rig struct {
	taps   Taps
	core   *Core
	out    firewall.Verdicts
	frames uint32
	now    int64
}

func newRig(t testing.TB) *rig {
	t.Helper()
	p, diagnostics := policy.Load("test.hcl", []byte(`settings { endpoints = ["any"] }
tenant "acme" {
  context_ids    = [100]
  default_action = "accept"
}`))
	if p == nil {
		t.Fatal(diagnostics)
	}
	ids, err := firewall.NewFrameIDFilter(firewall.FrameIDConfig{Bits: 16})
	if err != nil {
		t.Fatal(err)
	}
	shared, err := firewall.NewShared(p, ids)
	if err != nil {
		t.Fatal(err)
	}
	f, err := firewall.New(firewall.Config{Shared: shared, Random: rand.NewPCG(1, 2)})
	if err != nil {
		t.Fatal(err)
	}
	r := &rig{now: int64(time.Hour)}
	r.core = r.taps.Wrap(f)
	return r
}

// packets is a frame of that many bytes, about, in segments of that size.
func (r *rig) packets(t testing.TB, bytes, size int) (out [][]byte) {
	t.Helper()
	d, err := describe.Parse("udp 10.0.0.1:1 > 10.0.0.2:2")
	if err != nil {
		t.Fatal(err)
	}
	r.frames++
	frame := append(stt.AppendFrameHeader(nil, &stt.FrameHeader{ContextID: 100, Flags: stt.FlagChecksumVerified}), d.Data...)
	frame = append(frame, make([]byte, max(0, bytes-len(frame)))...) // padding behind the IP packet
	path := stt.Path{Src: netip.AddrFrom4([4]byte{192, 0, 2, 1}), Dst: netip.AddrFrom4([4]byte{192, 0, 2, 2}), SrcPort: 40000, DstPort: stt.Port, TTL: 64}
	for at := 0; at < len(frame); at += size {
		out = append(out, stt.AppendSegment(nil, &path, &stt.Piece{FrameID: r.frames, FrameLength: len(frame), Offset: at, Payload: frame[at:min(len(frame), at+size)]}))
	}
	return out
}

func (r *rig) process(id uint64, packet []byte) {
	r.out.Reset()
	r.now += int64(time.Millisecond)
	r.core.Process(r.now, &firewall.Packet{ID: id, Data: packet, Length: len(packet), Checksum: firewall.ChecksumGood}, &r.out)
}

func TestPacketsOfAFrameThatTimesOutAreHandedOut(t *testing.T) {
	r := newRig(t)
	before := r.packets(t, 500, 100)
	r.process(1, before[0]) // nobody is there
	one := open(t, &r.taps, Config{Snap: MaxSnap, Outer: true})
	r.process(2, before[1])
	packets := r.packets(t, 500, 100)
	r.process(3, packets[1])
	r.process(4, packets[0])
	var f Frame
	if one.Take(&f) {
		t.Fatal("nothing is decided yet")
	}
	r.now += int64(time.Minute)
	r.out.Reset()
	r.core.Expire(r.now, &r.out)
	for i, want := range [][]byte{before[1], packets[0], packets[1]} {
		if !one.Take(&f) || f.Event.Reason != reason.FrameTimeout || !bytes.Equal(f.Data, want) || f.Length != len(want) || f.Alone {
			t.Errorf("packet %d: %v %+v, %d bytes", i, f.Event.Reason, f, len(f.Data))
		}
	}
	if one.Take(&f) || one.Lost() != 0 {
		t.Error("there is more")
	}
	// A late segment of it is of no frame.
	r.process(5, packets[2])
	if !one.Take(&f) || !f.Alone || !bytes.Equal(f.Data, packets[2]) || f.Event.Verdict != firewall.Drop || f.Event.Src.String() != "192.0.2.1" {
		t.Errorf("a late one: %+v", f)
	}
	r.process(6, r.packets(t, 500, 100)[0])
	r.core.Flush(&r.out)
	if !one.Take(&f) || f.Event.Reason != reason.FrameIncomplete {
		t.Errorf("at the end: %v", f.Event.Reason)
	}
}

func TestPacketsThatAreOverwrittenAreLost(t *testing.T) {
	r := newRig(t)
	one := open(t, &r.taps, Config{Snap: MaxSnap, Outer: true})
	r.core.store.Store(newPacketStore(4000))
	held := r.packets(t, 2000, 1500)
	r.process(1, held[0])
	var f Frame
	for id := uint64(2); id < 10; id++ { // each is a frame
		packet := r.packets(t, 600, 1000)[0]
		r.process(id, packet)
		if !one.Take(&f) || !bytes.Equal(f.Data, packet) || f.Event.Verdict != firewall.Accept {
			t.Fatalf("packet %d: %+v", id, f)
		}
	}
	r.process(10, held[1])
	if !one.Take(&f) || !bytes.Equal(f.Data, held[1]) || f.Packet != 1 {
		t.Errorf("the last: %+v", f)
	}
	if lost := one.Lost(); lost != 1 || one.Take(&f) {
		t.Errorf("%d are lost", lost)
	}
	// IDs that share a place.
	r.process(20, r.packets(t, 300, 200)[0])
	r.process(20+storePackets, r.packets(t, 100, 200)[0])
	if k := r.core.store.Load().find(20); k != nil {
		t.Errorf("it is still there: %+v", k)
	}
}

func TestCoresKeepNothingWithoutAReader(t *testing.T) {
	r := newRig(t)
	one, err := r.taps.Open(Config{Snap: 100, Outer: true})
	if err != nil || r.core.store.Load() == nil {
		t.Fatal(err)
	}
	one.Close()
	if r.core.store.Load() != nil {
		t.Error("packets are still kept")
	}
}

func TestTappingOuterPacketsAllocatesNothing(t *testing.T) {
	r := newRig(t)
	one := open(t, &r.taps, Config{Snap: MaxSnap, Outer: true})
	packet := r.packets(t, 1000, 2000)[0]
	f := Frame{Data: make([]byte, 0, 65536)}
	id := uint64(0)
	r.process(id, packet)
	if n := testing.AllocsPerRun(2000, func() {
		id++
		r.process(id, packet)
		if id%2 == 0 { // it is full at times
			one.Take(&f)
		}
	}); n > 0 {
		t.Errorf("%v allocations", n)
	}
}

// What a reader who does not read costs a packet, decision and all.
func BenchmarkCore(b *testing.B) {
	for _, bench := range []struct {
		name string
		open []Config
	}{
		{"readers=none", nil}, {"readers=inner", []Config{{Snap: 256}}}, {"readers=inner-whole", []Config{{Snap: MaxSnap}}}, {"readers=outer", []Config{{Snap: MaxSnap, Outer: true}}},
	} {
		b.Run(bench.name, func(b *testing.B) {
			r := newRig(b)
			r.core.AlsoTell(r.taps.Observe, nil)
			for _, c := range bench.open {
				one, err := r.taps.Open(c)
				if err != nil {
					b.Fatal(err)
				}
				defer one.Close()
			}
			packet := r.packets(b, 1500, 2000)[0]
			b.ReportAllocs()
			id := uint64(0)
			for b.Loop() {
				id++
				r.process(id, packet)
			}
		})
	}
}
