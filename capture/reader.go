package capture

import (
	"bufio"
	"compress/gzip"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"os"
)

// Error is damage in a capture: which file, which packet, what was wrong.
type Error struct {
	// File is the name that the reader was given.
	File string
	// Packet is the number of the packet that could not be read, from 1; 0
	// if the damage is in the file's header.
	Packet int
	// Err is what was wrong. It wraps [io.ErrUnexpectedEOF] if the file
	// ends inside a packet.
	Err error
}

// Error returns "FILE: packet N: what was wrong".
func (e *Error) Error() string {
	if e.Packet == 0 {
		return fmt.Sprintf("%s: %v", e.File, e.Err)
	}
	return fmt.Sprintf("%s: packet %d: %v", e.File, e.Packet, e.Err)
}

// Unwrap returns e.Err.
func (e *Error) Unwrap() error { return e.Err }

// source is a file format.
type source interface {
	// next fills Time, Link, Data, WireLen and Comment. It returns io.EOF
	// only where the file may end.
	next(p *Packet) error
}

// Reader hands out the packets of one capture in the order of the file.
type Reader struct {
	name   string
	src    source
	number int
	err    error
	close  func() error
}

// Open opens a capture file: pcap or pcapng, plain or compressed by gzip. The
// path "-" stands for stdin, which may be a pipe.
func Open(path string, stdin io.Reader) (*Reader, error) {
	if path == "-" {
		return NewReader("stdin", stdin)
	}
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	r, err := NewReader(path, f)
	if err != nil {
		f.Close()
		return nil, err
	}
	r.close = f.Close
	return r, nil
}

// NewReader reads a capture from r, which it never closes. name stands in
// errors. An empty input is an error: every capture has a header.
func NewReader(name string, r io.Reader) (*Reader, error) {
	src, err := guarded(func() (source, error) { return newSource(bufio.NewReaderSize(r, bufferSize)) })
	if err != nil {
		return nil, &Error{File: name, Err: err}
	}
	return &Reader{name: name, src: src}, nil
}

// bufferSize is that of the one buffer in front of the parser, in bytes.
const bufferSize = 64 << 10

const (
	magicMicroseconds = 0xa1b2c3d4
	magicNanoseconds  = 0xa1b23c4d
	magicGzip         = 0x1f8b
)

func newSource(br *bufio.Reader) (source, error) {
	if b, err := br.Peek(2); err == nil && binary.BigEndian.Uint16(b) == magicGzip {
		z, err := gzip.NewReader(br)
		if err != nil {
			return nil, fmt.Errorf("gzip: %w", err)
		}
		br = bufio.NewReaderSize(z, bufferSize)
	}
	b, err := br.Peek(4)
	switch {
	case err != nil && !errors.Is(err, io.EOF):
		return nil, err
	case len(b) == 0:
		return nil, errors.New("empty: not even a file header")
	case len(b) < 4:
		return nil, errors.New("neither pcap nor pcapng, nor gzip of one")
	}
	big, little := binary.BigEndian.Uint32(b), binary.LittleEndian.Uint32(b)
	switch {
	case big == blockSection:
		return newPcapng(br)
	case big == magicMicroseconds, big == magicNanoseconds:
		return newPcap(br, binary.BigEndian)
	case little == magicMicroseconds, little == magicNanoseconds:
		return newPcap(br, binary.LittleEndian)
	}
	return nil, fmt.Errorf("neither pcap nor pcapng, nor gzip of one: it starts with %#08x", big)
}

// guarded turns a panic of a library that met hostile bytes into an error.
func guarded[T any](f func() (T, error)) (v T, err error) {
	defer func() {
		if r := recover(); r != nil {
			err = fmt.Errorf("unreadable: %v", r)
		}
	}()
	return f()
}

// Next reads the next packet into p. It returns [io.EOF] behind the last one
// and an [Error] where the file is damaged or ends inside a packet; after
// either, every further call returns the same.
func (r *Reader) Next(p *Packet) error {
	if r.err != nil {
		return r.err
	}
	*p = Packet{}
	_, err := guarded(func() (struct{}, error) { return struct{}{}, r.src.next(p) })
	switch {
	case err == io.EOF:
		r.err = io.EOF
	case err != nil:
		r.err = &Error{File: r.name, Packet: r.number + 1, Err: err}
	}
	if r.err != nil {
		*p = Packet{}
		return r.err
	}
	r.number++
	p.Number = r.number
	p.walk()
	return nil
}

// Name returns the name that stands in errors.
func (r *Reader) Name() string { return r.name }

// Close closes the file that Open opened.
func (r *Reader) Close() error {
	if r.close == nil {
		return nil
	}
	return r.close()
}

// cut is the error for an input that ends inside something; other read errors
// (a damaged gzip, a disk) pass unchanged.
func cut(err error, inside string) error {
	if err == io.EOF || errors.Is(err, io.ErrUnexpectedEOF) {
		return fmt.Errorf("the file ends inside %s: %w", inside, io.ErrUnexpectedEOF)
	}
	return fmt.Errorf("reading %s: %w", inside, err)
}

// tooLong is the error for a packet that claims more bytes than a packet has.
func tooLong(length uint32) error {
	return fmt.Errorf("claims %d captured bytes; more than %d is damage", length, MaxPacketLen)
}
