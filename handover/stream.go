package handover

import (
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
)

// A state is a preamble and blocks, all numbers little endian:
//
//	preamble  8 bytes   "STTWALL" and the version of the format
//	block     8 bytes   kind, 3 bytes of zero, length of the payload
//	          payload
//	          4 bytes   CRC-32C of the block's number (8 bytes) and of all of it before
//
// The last block is of [KindEnd]. A state that is cut off has none; blocks that are
// lost, repeated or out of order do not have the number that their sum is made with.
const (
	// Version is that of the format. Only the same one is read: a state lives for
	// minutes.
	Version = 1
	// MaxBlock bounds the payload of a block in bytes.
	MaxBlock = 64 << 10

	preambleLen, blockHeaderLen, sumLen = 8, 8, 4
)

var preamble = [preambleLen]byte{'S', 'T', 'T', 'W', 'A', 'L', 'L', Version}

// Kind says what is in a block.
type Kind uint8

// The kinds, in the order in which they come. A kind may be left out, but the first and
// the last, and come in many blocks.
const (
	KindHeader   Kind = iota + 1 // a [Header]
	KindTenants                  // numbers and names of tenants
	KindFlows                    // flows of package conntrack
	KindBindings                 // bindings of package binding
	KindFilter                   // what the frame-ID filter is keyed with
	KindLines                    // lines of its bitmaps
	KindEnd                      // nothing
	kinds
)

// ErrBroken is in all errors about a state that is not as it was written.
var ErrBroken = errors.New("the state is broken")

// Broken returns an error that says what is wrong with a state.
func Broken(format string, args ...any) error {
	return fmt.Errorf("%w: %w", ErrBroken, fmt.Errorf(format, args...))
}

// sum is the sum of a block.
func sum(table *crc32.Table, number uint64, block []byte) uint32 {
	var n [8]byte
	binary.LittleEndian.PutUint64(n[:], number)
	return crc32.Update(crc32.Checksum(n[:], table), table, block)
}

// Writer writes a state. Records are put together in blocks; the first error stays, and
// is that of Close. Not for concurrent use.
type Writer struct {
	to     io.Writer
	table  *crc32.Table
	kind   Kind
	block  []byte // header and payload so far
	number uint64
	bytes  int64
	err    error
}

// NewWriter begins a state.
func NewWriter(to io.Writer) *Writer {
	w := &Writer{to: to, table: crc32.MakeTable(crc32.Castagnoli)}
	w.block = make([]byte, blockHeaderLen, blockHeaderLen+MaxBlock+sumLen)
	w.put(preamble[:])
	return w
}

func (w *Writer) put(b []byte) {
	if w.err == nil {
		_, w.err = w.to.Write(b)
		w.bytes += int64(len(b))
	}
}

// Record adds a record, of [MaxBlock] bytes at most, to a block of a kind. It is
// borrowed until the call returns.
func (w *Writer) Record(kind Kind, record []byte) error {
	if w.kind != kind || len(w.block)-blockHeaderLen+len(record) > MaxBlock {
		w.flush()
		w.kind = kind
	}
	if len(record) > MaxBlock && w.err == nil {
		w.err = fmt.Errorf("a record of %d bytes: at most %d fit", len(record), MaxBlock)
	}
	if w.err == nil {
		w.block = append(w.block, record...)
	}
	return w.err
}

// flush writes the block that was begun.
func (w *Writer) flush() {
	if w.kind == 0 {
		return
	}
	binary.LittleEndian.PutUint32(w.block, uint32(w.kind))
	binary.LittleEndian.PutUint32(w.block[4:], uint32(len(w.block)-blockHeaderLen))
	w.block = binary.LittleEndian.AppendUint32(w.block, sum(w.table, w.number, w.block))
	w.put(w.block)
	w.number++
	w.kind, w.block = 0, w.block[:blockHeaderLen]
}

// Close ends the state, and does not close what it was written to. It returns how many
// bytes there are, and the first error.
func (w *Writer) Close() (bytes int64, err error) {
	w.flush()
	w.kind = KindEnd
	w.flush()
	return w.bytes, w.err
}

// Reader reads a state. Not for concurrent use.
type Reader struct {
	from   io.Reader
	table  *crc32.Table
	buffer []byte
	number uint64
	last   Kind
	bytes  int64
}

// NewReader reads the beginning of a state. The error is [ErrBroken] for what is none,
// or is one of another version.
func NewReader(from io.Reader) (*Reader, error) {
	r := &Reader{from: from, table: crc32.MakeTable(crc32.Castagnoli), buffer: make([]byte, blockHeaderLen+MaxBlock+sumLen)}
	var b [preambleLen]byte
	if err := r.fill(b[:]); err != nil {
		return nil, err
	}
	switch {
	case [preambleLen - 1]byte(b[:]) != [preambleLen - 1]byte(preamble[:]):
		return nil, Broken("it does not begin as one")
	case b[preambleLen-1] != Version:
		return nil, Broken("it has format %d, and this sttwall reads format %d", b[preambleLen-1], Version)
	}
	return r, nil
}

func (r *Reader) fill(b []byte) error {
	n, err := io.ReadFull(r.from, b)
	r.bytes += int64(n)
	if errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) {
		return Broken("it ends after %d bytes", r.bytes)
	}
	return err
}

// Next returns the next block. payload is borrowed until the next call. After
// [KindEnd] there is nothing.
func (r *Reader) Next() (kind Kind, payload []byte, err error) {
	if r.last == KindEnd {
		return 0, nil, Broken("it goes on behind its end")
	}
	head := r.buffer[:blockHeaderLen]
	if err := r.fill(head); err != nil {
		return 0, nil, err
	}
	word, length := binary.LittleEndian.Uint32(head), binary.LittleEndian.Uint32(head[4:])
	if word == 0 || word >= uint32(kinds) || length > MaxBlock {
		return 0, nil, Broken("block %d is of kind %d and has %d bytes", r.number, word, length)
	}
	end := blockHeaderLen + int(length)
	if err := r.fill(r.buffer[blockHeaderLen : end+sumLen]); err != nil {
		return 0, nil, err
	}
	if sum(r.table, r.number, r.buffer[:end]) != binary.LittleEndian.Uint32(r.buffer[end:]) {
		return 0, nil, Broken("the sum of block %d is another one", r.number)
	}
	switch kind = Kind(word); {
	case r.number == 0 && kind != KindHeader:
		return 0, nil, Broken("it begins with a block of kind %d", kind)
	case kind < r.last || kind == KindHeader && r.number > 0:
		return 0, nil, Broken("block %d is of kind %d, behind one of kind %d", r.number, kind, r.last)
	case kind == KindEnd && length != 0:
		return 0, nil, Broken("its end has %d bytes", length)
	}
	r.last = kind
	r.number++
	return kind, r.buffer[blockHeaderLen:end], nil
}

// Bytes returns how many bytes were read.
func (r *Reader) Bytes() int64 { return r.bytes }
