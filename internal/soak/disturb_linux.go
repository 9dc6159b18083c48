package soak

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"

	"sttwall/control"
	"sttwall/internal/chaos"
	"sttwall/internal/lab"
)

// disturber does to the firewall what operators do, one thing after the other.
type disturber struct {
	steady *chaos.Steady
	each   time.Duration
	rules  string // of the start
	steps  []step
	at     int
	count  int

	mu       sync.Mutex
	done     map[string]int
	failed   []string
	last     string
	attached sync.WaitGroup
}

// step is one thing that is done.
type step struct {
	name string
	do   func(context.Context) error
	// aside: it goes on beside the others for a while.
	aside bool
}

const (
	// attachedFor is how long a screen stays.
	attachedFor = 5 * time.Second
	// slowBound is how much longer all may take where others have the processor.
	slowBound = time.Minute
	// mostFailed bounds what is told of failures.
	mostFailed = 8
)

func newDisturber(s *chaos.Steady, whole time.Duration) *disturber {
	d := &disturber{
		steady: s, each: min(max(whole/60, 500*time.Millisecond), 20*time.Second), done: map[string]int{}, last: "nothing yet",
	}
	text, err := os.ReadFile(s.Path("rules.hcl"))
	if d.rules = string(text); err != nil {
		d.fail("rules", err)
	}
	d.steps = []step{
		{name: "reload", do: d.reload},
		{name: "screen in a terminal", do: d.screen, aside: true},
		{name: "endpoint added", do: func(ctx context.Context) error { return d.endpoints(ctx, true) }},
		{name: "temporary rule", do: d.temporary},
		{name: "client of the screens", do: d.client, aside: true},
		{name: "endpoint removed", do: func(ctx context.Context) error { return d.endpoints(ctx, false) }},
		{name: "follower of events", do: d.follow, aside: true},
		{name: "temporary rule removed", do: d.temporaryGone},
	}
	return d
}

func (d *disturber) fail(name string, err error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if len(d.failed) < mostFailed {
		d.failed = append(d.failed, fmt.Sprintf("%s: %v", name, err))
	}
}

func (d *disturber) made(name string) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.done[name]++
	d.last = name
}

func (d *disturber) lastMade() string {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.last
}

// next does the next thing.
func (d *disturber) next(ctx context.Context) {
	s := d.steps[d.at%len(d.steps)]
	d.at++
	do := func() {
		if err := s.do(ctx); err != nil {
			d.fail(s.name, err)
			return
		}
		d.made(s.name)
	}
	if s.aside {
		d.attached.Go(do)
		return
	}
	do()
}

// wait waits until what goes on beside has ended.
func (d *disturber) wait() { d.attached.Wait() }

// reload has the firewall read the same rules again, by signal and over its socket in turn.
func (d *disturber) reload(ctx context.Context) error {
	d.count++
	if d.count%2 == 0 {
		return d.steady.Reload(ctx)
	}
	return d.steady.Ask(ctx, func(ctx context.Context, c *control.Client) error {
		_, err := c.Reload(ctx)
		return err
	})
}

// moreEndpoints are in the list while an endpoint is added; the first is an address of
// endpoint A then.
const moreEndpoints = `"10.47.1.9", "10.47.3.0/24", `

// endpoints puts further endpoints into the rules, and one of them on endpoint A's link, or
// takes them away.
func (d *disturber) endpoints(ctx context.Context, add bool) error {
	text := d.rules
	if add {
		text = strings.Replace(text, `endpoints      = [`, `endpoints      = [`+moreEndpoints, 1)
		if text == d.rules {
			return errors.New("the rules have no list of endpoints")
		}
	}
	if err := os.WriteFile(d.steady.Path("rules.hcl"), []byte(text), 0o644); err != nil {
		return err
	}
	if err := d.steady.Lab().Do(lab.EndpointA, func() error {
		link, err := netlink.LinkByName(lab.Underlay)
		if err != nil {
			return err
		}
		a := &netlink.Addr{IPNet: &net.IPNet{IP: net.IPv4(10, 47, 1, 9), Mask: net.CIDRMask(32, 32)}}
		if add {
			return netlink.AddrAdd(link, a)
		}
		return netlink.AddrDel(link, a)
	}); err != nil {
		return err
	}
	return d.steady.Ask(ctx, func(ctx context.Context, c *control.Client) error {
		_, err := c.Reload(ctx)
		return err
	})
}

// temporaryName is that of the temporary rule. It is about nothing that goes through.
const temporaryName = "soak"

func (d *disturber) temporary(ctx context.Context) error {
	return d.steady.Ask(ctx, func(ctx context.Context, c *control.Client) error {
		_, err := c.SetTemporary(ctx, control.TemporaryRequest{
			Action: "drop", Pattern: "udp 192.168.0.77 > 192.168.0.78:9", For: "1h", Name: temporaryName, Comment: "soak",
		})
		return err
	})
}

func (d *disturber) temporaryGone(ctx context.Context) error {
	return d.steady.Ask(ctx, func(ctx context.Context, c *control.Client) error {
		_, err := c.RemoveTemporary(ctx, temporaryName)
		return err
	})
}

