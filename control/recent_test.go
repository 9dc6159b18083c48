package control

import (
	"bytes"
	"context"
	"encoding/binary"
	"fmt"
	"slices"
	"testing"
	"time"

	"sttwall/filter"
	"sttwall/firewall"
	"sttwall/policy"
	"sttwall/reason"
	"sttwall/stt"
)

// dropsOf is a core whose dropped frames are kept.
func dropsOf(t testing.TB) (*core, *Recent) {
	t.Helper()
	core, recent := newCore(t, testRules), NewRecent()
	core.also = recent.Observe
	return core, recent
}

// What is told is written to a socket later, when the frame's place may have another.
func TestWhatIsToldOfAFrameIsNotTheFrame(t *testing.T) {
	var e firewall.FrameEvent
	in := &e.Inner
	e.HasInner, in.HasPorts, in.SrcPort, in.DstPort = true, true, 1, 2
	in.HasICMP, in.ICMPType, in.ICMPCode = true, 3, 4
	told := eventOf(&e, func(int64) time.Time { return time.Time{} })
	e = firewall.FrameEvent{}
	if *told.SrcPort != 1 || *told.DstPort != 2 || *told.ICMPType != 3 || *told.ICMPCode != 4 {
		t.Errorf("ports %d, %d, ICMP %d, %d, want 1, 2, 3, 4", *told.SrcPort, *told.DstPort, *told.ICMPType, *told.ICMPCode)
	}
}

func TestWhatWasDroppedIsShownWithItsBytes(t *testing.T) {
	core, recent := dropsOf(t)
	c := serve(t, Config{Firewall: core, Recent: recent}).dial(t)
	core.send(t, 100, "tcp 10.0.0.1:40000 > 10.0.0.2:443 syn", false) // passes
	core.send(t, 100, "tcp 10.0.0.1:40000 > 10.0.0.2:22 syn", false)
	core.send(t, 100, "tcp 10.0.0.1:40001 > 10.0.0.2:23 syn", false)
	core.send(t, 200, "udp 10.0.0.1:9 > 10.0.0.2:9", false)
	unknown := core.frame(t, 0x12345678, "icmp 10.0.0.1 > 10.0.0.2 echo-request", false)
	core.process(unknown)

	got, err := c.RecentDrops(t.Context(), FrameQuery{})
	if err != nil {
		t.Fatal(err)
	}
	var short []string
	for _, f := range got.Frames {
		short = append(short, fmt.Sprintf("%d %s %s %s %s", f.Seq, f.Verdict, f.Tenant, f.Reason, f.State))
	}
	want := []string{"1 drop acme tenant_default new", "2 reject acme rule_reject new", "3 audit globex tenant_default new", "4 drop  context_unknown "}
	if !slices.Equal(short, want) {
		t.Errorf("got  %q\nwant %q", short, want)
	}
	last := got.Frames[3]
	if inner := unknown.Data[20+20+stt.FrameHeaderLen:]; string(last.Data) != string(inner) || last.InnerBytes != len(inner) {
		t.Errorf("the inner frame is %x, which is %x, %d bytes", last.Data, inner, last.InnerBytes)
	}
	if len(last.Header) != stt.FrameHeaderLen || binary.BigEndian.Uint64(last.Header[8:]) != 0x12345678 || last.SrcPort != 40000 || last.FrameID != core.frames || last.Segments != 1 {
		t.Errorf("the tunnel: %+v", last)
	}

	refused := core.frame(t, 100, "udp 10.0.0.1:9 > 10.0.0.2:9", false)
	refused.Data[len(refused.Data)-1]++ // the checksum is wrong
	core.process(refused)
	if got, err := c.RecentDrops(t.Context(), FrameQuery{Limit: 1, Snap: 14}); err != nil || len(got.Frames) != 1 {
		t.Error(err)
	} else if f := got.Frames[0]; f.Context != nil || !bytes.Equal(f.Header, refused.Data[40:58]) || !bytes.Equal(f.Data, refused.Data[58:72]) {
		t.Errorf("a frame that nobody has looked at: %+v", f)
	}

	for _, tt := range []struct {
		query FrameQuery
		want  []uint64
	}{
		{FrameQuery{Filter: "tenant:acme"}, []uint64{1, 2}},
		{FrameQuery{Filter: "audit"}, []uint64{3}},
		{FrameQuery{Filter: "dport:23 reject"}, []uint64{2}},
		{FrameQuery{Limit: 2}, []uint64{4, 5}},
		{FrameQuery{After: 2}, []uint64{3, 4, 5}},
		{FrameQuery{After: 2, Limit: 1, Filter: "not audit"}, []uint64{5}},
	} {
		got, err := c.RecentDrops(t.Context(), tt.query)
		if err != nil {
			t.Errorf("%+v: %v", tt.query, err)
		}
		var seqs []uint64
		for _, f := range got.Frames {
			seqs = append(seqs, f.Seq)
		}
		if !slices.Equal(seqs, tt.want) {
			t.Errorf("%+v: got %d, want %d", tt.query, seqs, tt.want)
		}
	}
	if got, err := c.RecentDrops(t.Context(), FrameQuery{Snap: 20, Filter: "reason:context_unknown"}); err != nil || len(got.Frames[0].Data) != 20 || got.Frames[0].InnerBytes != last.InnerBytes {
		t.Errorf("20 bytes: got %+v, %v", got, err)
	}
	for _, q := range []string{"filter=nonsense:1", "limit=0", "limit=1025", "snap=65536", "after=x", "tenant=acme"} {
		var none RecentDrops
		if err := c.call(t.Context(), "GET", "/v1/drops/recent?"+q, nil, &none); err == nil {
			t.Errorf("%s is taken", q)
		}
	}
}

