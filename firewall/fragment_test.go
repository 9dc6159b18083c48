package firewall

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"math/rand/v2"
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/google/gopacket/layers"

	"sttwall/conntrack"
	"sttwall/describe"
	"sttwall/inspect"
	"sttwall/reason"
	"sttwall/stt"
)

func TestLaterInnerFragmentsFollowTheirFirst(t *testing.T) {
	closed := strings.Replace(fragmentRules, `services = ["udp/53", "tcp/80", `, `services = ["tcp/80", `, 1)
	closed = strings.Replace(closed, `services = ["udp/7"]`, `services = ["udp/8"]`, 1)
	// The same, with other rules before.
	moved := strings.Replace(fragmentRules, "  rule \"dns\" {", "  rule \"nothing\" {\n    action = \"drop\"\n    services = [\"udp/1\"]\n  }\n  rule \"dns\" {", 1)
	dns := datagram{context: 400, port: 53}
	with := func(change func(d *datagram)) datagram {
		d := dns
		change(&d)
		return d
	}
	port := func(n uint16) datagram { return with(func(d *datagram) { d.port = n }) }
	const all = "0 passed, 1 passed, 2 passed"
	for _, tt := range []struct {
		name, script, reload string
		datagram             datagram
		want                 string
	}{
		{"in order", "0 1 2", "", dns, all},
		{"the last first", "2 1 0", "", dns, "0 passed, 2 passed, 1 passed"},
		{"the first in the middle", "1 0 2", "", dns, "0 passed, 1 passed, 2 passed"},
		{"just in time", "1 199ms 0 2", "", dns, "0 passed, 1 passed, 2 passed"},
		{"a first that is too late", "1 200ms 0 2", "", dns, "1 fragment_first_missing, 0 passed, 2 passed"},
		{"no first", "1 2 1s", "", dns, "1 fragment_first_missing, 2 fragment_first_missing"},
		{"no first, and the end", "1 2 flush", "", dns, "1 fragment_first_missing, 2 fragment_first_missing"},
		{"a first long ago", "0 29s 1 2s 2 1s", "", dns, "0 passed, 1 passed, 2 fragment_first_missing"},
		{"after the whole packet has come", "0 1 2 1 1s", "", dns, all + ", 1 fragment_first_missing"},
		{"a repeated first", "0 0 1 2", "", dns, "0 passed, 0 passed, 1 passed, 2 passed"},

		{"a first that a rule drops", "0 1 2", "", port(514), "0 rule_drop, 1 rule_drop, 2 rule_drop"},
		{"a first that no rule accepts", "0 1", "", port(9), "0 tenant_default, 1 tenant_default"},
		{"the last before a first that is dropped", "2 0 1", "", port(514), "0 rule_drop, 2 rule_drop, 1 rule_drop"},
		{"a first that is rejected", "0 1", "", port(113), "0 rule_reject, 1 rule_reject"},
		{"a stateless rule", "2 0 1", "", port(7), "0 passed, 2 passed, 1 passed"},

		{"a default that accepts", "0 1 2", "", with(func(d *datagram) { d.context = 401 }), all},
		{"a default that accepts, no first", "1 1s", "", with(func(d *datagram) { d.context = 401 }), "1 fragment_first_missing"},
		{"audit mode", "0 1 2", "", with(func(d *datagram) { d.context = 402 }),
			"0 audit: tenant_default, 1 audit: tenant_default, 2 audit: tenant_default"},
		{"audit mode, no first", "1 1s", "", with(func(d *datagram) { d.context = 402 }), "1 audit: fragment_first_missing"},
		{"the OVN layout", "1 0 2", "", with(func(d *datagram) { d.context = 3<<40 | 5<<24 | 7 }), "0 passed, 1 passed, 2 passed"},
		{"a VLAN", "1 0 2", "", with(func(d *datagram) { d.tci = 0x1007 }), "0 passed, 1 passed, 2 passed"},

		{"a rule that accepts later fragments", "1 2", "", with(func(d *datagram) { d.dst = 9 }), "1 passed, 2 passed"},
		{"whatever became of the first", "0 1 2", "", with(func(d *datagram) { d.dst, d.port = 9, 514 }), "0 rule_drop, 1 passed, 2 passed"},
		{"a rule that drops later fragments", "0 1 2", "", with(func(d *datagram) { d.dst = 8 }), "0 passed, 1 rule_drop, 2 rule_drop"},

		{"IPv6", "2 0 1", "", with(func(d *datagram) { d.ip6 = true }), "0 passed, 2 passed, 1 passed"},
		{"IPv6 that is dropped", "0 1 2", "", with(func(d *datagram) { d.ip6, d.port = true, 514 }), "0 rule_drop, 1 rule_drop, 2 rule_drop"},
		{"IPv6 with options behind the fragment header", "2 0 1", "", with(func(d *datagram) { d.ip6, d.options = true, true }), "0 passed, 2 passed, 1 passed"},
		{"ICMP", "1 0 2", "", with(func(d *datagram) { d.protocol = layers.IPProtocolICMPv4 }), "0 passed, 1 passed, 2 passed"},
		{"ICMPv6", "1 0 2", "", with(func(d *datagram) { d.ip6, d.protocol = true, layers.IPProtocolICMPv6 }), "0 passed, 1 passed, 2 passed"},
		{"TCP", "0 1 2", "", with(func(d *datagram) { d.protocol, d.port = layers.IPProtocolTCP, 80 }), all},
		{"SCTP", "0 1 2", "", with(func(d *datagram) { d.protocol, d.port = layers.IPProtocolSCTP, 9 }), all},
		{"ESP, which shows no ports at all", "1 0 2", "", with(func(d *datagram) { d.protocol = layers.IPProtocolESP }), "0 passed, 1 passed, 2 passed"},
		{"a first fragment without its whole header", "0 1 1s", "", with(func(d *datagram) { d.protocol, d.port, d.mtu = layers.IPProtocolTCP, 80, 16 }),
			"0 inner_fragment, 1 fragment_first_missing"},

		{"a reload in between", "0 1 reload 2", fragmentRules, dns, all},
		{"a reload in between, to rules in another order", "0 reload 1 2", moved, dns, all},
		{"a reload that denies it", "0 1 reload 2", closed, dns, "0 passed, 1 passed, 2 tenant_default"},
		{"a reload that ended its flow", "0 1 reload rejudge 2", closed, dns, "0 passed, 1 passed, 2 fragment_first_missing"},
		{"a reload that denies what has no flow", "0 1 reload 2", closed, port(7), "0 passed, 1 passed, 2 tenant_default"},
		{"a reload that accepts what has no flow", "0 reload 1 reload 2", moved, port(7), all},
		{"a reload after a drop", "0 reload 1", moved, port(514), "0 rule_drop, 1 rule_drop"},
		{"a reload while one waits", "1 reload 0 2", closed, dns, "0 tenant_default, 1 tenant_default, 2 tenant_default"},
		{"a reload to a rule that names it, while it waits", "1 reload 200ms", strings.Replace(fragmentRules, `["10.0.0.9"]`, `["10.0.0.2"]`, 1), dns, "1 passed"},
		{"a reload in which the tenant accepts", "1 reload 0 2", strings.Replace(fragmentRules, "  context_ids = [400]", "  context_ids = [400]\n  default_action = \"accept\"", 1), port(9), "0 passed, 1 passed, 2 passed"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			b := newFragmentBench(t, benchConfig{})
			if got := b.run(tt.datagram, tt.script, tt.reload); got != tt.want {
				t.Errorf("got  %s\nwant %s", got, tt.want)
			}
			if held := b.fw.Held(); held.Fragments != 0 || held.FragmentPackets != 0 || held.FragmentMemory != 0 {
				t.Errorf("still held: %+v", held)
			}
			if c := b.fw.Counters(); c.PacketsAccepted.Load()+c.PacketsDropped.Load() != c.Packets.Load() {
				t.Errorf("%d packets, %d passed, %d dropped", c.Packets.Load(), c.PacketsAccepted.Load(), c.PacketsDropped.Load())
			}
		})
	}
}

