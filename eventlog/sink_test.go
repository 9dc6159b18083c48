package eventlog

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"sttwall/control"
)

// waitWritten waits until a target has taken so many lines.
func (s *sink) waitWritten(n uint64) {
	for s.written.Load() < n {
		s.mu.Lock()
		if s.room == nil {
			s.room = make(chan struct{})
		}
		room := s.room
		s.mu.Unlock()
		if s.written.Load() < n {
			<-room
		}
	}
}

// gate is a target that hangs until it is opened.
type gate struct {
	open chan struct{}
	got  []string
}

func (g *gate) write(lines []line) (int, error) {
	<-g.open
	for _, l := range lines {
		g.got = append(g.got, string(l.text))
	}
	return len(lines), nil
}

func (g *gate) reopen()      {}
func (g *gate) close() error { return nil }

func reloaded1(n int) *control.Event {
	return &control.Event{Type: control.EventReload, Time: time.Now(), Rules: n}
}

// One that hangs keeps neither the others nor the firewall waiting, and what it has no
// room for is lost and counted.
func TestATargetThatHangsHoldsNobodyUp(t *testing.T) {
	path := filepath.Join(t.TempDir(), "eve.json")
	l, err := New(Config{Targets: []Target{target(t, "journald:"), target(t, path)}, Log: slog.New(slog.DiscardHandler)}.Slow())
	if err != nil {
		t.Fatal(err)
	}
	hangs := &gate{open: make(chan struct{})}
	l.sinks[0].to, l.sinks[0].stuck = hangs, time.Minute // at the end it does not hang any more
	for range maxLines + 5 {
		l.sinks[0].put(line{text: []byte("{}\n")})
	}
	ctx, stop := context.WithCancel(context.Background())
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		l.Run(ctx, newCore(t, testRules, l.Observe))
	}()
	const more = 3
	for i := range more {
		l.Tell(reloaded1(i))
	}
	l.sinks[1].waitWritten(more)
	c := l.Health()
	if hung, fine := c.Targets[0], c.Targets[1]; hung.Written != 0 || hung.Lost != 5+more || fine.Written != more || fine.Lost != 0 {
		t.Errorf("%+v", c.Targets)
	}
	close(hangs.open)
	stop()
	<-ended
	all := lines(t, path)
	if n := len(all); n != more+1 || len(hangs.got) != maxLines+1 { // and the last counters, for which there is a wait
		t.Errorf("%d lines in the file, %d in the other", n, len(hangs.got))
	}
	// The counters say it.
	if text := all[len(all)-1].Text("sttwall.event_log.targets"); !strings.Contains(text, fmt.Sprintf("lost:%d target:journald:", 5+more)) {
		t.Errorf("the counters: %s", text)
	}
}

// At the end too, when there is more than it has room for.
func TestATargetThatHangsKeepsNobodyFromTheLastWords(t *testing.T) {
	path := filepath.Join(t.TempDir(), "eve.json")
	l, err := New(Config{Targets: []Target{target(t, "journald:"), target(t, path)}, Log: slog.New(slog.DiscardHandler)})
	if err != nil {
		t.Fatal(err)
	}
	l.config.last, l.sinks[1].stuck, l.config.write = time.Minute, time.Minute, 10*time.Second // as a slow machine may need
	hangs := &gate{open: make(chan struct{})}
	defer close(hangs.open)
	l.sinks[0].to = hangs
	fw := newCore(t, testRules, nil)
	const flows = maxLines + 1000
	for i := range flows {
		if !fw.send(t, 100, fmt.Sprintf("udp 10.0.%d.1:%d > 10.0.0.2:53", i>>14, i&0x3fff), there) {
			t.Fatalf("flow %d does not begin", i)
		}
	}
	ctx, stop := context.WithCancel(context.Background())
	stop()
	l.Run(ctx, fw)
	c := l.Health()
	if hung, fine := c.Targets[0], c.Targets[1]; hung.Written != 0 || hung.Lost < 1000 || fine.Written < flows || fine.Lost != 0 {
		t.Errorf("%+v", c.Targets)
	}
	count := 0
	for _, l := range lines(t, path) {
		if l.Type() == TypeFlow {
			count++
		}
	}
	if count != flows {
		t.Errorf("%d ends of %d flows", count, flows)
	}
}

