package plain

import (
	"encoding/binary"
	"math/rand/v2"
)

// Frame writes the packet as an inner Ethernet frame, in one of the ways in which
// it can be on the wire: a tag in the tunnel header (tagged) or in the frame,
// SNAP or not, IPv6 extension headers, IPv4 options, payload. Checksums are 0.
func (k *Packet) Frame(r *rand.Rand) (data []byte, tunnelTCI uint16, tagged bool) {
	data = append(data, k.EthDst[:]...)
	data = append(data, k.EthSrc[:]...)
	for i := range k.TagCount {
		tci := k.PCP[i]<<13 | uint16(r.IntN(2))<<12 | k.VLAN[i]
		if i == 0 && r.IntN(2) == 0 {
			tunnelTCI, tagged = tci, true
			continue
		}
		data = be16(data, []uint16{0x8100, 0x88a8, 0x9100}[r.IntN(3)])
		data = be16(data, tci)
	}
	payload := k.payload(r)
	if r.IntN(8) == 0 && len(payload) < 1400 {
		data = be16(data, uint16(8+len(payload)))
		data = append(data, 0xaa, 0xaa, 3, 0, 0, 0)
	}
	data = be16(data, k.EtherType)
	data = append(data, payload...)
	return append(data, make([]byte, r.IntN(3))...), tunnelTCI, tagged
}

func be16(b []byte, n uint16) []byte { return binary.BigEndian.AppendUint16(b, n) }

func (k *Packet) payload(r *rand.Rand) []byte {
	switch {
	case k.IP == 4:
		return k.ipv4(r)
	case k.IP == 6:
		return k.ipv6(r)
	case k.EtherType == 0x0806:
		b := []byte{0, 1, 8, 0, 6, 4}
		b = be16(b, k.ARPOperation)
		b = append(b, k.ARPSender[:]...)
		b = append(b, k.Src.AsSlice()...)
		b = append(b, make([]byte, 6)...)
		return append(b, k.Dst.AsSlice()...)
	}
	return make([]byte, r.IntN(60))
}

// place is the fragment's offset in units of 8 bytes, and whether more follow.
func (k *Packet) place(r *rand.Rand) (offset uint16, more bool) {
	switch k.Fragment {
	case "first":
		return 0, true
	case "later":
		return []uint16{2, 185, 8000}[r.IntN(3)], r.IntN(2) == 0
	}
	return 0, false
}

func (k *Packet) ipv4(r *rand.Rand) []byte {
	var options []byte
	if r.IntN(8) == 0 {
		options = []byte{1, 1, 1, 0}
	}
	body := k.transport(r)
	offset, more := k.place(r)
	b := []byte{byte(0x45 + len(options)/4), byte(r.IntN(256))}
	b = be16(b, uint16(20+len(options)+len(body)))
	b = be16(b, uint16(r.IntN(65536)))
	if more {
		offset |= 0x2000
	}
	b = be16(b, offset|uint16(r.IntN(2))<<14)
	b = append(b, 64, k.Protocol, 0, 0)
	b = append(b, k.Src.AsSlice()...)
	b = append(b, k.Dst.AsSlice()...)
	b = append(b, options...)
	return append(b, body...)
}

func (k *Packet) ipv6(r *rand.Rand) []byte {
	// Extension headers of 8 bytes: hop-by-hop, destination options, fragment.
	var headers []byte
	if r.IntN(8) == 0 {
		headers = append(headers, 0)
	}
	if r.IntN(8) == 0 {
		headers = append(headers, 60)
	}
	if k.Fragment != "whole" || r.IntN(16) == 0 { // an atomic fragment is whole
		headers = append(headers, 44)
	}
	body := k.transport(r)
	b := []byte{0x60 | byte(r.IntN(16)), byte(r.IntN(256)), 0, 0}
	b = be16(b, uint16(8*len(headers)+len(body)))
	chain := append(headers, k.Protocol)
	b = append(b, chain[0], 64)
	b = append(b, k.Src.AsSlice()...)
	b = append(b, k.Dst.AsSlice()...)
	for i, h := range headers {
		b = append(b, chain[i+1], 0)
		if h != 44 {
			b = append(b, 1, 4, 0, 0, 0, 0) // padding
			continue
		}
		offset, more := k.place(r)
		offset <<= 3
		if more {
			offset |= 1
		}
		b = be16(b, offset)
		b = append(b, 0, 0, 0, 9)
	}
	return append(b, body...)
}

// transport is what follows the IP header: as much of it as the fragment has, a
// multiple of 8 bytes.
func (k *Packet) transport(r *rand.Rand) []byte {
	rest := make([]byte, 8*(1+r.IntN(4)))
	switch {
	case k.Fragment == "later":
		return rest
	case k.HasTCP:
		b := be16(be16(nil, k.SrcPort), k.DstPort)
		b = append(b, make([]byte, 8)...)
		b = be16(b, 6<<12|k.Flags) // with one option word, so that 24 bytes are a multiple of 8
		b = append(b, 0xff, 0xff, 0, 0, 0, 0, 1, 1, 1, 1)
		return append(b, rest...)
	case k.HasPorts && k.Protocol == 17:
		b := be16(be16(nil, k.SrcPort), k.DstPort)
		b = be16(b, uint16(8+len(rest)))
		return append(append(b, 0, 0), rest...)
	case k.HasPorts:
		b := be16(be16(nil, k.SrcPort), k.DstPort)
		return append(append(b, make([]byte, 12)...), rest...)
	case k.HasICMP:
		b := append([]byte{k.Type, k.Code}, make([]byte, 6)...)
		switch {
		case k.Target.IsValid():
			b = append(b, k.Target.AsSlice()...)
		case k.isAdvertisement():
			rest = rest[:8] // not enough for a target
		}
		return append(b, rest...)
	}
	return rest
}