func TestAReplyInFragmentsBelongsToItsFlow(t *testing.T) {
	b := newFragmentBench(t, benchConfig{})
	dns := datagram{context: 400, port: 53}
	if got := b.run(dns, "0 1 2", ""); got != "0 passed, 1 passed, 2 passed" {
		t.Fatal(got)
	}
	back := dns
	back.back = true
	if got := b.run(back, "1 0 2", ""); got != "0 passed, 1 passed, 2 passed" {
		t.Error(got)
	}
	if len(b.flows) != 1 || b.flows[conntrack.Handle{}] != 0 {
		t.Errorf("the flows of the fragments: %v", b.flows)
	}
	stray := back
	stray.port = 54
	if got := b.run(stray, "1 0 2", ""); got != "0 tenant_default, 1 tenant_default, 2 tenant_default" {
		t.Error(got)
	}
}

func TestFragmentsOfTwoPacketsDoNotMix(t *testing.T) {
	b := newFragmentBench(t, benchConfig{})
	good, bad := datagram{context: 400, port: 53, id: 1}, datagram{context: 400, port: 514, id: 2}
	for _, d := range []datagram{good, bad} {
		d.protocol = layers.IPProtocolUDP
		b.names[b.send(d, endpointA, d.fragments(t)[1])] = fmt.Sprintf("%d.1", d.id)
	}
	for _, n := range []int{0, 2} {
		for _, d := range []datagram{bad, good} {
			b.names[b.send(d, endpointA, d.fragments(t)[n])] = fmt.Sprintf("%d.%d", d.id, n)
		}
	}
	var got []string
	for _, id := range b.order {
		got = append(got, b.names[id]+" "+b.fates[id])
	}
	want := "2.0 rule_drop, 2.1 rule_drop, 1.0 passed, 1.1 passed, 2.2 rule_drop, 1.2 passed"
	if strings.Join(got, ", ") != want {
		t.Errorf("got  %s\nwant %s", strings.Join(got, ", "), want)
	}
}