func TestBytesAreBoundedToo(t *testing.T) {
	s := &sink{wake: make(chan struct{}, 1)}
	big := line{text: make([]byte, maxBytes/4)}
	for range 6 {
		s.put(big)
	}
	if s.held != 4 || s.lost.Load() != 2 {
		t.Errorf("%d held, %d lost", s.held, s.lost.Load())
	}
	ctx, stop := context.WithCancel(context.Background())
	stop()
	s.putWaiting(ctx, big)
	if s.lost.Load() != 3 {
		t.Errorf("%d lost", s.lost.Load())
	}
}

// flaky fails now and then, after it has taken some lines.
type flaky struct {
	got   []string
	turns int
}

func (f *flaky) write(lines []line) (int, error) {
	f.turns++
	n := len(lines)
	var err error
	if f.turns%2 == 1 {
		n, err = n/2, errors.New("no")
	}
	for _, l := range lines[:n] {
		f.got = append(f.got, string(l.text))
	}
	return n, err
}

func (f *flaky) reopen()      {}
func (f *flaky) close() error { return nil }

func TestWhatATargetDidNotTakeItGetsAgainInOrder(t *testing.T) {
	to := &flaky{}
	s := &sink{target: Target{path: "/x"}, to: to, log: slog.New(slog.DiscardHandler), retry: time.Microsecond, wake: make(chan struct{}, 1)}
	done, ended := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(ended)
		s.run(done)
	}()
	const count = 1000
	for i := range count {
		s.put(line{text: []byte{byte(i), byte(i >> 8)}})
		if i%7 == 0 {
			s.poke()
		}
		if i%100 == 0 {
			s.reopen()
		}
	}
	s.poke()
	s.waitWritten(count)
	close(done)
	<-ended
	if len(to.got) != count || s.lost.Load() != 0 || s.held != 0 || s.bytes != 0 {
		t.Fatalf("%d lines, %d lost, %d held with %d bytes", len(to.got), s.lost.Load(), s.held, s.bytes)
	}
	for i, text := range to.got {
		if text != string([]byte{byte(i), byte(i >> 8)}) {
			t.Fatalf("line %d is %x", i, text)
		}
	}
}

// As logrotate does it: moved away, then told.
func TestAFileThatIsMovedAwayIsMadeAnewWithoutALoss(t *testing.T) {
	path := filepath.Join(t.TempDir(), "eve.json")
	r := start(t, testRules, Config{Targets: []Target{target(t, path)}})
	const rounds, each = 5, 40
	told := 0
	var list []string
	for i := range rounds {
		for range each {
			r.Tell(reloaded1(told))
			told++
		}
		if i%2 == 0 { // or while it is being written
			r.sinks[0].waitWritten(uint64(told))
		}
		old := path + string(rune('a'+i))
		if err := os.Rename(path, old); err != nil {
			if !errors.Is(err, os.ErrNotExist) || i == 0 {
				t.Fatal(err)
			}
		}
		list = append(list, old)
		r.Reopen()
	}
	r.end()
	n := 0
	for _, path := range append(list, path) {
		if _, err := os.Stat(path); errors.Is(err, os.ErrNotExist) {
			continue
		}
		for _, l := range lines(t, path) {
			if l.Type() != TypeReload {
				continue
			}
			if got := l.Text("sttwall.reload.rules"); got != number(ptr(uint16(n))) {
				t.Fatalf("%s: got %s, want %d", path, got, n)
			}
			n++
		}
	}
	if n != told {
		t.Errorf("%d of %d", n, told)
	}
	if _, err := os.Stat(path); err != nil {
		t.Error(err)
	}
}

func ptr[T any](v T) *T { return &v }
