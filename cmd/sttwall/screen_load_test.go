package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"sttwall/control"
	"sttwall/describe"
	"sttwall/internal/lab"
	"sttwall/stt"
)

const (
	// loadKeys is how many keys are pressed where something is measured, fewKeys else.
	loadKeys, fewKeys = 40, 4
	// keyBound is how long the screen may take to answer before the test gives up.
	keyBound = 2 * time.Minute
	// anewAfter is how long a word may be on its way before all is drawn anew.
	anewAfter = 5 * time.Second
)

// pty is a terminal, and what its screen was sent.
type pty struct {
	master, slave *os.File
	program       *os.Process // in it, before keys are pressed

	mu    sync.Mutex
	sent  bytes.Buffer
	added chan struct{} // room for one
}

func openPTY(t *testing.T, columns, rows uint16) *pty {
	t.Helper()
	master, err := os.OpenFile("/dev/ptmx", os.O_RDWR|unix.O_NOCTTY|unix.O_NONBLOCK, 0)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { master.Close() })
	fd := int(master.Fd())
	if err := unix.IoctlSetPointerInt(fd, unix.TIOCSPTLCK, 0); err != nil {
		t.Fatal(err)
	}
	slave, _, e := unix.Syscall(unix.SYS_IOCTL, uintptr(fd), unix.TIOCGPTPEER, unix.O_RDWR|unix.O_NOCTTY)
	if e != 0 {
		t.Fatal(e)
	}
	if err := unix.IoctlSetWinsize(fd, unix.TIOCSWINSZ, &unix.Winsize{Row: rows, Col: columns}); err != nil {
		t.Fatal(err)
	}
	p := &pty{master: master, slave: os.NewFile(slave, "pty"), added: make(chan struct{}, 1)}
	t.Cleanup(func() { p.slave.Close() })
	go p.read()
	return p
}

func (p *pty) read() {
	b := make([]byte, 1<<16)
	for {
		n, err := p.master.Read(b)
		if err != nil {
			return
		}
		p.mu.Lock()
		p.sent.Write(b[:n])
		p.mu.Unlock()
		select {
		case p.added <- struct{}{}:
		default:
		}
	}
}

// press sends keys, and returns how long it took until the screen was sent a word. Letters
// that stand there already are not sent: where the word does not come, all is drawn anew, in
// another size.
func (p *pty) press(keys, word string) (time.Duration, error) {
	p.mu.Lock()
	p.sent.Reset()
	p.mu.Unlock()
	start := time.Now()
	if _, err := p.master.WriteString(keys); err != nil {
		return 0, err
	}
	late, anew := time.After(keyBound), time.NewTicker(anewAfter)
	defer anew.Stop()
	for {
		p.mu.Lock()
		there, all := bytes.Contains(p.sent.Bytes(), []byte(word)), p.sent.Len()
		p.mu.Unlock()
		if there {
			return time.Since(start), nil
		}
		select {
		case <-p.added:
		case <-anew.C:
			if err := p.anew(); err != nil {
				return 0, err
			}
		case <-late:
			return 0, fmt.Errorf("after %q %d bytes came within %v, and no %q", keys, all, keyBound, word)
		}
	}
}

// anew has the program draw all of its screen.
func (p *pty) anew() error {
	fd := int(p.master.Fd())
	size, err := unix.IoctlGetWinsize(fd, unix.TIOCGWINSZ)
	if err != nil {
		return err
	}
	size.Col ^= 1
	if err := unix.IoctlSetWinsize(fd, unix.TIOCSWINSZ, size); err != nil {
		return err
	}
	return p.program.Signal(unix.SIGWINCH) // it is not the terminal that it was started from
}

// processorTime is what a process has used of the processors, and the most memory that it
// had, in bytes.
func processorTime(pid int) (used time.Duration, resident uint64, err error) {
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		return 0, 0, err
	}
	fields := strings.Fields(string(text[bytes.LastIndexByte(text, ')')+1:]))
	user, err1 := strconv.Atoi(fields[11])
	system, err2 := strconv.Atoi(fields[12])
	const tick = 10 * time.Millisecond // USER_HZ is 100 (proc(5))
	status, err3 := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid))
	for line := range strings.Lines(string(status)) {
		if kilobytes, ok := strings.CutPrefix(line, "VmHWM:"); ok {
			_, err = fmt.Sscan(kilobytes, &resident)
			resident <<= 10
		}
	}
	return time.Duration(user+system) * tick, resident, errors.Join(err, err1, err2, err3)
}

