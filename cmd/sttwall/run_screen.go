package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"sync"

	"github.com/spf13/pflag"

	"sttwall/control"
	"sttwall/tui"
)

// inPlaceFlags are the flags of `run` that are about its screen and log.
type inPlaceFlags struct {
	on   bool
	log  string
	look screenFlags
}

func (f *inPlaceFlags) add(flags *pflag.FlagSet) {
	flags.BoolVar(&f.on, "tui", false, "show the live screen: q leaves it, and the firewall goes on; ^C stops both; see 'sttwall top'")
	flags.StringVar(&f.log, "log", "", "append the log to this `file`, not to stderr; SIGHUP opens it anew")
	f.look.add(flags)
}

// inPlace is the screen of a firewall in its own process, and what becomes of the log
// while it is there.
type inPlace struct {
	s      streams
	screen tui.Config
	held   *heldLog      // nil: the log is not in the way
	file   *logFile      // nil: there is none
	ended  chan struct{} // closed when the screen is gone; nil until it is there
}

// open checks the flags, and returns nil where neither screen nor log file is wanted.
func (f *inPlaceFlags) open(s streams, socket string) (*inPlace, error) {
	p := &inPlace{s: s}
	var err error
	if p.screen, err = f.look.config(); err != nil {
		return nil, usageError{err}
	}
	if !f.on && f.look != (screenFlags{theme: tui.ThemeAuto}) {
		return nil, usageError{errors.New("--theme, --screen and --filter are about the screen: they want --tui")}
	}
	if f.on {
		if socket == "" {
			return nil, usageError{errors.New("--tui needs the control socket: name one with --control")}
		}
		if err := canWatch(s); err != nil {
			return nil, fmt.Errorf("--tui: %w", err)
		}
		p.screen.Where, p.screen.Inside, p.screen.Input, p.screen.Output = socket, true, s.in, s.out
		p.screen.Hint = "q leaves this screen, and the firewall goes on; ^C stops it"
	}
	if f.log != "" {
		p.file = &logFile{name: f.log}
		if err := p.file.open(); err != nil {
			return nil, fmt.Errorf("--log: %w", err)
		}
	} else if f.on {
		p.held = &heldLog{to: s.err, holding: true}
	}
	return p, nil
}

// log is where the firewall logs.
func (p *inPlace) log() io.Writer {
	switch {
	case p.file != nil:
		return p.file
	case p.held != nil:
		return p.held
	}
	return p.s.err
}

// reopen opens the log file anew, if there is one: somebody may have moved it away.
func (p *inPlace) reopen() {
	if p.file == nil {
		return
	}
	if err := p.file.open(); err != nil {
		fmt.Fprintf(p.file, "the log goes on in the file that was open: %v\n", err)
	}
}

// show shows the screen beside a firewall that runs, and calls stop if the user wants
// to stop that.
func (p *inPlace) show(ctx context.Context, stop context.CancelFunc) {
	p.ended = make(chan struct{})
	go func() {
		defer close(p.ended)
		switch err := p.watch(ctx); {
		case errors.Is(err, tui.ErrInterrupted):
			p.release("")
			stop()
		case err != nil:
			p.release(fmt.Sprintf("the screen is gone, and the firewall goes on: %v\n", err))
		case ctx.Err() != nil:
			p.release("")
		default:
			p.release("The screen is closed, and the firewall goes on: ^C stops it, 'sttwall top' shows the screen again.\n")
		}
	}()
}

func (p *inPlace) watch(ctx context.Context) error {
	client, err := control.Dial(p.screen.Where)
	if err != nil {
		return err
	}
	defer client.Close()
	p.screen.Firewall = client
	return tui.Run(ctx, p.screen)
}

// release says something on stderr, and lets the log go there from now on.
func (p *inPlace) release(say string) {
	io.WriteString(p.s.err, say)
	if p.held != nil {
		p.held.release()
	}
}

// close waits until the screen is gone.
func (p *inPlace) close() {
	if p.ended != nil {
		<-p.ended
	}
	p.release("")
	if p.file != nil {
		p.file.close()
	}
}

// logFile is a file to which a log is appended. Its methods may be called from any
// goroutine.
type logFile struct {
	name string
	mu   sync.Mutex
	file *os.File
}

// open opens the file, anew if it is open. After an error it is as it was.
func (l *logFile) open() error {
	file, err := os.OpenFile(l.name, os.O_WRONLY|os.O_APPEND|os.O_CREATE, 0o640)
	if err != nil {
		return err
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.file != nil {
		l.file.Close()
	}
	l.file = file
	return nil
}

func (l *logFile) Write(line []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.file.Write(line)
}

func (l *logFile) close() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.file.Close()
}

// maxHeld bounds what is kept of a log while a screen is in the way, in bytes; then the
// oldest lines are given up, and counted.
const maxHeld = 256 << 10

// heldLog keeps what is written until it is released, and then lets it through.
type heldLog struct {
	to      io.Writer
	mu      sync.Mutex
	holding bool
	kept    bytes.Buffer
	lost    int // lines
}

func (h *heldLog) Write(line []byte) (int, error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if !h.holding {
		return h.to.Write(line)
	}
	h.kept.Write(line)
	for h.kept.Len() > maxHeld {
		old, err := h.kept.ReadBytes('\n')
		if h.lost++; err != nil || len(old) == 0 {
			break
		}
	}
	return len(line), nil
}

func (h *heldLog) release() {
	h.mu.Lock()
	defer h.mu.Unlock()
	if !h.holding {
		return
	}
	h.holding = false
	if h.lost > 0 {
		fmt.Fprintf(h.to, "(%s of the log before this were not kept: --log FILE keeps all)\n", counted(h.lost, "line"))
	}
	h.to.Write(h.kept.Bytes())
	h.kept = bytes.Buffer{}
}
