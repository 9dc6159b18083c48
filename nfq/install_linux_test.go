package nfq

import (
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"golang.org/x/sys/unix"

	"sttwall/firewall"
	"sttwall/policy"
)

func prefixes(list ...string) []netip.Prefix {
	var p []netip.Prefix
	for _, s := range list {
		p = append(p, netip.MustParsePrefix(s))
	}
	return p
}

// collect opens a queue and returns a function that tells the frame IDs of what
// came to it since the last call.
func collect(t *testing.T, w *wire, number uint16) func() []uint32 {
	t.Helper()
	q, err := Open(Config{NetNS: w.near, Number: number})
	must(t, err)
	t.Cleanup(func() { q.Close() })
	const last = 0xfffffffe
	return func() []uint32 {
		t.Helper()
		w.send(t, outer{id: last}.bytes())
		var got []uint32
		for {
			p := take(t, q, 1)[0]
			must(t, q.SetVerdicts([]firewall.Verdict{{ID: p.ID}}))
			id := frameID(p)
			if id == last {
				return got
			}
			got = append(got, id)
		}
	}
}

// tableCase is one packet and what the rules make of it.
type tableCase struct {
	name     string
	config   TableConfig
	packet   outer
	queued   bool
	counters TableCounters
	passed   bool // neither queued nor dropped, and for this host's TCP
}

