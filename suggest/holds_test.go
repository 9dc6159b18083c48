package suggest_test

import (
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"testing"

	"sttwall/firewall"
	"sttwall/policy"
	"sttwall/policy/analyze"
	. "sttwall/suggest"
)

// pasted is the rules file with the suggestion in it, where its comments say.
func pasted(t testing.TB, rules, text string) string {
	t.Helper()
	parts := strings.Split(text, "# Paste these rules at the end of the block of tenant ")
	out := rules
	for _, part := range parts[1:] {
		name, block, _ := strings.Cut(part, "\n")
		name = strings.Trim(name, ".\"")
		block, rest := cutRules(block)
		start := strings.Index(out, fmt.Sprintf("tenant %q {\n", name))
		if start < 0 {
			t.Fatalf("no tenant %q in\n%s", name, out)
		}
		end := start + strings.Index(out[start:], "\n}\n") + 1
		out = out[:end] + block + out[end:] + rest
	}
	return out + parts[0]
}

// cutRules parts what belongs into a block from what follows it.
func cutRules(text string) (rules, rest string) {
	for line := range strings.SplitAfterSeq(text, "\n") {
		if strings.HasPrefix(line, "tenant ") || rest != "" {
			rest += line
		} else {
			rules += line
		}
	}
	return rules, rest
}

// holds checks what is promised of a suggestion: the text loads without a
// diagnostic, nothing in it is shadowed, redundant or unused, and the packets
// pass, all but those of flows that were set apart, whose number is returned.
func holds(t testing.TB, text string, packets []packet) (p *policy.Policy, dropped []packet) {
	t.Helper()
	p = load(t, text)
	for _, u := range p.Unused() {
		t.Errorf("%s", u)
	}
	for _, f := range p.Lint() {
		// That BFD outside of all datapaths is dropped is so where none was seen.
		if (!f.Kind.Note() || f.Kind == analyze.Crossing) && f.Kind != analyze.GatewayBFD {
			t.Errorf("%d: %s", f.At.Start.Line, f.Message)
		}
	}
	if t.Failed() {
		t.Fatalf("in\n%s", text)
	}
	b := newBench(t, p)
	for _, k := range packets {
		if b.send(k).Verdict != firewall.Accept {
			dropped = append(dropped, k)
		}
	}
	return p, dropped
}

// widened is an oracle for what may pass: what was seen, and what the package's
// documentation says is accepted besides.
type widened struct {
	exact   bool
	ovn     bool
	servers map[server]bool
	ports   map[server][]uint16 // dynamic ones; the service is the protocol
	clients map[uint64]map[netip.Addr]bool
}

// server is one that was seen to have a service.
type server struct {
	network uint64
	address netip.Addr
	service Match
}

func newWidened(flows []Flow, exact bool) *widened {
	w := &widened{exact, flows[0].OVN, map[server]bool{}, map[server][]uint16{}, map[uint64]map[netip.Addr]bool{}}
	for i := range flows {
		f := &flows[i]
		w.servers[server{w.of(f.Network), f.Dst, f.Service}] = true
		if m := f.Service; m.HasPorts && m.First >= 32768 {
			k := server{w.of(f.Network), f.Dst, Match{Protocol: m.Protocol}}
			w.ports[k] = append(w.ports[k], m.First)
		}
		if w.clients[w.of(f.Network)] == nil {
			w.clients[w.of(f.Network)] = map[netip.Addr]bool{}
		}
		w.clients[w.of(f.Network)][f.Src] = true
	}
	return w
}

// of is the network by which flows are told apart: datapaths may be one.
func (w *widened) of(network uint64) uint64 {
	if w.ovn {
		return 0
	}
	return network
}

// may reports whether a first packet may pass.
func (w *widened) may(network uint64, src, dst netip.Addr, m Match) bool {
	if !w.servers[server{network, dst, m}] && !w.dynamic(network, dst, m) {
		return false
	}
	if w.clients[network][src] {
		return true
	}
	bits := 24
	if src.Is6() {
		bits = 64
	}
	subnet, n := netip.PrefixFrom(src, bits).Masked(), 0
	for c := range w.clients[network] {
		if c.IsValid() && subnet.Contains(c) {
			n++
		}
	}
	return !w.exact && n >= 8
}

// dynamic reports whether the port lies among four or more from 32768 on.
func (w *widened) dynamic(network uint64, dst netip.Addr, m Match) bool {
	ports := w.ports[server{network, dst, Match{Protocol: m.Protocol}}]
	return !w.exact && m.HasPorts && m.First >= 32768 && len(ports) >= 4 &&
		slices.Min(ports) <= m.First && m.First <= slices.Max(ports)
}
