package nfq

import (
	"encoding/binary"

	"sttwall/firewall"
)

// What the kernel sends to the listener of a queue (linux/netlink.h,
// linux/netfilter/nfnetlink_queue.h).
const (
	msgPacket = nfnlSubsysQueue << 8 // NFQNL_MSG_PACKET
	msgNoop   = 1                    // NLMSG_NOOP
	msgError  = 2                    // NLMSG_ERROR

	attrPacketHeader = 1  // NFQA_PACKET_HDR
	attrInDevice     = 5  // NFQA_IFINDEX_INDEV
	attrCapLen       = 13 // NFQA_CAP_LEN
	attrSKBInfo      = 14 // NFQA_SKB_INFO

	attrTypeMask = 0x3fff // without NLA_F_NESTED and NLA_F_NET_BYTEORDER

	netlinkHeaderLen   = 16 // struct nlmsghdr
	netfilterHeaderLen = 4  // struct nfgenmsg
)

// message is one netlink message, in place: it borrows the datagram's bytes.
type message struct {
	typ  uint16
	seq  uint32 // of the request that it answers
	body []byte // behind the netlink header
}

// nextMessage takes the first message of a datagram and returns what is behind
// it. False if what is there is no message; nothing behind it can be read then.
func nextMessage(datagram []byte) (m message, rest []byte, ok bool) {
	if len(datagram) < netlinkHeaderLen {
		return m, nil, false
	}
	length := binary.NativeEndian.Uint32(datagram)
	if length < netlinkHeaderLen || uint64(length) > uint64(len(datagram)) {
		return m, nil, false
	}
	m.typ = binary.NativeEndian.Uint16(datagram[4:])
	m.seq = binary.NativeEndian.Uint32(datagram[8:])
	m.body = datagram[netlinkHeaderLen:length]
	// The last message of a datagram need not be padded.
	return m, datagram[min((uint64(length)+3)&^3, uint64(len(datagram))):], true
}

// errno reads an NLMSG_ERROR: the error number, positive, 0 for an ACK.
func (m *message) errno() (uint32, bool) {
	if len(m.body) < 4 {
		return 0, false
	}
	return -binary.NativeEndian.Uint32(m.body), true
}

// packet fills p from an NFQNL_MSG_PACKET of the queue. p.Data borrows the
// message's bytes; p.ID is the kernel's 32 bits. known: the message names the
// packet's ID, also where ok is false, because it is not one that the kernel
// sends.
func (m *message) packet(queue uint16, p *firewall.Packet) (known, ok bool) {
	*p = firewall.Packet{}
	if len(m.body) < netfilterHeaderLen || binary.BigEndian.Uint16(m.body[2:]) != queue {
		return false, false
	}
	var info, capLen uint32
	hasData, sentHere := false, false
	for rest := m.body[netfilterHeaderLen:]; len(rest) >= attrHeaderLen; {
		size := int(binary.NativeEndian.Uint16(rest))
		if size < attrHeaderLen || size > len(rest) {
			return known, false
		}
		value := rest[attrHeaderLen:size:size]
		typ := binary.NativeEndian.Uint16(rest[2:]) & attrTypeMask
		rest = rest[min((size+3)&^3, len(rest)):]
		if typ == attrPayload {
			p.Data, hasData = value, true
			continue
		}
		var word uint32
		if len(value) >= 4 {
			word = binary.BigEndian.Uint32(value)
		}
		switch typ {
		case attrPacketHeader: // struct nfqnl_msg_packet_hdr: ID, protocol, hook
			if len(value) < 4 {
				return known, false
			}
			p.ID, known = uint64(word), true
			const hook, localOut = 6, 3 // NF_INET_LOCAL_OUT
			sentHere = len(value) > hook && value[hook] == localOut
		case attrInDevice:
			p.Device = int(word)
		case attrCapLen:
			capLen = word
		case attrSKBInfo:
			if len(value) != 4 {
				return known, false
			}
			info = word
		}
	}
	if sentHere && info&infoChecksumPartial == 0 {
		// Of what this host sends itself the kernel never says that it has not looked
		// (net/netfilter/nfnetlink_queue.c asks for it up to the FORWARD hook).
		info |= infoChecksumUnverified
	}
	p.Length = max(len(p.Data), int(capLen))
	p.More = more(p)
	p.Checksum = checksumState(info)
	p.GSO = info&infoGSO != 0
	return known, known && hasData
}
