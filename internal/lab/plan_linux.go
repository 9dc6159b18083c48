package lab

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net/netip"
	"slices"

	"sttwall/firewall"
	"sttwall/inspect"
	"sttwall/reason"
)

// plan returns the scenario: first what the tenants' own kernels send through
// real sockets, then what somebody at endpoint A could make by hand, then how all of
// that is shown, then the bulk transfers, last all attacks that we know. With
// Options.Evasion there are these alone, on all ways.
func plan(o Options) []step {
	if o.Evasion {
		return evasionSteps(evasionConfig{}, at(o.Position, evasionWays()))
	}
	c, ways := firstWay()
	return slices.Concat(stackSteps(), craftedSteps(), shownSteps(), bulkSteps(o), evasionSteps(c, at(o.Position, ways)))
}

// tenant is one of the two as a step needs it.
type tenant struct {
	name    string
	context uint64
	client  Place // on side A
}

var (
	acme    = tenant{"acme", ContextAcme, AcmeA}
	globex  = tenant{"globex", ContextGlobex, GlobexA}
	initech = tenant{"initech", ContextInitech, InitechA}

	// gateway is an address that nobody has.
	gateway = netip.MustParseAddr("192.168.0.254")
)

const (
	// sharedPort is the source port of the 5-tuple that both tenants use.
	sharedPort = 40000
	telnetPort = 40001

	etherTypeARP          = 0x0806
	arpRequest            = 1
	arpReply              = 2
	neighborSolicitation  = 135
	neighborAdvertisement = 136
)

// probe is what a tenant's host sends through its kernel, and what becomes of
// it: with a reason it is stopped, by rule if there is one; else rule lets it
// pass.
type probe struct {
	tenant tenant
	from   uint16 // TCP source port
	to     netip.AddrPort
	rule   string
	reason reason.Reason
}

func stackSteps() []step {
	b, b6 := func(port uint16) netip.AddrPort { return netip.AddrPortFrom(InnerB, port) },
		func(port uint16) netip.AddrPort { return netip.AddrPortFrom(InnerB6, port) }
	sameTuple := tcpStep(probe{tenant: globex, from: sharedPort, to: b(portWeb), rule: "globex/no-web", reason: reason.RuleDrop})
	sameTuple.What = "TCP, the very same 5-tuple"
	return []step{
		{What: "ARP: who has 192.168.0.2?", Tenant: "acme", Expected: "passes: acme/arp", run: arpPasses},
		{What: "ARP: who has " + gateway.String() + "?", Tenant: "acme", Expected: "stopped: acme/no-gateway", run: arpStopped},
		pingStep(probe{tenant: acme, to: b(0), rule: "acme/ping"}),
		pingStep(probe{tenant: globex, to: b(0), rule: "globex/no-ping", reason: reason.RuleDrop}),
		udpStep(probe{tenant: acme, to: b(portEcho), rule: "acme/echo"}),
		udpStep(probe{tenant: acme, to: b(portSyslog), rule: "acme/no-syslog", reason: reason.RuleDrop}),
		tcpStep(probe{tenant: acme, from: sharedPort, to: b(portWeb), rule: "acme/web"}),
		sameTuple,
		tcpStep(probe{tenant: acme, from: telnetPort, to: b(portTelnet), rule: "acme/no-telnet", reason: reason.RuleDrop}),
		udpStep(probe{tenant: globex, to: b(portEcho), rule: "globex/echo"}),
		{What: "neighbour discovery of " + InnerB6.String(), Tenant: "acme", Expected: "passes: acme/neighbours", run: neighboursPass},
		pingStep(probe{tenant: acme, to: b6(0), rule: "acme/ping"}),
		tcpStep(probe{tenant: acme, from: sharedPort, to: b6(portWeb), rule: "acme/web"}),
		udpStep(probe{tenant: globex, to: b6(portEcho), reason: reason.TenantDefault}),
	}
}

// innerMatch recognises an inner frame of a tenant.
type innerMatch func(contextID uint64, f *inspect.Frame) bool

// event recognises the firewall's word on the frame.
func (is innerMatch) event(e *firewall.FrameEvent) bool {
	return e.HasInner && is(e.Header.ContextID, &e.Inner)
}

// seen recognises the frame in a capture.
func (is innerMatch) seen(p Captured) bool {
	header, inner, ok := readCaptured(p)
	return ok && is(header.ContextID, &inner)
}

// marked recognises frames and packets by bytes that are in no others.
type marked []byte

func (m marked) event(e *firewall.FrameEvent) bool { return bytes.Contains(e.InnerData, m) }
func (m marked) seen(p Captured) bool              { return bytes.Contains(p.Data, m) }

// step makes a line of the scenario of p; act sends message and returns nil
// iff the other side has answered.
func (p probe) step(what string, act func(ctx context.Context, s *scenario, message []byte) error) step {
	st := step{What: what, Tenant: p.tenant.name, Expected: "passes: " + p.rule}
	if p.reason == reason.None {
		st.run = func(ctx context.Context, s *scenario) (string, error) {
			message, marker := s.mark(0)
			return s.passes(ctx, passage{
				act:   func(ctx context.Context) error { return act(ctx, s, message) },
				event: marked(marker).event, rule: p.rule,
			})
		}
		return st
	}
	st.Expected = "stopped: " + p.rule
	if p.rule == "" {
		st.Expected += p.reason.String()
	}
	st.run = func(ctx context.Context, s *scenario) (string, error) {
		message, marker := s.mark(0)
		a := attempt{
			send: func(ctx context.Context) error {
				if act(ctx, s, message) == nil {
					return errors.New("it was answered")
				}
				return nil
			},
			event: marked(marker).event, seen: marked(marker).seen,
			reason: p.reason, rule: p.rule,
		}
		if p.from != 0 { // a SYN has no room for a marker: it is known by tenant and 5-tuple
			a.event, a.seen = innerMatch(p.isSYN).event, innerMatch(p.isSYN).seen
		}
		return s.stopped(ctx, a)
	}
	return st
}

