package plain

// Conditions are the attributes of a rule that are conditions, in the order of
// the reference.
//
// > A rule matches if all of its conditions hold.
var Conditions = []string{
	"source", "destination", "services", "source_mac", "destination_mac", "vlan", "pcp", "ethertype", "arp_operation",
	"tcp_flags", "fragment", "from_endpoint", "to_endpoint", "datapath", "ingress_port", "egress_port", "time",
}

func (r *Rule) matches(t *Tenant, k *Packet) bool {
	for _, c := range Conditions {
		if !r.Holds(c, t, k) {
			return false
		}
	}
	return true
}

// Holds says whether one condition of the rule holds.
func (r *Rule) Holds(condition string, t *Tenant, k *Packet) bool {
	switch condition {
	case "source":
		return inAddresses(r.Source, k, false)
	case "destination":
		return inAddresses(r.Destination, k, true)
	case "services":
		return r.carries(k)
	case "source_mac":
		return inMACs(r.SourceMAC, k.EthSrc)
	case "destination_mac":
		return inMACs(r.DestinationMAC, k.EthDst)
	case "vlan":
		// > The outermost tag's VLAN ID; none: untagged, or a tag with VLAN ID 0, which has a priority alone.
		return r.VLAN == nil || inNumbers(r.VLAN, uint64(k.VLAN[0]), k.TagCount > 0 && k.VLAN[0] != 0)
	case "pcp":
		// > The outermost tag's priority, 0 to 7.
		return r.PCP == nil || inNumbers(r.PCP, uint64(k.PCP[0]), k.TagCount > 0)
	case "ethertype":
		// > The innermost ethertype.
		return r.EtherType == nil || inNumbers(r.EtherType, uint64(k.EtherType), true)
	case "arp_operation":
		// > Only ARP packets, of these operations.
		return r.ARPOperation == nil || k.EtherType == 0x0806 && inNumbers(r.ARPOperation, uint64(k.ARPOperation), true)
	case "tcp_flags":
		return r.TCPFlags == nil || hasFlags(r.TCPFlags, k)
	case "fragment":
		// > Whether the inner IP packet is a fragment, and which.
		for _, f := range r.Fragment {
			if k.IP != 0 && f == k.Fragment {
				return true
			}
		}
		// > A rule without `fragment` is about whole packets and first fragments.
		return r.Fragment == nil && k.Fragment != "later"
	case "from_endpoint":
		// > The outer source.
		return r.FromEndpoint == nil || inRanges(r.FromEndpoint, k.From)
	case "to_endpoint":
		// > The outer destination.
		return r.ToEndpoint == nil || inRanges(r.ToEndpoint, k.To)
	case "datapath":
		// > OVN logical datapath, with context_layout = "ovn".
		return r.Datapath == nil || t.OVN && inNumbers(r.Datapath, datapath(k.Context), true)
	case "ingress_port":
		return r.IngressPort == nil || t.OVN && inNumbers(r.IngressPort, ingressPort(k.Context), true)
	case "egress_port":
		return r.Port == nil || t.OVN && inNumbers(r.Port, egressPort(k.Context), true)
	case "time":
		// > Several time blocks: in any of them.
		for _, w := range r.Times {
			if w.open(k.Wall) {
				return true
			}
		}
		return r.Times == nil
	}
	panic("no condition is called " + condition)
}

// Names says whether the condition stands in the rule.
func (r *Rule) Names(condition string) bool {
	switch condition {
	case "source":
		return r.Source != nil
	case "destination":
		return r.Destination != nil
	case "services":
		return r.Services != nil
	case "source_mac":
		return r.SourceMAC != nil
	case "destination_mac":
		return r.DestinationMAC != nil
	case "vlan":
		return r.VLAN != nil
	case "pcp":
		return r.PCP != nil
	case "ethertype":
		return r.EtherType != nil
	case "arp_operation":
		return r.ARPOperation != nil
	case "tcp_flags":
		return r.TCPFlags != nil
	case "fragment":
		return r.Fragment != nil
	case "from_endpoint":
		return r.FromEndpoint != nil
	case "to_endpoint":
		return r.ToEndpoint != nil
	case "datapath":
		return r.Datapath != nil
	case "ingress_port":
		return r.IngressPort != nil
	case "egress_port":
		return r.Port != nil
	case "time":
		return r.Times != nil
	}
	panic("no condition is called " + condition)
}

// > `"!5"` takes an entry out again; a list with nothing but such entries is all the rest, and
// > of VLANs and priorities untagged frames too.
//
// there is false where the frame has no such number; only "none" is about that.
func inNumbers(list []Number, value uint64, there bool) bool {
	found, anyPositive := false, false
	for _, n := range list {
		is := n.None && !there || !n.None && there && n.Lo <= value && value <= n.Hi
		if n.Not && is {
			return false
		}
		if !n.Not {
			anyPositive = true
			found = found || is
		}
	}
	return found || !anyPositive
}

// > A MAC address may end in a prefix length: `"52:54:00:00:00:00/24"`.
// > "/24" behind one compares its first 24 bits; "multicast" and "broadcast" name those.
func inMACs(list []MAC, a [6]byte) bool {
	found, anyPositive := false, false
	for _, m := range list {
		var is bool
		switch m.Word {
		case "multicast": // the lowest bit of the first byte; broadcast is multicast too
			is = a[0]%2 == 1
		case "broadcast":
			is = a == [6]byte{0xff, 0xff, 0xff, 0xff, 0xff, 0xff}
		default:
			is = true
			for i := range m.Bits {
				is = is && bit(a, i) == bit(m.Address, i)
			}
		}
		if m.Not && is {
			return false
		}
		if !m.Not {
			anyPositive = true
			found = found || is
		}
	}
	return found || !anyPositive
}

func bit(a [6]byte, i int) bool { return a[i/8]&(0x80>>(i%8)) != 0 }

// > Only TCP packets: flags that must be set, or with "!" must not be.
func hasFlags(list []Flag, k *Packet) bool {
	for _, f := range list {
		if set := k.Flags&(1<<f.Bit) != 0; set == f.Not {
			return false
		}
	}
	return k.HasTCP
}
