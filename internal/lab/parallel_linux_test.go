package lab

import (
	"context"
	"errors"
	"maps"
	"net"
	"net/netip"
	"slices"
	"strings"
	"testing"

	"github.com/vishvananda/netlink"

	"sttwall/firewall"
	"sttwall/nfq"
	"sttwall/policy"
	"sttwall/reason"
	"sttwall/stt"
)

// secondFirewall stands beside Firewall, on the same two networks: what A sends goes
// through the one, what B sends through the other.
const secondFirewall Place = "firewall-2"

var (
	secondA   = netip.MustParseAddr("10.47.1.253")
	secondB   = netip.MustParseAddr("10.47.2.253")
	secondMAC = [2]net.HardwareAddr{{0x02, 0x47, 0, 0, 1, 0xfd}, {0x02, 0x47, 0, 0, 2, 0xfd}}
)

// parallel is a lab with two firewalls, each with the same rules and with nothing else in
// common, and with the services of acme on side B.
type parallel struct {
	*Lab
	second       *nfq.Inline
	secondEvents journal[firewall.FrameEvent]
	viaSecond    *injector // from endpoint A
}

func newParallel(t *testing.T, rules string) *parallel {
	t.Helper()
	l := newLab(t, Config{Rules: []byte(rules), RulesName: "parallel.hcl", Without: Endpoints})
	p := &parallel{Lab: l}
	p.secondEvents.bound = eventBound
	ns, err := newNamespace(string(secondFirewall))
	if err != nil {
		t.Fatal(err)
	}
	l.namespaces[secondFirewall] = ns
	if err := errors.Join(
		ns.do(func() error {
			return errors.Join(quiet(), writeSysctl("net/ipv4/ip_forward", "1"), raise("lo"))
		}),
		l.Do(Firewall, func() error { return p.addLinks(ns) }),
		ns.do(func() error {
			return errors.Join(address(UnderlayA, secondA, 24), address(UnderlayB, secondB, 24), raise(UnderlayA), raise(UnderlayB))
		}),
		l.Do(EndpointB, func() error { return route(Underlay, "10.47.1.0/24", secondB, 0) }),
		l.Do(EndpointA, func() (err error) {
			if p.viaSecond, err = newInjector(Underlay, secondMAC[0]); err == nil {
				l.closers = append(l.closers, p.viaSecond.socket.file)
			}
			return err
		}),
	); err != nil {
		t.Fatal(err)
	}
	loaded, diagnostics := policy.Load("parallel.hcl", []byte(rules))
	if loaded == nil {
		t.Fatal(diagnostics)
	}
	if err := ns.do(func() (err error) {
		p.second, err = nfq.StartInline(nfq.InlineConfig{
			Policy: loaded, Queues: 2, FrameIDBits: frameIDBits, GSOGuard: nfq.GuardOff,
			Observer: func(e *firewall.FrameEvent) { p.secondEvents.add(*e, 512) },
		})
		return err
	}); err != nil {
		t.Fatal(err)
	}
	l.start(string(secondFirewall), p.second.Run)
	if err := l.startEndpoints(Config{}); err != nil {
		t.Fatal(err)
	}
	if err := l.Do(AcmeB, func() error {
		s, err := serve()
		if err == nil {
			t.Cleanup(func() {
				if err := s.Close(); err != nil {
					t.Error(err)
				}
			})
		}
		return err
	}); err != nil {
		t.Fatal(err)
	}
	return p
}

// addLinks joins the second firewall to both networks: a macvlan is one more host on the
// link of the first one, and does not go through that one's own stack.
func (p *parallel) addLinks(ns *namespace) error {
	var errs []error
	for i, s := range sides() {
		on, err := netlink.LinkByName(s.firewallLink)
		if err != nil {
			return err
		}
		link := &netlink.Macvlan{LinkAttrs: netlink.NewLinkAttrs(), Mode: netlink.MACVLAN_MODE_BRIDGE}
		link.Name, link.ParentIndex, link.HardwareAddr, link.Namespace = s.firewallLink, on.Attrs().Index, secondMAC[i], netlink.NsFd(ns.fd)
		errs = append(errs, netlink.LinkAdd(link))
	}
	return errors.Join(errs...)
}

const parallelSettings = `
settings {
  endpoints = ["10.47.1.1", "10.47.2.1"]
  tcp_loose = true
}
`

// statefulRules say what hosts on side A may ask for, as most rules do; statelessRules name
// both directions, and keep nothing in mind.
const (
	statefulRules = parallelSettings + `
tenant "acme" {
  context_ids = [100]
  rule "arp" {
    action   = "accept"
    services = ["arp"]
  }
  rule "from-a" {
    action   = "accept"
    source   = ["192.168.0.1"]
    services = ["tcp/8080", "udp/7000"]
  }
}
`
	statelessRules = parallelSettings + `
service "answers" {
  protocol     = "tcp"
  source_ports = [8080]
}
service "echo-answers" {
  protocol     = "udp"
  source_ports = [7000]
}
tenant "acme" {
  context_ids = [100]
  rule "arp" {
    action   = "accept"
    services = ["arp"]
  }
  rule "from-a" {
    action   = "accept"
    state    = "stateless"
    source   = ["192.168.0.1"]
    services = ["tcp/8080", "udp/7000"]
  }
  rule "from-b" {
    action   = "accept"
    state    = "stateless"
    source   = ["192.168.0.2"]
    services = [service.answers, service.echo-answers]
  }
}
`
)

