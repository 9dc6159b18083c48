package endpoint

import (
	"errors"
	"fmt"
	"log/slog"
	"net/netip"
	"time"

	"sttwall/stt"
)

// Kind says what a tenant-facing interface is.
type Kind uint8

const (
	// KindAuto: an existing interface is used through a packet socket. Else
	// a TAP is made; and where /dev/net/tun cannot be opened, a veth pair if
	// Port.Peer names its other end.
	KindAuto Kind = iota
	// KindTAP: a TAP, made by [New] and gone after Close. The tenant's stack
	// uses the TAP itself; it may be moved to another namespace.
	KindTAP
	// KindPacket: a packet socket on one end of a veth pair; the other end is
	// the tenant's.
	KindPacket
)

// Segmentation says who cuts large frames into segments.
type Segmentation uint8

const (
	// SegmentGSO: frames leave whole, for the kernel or the network card to cut.
	SegmentGSO Segmentation = iota
	// SegmentMTU: the endpoint cuts them, and computes every checksum.
	SegmentMTU
)

// Sockets says how an endpoint reaches its underlay.
type Sockets uint8

const (
	// SocketsPacket: packet sockets, before and behind all hooks of netfilter. What
	// the host's rules do with STT does not concern the endpoint.
	SocketsPacket Sockets = iota
	// SocketsIP: raw IP sockets. What comes in has passed PREROUTING and INPUT, and
	// what goes out passes OUTPUT, as with Open vSwitch's kernel module; so a
	// firewall on the endpoint's own host sees both. Outer fragments are put together
	// before. The endpoint cuts all frames itself, as with [SegmentMTU]. A packet
	// whose checksum holds the pseudo-header sum is taken for one that the kernel
	// still has to finish: such a socket does not tell.
	SocketsIP
)

// Port is a tenant-facing interface. No two ports of an endpoint have the same
// Context ID and VLAN ID.
type Port struct {
	// Name is that of the interface that the endpoint opens.
	Name string
	// ContextID is the tenant.
	ContextID uint64
	// TCI, if not 0, goes into the frame header as it is, and the port gets
	// the frames of its VLAN ID, whatever their PCP and V bit, without the
	// tag. With 0 the port is a trunk: the tag of a frame, if any, is that of
	// its outermost 802.1Q header, and frames of VLANs that no other port of
	// the Context ID has come in with such a header.
	TCI uint16
	// Kind says what the interface is.
	Kind Kind
	// Peer names the other end of a veth pair. If Name does not exist, the
	// pair is made, and gone after Close. Only with KindPacket and KindAuto.
	Peer string
	// MTU of the interface, and of the peer if it is made, in bytes. 0 leaves
	// it as it is.
	MTU int
}

// Remote is another endpoint.
type Remote struct {
	// Addr is its outer address, of the same family as Config.Local.
	Addr netip.Addr
	// Contexts are the Context IDs that live behind it; empty means all.
	Contexts []uint64
}

