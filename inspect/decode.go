package inspect

import (
	"encoding/binary"
	"net/netip"

	"sttwall/reason"
)

const (
	ethernetLen = 14
	snapLen     = 8     // LLC and SNAP headers together
	vlanID      = 0xfff // of a TCI
	minType     = 0x600 // below it the ethertype field is an 802.3 length
	maxLength   = 1500
	arpLen      = 28 // ARP for Ethernet and IPv4, RFC 826
)

// decode is Decode, header by header, for frames of any kind. tags is what setTags takes,
// with the tunnel header's tag alone.
func (f *Frame) decode(data []byte, length int, tags uint64) reason.Reason {
	*f = Frame{}
	f.L4Offset = -1
	if len(data) > length {
		data = data[:max(length, 0)]
	}
	if length < ethernetLen {
		return reason.InnerTruncated
	}
	if len(data) < ethernetLen {
		return reason.CopyTooShort
	}
	b := (*[ethernetLen]byte)(data)
	f.EthDst = [6]byte(b[0:6])
	f.EthSrc = [6]byte(b[6:12])
	f.HeaderBytes = ethernetLen
	f.setTags(tags)

	// What is known by now goes on in registers: to read a field that was just
	// written takes longer than all that is done with it.
	etherType, l3, end := binary.BigEndian.Uint16(b[12:]), ethernetLen, length
	f.EtherType, f.L3Offset = etherType, l3
	if etherType != EtherTypeIPv4 && etherType != EtherTypeIPv6 {
		var r reason.Reason
		if end, r = f.decodeBetween(data, length); r != reason.None {
			return r
		}
		etherType, l3 = f.EtherType, f.L3Offset
	}
	f.PayloadOffset = l3

	switch etherType {
	case EtherTypeIPv4:
		return f.decodeIPv4(data, l3, end)
	case EtherTypeIPv6:
		return f.decodeIPv6(data, l3, end)
	case EtherTypeARP:
		return f.decodeARP(data, end)
	}
	return reason.None
}

// decodeBetween reads what stands between the addresses and the innermost
// ethertype: tags and SNAP. end is where the frame's contents end; only 802.3 tells
// more than length.
func (f *Frame) decodeBetween(data []byte, length int) (end int, r reason.Reason) {
	for isTag(f.EtherType) {
		if r := f.decodeTag(data, length); r != reason.None {
			return 0, r
		}
	}
	if f.EtherType >= minType {
		return length, reason.None
	}
	end = f.L3Offset + int(f.EtherType)
	return end, f.decodeSNAP(data, length)
}

func isTag(etherType uint16) bool {
	return etherType == EtherTypeVLAN || etherType == EtherTypeQinQ || etherType == EtherTypeVMAN
}

// decodeTag reads a TCI and the ethertype behind it. (The tag's own ethertype
// was read as that of the frame.) A tag behind one without a VLAN ID is refused:
// that one is no tag to many (IEEE 802.1Q section 6.9; the Windows receiver, and
// Linux in skb_vlan_untag, look at the next), and the frame is in the other's VLAN.
func (f *Frame) decodeTag(data []byte, length int) reason.Reason {
	off := f.L3Offset
	if length < off+4 {
		return reason.InnerTruncated
	}
	if len(data) < off+4 {
		return reason.CopyTooShort
	}
	f.Tags[f.TagCount] = binary.BigEndian.Uint16(data[off:])
	f.TagCount++
	if f.TagCount > MaxTags || f.TagCount > 1 && f.Tags[f.TagCount-2]&vlanID == 0 {
		return reason.InnerVLANDepth
	}
	f.EtherType = binary.BigEndian.Uint16(data[off+2:])
	f.L3Offset = off + 4
	f.HeaderBytes = off + 4
	return reason.None
}

// decodeSNAP reads LLC and SNAP behind an 802.3 length (RFC 1042). Only the
// encapsulated-Ethernet OUI names ethertypes. A VLAN tag inside is refused: for
// one receiver it is a tag, for another the payload.
func (f *Frame) decodeSNAP(data []byte, length int) reason.Reason {
	off, size := f.L3Offset, int(f.EtherType)
	if size < snapLen || size > maxLength {
		return reason.InnerLLC
	}
	if size > length-off {
		return reason.InnerLength
	}
	if len(data) < off+snapLen {
		return reason.CopyTooShort
	}
	// DSAP and SSAP are SNAP, unnumbered information, OUI 00-00-00.
	if [6]byte(data[off:off+6]) != [6]byte{0xaa, 0xaa, 0x03} {
		return reason.InnerLLC
	}
	etherType := binary.BigEndian.Uint16(data[off+6:])
	if etherType < minType || isTag(etherType) {
		return reason.InnerLLC
	}
	f.SNAP = true
	f.EtherType = etherType
	f.L3Offset = off + snapLen
	f.HeaderBytes = off + snapLen
	return reason.None
}

func (f *Frame) decodeARP(data []byte, end int) reason.Reason {
	off := f.L3Offset
	if end-off < arpLen {
		return reason.InnerARP
	}
	if len(data) < off+arpLen {
		return reason.CopyTooShort
	}
	b := data[off : off+arpLen]
	// Hardware Ethernet, protocol IPv4, and the address lengths of these.
	if [6]byte(b[0:6]) != [6]byte{0, 1, 8, 0, 6, 4} {
		return reason.InnerARP
	}
	f.ARPOperation = binary.BigEndian.Uint16(b[6:])
	f.ARPSender = [6]byte(b[8:14])
	f.Src = netip.AddrFrom4([4]byte(b[14:18]))
	f.Dst = netip.AddrFrom4([4]byte(b[24:28]))
	f.PayloadOffset = off + arpLen
	f.HeaderBytes = off + arpLen
	return reason.None
}