// flood has frames with a context ID that nobody has dropped until ctx ends, and counts
// what was sent.
func flood(ctx context.Context, l *lab.Lab, sent *atomic.Uint64) error {
	d, err := describe.Parse("udp 10.9.9.9:9 > 10.8.0.1:9")
	if err != nil {
		return err
	}
	path := stt.Path{Src: lab.OuterA, Dst: lab.OuterB, DstPort: stt.Port, TTL: 64, DontFragment: true}
	header := stt.FrameHeader{ContextID: 0xbad, Flags: stt.FlagChecksumVerified}
	frame := append(make([]byte, stt.FrameHeaderLen), d.Data...)
	var packet []byte
	for i := uint32(0); ctx.Err() == nil; i++ {
		path.SrcPort = uint16(i)
		packet = stt.AppendSegment(packet[:0], &path, &stt.Piece{FrameID: i, FrameLength: len(frame), Payload: frame, Header: &header})
		if err := l.Inject(lab.EndpointA, packet, lab.Offload{}); err != nil && !errors.Is(err, syscall.ENOBUFS) {
			return err
		}
		sent.Add(1)
	}
	return nil
}

// The live screen of the real program while the table is full and much is dropped: how
// soon it answers a key, and what it takes of processor and memory. The figures are
// printed: what they are depends on what else this machine does.
func TestTheScreenUnderLoad(t *testing.T) {
	if !lab.Inside(t) {
		return
	}
	keys, flows, measured := fewKeys, fewFlows, os.Getenv(screenRounds) != ""
	if measured {
		keys, flows = loadKeys, measuredFlows
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
	fw := startRules(t, rulesFile(t, screenRules), "--queues", "2", "--startup-guard", "0s")
	c, err := control.Dial(fw.socket)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	ctx, stop := context.WithTimeout(t.Context(), 10*time.Minute)
	defer stop()
	if err := (&screened{l, c}).beginFlows(ctx, flows); err != nil {
		t.Fatal(err)
	}

	terminal := openPTY(t, 120, 40)
	top := program(t, "plain", "top", "--control", fw.socket, "--theme", "dark")
	top.Stdin, top.Stdout, top.Stderr = terminal.slave, terminal.slave, terminal.slave
	top.Env = append(top.Env, "TERM=xterm-256color", "LC_ALL=C.UTF-8", watchRaces(t))
	if err := top.Start(); err != nil {
		t.Fatal(err)
	}
	terminal.program = top.Process
	if _, err := terminal.press("", "Throughput"); err != nil {
		t.Fatal(err)
	}
	flooding, end := context.WithCancel(ctx)
	var sent atomic.Uint64
	flooded := make(chan error, 1)
	go func() { flooded <- flood(flooding, l, &sent) }()
	start := time.Now()
	before, err := c.Status(ctx)
	if err != nil {
		t.Fatal(err)
	}
	used, _, err := processorTime(top.Process.Pid)
	if err != nil {
		t.Fatal(err)
	}
	var took []time.Duration
	screens := []struct{ key, word string }{{"2", "DESTINATION"}, {"3", "HALF-OPEN"}, {"4", "PLACE"}, {"5", "newest first"}, {"6", "tombstones"}, {"1", "Throughput"}}
	for i := range keys {
		s := screens[i%len(screens)]
		answered, err := terminal.press(s.key, s.word)
		if err != nil {
			t.Fatal(err)
		}
		took = append(took, answered)
		if measured {
			// A person looks at it, and it goes on meanwhile.
			time.Sleep(250 * time.Millisecond)
		}
	}
	usedThen, resident, err := processorTime(top.Process.Pid)
	if err != nil {
		t.Fatal(err)
	}
	after, err := c.Status(ctx)
	if err != nil {
		t.Fatal(err)
	}
	// The keys may have been answered before the firewall came to the first frame.
	for again := time.NewTicker(50 * time.Millisecond); after.Totals.FramesDropped == before.Totals.FramesDropped; <-again.C {
		if after, err = c.Status(ctx); err != nil {
			t.Fatal(err)
		}
	}
	lasted := time.Since(start)
	end()
	if err := <-flooded; err != nil {
		t.Error(err)
	}
	dropped := after.Totals.FramesDropped - before.Totals.FramesDropped
	if sent.Load() == 0 || dropped == 0 {
		t.Errorf("%d frames sent, %d dropped", sent.Load(), dropped)
	}
	if after.Flows < flows {
		t.Errorf("%d flows at the end", after.Flows)
	}
	if measured {
		slices.Sort(took)
		t.Logf("%d flows, %.0f drops a second for %v, on %d processors: the screen answered %d keys in %v (median), %v (most); "+
			"it took %.1f %% of a processor and at most %d MB",
			after.Flows, float64(dropped)/lasted.Seconds(), lasted.Round(time.Second), runtime.NumCPU(),
			len(took), took[len(took)/2].Round(time.Millisecond), took[len(took)-1].Round(time.Millisecond),
			100*float64(usedThen-used)/float64(lasted), resident>>20)
	}
	if _, err := terminal.master.WriteString("q"); err != nil {
		t.Error(err)
	}
	if err := top.Wait(); err != nil {
		t.Error(err)
	}
	if code, said := fw.stop(t, syscall.SIGTERM); code != statusFine {
		t.Errorf("status %d\n%s", code, said)
	}
}
