package probe

import (
	"bytes"
	"encoding/binary"
	"errors"
	"hash/crc32"
	"math/rand/v2"

	"sttwall/stt"
)

const (
	// Port is the UDP port that questions go to.
	Port = 7471
	// Version is that of the protocol.
	Version = 1

	messageLen = 40 // of a question; an answer begins with as much
	reportLen  = 48 // of an answer's report, without packets
	packetLen  = 20 // of each packet in it
	// mostPackets is how many packets an answer tells of.
	mostPackets = 16

	etherLen, ipLen, udpLen = 14, 20, 8
	innerLen                = etherLen + ipLen + udpLen
	// headersLen is what goes before the message in an STT frame.
	headersLen = stt.FrameHeaderLen + innerLen
	// LeastFrame is the length of the shortest question in bytes, frame header
	// included: an answer that tells of one packet fits.
	LeastFrame = headersLen + messageLen + reportLen + packetLen
)

type kind uint8

const (
	question kind = 1
	answer   kind = 2
)

// flagFull: the answer is to be as long as the question.
const flagFull = 1

var (
	magic      = [4]byte{'S', 'T', 'T', 'P'}
	castagnoli = crc32.MakeTable(crc32.Castagnoli)
	askerMAC   = [6]byte{0x02, 0x53, 0x54, 0x54, 0, 1}
	answerMAC  = [6]byte{0x02, 0x53, 0x54, 0x54, 0, 2}
	askerIP    = [4]byte{198, 18, 0, 1}
	answerIP   = [4]byte{198, 18, 0, 2}
)

// message is what question and answer say of themselves.
type message struct {
	Kind     kind
	Full     bool
	Session  uint64
	Sequence uint32
	FrameID  uint32
	Length   uint16
	SrcPort  uint16
	MTU      uint16
	TTL, TOS uint8
	TCI      uint16
}

// changed says which part of the inner frame is another one than was sent.
type changed uint8

const (
	changedEther changed = 1 << iota
	changedIP
	changedUDP
	changedRest
)

// outerPacket is one as it was seen where it arrived.
type outerPacket struct {
	Offset  uint16
	Length  uint16
	GSOSize uint16
	TTL     uint8
	TOS     uint8
	SrcPort uint16
	Window  uint16
	Urgent  uint16
	Flags   uint8
	// Data is the byte with the data offset and the reserved bits.
	Data uint8
	DF   bool
	// FrameLength is what the sequence number says.
	FrameLength uint16
}

// seen is what one side has seen of a frame of the other.
type seen struct {
	Header  stt.FrameHeader
	Changed changed
	FrameID uint32
	// Count is how many packets carried it; Packets are the first of them.
	Count   uint16
	Packets []outerPacket
}

// report is what an answer says of its question, and of the session so far.
type report struct {
	Arrival, Duplicates, Limited uint32
	BadChecksum, Refused         uint32
	seen
}

// appendMessage appends the bytes of m, and of r if it is an answer.
func appendMessage(dst []byte, m *message, r *report) []byte {
	start := len(dst)
	var flags byte
	if m.Full {
		flags |= flagFull
	}
	dst = append(append(dst, magic[:]...), Version, byte(m.Kind), flags, 0)
	dst = binary.BigEndian.AppendUint64(dst, m.Session)
	dst = binary.BigEndian.AppendUint32(dst, m.Sequence)
	dst = binary.BigEndian.AppendUint32(dst, m.FrameID)
	dst = binary.BigEndian.AppendUint16(dst, m.Length)
	dst = binary.BigEndian.AppendUint16(dst, m.SrcPort)
	dst = binary.BigEndian.AppendUint16(dst, m.MTU)
	dst = append(dst, m.TTL, m.TOS)
	dst = binary.BigEndian.AppendUint16(dst, m.TCI)
	dst = append(dst, 0, 0, 0, 0, 0, 0)
	if m.Kind == answer {
		for _, n := range []uint32{r.Arrival, r.Duplicates, r.Limited, r.BadChecksum, r.Refused} {
			dst = binary.BigEndian.AppendUint32(dst, n)
		}
		dst = stt.AppendFrameHeader(dst, &r.Header)
		dst = append(dst, byte(r.Changed), byte(len(r.Packets)))
		dst = binary.BigEndian.AppendUint16(dst, r.Count)
		dst = binary.BigEndian.AppendUint32(append(dst, 0, 0), r.FrameID)
		for i := range r.Packets {
			dst = appendPacket(dst, &r.Packets[i])
		}
	}
	binary.BigEndian.PutUint32(dst[start+36:], crc32.Checksum(dst[start:], castagnoli))
	return dst
}

