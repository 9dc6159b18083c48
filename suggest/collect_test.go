package suggest_test

import (
	"fmt"
	"net/netip"
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"

	"sttwall/reason"
	. "sttwall/suggest"
)

func TestCollectorMakesOneFlowOfBothDirections(t *testing.T) {
	const syn, synAck = "tcp 10.0.0.1:40000 > 10.0.0.2:443 syn seq 1", "tcp 10.0.0.2:443 > 10.0.0.1:40000 syn,ack seq 9 ack-number 2"
	for _, c := range []struct {
		name  string
		texts []string
		want  []string
	}{
		{"a handshake", []string{syn, synAck, "tcp 10.0.0.1:40000 > 10.0.0.2:443 ack seq 2 ack-number 10"},
			[]string{"10.0.0.1 > 10.0.0.2 tcp/443 packets 3 replied"}},
		{"two connections are one", []string{syn, synAck, "tcp 10.0.0.1:40001 > 10.0.0.2:443 syn"},
			[]string{"10.0.0.1 > 10.0.0.2 tcp/443 packets 3 replied"}},
		{"only the answer was seen", []string{synAck},
			[]string{"10.0.0.1 > 10.0.0.2 tcp/443 packets 1 replied"}},
		{"a refusal is no reply", []string{syn, "tcp 10.0.0.2:443 > 10.0.0.1:40000 rst,ack seq 0 ack-number 2"},
			[]string{"10.0.0.1 > 10.0.0.2 tcp/443 packets 1"}},
		{"a reset alone is no flow", []string{"tcp 10.0.0.2:443 > 10.0.0.1:40000 rst"}, nil},
		{"from the middle, by the server", []string{"tcp 10.0.0.2:443 > 10.0.0.1:40000 ack"},
			[]string{"10.0.0.1 > 10.0.0.2 tcp/443 packets 1 replied guessed"}},
		{"from the middle, by the client", []string{"tcp 10.0.0.1:40000 > 10.0.0.2:443 ack"},
			[]string{"10.0.0.1 > 10.0.0.2 tcp/443 packets 1 guessed"}},
		{"from the middle, privileged", []string{"tcp 10.0.0.2:999 > 10.0.0.1:1080 ack"},
			[]string{"10.0.0.1 > 10.0.0.2 tcp/999 packets 1 replied guessed"}},
		{"from the middle, the lower port", []string{"tcp 10.0.0.2:8000 > 10.0.0.1:40000 ack", "tcp 10.0.0.1:40000 > 10.0.0.2:8000 ack"},
			[]string{"10.0.0.1 > 10.0.0.2 tcp/8000 packets 2 replied guessed"}},
		{"from the middle, then anew", []string{"tcp 10.0.0.2:443 > 10.0.0.1:40009 fin,ack", syn},
			[]string{"10.0.0.1 > 10.0.0.2 tcp/443 packets 2 replied"}},
		{"a server that was seen before is no client, whatever its port", []string{
			"tcp 10.0.0.1:1500 > 10.0.0.2:50000 syn", "tcp 10.0.0.2:50000 > 10.0.0.1:1501 ack"},
			[]string{"10.0.0.1 > 10.0.0.2 tcp/50000 packets 2 replied"}},
		{"UDP, asked and answered", []string{"udp 10.0.0.1:40000 > 10.0.0.2:53", "udp 10.0.0.2:53 > 10.0.0.1:40000"},
			[]string{"10.0.0.1 > 10.0.0.2 dns packets 2 replied"}},
		{"UDP, the answer first", []string{"udp 10.0.0.2:123 > 10.0.0.1:40000", "udp 10.0.0.1:40000 > 10.0.0.2:123"},
			[]string{"10.0.0.1 > 10.0.0.2 udp/123 packets 2 replied guessed"}},
		{"UDP between equals goes the way that it began", []string{"udp 10.0.0.2:7000 > 10.0.0.1:7000", "udp 10.0.0.1:7000 > 10.0.0.2:7000"},
			[]string{"10.0.0.2 > 10.0.0.1 udp/7000 packets 2 replied"}},
		{"requests, whatever their identifiers",
			[]string{"icmp 10.0.0.1 > 10.0.0.2 echo-request id 1", "icmp 10.0.0.2 > 10.0.0.1 echo-reply id 1", "icmp 10.0.0.1 > 10.0.0.2 echo-request id 2"},
			[]string{"10.0.0.1 > 10.0.0.2 icmp/echo-request packets 3 replied"}},
		{"requests of two hosts are two flows",
			[]string{"icmp 10.0.0.1 > 10.0.0.2 echo-request id 1", "icmp 10.0.0.2 > 10.0.0.1 echo-request id 2"},
			[]string{"10.0.0.1 > 10.0.0.2 icmp/echo-request packets 1", "10.0.0.2 > 10.0.0.1 icmp/echo-request packets 1"}},
		{"an echo reply tells of its request", []string{"icmpv6 2001:db8::2 > 2001:db8::1 echo-reply"},
			[]string{"2001:db8::1 > 2001:db8::2 icmpv6/echo-request packets 1 replied"}},
		{"SCTP", []string{"sctp 10.0.0.1:5000 > 10.0.0.2:2905", "sctp 10.0.0.2:2905 > 10.0.0.1:5000"},
			[]string{"10.0.0.1 > 10.0.0.2 sctp/2905 packets 2 replied"}},
		{"protocols without ports", []string{"protocol 47 10.0.0.1 > 10.0.0.2"},
			[]string{"10.0.0.1 > 10.0.0.2 protocol/47 packets 1"}},
		{"multicast, DHCP and what is not IP", []string{"protocol 112 10.0.0.1 > 224.0.0.18", "udp 0.0.0.0:68 > 255.255.255.255:67", "ethertype 0x88cc"},
			[]string{"dhcp packets 1", "ethertype/0x88cc packets 1", "10.0.0.1 > 224.0.0.18 vrrp packets 1"}},
		{"ARP, neighbour discovery, ICMP errors and later fragments are no flows", []string{
			"arp request 10.0.0.1 > 10.0.0.2", "icmpv6 fe80::1 > ff02::1 nd-neighbor-solicit",
			"icmp 10.0.0.2 > 10.0.0.1 destination-unreachable about (udp 10.0.0.1:1 > 10.0.0.2:2)", "udp 10.0.0.1:1 > 10.0.0.2:2 frag later"}, nil},
	} {
		t.Run(c.name, func(t *testing.T) {
			var packets []packet
			for _, text := range c.texts {
				packets = append(packets, packet{100, text})
			}
			var got []string
			for _, f := range collected(t, noRules(t), false, 0, packets).Flows() {
				got = append(got, told(&f))
			}
			if diff := cmp.Diff(c.want, got); diff != "" {
				t.Errorf("-want +got:\n%s", diff)
			}
		})
	}
}

