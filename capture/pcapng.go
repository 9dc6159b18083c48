package capture

import (
	"bufio"
	"encoding/binary"
	"fmt"
	"io"
	"math"
	"math/bits"
)

// Block types of draft-ietf-opsawg-pcapng, section 4.
const (
	blockSection   = 0x0a0d0d0a // reads the same in both byte orders
	blockInterface = 1
	blockPacket    = 2 // obsolete
	blockSimple    = 3
	blockEnhanced  = 6
)

// Options of the same draft: section 3.5, and 4.2 for interfaces.
const (
	optionEnd            = 0
	optionComment        = 1
	optionInterfaceTSRes = 9
	optionInterfaceTSOff = 14
)

const (
	byteOrderMagic = 0x1a2b3c4d
	blockOverhead  = 12 // type, length, and the length again
	// maxBlockLen bounds the blocks that are kept in memory: the longest
	// packet and generous options. Other blocks are skipped at any length.
	maxBlockLen = 1 << 20
	// maxInterfaces bounds the interfaces of a section.
	maxInterfaces = 1 << 16
)

// pcapng reads the newer format: sections, in them interfaces and packets.
type pcapng struct {
	br         *bufio.Reader
	order      binary.ByteOrder
	interfaces []ngInterface
	block      []byte // body of the current block, reused
}

// ngInterface is what an interface description block says of its packets.
type ngInterface struct {
	link    LinkType
	snap    uint32 // 0: no limit
	binary  bool   // a tick is 2^-exponent seconds, else 10^-exponent
	expo    uint8
	seconds int64 // added to every time
}

func newPcapng(br *bufio.Reader) (*pcapng, error) {
	r := &pcapng{br: br, order: binary.LittleEndian}
	// The caller has seen the block type, so this is the section header.
	if _, err := r.readBlock(); err != nil {
		return nil, err
	}
	return r, r.section()
}

func (r *pcapng) next(p *Packet) error {
	for {
		kind, err := r.readBlock()
		if err != nil {
			return err
		}
		switch kind {
		case blockSection:
			err = r.section()
		case blockInterface:
			err = r.addInterface()
		case blockEnhanced:
			return r.enhanced(p)
		case blockSimple:
			return r.simple(p)
		case blockPacket:
			return r.obsolete(p)
		}
		if err != nil {
			return err
		}
	}
}

// readBlock reads the next block that means something here into r.block and
// skips all others. Whatever a block holds is read inside its own length.
func (r *pcapng) readBlock() (uint32, error) {
	for {
		head, err := r.br.Peek(8)
		switch {
		case err == io.EOF && len(head) == 0:
			return 0, io.EOF
		case err != nil:
			return 0, cut(err, "a block's header")
		}
		if r.order.Uint32(head) == blockSection {
			if err := r.turn(); err != nil {
				return 0, err
			}
		}
		kind, length := r.order.Uint32(head), r.order.Uint32(head[4:])
		if length < blockOverhead || length%4 != 0 {
			return 0, fmt.Errorf("block type %d claims an impossible length of %d bytes", kind, length)
		}
		r.br.Discard(8) // cannot fail: it was peeked
		length -= 8
		switch kind {
		case blockSection, blockInterface, blockPacket, blockSimple, blockEnhanced:
		default:
			if _, err := io.CopyN(io.Discard, r.br, int64(length)); err != nil {
				return 0, cut(err, "a block")
			}
			continue
		}
		if length > maxBlockLen {
			return 0, fmt.Errorf("block type %d claims %d bytes; more than %d is damage", kind, length+8, maxBlockLen)
		}
		if cap(r.block) < int(length) {
			r.block = make([]byte, length)
		}
		r.block = r.block[:length]
		if _, err := io.ReadFull(r.br, r.block); err != nil {
			return 0, cut(err, "a block")
		}
		if again := r.order.Uint32(r.block[length-4:]); again != length+8 {
			return 0, fmt.Errorf("block type %d: length %d in front, %d behind", kind, length+8, again)
		}
		r.block = r.block[:length-4]
		return kind, nil
	}
}

// turn sets the byte order to that of the section that is about to start.
func (r *pcapng) turn() error {
	head, err := r.br.Peek(12)
	if err != nil {
		return cut(err, "a section header")
	}
	switch magic := head[8:12]; {
	case binary.LittleEndian.Uint32(magic) == byteOrderMagic:
		r.order = binary.LittleEndian
	case binary.BigEndian.Uint32(magic) == byteOrderMagic:
		r.order = binary.BigEndian
	default:
		return fmt.Errorf("section header with byte-order magic %#x", magic)
	}
	return nil
}

func (r *pcapng) section() error {
	if len(r.block) < 16 {
		return fmt.Errorf("section header of %d bytes", len(r.block)+blockOverhead)
	}
	if major := r.order.Uint16(r.block[4:]); major != 1 {
		return fmt.Errorf("pcapng version %d.%d; 1 is known", major, r.order.Uint16(r.block[6:]))
	}
	r.interfaces = r.interfaces[:0]
	return nil
}