func tableCases() []tableCase {
	some4 := netip.MustParseAddr("10.99.0.200")
	some6 := netip.MustParseAddr("fd00:99::200")
	destOpts := []byte{0, 0, 1, 4, 0, 0, 0, 0}
	eight := make([]byte, 8)
	both := prefixes("10.99.0.0/25", "fd00:99::/120")

	cases := []tableCase{
		{name: "IPv4 to the port", packet: outer{}, queued: true},
		{name: "IPv6 to the port", packet: outer{src: far6, dst: near6}, queued: true},
		{name: "TCP to another port", packet: outer{dport: 7470}, passed: true},
		{name: "IPv6 TCP to another port", packet: outer{src: far6, dst: near6, dport: 7470}, passed: true},
		{name: "TCP from the port", packet: outer{sport: 7471, dport: 9}, passed: true},
		{name: "one port of several", config: TableConfig{Ports: []uint16{7471, 8000, 7472, 7471}}, packet: outer{dport: 7472}, queued: true},
		{name: "a source port of 0", packet: outer{}, queued: true},
		{name: "IPv6 with an extension header", packet: outer{src: far6, dst: near6, extensions: destOpts, extension: unix.IPPROTO_DSTOPTS}, queued: true},

		{name: "a listed IPv4 endpoint", config: TableConfig{Endpoints: both}, packet: outer{}, queued: true},
		{name: "a listed IPv6 endpoint", config: TableConfig{Endpoints: both}, packet: outer{src: far6, dst: near6}, queued: true},
		{name: "an unlisted IPv4 endpoint", config: TableConfig{Endpoints: both}, packet: outer{src: some4, dst: near4}, counters: TableCounters{EndpointUnknown: 1}},
		{name: "an unlisted IPv6 endpoint", config: TableConfig{Endpoints: both}, packet: outer{src: some6, dst: near6}, counters: TableCounters{EndpointUnknown: 1}},
		{name: "IPv6 where only IPv4 endpoints are listed", config: TableConfig{Endpoints: both[:1]}, packet: outer{src: far6, dst: near6}, counters: TableCounters{EndpointUnknown: 1}},
		{name: "an endpoint listed as one address", config: TableConfig{Endpoints: prefixes("10.99.0.2/32")}, packet: outer{}, queued: true},
		{name: "the address behind a listed one", config: TableConfig{Endpoints: prefixes("10.99.0.1/32")}, packet: outer{}, counters: TableCounters{EndpointUnknown: 1}},
		{name: "all addresses listed", config: TableConfig{Endpoints: prefixes("0.0.0.0/0", "::/0")}, packet: outer{}, queued: true},
		{name: "all IPv6 addresses listed", config: TableConfig{Endpoints: prefixes("0.0.0.0/0", "::/0")}, packet: outer{src: far6, dst: near6}, queued: true},
		{name: "overlapping and adjacent prefixes", config: TableConfig{Endpoints: prefixes("10.99.0.0/31", "10.99.0.2/31", "10.99.0.0/24", "255.255.255.255/32", "0.0.0.0/8")}, packet: outer{}, queued: true},

		{name: "a first IPv4 fragment to the port", packet: outer{fragment: true, more: true, payload: make([]byte, 44)}, counters: TableCounters{OuterFragment: 1}},
		{name: "a first IPv4 fragment of eight bytes", packet: outer{fragment: true, more: true, protocol: 6, payload: outer{}.tcp8()}, counters: TableCounters{OuterFragment: 1}},
		{name: "a first IPv6 fragment to the port", packet: outer{src: far6, dst: near6, fragment: true, more: true, payload: make([]byte, 44)}, counters: TableCounters{OuterFragment: 1}},
		{name: "an IPv6 fragment that is the whole packet", packet: outer{src: far6, dst: near6, fragment: true}, counters: TableCounters{OuterFragment: 1}},
		{name: "a first IPv6 fragment that hides its port", packet: outer{src: far6, dst: near6, fragment: true, more: true, protocol: 6, payload: []byte{}, extensions: destOpts, extension: unix.IPPROTO_DSTOPTS}, counters: TableCounters{OuterFragment: 1}},
		{name: "a first IPv6 fragment with half a header", packet: outer{src: far6, dst: near6, fragment: true, more: true, protocol: unix.IPPROTO_DSTOPTS, payload: []byte{6, 1, 1, 4, 0, 0, 0, 0}}, counters: TableCounters{OuterFragment: 1}},
		{name: "a first IPv6 fragment of UDP", packet: outer{src: far6, dst: near6, fragment: true, more: true, protocol: unix.IPPROTO_UDP, payload: eight}},
		{name: "a first fragment to another port", packet: outer{dport: 7470, fragment: true, more: true, payload: make([]byte, 44)}},
		{name: "a later IPv4 TCP fragment between endpoints", config: TableConfig{Endpoints: both}, packet: outer{fragment: true, offset: 8, payload: eight}, counters: TableCounters{OuterFragment: 1}},
		{name: "a later IPv6 TCP fragment between endpoints", config: TableConfig{Endpoints: both}, packet: outer{src: far6, dst: near6, fragment: true, offset: 8, payload: eight}, counters: TableCounters{OuterFragment: 1}},
		{name: "a later IPv6 fragment between endpoints that hides its protocol", config: TableConfig{Endpoints: both}, packet: outer{src: far6, dst: near6, fragment: true, offset: 8, protocol: unix.IPPROTO_DSTOPTS, payload: eight}, counters: TableCounters{OuterFragment: 1}},
		{name: "a later IPv4 TCP fragment from elsewhere", config: TableConfig{Endpoints: both}, packet: outer{src: some4, dst: near4, fragment: true, offset: 8, payload: eight}},
		{name: "a later IPv6 TCP fragment from elsewhere", config: TableConfig{Endpoints: both}, packet: outer{src: some6, dst: near6, fragment: true, offset: 8, payload: eight}},
		{name: "a later TCP fragment where no endpoints are listed", packet: outer{fragment: true, offset: 8, payload: eight}},
		{name: "a later IPv6 TCP fragment where no endpoints are listed", packet: outer{src: far6, dst: near6, fragment: true, offset: 8, payload: eight}},
		{name: "a later IPv4 fragment that looks like a header of STT", packet: outer{fragment: true, offset: 8, payload: outer{}.tcp8()}},
		{name: "a later IPv6 fragment that looks like a header of STT", packet: outer{src: far6, dst: near6, fragment: true, offset: 8, payload: outer{}.tcp8()}},
		{name: "a later IPv6 fragment that looks like a header of STT from elsewhere", config: TableConfig{Endpoints: both}, packet: outer{src: some6, dst: near6, fragment: true, offset: 8, payload: outer{}.tcp8()}},
		{name: "a later IPv6 fragment that looks like a header of STT between endpoints", config: TableConfig{Endpoints: both}, packet: outer{src: far6, dst: near6, fragment: true, offset: 8, payload: outer{}.tcp8()}, counters: TableCounters{OuterFragment: 1}},
		{name: "a later fragment of GRE between IPv6 endpoints", config: TableConfig{Endpoints: both}, packet: outer{src: far6, dst: near6, fragment: true, offset: 8, protocol: unix.IPPROTO_GRE, payload: eight}, counters: TableCounters{OtherTunnel: 1}},
		{name: "a later UDP fragment between endpoints", config: TableConfig{Endpoints: both}, packet: outer{fragment: true, offset: 8, protocol: unix.IPPROTO_UDP, payload: eight}},

		{name: "a later UDP fragment between endpoints that looks like VXLAN", config: TableConfig{Endpoints: both}, packet: later(udp(outer{}, 4789))},
		{name: "a later UDP fragment between IPv6 endpoints that looks like VXLAN", config: TableConfig{Endpoints: both}, packet: later(udp(outer{src: far6, dst: near6}, 4789))},
		{name: "a first UDP fragment of VXLAN between IPv6 endpoints", config: TableConfig{Endpoints: both}, packet: first(udp(outer{src: far6, dst: near6}, 4789)), counters: TableCounters{OtherTunnel: 1}},
		{name: "a first UDP fragment of VXLAN between endpoints", config: TableConfig{Endpoints: both}, packet: first(udp(outer{}, 4789)), counters: TableCounters{OtherTunnel: 1}},

		{name: "VXLAN between endpoints", config: TableConfig{Endpoints: both}, packet: udp(outer{}, 4789), counters: TableCounters{OtherTunnel: 1}},
		{name: "Linux's first VXLAN port between endpoints", config: TableConfig{Endpoints: both}, packet: udp(outer{}, 8472), counters: TableCounters{OtherTunnel: 1}},
		{name: "Geneve between IPv6 endpoints", config: TableConfig{Endpoints: both}, packet: udp(outer{src: far6, dst: near6}, 6081), counters: TableCounters{OtherTunnel: 1}},
		{name: "GRE between endpoints", config: TableConfig{Endpoints: both}, packet: outer{protocol: unix.IPPROTO_GRE, payload: eight}, counters: TableCounters{OtherTunnel: 1}},
		{name: "IPv4 in IPv4 between endpoints", config: TableConfig{Endpoints: both}, packet: outer{protocol: unix.IPPROTO_IPIP, payload: eight}, counters: TableCounters{OtherTunnel: 1}},
		{name: "IPv6 in IPv4 between endpoints", config: TableConfig{Endpoints: both}, packet: outer{protocol: unix.IPPROTO_IPV6, payload: eight}, counters: TableCounters{OtherTunnel: 1}},
		{name: "GRE between IPv6 endpoints", config: TableConfig{Endpoints: both}, packet: outer{src: far6, dst: near6, protocol: unix.IPPROTO_GRE, payload: eight}, counters: TableCounters{OtherTunnel: 1}},
		{name: "a later fragment of GRE between endpoints", config: TableConfig{Endpoints: both}, packet: outer{fragment: true, offset: 8, protocol: unix.IPPROTO_GRE, payload: eight}, counters: TableCounters{OtherTunnel: 1}},
		{name: "GRE between endpoints that may", config: TableConfig{Endpoints: both, PassOtherTunnels: true}, packet: outer{protocol: unix.IPPROTO_GRE, payload: eight}},
		{name: "VXLAN between endpoints that may", config: TableConfig{Endpoints: both, PassOtherTunnels: true}, packet: udp(outer{}, 4789)},
		{name: "VXLAN from elsewhere", config: TableConfig{Endpoints: both}, packet: udp(outer{src: some4, dst: near4}, 4789)},
		{name: "VXLAN where no endpoints are listed", packet: udp(outer{}, 4789)},
		{name: "other UDP between endpoints", config: TableConfig{Endpoints: both}, packet: udp(outer{}, 4788)},
	}
	for _, p := range tunnelProtocols() {
		cases = append(cases, tableCase{name: fmt.Sprintf("IP protocol %d between endpoints", p), config: TableConfig{Endpoints: both},
			packet: outer{protocol: p, payload: eight}, counters: TableCounters{OtherTunnel: 1}})
	}
	for _, p := range tunnelPorts() {
		cases = append(cases, tableCase{name: fmt.Sprintf("UDP port %d between IPv6 endpoints", p), config: TableConfig{Endpoints: both},
			packet: udp(outer{src: far6, dst: near6}, p), counters: TableCounters{OtherTunnel: 1}})
	}
	on := func(listed []string, bound ...policy.BoundEndpoint) TableConfig {
		return TableConfig{Endpoints: prefixes(listed...), Bound: bound}
	}
	at := func(prefix, name string) policy.BoundEndpoint {
		return policy.BoundEndpoint{Prefix: netip.MustParsePrefix(prefix), Interface: name}
	}
	elsewhere := TableCounters{EndpointInterface: 1}
	cases = append(cases,
		tableCase{name: "an endpoint on its interface", config: on([]string{"10.99.0.0/24"}, at("10.99.0.0/24", "near")), packet: outer{}, queued: true},
		tableCase{name: "an IPv6 endpoint on its interface", config: on([]string{"fd00:99::/64", "10.99.0.0/24"}, at("fd00:99::/64", "near")), packet: outer{src: far6, dst: near6}, queued: true},
		tableCase{name: "an endpoint on an interface that does not exist", config: on([]string{"10.99.0.0/24"}, at("10.99.0.0/24", "eth1")), packet: outer{}, counters: elsewhere},
		tableCase{name: "an endpoint on another interface", config: on([]string{"10.99.0.0/24"}, at("10.99.0.0/24", "lo")), packet: outer{}, counters: elsewhere},
		tableCase{name: "an IPv6 endpoint on another interface", config: on([]string{"fd00:99::/64"}, at("fd00:99::/64", "lo")), packet: outer{src: far6, dst: near6}, counters: elsewhere},
		tableCase{name: "one of two interfaces", config: on([]string{"10.99.0.0/24"}, at("10.99.0.0/24", "lo"), at("10.99.0.0/24", "near")), packet: outer{}, queued: true},
		tableCase{name: "a longer prefix without an interface", config: on([]string{"10.99.0.0/24", "10.99.0.2/32"}, at("10.99.0.0/24", "lo")), packet: outer{}, queued: true},
		tableCase{name: "a longer prefix on another interface", config: on([]string{"10.99.0.0/24", "10.99.0.2/32"}, at("10.99.0.2/32", "lo")), packet: outer{}, counters: elsewhere},
		tableCase{name: "a name that only begins so", config: on([]string{"10.99.0.0/24"}, at("10.99.0.0/24", "nea")), packet: outer{}, counters: elsewhere},
		tableCase{name: "VXLAN from an endpoint on another interface", config: on([]string{"10.99.0.0/24"}, at("10.99.0.0/24", "lo")), packet: udp(outer{}, 4789), counters: TableCounters{OtherTunnel: 1}},
	)
	return append(cases, onlySTTCases(both)...)
}

