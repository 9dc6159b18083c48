package nfq

import (
	"encoding/binary"
	"sync"

	"sttwall/firewall"
)

// The part of nfnetlink_queue that we speak ourselves (Linux uapi,
// linux/netfilter/nfnetlink_queue.h). Message headers are in the byte order of
// the machine, what netfilter puts into them in network byte order.
const (
	nfnlSubsysQueue = 3

	msgVerdict      = nfnlSubsysQueue<<8 | 1 // NFQNL_MSG_VERDICT
	msgConfig       = nfnlSubsysQueue<<8 | 2 // NFQNL_MSG_CONFIG
	msgVerdictBatch = nfnlSubsysQueue<<8 | 3 // NFQNL_MSG_VERDICT_BATCH

	attrVerdictHeader = 2  // NFQA_VERDICT_HDR
	attrPayload       = 10 // NFQA_PAYLOAD

	attrConfigCommand = 1 // NFQA_CFG_CMD
	attrConfigParams  = 2 // NFQA_CFG_PARAMS
	attrConfigMaxLen  = 3 // NFQA_CFG_QUEUE_MAXLEN
	attrConfigMask    = 4 // NFQA_CFG_MASK
	attrConfigFlags   = 5 // NFQA_CFG_FLAGS

	configFailOpen  = 1 // NFQA_CFG_F_FAIL_OPEN
	configConntrack = 2 // NFQA_CFG_F_CONNTRACK
	configGSO       = 4 // NFQA_CFG_F_GSO

	commandBind   = 1 // NFQNL_CFG_CMD_BIND
	commandPFBind = 3 // NFQNL_CFG_CMD_PF_BIND
	copyPacket    = 2 // NFQNL_COPY_PACKET

	infoChecksumPartial    = 1 // NFQA_SKB_CSUMNOTREADY
	infoGSO                = 2 // NFQA_SKB_GSO
	infoChecksumUnverified = 4 // NFQA_SKB_CSUM_NOTVERIFIED

	netfilterDrop   = 0 // NF_DROP
	netfilterAccept = 1 // NF_ACCEPT
	netfilterRepeat = 4 // NF_REPEAT: the hook that queued it runs again

	flagRequest = 1 // NLM_F_REQUEST
	flagAck     = 4 // NLM_F_ACK

	headerLen        = 16 + 4 // struct nlmsghdr, struct nfgenmsg
	attrHeaderLen    = 4
	verdictHeaderLen = attrHeaderLen + 8             // struct nfqnl_msg_verdict_hdr
	copyRangeLen     = headerLen + attrHeaderLen + 8 // struct nfqnl_msg_config_params, padded
)

// appendHeader begins a message; endMessage sets its length.
func appendHeader(dst []byte, typ, flags, queue uint16) []byte {
	dst = append(dst, 0, 0, 0, 0)
	dst = binary.NativeEndian.AppendUint16(dst, typ)
	dst = binary.NativeEndian.AppendUint16(dst, flags)
	dst = append(dst, 0, 0, 0, 0, 0, 0, 0, 0) // sequence and port: the kernel asks for neither
	dst = append(dst, 0, 0)                   // family, version
	return binary.BigEndian.AppendUint16(dst, queue)
}

// putLength sets the length of a message in bytes, without its padding.
func putLength(msg []byte, length int) { binary.NativeEndian.PutUint32(msg, uint32(length)) }

func endMessage(msg []byte, start int) []byte {
	putLength(msg[start:], len(msg)-start)
	for (len(msg)-start)%4 != 0 {
		msg = append(msg, 0)
	}
	return msg
}

func appendAttrHeader(dst []byte, typ uint16, dataLen int) []byte {
	dst = binary.NativeEndian.AppendUint16(dst, uint16(attrHeaderLen+dataLen))
	return binary.NativeEndian.AppendUint16(dst, typ)
}

// verdictLen is how many bytes appendVerdict appends.
func verdictLen(payload []byte) int {
	n := headerLen + verdictHeaderLen
	if payload != nil {
		n += attrHeaderLen + (len(payload)+3)&^3
	}
	return n
}