// Config configures an [Endpoint].
type Config struct {
	// Underlay is the Ethernet interface of the outer packets. It must be up.
	Underlay string
	// Local is the outer address, one of those of Underlay.
	Local netip.Addr
	// Remotes are the other endpoints; at most [MaxRemotes]. Frames from
	// other sources are dropped.
	Remotes []Remote
	// Ports are the tenant-facing interfaces; at most [MaxPorts]. There may be
	// none if there are Services.
	Ports []Port
	// Services take the frames of Context IDs of their own in this process; at
	// most [MaxPorts].
	Services []Service
	// Guard names the nftables table that keeps the host's own stack from
	// answering; "" is one name for each underlay and port. Two endpoints on
	// one underlay and port need two names.
	Guard string
	// STTPort is the TCP port; 0 means [stt.Port].
	STTPort uint16
	// MTU is that of the path in bytes, IP header included. 0 means that of
	// the route to the remote. It is not discovered.
	MTU int
	// Segmentation says who cuts large frames.
	Segmentation Segmentation
	// Sockets says how the endpoint reaches its underlay. The zero value is
	// [SocketsPacket].
	Sockets Sockets
	// TTL is that of outer packets; 0 means 64.
	TTL uint8
	// MACs bounds how many MAC addresses are learned for each Context ID; 0
	// means 1024. Frames to the others go to all remotes of the Context ID.
	MACs int
	// MACAge is how long an address that is not heard of stays known; 0 means
	// five minutes.
	MACAge time.Duration
	// ReceiveBuffer is that of each socket, in bytes of kernel memory; 0 means
	// 16 MiB. Without the right to force it, it is as large as
	// net.core.rmem_max lets it be.
	ReceiveBuffer int
	// ReassemblyMemory bounds the incomplete frames of all remotes together,
	// in bytes; 0 means 16 MiB.
	ReassemblyMemory int
	// ReassemblyTimeout is how long a frame may stay incomplete; 0 means 30
	// seconds, as in stt.c.
	ReassemblyTimeout time.Duration
	// Logger is told of next hops that come and go, and of limits that the
	// kernel set. nil discards.
	Logger *slog.Logger
}

// Bounds on a Config.
const (
	MaxRemotes = 1024
	MaxPorts   = 256

	// minMTU is that of IPv6 (RFC 8200 section 5), or the least of IPv4 that
	// still carries the frame header and an inner header in one segment.
	minMTU  = 256
	minMTU6 = 1280

	// tenantGSOMax is the gso_max_size of tenants' interfaces, in bytes: a
	// frame and its headers then fit one outer packet and one NFQUEUE message.
	tenantGSOMax = 65000
)

// withDefaults returns c with every zero that means something else replaced.
func (c Config) withDefaults() Config {
	if c.STTPort == 0 {
		c.STTPort = stt.Port
	}
	if c.Sockets == SocketsIP {
		c.Segmentation = SegmentMTU // a raw socket takes no GSO packet
	}
	if c.TTL == 0 {
		c.TTL = 64
	}
	if c.MACs == 0 {
		c.MACs = 1024
	}
	if c.MACAge == 0 {
		c.MACAge = 5 * time.Minute
	}
	if c.ReceiveBuffer == 0 {
		c.ReceiveBuffer = 16 << 20
	}
	if c.ReassemblyMemory == 0 {
		c.ReassemblyMemory = 16 << 20
	}
	if c.ReassemblyTimeout == 0 {
		c.ReassemblyTimeout = 30 * time.Second
	}
	if c.Logger == nil {
		c.Logger = slog.New(slog.DiscardHandler)
	}
	return c
}

// Validate reports everything that is wrong with c by itself, joined.
func (c *Config) Validate() error {
	var errs []error
	bad := func(format string, args ...any) { errs = append(errs, fmt.Errorf(format, args...)) }
	if c.Underlay == "" {
		bad("underlay: no interface named")
	}
	if !c.Local.IsValid() || c.Local.Is4In6() || c.Local.IsUnspecified() || c.Local.IsMulticast() || c.Local.Zone() != "" {
		bad("local address %s: want a unicast IPv4 or IPv6 address without zone", c.Local)
	}
	least := leastMTU(c.Local)
	if c.MTU != 0 && (c.MTU < least || c.MTU > 65535) {
		bad("mtu %d: want %d to 65535 bytes, or 0", c.MTU, least)
	}
	if c.Segmentation > SegmentMTU {
		bad("segmentation %d: unknown", c.Segmentation)
	}
	if c.Sockets > SocketsIP {
		bad("sockets %d: unknown", c.Sockets)
	}
	for _, n := range []struct {
		what  string
		value int64
	}{
		{"mac addresses", int64(c.MACs)}, {"mac age", int64(c.MACAge)}, {"receive buffer", int64(c.ReceiveBuffer)},
		{"reassembly memory", int64(c.ReassemblyMemory)}, {"reassembly timeout", int64(c.ReassemblyTimeout)},
	} {
		if n.value < 0 {
			bad("%s: %d is negative", n.what, n.value)
		}
	}
	if c.Guard != "" && !validGuard(c.Guard) {
		bad("guard %q: want a letter, then letters, digits and _, at most 31 bytes", c.Guard)
	}
	return errors.Join(append(errs, c.validateRemotes(), c.validatePorts(), c.validateServices())...)
}