// onlySTTCases are packets where nothing but STT passes between two endpoints.
func onlySTTCases(both []netip.Prefix) []tableCase {
	only := TableConfig{Endpoints: both, OnlySTT: true}
	on4, on6 := netip.MustParseAddr("10.99.0.77"), netip.MustParseAddr("fd00:99::77") // forwarded, were there a host
	else4, else6 := netip.MustParseAddr("10.99.0.200"), netip.MustParseAddr("fd00:99::200")
	dropped, tunnel := TableCounters{NotSTT: 1}, TableCounters{OtherTunnel: 1}
	to := func(dst netip.Addr, o outer) outer {
		o.src, o.dst = far4, dst
		if dst.Is6() {
			o.src = far6
		}
		return o
	}
	icmp := func(dst netip.Addr, kind byte) outer {
		o := to(dst, outer{protocol: unix.IPPROTO_ICMP, payload: []byte{kind, 0, 0, 0, 0, 0, 0, 0}})
		if dst.Is6() {
			o.protocol = unix.IPPROTO_ICMPV6
		}
		return o
	}
	cases := []tableCase{
		{name: "only STT: STT", packet: outer{}, queued: true},
		{name: "only STT: STT of IPv6", packet: outer{src: far6, dst: near6}, queued: true},
		{name: "only STT: TCP to this host", packet: outer{dport: 7470}, passed: true},
		{name: "only STT: IPv6 TCP to this host", packet: outer{src: far6, dst: near6, dport: 7470}, passed: true},
		{name: "only STT: UDP to this host", packet: udp(outer{}, 53)},
		{name: "only STT: a later UDP fragment to this host", packet: later(udp(outer{}, 53))},
		{name: "only STT: a first UDP fragment to this host", packet: first(udp(outer{}, 53))},
		{name: "only STT: a later UDP fragment of IPv6 to this host", packet: later(udp(outer{src: far6, dst: near6}, 53))},
		{name: "only STT: VXLAN to this host", packet: udp(outer{}, 4789), counters: tunnel},
		{name: "only STT: TCP from elsewhere", packet: outer{src: else4, dst: on4, dport: 7470}},
		{name: "only STT: IPv6 TCP from elsewhere", packet: outer{src: else6, dst: on6, dport: 7470}},
		{name: "only STT: TCP to elsewhere", packet: outer{src: far4, dst: else4, dport: 7470}},
	}
	for _, on := range []netip.Addr{on4, on6} {
		cases = append(cases,
			tableCase{name: fmt.Sprintf("only STT: TCP to %v", on), packet: to(on, outer{dport: 7470}), counters: dropped},
			tableCase{name: fmt.Sprintf("only STT: TCP from the port to %v", on), packet: to(on, outer{sport: 7471, dport: 9}), counters: dropped},
			tableCase{name: fmt.Sprintf("only STT: UDP to %v", on), packet: to(on, udp(outer{}, 53)), counters: dropped},
			tableCase{name: fmt.Sprintf("only STT: a later UDP fragment to %v", on), packet: to(on, later(udp(outer{}, 4789))), counters: dropped},
			tableCase{name: fmt.Sprintf("only STT: a first UDP fragment to %v", on), packet: to(on, first(udp(outer{}, 53))), counters: dropped},
			tableCase{name: fmt.Sprintf("only STT: GRE to %v", on), packet: to(on, outer{protocol: unix.IPPROTO_GRE, payload: make([]byte, 8)}), counters: tunnel},
			tableCase{name: fmt.Sprintf("only STT: SCTP to %v", on), packet: to(on, outer{protocol: unix.IPPROTO_SCTP, payload: make([]byte, 12)}), counters: dropped},
			tableCase{name: fmt.Sprintf("only STT: a later TCP fragment to %v", on), packet: to(on, later(outer{payload: make([]byte, 8)})), counters: TableCounters{OuterFragment: 1}},
		)
	}
	for kind, counters := range map[byte]TableCounters{3: {}, 11: {}, 12: {}, 0: dropped, 8: dropped, 5: dropped, 13: dropped} {
		cases = append(cases, tableCase{name: fmt.Sprintf("only STT: ICMP type %d", kind), packet: icmp(on4, kind), counters: counters})
	}
	for kind, counters := range map[byte]TableCounters{1: {}, 2: {}, 3: {}, 4: {}, 133: {}, 134: {}, 135: {}, 136: {}, 137: {}, 143: {}, 128: dropped, 129: dropped, 139: dropped} {
		cases = append(cases, tableCase{name: fmt.Sprintf("only STT: ICMPv6 type %d", kind), packet: icmp(on6, kind), counters: counters})
	}
	for i := range cases {
		cases[i].config = only
	}
	return append(cases, tableCase{name: "only STT, where its own rules pass tunnels: VXLAN", config: TableConfig{Endpoints: both, OnlySTT: true, PassOtherTunnels: true},
		packet: to(on4, udp(outer{}, 4789)), counters: dropped})
}

