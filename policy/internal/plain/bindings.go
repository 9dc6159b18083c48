package plain

import "net/netip"

// Binding is a binding block.
type Binding struct {
	Name                    string
	Endpoints               []Range
	Addresses               []Address
	MACs                    []MAC
	IngressPorts, Datapaths []Number
}

// spoofed says whether the packet claims what is declared for others.
//
// > What some binding declares comes from that binding's endpoints, and from those of other
// > bindings that declare it too; else it is dropped (`binding_declared`)
func (t *Tenant) spoofed(k *Packet) bool {
	// > **What a frame claims:** its Ethernet source; its IP source; the sender's MAC and address of an ARP packet; the target of a
	// > neighbour advertisement; in the OVN layout its ingress port, which is one of its datapath.
	macs, addresses := [][6]byte{k.EthSrc}, []netip.Addr{k.Src, k.Target}
	if k.EtherType == 0x0806 {
		macs = append(macs, k.ARPSender)
	}
	for _, m := range macs {
		if isHostMAC(m) && t.forbids(k, func(b *Binding) bool { return b.MACs != nil && inMACs(b.MACs, m) }) {
			return true
		}
	}
	for _, a := range addresses {
		if isHost(a) && t.forbids(k, func(b *Binding) bool { return b.Addresses != nil && inAddresses(b.Addresses, &Packet{Src: a}, false) }) {
			return true
		}
	}
	return t.OVN && t.forbids(k, func(b *Binding) bool {
		// > The datapaths that ingress_ports are of; each has ports of its own.
		return b.IngressPorts != nil && inNumbers(b.IngressPorts, ingressPort(k.Context), true) &&
			(b.Datapaths == nil || inNumbers(b.Datapaths, datapath(k.Context), true))
	})
}

// forbids says whether bindings declare something, but none of them for where the
// packet comes from.
func (t *Tenant) forbids(k *Packet, declares func(*Binding) bool) bool {
	declared := false
	for _, b := range t.Bindings {
		if !declares(b) {
			continue
		}
		if inRanges(b.Endpoints, k.From) {
			return false
		}
		declared = true
	}
	return declared
}

// > Multicast, broadcast and unspecified addresses and MACs claim nothing, so DHCP and address probes pass.
func isHost(a netip.Addr) bool {
	return a.IsValid() && !a.IsMulticast() && !a.IsUnspecified() && a.String() != "255.255.255.255"
}

func isHostMAC(m [6]byte) bool { return m[0]%2 == 0 && m != [6]byte{} }

// binding makes a binding of a tenant whose layout and endpoints are known.
func (m *maker) binding(t *Tenant, name string) *Binding {
	b := &Binding{Name: name, Endpoints: some(m, 2, func() Range {
		if t.Endpoints == nil {
			return m.outer()
		}
		e := t.Endpoints[m.r.IntN(len(t.Endpoints))]
		if m.chance(2) {
			return Range{e.Hi, e.Hi}
		}
		return e
	})}
	if m.chance(2) {
		b.Addresses = m.addresses()
	}
	if m.chance(2) {
		b.MACs = some(m, 3, func() MAC {
			e := MAC{Address: [6]byte{2, 0, 0, 0, 0, byte(m.r.IntN(8))}, Bits: []int{48, 48, 47, 46, 24}[m.r.IntN(5)]}
			e.Address[5] &= byte(0xff << min(8, 48-e.Bits))
			return e
		})
	}
	if t.OVN && m.chance(2) {
		b.IngressPorts = some(m, 3, func() Number { return m.number(1<<15-1, false, 0, 3, 1<<15-3) })
		if m.chance(2) {
			b.Datapaths = some(m, 2, func() Number { return m.number(1<<24-1, false, 0, 7, 1<<24-5) })
		}
	}
	if b.Addresses == nil && b.MACs == nil && b.IngressPorts == nil {
		b.Addresses = []Address{{Range: m.inner()}}
	}
	return b
}

func (w *writer) binding(b *Binding) string {
	return w.block("binding \""+b.Name+"\"", []string{
		w.list("endpoints", texts(b.Endpoints, w.endpoint)),
		w.list("addresses", texts(b.Addresses, w.address)),
		w.list("macs", texts(b.MACs, w.mac)),
		w.list("ingress_ports", texts(b.IngressPorts, w.number)),
		w.list("datapaths", texts(b.Datapaths, w.number)),
	})
}

// antiSpoof writes the block; what is learned besides makes no decision here.
func (w *writer) antiSpoof(t *Tenant) string {
	if t.Bindings == nil {
		return ""
	}
	learn := ""
	if w.r.IntN(2) == 0 {
		learn = attribute("learn", w.one("[]", `["address"]`, `["mac", "address"]`))
	}
	return w.block("anti_spoof", []string{learn}, texts(t.Bindings, w.binding)...)
}