// appendVerdict appends one NFQNL_MSG_VERDICT message. A nil payload lets the
// packet go as it came.
func appendVerdict(dst []byte, queue uint16, id uint32, action firewall.Action, payload []byte) []byte {
	start := len(dst)
	dst = appendVerdictHeader(dst, msgVerdict, queue, id, action)
	if payload != nil {
		dst = appendAttrHeader(dst, attrPayload, len(payload))
		dst = append(dst, payload...)
	}
	return endMessage(dst, start)
}

// appendVerdictHeader begins a message with a verdict for the packet with an ID
// or, as NFQNL_MSG_VERDICT_BATCH, for all that the kernel holds up to it.
func appendVerdictHeader(dst []byte, typ, queue uint16, id uint32, action firewall.Action) []byte {
	verdict := uint32(netfilterDrop)
	switch action {
	case firewall.Accept:
		verdict = netfilterAccept
	case firewall.Again:
		verdict = netfilterRepeat
	}
	dst = appendHeader(dst, typ, flagRequest, queue)
	dst = appendAttrHeader(dst, attrVerdictHeader, 8)
	dst = binary.BigEndian.AppendUint32(dst, verdict)
	return binary.BigEndian.AppendUint32(dst, id)
}

// appendBatchVerdict appends one NFQNL_MSG_VERDICT_BATCH message.
func appendBatchVerdict(dst []byte, queue uint16, id uint32, action firewall.Action) []byte {
	start := len(dst)
	return endMessage(appendVerdictHeader(dst, msgVerdictBatch, queue, id, action), start)
}

// copyRange is how many bytes of each packet a queue copies. Whoever changes it, or
// for a moment lets it be another, holds the lock until the kernel knows.
type copyRange struct {
	mu    sync.Mutex
	bytes uint32
}

// wholePacket is the copy range with which all of a packet is copied.
const wholePacket = 65535

// appendDropUpTo appends a message that drops every packet with an ID up to id,
// without exception, and asks for an answer. Right only while nothing of the
// queue has been handed out.
func appendDropUpTo(dst []byte, queue uint16, id uint32) []byte {
	start := len(dst)
	dst = appendHeader(dst, msgVerdictBatch, flagRequest|flagAck, queue)
	dst = appendAttrHeader(dst, attrVerdictHeader, 8)
	dst = binary.BigEndian.AppendUint32(dst, netfilterDrop)
	dst = binary.BigEndian.AppendUint32(dst, id)
	return endMessage(dst, start)
}

// appendCopyRange appends a message that changes the copy range in bytes.
func appendCopyRange(dst []byte, queue uint16, copyRange uint32) []byte {
	start := len(dst)
	dst = appendHeader(dst, msgConfig, flagRequest, queue)
	dst = appendAttrHeader(dst, attrConfigParams, 5) // struct nfqnl_msg_config_params, packed
	dst = binary.BigEndian.AppendUint32(dst, copyRange)
	dst = append(dst, copyPacket)
	return endMessage(dst, start)
}

// more reports whether the kernel has bytes of a packet that it did not copy for
// the copy range alone. What is longer than [MaxPayload] is never copied whole.
func more(p *firewall.Packet) bool { return len(p.Data) < p.Length && len(p.Data) < MaxPayload }

// sendable reports whether the kernel can put payload in a packet's place:
// short enough for an attribute, and long enough for an IP and a TCP header,
// which the code behind the queue takes for granted.
func sendable(payload []byte) bool {
	if len(payload) == 0 || len(payload) > MaxPayload {
		return false
	}
	switch payload[0] >> 4 {
	case 4:
		return len(payload) >= 20+20
	case 6:
		return len(payload) >= 40+20
	}
	return false
}

// checksumState reads NFQA_SKB_INFO. Without either bit the kernel found the
// checksum right, or the hardware did (nfqnl_put_packet_info: the attribute is
// left out where no bit is set).
func checksumState(info uint32) firewall.ChecksumState {
	switch {
	case info&infoChecksumPartial != 0:
		return firewall.ChecksumPartial
	case info&infoChecksumUnverified != 0:
		return firewall.ChecksumUnverified
	}
	return firewall.ChecksumGood
}