func TestTableQueuesSTTAndNothingElse(t *testing.T) {
	w := newWire(t)
	got := collect(t, w, 40)
	var table *Table
	install := func(t *testing.T, c TableConfig) {
		if table == nil || !c.equal(table.config) {
			var err error
			table, err = InstallTable(c)
			must(t, err)
		}
	}
	for _, c := range tableCases() {
		t.Run(c.name, func(t *testing.T) {
			if c.config.Ports == nil {
				c.config.Ports = []uint16{testPort}
			}
			c.config.NetNS, c.config.FirstQueue, c.config.Queues = w.near, 40, 1 // a subtest has a thread of its own
			install(t, c.config)
			before, err := table.Counters()
			must(t, err)

			c.packet.id = 1
			w.send(t, c.packet.bytes())
			if delivered := slices.Contains(w.delivered(t), 1); delivered != c.passed {
				t.Errorf("passed by the table to this host's TCP: got %v, want %v", delivered, c.passed)
			}
			counters, err := table.Counters()
			must(t, err)
			counters.Queued -= before.Queued
			counters.OuterFragment -= before.OuterFragment
			counters.EndpointUnknown -= before.EndpointUnknown
			counters.EndpointInterface -= before.EndpointInterface
			counters.OtherTunnel -= before.OtherTunnel
			counters.NotSTT -= before.NotSTT
			if c.queued {
				c.counters.Queued = 1
			}
			if diff := cmp.Diff(counters, c.counters); diff != "" {
				t.Errorf("counters (-got +want):\n%s", diff)
			}
			if !c.config.admitsFar() {
				c.config.Endpoints, c.config.Bound = prefixes("0.0.0.0/0", "::/0"), nil // for the last packets of collect
				install(t, c.config)
			}
			if queued := len(got()) == 1; queued != c.queued {
				t.Errorf("queued: got %v, want %v", queued, c.queued)
			}
		})
	}
}

