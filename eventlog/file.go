package eventlog

import (
	"errors"
	"fmt"
	"os"
	"syscall"
)

// fileMode is that of a new file: it names hosts and what they do.
const fileMode = 0o640

// maxWrite bounds a write in bytes.
const maxWrite = 256 << 10

// file is a file that grows by lines. A line is in it whole, or cut off at its end,
// and then nothing is behind it but the rest of that line or a new one.
type file struct {
	path string
	f    *os.File // nil: not open
	// half is how many bytes of the line that is written next are in the file: the
	// disk was full in the middle of it.
	half int
	buf  []byte
}

func (w *file) open() error {
	// Without O_NONBLOCK a named pipe without a reader would keep us here.
	f, err := os.OpenFile(w.path, os.O_WRONLY|os.O_CREATE|os.O_APPEND|syscall.O_NONBLOCK, fileMode)
	if err != nil {
		return bare(err)
	}
	w.f, w.half = f, 0
	if err := w.endLine(); err != nil {
		w.reopen()
		return bare(err)
	}
	return nil
}

// endLine ends a line that an earlier program has left half written.
func (w *file) endLine() error {
	info, err := w.f.Stat()
	if err != nil {
		return err
	}
	if !info.Mode().IsRegular() || info.Size() == 0 {
		return nil
	}
	r, err := os.Open(w.path)
	if err != nil {
		return nil // it may not be read: then nobody knows
	}
	defer r.Close()
	var last [1]byte
	if n, _ := r.ReadAt(last[:], info.Size()-1); n == 0 || last[0] == '\n' {
		return nil
	}
	_, err = w.f.Write([]byte{'\n'})
	return err
}

func (w *file) write(lines []line) (n int, err error) {
	if w.f == nil {
		if err := w.open(); err != nil {
			return 0, err
		}
	}
	for n < len(lines) {
		w.buf = append(w.buf[:0], lines[n].text[w.half:]...)
		some := 1
		for ; n+some < len(lines) && len(w.buf)+len(lines[n+some].text) <= maxWrite; some++ {
			w.buf = append(w.buf, lines[n+some].text...)
		}
		wrote, err := w.f.Write(w.buf)
		for wrote += w.half; n < len(lines) && wrote >= len(lines[n].text); n++ {
			wrote -= len(lines[n].text)
		}
		w.half = wrote
		if err != nil {
			if !full(err) {
				w.reopen() // it may be on a disk that has gone, and is there again
			}
			return n, bare(err)
		}
	}
	return n, nil
}

// full reports whether an error says that there is no room: the file itself is well.
func full(err error) bool {
	return errors.Is(err, syscall.ENOSPC) || errors.Is(err, syscall.EDQUOT) || errors.Is(err, syscall.EFBIG)
}

// bare leaves out the name of the file, which whoever logs it knows.
func bare(err error) error {
	var of *os.PathError
	if errors.As(err, &of) {
		return fmt.Errorf("%s: %w", of.Op, of.Err)
	}
	return err
}

// reopen closes the file. A line of which only a part is in it is written again, whole,
// into what is opened next.
func (w *file) reopen() {
	if w.f != nil {
		w.f.Close() // what was written was written
	}
	w.f, w.half = nil, 0
}

func (w *file) close() error {
	if w.f == nil {
		return nil
	}
	err := w.f.Close()
	w.f = nil
	return err
}