func (p probe) isSYN(contextID uint64, f *inspect.Frame) bool {
	return contextID == p.tenant.context && f.HasTCP && f.SrcPort == p.from && f.DstPort == p.to.Port() &&
		f.Src == p.client() && f.Dst == p.to.Addr()
}

// client is the address of the host on side A, in the family of the other.
func (p probe) client() netip.Addr {
	if p.to.Addr().Is4() {
		return InnerA
	}
	return InnerA6
}

func pingStep(p probe) step {
	return p.step("ping "+p.to.Addr().String(), func(ctx context.Context, s *scenario, message []byte) error {
		return s.lab.ping(ctx, flow{place: p.tenant.client, to: p.to}, message)
	})
}

func udpStep(p probe) step {
	return p.step("UDP to "+p.to.String()+" and back", func(ctx context.Context, s *scenario, message []byte) error {
		return s.lab.exchange(ctx, flow{place: p.tenant.client, network: "udp", to: p.to}, message)
	})
}

func tcpStep(p probe) step {
	return p.step(fmt.Sprintf("TCP %d > %s", p.from, p.to), func(ctx context.Context, s *scenario, message []byte) error {
		from := netip.AddrPortFrom(p.client(), p.from)
		return s.lab.exchange(ctx, flow{place: p.tenant.client, network: "tcp", from: from, to: p.to}, message)
	})
}

func arpPasses(ctx context.Context, s *scenario) (string, error) {
	message, _ := s.mark(0)
	happened, err := s.passes(ctx, passage{
		act: func(ctx context.Context) error {
			return s.lab.exchange(ctx, flow{place: AcmeA, network: "udp", to: netip.AddrPortFrom(InnerB, portEcho)}, message)
		},
		event: innerMatch(func(c uint64, f *inspect.Frame) bool {
			return c == ContextAcme && f.EtherType == etherTypeARP && f.ARPOperation == arpRequest && f.Dst == InnerB
		}).event,
		rule: "acme/arp",
	})
	if err != nil {
		return "", err
	}
	return happened, s.answered(ctx, func(c uint64, f *inspect.Frame) bool {
		return c == ContextAcme && f.EtherType == etherTypeARP && f.ARPOperation == arpReply && f.Src == InnerB
	})
}

func arpStopped(ctx context.Context, s *scenario) (string, error) {
	is := innerMatch(func(c uint64, f *inspect.Frame) bool {
		return c == ContextAcme && f.EtherType == etherTypeARP && f.Dst == gateway
	})
	return s.stopped(ctx, attempt{
		send: func(ctx context.Context) error {
			return s.lab.sendUDP(ctx, flow{place: AcmeA, to: netip.AddrPortFrom(gateway, portEcho)}, nil)
		},
		event: is.event, seen: is.seen,
		reason: reason.RuleDrop, rule: "acme/no-gateway",
	})
}

func neighboursPass(ctx context.Context, s *scenario) (string, error) {
	happened, err := s.passes(ctx, passage{
		act: func(ctx context.Context) error {
			message, _ := s.mark(0)
			if err := s.lab.sendUDP(ctx, flow{place: AcmeA, to: netip.AddrPortFrom(InnerB6, portSink)}, message); err != nil {
				return err
			}
			_, err := s.services[AcmeB].sunk.wait(ctx, "a datagram over IPv6", func(got []byte) bool { return bytes.Equal(got, message) })
			return err
		},
		event: innerMatch(func(c uint64, f *inspect.Frame) bool {
			return c == ContextAcme && f.HasICMP && f.IP == 6 && f.ICMPType == neighborSolicitation && f.Src == InnerA6
		}).event,
		rule: "acme/neighbours",
	})
	if err != nil {
		return "", err
	}
	return happened, s.answered(ctx, func(c uint64, f *inspect.Frame) bool {
		return c == ContextAcme && f.HasICMP && f.IP == 6 && f.ICMPType == neighborAdvertisement && f.Src == InnerB6
	})
}

// answered waits for an accepted answer.
func (s *scenario) answered(ctx context.Context, is innerMatch) error {
	e, err := s.lab.WaitEvent(ctx, "the answer", is.event)
	if err == nil && e.Verdict != firewall.Accept {
		err = errors.New("the answer: " + verdictOf(&e))
	}
	return err
}

func bulkSteps(o Options) []step {
	length := o.Bulk
	if length == 0 {
		length = DefaultBulk
	}
	bulk := func(what string, d direction) step {
		return step{
			What: fmt.Sprintf("%d MB over TCP %s", length/1_000_000, what), Tenant: "acme", Expected: "passes, SHA-256 equal", bound: bulkBound,
			run: func(ctx context.Context, s *scenario) (string, error) {
				// A capture of all this would only cost time and memory.
				if err := s.far.Close(); err != nil {
					return "", err
				}
				s.far.Forget()
				took, err := s.lab.transfer(ctx, flow{place: AcmeA, network: "tcp", to: netip.AddrPortFrom(InnerB, portBulk)}, d, length)
				if err != nil {
					return "", err
				}
				return fmt.Sprintf("passed, SHA-256 equal, %.0f MB/s", float64(length)/1e6/took.Seconds()), nil
			},
		}
	}
	return []step{bulk("to 192.168.0.2", upload), bulk("from 192.168.0.2", download)}
}
