package endpoint

import (
	"encoding/binary"

	"sttwall/stt"
)

// cutting says how a frame is cut.
type cutting struct {
	// headers is the length of all headers of the frame, which each piece gets.
	headers int
	// size is the payload of each piece in bytes, the last one apart; a
	// multiple of segment.
	size int
	// segment is the payload of each packet that the tenant's peer gets in
	// the end, in bytes.
	segment int
	// partial: the pieces keep partial checksums; else they are finished.
	partial bool
}

// cut emits frame, a TCP packet or a train of UDP datagrams, in pieces, as
// the kernel's tcp_gso_segment and __udp_gso_segment make them. frame stays as
// it is.
func (c *encapsulator) cut(frame []byte, k cutting) Drop {
	if k.size <= 0 || k.headers+min(k.size, len(frame)-k.headers) > c.maxInner {
		return DropTooLong
	}
	payload := frame[k.headers:]
	c.piece = c.out
	out := &c.piece
	out.buf, out.start, out.reused = c.scratch, headroom, true
	for at := 0; at == 0 || at < len(payload); at += k.size {
		part := payload[at:min(at+k.size, len(payload))]
		out.end = headroom + k.headers + len(part)
		piece := c.scratch[headroom:out.end]
		copy(piece, frame[:k.headers])
		copy(piece[k.headers:], part)
		c.mendIP(piece, at/k.segment)
		if c.packet.protocol == protocolTCP {
			c.mendTCP(piece, at, at+len(part) == len(payload))
		} else {
			binary.BigEndian.PutUint16(piece[c.packet.l4+4:], uint16(len(piece)-c.packet.l4))
		}
		offset := c.packet.checksumAt()
		length := len(piece) - c.packet.l4
		binary.BigEndian.PutUint16(piece[c.packet.l4+offset:], c.packet.pseudoSum(piece, length))
		if k.partial {
			mss := uint16(k.segment)
			if len(part) <= k.segment {
				mss = 0
			}
			c.markPartial(&out.header, mss)
		} else {
			finishChecksum(piece, c.packet.l4, offset)
		}
		c.emit(out)
	}
	return DropNone
}

// mendIP sets the lengths of a piece, and its IPv4 ID: one for each packet
// that was before it.
func (c *encapsulator) mendIP(piece []byte, before int) {
	h := piece[c.packet.l3:]
	if c.packet.ip == 6 {
		binary.BigEndian.PutUint16(h[4:], uint16(len(h)-40))
		return
	}
	binary.BigEndian.PutUint16(h[2:], uint16(len(h)))
	binary.BigEndian.PutUint16(h[4:], binary.BigEndian.Uint16(h[4:])+uint16(before))
	h[10], h[11] = 0, 0
	binary.BigEndian.PutUint16(h[10:], stt.Checksum(h[:int(h[0]&0x0f)*4]))
}

// mendTCP sets the sequence number and flags of the piece whose payload starts
// at bytes behind that of the first one. FIN and PSH belong to the last piece
// and CWR to the first.
func (c *encapsulator) mendTCP(piece []byte, at int, last bool) {
	h := piece[c.packet.l4:]
	binary.BigEndian.PutUint32(h[4:], binary.BigEndian.Uint32(h[4:])+uint32(at))
	if !last {
		h[13] &^= stt.FlagFIN | stt.FlagPSH
	}
	if at > 0 {
		h[13] &^= stt.FlagCWR
	}
}
