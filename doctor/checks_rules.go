package doctor

import (
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"strings"

	"github.com/vishvananda/netlink"
)

// The checks of this file follow STT through the rules of others.

// ourPriority is where the queue is in its hook: behind notrack at -300.
const (
	rawPriority = -300
	ourPriority = rawPriority + 1
)

// hookOfQueue is the hook of the ip families in which packets meet the queue.
func hookOfQueue(place string) string {
	if place == HookOutput {
		return HookOutput
	}
	return HookPrerouting // bridged packets meet it through br_netfilter
}

// samples are packets to follow: of each pair of interfaces that face endpoints one, or
// such of which nothing is known but the port.
func (h *host) samples() (list []packet, err error) {
	faces, err := h.facing()
	if err != nil {
		return nil, err
	}
	var pick []face // one for each interface and IP version
	for _, f := range faces {
		if len(pick) < mostSamples && !slices.ContainsFunc(pick, func(p face) bool {
			return p.name() == f.name() && p.local == f.local && p.endpoint.Is4() == f.endpoint.Is4()
		}) {
			pick = append(pick, f)
		}
	}
	port := h.settings.STTPorts[0]
	for _, from := range pick {
		for _, to := range pick {
			if from.endpoint.Is4() != to.endpoint.Is4() || from.local || from == to {
				continue
			}
			p := packet{v4: from.endpoint.Is4(), src: from.endpoint, dst: to.endpoint, iif: from.name(), oif: to.name(), port: port}
			if to.local {
				p.oif = ""
			}
			list = append(list, p)
		}
	}
	if len(list) == 0 {
		list = []packet{{v4: true, port: port}, {v4: false, port: port}}
	}
	return list, nil
}

const mostSamples = 8

// text names a sample.
func (p packet) text() string {
	if !p.src.IsValid() {
		return fmt.Sprintf("%s, TCP port %d", map[bool]string{true: "IPv4", false: "IPv6"}[p.v4], p.port)
	}
	way := "in on " + p.iif
	if p.oif != "" {
		way += ", out on " + p.oif
	} else {
		way += ", for this host"
	}
	return fmt.Sprintf("%v > %v port %d, %s", p.src, p.dst, p.port, way)
}

// local reports whether a packet is for this host. Where that is not known, a host that
// does not forward is taken to be where tunnels end.
func (h *host) isLocal(p packet) bool {
	if p.dst.IsValid() {
		return p.oif == ""
	}
	forward, err := h.number("proc/sys/net/ipv4/ip_forward")
	return err == nil && forward == 0
}

// met is a base chain that a packet meets, and with which state.
type met struct {
	chain *chain
	ct    tracking
}

// way lists the base chains of others that a sample meets before the queue, or behind it.
func (h *host) way(s *ruleset, p packet, behind bool, place string, later tracking) (list []met) {
	hook := hookOfQueue(place)
	add := func(hook string, keep func(priority int) bool, ct func(priority int) tracking) {
		for _, c := range s.others(hook, p.v4) {
			if c.family == "bridge" && place != HookBridge || !keep(c.standing()) || !h.standsAt(c, p) {
				continue
			}
			list = append(list, met{c, ct(c.standing())})
		}
	}
	every := func(int) bool { return true }
	asLater := func(int) tracking { return later }
	if !behind {
		if hook == HookPrerouting {
			add("ingress", every, func(int) tracking { return ctInvalid })
		}
		add(hook, func(n int) bool { return n < ourPriority }, func(n int) tracking {
			if n < rawPriority {
				return ctInvalid // nothing has looked yet, and to rules that is INVALID (nft_ct.c)
			}
			return ctInvalid | ctUntracked
		})
		return list
	}
	add(hook, func(n int) bool { return n >= ourPriority }, asLater)
	switch {
	case place == HookOutput:
	case place == HookPrerouting && h.isLocal(p):
		add("input", every, asLater)
		return list
	default:
		add("forward", every, asLater)
	}
	add("postrouting", every, asLater)
	add("egress", every, asLater)
	return list
}

// standing is the chain's priority, as the queue sees it: chains of family bridge stand
// before br_netfilter, and so before the queue, or behind.
func (c *chain) standing() int {
	const brNetfilter = 0 // NF_BR_PRI_BRNF
	switch {
	case c.family != "bridge":
		return c.priority
	case c.priority < brNetfilter:
		return min(c.priority, rawPriority-1)
	}
	return max(c.priority, ourPriority)
}