// tcpWeb and udpEcho are what a host on side A asks for.
var (
	tcpWeb  = flow{place: AcmeA, network: "tcp", to: netip.AddrPortFrom(InnerB, portWeb)}
	udpEcho = flow{place: AcmeA, network: "udp", to: netip.AddrPortFrom(InnerB, portEcho)}
)

// stoppedAtTheAnswer wants the first firewall to let the question of a flow pass, and the
// other one to drop the answer.
func (p *parallel) stoppedAtTheAnswer(t *testing.T, f flow, why reason.Reason) {
	t.Helper()
	ctx, stop := context.WithCancel(bounded(t))
	defer stop()
	answered := make(chan error, 1)
	go func() { answered <- p.exchange(ctx, f, []byte("hello")) }()
	e, err := p.secondEvents.wait(ctx, "the second firewall's word on the answer", func(e firewall.FrameEvent) bool {
		return e.Inner.SrcPort == f.to.Port()
	})
	stop()
	if err != nil {
		t.Fatal(err)
	}
	if e.Verdict != firewall.Drop || e.Reason != why {
		t.Errorf("%s: the answer: %s, want dropped: %s", f.network, verdictOf(&e), why)
	}
	if err := <-answered; err == nil {
		t.Errorf("%s: it was answered", f.network)
	}
	there, err := p.WaitEvent(bounded(t), "the question", func(e *firewall.FrameEvent) bool { return e.Inner.DstPort == f.to.Port() })
	if err != nil || there.Verdict != firewall.Accept {
		t.Errorf("%s: the question: %s, %v", f.network, verdictOf(&there), err)
	}
}

// The firewall that sees the answer has not seen the question.
func TestAFlowWhoseDirectionsGoThroughTwoFirewallsIsStoppedAtItsAnswer(t *testing.T) {
	if !Inside(t) {
		return
	}
	p := newParallel(t, statefulRules)
	p.stoppedAtTheAnswer(t, tcpWeb, reason.TenantDefault)
	p.stoppedAtTheAnswer(t, udpEcho, reason.TenantDefault)
}

// Nor do rules for both directions and tcp_loose help TCP: a SYN+ACK begins no flow.
func TestStatefulRulesForBothDirectionsOverTwoFirewallsPassUDPAlone(t *testing.T) {
	if !Inside(t) {
		return
	}
	p := newParallel(t, strings.ReplaceAll(statelessRules, `"stateless"`, `"stateful"`))
	p.stoppedAtTheAnswer(t, tcpWeb, reason.StateInvalid)
	if err := p.exchange(bounded(t), udpEcho, []byte("hello")); err != nil {
		t.Error(err)
	}
}

func TestStatelessRulesForBothDirectionsWorkOverTwoFirewalls(t *testing.T) {
	if !Inside(t) {
		return
	}
	p := newParallel(t, statelessRules)
	for _, f := range []flow{tcpWeb, udpEcho} {
		if err := p.exchange(bounded(t), f, []byte("hello")); err != nil {
			t.Errorf("%s: %v", f.network, err)
		}
	}
	if n, m := p.Totals().FramesAccepted, p.second.Totals().FramesAccepted; n == 0 || m == 0 {
		t.Errorf("the one accepted %d frames, the other %d: it was not over both", n, m)
	}
}

// Nothing tells the second firewall which frame IDs have left through the first: with
// forward = "rebuild" both send IDs of their own.
func TestFrameIDsOfTwoFirewalls(t *testing.T) {
	if !Inside(t) {
		return
	}
	for name, c := range map[string]struct {
		forward string
		same    bool
	}{
		"as they came": {"canonical", true},
		"rebuild":      {"rebuild", false},
	} {
		t.Run(name, func(t *testing.T) {
			rules := strings.Replace(strings.Replace(statelessRules, "settings {", "settings {\n  forward = \""+c.forward+`"`, 1),
				`"udp/7000"`, `"udp/7002"`, 1)
			p := newParallel(t, rules)
			far, err := p.Capture(EndpointB, Underlay)
			if err != nil {
				t.Fatal(err)
			}
			defer far.Close()
			ids := map[uint32]bool{}
			s := &scenario{lab: p.Lab}
			for i, send := range []func([]byte, Offload) error{
				func(b []byte, o Offload) error { return p.Inject(EndpointA, b, o) }, p.viaSecond.inject,
			} {
				payload, marker := s.mark(3000)
				frame := s.craft(portSink, payload)
				frame.id = craftedIDs
				packets, err := frame.packets()
				if err != nil || len(packets) < 2 {
					t.Fatalf("%d packets, %v", len(packets), err)
				}
				for _, b := range packets {
					if err := send(b, Offload{}); err != nil {
						t.Fatal(err)
					}
				}
				got, err := far.WaitFor(bounded(t), "a frame", marker)
				if err != nil {
					t.Fatalf("through firewall %d: %v", i+1, err)
				}
				var segment stt.Segment
				if r := segment.Decode(got.Data[etherHeaderLen:], len(got.Data)-etherHeaderLen, []uint16{stt.Port}); r != reason.None {
					t.Fatal(r)
				}
				ids[segment.FrameID] = true
			}
			if same := len(ids) == 1; same != c.same || !c.same && ids[craftedIDs] {
				t.Errorf("two frames with ID %08x left through two firewalls with IDs %08x", uint32(craftedIDs), slices.Collect(maps.Keys(ids)))
			}
		})
	}
}
