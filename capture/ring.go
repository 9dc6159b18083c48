package capture

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
	"strconv"
)

// RingConfig makes a [Ring].
type RingConfig struct {
	// Path is the file that is written. Those before it are Path.1, Path.2, ..., the
	// oldest last.
	Path string
	// Files is how many there are at most, 1 to 1000; the oldest is removed for another.
	Files int
	// Size is how large one becomes at most, in bytes; a packet that alone is larger
	// than that makes a larger one.
	Size int64
	// Link is the link type of all packets.
	Link LinkType
	// Application names the program in each file.
	Application string
}

// Ring writes packets into a bounded number of pcapng files, each whole: what cannot be
// written is not there in part.
type Ring struct {
	config  RingConfig
	file    *os.File // nil: none is open
	written int64
	text    bytes.Buffer // what is to be written
	writer  *Writer      // into text
}

const maxRingFiles = 1000

// OpenRing begins a file. Files of an earlier ring of that path are kept as older ones,
// if they have packets.
func OpenRing(c RingConfig) (*Ring, error) {
	switch {
	case c.Path == "":
		return nil, errors.New("a ring of captures without a path")
	case c.Files < 1 || c.Files > maxRingFiles:
		return nil, fmt.Errorf("%d files: want 1 to %d", c.Files, maxRingFiles)
	case c.Size < 1:
		return nil, fmt.Errorf("files of %d bytes: want 1 at least", c.Size)
	}
	// As root a mistake would move a folder away, or /dev/null.
	if info, err := os.Lstat(c.Path); err == nil && !info.Mode().IsRegular() {
		return nil, fmt.Errorf("%s: there is something else with that name, and no file", c.Path)
	}
	r := &Ring{config: c}
	turn := r.next
	if empty(c.Path) {
		turn = r.begin
	}
	if err := turn(); err != nil {
		return nil, err
	}
	return r, nil
}

// empty reports whether a file is a capture without a packet.
func empty(path string) bool {
	file, err := Open(path, nil)
	if err != nil {
		return false
	}
	defer file.Close()
	return errors.Is(file.Next(&Packet{}), io.EOF)
}

// next begins the next file. Where the files cannot be moved, the one that is open
// stays so.
func (r *Ring) next() error {
	for n := r.config.Files - 1; n > 0; n-- {
		if err := os.Rename(r.name(n-1), r.name(n)); err != nil && !errors.Is(err, os.ErrNotExist) {
			return err
		}
	}
	if err := r.Close(); err != nil {
		return err
	}
	file, err := os.OpenFile(r.config.Path, os.O_WRONLY|os.O_CREATE|os.O_TRUNC, 0o600)
	if err != nil {
		return err
	}
	r.file, r.written = file, 0
	r.text.Reset()
	if r.writer, err = NewWriter(&r.text, r.config.Application); err == nil {
		err = errors.Join(r.writer.Announce(r.config.Link), r.writer.Flush())
	}
	if err == nil {
		err = r.put()
	}
	if err != nil {
		// Without its beginning it is no capture: with the next packet it is begun anew.
		file.Close()
		r.file = nil
	}
	return err
}

// name is that of the n-th file, from the newest.
func (r *Ring) name(n int) string {
	if n == 0 {
		return r.config.Path
	}
	return r.config.Path + "." + strconv.Itoa(n)
}

// Write appends a packet. After an error it is not in the ring, and the next one may be.
func (r *Ring) Write(p *Record) error {
	if p.Link != r.config.Link {
		return fmt.Errorf("packet of link type %v in a capture of %v", p.Link, r.config.Link)
	}
	if r.file == nil {
		if err := r.begin(); err != nil {
			return err
		}
	}
	if err := r.encode(p); err != nil {
		return err
	}
	if r.written+int64(r.text.Len()) > r.config.Size && r.written > 0 {
		packet := bytes.Clone(r.text.Bytes())
		if err := r.next(); err != nil {
			return err
		}
		r.text.Reset()
		r.text.Write(packet)
	}
	return r.put()
}

// begin begins the newest file anew, which has nothing in it.
func (r *Ring) begin() error {
	files := r.config.Files
	r.config.Files = 1 // those before stay where they are
	err := r.next()
	r.config.Files = files
	return err
}

func (r *Ring) encode(p *Record) error {
	r.text.Reset()
	if err := r.writer.Write(p); err != nil {
		return err
	}
	return r.writer.Flush()
}

// put writes the text, or nothing of it.
func (r *Ring) put() error {
	n, err := r.file.Write(r.text.Bytes())
	if err == nil {
		r.written += int64(n)
		return nil
	}
	if n > 0 {
		_, seek := r.file.Seek(r.written, 0)
		if cut := errors.Join(r.file.Truncate(r.written), seek); cut != nil {
			return errors.Join(err, cut)
		}
	}
	return err
}

// Close closes the file.
func (r *Ring) Close() error {
	if r.file == nil {
		return nil
	}
	err := r.file.Close()
	r.file = nil
	return err
}
