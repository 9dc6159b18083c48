package plain

import "net/netip"

// inAddresses says whether a list of addresses holds the source or destination
// of a packet.
//
// > A list matches if some entry without `!` matches, or there is none, and no entry with `!` does.
func inAddresses(list []Address, k *Packet, destination bool) bool {
	if list == nil {
		return true
	}
	// > For ARP the addresses are the sender's and the target's protocol address.
	a := k.Src
	if destination {
		a = k.Dst
	}
	// > Frames of other ethertypes have no addresses: only a list with `"any"` and without `!` matches them.
	if !a.IsValid() {
		everyone := false
		for _, e := range list {
			if e.Not {
				return false
			}
			everyone = everyone || e.Any
		}
		return everyone
	}
	found, anyPositive := false, false
	for _, e := range list {
		is := e.holds(a)
		if e.Not && is {
			return false
		}
		if !e.Not {
			anyPositive = true
			found = found || is
		}
	}
	return found || !anyPositive
}

func (e *Address) holds(a netip.Addr) bool {
	switch {
	case e.Any:
		// > | `"any"` | every address |
		return true
	case e.Group != nil:
		// > | `address_group.NAME` | what is in the group; no quotes |
		return e.Group.holds(a)
	}
	return e.Range.holds(a)
}

// > A group holds addresses, CIDRs, ranges and other groups (not itself), without `!` and `"any"`. `addresses_from` reads one
// > address, CIDR or range a line
func (g *Group) holds(a netip.Addr) bool {
	for _, e := range g.Entries {
		if e.holds(a) {
			return true
		}
	}
	return inRanges(g.Lines, a)
}

func inRanges(list []Range, a netip.Addr) bool {
	for _, r := range list {
		if r.holds(a) {
			return true
		}
	}
	return false
}

// > IPv4 and IPv6 never meet: `"0.0.0.0/0"` is every IPv4 address and no other, and `::ffff:10.1.0.1` is an IPv6 address that
// > no IPv4 entry matches.
func (r Range) holds(a netip.Addr) bool {
	return a.BitLen() == r.Lo.BitLen() && r.Lo.Compare(a) <= 0 && a.Compare(r.Hi) <= 0
}
