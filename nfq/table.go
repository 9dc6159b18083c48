package nfq

import (
	"cmp"
	"errors"
	"fmt"
	"net/netip"
	"slices"

	"sttwall/internal/gsoguard"
	"sttwall/limit"
	"sttwall/policy"
)

// TableName is the name of our nftables table, of family inet.
const TableName = "sttwall"

const (
	maxQueues    = 256
	maxPorts     = 64
	maxEndpoints = 65536
)

// TableConfig says what the nftables table sends to the queues, and what it
// drops itself.
type TableConfig struct {
	// NetNS is where the table is installed.
	NetNS NetNS
	// Hooks are where STT is taken out.
	Hooks Hooks
	// Ports are the TCP destination ports that carry STT: 1 to 64 of them.
	Ports []uint16
	// FirstQueue is the lowest queue number.
	FirstQueue uint16
	// Queues is how many queues, from FirstQueue on, share the packets by
	// source port: 1 to 256.
	Queues int
	// Seed is the secret of the hash by which source ports share the queues, so that
	// nobody aims at one. While frames are held it must not change. 0 has the kernel
	// draw one each time that the rules are loaded; in iptables rules it is a seed
	// that everybody knows.
	Seed uint32
	// Endpoints are the outer addresses that may send STT, up to 65,536
	// prefixes; others are dropped and counted. Empty means any address, and
	// then the rules for what passes between endpoints are left out.
	Endpoints []netip.Prefix
	// Bound are those of Endpoints that must come in on an interface, up to 65,536;
	// the longest prefix decides. STT from elsewhere is dropped and counted.
	Bound []policy.BoundEndpoint
	// PassOtherTunnels leaves the tunnels of docs/table.md alone between two
	// Endpoints. Else they are dropped and counted, since they would lead around
	// the firewall.
	PassOtherTunnels bool
	// Guard, if not nil, has super-segments of small pieces dropped and counted.
	// Borrowed: it must not be closed before the table is installed.
	Guard *gsoguard.Guard
	// OnlySTT drops and counts all between two Endpoints that is not STT, but ICMP
	// errors, neighbour discovery, and what is for this host itself.
	OnlySTT bool
	// EndpointRate, if not zero, is how many packets of one source go to the queues; Per
	// is a second, a minute, an hour or a day, and Burst of no account. What is over it
	// is dropped and counted.
	EndpointRate limit.Rate
	// FailOpenAbsent lets STT pass uninspected while nobody listens on its
	// queue. Else the kernel drops it.
	FailOpenAbsent bool
	// Own tells what this firewall sends itself from what else leaves this host, with
	// [HookOutput]. The zero value: nothing does.
	Own Own

	second secondNames // of the table that is installed
	aside  bool        // to be tried: under another name, and in no hook

	filling bool // with what it needs until its sets are filled
}

// Own is what packets of the firewall's own have, and no other packet of this network
// namespace.
type Own struct {
	// Priority is their SO_PRIORITY: a secret, see [NewOwn].
	Priority uint32
	// User is whose socket sends them.
	User uint32
}

// secondNames are sets that stand in the kernel under their second name, since another one
// has the first, or had it before them.
type secondNames map[string]bool

