package control

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"

	"sttwall/firewall"
	"sttwall/stt"
	"sttwall/tap"
)

// followFrames reads a stream of frames that has begun when it returns.
func followFrames(t *testing.T, c *Client, q FrameQuery) <-chan Frame {
	t.Helper()
	ctx, stop := context.WithCancel(t.Context())
	response, err := c.ask(ctx, http.MethodGet, q.path("/v1/frames"), nil)
	if err != nil {
		t.Fatal(err)
	}
	got, done := make(chan Frame, 4096), make(chan struct{})
	go func() {
		defer close(done)
		defer close(got)
		err := readFrames(ctx, response, func(f *Frame) error { got <- *f; return nil }, func(n uint64) { got <- Frame{Event: Event{Type: EventLost, Count: n}} })
		if !errors.Is(err, context.Canceled) {
			t.Errorf("the stream ended: %v", err)
		}
	}()
	t.Cleanup(func() { stop(); <-done })
	return got
}

func tapped(t *testing.T, rules string) (*core, *Client) {
	t.Helper()
	core := newCore(t, rules)
	return core, serve(t, Config{Firewall: core, Taps: core.taps}).dial(t)
}

func TestFramesAreStreamedWithTheirBytes(t *testing.T) {
	core, c := tapped(t, testRules)
	all, few := followFrames(t, c, FrameQuery{}), followFrames(t, c, FrameQuery{Filter: "tenant:acme not drop", Snap: 14})
	packets := []struct {
		context uint64
		text    string
		want    string
	}{
		{100, "tcp 10.0.0.1:40000 > 10.0.0.2:443 syn", "accept acme/web new"},
		{100, "tcp 10.0.0.1:40000 > 10.0.0.2:22 syn", "drop  new"},
		{200, "udp 10.0.0.1:9 > 10.0.0.2:9", "audit  new"},
		{9, "udp 10.0.0.1:9 > 10.0.0.2:9", "drop  "},
		{100, "tcp 10.0.0.1:40001 > 10.0.0.2:23 syn", "reject acme/no-telnet new"},
		{100, "arp request 10.0.0.1 > 10.0.0.2", "accept  untracked"},
	}
	for i, p := range packets {
		packet := core.frame(t, p.context, p.text, false)
		core.process(packet)
		f := <-all
		if got := fmt.Sprintf("%s %s %s", f.Verdict, f.Rule, f.State); got != p.want {
			t.Errorf("%s: got %q, want %q", p.text, got, p.want)
		}
		header := packet.Data[40:][:stt.FrameHeaderLen]
		inner := packet.Data[40+stt.FrameHeaderLen:]
		if f.Seq != uint64(i+1) || !bytes.Equal(f.Header, header) || !bytes.Equal(f.Data, inner) || f.InnerBytes != len(inner) {
			t.Errorf("%s: %+v", p.text, f)
		}
		if len(f.Parts) != 1 || f.Parts[0] != (tap.Segment{Bytes: len(header) + len(inner)}) {
			t.Errorf("%s: in %+v", p.text, f.Parts)
		}
	}
	for _, want := range []string{"accept", "reject", "accept"} {
		if f := <-few; f.Verdict != want || len(f.Data) != 14 {
			t.Errorf("got %s with %d bytes, want %s with 14", f.Verdict, len(f.Data), want)
		}
	}
}

