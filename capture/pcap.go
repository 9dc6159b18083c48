package capture

import (
	"bufio"
	"encoding/binary"
	"fmt"
	"io"

	"github.com/google/gopacket/pcapgo"
)

const (
	pcapHeaderLen = 24
	pcapRecordLen = 16
)

// pcap reads the classic format through pcapgo. What pcapgo would get wrong is
// looked at before it gets to it: it keeps eight bits of the link type, takes a
// file that ends right behind a record header for complete, and allocates what
// a file says.
type pcap struct {
	br    *bufio.Reader // the one that inner reads from, too
	inner *pcapgo.Reader
	order binary.ByteOrder
	link  LinkType
}

func newPcap(br *bufio.Reader, order binary.ByteOrder) (*pcap, error) {
	header, err := br.Peek(pcapHeaderLen)
	if err != nil {
		return nil, cut(err, "the file header")
	}
	// The high bits of the field hold the length of the frame check
	// sequence, if there is one.
	link := LinkType(order.Uint32(header[20:]))
	inner, err := pcapgo.NewReader(br)
	if err != nil {
		return nil, fmt.Errorf("pcap header: %w", err)
	}
	// Writers exceed the snapshot length that they announce; the bound is ours.
	inner.SetSnaplen(MaxPacketLen)
	return &pcap{br: br, inner: inner, order: order, link: link}, nil
}

func (r *pcap) next(p *Packet) error {
	header, err := r.br.Peek(pcapRecordLen)
	switch {
	case err == io.EOF && len(header) == 0:
		return io.EOF
	case err != nil:
		return cut(err, "a packet's header")
	}
	captured, wire := r.order.Uint32(header[8:]), r.order.Uint32(header[12:])
	if captured > MaxPacketLen {
		return tooLong(captured)
	}
	if captured > wire {
		return fmt.Errorf("claims %d captured of %d bytes", captured, wire)
	}
	data, info, err := r.inner.ZeroCopyReadPacketData()
	if err != nil {
		return cut(err, "a packet's bytes")
	}
	p.Time = info.Timestamp.UnixNano()
	p.Link = r.link
	p.Data = data
	p.WireLen = info.Length
	return nil
}
