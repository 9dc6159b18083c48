package flood

import (
	"math/rand/v2"
	"strings"
	"testing"

	"sttwall/policy"
	"sttwall/reason"
	"sttwall/stt"
)

// All that is sent is STT with right checksums, from whom and to whom the firewall expects
// it: what an attack does is not that it is malformed.
func TestPacketsAreWellFormedSTT(t *testing.T) {
	makers := map[string]func(*maker){"the others": good}
	for _, a := range Attacks() {
		makers[a.Name] = a.next
	}
	for name, next := range makers {
		m := &maker{path: stt.Path{Src: outerC, Dst: outerD, SrcPort: 0x9000, DstPort: stt.Port, TTL: 64}, r: rand.New(rand.NewPCG(1, 1))}
		packets := 0
		m.send = func(packet []byte) {
			packets++
			var s stt.Segment
			if why := s.Decode(packet, len(packet), []uint16{stt.Port}); why != reason.None {
				t.Fatalf("%s: packet %d: %v", name, packets, why)
			}
			if _, good := s.Verify(packet); !good {
				t.Fatalf("%s: packet %d has a wrong checksum", name, packets)
			}
			if !attackers.Contains(s.Src) || s.Dst != outerD || len(packet) > mtu {
				t.Fatalf("%s: packet %d from %v to %v has %d bytes", name, packets, s.Src, s.Dst, len(packet))
			}
		}
		for range 20_000 {
			next(m)
			m.n++
		}
		if packets < 20_000 {
			t.Errorf("%s: %d packets", name, packets)
		}
	}
}

// The rules of the firewall load, with what each attack adds.
func TestTheRulesLoad(t *testing.T) {
	for _, a := range Attacks() {
		p, diagnostics := policy.Load("rules.hcl", rules(a.Settings))
		if diagnostics.HasErrors() {
			t.Fatalf("%s: %v", a.Name, diagnostics)
		}
		if got := p.Settings().EndpointRate.Events; (got != 0) != (len(a.Settings) > 0) {
			t.Errorf("%s: endpoint_rate of %d", a.Name, got)
		}
	}
}

// What is below nine tenths, or over the bound of memory, is found.
func TestWhatIsWrongIsSaid(t *testing.T) {
	row := Row{Attack: "flows", Ratio: 1, Most: 10, Bound: 20}
	for _, c := range []struct {
		change func(*Row)
		want   string
	}{
		{func(*Row) {}, ""},
		{func(r *Row) { r.Ratio = 0.89 }, "goodput"},
		{func(r *Row) { r.Most = 21 }, "memory"},
		{func(r *Row) { r.Bound = 0 }, "memory"},
		{func(r *Row) { r.Attack, r.Ratio = withoutLimit, 0.5 }, ""},
	} {
		r := row
		if c.change(&r); (c.want == "") != (r.Wrong() == "") || !strings.Contains(r.Wrong(), c.want) {
			t.Errorf("%+v: got %q, want %q", r, r.Wrong(), c.want)
		}
	}
}

func TestTheTableStandsBetweenItsMarks(t *testing.T) {
	rows := []Row{{Attack: "flows", What: "new flows", Rate: 20_000, Ratio: 1, Dropped: map[string]uint64{"firewall/endpoint_flows": 7}}}
	out, err := Replace("before\n"+begin+"old\n"+finish+"\nafter", rows)
	if err != nil || strings.Contains(out, "old") || !strings.Contains(out, "`endpoint_flows` 7") || !strings.HasSuffix(out, finish+"\nafter") {
		t.Errorf("got %q, %v", out, err)
	}
	if _, err := Replace("no marks", rows); err == nil {
		t.Error("a document without marks was taken")
	}
}
