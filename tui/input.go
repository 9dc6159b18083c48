package tui

import (
	"errors"
	"io"
	"os"
)

// ErrGone says that nothing can be read from the terminal any more: its window was
// closed, or the connection to it has ended.
var ErrGone = errors.New("the terminal is gone")

// input is a terminal that tells when it has ended. Bubble Tea itself would go on
// without keys, for nobody. It must stay a file, which can be told from a pipe and
// waited for.
type input struct {
	*os.File
	end watchedReader
}

func (i *input) Read(p []byte) (int, error) { return i.end.Read(p) }

// watchedReader tells of the first error.
type watchedReader struct {
	io.Reader
	gone func()
}

func (r *watchedReader) Read(p []byte) (int, error) {
	n, err := r.Reader.Read(p)
	if err != nil {
		r.gone()
	}
	return n, err
}

// watchInput has gone called, once or more often and from any goroutine, when from ends.
func watchInput(from io.Reader, gone func()) io.Reader {
	end := watchedReader{from, gone}
	if f, ok := from.(*os.File); ok {
		return &input{f, end}
	}
	return &end
}