func appendPacket(dst []byte, p *outerPacket) []byte {
	dst = binary.BigEndian.AppendUint16(dst, p.Offset)
	dst = binary.BigEndian.AppendUint16(dst, p.Length)
	dst = binary.BigEndian.AppendUint16(dst, p.GSOSize)
	dst = append(dst, p.TTL, p.TOS)
	dst = binary.BigEndian.AppendUint16(dst, p.SrcPort)
	dst = binary.BigEndian.AppendUint16(dst, p.Window)
	dst = binary.BigEndian.AppendUint16(dst, p.Urgent)
	var df byte
	if p.DF {
		df = 1
	}
	return append(binary.BigEndian.AppendUint16(append(dst, p.Flags, p.Data, df), p.FrameLength), 0)
}

var (
	errShort   = errors.New("too short for a message of the probe")
	errForeign = errors.New("no message of the probe")
	errVersion = errors.New("another version of the probe's protocol")
	errBroken  = errors.New("the message does not fit itself")
)

// decode reads the payload of a datagram; b may be longer than the message. r is
// filled in for an answer. After an error neither means anything.
func decode(b []byte, m *message, r *report) error {
	*m, *r = message{}, report{}
	if len(b) < messageLen {
		return errShort
	}
	switch {
	case [4]byte(b) != magic:
		return errForeign
	case b[4] != Version:
		return errVersion
	}
	length := messageLen
	switch kind(b[5]) {
	case question:
	case answer:
		if len(b) < messageLen+reportLen {
			return errShort
		}
		length += reportLen + int(b[79])*packetLen
	default:
		return errForeign
	}
	if len(b) < length {
		return errShort
	}
	b = b[:length]
	sum := crc32.Checksum(b[:36], castagnoli)
	sum = crc32.Update(sum, castagnoli, make([]byte, 4))
	sum = crc32.Update(sum, castagnoli, b[40:])
	if sum != binary.BigEndian.Uint32(b[36:]) {
		return errBroken
	}
	*m = message{
		Kind: kind(b[5]), Full: b[6]&flagFull != 0, Session: binary.BigEndian.Uint64(b[8:]),
		Sequence: binary.BigEndian.Uint32(b[16:]), FrameID: binary.BigEndian.Uint32(b[20:]),
		Length: binary.BigEndian.Uint16(b[24:]), SrcPort: binary.BigEndian.Uint16(b[26:]), MTU: binary.BigEndian.Uint16(b[28:]),
		TTL: b[30], TOS: b[31], TCI: binary.BigEndian.Uint16(b[32:]),
	}
	if m.Kind == question {
		return nil
	}
	for i, n := range []*uint32{&r.Arrival, &r.Duplicates, &r.Limited, &r.BadChecksum, &r.Refused} {
		*n = binary.BigEndian.Uint32(b[40+4*i:])
	}
	r.Header.Decode(b[60:])
	r.Changed, r.Count, r.FrameID = changed(b[78]), binary.BigEndian.Uint16(b[80:]), binary.BigEndian.Uint32(b[84:])
	for p := b[88:]; len(p) > 0; p = p[packetLen:] {
		r.Packets = append(r.Packets, outerPacket{
			Offset: binary.BigEndian.Uint16(p), Length: binary.BigEndian.Uint16(p[2:]), GSOSize: binary.BigEndian.Uint16(p[4:]),
			TTL: p[6], TOS: p[7], SrcPort: binary.BigEndian.Uint16(p[8:]), Window: binary.BigEndian.Uint16(p[10:]),
			Urgent: binary.BigEndian.Uint16(p[12:]), Flags: p[14], Data: p[15], DF: p[16] == 1,
			FrameLength: binary.BigEndian.Uint16(p[17:]),
		})
	}
	return nil
}

