package capture

import (
	"bufio"
	"encoding/binary"
	"fmt"
	"io"
)

// The classic format, draft-ietf-opsawg-pcap: a header for the file, and one in front of
// each packet.
const (
	pcapHeaderLen = 24
	pcapRecordLen = 16
	// All programs write this version. In older ones the two lengths of a packet stand the
	// other way round.
	pcapMajor, pcapMinor = 2, 4
)

// pcap reads the classic format. The snapshot length that a file announces means nothing
// here: writers exceed it, and the bound is ours.
type pcap struct {
	br    *bufio.Reader
	order binary.ByteOrder
	link  LinkType
	tick  int64  // of the times in nanoseconds
	data  []byte // the current packet's, reused
}

func newPcap(br *bufio.Reader, order binary.ByteOrder) (*pcap, error) {
	header, err := br.Peek(pcapHeaderLen)
	if err != nil {
		return nil, cut(err, "the file header")
	}
	major, minor := order.Uint16(header[4:]), order.Uint16(header[6:])
	if major != pcapMajor || minor != pcapMinor {
		return nil, fmt.Errorf("pcap version %d.%d; %d.%d is known", major, minor, pcapMajor, pcapMinor)
	}
	// The high bits of the field hold the length of the frame check
	// sequence, if there is one.
	r := &pcap{br: br, order: order, link: LinkType(order.Uint32(header[20:])), tick: 1000}
	if order.Uint32(header) == magicNanoseconds {
		r.tick = 1
	}
	br.Discard(pcapHeaderLen) // cannot fail: it was peeked
	return r, nil
}

func (r *pcap) next(p *Packet) error {
	header, err := r.br.Peek(pcapRecordLen)
	switch {
	case err == io.EOF && len(header) == 0:
		return io.EOF
	case err != nil:
		return cut(err, "a packet's header")
	}
	seconds, ticks := r.order.Uint32(header), r.order.Uint32(header[4:])
	captured, wire := r.order.Uint32(header[8:]), r.order.Uint32(header[12:])
	if captured > MaxPacketLen {
		return tooLong(captured)
	}
	if captured > wire {
		return fmt.Errorf("claims %d captured of %d bytes", captured, wire)
	}
	r.br.Discard(pcapRecordLen)
	if int(captured) > cap(r.data) {
		r.data = make([]byte, captured)
	}
	r.data = r.data[:captured]
	if _, err := io.ReadFull(r.br, r.data); err != nil {
		return cut(err, "a packet's bytes")
	}
	p.Time = int64(seconds)*1e9 + int64(ticks)*r.tick
	p.Link = r.link
	p.Data = r.data
	p.WireLen = int(wire)
	return nil
}
