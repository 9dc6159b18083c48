package tui

import (
	"bytes"
	"context"
	"errors"
	"io"
	"strings"
	"sync"
	"testing"

	tea "charm.land/bubbletea/v2"
)

// terminal takes what is drawn, and tells when it has seen a text.
type terminal struct {
	mu   sync.Mutex
	text bytes.Buffer
	want string
	seen chan struct{}
}

func (t *terminal) Write(p []byte) (int, error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.text.Write(p)
	if t.seen != nil && strings.Contains(t.text.String(), t.want) {
		close(t.seen)
		t.seen = nil
	}
	return len(p), nil
}

// after returns a channel that is closed when the text was drawn.
func (t *terminal) after(text string) <-chan struct{} {
	seen := make(chan struct{})
	t.mu.Lock()
	t.want, t.seen = text, seen
	t.mu.Unlock()
	t.Write(nil)
	return seen
}

func TestRunShowsTheScreenUntilItIsLeft(t *testing.T) {
	for _, tt := range []struct {
		name string
		do   func(keys io.Writer, cancel func())
		want error
	}{
		{"q leaves", func(keys io.Writer, _ func()) { io.WriteString(keys, "q") }, nil},
		{"^C is told", func(keys io.Writer, _ func()) { io.WriteString(keys, "\x03") }, ErrInterrupted},
		{"the terminal is closed", func(keys io.Writer, _ func()) { keys.(io.Closer).Close() }, ErrGone},
		{"the context ends", func(_ io.Writer, cancel func()) { cancel() }, nil},
	} {
		t.Run(tt.name, func(t *testing.T) {
			ctx, cancel := context.WithCancel(t.Context())
			defer cancel()
			in, keys := io.Pipe()
			defer keys.Close()
			out := new(terminal)
			seen := out.after("Flows")
			done := make(chan error, 1)
			go func() {
				done <- run(ctx, Config{
					Firewall: newFake(), Where: "control.sock", Input: in, Output: out, Environ: []string{"TERM=xterm-256color"}, Title: "lab",
				}, tea.WithWindowSize(80, 24))
			}()
			<-seen
			tt.do(keys, cancel)
			if err := <-done; !errors.Is(err, tt.want) {
				t.Errorf("it ends with %v, want %v", err, tt.want)
			}
			text := out.text.String()
			if strings.Count(text, "\x1b[?1049h") != 1 || strings.Count(text, "\x1b[?1049l") != 1 {
				t.Errorf("the other screen is not entered and left once:\n%q", text)
			}
		})
	}
}