// standsAt reports whether a chain stands at an interface that the packet passes, where
// both are known.
func (h *host) standsAt(c *chain, p packet) bool {
	name := p.iif
	if c.hook == "egress" {
		name = p.oif
	}
	if len(c.devices) == 0 || name == "" {
		return true
	}
	return slices.ContainsFunc(c.devices, func(d string) bool {
		prefix, many := strings.CutSuffix(d, "*")
		if d == name || many && strings.HasPrefix(name, prefix) {
			return true
		}
		l, err := netlink.LinkByName(d)
		if err != nil {
			return false
		}
		_, lower := h.isLower(l, name)
		return lower
	})
}

// fateOf is what certainly, or by a rule that is aimed at STT, becomes of a sample in a
// chain; false: nothing of that kind.
func fateOf(s *ruleset, p packet, m met, kinds ...kind) (fate, bool) {
	p.ct = m.ct
	for _, f := range s.walk(m.chain, &p) {
		if slices.Contains(kinds, f.kind) && (f.certain || f.aimed) {
			return f, true
		}
	}
	return fate{}, false
}

// untracks reports whether a rule that is there keeps STT from connection tracking: that
// of sttwall's table, or of others.
func (h *host) untracks(s *ruleset) bool {
	for _, c := range s.chains {
		if c.ours() {
			return true
		}
	}
	for _, v4 := range []bool{true, false} {
		for _, place := range h.Hooks {
			p := packet{v4: v4, port: h.settings.STTPorts[0], ct: ctInvalid}
			for _, c := range s.others(hookOfQueue(place), v4) {
				if c.priority < conntrackPriority {
					s.walk(c, &p)
				}
			}
			if p.ct == ctUntracked {
				return true
			}
		}
	}
	return false
}

const conntrackPriority = -200

// lost looks for chains in which STT is lost, and makes a finding of each.
func (h *host) lost(behind bool, ct tracking, kinds []kind, finding func(packet, *chain, fate) Finding) (seen string, found []Finding, err error) {
	s, err := h.rules()
	if err != nil {
		return "", nil, err
	}
	samples, err := h.samples()
	if err != nil {
		return "", nil, err
	}
	looked := make(map[*chain]bool)
	told := make(map[*chain]bool)
	for _, place := range h.Hooks {
		for _, p := range samples {
			for _, m := range h.way(s, p, behind, place, ct) {
				looked[m.chain] = true
				f, ok := fateOf(s, p, m, kinds...)
				if !ok || told[m.chain] {
					continue
				}
				told[m.chain] = true
				made := finding(p, m.chain, f)
				made.Evidence = append([]string{m.chain.where() + ": " + f.text, "for a packet " + p.text()}, made.Evidence...)
				found = append(found, made)
			}
		}
	}
	if len(s.unread) > 0 && len(found) == 0 {
		return "", nil, errors.New(strings.Join(s.unread, "; "))
	}
	if len(looked) == 0 {
		return "no chain of others stands there", found, nil
	}
	return fmt.Sprintf("%s of others, STT passes", counted(len(looked), "base chain")), found, nil
}

// deedOf says what a chain does with STT.
func deedOf(f fate) string {
	does := "drops"
	if f.kind == taken {
		does = "takes away" // forwards to another interface, for one
	}
	if f.certain {
		return does
	}
	return does + " some of"
}

func severityOf(f fate) Severity {
	if f.certain {
		return Broken
	}
	return Risk
}

func dropsBefore(h *host) (string, []Finding, error) {
	return h.lost(false, 0, []kind{dropped, taken}, func(p packet, c *chain, f fate) Finding {
		return Finding{Severity: severityOf(f), What: fmt.Sprintf("%s %s STT before the firewall sees it", c.where(), deedOf(f)),
			Cure: "Let STT pass there; the firewall still sees it", Commands: c.accept(h.settings.STTPorts)}
	})
}

func dropsBehind(h *host) (string, []Finding, error) {
	return h.lost(true, ctUntracked, []kind{dropped, taken}, func(p packet, c *chain, f fate) Finding {
		return Finding{Severity: severityOf(f), What: fmt.Sprintf("%s %s STT that the firewall has accepted", c.where(), deedOf(f)),
			Cure: "Let STT pass there; the firewall has judged it", Commands: c.accept(h.settings.STTPorts)}
	})
}