func TestFragmentsOfAnotherEndpointAreNoPartOfAPacket(t *testing.T) {
	for _, tt := range []struct {
		context uint64
		want    string
	}{{400, "fragment_first_missing"}, {403, "passed"}} {
		b := newFragmentBench(t, benchConfig{})
		d := datagram{context: tt.context, port: 53}
		b.send(d, endpointA, d.fragments(t)[0])
		stray := b.send(d, netip.MustParseAddr("192.0.2.7"), d.fragments(t)[1])
		b.wait(time.Second)
		if got := b.fates[stray]; got != tt.want {
			t.Errorf("context %d: %s, want %s", tt.context, got, tt.want)
		}
	}
}

func TestAFragmentInsideTheHeadersIsDropped(t *testing.T) {
	for _, tt := range []struct {
		name     string
		datagram datagram
		at       int
		want     string
	}{
		{"of SCTP", datagram{context: 400, port: 9, protocol: layers.IPProtocolSCTP}, 8, "fragment_overlap"},
		{"behind those of SCTP", datagram{context: 400, port: 9, protocol: layers.IPProtocolSCTP}, 16, "passed"},
		{"of TCP", datagram{context: 400, port: 80, protocol: layers.IPProtocolTCP}, 16, "fragment_overlap"},
		{"of TCP, over its flags", datagram{context: 400, port: 80, protocol: layers.IPProtocolTCP}, 8, "inner_fragment"},
		{"options in IPv6", datagram{context: 400, port: 53, ip6: true, options: true}, 8, "fragment_overlap"},
		{"behind options in IPv6", datagram{context: 400, port: 53, ip6: true, options: true}, 16, "passed"},
		{"in audit mode too", datagram{context: 402, port: 9, protocol: layers.IPProtocolSCTP}, 8, "fragment_overlap"},
		{"for a rule that names later fragments too", datagram{context: 400, port: 9, dst: 9, protocol: layers.IPProtocolSCTP}, 8, "fragment_overlap"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			for _, order := range [][2]int{{0, 1}, {1, 0}} {
				b := newFragmentBench(t, benchConfig{})
				d := tt.datagram
				protocol := d.protocol
				if d.options {
					protocol = layers.IPProtocolIPv6Destination
				}
				frames := [][]byte{d.fragments(t)[0], d.fragment(t, protocol, tt.at, make([]byte, 16), true)}
				ids := [2]uint64{}
				for _, n := range order {
					ids[n] = b.send(d, endpointA, frames[n])
				}
				if order[0] == 1 && d.dst == 9 {
					continue // it may go before its first one
				}
				if got := b.fates[ids[1]]; got != tt.want {
					t.Errorf("order %v: %s, want %s; the first: %s", order, got, tt.want, b.fates[ids[0]])
				}
			}
		})
	}
}

