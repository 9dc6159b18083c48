package handover

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"syscall"
)

// fileBuffer is how much is written to a file at once, in bytes.
const fileBuffer = 1 << 20

// WriteFile has write write a state into the file at path, in the place of one that is
// there, which nobody but its owner can read. After an error no file is there.
func WriteFile(path string, write func(io.Writer) error) (err error) {
	next := path + ".new"
	defer func() {
		if err != nil {
			os.Remove(next)
			os.Remove(path)
			err = fmt.Errorf("state for the next start: %w", err)
		}
	}()
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		return err
	}
	if err := os.Remove(next); err != nil && !errors.Is(err, fs.ErrNotExist) { // of one that was killed meanwhile
		return err
	}
	out, err := os.OpenFile(next, os.O_WRONLY|os.O_CREATE|os.O_EXCL|syscall.O_NOFOLLOW, 0o600)
	if err != nil {
		return err
	}
	buffered := bufio.NewWriterSize(out, fileBuffer)
	// Not synced: after a loss of power no state is of use, and one in parts is noticed.
	if err := errors.Join(write(buffered), buffered.Flush(), out.Close()); err != nil {
		return err
	}
	return os.Rename(next, path)
}

// OpenFile opens the state at path and takes its name away: it is read once. The error
// is [fs.ErrNotExist] where there is none; a file that others can have written stays
// where it is.
func OpenFile(path string) (io.ReadCloser, error) {
	in, err := os.OpenFile(path, os.O_RDONLY|syscall.O_NONBLOCK|syscall.O_NOFOLLOW, 0) // a pipe must not hang
	if err != nil {
		return nil, err
	}
	err = ownFile(in)
	if err == nil {
		err = os.Remove(path)
	}
	if err != nil {
		in.Close() // nothing was written
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	return struct {
		io.Reader
		io.Closer
	}{bufio.NewReaderSize(in, fileBuffer), in}, nil
}

// ownFile says why others can have written a file, or nil.
func ownFile(f *os.File) error {
	info, err := f.Stat()
	if err != nil {
		return err
	}
	of, ok := info.Sys().(*syscall.Stat_t)
	switch {
	case !info.Mode().IsRegular():
		return errors.New("it is not a regular file")
	case !ok || of.Uid != 0 && int(of.Uid) != os.Geteuid():
		return errors.New("it belongs to another user, who may have made up flows")
	case info.Mode().Perm()&0o077 != 0:
		return fmt.Errorf("others than its owner may use it (mode %#o)", info.Mode().Perm())
	case of.Nlink != 1:
		return fmt.Errorf("it has %d names", of.Nlink)
	}
	return nil
}