// Validate reports the first mistake.
func (c TableConfig) Validate() error {
	switch {
	case c.Hooks>>hooks != 0:
		return fmt.Errorf("table: hooks %#x: there are %d", uint8(c.Hooks), hooks)
	case len(c.Ports) == 0:
		return errors.New("table: no STT port")
	case len(c.Ports) > maxPorts:
		return fmt.Errorf("table: %d STT ports: at most %d", len(c.Ports), maxPorts)
	case slices.Contains(c.Ports, 0):
		return errors.New("table: STT port 0 is no port")
	case c.Queues < 1 || c.Queues > maxQueues:
		return fmt.Errorf("table: %d queues: 1 to %d", c.Queues, maxQueues)
	case int(c.FirstQueue)+c.Queues > 65536:
		return fmt.Errorf("table: %d queues from number %d: the last number is 65535", c.Queues, c.FirstQueue)
	case c.OnlySTT && len(c.Endpoints) == 0:
		return errors.New("table: only STT is to pass between endpoints, and none is listed")
	case len(c.Bound) > maxEndpoints:
		return fmt.Errorf("table: %d endpoints with interfaces: at most %d", len(c.Bound), maxEndpoints)
	case len(c.Endpoints) > maxEndpoints:
		return fmt.Errorf("table: %d endpoints: at most %d", len(c.Endpoints), maxEndpoints)
	}
	for _, b := range c.Bound {
		if !slices.Contains(c.Endpoints, b.Prefix) || b.Interface == "" || len(b.Interface) > 15 {
			return fmt.Errorf("table: endpoint %v on %q is not listed, or its interface has no name", b.Prefix, b.Interface)
		}
	}
	for _, p := range c.Endpoints {
		if !p.IsValid() {
			return fmt.Errorf("table: endpoint %v is no prefix", p)
		}
		if p.Addr().Is4In6() {
			return fmt.Errorf("table: endpoint %v is an IPv4 address in IPv6 form: write it as IPv4", p)
		}
	}
	return nil
}

// ports returns the ports, sorted, each once.
func (c TableConfig) ports() []uint16 {
	p := slices.Clone(c.Ports)
	slices.Sort(p)
	return slices.Compact(p)
}

// endpoints returns the IPv4 or the IPv6 prefixes, sorted, without those that
// lie in another one: the kernel's interval sets refuse overlaps.
func (c TableConfig) endpoints(v4 bool) []netip.Prefix {
	var list []netip.Prefix
	for _, p := range c.Endpoints {
		if p.Addr().Is4() == v4 {
			list = append(list, p.Masked())
		}
	}
	slices.SortFunc(list, func(a, b netip.Prefix) int {
		return cmp.Or(a.Addr().Compare(b.Addr()), cmp.Compare(a.Bits(), b.Bits()))
	})
	disjoint := list[:0]
	for _, p := range list {
		// Sorted so, whatever contains p stands before it, last among the kept.
		if n := len(disjoint); n > 0 && disjoint[n-1].Contains(p.Addr()) {
			continue
		}
		disjoint = append(disjoint, p)
	}
	return disjoint
}

// afterLast returns the first address behind p; false if p reaches to the end
// of the address space.
func afterLast(p netip.Prefix) (netip.Addr, bool) {
	b := p.Addr().AsSlice()
	for i := p.Bits(); i < len(b)*8; i++ {
		b[i/8] |= 0x80 >> (i % 8)
	}
	last, _ := netip.AddrFromSlice(b)
	next := last.Next()
	return next, next.IsValid()
}

// ErrTableGone: somebody has removed the table.
var ErrTableGone = errors.New("the table is gone")

// TableCounters are packets counted by the table since it was installed.
type TableCounters struct {
	// Queued went to a queue, or past it where the table fails open.
	Queued uint64
	// OuterFragment were fragments of STT packets (reason outer_fragment).
	OuterFragment uint64
	// EndpointUnknown came from a source not in Endpoints (reason endpoint_unknown).
	EndpointUnknown uint64
	// EndpointInterface came from an endpoint, on an interface that is not its own.
	EndpointInterface uint64
	// OtherTunnel were packets of other tunnels between two Endpoints.
	OtherTunnel uint64
	// GSOTooSmall were super-segments of small pieces (gso_too_small in statistics).
	GSOTooSmall uint64
	// EndpointRate were over the rate of their source.
	EndpointRate uint64
	// Encapsulated were bridged frames in which STT could pass unseen (encapsulated in
	// statistics).
	Encapsulated uint64
	// NotSTT were other packets between two Endpoints, dropped by OnlySTT.
	NotSTT uint64
}