// What an ICMP error quotes says which flow it is about. A later fragment that
// begins inside of that could make it one about another.
func TestAFragmentInsideWhatAnErrorQuotesIsDropped(t *testing.T) {
	for _, tt := range []struct {
		at   int
		want string
	}{{8, "fragment_overlap"}, {32, "fragment_overlap"}, {40, "passed"}} {
		b := newFragmentBench(t, benchConfig{})
		dns := datagram{context: 400, port: 53}
		if got := b.run(dns, "0 1 2", ""); got != "0 passed, 1 passed, 2 passed" {
			t.Fatal(got)
		}
		d, err := describe.Parse("icmp 10.0.0.2 > 10.0.0.1 destination-unreachable/port-unreachable about (udp 10.0.0.1:40000 > 10.0.0.2:53 len 100)")
		if err != nil {
			t.Fatal(err)
		}
		// The ICMP header, the quoted headers (IPv4 and UDP), and no more.
		frame := bytes.Clone(d.Data[:34+8+20+8])
		frame = append(frame, make([]byte, 4)...)
		ip := frame[14:]
		binary.BigEndian.PutUint16(ip[2:], uint16(len(ip)))
		binary.BigEndian.PutUint16(ip[4:], 77)
		binary.BigEndian.PutUint16(ip[6:], 0x2000)
		ip[10], ip[11] = 0, 0
		binary.BigEndian.PutUint16(ip[10:], stt.Checksum(ip[:20]))
		back := datagram{context: 400, back: true, id: 77, protocol: layers.IPProtocolICMPv4}
		first := b.send(back, endpointB, frame)
		if b.fates[first] != "passed" {
			t.Fatalf("the first: %s", b.fates[first])
		}
		data := back.fragment(t, layers.IPProtocolICMPv4, tt.at, make([]byte, 16), false)
		later := b.send(back, endpointB, data)
		if got := b.fates[later]; got != tt.want {
			t.Errorf("at %d: %s, want %s", tt.at, got, tt.want)
		}
	}
}

func TestTwoFirstFragmentsThatDifferEndThePacket(t *testing.T) {
	for _, context := range []uint64{400, 401, 402} {
		b := newFragmentBench(t, benchConfig{})
		d, other := datagram{context: context, port: 53, dst: 9}, datagram{context: context, port: 514, dst: 9}
		b.send(d, endpointA, d.fragments(t)[0])
		ids := []uint64{
			b.send(other, endpointA, other.fragments(t)[0]),
			b.send(d, endpointA, d.fragments(t)[1]),
			b.send(d, endpointA, d.fragments(t)[0]),
		}
		for _, id := range ids {
			if got := b.fates[id]; got != "fragment_conflict" {
				t.Errorf("context %d, packet %d: %s", context, id, got)
			}
		}
	}
}

func TestAQuestionAboutAnotherFirstFragmentEndsNoPacket(t *testing.T) {
	b := newFragmentBench(t, benchConfig{})
	d, other := datagram{context: 400, port: 53}, datagram{context: 400, port: 7}
	b.send(d, endpointA, d.fragments(t)[0])
	ask := func(d datagram) reason.Reason {
		q := Question{ContextID: d.context, Data: d.fragments(t)[0], From: endpointA, To: endpointB}
		var f inspect.Frame
		if r := f.Decode(q.Data, len(q.Data), 0, inspect.NoTag); r != reason.None {
			t.Fatal(r)
		}
		q.Frame = &f
		return b.shared.Explain(b.now, &q).Decision.Reason
	}
	if got := ask(other); got != reason.FragmentConflict {
		t.Errorf("another first fragment: %v", got)
	}
	if got := ask(d); got != reason.None {
		t.Errorf("the same again: %v", got)
	}
	if id := b.send(d, endpointA, d.fragments(t)[1]); b.fates[id] != "passed" {
		t.Errorf("after the questions: %s", b.fates[id])
	}
}

