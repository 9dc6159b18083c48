package tui

import (
	"context"
	"errors"
	"io"
	"os"
	"runtime"
	"strings"
	"testing"
	"time"

	tea "charm.land/bubbletea/v2"
	"golang.org/x/sys/unix"
)

// openTerminal makes a terminal (pty(7)) of which the test is the other end.
func openTerminal(t *testing.T) (keys, terminal *os.File) {
	t.Helper()
	keys, err := os.OpenFile("/dev/ptmx", os.O_RDWR|unix.O_NOCTTY, 0)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { keys.Close() })
	fd := int(keys.Fd())
	if err := unix.IoctlSetPointerInt(fd, unix.TIOCSPTLCK, 0); err != nil {
		t.Fatal(err)
	}
	peer, _, e := unix.Syscall(unix.SYS_IOCTL, uintptr(fd), unix.TIOCGPTPEER, unix.O_RDWR|unix.O_NOCTTY)
	if e != 0 {
		t.Fatal(e)
	}
	terminal = os.NewFile(peer, "terminal")
	t.Cleanup(func() { terminal.Close() })
	return keys, terminal
}

// nextLine is what another program reads then; "": nothing has come within a minute.
func nextLine(t *testing.T, tty *os.File) string {
	t.Helper()
	ready := []unix.PollFd{{Fd: int32(tty.Fd()), Events: unix.POLLIN}}
	for {
		n, err := unix.Poll(ready, int(time.Minute/time.Millisecond))
		switch {
		case err == unix.EINTR:
			continue
		case err != nil:
			t.Fatal(err)
		case n == 0:
			return ""
		}
		b := make([]byte, 80)
		if n, err = tty.Read(b); err != nil {
			t.Fatal(err)
		}
		return string(b[:n])
	}
}

// The program is ended some times: on one processor what reads keys runs after what ends it,
// mostly. The race detector finds a reader that is closed while it reads; it has read what
// was the next program's too.
func TestTheTerminalIsLetGoOfHoweverTheScreenEnds(t *testing.T) {
	defer runtime.GOMAXPROCS(runtime.GOMAXPROCS(1))
	many := strings.Repeat("j", 1000) // some of them come when nobody takes keys any more
	for _, tt := range []struct {
		name string
		do   func(keys io.Writer, cancel func())
		want error
	}{
		{"q", func(keys io.Writer, _ func()) { io.WriteString(keys, "q") }, nil},
		{"q, and more keys at once", func(keys io.Writer, _ func()) { io.WriteString(keys, "q"+many) }, nil},
		{"^C", func(keys io.Writer, _ func()) { io.WriteString(keys, "\x03") }, ErrInterrupted},
		{"^C, and more keys at once", func(keys io.Writer, _ func()) { io.WriteString(keys, "\x03"+many) }, ErrInterrupted},
		{"the context ends", func(_ io.Writer, cancel func()) { cancel() }, nil},
		{"the context ends among keys", func(keys io.Writer, cancel func()) { io.WriteString(keys, many); cancel() }, nil},
	} {
		t.Run(tt.name, func(t *testing.T) {
			for range 10 {
				ctx, cancel := context.WithCancel(t.Context())
				defer cancel()
				keys, tty := openTerminal(t)
				out := new(terminal)
				seen := out.after("Flows")
				done := make(chan error, 1)
				go func() {
					done <- run(ctx, Config{
						Firewall: newFake(), Where: "control.sock", Input: tty, Output: out, Environ: []string{"TERM=xterm-256color"},
					}, tea.WithWindowSize(80, 24))
				}()
				<-seen
				tt.do(keys, cancel)
				if err := <-done; !errors.Is(err, tt.want) {
					t.Errorf("it ends with %v, want %v", err, tt.want)
				}
				if err := unix.IoctlSetInt(int(tty.Fd()), unix.TCFLSH, unix.TCIFLUSH); err != nil {
					t.Fatal(err)
				}
				io.WriteString(keys, "next\n")
				if got := nextLine(t, tty); got != "next\n" {
					t.Fatalf("the next program reads %q", got)
				}
			}
		})
	}
}

// began waits until a read is under way.
func (i *input) began() {
	for under := false; !under; runtime.Gosched() {
		i.mu.Lock()
		under = i.reading
		i.mu.Unlock()
	}
}

func TestAReadEndsWhenItIsToldToAndLeavesWhatIsTyped(t *testing.T) {
	keys, tty := openTerminal(t)
	gone := make(chan struct{}, 10)
	i, err := newInput(tty, func() { gone <- struct{}{} })
	if err != nil {
		t.Fatal(err)
	}
	type read struct {
		text string
		err  error
	}
	begin := func() <-chan read {
		ended := make(chan read, 1)
		go func() {
			b := make([]byte, 80)
			n, err := i.Read(b)
			ended <- read{string(b[:n]), err}
		}()
		return ended
	}
	want := func(got, want read) {
		t.Helper()
		if got.text != want.text || !errors.Is(got.err, want.err) {
			t.Errorf("got %q, %v; want %q, %v", got.text, got.err, want.text, want.err)
		}
	}
	i.interrupt() // no read is under way: that of later must not end by it
	ended := begin()
	i.began()
	io.WriteString(keys, "a\n")
	want(<-ended, read{"a\n", nil})

	ended = begin()
	i.began()
	i.heed(nil, tea.SuspendMsg{})
	i.interrupt() // twice, as once
	want(<-ended, read{"", io.EOF})
	ended = begin()
	i.began()
	io.WriteString(keys, "b\n")
	want(<-ended, read{"b\n", nil})

	ended = begin()
	i.began()
	i.heed(nil, tea.QuitMsg{})
	want(<-ended, read{"", io.EOF})
	io.WriteString(keys, "c\n")
	want(<-begin(), read{"", io.EOF})
	i.release()
	want(<-begin(), read{"", io.EOF})
	if got := nextLine(t, tty); got != "c\n" {
		t.Errorf("the next program reads %q", got)
	}
	if len(gone) > 0 {
		t.Error("the terminal is taken for gone")
	}
}

func TestATerminalThatIsGoneEndsAReadAndIsTold(t *testing.T) {
	keys, tty := openTerminal(t)
	gone := make(chan struct{}, 10)
	i, err := newInput(tty, func() { gone <- struct{}{} })
	if err != nil {
		t.Fatal(err)
	}
	ended := make(chan error, 1)
	go func() {
		_, err := i.Read(make([]byte, 80))
		ended <- err
	}()
	i.began()
	keys.Close()
	if err := <-ended; err == nil {
		t.Error("a terminal without another end is read")
	}
	<-gone
	i.release()
}

func TestAReadThatDoesNotEndHoldsNobodyForEver(t *testing.T) {
	_, tty := openTerminal(t)
	i, err := newInput(tty, func() {})
	if err != nil {
		t.Fatal(err)
	}
	i.reads.Lock()
	i.release()
	i.reads.Unlock()
}
