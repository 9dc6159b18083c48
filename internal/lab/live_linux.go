package lab

import (
	"context"
	_ "embed"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"sync"

	"golang.org/x/sys/unix"
)

// LiveRules are the rules that the live demo begins with.
//
//go:embed live.hcl
var LiveRules []byte

// LiveOptions say how the live demo runs.
type LiveOptions struct {
	// Queues is the number of NFQUEUE queues and workers; 0 means 2.
	Queues int
	// Pace is how many times faster than a person would watch it; 0 means 1. For
	// tests.
	Pace int

	started func(pid int) // of the child; for tests
}

// Live is a running live demo, as programs outside of it reach it: for as long
// as it runs, and by its own user and root.
type Live struct {
	// Control is the path of the firewall's control socket.
	Control string `json:"control"`
	// Rules is the path of its rules file. It may be changed and loaded again.
	Rules string `json:"rules"`
}

// LiveFirewall is what the firewall of the live demo is run with.
type LiveFirewall struct {
	Queues int
	// Socket and Rules are paths inside the child; RulesName is how others, and
	// so whatever is said of them, call the rules.
	Socket, Rules, RulesName string
	// Started is to be called when the firewall takes packets.
	Started func()
}

// folders are those of which one is there on every host. The child covers it
// with a file system of its own, in its own mount namespace.
var folders = []string{"/run", "/tmp", "/var", "/mnt", "/srv"}

// folderBytes bounds what can be put there.
const folderBytes = "4m"

// tailBytes is how much of the child's last words is kept for the case that it
// fails.
const tailBytes = 16 << 10

// RunLive builds the lab in a child process, with the firewall that
// [Programs].Live runs, has all sorts of traffic go through it, and calls show
// when that is so. When show returns, or ctx ends, or something in the child
// fails, all of it ends; RunLive returns when the child and everything in it is
// gone. The ctx of show ends when the lab has.
func RunLive(ctx context.Context, o LiveOptions, show func(context.Context, Live) error) error {
	ctx, end := context.WithCancel(ctx)
	defer end()
	var (
		said    tail
		showing sync.WaitGroup
		shown   error
	)
	c := child{
		entry:     entryLive,
		arguments: []string{"demo"},
		order:     order{Options: Options{Queues: o.Queues}, Pace: o.Pace},
		stdout:    &said, stderr: &said,
		started: o.started,
		receive: func(m message) {
			if m.Live == nil {
				return
			}
			showing.Go(func() {
				shown = show(ctx, *m.Live)
				end()
			})
		},
	}
	status, err := c.run(ctx)
	ended := ctx.Err() != nil
	end()
	showing.Wait()
	switch {
	case shown != nil && !errors.Is(shown, context.Canceled):
		return shown
	case ended: // it is meant to
		return nil
	case err == nil:
		err = fmt.Errorf("lab: the child ended with status %d", status)
	}
	if words := said.String(); words != "" && !errors.Is(err, ErrUnavailable) {
		err = fmt.Errorf("%w; its last words:\n%s", err, words)
	}
	return err
}

// tail keeps the last tailBytes that were written. The zero value is ready.
type tail struct {
	mu    sync.Mutex
	bytes []byte
}

func (t *tail) Write(b []byte) (int, error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.bytes = append(t.bytes, b...)
	if over := len(t.bytes) - tailBytes; over > 0 {
		t.bytes = append(t.bytes[:0], t.bytes[over:]...)
	}
	return len(b), nil
}

func (t *tail) String() string {
	t.mu.Lock()
	defer t.mu.Unlock()
	return strings.TrimSpace(string(t.bytes))
}

var _ io.Writer = (*tail)(nil)

// coverFolder mounts an empty file system over a folder, and returns which. size bounds it.
// Nobody sees it there who does not come through this process.
func coverFolder(size string) (string, error) {
	var errs []error
	for _, folder := range folders {
		err := unix.Mount("tmpfs", folder, "tmpfs", unix.MS_NOSUID|unix.MS_NODEV|unix.MS_NOEXEC, "mode=0755,size="+size)
		if err == nil {
			return folder, nil
		}
		errs = append(errs, fmt.Errorf("%s: %w", folder, err))
	}
	return "", fmt.Errorf("lab: %w: no place for the control socket: %w", ErrUnavailable, errors.Join(errs...))
}

// runLive is the live demo as it runs inside the child, until ctx ends.
func runLive(ctx context.Context, in *order, firewall func(context.Context, LiveFirewall) error, report func(message)) (err error) {
	if firewall == nil {
		return errors.New("lab: this program has no firewall for the live demo")
	}
	folder, err := coverFolder(folderBytes)
	if err != nil {
		return err
	}
	inside := Live{Control: filepath.Join(folder, "control.sock"), Rules: filepath.Join(folder, "rules.hcl")}
	root := fmt.Sprintf("/proc/%d/root", in.PID)
	outside := Live{Control: root + inside.Control, Rules: root + inside.Rules}
	if err := os.WriteFile(inside.Rules, LiveRules, 0o644); err != nil {
		return fmt.Errorf("lab: %w", err)
	}

	// The firewall is not the lab's but that of the program.
	l, err := New(Config{Without: Inspection, Third: true})
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, l.Close()) }()
	ctx, end := context.WithCancel(ctx)
	started, stopped := make(chan struct{}), make(chan error, 1)
	go func() {
		stopped <- firewall(ctx, LiveFirewall{
			Queues: in.Options.Queues, Socket: inside.Control, Rules: inside.Rules, RulesName: outside.Rules,
			Started: sync.OnceFunc(func() { close(started) }),
		})
	}()
	running := true
	defer func() {
		end()
		if running {
			err = errors.Join(err, <-stopped)
		}
	}()
	select {
	case <-started:
	case err := <-stopped:
		running = false
		return fmt.Errorf("lab: the firewall did not start: %w", err)
	}
	t, err := l.startTraffic(in.Pace)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, t.Close()) }()
	report(message{Live: &outside})
	select {
	case <-ctx.Done():
		return nil
	case err := <-stopped:
		running = false
		return fmt.Errorf("lab: the firewall stopped: %w", err)
	case err := <-l.failed(ctx):
		return err
	}
}