// Whoever may send nothing can guess IDs of others, also from another endpoint
// where the tenant has gateways in parallel.
func TestAFirstFragmentThatIsDroppedStopsNobodyElses(t *testing.T) {
	for _, context := range []uint64{400, 403} {
		b := newFragmentBench(t, benchConfig{})
		good, bad := datagram{context: context, port: 53, id: 9}, datagram{context: context, port: 22, id: 9}
		from := endpointA
		if context == 403 {
			from = netip.MustParseAddr("192.0.2.7")
		}
		for n := range 2 {
			if id := b.send(bad, from, bad.fragments(t)[n]); b.fates[id] != "tenant_default" {
				t.Errorf("fragment %d of what is denied: %s", n, b.fates[id])
			}
		}
		if got, want := b.run(good, "0 1 2", ""), "0 passed, 1 passed, 2 passed"; got != want {
			t.Errorf("context %d: got %s, want %s", context, got, want)
		}
	}
}

func TestAllFragmentsGetTheDSCPOfTheRule(t *testing.T) {
	b := newFragmentBench(t, benchConfig{})
	d := datagram{context: 400, port: 5000}
	for _, n := range []int{2, 0, 1} {
		data := d.packet(endpointA, d.fragments(t)[n])
		b.out.Reset()
		b.fw.Process(b.now, &Packet{ID: uint64(n), Data: data, Length: len(data)}, &b.out)
		for _, v := range b.out.List {
			if v.Action != Accept || len(v.Payload) < 40+stt.FrameHeaderLen+34 {
				t.Fatalf("fragment %d: %v, %d bytes", v.ID, v.Action, len(v.Payload))
			}
			ip := v.Payload[40+stt.FrameHeaderLen+14:]
			if ip[1] != 18<<2 || stt.Checksum(ip[:20]) != 0 {
				t.Errorf("fragment %d: TOS %#x, checksum %#x", v.ID, ip[1], stt.Checksum(ip[:20]))
			}
		}
		if want := map[int]int{2: 0, 0: 2, 1: 1}[n]; len(b.out.List) != want {
			t.Errorf("fragment %d: %d verdicts, want %d", n, len(b.out.List), want)
		}
	}
}

func TestWhatIsCountedAndLoggedOfFragments(t *testing.T) {
	for _, tt := range []struct {
		port      uint16
		rule      string
		logs      []bool
		stateless bool
	}{
		{53, "flows/dns", []bool{true, false, false}, false},
		{7, "flows/each", []bool{true, true, true}, true},
	} {
		b := newFragmentBench(t, benchConfig{})
		d := datagram{context: 400, port: tt.port}
		frames := d.fragments(t)
		order := []int{1, 0, 2}
		for _, n := range order {
			data := d.packet(endpointA, frames[n])
			b.fw.Process(b.now, &Packet{ID: uint64(n), Data: data, Length: len(data)}, &b.out)
		}
		if len(b.events) != 3 {
			t.Fatalf("%d events", len(b.events))
		}
		for i := range b.events {
			e := &b.events[i]
			number := int(e.Inner.Fragment.Offset) / 1200
			if e.Decision.Rule != tt.rule || e.Decision.Log != tt.logs[number] || e.Decision.Stateless != tt.stateless || e.Waited != (number == 1) ||
				!bytes.Equal(e.InnerData, frames[number]) || e.Header.ContextID != 400 {
				t.Errorf("port %d, fragment %d: %+v, waited %t", tt.port, number, e.Decision, e.Waited)
			}
		}
		rules, tenants := map[string]Tally{}, map[string]Tally{}
		b.fw.Tallies(rules, tenants)
		if rules[tt.rule].Frames != 3 || tenants["flows"].Frames != 3 || b.fw.Counters().FragmentsHeld.Load() != 1 {
			t.Errorf("rule %+v, tenant %+v", rules[tt.rule], tenants["flows"])
		}
	}
}

func TestAfterAReloadFragmentsNameTheRuleThatHolds(t *testing.T) {
	moved := strings.Replace(fragmentRules, "  rule \"dns\" {", "  rule \"nothing\" {\n    action = \"drop\"\n    services = [\"udp/1\"]\n  }\n  rule \"dns\" {", 1)
	for _, tt := range []struct {
		port uint16
		rule string
		why  reason.Reason
	}{
		{53, "flows/dns", reason.None},
		{7, "flows/each", reason.None},
		{514, "", reason.RuleDrop}, // the rule that dropped it is of the past
	} {
		b := newFragmentBench(t, benchConfig{})
		d := datagram{context: 400, port: tt.port}
		b.send(d, endpointA, d.fragments(t)[0])
		b.shared.SetPolicy(compile(t, moved))
		data := d.packet(endpointA, d.fragments(t)[1])
		b.bench.send(data)
		if d := &b.events[0].Decision; d.Rule != tt.rule || d.Reason != tt.why || (d.RuleIndex >= 0) != (tt.rule != "") {
			t.Errorf("port %d: %+v", tt.port, d)
		}
	}
}