func invalidDropped(h *host) (string, []Finding, error) {
	s, err := h.rules()
	if err != nil {
		return "", nil, err
	}
	if h.untracks(s) {
		return "a rule keeps STT from connection tracking", nil, nil
	}
	seen, found, err := h.lost(true, midStream, []kind{dropped}, func(p packet, c *chain, f fate) Finding {
		made := Finding{What: "STT is dropped as INVALID, and no rule keeps it from connection tracking", Commands: h.untrack(),
			Cure: "Start sttwall, whose table has a notrack rule; or, with --no-nft, add one"}
		if loose, err := h.number("proc/sys/net/netfilter/nf_conntrack_tcp_loose"); err == nil {
			made.Evidence = []string{fmt.Sprintf("net.netfilter.nf_conntrack_tcp_loose = %d", loose)}
		}
		return made
	})
	// What is dropped untracked too is no matter of INVALID.
	found = slices.DeleteFunc(found, func(Finding) bool {
		_, other, err := dropsBehind(h)
		return err != nil || len(other) > 0
	})
	return seen, found, err
}

func queuedElsewhere(h *host) (string, []Finding, error) {
	s, err := h.rules()
	if err != nil {
		return "", nil, err
	}
	var found []Finding
	table := slices.ContainsFunc(s.chains, func(c *chain) bool { return c.ours() })
	samples, err := h.samples()
	if err != nil {
		return "", nil, err
	}
	told := make(map[string]bool)
	for _, place := range h.Hooks {
		for _, p := range samples {
			for _, behind := range []bool{false, true} {
				for _, m := range h.way(s, p, behind, place, ctUntracked) {
					f, ok := fateOf(s, p, m, queued)
					if !ok || told[f.text] || !table && h.ours(f.queue) {
						continue // with --no-nft the rules are somebody else's, and lead to us
					}
					told[f.text] = true
					found = append(found, Finding{What: fmt.Sprintf("%s hands STT to queue %d, whose program is another one", m.chain.where(), f.queue),
						Evidence: []string{m.chain.where() + ": " + f.text, "for a packet " + p.text()},
						Cure:     "Keep STT out of that queue: it drops STT while its program does not run, and cuts super-segments unless that asks for GSO", Commands: m.chain.accept(h.settings.STTPorts)})
				}
			}
		}
	}
	return "no other queue takes STT", found, nil
}

func offloaded(h *host) (string, []Finding, error) {
	s, err := h.rules()
	if err != nil {
		return "", nil, err
	}
	if len(s.flowtables) == 0 {
		return "no flowtable", nil, nil
	}
	if h.untracks(s) {
		return strings.Join(s.flowtables, "; ") + ": STT is untracked, and gets into none", nil, nil
	}
	return "", []Finding{{What: "connections of STT can get into a flowtable, and from then on pass beside all hooks", Evidence: s.flowtables,
		Cure: "Start sttwall, whose notrack rule keeps STT out; or, with --no-nft, add one", Commands: h.untrack()}}, nil
}

// untrack are commands that keep STT from connection tracking, what is forwarded or comes
// in as well as what this host sends.
func (h *host) untrack() []Command {
	list := []Command{{"nft", "add table inet stt_untracked"},
		{"nft", "add chain inet stt_untracked pre { type filter hook prerouting priority raw; }"},
		{"nft", "add chain inet stt_untracked out { type filter hook output priority raw; }"}}
	for _, port := range h.settings.STTPorts {
		for _, chain := range []string{"pre", "out"} {
			list = append(list, command("nft add rule inet stt_untracked %s tcp dport %d notrack", chain, port))
		}
	}
	return list
}

// missingInterfaces are names of settings.endpoints that there are no interfaces of.
func missingInterfaces(h *host) (string, []Finding, error) {
	links, err := h.links()
	if err != nil {
		return "", nil, err
	}
	var missing []string
	var bound []netip.Prefix
	for _, b := range h.settings.BoundEndpoints {
		there := slices.ContainsFunc(links, func(l netlink.Link) bool { return l.Attrs().Name == b.Interface })
		if !there && !slices.Contains(missing, b.Interface) {
			missing, bound = append(missing, b.Interface), append(bound, b.Prefix)
		}
	}
	var found []Finding
	for i, name := range missing {
		found = append(found, Finding{What: fmt.Sprintf("there is no interface %s, on which endpoint %v must come in", name, bound[i]),
			Evidence: []string{h.Rules + ": settings.endpoints", "interfaces: " + names(links)},
			Cure:     "Correct the name in settings.endpoints, or make the interface"})
	}
	return fmt.Sprintf("%d bound endpoints, their interfaces are there", len(h.settings.BoundEndpoints)), found, nil
}
