package endpoint

import (
	"net/netip"
	"slices"
	"sync/atomic"
)

// remote is another endpoint.
type remote struct {
	addr     netip.Addr
	contexts []uint64 // sorted; empty means all
	// hop is how packets get there; nil while that is not known.
	hop atomic.Pointer[hop]
	// refused are packets of its that were refused, for services; the
	// receiver's alone.
	refused Refused
}

// hop is the way to a remote. It is replaced, never changed.
type hop struct {
	// to and from are link addresses: of the next hop, and of the underlay.
	to, from [6]byte
	// mtu is that of the path in bytes.
	mtu int
}

func newRemotes(list []Remote) []*remote {
	remotes := make([]*remote, len(list))
	for i, r := range list {
		contexts := slices.Clone(r.Contexts)
		slices.Sort(contexts)
		remotes[i] = &remote{addr: r.Addr, contexts: contexts}
	}
	return remotes
}

func (r *remote) has(contextID uint64) bool {
	if len(r.contexts) == 0 {
		return true
	}
	_, found := slices.BinarySearch(r.contexts, contextID)
	return found
}

// network is what one Context ID joins: ports of this endpoint and remotes.
// Only macs changes after New.
type network struct {
	// vlans are the ports with a TCI, by VLAN ID; trunk is the one without.
	vlans map[uint16]*port
	trunk *port
	// remotes get what goes to all.
	remotes []*remote
	macs    *macTable
}

// newNetworks sorts ports into networks by Context ID, and tells each port of
// its own.
func newNetworks(ports []*port, remotes []*remote, macs int) map[uint64]*network {
	networks := map[uint64]*network{}
	for _, p := range ports {
		n := networks[p.ContextID]
		if n == nil {
			n = &network{vlans: map[uint16]*port{}, macs: newMACTable(macs)}
			for _, r := range remotes {
				if r.has(p.ContextID) {
					n.remotes = append(n.remotes, r)
				}
			}
			networks[p.ContextID] = n
		}
		if p.TCI == 0 {
			n.trunk = p
		} else {
			n.vlans[p.TCI&0x0fff] = p
		}
		p.network = n
	}
	return networks
}

// portFor returns the port for a frame with this TCI in its frame header, or
// nil. Like Open vSwitch it takes any TCI but 0 for a tag.
func (n *network) portFor(tci uint16) *port {
	if tci != 0 {
		if p := n.vlans[tci&0x0fff]; p != nil {
			return p
		}
	}
	return n.trunk
}