// What waits over a reload leaves only if it would be taken in now.
func TestAFragmentThatWaitsIsAdmittedByTheRulesThatHold(t *testing.T) {
	pieces := strings.Replace(fragmentRules, "  rule \"dns\" {", "  rule \"pieces\" {\n    action = \"accept\"\n    fragment = [\"later\"]\n  }\n  rule \"dns\" {", 1)
	settings := func(text string) string {
		return strings.Replace(pieces, "endpoints = [\"192.0.2.0/24\"]", text, 1)
	}
	for _, tt := range []struct{ reload, want string }{
		{pieces, "passed"},
		{settings(`endpoints = ["192.0.2.200"]`), "endpoint_unknown"},
		{settings(`stt_ports = [9999]`), "not_stt"},
	} {
		b := newFragmentBench(t, benchConfig{})
		d := datagram{context: 400, port: 53}
		id := b.send(d, endpointA, d.fragments(t)[1])
		b.shared.SetPolicy(compile(t, tt.reload))
		b.wait(time.Second)
		if got := b.fates[id]; got != tt.want {
			t.Errorf("%s, want %s", got, tt.want)
		}
	}
}

func TestNobodyAnswersALaterFragment(t *testing.T) {
	b := newFragmentBench(t, benchConfig{})
	d := datagram{context: 400, port: 113}
	b.send(d, endpointA, d.fragments(t)[1])
	b.send(d, endpointA, d.fragments(t)[0])
	if n := len(b.out.Answers); n != 1 {
		t.Errorf("%d answers to a first fragment and one that waited", n)
	}
	b.send(d, endpointA, d.fragments(t)[2])
	if n := len(b.out.Answers); n != 0 {
		t.Errorf("%d answers to a later fragment", n)
	}
}

// Two workers share the table: the first fragment is decided by the one, and the
// others wait in the other one until it looks.
// Workers that take the fragments of many packets between them let pass those
// whose first one passes, and no others.
// A frame that came in several packets waits with all of them, and leaves in
// their order.
// The invariant, for random fragments of random packets: a later fragment leaves
// only if its first one passed, or a rule names it.
func TestRandomFragments(t *testing.T) {
	seed := rand.Uint64()
	t.Logf("seed %d", seed)
	r := rand.New(rand.NewPCG(seed, 0))
	passed, followed := 0, 0
	for range 20 {
		b := newFragmentBench(t, benchConfig{})
		type sent struct {
			datagram datagram
			number   int
			from     netip.Addr
		}
		packets := map[uint64]sent{}
		ports := []uint16{53, 514, 7, 53, 9, 5000, 113, 53}
		closed := strings.Replace(fragmentRules, `"udp/53", `, "", 1)
		for range 1000 {
			d := datagram{
				context: []uint64{400, 400, 401, 402, 403}[r.IntN(5)], ip6: r.IntN(3) == 0,
				id: uint32(r.IntN(len(ports))), dst: []byte{2, 2, 2, 9, 8}[r.IntN(5)], mtu: 1200,
			}
			if d.port = ports[d.id]; r.IntN(20) == 0 {
				d.port = ports[r.IntN(len(ports))]
			}
			s := sent{d, r.IntN(3), []netip.Addr{endpointA, netip.MustParseAddr("192.0.2.7")}[r.IntN(2)]}
			packets[b.next+1] = s
			b.send(d, s.from, d.fragments(t)[s.number])
			switch r.IntN(20) {
			case 0:
				b.wait(time.Duration(r.IntN(400)) * time.Millisecond)
			case 1:
				b.shared.SetPolicy(compile(t, []string{fragmentRules, closed}[r.IntN(2)]))
			case 2:
				b.wait(time.Duration(r.IntN(40)) * time.Second)
			}
		}
		b.out.Reset()
		b.fw.Flush(&b.out)
		b.take()
		// passing are the packets of which a first fragment has left.
		passing := map[string]bool{}
		for _, id := range b.order {
			s, fate := packets[id], b.fates[id]
			from := s.from.String()
			if s.datagram.context == 403 {
				from = "" // from any endpoint
			}
			key := fmt.Sprint(s.datagram.context, s.datagram.ip6, s.datagram.dst, s.datagram.id, from)
			if !strings.HasPrefix(fate, "passed") && !strings.HasPrefix(fate, "audit") {
				continue
			}
			passed++
			named := s.datagram.context == 400 && s.datagram.dst == 9 && !s.datagram.ip6 || s.datagram.context == 402
			switch {
			case s.number == 0:
				passing[key] = true
			case named:
			case !passing[key]:
				t.Fatalf("fragment %d of %+v left without its first", s.number, s.datagram)
			default:
				followed++
			}
		}
		if len(b.fates) != len(packets) {
			t.Fatalf("%d packets, %d verdicts", len(packets), len(b.fates))
		}
	}
	t.Logf("%d passed, %d followed", passed, followed)
	if passed < 500 || followed < 100 {
		t.Errorf("%d passed, %d followed: too few to mean something", passed, followed)
	}
}

