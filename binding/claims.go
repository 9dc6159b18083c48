package binding

import (
	"encoding/binary"
	"fmt"
	"net/netip"

	"sttwall/inspect"
)

// Kind is what a claim is about.
type Kind uint8

// The kinds.
const (
	Address     Kind = iota // an inner IPv4 or IPv6 address
	MAC                     // an inner MAC address
	IngressPort             // an OVN logical port
	Kinds                   // how many there are
)

// String returns the word that the rules language has for the kind.
func (k Kind) String() string {
	switch k {
	case Address:
		return "address"
	case MAC:
		return "mac"
	case IngressPort:
		return "ingress_port"
	}
	return "unknown"
}

// Claim is something that a frame says about who sent it. Two claims are equal
// iff they are about the same thing in the same network of a tenant.
type Claim struct {
	value   [16]byte // address, IPv4 mapped; or MAC; or port
	network uint64   // the network inside the tenant in which the value is one thing
	vlan    uint32   // VLAN IDs, outermost first, 12 bits each; no tag and ID 0 are the same network
	kind    Kind
	is4     bool
}

// Kind returns what the claim is about.
func (c *Claim) Kind() Kind { return c.kind }

// Network returns the network in which the value is one thing: the context ID in
// the plain layout; in the OVN layout the datapath for MACs, ports and link-local
// addresses, and 0 for addresses that are routed between datapaths.
func (c *Claim) Network() uint64 { return c.network }

// Address returns the address of a claim of that kind.
func (c *Claim) Address() netip.Addr {
	a := netip.AddrFrom16(c.value)
	if c.is4 {
		return a.Unmap()
	}
	return a
}

// MAC returns the MAC of a claim of that kind.
func (c *Claim) MAC() [6]byte { return [6]byte(c.value[:6]) }

// Port returns the port of a claim of that kind.
func (c *Claim) Port() uint16 { return binary.BigEndian.Uint16(c.value[:]) }

// String writes the value: "10.1.16.5", "02:00:00:00:00:05", "port 3 of datapath 7".
func (c Claim) String() string {
	switch c.kind {
	case Address:
		return c.Address().String()
	case MAC:
		m := c.MAC()
		return fmt.Sprintf("%02x:%02x:%02x:%02x:%02x:%02x", m[0], m[1], m[2], m[3], m[4], m[5])
	}
	return fmt.Sprintf("port %d of datapath %d", c.Port(), c.network)
}

// MaxClaims is how many claims one frame can make: its MAC, its address, its port,
// and either another MAC as sender of ARP or the target of an advertisement.
const MaxClaims = 4

// Claims are those of one frame. It is reusable: Read resets it.
type Claims struct {
	list  [MaxClaims]Claim
	count int
	// Announces: the frame is there to say where its sender lives now: a
	// gratuitous ARP (RFC 5227 section 2.3), a RARP broadcast as hypervisors send
	// it after a migration, or an unsolicited neighbour advertisement (RFC 4861
	// section 7.2.6).
	Announces bool
}

// Origin is what the tunnel says of where a frame comes from inside.
type Origin struct {
	Context     uint64 // the context ID
	OVN         bool   // it has the parts that follow
	Datapath    uint32
	IngressPort uint16
}

// etherTypeRARP is RFC 903. QEMU and VMware send it for each MAC of a guest that
// has moved; only its Ethernet source counts.
const etherTypeRARP = 0x8035

// Read collects what a frame claims. What no host can be is no claim: unspecified,
// multicast and broadcast addresses, multicast MACs and the MAC of zeros.
func (c *Claims) Read(f *inspect.Frame, o *Origin) {
	c.count, c.Announces = 0, f.EtherType == etherTypeRARP
	vlan := vlanOf(f)
	c.mac(f.EthSrc, vlan, o)
	switch {
	case f.IP != 0:
		c.address(f.Src, vlan, o)
	case f.EtherType == inspect.EtherTypeARP:
		if f.ARPSender != f.EthSrc {
			c.mac(f.ARPSender, vlan, o)
		}
		c.address(f.Src, vlan, o)
		c.Announces = f.Src == f.Dst
	}
	if f.HasTarget {
		if f.Target != f.Src {
			c.address(f.Target, vlan, o)
		}
		c.Announces = !f.Solicited
	}
	if o.OVN {
		p := Claim{network: uint64(o.Datapath), kind: IngressPort}
		binary.BigEndian.PutUint16(p.value[:], o.IngressPort)
		c.add(p)
	}
}

// All returns the claims. The slice is c's own.
func (c *Claims) All() []Claim { return c.list[:c.count] }

func (c *Claims) add(x Claim) {
	c.list[c.count] = x
	c.count++
}

func (c *Claims) mac(m [6]byte, vlan uint32, o *Origin) {
	if m[0]&1 != 0 || m == [6]byte{} {
		return
	}
	x := Claim{vlan: vlan, kind: MAC, network: o.Context}
	if o.OVN {
		x.network = uint64(o.Datapath)
	}
	copy(x.value[:], m[:])
	c.add(x)
}

func (c *Claims) address(a netip.Addr, vlan uint32, o *Origin) {
	if !a.IsValid() || a.IsUnspecified() || a.IsMulticast() || a == broadcast {
		return
	}
	x := Claim{value: a.As16(), vlan: vlan, kind: Address, is4: a.Is4(), network: o.Context}
	if o.OVN {
		// Logical routers keep the source of what they route, but not the datapath.
		if x.network = 0; a.IsLinkLocalUnicast() {
			x.network = uint64(o.Datapath)
		}
	}
	c.add(x)
}

var broadcast = netip.AddrFrom4([4]byte{255, 255, 255, 255})

// vlanOf returns the VLAN IDs of a frame's tags as one number. A tag with ID 0
// has a priority alone and makes no other network (IEEE 802.1Q section 6.9).
func vlanOf(f *inspect.Frame) (v uint32) {
	for i := range min(int(f.TagCount), inspect.MaxTags) {
		if id := uint32(f.Tags[i] & 0xfff); id != 0 {
			v = v<<12 | id
		}
	}
	return v
}
