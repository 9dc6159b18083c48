package suggest_test

import (
	"fmt"
	"math/rand/v2"
	"net/netip"
	"slices"
	"strings"
	"testing"

	"sttwall/inspect"
	"sttwall/policy"
	. "sttwall/suggest"
)

// randomTraffic is dense enough that everything meets everything. It returns
// what was answered, and what need not pass.
func randomTraffic(r *rand.Rand, contexts []uint64) (answered, attempts []packet) {
	ports := []uint16{22, 53, 67, 80, 81, 82, 83, 443, 514, 3784, 5432, 21, 2000, 2001, 40000, 45000, 50000, 55000, 65535}
	hosts := 2 + r.IntN(60)
	host := func(v6 bool) string {
		n := r.IntN(hosts)
		if v6 {
			return fmt.Sprintf("2001:db8::%x", n*n+1)
		}
		return netip.AddrFrom4([4]byte{10, 9, byte(n / 40), byte(n*5 + 1)}).String()
	}
	t := traffic{port: uint16(r.IntN(20000))}
	tries := 0
	for range r.IntN(200) {
		t.context = contexts[r.IntN(len(contexts))]
		t.back = t.context
		v6 := r.IntN(4) == 0
		src, dst, port := host(v6), host(v6), ports[r.IntN(len(ports))]
		if src == dst {
			continue
		}
		switch r.IntN(12) {
		default:
			t.tcp(src, dst, port)
		case 1, 2, 3:
			t.udp(src, dst, port)
		case 4, 5:
			t.port++
			t.ping(src, dst)
		case 6:
			t.add(t.context, "sctp %s > %s", at(src, t.clientPort()), at(dst, port))
			t.add(t.context, "sctp %s > %s", at(dst, port), at(src, 40000+t.port))
		case 7:
			protocol := []int{47, 89, 112, 4}[r.IntN(4)]
			t.add(t.context, "protocol %d %s > %s", protocol, src, dst)
			t.add(t.context, "protocol %d %s > %s", protocol, dst, src)
		case 8:
			group := "224.0.0.251"
			if v6 {
				group = "ff02::fb"
			}
			t.add(t.context, "udp %s > %s", at(src, 5353), at(group, 5353))
		case 9:
			t.add(t.context, "ethertype 0x%04x", []int{0x88cc, 0x88f7}[r.IntN(2)])
		case 10:
			t.add(t.context, "udp 0.0.0.0:68 > 255.255.255.255:67")
		case 11:
			if tries++; tries > 15 {
				continue
			}
			attempts = append(attempts, packet{t.context, fmt.Sprintf("tcp %s > %s syn", at(src, t.clientPort()), at(dst, port))})
		}
	}
	return t.packets, attempts
}

func TestRandomTrafficPassesTheRulesSuggestedForItAndNothingElseDoes(t *testing.T) {
	for seed := range uint64(80) {
		t.Run(fmt.Sprintf("seed=%d", seed), func(t *testing.T) {
			r := rand.New(rand.NewPCG(seed, 7))
			o := Options{Exact: r.IntN(3) == 0, MaxRules: 10000}
			ovn := r.IntN(3) == 0
			contexts := []uint64{100, 0, 1 << 24, 1<<63 + 7}[:1+r.IntN(4)]
			if ovn {
				contexts = []uint64{1<<40 | 2<<24 | 100, 1<<40 | 2<<24 | 101}
			}
			rules, file := noRules(t), ""
			if !ovn && r.IntN(3) == 0 {
				file = acme
				rules = load(t, acme)
				o.Policy = rules
			}
			answered, attempts := randomTraffic(r, contexts)
			c := collected(t, rules, ovn, 0, slices.Concat(answered, attempts))
			s, text := suggested(t, c, o)
			if s.Rules == 0 {
				return
			}
			whole := text
			if file != "" {
				whole = strings.Replace(pasted(t, file, text), "  mode        = \"audit\"\n", "", 1)
			}
			p, dropped := holds(t, whole, answered)
			if len(dropped) > 0 {
				t.Fatalf("dropped: %v, in\n%s", dropped, whole)
			}
			beyond(t, r, p, rules, c.Flows(), o.Exact, whole)
			_, again := suggested(t, c, o)
			flows := c.Flows()
			r.Shuffle(len(flows), func(i, j int) { flows[i], flows[j] = flows[j], flows[i] })
			var b strings.Builder
			o.Endpoints = c.Endpoints()
			if err := Suggest(flows, o).WriteHCL(&b); err != nil || again != text || b.String() != text {
				t.Errorf("%v: another order of the flows makes another text:\n%s\n%s", err, text, b.String())
			}
		})
	}
}

// beyond fails for a packet that passes now and did not before, though it is not
// among what the documentation says.
func beyond(t *testing.T, r *rand.Rand, p, before *policy.Policy, flows []Flow, exact bool, text string) {
	t.Helper()
	w := newWidened(flows, exact)
	var sources, destinations []netip.Addr
	var networks []uint64
	var services []Match
	for i := range flows {
		f := &flows[i]
		networks = append(networks, f.Network)
		if !f.Src.IsValid() {
			continue
		}
		sources = append(sources, f.Src, f.Src.Next(), f.Dst)
		destinations = append(destinations, f.Dst, f.Dst.Next(), f.Src)
		services = append(services, f.Service)
		if f.Service.HasPorts {
			n := f.Service
			n.First++
			n.Last++
			if n.First != 53 && n.First != 3784 && n.First != 0 {
				services = append(services, n)
			}
		}
	}
	for i := 0; i < 20000 && len(services) > 0; i++ {
		network, src, dst, m := pick(r, networks), pick(r, sources), pick(r, destinations), pick(r, services)
		if src.Is4() != dst.Is4() || m.HasICMP && (m.Protocol == inspect.ProtocolICMP) != src.Is4() {
			continue
		}
		f := frameOf(src, dst, m)
		old := before.Evaluate(&policy.Packet{ContextID: network, Frame: f})
		d := p.Evaluate(&policy.Packet{ContextID: network, Frame: f})
		accepted := old.Action == policy.Accept && !old.Audit
		if d.Action == policy.Accept && !accepted && !w.may(w.of(network), src, dst, m) {
			t.Fatalf("%d: %s > %s %s passes by %s, which nobody was seen to use, in\n%s", network, src, dst, m, d.Rule, text)
		}
	}
}

func pick[T any](r *rand.Rand, all []T) T { return all[r.IntN(len(all))] }

// frameOf is the first packet of a flow, as far as rules look at it.
func frameOf(src, dst netip.Addr, m Match) *inspect.Frame {
	f := &inspect.Frame{IP: 6, EtherType: inspect.EtherTypeIPv6, Src: src, Dst: dst, Protocol: m.Protocol}
	if src.Is4() {
		f.IP, f.EtherType = 4, inspect.EtherTypeIPv4
	}
	f.HasPorts, f.SrcPort, f.DstPort = m.HasPorts, 40000, m.First
	f.HasICMP, f.ICMPType = m.HasICMP, m.ICMPType
	switch m.Builtin {
	case "dns":
		f.HasPorts, f.Protocol, f.DstPort = true, inspect.ProtocolUDP, 53
	case "bfd":
		f.HasPorts, f.Protocol, f.DstPort = true, inspect.ProtocolUDP, 3784
	case "vrrp":
		f.Protocol = 112
	}
	if f.Protocol == inspect.ProtocolTCP {
		f.HasTCP, f.TCPFlags = true, inspect.SYN
	}
	return f
}