// appendFrame appends the STT frame of m.Length bytes that carries m, and r if it is
// an answer. The message must fit.
func appendFrame(dst []byte, context uint64, m *message, r *report) []byte {
	start := len(dst)
	dst = stt.AppendFrameHeader(dst, &stt.FrameHeader{TCI: m.TCI, ContextID: context})
	inner := len(dst)
	srcMAC, dstMAC, srcIP, dstIP := askerMAC, answerMAC, askerIP, answerIP
	srcPort, dstPort := m.SrcPort, uint16(Port)
	if m.Kind == answer {
		srcMAC, dstMAC, srcIP, dstIP = dstMAC, srcMAC, dstIP, srcIP
		srcPort, dstPort = dstPort, srcPort
	}
	rest := int(m.Length) - stt.FrameHeaderLen - etherLen
	dst = append(append(dst, dstMAC[:]...), srcMAC[:]...)
	dst = append(dst, 0x08, 0x00, 0x45, m.TOS)
	dst = binary.BigEndian.AppendUint16(dst, uint16(rest))
	dst = binary.BigEndian.AppendUint16(dst, uint16(m.Sequence))
	dst = append(dst, 0x40, 0, 64, 17, 0, 0)
	dst = append(append(dst, srcIP[:]...), dstIP[:]...)
	ip := dst[inner+etherLen:]
	binary.BigEndian.PutUint16(ip[10:], stt.Checksum(ip))
	udp := len(dst)
	dst = binary.BigEndian.AppendUint16(dst, srcPort)
	dst = binary.BigEndian.AppendUint16(dst, dstPort)
	dst = binary.BigEndian.AppendUint16(dst, uint16(rest-ipLen))
	dst = append(dst, 0, 0)
	dst = appendMessage(dst, m, r)
	dst = appendPattern(dst, start+int(m.Length)-len(dst), m)
	finishUDP(dst[inner+etherLen:], dst[udp:])
	return dst
}

// finishUDP writes the checksum: over what the addresses of the IP header, and the
// datagram say (RFC 768).
func finishUDP(ip, udp []byte) {
	sum := uint32(17) + uint32(len(udp))
	for at := 12; at < 20; at += 2 {
		sum += uint32(binary.BigEndian.Uint16(ip[at:]))
	}
	for sum > 0xffff {
		sum = sum&0xffff + sum>>16
	}
	binary.BigEndian.PutUint16(udp[6:], uint16(sum))
	check := stt.Checksum(udp)
	if check == 0 {
		check = 0xffff
	}
	binary.BigEndian.PutUint16(udp[6:], check)
}

// appendPattern appends n bytes that follow from session, sequence and kind.
func appendPattern(dst []byte, n int, m *message) []byte {
	source := rand.NewPCG(m.Session, uint64(m.Sequence)<<8|uint64(m.Kind))
	for ; n >= 8; n -= 8 {
		dst = binary.BigEndian.AppendUint64(dst, source.Uint64())
	}
	var last [8]byte
	binary.BigEndian.PutUint64(last[:], source.Uint64())
	return append(dst, last[:max(n, 0)]...)
}

// open finds the message in the inner frame of a whole STT frame. The frame may have
// been changed on the way, but the message must be whole.
func open(frame []byte, m *message, r *report) error {
	if len(frame) < headersLen+messageLen {
		return errShort
	}
	if err := decode(frame[headersLen:], m, r); err != nil {
		return err
	}
	need := headersLen + messageLen
	if m.Kind == answer {
		need += reportLen + len(r.Packets)*packetLen
	}
	if int(m.Length) < need {
		return errBroken
	}
	return nil
}

// differences compares an inner frame with what it was when it was sent, as its message says.
func differences(frame []byte, context uint64, m *message, r *report) (c changed) {
	sent := appendFrame(nil, context, m, r)
	for _, part := range []struct {
		from, to int
		is       changed
	}{
		{stt.FrameHeaderLen, stt.FrameHeaderLen + etherLen, changedEther},
		{stt.FrameHeaderLen + etherLen, stt.FrameHeaderLen + etherLen + ipLen, changedIP},
		{stt.FrameHeaderLen + etherLen + ipLen, headersLen, changedUDP},
	} {
		if !bytes.Equal(sent[part.from:part.to], frame[part.from:part.to]) {
			c |= part.is
		}
	}
	if !bytes.Equal(sent[headersLen:], frame[headersLen:]) {
		c |= changedRest
	}
	return c
}
