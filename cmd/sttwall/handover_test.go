package main

import (
	"bytes"
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"sttwall/control"
	"sttwall/internal/lab"
)

// restartWait is how long anything may take in a test of restarts.
const restartWait = 2 * time.Minute

// transfer is a TCP connection through the firewall that sends until it is told to end,
// and is told then what has come.
type transfer struct {
	c    net.Conn
	end  atomic.Bool
	done chan error
}

// receiveTransfers takes connections on a port of acme's host on side B; each is answered
// with the sum of all that it has sent.
func receiveTransfers(t *testing.T, l *lab.Lab, port uint16) (taken *atomic.Int64) {
	t.Helper()
	var listener net.Listener
	if err := l.Do(lab.AcmeB, func() (err error) {
		listener, err = net.Listen("tcp", fmt.Sprintf(":%d", port))
		return err
	}); err != nil {
		t.Fatal(err)
	}
	taken = new(atomic.Int64)
	var running sync.WaitGroup
	running.Go(func() {
		for {
			c, err := listener.Accept()
			if err != nil {
				return
			}
			taken.Add(1)
			running.Go(func() {
				defer c.Close()
				sum := sha256.New()
				if _, err := io.Copy(sum, c); err == nil {
					c.Write(sum.Sum(nil))
				}
			})
		}
	})
	t.Cleanup(func() {
		listener.Close()
		running.Wait()
	})
	return taken
}

func dialB(l *lab.Lab, port uint16, wait time.Duration) (c net.Conn, err error) {
	err = l.Do(lab.AcmeA, func() error {
		d := net.Dialer{Timeout: wait}
		c, err = d.Dial("tcp", netip.AddrPortFrom(lab.InnerB, port).String())
		return err
	})
	return c, err
}

// begin begins to send.
func beginTransfer(t *testing.T, l *lab.Lab, seed byte) *transfer {
	t.Helper()
	c, err := dialB(l, 5201, restartWait)
	if err != nil {
		t.Fatal(err)
	}
	c.SetDeadline(time.Now().Add(8 * restartWait)) // for as long as all restarts take
	u := &transfer{c: c, done: make(chan error, 1)}
	go func() { u.done <- u.run(seed) }()
	return u
}

func (u *transfer) run(seed byte) error {
	defer u.c.Close()
	source, sum, some := rand.NewChaCha8([32]byte{seed}), sha256.New(), make([]byte, 1<<16)
	for !u.end.Load() {
		source.Read(some)
		sum.Write(some)
		if _, err := u.c.Write(some); err != nil {
			return err
		}
	}
	if err := u.c.(*net.TCPConn).CloseWrite(); err != nil {
		return err
	}
	there, err := io.ReadAll(u.c)
	if err == nil && !bytes.Equal(there, sum.Sum(nil)) {
		err = errors.New("other bytes came than were sent")
	}
	return err
}

// acknowledged is how many bytes have arrived: what is written may lie in the socket for
// as long as nothing passes.
func (u *transfer) acknowledged(t *testing.T) int64 {
	t.Helper()
	raw, err := u.c.(*net.TCPConn).SyscallConn()
	if err != nil {
		t.Fatal(err)
	}
	var info *unix.TCPInfo
	var asked error
	if err := raw.Control(func(fd uintptr) {
		info, asked = unix.GetsockoptTCPInfo(int(fd), unix.IPPROTO_TCP, unix.TCP_INFO)
	}); err != nil {
		return -1 // closed: it has ended, and says why
	}
	if asked != nil {
		t.Fatal(asked)
	}
	return int64(info.Bytes_acked)
}

// moves waits until more has arrived: at least so many bytes.
func (u *transfer) moves(t *testing.T, bytes int64) {
	t.Helper()
	for from, until := u.acknowledged(t), time.Now().Add(restartWait); u.acknowledged(t) < from+bytes; {
		select {
		case err := <-u.done:
			t.Fatalf("a connection has ended: %v", err)
		case <-time.After(time.Millisecond):
		}
		if time.Now().After(until) {
			t.Fatalf("a connection stands still after %d bytes", u.acknowledged(t))
		}
	}
}

// knock tries to reach a port that the rules deny, again and again.
func knock(ctx context.Context, l *lab.Lab) (tries *atomic.Int64, done chan struct{}) {
	tries, done = new(atomic.Int64), make(chan struct{})
	go func() {
		defer close(done)
		for ctx.Err() == nil {
			if c, err := dialB(l, 8023, 50*time.Millisecond); err == nil {
				c.Close()
			}
			tries.Add(1)
		}
	}()
	return tries, done
}