func fragmentLoad(t testing.TB, order ...int) *load {
	t.Helper()
	b := newFragmentBench(t, benchConfig{})
	l := &load{fw: b.fw, now: b.now}
	b.fw.observer = nil
	d := datagram{context: 400, port: 7, id: 1}
	for _, n := range order {
		data := d.packet(endpointA, d.fragments(t)[n])
		l.packets = append(l.packets, Packet{ID: uint64(n), Data: data, Length: len(data)})
	}
	return l
}

func TestFragmentsOnTheirWayAllocateNothing(t *testing.T) {
	for _, order := range [][]int{{0, 1, 2}, {2, 1, 0}} {
		l := fragmentLoad(t, order...)
		for range 3 {
			if !l.frame() {
				t.Fatalf("they did not leave: %v", l.out.List)
			}
		}
		if n := testing.AllocsPerRun(100, func() { l.frame() }); n != 0 {
			t.Errorf("order %v: %v allocations", order, n)
		}
	}
}

func BenchmarkProcessFragments(b *testing.B) {
	for _, bm := range []struct {
		name  string
		order []int
	}{{"in order", []int{0, 1, 2}}, {"the first last", []int{1, 2, 0}}} {
		b.Run(bm.name, func(b *testing.B) {
			l := fragmentLoad(b, bm.order...)
			b.ReportAllocs()
			for b.Loop() {
				if !l.frame() {
					b.Fatal("they did not leave")
				}
			}
		})
	}
}

// In the OVN layout a later fragment is judged again by the port that it comes from,
// whichever port other packets of its flow have come from since.
func TestAFragmentIsJudgedAgainByItsOwnContextID(t *testing.T) {
	const rules = `
settings {
  endpoints = ["192.0.2.0/24"]
}
tenant "one" {
  context_layout = "ovn"
  datapaths      = [7]
  rule "some" {
    action       = "accept"
    ingress_port = [%s]
  }
}
`
	const port3, port5 = 3<<40 | 4<<24 | 7, 5<<40 | 4<<24 | 7
	const packet = "udp 10.0.0.1:1000 > 10.0.0.2:53 len %d from 192.0.2.1 to 192.0.2.2%s"
	for _, tt := range []struct {
		ports string
		want  Action
	}{{"5", Drop}, {"3", Accept}} {
		b := newBench(t, benchConfig{rules: fmt.Sprintf(rules, "3, 5")})
		if e := b.meet(port3, fmt.Sprintf(packet, 1472, " frag first id 5")); !e.Begins {
			t.Fatal(e.Reason)
		}
		if e := b.meet(port5, fmt.Sprintf(packet, 10, "")); e.Verdict != Accept || e.Begins {
			t.Fatal(e.Reason)
		}
		b.shared.SetPolicy(compile(t, fmt.Sprintf(rules, tt.ports)))
		if e := b.meet(port3, fmt.Sprintf(packet, 100, " frag later id 5")); e.Verdict != tt.want {
			t.Errorf("port %s alone: %v %v", tt.ports, e.Verdict, e.Reason)
		}
	}
}