func TestCollectorNotesOnlyWhatTheRulesWouldDropByDefault(t *testing.T) {
	rules := load(t, `
settings {
  endpoints = ["any"]
}
tenant "acme" {
  context_ids        = [7]
  neighbor_discovery = "rules"
  rule "no-telnet" {
    action   = "drop"
    services = ["tcp/23"]
  }
  rule "web" {
    action   = "accept"
    services = ["tcp/443"]
  }
}
tenant "open" {
  context_ids    = [8]
  default_action = "accept"
}
`)
	audit := rules.Auditing(false)
	b := newBench(t, audit)
	c := NewCollector(0)
	left := map[reason.Reason]int{}
	for _, k := range []packet{
		{7, "tcp 10.0.0.1:1 > 10.0.0.2:443 syn"}, {7, "tcp 10.0.0.1:1 > 10.0.0.2:23 syn"}, {7, "tcp 10.0.0.1:1 > 10.0.0.2:80 syn"},
		{7, "tcp 10.0.0.1:2 > 10.0.0.2:443 ack"}, {7, "arp request 10.0.0.1 > 10.0.0.2"}, {7, "icmpv6 fe80::1 > ff02::1 nd-neighbor-solicit"},
		{8, "tcp 10.0.0.1:1 > 10.0.0.2:80 syn"}, {9, "tcp 10.0.0.1:1 > 10.0.0.2:80 syn"}, {1 << 63, "udp 10.0.0.1:1 > 10.0.0.2:80"},
	} {
		var s Sighting
		ok, why := s.Sight(b.send(k))
		if ok {
			c.Add(audit, &s)
		} else {
			left[why]++
		}
	}
	var got []string
	for _, f := range c.Flows() {
		got = append(got, fmt.Sprintf("%q %d %s", f.Tenant, f.Network, told(&f)))
	}
	want := []string{
		`"" 9 10.0.0.1 > 10.0.0.2 tcp/80 packets 1`, `"" 9223372036854775808 10.0.0.1 > 10.0.0.2 udp/80 packets 1`,
		`"acme" 7 arp packets 1`, `"acme" 7 nd packets 1`, `"acme" 7 10.0.0.1 > 10.0.0.2 tcp/80 packets 1`,
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("-want +got:\n%s", diff)
	}
	wantLeft := map[reason.Reason]int{reason.None: 2, reason.RuleDrop: 1, reason.StateInvalid: 1}
	if diff := cmp.Diff(wantLeft, left); diff != "" {
		t.Errorf("left out: -want +got:\n%s", diff)
	}
}

func TestAPacketThatIsDroppedForWhatItIsIsLeftOut(t *testing.T) {
	b := newBench(t, noRules(t).Auditing(true))
	var s Sighting
	if ok, why := s.Sight(b.send(packet{1 << 63, "udp 10.0.0.1:1 > 10.0.0.2:80"})); ok || why != reason.ContextReserved {
		t.Errorf("%v, %v", ok, why)
	}
}

