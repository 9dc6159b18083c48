package capture

import (
	"bufio"
	"encoding/binary"
	"fmt"
	"io"
)

// Record is one packet to be written, in two parts, so that a caller can put
// another packet behind the link header that came.
type Record struct {
	// Time is in nanoseconds since 1970 UTC.
	Time int64
	// Link is the link type of Header.
	Link LinkType
	// Header and Packet are the link header and what follows it. Borrowed
	// until Write returns.
	Header, Packet []byte
	// Missing is by how many bytes the packet was longer on the wire.
	Missing int
	// Comment is shown beside the packet by Wireshark and tshark
	// (frame.comment); empty for none. More than 65,535 bytes are cut off.
	Comment string
}

// Writer writes a pcapng file: one section in little-endian byte order, an
// interface with nanosecond times for each link type that occurs.
type Writer struct {
	w          *bufio.Writer
	interfaces map[LinkType]uint32
	block      []byte // under construction, reused
}

// NewWriter starts a file on w. application names the program in the section
// header. w stays open; call Flush at the end.
func NewWriter(w io.Writer, application string) (*Writer, error) {
	n := &Writer{w: bufio.NewWriterSize(w, bufferSize), interfaces: make(map[LinkType]uint32)}
	n.begin(blockSection)
	n.block = binary.LittleEndian.AppendUint32(n.block, byteOrderMagic)
	n.block = append(n.block, 1, 0, 0, 0)                           // version 1.0
	n.block = binary.LittleEndian.AppendUint64(n.block, ^uint64(0)) // length of the section: unknown
	n.option(optionSectionApplication, []byte(application))
	n.endOptions()
	if err := n.end(); err != nil {
		return nil, err
	}
	return n, nil
}

const (
	optionSectionApplication = 4
	maxOptionLen             = 65535
)

// Write appends one packet as an enhanced packet block.
func (w *Writer) Write(r *Record) error {
	length := len(r.Header) + len(r.Packet)
	if length > MaxPacketLen {
		return fmt.Errorf("packet of %d bytes: more than %d", length, MaxPacketLen)
	}
	if r.Time < 0 {
		return fmt.Errorf("packet time %d: before 1970", r.Time)
	}
	on, err := w.interfaceFor(r.Link)
	if err != nil {
		return err
	}
	w.begin(blockEnhanced)
	w.block = binary.LittleEndian.AppendUint32(w.block, on)
	w.block = binary.LittleEndian.AppendUint32(w.block, uint32(r.Time>>32))
	w.block = binary.LittleEndian.AppendUint32(w.block, uint32(r.Time))
	w.block = binary.LittleEndian.AppendUint32(w.block, uint32(length))
	w.block = binary.LittleEndian.AppendUint32(w.block, uint32(length+max(r.Missing, 0)))
	w.block = append(w.block, r.Header...)
	w.block = append(w.block, r.Packet...)
	w.pad()
	if r.Comment != "" {
		w.option(optionComment, []byte(r.Comment[:min(len(r.Comment), maxOptionLen)]))
		w.endOptions()
	}
	return w.end()
}

// Announce writes the interface of a link type before there is a packet of it, so that
// a reader knows what to wait for, and a file without packets what it is.
func (w *Writer) Announce(link LinkType) error {
	_, err := w.interfaceFor(link)
	return err
}

// Flush writes what is buffered. The file is complete then, and may be
// continued.
func (w *Writer) Flush() error { return w.w.Flush() }

func (w *Writer) interfaceFor(link LinkType) (uint32, error) {
	if number, ok := w.interfaces[link]; ok {
		return number, nil
	}
	number := uint32(len(w.interfaces))
	w.begin(blockInterface)
	w.block = binary.LittleEndian.AppendUint16(w.block, uint16(link))
	w.block = append(w.block, 0, 0, 0, 0, 0, 0) // reserved; no snapshot length
	w.option(optionInterfaceTSRes, []byte{9})
	w.endOptions()
	if err := w.end(); err != nil {
		return 0, err
	}
	w.interfaces[link] = number
	return number, nil
}

func (w *Writer) begin(kind uint32) {
	w.block = binary.LittleEndian.AppendUint32(w.block[:0], kind)
	w.block = append(w.block, 0, 0, 0, 0) // the length, when it is known
}

// option appends one option with its padding.
func (w *Writer) option(code uint16, value []byte) {
	w.block = binary.LittleEndian.AppendUint16(w.block, code)
	w.block = binary.LittleEndian.AppendUint16(w.block, uint16(len(value)))
	w.block = append(w.block, value...)
	w.pad()
}

func (w *Writer) endOptions() { w.block = append(w.block, 0, 0, 0, 0) }

// pad fills up to 32 bits. Every block starts at a multiple of that.
func (w *Writer) pad() {
	for len(w.block)%4 != 0 {
		w.block = append(w.block, 0)
	}
}

func (w *Writer) end() error {
	length := uint32(len(w.block) + 4)
	w.block = binary.LittleEndian.AppendUint32(w.block, length)
	binary.LittleEndian.PutUint32(w.block[4:], length)
	_, err := w.w.Write(w.block)
	return err
}