// admitsFar reports whether STT from the far end is queued.
func (c TableConfig) admitsFar() bool {
	return len(c.Bound) == 0 && len(c.Endpoints) == 0 || len(c.Bound) == 0 && slices.ContainsFunc(c.Endpoints, func(p netip.Prefix) bool { return p.Contains(far4) })
}

// tcp8 is the first eight bytes of the TCP header.
func (o outer) tcp8() []byte {
	o.src, o.dst, o.dport, o.sport = far4, near4, testPort, 50000
	return o.tcp()[:8]
}

func first(o outer) outer {
	o.fragment, o.more = true, true
	return o
}

func later(o outer) outer {
	o.fragment, o.offset = true, 8
	return o
}

func udp(o outer, port uint16) outer {
	o.protocol = unix.IPPROTO_UDP
	o.payload = []byte{0xc0, 0, byte(port >> 8), byte(port), 0, 8, 0, 0}
	return o
}

func TestTableSpreadsBySourcePortAndKeepsFramesTogether(t *testing.T) {
	for _, n := range []int{2, 3, 8} {
		t.Run(fmt.Sprintf("%d queues", n), func(t *testing.T) {
			w := newWire(t)
			_, err := InstallTable(TableConfig{Ports: []uint16{testPort}, FirstQueue: 50, Queues: n})
			must(t, err)
			spreads(t, w, 50, n)
		})
	}
}