// drop is a frame that was dropped at that time.
func drop(at time.Duration, tenant int32, why reason.Reason) *firewall.FrameEvent {
	return &firewall.FrameEvent{Decided: int64(at), HasHeader: true, Reason: why, Decision: policy.Decision{TenantIndex: tenant, RuleIndex: -1}}
}

func TestAFloodOfOneKindHidesNoOther(t *testing.T) {
	recent := NewRecent()
	const seconds, each = 10, 20000
	for i := range seconds * each {
		recent.Observe(drop(time.Duration(i)*time.Second/each, 0, reason.RuleDrop))
		if i == each {
			recent.Observe(drop(time.Duration(i)*time.Second/each, 3, reason.FrameTimeout))
		}
	}
	all := recent.list(&FrameQuery{Limit: MaxRecent}, mustFilter(t, ""), func(t int64) time.Time { return time.Unix(0, t) })
	rare := 0
	for _, f := range all.Frames {
		if f.Reason == reason.FrameTimeout.String() {
			rare++
		}
	}
	if rare != 1 {
		t.Errorf("of the one that is no flood %d are there", rare)
	}
	kept := seconds*each + 1 - all.Skipped
	if most := uint64(seconds*(allRate.Events+rareRate.Events) + allRate.Burst + rareRate.Burst + 2); kept > most || kept < most/2 {
		t.Errorf("%d were kept of %d, want at most %d", kept, seconds*each+1, most)
	}
	if len(all.Frames) > MaxRecent || len(all.Frames) < recentAll {
		t.Errorf("%d are there", len(all.Frames))
	}
	if !slices.IsSortedFunc(all.Frames, func(a, b Frame) int { return int(a.Seq) - int(b.Seq) }) {
		t.Error("they are not in order")
	}
}

func mustFilter(t testing.TB, text string) *filter.Filter {
	t.Helper()
	f, err := filter.Parse(text)
	if err != nil {
		t.Fatal(err)
	}
	return f
}

func TestKeepingADropAllocatesNothing(t *testing.T) {
	recent := NewRecent()
	e := drop(0, 0, reason.RuleDrop)
	e.InnerData = make([]byte, 1500)
	if n := testing.AllocsPerRun(1000, func() {
		e.Decided += int64(time.Millisecond) // some are kept, some skipped
		recent.Observe(e)
	}); n > 0 {
		t.Errorf("%v allocations", n)
	}
}

// What readers copy while workers write is whole.
func TestReadersAndWorkersDoNotMeetInAFrame(t *testing.T) {
	recent := NewRecent()
	ctx, stop := context.WithCancel(t.Context())
	done := make(chan struct{})
	for worker := range 2 {
		go func() {
			defer func() { done <- struct{}{} }()
			e := drop(0, int32(worker), reason.RuleDrop)
			for i := 0; ctx.Err() == nil; i++ {
				e.Decided += int64(time.Second) / 500
				e.FrameID = uint32(i)
				e.InnerData = binary.BigEndian.AppendUint32(nil, e.FrameID)
				recent.Observe(e)
			}
		}()
	}
	everything := mustFilter(t, "")
	for range 200 {
		for _, f := range recent.list(&FrameQuery{Limit: MaxRecent, Snap: 4}, everything, func(int64) time.Time { return time.Time{} }).Frames {
			if binary.BigEndian.Uint32(f.Data) != f.FrameID {
				t.Fatalf("frame %d has the data of another: %x", f.FrameID, f.Data)
			}
		}
	}
	stop()
	<-done
	<-done
}

func BenchmarkDropsOfAFlood(b *testing.B) {
	recent := NewRecent()
	e := drop(0, 0, reason.RuleDrop)
	for b.Loop() {
		recent.Observe(e)
	}
}
