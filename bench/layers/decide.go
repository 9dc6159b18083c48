package main

import (
	"fmt"
	"math/rand/v2"
	"net/netip"
	"runtime"
)

// wanted is a rule that all contestants can express: it accepts TCP from and to
// these prefixes and ports.
type wanted struct {
	src, dst []netip.Prefix
	lo, hi   uint16 // destination ports
}

// first is a packet that would begin a flow.
type first struct {
	contextID uint64
	src, dst  netip.AddrPort
}

// decideRules makes rules, four of five a CIDR and a port, the others ranges of
// ports, sets of addresses, any source or any destination; and first packets, seven
// of eight of which were made for some rule. The first tenant has the first of the
// rules, and so on, each the same number; its context ID is its number, from 1.
func decideRules(tenants, each int) ([]wanted, []first) {
	n := tenants * each
	r := rand.New(rand.NewPCG(3, uint64(n)))
	address := func(bits int) netip.Prefix {
		a := netip.AddrFrom4([4]byte{10, byte(r.IntN(256)), byte(r.IntN(256)), byte(r.IntN(256))})
		return netip.PrefixFrom(a, bits).Masked()
	}
	bits := func() int { return []int{24, 28, 32}[r.IntN(3)] }
	anywhere := netip.MustParsePrefix("0.0.0.0/0")
	ports := []uint16{80, 443, 22, 53, 5432, 8080, 3306, 9000, 9042, 6379}
	rules := make([]wanted, n)
	for i := range rules {
		port := ports[r.IntN(len(ports))]
		w := wanted{[]netip.Prefix{address(bits())}, []netip.Prefix{address(bits())}, port, port}
		switch r.IntN(20) {
		case 0:
			w.hi += 1000
		case 1:
			for range 10 {
				w.dst = append(w.dst, address(32))
			}
		case 2:
			w.src[0] = anywhere
		case 3:
			w.dst[0] = anywhere
		}
		rules[i] = w
	}
	packets := make([]first, 4096)
	for i := range packets {
		number := r.IntN(n)
		w := &rules[number]
		port := w.lo
		if r.IntN(8) == 0 {
			port = 7 // none
		}
		inside := func(p netip.Prefix) netip.Addr {
			if p.Bits() == 0 {
				return address(32).Addr()
			}
			return p.Addr()
		}
		packets[i] = first{
			uint64(number/each) + 1,
			netip.AddrPortFrom(inside(w.src[r.IntN(len(w.src))]), uint16(1024+r.IntN(60000))),
			netip.AddrPortFrom(inside(w.dst[r.IntN(len(w.dst))]), port),
		}
	}
	return rules, packets
}

// decider decides about first packets.
type decider interface {
	accepts(p *first) bool
}

// decideContests: whether a first packet may begin a flow. sttwall finds the tenant
// of the context ID, looks whether the endpoint may speak for it, and names the rule;
// the lists do so the plain way. tailscale's filter knows no tenants.
func decideContests(at *place) ([]*contest, error) {
	type size struct {
		job           string
		tenants, each int
	}
	sizes := []size{{"rules=10", 1, 10}, {"rules=100", 1, 100}, {"rules=1000", 1, 1000}, {"rules=10000", 1, 10_000}}
	tenants := []int{10, 1000, 10_000}
	if at.quick {
		tenants = []int{10, 1000}
	}
	for _, n := range tenants {
		sizes = append(sizes, size{fmt.Sprintf("tenants=%d/rules=2", n), n, 2})
	}
	var out []*contest
	for _, s := range sizes {
		rules, packets := decideRules(s.tenants, s.each)
		all, err := deciders(rules, s.each)
		if err != nil {
			return nil, err
		}
		c := &contest{job: s.job, units: 1}
		for _, d := range all {
			run := singly(d.decider, packets)
			if o, is := d.decider.(*ourDecider); is {
				run = o.batches(d.decider, packets)
			}
			c.contestants = append(c.contestants, contestant{variant: d.variant, run: run})
		}
		out = append(out, c)
	}
	return out, nil
}

type namedDecider struct {
	variant string
	decider
}

// deciders returns all that can express the rules, of which each tenant has so many.
func deciders(rules []wanted, each int) ([]namedDecider, error) {
	o, err := newOurDecider(rules, each)
	if err != nil {
		return nil, err
	}
	out := []namedDecider{{ours, o}}
	if each == len(rules) {
		t, err := newTailscaleDecider(rules)
		if err != nil {
			return nil, err
		}
		out = append(out, namedDecider{"tailscale", t})
	}
	return append(out, namedDecider{"linear_list", newListDecider(rules, each)}, namedDecider{"linear_boxes", newBoxDecider(rules, each)}), nil
}

// singly decides about the packets again and again.
func singly(d decider, packets []first) func(int) error {
	at := 0
	return func(n int) error {
		accepted := 0
		for range n {
			at = (at + 1) % len(packets)
			if d.accepts(&packets[at]) {
				accepted++
			}
		}
		runtime.KeepAlive(accepted)
		return nil
	}
}

// batches does the same as a worker does it: it expects a batch where that pays. The
// decider is o, called as the others are.
func (o *ourDecider) batches(d decider, packets []first) func(int) error {
	const batch = 64
	ids := make([]uint64, batch)
	at := 0
	return func(n int) error {
		accepted := 0
		for n > 0 {
			some := packets[at:min(at+min(n, batch), len(packets))]
			if o.policy.Cold() {
				for i := range some {
					ids[i] = some[i].contextID
				}
				o.policy.Expect(ids[:len(some)])
			}
			for i := range some {
				if d.accepts(&some[i]) {
					accepted++
				}
			}
			n -= len(some)
			at = (at + len(some)) % len(packets)
		}
		runtime.KeepAlive(accepted)
		return nil
	}
}
