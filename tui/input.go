package tui

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"sync"
	"time"

	tea "charm.land/bubbletea/v2"
	"golang.org/x/sys/unix"
)

// ErrGone says that nothing can be read from the terminal any more: its window was
// closed, or the connection to it has ended.
var ErrGone = errors.New("the terminal is gone")

// watchedReader tells of the first error. Bubble Tea itself would go on without keys,
// for nobody.
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

// input is a terminal from which Bubble Tea reads keys, until it is told to stop.
//
// It has what makes it a terminal, and no Name: with one it would be read by way of
// cancelreader (v0.2.2), which Bubble Tea (v2.1.1, Program.shutdown) closes while a read
// may be under way: at once where the context has ended, else after half a second. That
// read goes on with closed descriptors, or with what has got their numbers since.
type input struct {
	file *os.File
	end  watchedReader

	reads sync.Mutex // held while there is a read

	mu      sync.Mutex
	reading bool   // there is a read, which wakes by wake
	stopped bool   // there will be no other
	wake    [2]int // a pipe
}

func newInput(file *os.File, gone func()) (*input, error) {
	i := &input{file: file, end: watchedReader{file, gone}}
	if err := unix.Pipe2(i.wake[:], unix.O_CLOEXEC|unix.O_NONBLOCK); err != nil {
		return nil, fmt.Errorf("pipe: %w", err)
	}
	return i, nil
}

func (i *input) Fd() uintptr                 { return i.file.Fd() }
func (i *input) Write(p []byte) (int, error) { return i.file.Write(p) }

// Close does nothing: the terminal is the caller's.
func (i *input) Close() error { return nil }

// Read reads keys. It returns io.EOF, and leaves what was typed in the terminal, when it
// is told to stop.
func (i *input) Read(p []byte) (int, error) {
	i.reads.Lock()
	defer i.reads.Unlock()
	if !i.begin() {
		return 0, io.EOF
	}
	defer i.done()
	for {
		ready := []unix.PollFd{{Fd: int32(i.file.Fd()), Events: unix.POLLIN}, {Fd: int32(i.wake[0]), Events: unix.POLLIN}}
		switch _, err := unix.Poll(ready, -1); {
		case errors.Is(err, unix.EINTR):
		case err != nil:
			i.end.gone()
			return 0, fmt.Errorf("terminal: %w", err)
		case ready[1].Revents != 0:
			return 0, io.EOF
		default:
			return i.end.Read(p)
		}
	}
}

func (i *input) begin() bool {
	i.mu.Lock()
	defer i.mu.Unlock()
	i.reading = !i.stopped
	return i.reading
}

// done ends a read. What would wake it must not wake the next one.
func (i *input) done() {
	i.mu.Lock()
	defer i.mu.Unlock()
	i.reading = false
	var b [16]byte
	for n := len(b); n == len(b); {
		n, _ = unix.Read(i.wake[0], b[:])
	}
}

// interrupt ends the read that is under way, if one is.
func (i *input) interrupt() {
	i.mu.Lock()
	defer i.mu.Unlock()
	i.interruptLocked()
}

func (i *input) interruptLocked() {
	if i.reading {
		unix.Write(i.wake[1], []byte{0}) // when the pipe is full, it wakes already
	}
}

// stop ends the read that is under way, and has there be no other.
func (i *input) stop() {
	i.mu.Lock()
	defer i.mu.Unlock()
	i.stopped = true
	i.interruptLocked()
}

// heed lets go of the terminal before Bubble Tea acts on what makes it end or wait.
func (i *input) heed(_ tea.Model, m tea.Msg) tea.Msg {
	switch m.(type) {
	case tea.QuitMsg, tea.InterruptMsg:
		i.stop()
	case tea.SuspendMsg: // it reads anew when it goes on
		i.interrupt()
	}
	return m
}

// releaseBound is how long release waits. A key that came as the terminal was given back
// its old modes may be read only with the next line (termios(3), canonical mode).
const releaseBound = 500 * time.Millisecond

// release waits until nothing reads from the terminal, for releaseBound at most.
func (i *input) release() {
	i.stop()
	released := make(chan struct{})
	go func() {
		defer close(released)
		i.reads.Lock()
		defer i.reads.Unlock()
		for _, fd := range i.wake {
			unix.Close(fd)
		}
	}()
	late := time.NewTimer(releaseBound)
	defer late.Stop()
	select {
	case <-released:
	case <-late.C:
	}
}

// watchInput has gone called, once or more often and from any goroutine, when from ends.
// A terminal is not read any more when ctx has ended, and release waits for that.
func watchInput(ctx context.Context, from io.Reader, gone func()) (options []tea.ProgramOption, release func(), err error) {
	f, ok := from.(*os.File)
	if !ok {
		return []tea.ProgramOption{tea.WithInput(&watchedReader{from, gone})}, func() {}, nil
	}
	i, err := newInput(f, gone)
	if err != nil {
		return nil, nil, err
	}
	ended := context.AfterFunc(ctx, i.stop)
	return []tea.ProgramOption{tea.WithInput(i), tea.WithFilter(i.heed)}, func() { ended(); i.release() }, nil
}