// client asks what the screens of the TUI ask, twice a second.
func (d *disturber) client(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, attachedFor+slowBound)
	defer cancel()
	c, err := control.Dial(d.steady.Path("control.sock"))
	if err != nil {
		return err
	}
	defer c.Close()
	for range int(attachedFor / (500 * time.Millisecond)) {
		_, e1 := c.Status(ctx)
		_, e2 := c.Health(ctx)
		_, e3 := c.Tenants(ctx)
		_, e4 := c.Rules(ctx)
		_, e5 := c.Drops(ctx)
		_, e6 := c.Flows(ctx, control.FlowQuery{})
		_, e7 := c.Recent(ctx, 60)
		if err := errors.Join(e1, e2, e3, e4, e5, e6, e7); err != nil {
			return err
		}
		if err := pause(ctx, 500*time.Millisecond); err != nil {
			return err
		}
	}
	return nil
}

// follow follows events for a while, until one has come at least, and goes without a word.
func (d *disturber) follow(ctx context.Context) error {
	c, err := control.Dial(d.steady.Path("control.sock"))
	if err != nil {
		return err
	}
	defer c.Close()
	ctx, cancel := context.WithTimeout(ctx, attachedFor+slowBound)
	defer cancel()
	begun, n := time.Now(), 0
	err = c.Events(ctx, "", func(*control.Event) error {
		if n++; time.Since(begun) >= attachedFor {
			cancel()
		}
		return nil
	})
	if ctx.Err() == nil {
		return fmt.Errorf("the feed has ended by itself after %d events: %w", n, err)
	}
	if n == 0 {
		return errors.New("no event has come")
	}
	return nil
}

func pause(ctx context.Context, d time.Duration) error {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// screen runs `sttwall top` in a terminal, goes through its screens, and quits.
func (d *disturber) screen(ctx context.Context) error {
	master, slave, err := openTerminal(120, 34)
	if err != nil {
		return err
	}
	defer master.Close()
	cmd := exec.CommandContext(ctx, "/proc/self/exe", "top", "--control", d.steady.Path("control.sock"))
	cmd.Env = append(os.Environ(), "TERM=xterm-256color")
	var said bytes.Buffer // why it ends, where it ends badly
	cmd.Stdin, cmd.Stdout, cmd.Stderr = slave, slave, &said
	cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true, Setctty: true}
	err = cmd.Start()
	slave.Close()
	if err != nil {
		return fmt.Errorf("top: %w", err)
	}
	var drawn drawing
	over := make(chan struct{})
	go func() {
		defer close(over)
		io.Copy(&drawn, master) // ends with the terminal
	}()
	// It may take long to begin, and is not to be told to quit before.
	for begun := time.Now(); drawn.n.Load() < leastDrawn && !ended(over) && time.Since(begun) < quitBound; {
		if err = pause(ctx, 10*time.Millisecond); err != nil {
			break
		}
	}
	for _, key := range []string{"1", "2", "3", "4", "5", "6"} {
		if err = pause(ctx, attachedFor/7); err != nil {
			break
		}
		master.WriteString(key)
	}
	master.WriteString("q")
	quit := make(chan error, 1)
	go func() { quit <- cmd.Wait() }()
	select {
	case e := <-quit:
		if e != nil {
			e = fmt.Errorf("%w: %s", e, bytes.TrimSpace(said.Bytes()))
		}
		err = errors.Join(err, e)
	case <-time.After(quitBound):
		cmd.Process.Kill()
		<-quit
		err = errors.Join(err, fmt.Errorf("top has not ended within %v after q", quitBound))
	}
	master.Close()
	<-over
	if n := drawn.n.Load(); err == nil && n < leastDrawn {
		err = fmt.Errorf("top has drawn %d bytes: no screen", n)
	}
	return err
}

const (
	// quitBound is how long top may take to draw something, and to end.
	quitBound = 30 * time.Second
	// leastDrawn is how many bytes a screen has at least.
	leastDrawn = 1000
)

func ended(c <-chan struct{}) bool {
	select {
	case <-c:
		return true
	default:
		return false
	}
}

// drawing counts what is drawn.
type drawing struct{ n atomic.Int64 }

func (d *drawing) Write(b []byte) (int, error) {
	d.n.Add(int64(len(b)))
	return len(b), nil
}

// openTerminal makes one (pty(7)).
func openTerminal(columns, rows uint16) (master, slave *os.File, err error) {
	master, err = os.OpenFile("/dev/ptmx", os.O_RDWR|unix.O_NOCTTY|unix.O_NONBLOCK, 0)
	if err != nil {
		return nil, nil, fmt.Errorf("terminal: %w", err)
	}
	fd := int(master.Fd())
	unlock := unix.IoctlSetPointerInt(fd, unix.TIOCSPTLCK, 0)
	n, _, e := unix.Syscall(unix.SYS_IOCTL, uintptr(fd), unix.TIOCGPTPEER, unix.O_RDWR|unix.O_NOCTTY)
	if e != 0 {
		return nil, nil, errors.Join(fmt.Errorf("terminal: %w", e), unlock, master.Close())
	}
	slave = os.NewFile(n, "terminal")
	if err := errors.Join(unlock, unix.IoctlSetWinsize(fd, unix.TIOCSWINSZ, &unix.Winsize{Row: rows, Col: columns})); err != nil {
		return nil, nil, errors.Join(fmt.Errorf("terminal: %w", err), master.Close(), slave.Close())
	}
	return master, slave, nil
}