func (r *pcapng) addInterface() error {
	if len(r.block) < 8 {
		return fmt.Errorf("interface description of %d bytes", len(r.block)+blockOverhead)
	}
	if len(r.interfaces) == maxInterfaces {
		return fmt.Errorf("more than %d interfaces in a section", maxInterfaces)
	}
	i := ngInterface{
		link: LinkType(r.order.Uint16(r.block)),
		snap: r.order.Uint32(r.block[4:]),
		expo: 6,
	}
	err := r.options(r.block[8:], func(code uint16, value []byte) error {
		switch {
		case code == optionInterfaceTSRes && len(value) == 1:
			i.binary, i.expo = value[0]&0x80 != 0, value[0]&0x7f
			if i.expo > 63 || !i.binary && i.expo > 19 {
				return fmt.Errorf("time resolution %#02x is finer than any clock", value[0])
			}
		case code == optionInterfaceTSOff && len(value) == 8:
			i.seconds = int64(r.order.Uint64(value))
		}
		return nil
	})
	if err != nil {
		return fmt.Errorf("interface description: %w", err)
	}
	r.interfaces = append(r.interfaces, i)
	return nil
}

// options calls f for each option in b, up to the end-of-options mark or the
// end of b. The values are borrowed.
func (r *pcapng) options(b []byte, f func(code uint16, value []byte) error) error {
	for len(b) >= 4 {
		code, length := r.order.Uint16(b), int(r.order.Uint16(b[2:]))
		if code == optionEnd {
			return nil
		}
		padded := (length + 3) &^ 3
		if padded > len(b)-4 {
			return fmt.Errorf("option %d claims %d of %d bytes", code, length, len(b)-4)
		}
		if err := f(code, b[4:4+length]); err != nil {
			return err
		}
		b = b[4+padded:]
	}
	return nil
}

func (r *pcapng) enhanced(p *Packet) error {
	if len(r.block) < 20 {
		return fmt.Errorf("enhanced packet block of %d bytes", len(r.block)+blockOverhead)
	}
	return r.packet(p, r.order.Uint32(r.block))
}

// obsolete reads a packet block: an enhanced one with a shorter interface
// number and a count of drops beside it.
func (r *pcapng) obsolete(p *Packet) error {
	if len(r.block) < 20 {
		return fmt.Errorf("packet block of %d bytes", len(r.block)+blockOverhead)
	}
	return r.packet(p, uint32(r.order.Uint16(r.block)))
}

func (r *pcapng) packet(p *Packet, number uint32) error {
	on, err := r.on(number)
	if err != nil {
		return err
	}
	ticks := uint64(r.order.Uint32(r.block[4:]))<<32 | uint64(r.order.Uint32(r.block[8:]))
	captured, wire := r.order.Uint32(r.block[12:]), r.order.Uint32(r.block[16:])
	rest := r.block[20:]
	switch {
	case captured > MaxPacketLen:
		return tooLong(captured)
	case captured > wire:
		return fmt.Errorf("claims %d captured of %d bytes", captured, wire)
	case int(captured+3)&^3 > len(rest):
		return fmt.Errorf("claims %d captured bytes in a block of %d", captured, len(r.block)+blockOverhead)
	}
	var ok bool
	if p.Time, ok = on.time(ticks); !ok {
		return fmt.Errorf("time of %d ticks is out of range", ticks)
	}
	p.Link, p.Data, p.WireLen = on.link, rest[:captured:captured], int(wire)
	err = r.options(rest[(captured+3)&^3:], func(code uint16, value []byte) error {
		if code == optionComment && p.Comment == nil {
			p.Comment = value[:len(value):len(value)]
		}
		return nil
	})
	if err != nil {
		return fmt.Errorf("packet options: %w", err)
	}
	return nil
}

// simple reads a simple packet block: no time, no interface but the first.
func (r *pcapng) simple(p *Packet) error {
	if len(r.block) < 4 {
		return fmt.Errorf("simple packet block of %d bytes", len(r.block)+blockOverhead)
	}
	on, err := r.on(0)
	if err != nil {
		return err
	}
	wire := r.order.Uint32(r.block)
	captured := wire
	if on.snap != 0 {
		captured = min(captured, on.snap)
	}
	switch {
	case captured > MaxPacketLen:
		return tooLong(captured)
	case int(captured) > len(r.block)-4:
		return fmt.Errorf("claims %d captured bytes in a block of %d", captured, len(r.block)+blockOverhead)
	}
	p.Link, p.Data, p.WireLen = on.link, r.block[4:4+captured:4+captured], int(wire)
	return nil
}

func (r *pcapng) on(number uint32) (*ngInterface, error) {
	if uint64(number) >= uint64(len(r.interfaces)) {
		return nil, fmt.Errorf("on interface %d of %d", number, len(r.interfaces))
	}
	return &r.interfaces[number], nil
}

// time turns ticks into nanoseconds since 1970, rounded down; false if that
// is before 1970 or does not fit.
func (i *ngInterface) time(ticks uint64) (int64, bool) {
	var hi, ns uint64
	switch {
	case i.binary:
		hi, ns = bits.Mul64(ticks, 1e9)
		ns = ns>>i.expo | hi<<(64-i.expo)
		hi >>= i.expo
	case i.expo <= 9:
		hi, ns = bits.Mul64(ticks, tenTo(9-i.expo))
	default:
		ns = ticks / tenTo(i.expo-9)
	}
	if hi != 0 || ns > math.MaxInt64 {
		return 0, false
	}
	const second = 1_000_000_000
	if i.seconds > math.MaxInt64/second || i.seconds < math.MinInt64/second {
		return 0, false
	}
	offset := i.seconds * second
	if offset > 0 && int64(ns) > math.MaxInt64-offset {
		return 0, false
	}
	at := int64(ns) + offset
	return at, at >= 0
}

func tenTo(n uint8) uint64 {
	v := uint64(1)
	for range n {
		v *= 10
	}
	return v
}