func (c *Config) validateRemotes() error {
	var errs []error
	if len(c.Remotes) == 0 || len(c.Remotes) > MaxRemotes {
		errs = append(errs, fmt.Errorf("%d remotes: want 1 to %d", len(c.Remotes), MaxRemotes))
	}
	seen := map[netip.Addr]bool{}
	for _, r := range c.Remotes {
		switch {
		case !r.Addr.IsValid() || r.Addr.Is4In6() || r.Addr.IsUnspecified() || r.Addr.IsMulticast() || r.Addr.Zone() != "":
			errs = append(errs, fmt.Errorf("remote %s: want a unicast IPv4 or IPv6 address without zone", r.Addr))
		case c.Local.IsValid() && r.Addr.Is4() != c.Local.Is4():
			errs = append(errs, fmt.Errorf("remote %s: not of the family of %s", r.Addr, c.Local))
		case r.Addr == c.Local:
			errs = append(errs, fmt.Errorf("remote %s: is the local address", r.Addr))
		case seen[r.Addr]:
			errs = append(errs, fmt.Errorf("remote %s: named twice", r.Addr))
		}
		seen[r.Addr] = true
	}
	return errors.Join(errs...)
}

func (c *Config) validatePorts() error {
	var errs []error
	bad := func(p *Port, format string, args ...any) {
		errs = append(errs, fmt.Errorf("port %q: %w", p.Name, fmt.Errorf(format, args...)))
	}
	if len(c.Ports) == 0 && len(c.Services) == 0 || len(c.Ports) > MaxPorts {
		errs = append(errs, fmt.Errorf("%d ports: want 1 to %d", len(c.Ports), MaxPorts))
	}
	type network struct {
		context uint64
		vlan    uint16
		trunk   bool
	}
	names, networks := map[string]bool{c.Underlay: true}, map[network]string{}
	for i := range c.Ports {
		p := &c.Ports[i]
		if !validInterface(p.Name) {
			bad(p, "no interface name: 1 to 15 bytes without space and slash")
		}
		if p.Peer != "" && !validInterface(p.Peer) {
			bad(p, "peer %q is no interface name: 1 to 15 bytes without space and slash", p.Peer)
		}
		if p.Peer != "" && p.Kind == KindTAP {
			bad(p, "a TAP has no peer")
		}
		if p.Kind > KindPacket {
			bad(p, "unknown kind %d", p.Kind)
		}
		for _, name := range []string{p.Name, p.Peer} {
			if names[name] {
				bad(p, "interface %q is used already", name)
			}
			names[name] = name != ""
		}
		if p.MTU != 0 && (p.MTU < 68 || p.MTU > tenantGSOMax) {
			bad(p, "mtu %d: want 68 to %d bytes, or 0", p.MTU, tenantGSOMax)
		}
		n := network{p.ContextID, p.TCI & 0x0fff, p.TCI == 0}
		if other, ok := networks[n]; ok {
			bad(p, "same context id and VLAN id as port %q", other)
		}
		networks[n] = p.Name
	}
	return errors.Join(errs...)
}

func validInterface(name string) bool {
	if name == "" || len(name) > 15 || name == "." || name == ".." {
		return false
	}
	for _, c := range []byte(name) {
		if c <= ' ' || c == '/' || c == ':' || c == 0x7f {
			return false
		}
	}
	return true
}

// leastMTU returns the smallest MTU of a path from local, in bytes.
func leastMTU(local netip.Addr) int {
	if local.Is6() {
		return minMTU6
	}
	return minMTU
}
