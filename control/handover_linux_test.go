package control

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"

	"golang.org/x/sys/unix"
)

// handing is a server of which one may take over, and what it hands out.
func handing(t *testing.T, text string) (s *served, asked chan Peer) {
	t.Helper()
	asked = make(chan Peer, 10)
	return serve(t, Config{HandOver: func(to *Taker) {
		asked <- to.Peer
		go func() {
			defer to.Close()
			for _, part := range strings.SplitAfter(text, " ") {
				io.WriteString(to, part)
			}
		}()
	}}), asked
}

func TestAFirewallIsTakenOverOnce(t *testing.T) {
	const text = "flows and bindings and frame IDs"
	s, asked := handing(t, text)
	state, err := TakeOver(context.Background(), s.path)
	if err != nil {
		t.Fatal(err)
	}
	defer state.Close()
	if got, err := io.ReadAll(state); err != nil || string(got) != text {
		t.Errorf("got %q, %v", got, err)
	}
	if p := <-asked; p.UID != os.Geteuid() || p.PID != os.Getpid() {
		t.Errorf("taken over by %v", p)
	}
	var refused *Error
	if _, err := TakeOver(context.Background(), s.path); !errors.As(err, &refused) || refused.Code != http.StatusConflict {
		t.Errorf("a second time: %v", err)
	}
	if _, err := s.dial(t).Status(context.Background()); err != nil {
		t.Errorf("others who ask meanwhile: %v", err)
	}
}

func TestWhereNobodyListensNothingIsTakenOver(t *testing.T) {
	if _, err := TakeOver(context.Background(), filepath.Join(t.TempDir(), "none")); !errors.Is(err, ErrNobody) {
		t.Errorf("got %v", err)
	}
}

func TestWhoMayTakeOver(t *testing.T) {
	for who, want := range map[string]int{"root": 404, "the user that runs it": 404, "a stranger": 403} { // that there is nothing to be had is said to who may
		_, connect, _ := as(t, who)
		if code, body := raw(t, connect(), post("/v1/handover", "")); code != want {
			t.Errorf("%s: got %d, want %d: %s", who, code, want, body)
		}
	}
}

func TestAFirewallThatEndsWithoutItsStateIsNoState(t *testing.T) {
	s := serve(t, Config{HandOver: func(to *Taker) { to.Close() }})
	if _, err := TakeOver(context.Background(), s.path); err == nil || !strings.Contains(err.Error(), "has ended without its state") {
		t.Errorf("got %v", err)
	}
}

func TestNobodyWaitsForAFirewallLongerThanHeWantsTo(t *testing.T) {
	taken := make(chan *Taker, 1)
	s := serve(t, Config{HandOver: func(to *Taker) { taken <- to }})
	ctx, stop := context.WithCancel(context.Background())
	go func() {
		to := <-taken
		defer to.Close()
		stop()
		<-t.Context().Done()
	}()
	if _, err := TakeOver(ctx, s.path); err == nil {
		t.Error("it has a state")
	}
}

func TestTheStateOfAnotherUserIsNotTaken(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Skip("to serve as another user takes root")
	}
	// Whoever listens decides which flows are known: a socket that another user serves.
	path, asked := servedAs(t, 65533)
	_, err := TakeOver(context.Background(), path)
	var refused *Error
	if !errors.As(err, &refused) || !strings.Contains(err.Error(), fmt.Sprintf("runs as user %d", 65533)) {
		t.Errorf("got %v", err)
	}
	if asked() {
		t.Error("it was asked all the same")
	}
}

// servedAs listens on a socket as another user, and tells whether anybody has asked for
// anything.
func servedAs(t *testing.T, uid int) (path string, asked func() bool) {
	t.Helper()
	dir := t.TempDir()
	if err := os.Chown(dir, uid, -1); err != nil {
		t.Fatal(err)
	}
	path = filepath.Join(dir, "control.sock")
	if err := os.Chmod(filepath.Dir(dir), 0o755); err != nil { // of this test
		t.Fatal(err)
	}
	listening := make(chan error)
	var l *net.UnixListener
	go func() {
		runtime.LockOSThread() // and never unlocked: credentials are a thread's
		if _, _, e := unix.RawSyscall(unix.SYS_SETRESUID, uintptr(uid), uintptr(uid), uintptr(uid)); e != 0 {
			listening <- e
			return
		}
		var err error
		l, err = net.ListenUnix("unix", &net.UnixAddr{Name: path, Net: "unix"})
		listening <- err
	}()
	if err := <-listening; err != nil {
		t.Fatal(err)
	}
	read := make(chan int, 1)
	go func() {
		c, err := l.Accept()
		if err != nil {
			read <- 0
			return
		}
		defer c.Close()
		n, _ := c.Read(make([]byte, 10))
		read <- n
	}()
	t.Cleanup(func() { l.Close() })
	return path, func() bool { return <-read > 0 }
}