// A routed answer of OVN comes back with another datapath.
func TestCollectorPairsTheContextIDsOfOVN(t *testing.T) {
	there, back := uint64(3)<<40|uint64(4)<<24|7, uint64(4)<<40|uint64(3)<<24|9
	packets := []packet{{there, "udp 10.0.0.1:40000 > 10.0.0.2:53"}, {back, "udp 10.0.0.2:53 > 10.0.0.1:40000"}}
	flows := collected(t, noRules(t), true, 0, packets).Flows()
	if len(flows) != 1 || !flows[0].Replied || flows[0].Network != 7 || flows[0].Back != 9 || !flows[0].OVN {
		t.Errorf("ovn: %+v", flows)
	}
	if flows := collected(t, noRules(t), false, 0, packets).Flows(); len(flows) != 2 {
		t.Errorf("plain: %+v", flows)
	}
}

func TestAFullCollectorForgetsWhatNobodyAnswered(t *testing.T) {
	packets := []packet{
		{100, "tcp 10.0.0.1:1 > 10.0.0.2:80 syn"}, {100, "udp 10.0.0.1:40000 > 10.0.0.2:53"}, {100, "udp 10.0.0.2:53 > 10.0.0.1:40000"},
		{100, "icmp 10.0.0.1 > 10.0.0.2 echo-request"}, {100, "icmp 10.0.0.2 > 10.0.0.1 echo-reply"},
	}
	one := packet{100, "protocol 47 10.0.0.1 > 10.0.0.2"}
	another := packet{100, "protocol 48 10.0.0.1 > 10.0.0.2"}
	for _, c := range []struct {
		name   string
		more   []packet
		third  string
		beyond uint64
	}{
		{"there is room", nil, "10.0.0.1 > 10.0.0.2 tcp/80 packets 1", 0},
		{"the unanswered one goes", []packet{one}, "10.0.0.1 > 10.0.0.2 protocol/47 packets 1", 0},
		{"once a second", []packet{one, another, another}, "10.0.0.1 > 10.0.0.2 protocol/47 packets 1", 2},
	} {
		collector := collected(t, noRules(t), false, 3, slices.Concat(packets, c.more))
		var got []string
		for _, f := range collector.Flows() {
			got = append(got, told(&f))
		}
		want := []string{c.third, "10.0.0.1 > 10.0.0.2 icmp/echo-request packets 2 replied", "10.0.0.1 > 10.0.0.2 dns packets 2 replied"}
		slices.Sort(got)
		slices.Sort(want)
		if diff := cmp.Diff(want, got); diff != "" || collector.Beyond() != c.beyond {
			t.Errorf("%s: %d frames beyond, want %d, -want +got:\n%s", c.name, collector.Beyond(), c.beyond, diff)
		}
	}
	// What goes one way is forgotten too, and counted.
	p := noRules(t).Auditing(false)
	c, b := NewCollector(1), newBench(t, p)
	var s Sighting
	for _, k := range []packet{{100, "udp 10.0.0.1:1 > 10.0.0.2:514"}, one} {
		if ok, why := s.Sight(b.send(k)); !ok {
			t.Fatal(why)
		}
		c.Add(p, &s)
	}
	if flows := c.Flows(); len(flows) != 1 || flows[0].Service.Protocol != 47 || c.Beyond() != 1 {
		t.Errorf("%+v, %d frames beyond", flows, c.Beyond())
	}
}

func TestTooManyEndpointsAreNotToldOneByOne(t *testing.T) {
	c := NewCollector(0)
	for i := range 512 {
		c.AddEndpoint(netip.AddrFrom4([4]byte{10, 47, byte(i), 1}))
	}
	if got := c.Endpoints(); len(got) != 256 || !slices.IsSortedFunc(got, netip.Addr.Compare) {
		t.Errorf("%d endpoints", len(got))
	}
	c.AddEndpoint(netip.MustParseAddr("10.48.0.1"))
	c.AddEndpoint(netip.MustParseAddr("10.48.0.2"))
	if got := c.Endpoints(); got != nil {
		t.Errorf("%d endpoints, want none", len(got))
	}
}

func TestAFrameOfAKnownFlowAllocatesNothing(t *testing.T) {
	p := noRules(t).Auditing(false)
	for _, text := range []string{
		"tcp 10.0.0.1:40000 > 10.0.0.2:443 syn", "udp [2001:db8::1]:40000 > [2001:db8::2]:53", "icmp 10.0.0.1 > 10.0.0.2 echo-request", "ethertype 0x88cc",
	} {
		c := NewCollector(0)
		var s Sighting
		if ok, why := s.Sight(newBench(t, p).send(packet{100, text})); !ok {
			t.Fatalf("%s: not seen: %v", text, why)
		}
		c.Add(p, &s)
		if n := testing.AllocsPerRun(100, func() { c.Add(p, &s) }); n != 0 {
			t.Errorf("%s: %v allocations a frame", text, n)
		}
	}
}