// The explanation is of the decision as it was: a frame that begins a flow is not one of
// that flow.
func TestStreamedFramesAreExplained(t *testing.T) {
	core, c := tapped(t, testRules)
	frames := followFrames(t, c, FrameQuery{Explain: true})
	for _, tt := range []struct {
		context uint64
		packet  string
		back    bool
		want    string
	}{
		{100, "tcp 10.0.0.1:40000 > 10.0.0.2:443 syn", false, "new true: no-telnet services, web: accept acme/web"},
		{100, "tcp 10.0.0.2:443 > 10.0.0.1:40000 syn,ack ack-number 1", true, "reply false of its flow: no-telnet services, web: accept acme/web"},
		{100, "tcp 10.0.0.1:40000 > 10.0.0.2:22 syn", false, "new false: no-telnet services, web services: drop  tenant_default"},
		{100, "tcp 10.0.0.1:40000 > 10.0.0.2:23 syn", false, "new false: no-telnet: reject acme/no-telnet rule_reject"},
		{9, "tcp 10.0.0.1:40000 > 10.0.0.2:23 syn", false, " false: drop  context_unknown"},
	} {
		core.send(t, tt.context, tt.packet, tt.back)
		f := <-frames
		x := f.Explanation
		if x == nil {
			t.Fatalf("%s: not explained", tt.packet)
		}
		got := fmt.Sprintf("%s %v", x.Live.State, x.Live.Begins)
		if x.Live.OfFlow {
			got += " of its flow"
		}
		got += ": "
		var tried []string
		for _, r := range x.Rules {
			_, name, _ := strings.Cut(r.Rule, "/")
			tried = append(tried, strings.TrimSpace(name+" "+r.Condition))
		}
		if len(tried) > 0 {
			got += strings.Join(tried, ", ") + ": "
		}
		got += strings.TrimSpace(fmt.Sprintf("%s %s %s", x.Action, x.Rule, x.Reason))
		if got = strings.TrimSpace(got); got != strings.TrimSpace(tt.want) || x.Changed {
			t.Errorf("%s\ngot  %s\nwant %s", tt.packet, got, tt.want)
		}
	}
	lying := core.frame(t, 100, "tcp 10.0.0.1:40000 > 10.0.0.2:443 syn", false)
	lying.Data[42], lying.Checksum = 99, firewall.ChecksumGood // the L4 offset
	core.process(lying)
	if x := (<-frames).Explanation; x == nil || len(x.Rules) != 0 || x.Live != nil || x.Reason != "l4_offset_mismatch" {
		t.Errorf("a header that lies: %+v", x)
	}
}

// Where explanations take long there are fewer of them.
func TestExplanationsHaveABudget(t *testing.T) {
	core := newCore(t, testRules)
	s := serve(t, Config{Firewall: core, Taps: core.taps})
	frames := followFrames(t, s.dial(t), FrameQuery{Explain: true})
	explained := func() bool {
		core.send(t, 100, "tcp 10.0.0.1:40000 > 10.0.0.2:22 syn", false)
		return (<-frames).Explanation != nil
	}
	if !explained() {
		t.Error("the first is not explained")
	}
	s.asides[0].mu.Lock()
	s.asides[0].budget.spend(s.look.clock(), time.Hour)
	s.asides[0].mu.Unlock()
	if explained() {
		t.Error("after an hour's work it goes on")
	}
}

// The packets that carried a frame come one by one, as they came, and with its verdict.
func TestOuterPacketsAreStreamed(t *testing.T) {
	core, c := tapped(t, testRules)
	outer := followFrames(t, c, FrameQuery{Outer: true, Snap: MaxSnap})
	var packets []*firewall.Packet
	for i, piece := range cut(t, core.frame(t, 100, "udp 10.0.0.1:40000 > 10.0.0.2:53 len 3000", false).Data, 1400) {
		packets = append(packets, &firewall.Packet{ID: uint64(100 + i), Data: piece, Length: len(piece)})
	}
	for _, i := range []int{2, 0, 1} {
		core.process(packets[i])
	}
	for i := range packets {
		f := <-outer
		if f.Verdict != "accept" || f.Rule != "acme/web" || f.Outer == nil || f.Outer.Index != i || f.Segments != 3 || f.Outer.Alone || !bytes.Equal(f.Data, packets[i].Data) {
			t.Errorf("packet %d: %s %s %+v, %d of %d bytes", i, f.Verdict, f.Rule, f.Outer, len(f.Data), len(packets[i].Data))
		}
	}
	// The same segment again is of no frame, and nobody's.
	bad := bytes.Clone(packets[0].Data)
	bad[len(bad)-1]++ // its checksum is wrong
	core.process(&firewall.Packet{ID: 200, Data: bad, Length: len(bad)})
	if f := <-outer; f.Verdict != "drop" || f.Outer == nil || !f.Outer.Alone || !bytes.Equal(f.Data, bad) || f.From != endpointA || f.To != endpointB {
		t.Errorf("a packet that is dropped by itself: %+v", f)
	}
	whole := core.frame(t, 100, "tcp 10.0.0.1:40000 > 10.0.0.2:22 syn", false)
	whole.Data[len(whole.Data)-1]++
	core.process(whole)
	if f := <-outer; f.Reason != "segment_checksum" || f.Outer.Alone || !bytes.Equal(f.Data, whole.Data) {
		t.Errorf("a frame in one packet: %+v", f)
	}
}

