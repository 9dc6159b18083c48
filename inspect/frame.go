package inspect

import "net/netip"

// Ethertypes that [Frame.Decode] reads into or through.
const (
	EtherTypeIPv4 = 0x0800
	EtherTypeARP  = 0x0806
	EtherTypeIPv6 = 0x86dd
	EtherTypeVLAN = 0x8100 // 802.1Q customer tag
	EtherTypeQinQ = 0x88a8 // 802.1ad service tag
	EtherTypeVMAN = 0x9100 // service tag from before 802.1ad
)

// Protocols that [Frame.Decode] reads into.
const (
	ProtocolICMP   = 1
	ProtocolTCP    = 6
	ProtocolUDP    = 17
	ProtocolICMPv6 = 58
	ProtocolSCTP   = 132
)

// Protocols behind which nothing can be read: RFC 4303 and RFC 8200 section 4.7.
const (
	protocolESP          = 50
	protocolNoNextHeader = 59
)

// TCP flags as in [Frame.TCPFlags], RFC 9293 section 3.1; AE is RFC 9768's
// name of what was the NS bit.
const (
	FIN = 1 << iota
	SYN
	RST
	PSH
	ACK
	URG
	ECE
	CWR
	AE
)

// MaxTags is the number of VLAN tags that a frame may have, the tunnel
// header's included.
const MaxTags = 2

// Tagged says whether a tunnel header's TCI is a VLAN tag at all. Senders and
// receivers disagree about the bit for it, so the caller decides.
type Tagged bool

// The two values of [Tagged].
const (
	NoTag  Tagged = false
	HasTag Tagged = true
)

// Frame is a parsed inner Ethernet frame. It is reusable: [Frame.Decode] resets
// all of it. It is valid only if Decode returned [reason.None]; after a refusal
// it holds what had been read until then, good for a report and nothing else.
//
// Offsets count bytes from the start of the inner frame. Fields stand so that those
// which plain frames set to constants, or from neighbouring bytes, are neighbours.
type Frame struct {
	EthDst, EthSrc [6]byte

	// EtherType is the innermost, after tags and SNAP.
	EtherType uint16
	// IP is 4, 6, or 0 if the frame is not IP.
	IP uint8
	// SNAP: an 802.3 frame with the ethertype in a SNAP header (RFC 1042).
	SNAP bool
	// Fragmented: a part of an IP packet; Fragment tells which.
	Fragmented bool
	// Atomic: an IPv6 packet that is whole and has a fragment header all the
	// same (RFC 6946). Fragmented is false.
	Atomic bool
	// HasTarget: an IPv6 neighbour advertisement (RFC 4861 section 4.4) for the
	// address Target, sent in answer to somebody if Solicited. One that is too
	// short to name a target has none; no receiver takes it.
	HasTarget, Solicited bool

	// Protocol is what follows the IPv6 extension headers. In a later fragment
	// it is what the fragment header names. Valid iff IP != 0.
	Protocol uint8
	// HasPorts: TCP, UDP or SCTP, whole or in a first fragment.
	HasPorts bool
	// HasTCP: TCPFlags is valid (FIN, SYN and so on above).
	HasTCP bool
	// HasICMP: ICMP or ICMPv6, whole or in a first fragment.
	HasICMP            bool
	ICMPType, ICMPCode uint8
	// ICMPID is the identifier of an echo, timestamp, information or
	// address mask message (RFC 792, RFC 950; RFC 4443 section 4). An ICMPv6
	// echo that is too short to have one has none. Valid iff HasICMPID.
	ICMPID           uint16
	DstPort, SrcPort uint16
	TCPFlags         uint16
	HasICMPID        bool

	// Tags are the VLAN TCIs as they came, outermost first, the tunnel
	// header's before those in the frame. The first TagCount are valid. The
	// third place is for the tag that is one too many.
	Tags [MaxTags + 1]uint16
	// TOS is the whole TOS or traffic class byte. Valid iff IP != 0.
	TOS      uint8
	TagCount uint8

	// ARPOperation and ARPSender, the sender's hardware address, are valid iff
	// EtherType is ARP.
	ARPOperation uint16
	ARPSender    [6]byte

	// Src and Dst are the IP addresses, or the protocol addresses of ARP. Valid
	// iff IP != 0 or EtherType is ARP. IPv4-mapped IPv6 addresses stay IPv6.
	Src, Dst netip.Addr

	// L3Offset is where the IP or ARP header begins, or whatever the ethertype
	// names.
	L3Offset int
	// L4Offset is where the upper-layer header begins, or -1 if there is none
	// to read: no IP, a later fragment, ESP, no next header, nothing there.
	L4Offset int
	// PayloadOffset is where the bytes behind the last header begin.
	PayloadOffset int
	// IPEnd is where the IP packet ends; bytes behind it are padding. Valid iff
	// IP != 0.
	IPEnd int
	// HeaderBytes is how many bytes from the start the key rests on: the end of
	// the last header read.
	HeaderBytes int

	Fragment Fragment
	Target   netip.Addr
}

// Fragment is a fragment's place in its IP packet.
type Fragment struct {
	ID     uint32
	Offset uint16 // bytes
	More   bool
	_      uint8 // no hole: so all of it is cleared at once
	// Bytes of payload: all that follows the IPv4 header or the IPv6 fragment
	// header.
	Bytes int
}

// TCPPayload returns how many bytes follow the TCP header in this packet, or 0
// without one. A tunnel header's MSS has a meaning only below it.
func (f *Frame) TCPPayload() int {
	if !f.HasTCP {
		return 0
	}
	return f.IPEnd - f.PayloadOffset
}

// ChecksumOffset returns where the checksum field of the TCP or UDP header is,
// the two bytes that a receiver writes to finish a partial checksum, or -1 if
// the frame shows no such header.
func (f *Frame) ChecksumOffset() int {
	switch {
	case f.L4Offset < 0:
		return -1
	case f.Protocol == ProtocolTCP:
		return f.L4Offset + 16
	case f.Protocol == ProtocolUDP:
		return f.L4Offset + 6
	}
	return -1
}