// spreads checks that packets of many source ports reach all of n queues, and
// those of one port the same.
func spreads(t *testing.T, w *wire, first uint16, n int) {
	t.Helper()
	queues := make([]Queue, n)
	for i := range queues {
		q, err := Open(Config{Number: first + uint16(i)})
		must(t, err)
		defer q.Close()
		queues[i] = q
	}
	const ports, each = 128, 4
	var sent [][]byte
	for range each {
		for i := range uint16(ports) {
			sent = append(sent, outer{id: uint32(i), sport: 32768 + i*251}.bytes(),
				outer{src: far6, dst: near6, id: uint32(i), sport: 32768 + i*251}.bytes())
		}
	}
	w.send(t, sent...)

	where := make(map[uint32]int) // frame ID to queue
	used := make(map[int]bool)
	total := 0
	batch := make([]firewall.Packet, 64)
	for start := time.Now(); total < len(sent) && time.Since(start) < patience; {
		for i, q := range queues {
			m, err := q.Receive(batch, time.Millisecond)
			must(t, err)
			total += m
			for _, p := range batch[:m] {
				id := frameID(p)
				if before, ok := where[id]; ok && before != i {
					t.Fatalf("source port %d came to queues %d and %d", id, before, i)
				}
				where[id], used[i] = i, true
			}
		}
	}
	if total != len(sent) || len(used) != n {
		t.Errorf("got %d packets in %d queues, want %d in %d", total, len(used), len(sent), n)
	}
}