func statusAt(t *testing.T, socket string) control.Status {
	t.Helper()
	c, err := control.Dial(socket)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	s, err := c.Status(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// abandon asks a firewall for its state, and takes nothing of what comes.
func abandon(t *testing.T, fw *running) (status int, said string) {
	t.Helper()
	c, err := net.Dial("unix", fw.socket)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	closed := c.(*net.UnixConn).CloseRead()
	if _, err := io.WriteString(c, "POST /v1/handover HTTP/1.1\r\nHost: sttwall\r\n\r\n"); errors.Join(closed, err) != nil {
		t.Fatal(closed, err)
	}
	return fw.ended(t)
}

var gap = regexp.MustCompile(`packets are decided again" after=(\S+)`)

// Of a table that is somebody else's nobody knows whether it has led to another instance
// in between.
func TestWithSomebodyElsesTableFrameIDsAreNotTakenOver(t *testing.T) {
	if !lab.Inside(t) {
		return
	}
	rules, socket := rulesFile(t, string(lab.DemoRules)), filepath.Join(t.TempDir(), "control.sock")
	for _, c := range []struct {
		args      []string
		unwatched bool
	}{{nil, false}, {[]string{"--no-nft"}, true}} {
		args := append([]string{"--handover", "auto", "--control", socket}, c.args...)
		for i := range 2 {
			fw := startRules(t, rules, args...)
			if i == 1 {
				if err := fw.waitFor(1, "packets are decided again"); err != nil {
					t.Fatal(err)
				}
			}
			status, said := fw.stop(t, syscall.SIGTERM)
			if status != statusFine {
				t.Fatalf("%v: status %d:\n%s", c.args, status, said)
			}
			if told := strings.Contains(fw.begun, "frame IDs are not taken over"); told != (c.unwatched && i == 1) {
				t.Errorf("%v, start %d: that frame IDs are not taken over is said: %v\n%s", c.args, i, told, fw.begun)
			}
		}
		if err := os.Remove(socket + ".handover"); err != nil {
			t.Fatal(err)
		}
	}
}

// TestPlannedRestartsBreakNoConnection: TCP connections through a real NFQUEUE send
// while the firewall is stopped and started, and taken over. They end with the bytes
// that were sent, nothing gets new frame IDs, and what is denied never passes.
func TestPlannedRestartsBreakNoConnection(t *testing.T) {
	if !lab.Inside(t) {
		return
	}
	l, err := lab.New(lab.Config{Without: lab.Inspection})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := l.Close(); err != nil {
			t.Error(err)
		}
	})
	dir := t.TempDir()
	socket := filepath.Join(dir, "control.sock")
	file := socket + ".handover"
	rules := rulesFile(t, string(lab.DemoRules))
	run := func(args ...string) *running {
		fw := startRules(t, rules, append([]string{"--handover", "auto", "--control", socket}, args...)...)
		fw.socket = socket
		return fw
	}
	fw := run("--queues", "2", "--startup-guard", "0s", "--take-over") // nobody is there
	receiveTransfers(t, l, 5201)
	denied := receiveTransfers(t, l, 8023)
	knocking, end := context.WithCancel(t.Context())
	tries, knocked := knock(knocking, l)

	transfers := []*transfer{beginTransfer(t, l, 1), beginTransfer(t, l, 2)}
	for _, u := range transfers {
		u.moves(t, 1<<20)
	}
	// A larger filter, and back: in a small one a block of 512 IDs now and then falls upon a
	// line that is used, and all of them are replaced.
	for i, args := range [][]string{{"--queues", "2"}, {"--queues", "1", "--take-over"}, {"--queues", "3", "--take-over", "--frame-id-filter", "28"}, {"--queues", "2"}, {"--queues", "2", "--driver", "go-nfqueue"}} {
		old := fw
		if !slices.Contains(args, "--take-over") {
			end := old.stop
			if i == 3 {
				end = func(t *testing.T, _ syscall.Signal) (int, string) { return abandon(t, old) }
			}
			if status, said := end(t, syscall.SIGTERM); status != statusFine || !strings.Contains(said, "are left to the next instance") {
				t.Fatalf("restart %d: the old one ended with status %d:\n%s", i, status, said)
			}
			if info, err := os.Stat(file); err != nil || info.Mode().Perm() != 0o600 {
				t.Fatalf("restart %d: the state: %v, %v", i, info, err)
			}
			fw = run(args...)
		} else {
			fw = run(args...)
			if status, said := old.ended(t); status != statusFine {
				t.Fatalf("restart %d: the old one ended with status %d:\n%s", i, status, said)
			}
		}
		if err := fw.waitFor(1, "packets are decided again"); err != nil {
			t.Fatalf("restart %d: %v", i, err)
		}
		t.Logf("restart %d %v: without packets for %s", i, args, gap.FindStringSubmatch(fw.said[len(fw.said)-1])[1])
		if _, err := os.Stat(file); !errors.Is(err, os.ErrNotExist) {
			t.Errorf("restart %d: the state is still there: %v", i, err)
		}
		for _, u := range transfers {
			u.moves(t, 1<<20)
		}
		s := statusAt(t, socket)
		if s.Totals.FramesAccepted == 0 || s.Totals.FrameIDsReplaced != 0 {
			t.Errorf("restart %d: %+v, of an instance that said:\n%s", i, s.Totals, strings.Join(fw.said, "\n"))
		}
	}
	for _, u := range transfers {
		u.end.Store(true)
		if err := <-u.done; err != nil {
			t.Error(err)
		}
	}
	// One that was killed leaves nothing: the startup guard holds.
	fw.stop(t, syscall.SIGKILL)
	fw = run("--queues", "2")
	last := beginTransfer(t, l, 4)
	last.moves(t, 1<<20)
	if s := statusAt(t, socket); s.Totals.FrameIDsReplaced == 0 {
		t.Errorf("after a kill: %+v", s.Totals)
	}
	last.end.Store(true)
	if err := <-last.done; err != nil {
		t.Error(err)
	}
	before := tries.Load()
	end()
	<-knocked
	if n := denied.Load(); n > 0 || before == 0 {
		t.Errorf("of %d tries to reach what is denied %d passed", before, n)
	}
	if status, said := fw.stop(t, syscall.SIGTERM); status != statusFine {
		t.Errorf("status %d:\n%s", status, said)
	}
}
