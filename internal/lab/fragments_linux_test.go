package lab

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"net/netip"
	"testing"

	"sttwall/firewall"
	"sttwall/reason"
	"sttwall/stt"
)

// fragmentRules accept one port of UDP and pings, whole or in fragments.
const fragmentRules = `
settings {
  endpoints = ["10.47.1.1", "10.47.2.1", "fd47:1::1", "fd47:2::1"]
}
tenant "acme" {
  context_ids = [100]
  rule "echo" {
    action   = "accept"
    services = ["udp/7000", "icmp/echo-request", "icmpv6/echo-request"]
    set {
      dscp = "af21"
    }
  }
  rule "sink" {
    action   = "accept"
    services = ["udp/7002"]
  }
  rule "no-syslog" {
    action   = "drop"
    services = ["udp/7001"]
  }
}
`

func fragmentLab(t *testing.T) (*Lab, *services) {
	t.Helper()
	l := newLab(t, Config{Rules: []byte(fragmentRules), RulesName: "fragments.hcl", Queues: 2, FragmentWait: testBound})
	var s *services
	if err := l.Do(AcmeB, func() (err error) {
		s, err = serve()
		return err
	}); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	})
	return l, s
}

// Datagrams and pings that are larger than the MTU inside: real stacks cut them,
// and put them together again.
func TestRealStacksTalkInInnerFragments(t *testing.T) {
	if !Inside(t) {
		return
	}
	l, _ := fragmentLab(t)
	ctx := bounded(t)
	message := bytes.Repeat([]byte("in pieces "), 900)
	for _, to := range []netip.Addr{InnerB, InnerB6} {
		echo := flow{place: AcmeA, network: "udp", to: netip.AddrPortFrom(to, portEcho)}
		for range 3 {
			if err := l.exchange(ctx, echo, message); err != nil {
				t.Errorf("UDP to %s: %v", to, err)
			}
		}
		if err := l.ping(ctx, flow{place: AcmeA, to: netip.AddrPortFrom(to, 0)}, message); err != nil {
			t.Errorf("ping to %s: %v", to, err)
		}
		for _, back := range []bool{false, true} {
			from := InnerA
			if to.Is6() {
				from = InnerA6
			}
			if back {
				from = to
			}
			e, err := l.WaitEvent(ctx, "a later fragment", func(e *firewall.FrameEvent) bool {
				return e.Inner.Fragmented && e.Inner.Fragment.Offset > 0 && e.Inner.Src == from
			})
			if err != nil || e.Verdict != firewall.Accept || e.Decision.Rule != "acme/echo" || !e.Rewritten {
				t.Errorf("a later fragment from %s: %v by %q, rewritten %t, %v", from, e.Verdict, e.Decision.Rule, e.Rewritten, err)
			}
		}
		if err := l.sendUDP(ctx, flow{place: AcmeA, to: netip.AddrPortFrom(to, portSyslog)}, message); err != nil {
			t.Fatal(err)
		}
		e, err := l.WaitEvent(ctx, "the last fragment of a datagram that is denied", func(e *firewall.FrameEvent) bool {
			return e.Verdict == firewall.Drop && e.Inner.Fragmented && !e.Inner.Fragment.More && e.Inner.Dst == to
		})
		if err != nil || e.Reason != reason.RuleDrop || e.Decision.Rule != "acme/no-syslog" {
			t.Errorf("to %s: %v by %q, %v", to, e.Reason, e.Decision.Rule, err)
		}
	}
	if n := l.Totals().Reasons[reason.FragmentFirstMissing]; n > 0 {
		t.Errorf("%d fragments did not find their first", n)
	}
}

// halves cuts an inner IPv4 frame into two fragments.
func halves(frame []byte, id uint16, at int) (first, later []byte) {
	const l3, l4 = etherHeaderLen, etherHeaderLen + 20
	piece := func(payload []byte, place uint16) []byte {
		b := append(bytes.Clone(frame[:l4]), payload...)
		ip := b[l3:]
		binary.BigEndian.PutUint16(ip[2:], uint16(len(ip)))
		binary.BigEndian.PutUint16(ip[4:], id)
		binary.BigEndian.PutUint16(ip[6:], place)
		binary.BigEndian.PutUint16(ip[10:], 0)
		binary.BigEndian.PutUint16(ip[10:], stt.Checksum(ip[:20]))
		return b
	}
	const moreFragments = 0x2000
	return piece(frame[l4:l4+at], moreFragments), piece(frame[l4+at:], uint16(at/8))
}

// The later fragment goes ahead, with another outer source port, so that it is
// often in the other queue: its worker, which gets nothing else, has to wake up.
func TestFragmentsMeetAcrossQueues(t *testing.T) {
	if !Inside(t) {
		return
	}
	l, host := fragmentLab(t)
	ctx := bounded(t)
	for n := range 24 {
		payload := bytes.Repeat([]byte(fmt.Sprintf("datagram %d;", n)), 150)
		inner := innerUDP(netip.AddrPortFrom(InnerA, 7999), netip.AddrPortFrom(InnerB, portSink), payload)
		first, later := halves(inner, uint16(n+1), 1208)
		for i, piece := range [][]byte{later, first} {
			c := crafted{
				path: stt.Path{Src: OuterA, Dst: OuterB, SrcPort: uint16(30000 + 1000*i + n), DstPort: stt.Port, TTL: 64, DontFragment: true},
				id:   uint32(0x700000 + 2*n + i), header: stt.FrameHeader{ContextID: ContextAcme}, inner: piece,
			}
			packets, err := c.packets()
			if err != nil {
				t.Fatal(err)
			}
			if err := l.Inject(EndpointA, packets[0], Offload{}); err != nil {
				t.Fatal(err)
			}
			// It is there when the first one comes.
			if err := l.WaitTotals(ctx, "a fragment that waits", func(t firewall.Totals) bool { return t.FragmentsHeld > uint64(n) }); err != nil {
				t.Fatal(err)
			}
		}
		if _, err := host.sunk.wait(ctx, fmt.Sprintf("datagram %d", n), func(b []byte) bool { return bytes.Equal(b, payload) }); err != nil {
			t.Fatal(err)
		}
	}
	for _, e := range l.Events() {
		if later := e.Inner.Fragment.Offset > 0; e.Verdict == firewall.Accept && later != e.Waited {
			t.Errorf("a fragment at %d: waited %t", e.Inner.Fragment.Offset, e.Waited)
		}
	}
}