func TestTableStaysAndDropsWithoutListener(t *testing.T) {
	for _, c := range []struct {
		name string
		open bool
		want []uint32
	}{
		{"fail closed: nothing passes", false, nil},
		{"fail open absent: it passes", true, []uint32{1, 2}},
	} {
		t.Run(c.name, func(t *testing.T) {
			w := newWire(t)
			q, err := Open(Config{Number: 3})
			must(t, err)
			_, err = InstallTable(TableConfig{Ports: []uint16{testPort}, FirstQueue: 3, Queues: 1, FailOpenAbsent: c.open})
			must(t, err)
			w.send(t, outer{id: 7}.bytes())
			take(t, q, 1) // with a listener it is queued either way
			must(t, q.Close())
			w.send(t, outer{id: 1}.bytes(), outer{src: far6, dst: near6, id: 2}.bytes())
			if diff := cmp.Diff(w.delivered(t), c.want); diff != "" {
				t.Errorf("delivered (-got +want):\n%s", diff)
			}
		})
	}
}

func TestInstallReplacesAStaleTable(t *testing.T) {
	w := newWire(t)
	stale, err := InstallTable(TableConfig{Ports: []uint16{1, 2}, FirstQueue: 90, Queues: 4, Endpoints: prefixes("192.0.2.0/24")})
	must(t, err)
	got := collect(t, w, 40)
	table, err := InstallTable(TableConfig{Ports: []uint16{testPort}, FirstQueue: 40, Queues: 1})
	must(t, err)
	w.send(t, outer{id: 1}.bytes(), outer{id: 2, dport: 2}.bytes())
	if diff := cmp.Diff(w.delivered(t), []uint32{2}); diff != "" {
		t.Errorf("delivered: only what the stale table would have queued (-got +want):\n%s", diff)
	}
	if diff := cmp.Diff(got(), []uint32{1}); diff != "" {
		t.Errorf("queued (-got +want):\n%s", diff)
	}
	if got, want := run(t, "nft", "list", "tables"), "table inet sttwall\n"; got != want {
		t.Errorf("got tables %q, want %q", got, want)
	}
	// Whoever installed it: it is one table.
	must(t, stale.Remove())
	must(t, table.Remove())
	must(t, RemoveTable(0))
	if got := run(t, "nft", "list", "ruleset"); got != "" {
		t.Errorf("after remove: got %q, want an empty ruleset", got)
	}
	if _, err := table.Counters(); err == nil {
		t.Error("counters of a removed table: got no error")
	}
}