// cut cuts a packet with a whole frame into segments.
func cut(t *testing.T, packet []byte, size int) (out [][]byte) {
	t.Helper()
	var s stt.Segment
	s.Decode(packet, len(packet), []uint16{stt.Port})
	path := stt.Path{Src: s.Src, Dst: s.Dst, SrcPort: s.SrcPort, DstPort: s.DstPort, TTL: 63, DontFragment: true}
	frame := packet[40:]
	for at := 0; at < len(frame); at += size {
		out = append(out, stt.AppendSegment(nil, &path, &stt.Piece{FrameID: s.FrameID, FrameLength: len(frame), Offset: at, Payload: frame[at:min(len(frame), at+size)]}))
	}
	return out
}

func TestReadersOfFramesAreBounded(t *testing.T) {
	core := newCore(t, testRules)
	c := serve(t, Config{Firewall: core, Taps: core.taps}).dial(t)
	for range 8 {
		followFrames(t, c, FrameQuery{})
	}
	s := serve(t, Config{Owner: 4711})
	readers := 0
	for range 2 {
		for {
			leave, ok := s.followFrames(Peer{UID: 1000})
			if !ok {
				break
			}
			defer leave()
			readers++
		}
		if leave, ok := s.followFrames(Peer{UID: 4711}); !ok {
			t.Error("readers keep out the owner")
		} else {
			leave()
		}
	}
	if readers != maxFrameReaders {
		t.Errorf("%d readers", readers)
	}
	var refused *Error
	if err := c.Frames(t.Context(), FrameQuery{}, func(*Frame) error { return nil }, nil); !errors.As(err, &refused) || refused.Code != http.StatusServiceUnavailable {
		t.Errorf("the ninth: %v", err)
	}
	for _, q := range []string{"filter=nonsense:1", "snap=0", "outer=perhaps", "limit=1", "explain=true&outer=true"} {
		var none Frame
		if err := c.call(t.Context(), "GET", "/v1/frames?"+q, nil, &none); err == nil {
			t.Errorf("%s is taken", q)
		}
	}
}

// What takes a reader's filter long is the reader's work, not the packet's.
func TestLongFiltersAreTheReadersWork(t *testing.T) {
	long := "text:" + strings.Repeat("zz,", 50) + "web"
	if wantsOf(mustFilter(t, long)) != nil || wantsOf(mustFilter(t, "")) != nil {
		t.Error("workers are asked")
	}
	if wantsOf(mustFilter(t, "tenant:acme,globex dst:10.1.0.0/24 dport:80,443 not (reason:rule_* or text:web)")) == nil {
		t.Error("a reader is handed all frames")
	}
	core, c := tapped(t, testRules)
	frames := followFrames(t, c, FrameQuery{Filter: long})
	core.send(t, 100, "tcp 10.0.0.1:40000 > 10.0.0.2:22 syn", false)
	core.send(t, 100, "tcp 10.0.0.1:40000 > 10.0.0.2:443 syn", false)
	if f := <-frames; f.Rule != "acme/web" {
		t.Errorf("got %s by %q", f.Verdict, f.Rule)
	}
}

// With a filter and a reader a frame costs a worker no memory.
func TestSelectingFramesAllocatesNothing(t *testing.T) {
	core := newCore(t, testRules)
	var frame firewall.FrameEvent
	core.also = func(e *firewall.FrameEvent) { frame = *e }
	core.send(t, 100, "tcp 10.0.0.1:40000 > 10.0.0.2:443 syn vlan 7", false)
	s := &selector{filter: mustFilter(t, "vlan:7 tenant:acme (dport:80 or dst:10.0.0.0/24) not reason:rule_*")}
	if !s.wants(&frame) {
		t.Fatal("it is not selected")
	}
	if n := testing.AllocsPerRun(1000, func() { s.wants(&frame) }); n > 0 {
		t.Errorf("%v allocations", n)
	}
}
