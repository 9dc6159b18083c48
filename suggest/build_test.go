package suggest_test

import (
	"bytes"
	"fmt"
	"math/rand/v2"
	"net/netip"
	"strings"
	"testing"

	"sttwall/describe"
	"sttwall/firewall"
	"sttwall/policy"
	"sttwall/reason"
	"sttwall/stt"
	. "sttwall/suggest"
)

// packet is an inner packet as docs/packets.md describes them, and its context
// ID.
type packet struct {
	context uint64
	text    string
}

// bench is the real core with a policy, between as many endpoints as inner
// addresses ask for.
type bench struct {
	t        testing.TB
	policy   *policy.Policy
	firewall *firewall.Firewall
	now      int64
	id       uint32
	out      firewall.Verdicts
	event    firewall.FrameEvent
}

func newBench(t testing.TB, p *policy.Policy) *bench {
	t.Helper()
	ids, err := firewall.NewFrameIDFilter(firewall.FrameIDConfig{})
	if err != nil {
		t.Fatal(err)
	}
	shared, err := firewall.NewShared(p.Fresh(1<<16), ids)
	if err != nil {
		t.Fatal(err)
	}
	b := &bench{t: t, policy: p, now: 1767614400e9}
	b.firewall, err = firewall.New(firewall.Config{
		Shared: shared, Random: rand.NewPCG(1, 1), Observer: func(e *firewall.FrameEvent) { b.event = *e },
	})
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// send takes a packet through the core and returns what became of it.
func (b *bench) send(k packet) *firewall.FrameEvent {
	b.t.Helper()
	p, err := describe.Parse(k.text)
	if err != nil {
		b.t.Fatalf("%s: %v", k.text, err)
	}
	b.id++
	b.now += 1e6
	h := stt.FrameHeader{ContextID: k.context, Flags: stt.FlagChecksumVerified}
	frame := append(make([]byte, stt.FrameHeaderLen), p.Data...)
	path := stt.Path{Src: endpointOf(p.Frame.Src), Dst: endpointOf(p.Frame.Dst), SrcPort: 50000, DstPort: stt.Port, TTL: 64, DontFragment: true}
	data := stt.AppendSegment(nil, &path, &stt.Piece{FrameID: b.id, FrameLength: len(frame), Payload: frame, Header: &h})
	b.out.Reset()
	b.event = firewall.FrameEvent{}
	b.firewall.Process(b.now, &firewall.Packet{ID: 1, Data: data, Length: len(data)}, &b.out)
	return &b.event
}

// endpointOf is where an inner address is: behind one of four endpoints.
func endpointOf(a netip.Addr) netip.Addr {
	b := a.As16()
	return netip.AddrFrom4([4]byte{10, 47, 0, 1 + b[15]%4})
}

func load(t testing.TB, text string) *policy.Policy {
	t.Helper()
	p, diags := policy.Load("rules.hcl", []byte(text))
	if len(diags) > 0 {
		var b bytes.Buffer
		if err := policy.WriteDiagnostics(&b, diags, policy.Printout{}); err != nil {
			t.Fatal(err)
		}
		t.Fatalf("%s\n%s", b.String(), text)
	}
	return p
}

// noRules is what a capture meets without a rules file.
func noRules(t testing.TB) *policy.Policy {
	return load(t, "settings {\n  endpoints = [\"any\"]\n}\ntenant \"unused\" {\n  context_ids = [\"0xffffffffffffffff\"]\n}\n")
}

// collected is what a collector makes of packets under rules.
func collected(t testing.TB, rules *policy.Policy, ovn bool, maxFlows int, packets []packet) *Collector {
	t.Helper()
	audit := rules.Auditing(ovn)
	b := newBench(t, audit)
	c := NewCollector(maxFlows)
	for _, k := range packets {
		var s Sighting
		e := b.send(k)
		if e.Verdict == firewall.Accept {
			c.AddEndpoint(e.Src)
		}
		if ok, why := s.Sight(e); ok {
			c.Add(audit, &s)
		} else if why != reason.None && why != reason.StateInvalid {
			t.Logf("%s: left out: %s", k.text, why)
		}
	}
	return c
}

// suggested suggests rules, and returns them and their text.
func suggested(t testing.TB, c *Collector, o Options) (*Suggestion, string) {
	t.Helper()
	o.Endpoints = c.Endpoints()
	s := Suggest(c.Flows(), o)
	var b bytes.Buffer
	if err := s.WriteHCL(&b); err != nil {
		t.Fatal(err)
	}
	return s, b.String()
}

// told writes a flow down.
func told(f *Flow) string {
	s := fmt.Sprintf("%s > %s %s packets %d", f.Src, f.Dst, f.Service, f.Packets)
	if !f.Src.IsValid() {
		s = fmt.Sprintf("%s packets %d", f.Service, f.Packets)
	}
	if f.Replied {
		s += " replied"
	}
	if f.Guessed {
		s += " guessed"
	}
	return s
}

// traffic is packets in the making.
type traffic struct {
	context, back uint64 // of both directions
	port          uint16
	packets       []packet
}

func (t *traffic) add(context uint64, format string, args ...any) {
	t.packets = append(t.packets, packet{context, fmt.Sprintf(format, args...)})
}

func (t *traffic) clientPort() uint16 {
	t.port = t.port%20000 + 1
	return 40000 + t.port
}

func at(a string, port uint16) string {
	if strings.Contains(a, ":") {
		return fmt.Sprintf("[%s]:%d", a, port)
	}
	return fmt.Sprintf("%s:%d", a, port)
}

// tcp is a connection.
func (t *traffic) tcp(src, dst string, port uint16) {
	from, to := at(src, t.clientPort()), at(dst, port)
	t.add(t.context, "tcp %s > %s syn seq 100", from, to)
	t.add(t.back, "tcp %s > %s syn,ack seq 500 ack-number 101", to, from)
	t.add(t.context, "tcp %s > %s ack seq 101 ack-number 501", from, to)
	t.add(t.context, "tcp %s > %s psh,ack seq 101 ack-number 501 len 10", from, to)
}

func (t *traffic) syn(src, dst string, port uint16) {
	t.add(t.context, "tcp %s > %s syn", at(src, t.clientPort()), at(dst, port))
}

// udp is a question and its answer.
func (t *traffic) udp(src, dst string, port uint16) {
	from, to := at(src, t.clientPort()), at(dst, port)
	t.add(t.context, "udp %s > %s", from, to)
	t.add(t.back, "udp %s > %s", to, from)
}

func (t *traffic) ping(src, dst string) {
	protocol := "icmp"
	if strings.Contains(src, ":") {
		protocol = "icmpv6"
	}
	t.add(t.context, "%s %s > %s echo-request id %d", protocol, src, dst, t.port)
	t.add(t.back, "%s %s > %s echo-reply id %d", protocol, dst, src, t.port)
}