func TestInstallLeavesOtherTablesAlone(t *testing.T) {
	enterNS(t)
	needCommand(t, "nft")
	run(t, "nft", "add", "table", "inet", "mine")
	run(t, "nft", "add", "table", "ip", "sttwall")
	before := run(t, "nft", "list", "ruleset")
	table, err := InstallTable(TableConfig{Ports: []uint16{testPort}, Queues: 1})
	must(t, err)
	must(t, table.Remove())
	if diff := cmp.Diff(run(t, "nft", "list", "ruleset"), before); diff != "" {
		t.Errorf("ruleset (-got +want):\n%s", diff)
	}
}

func TestTableIsInstalledInAnotherNamespace(t *testing.T) {
	w := newWire(t)
	needCommand(t, "nft")
	table, err := InstallTable(TableConfig{NetNS: w.far, Ports: []uint16{testPort}, Queues: 1})
	must(t, err)
	q, err := Open(Config{NetNS: w.far, Number: 5})
	must(t, err)
	defer q.Close()
	if got := run(t, "nft", "list", "tables"); got != "" {
		t.Errorf("this namespace: got tables %q, want none", got)
	}
	here, err := Open(Config{Number: 5}) // the number is free here
	must(t, err)
	must(t, here.Close())
	if _, err := Open(Config{NetNS: w.far, Number: 5}); err == nil {
		t.Error("the other namespace's queue opened twice")
	}
	if _, err := table.Counters(); err != nil {
		t.Error(err)
	}
	if s := q.Stats(); s.KernelKnown && s.Kernel.Owner == 0 {
		t.Errorf("got kernel stats %+v, want an owner", s.Kernel)
	}
	must(t, table.Remove())
}

func TestTableTakesManyEndpoints(t *testing.T) {
	w := newWire(t)
	c := TableConfig{Ports: []uint16{testPort}, FirstQueue: 40, Queues: 1, Endpoints: prefixes("10.99.0.2/32", "ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff/128")}
	for i := range 5000 {
		c.Endpoints = append(c.Endpoints,
			netip.PrefixFrom(netip.AddrFrom4([4]byte{172, byte(i >> 8), byte(i), 4}), 30),
			netip.PrefixFrom(netip.AddrFrom16([16]byte{0xfd, 1, 13: byte(i >> 8), 14: byte(i), 15: 1}), 128))
	}
	_, err := InstallTable(c)
	must(t, err)
	got := collect(t, w, 40)
	w.send(t, outer{id: 1}.bytes(), outer{id: 2, src: near4.Next().Next(), dst: near4}.bytes())
	if diff := cmp.Diff(got(), []uint32{1}); diff != "" {
		t.Errorf("queued (-got +want):\n%s", diff)
	}
}

func TestTableSaysNoTracking(t *testing.T) {
	w := newWire(t)
	needCommand(t, "nft")
	_, err := InstallTable(TableConfig{Ports: []uint16{testPort}, FirstQueue: 40, Queues: 1})
	must(t, err)
	q, err := Open(Config{Number: 40})
	must(t, err)
	defer q.Close()
	// Behind the queue, where connection tracking would have looked at it.
	run(t, "nft", "add table inet probe { chain c { type filter hook input priority 0; tcp dport 7471 ct state untracked counter accept; tcp dport 7471 drop; }; }")
	w.send(t, outer{id: 1}.bytes(), outer{id: 2, src: far6, dst: near6}.bytes())
	must(t, q.SetVerdicts(accept(take(t, q, 2)...)))
	if diff := cmp.Diff(w.delivered(t), []uint32{1, 2}); diff != "" {
		t.Errorf("delivered (-got +want):\n%s", diff)
	}
	if got := run(t, "nft", "list", "table", "inet", "probe"); !strings.Contains(got, "packets 2 ") {
		t.Errorf("got %s, want 2 untracked packets", got)
	}
}
