package flood

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync/atomic"
	"time"

	"github.com/vishvananda/netns"
	"golang.org/x/sys/unix"

	"sttwall/control"
)

// process is the firewall's program while it runs.
type process struct {
	cmd    *exec.Cmd
	folder string
	ended  chan struct{}
	said   chan string  // that it runs, or its last words
	bound  atomic.Int64 // of its memory, as it says itself, in bytes
}

// startBound is how long it may take to start, and to end.
const startBound = 20 * time.Second

// start starts the program in the firewall's namespace.
func start(ns netns.NsHandle, folder string, flags []string, also io.Writer) (*process, error) {
	p := &process{folder: folder, ended: make(chan struct{}), said: make(chan string, 1)}
	p.cmd = exec.Command("/proc/self/exe", append([]string{
		"run", "--rules", filepath.Join(folder, "rules.hcl"), "--control", filepath.Join(folder, "control.sock"), "--state", "",
		"--handover", "", "--event-log", filepath.Join(folder, "events.json"), "--drop-capture", filepath.Join(folder, "drops.pcapng"),
		"--drop-capture-files", "1", "--drop-capture-size", "1", "--startup-guard", "0s", "--queues", "2",
	}, flags...)...)
	read, write, err := os.Pipe()
	if err != nil {
		return nil, err
	}
	p.cmd.Stdout, p.cmd.Stderr = write, write
	if err := inside(ns, p.cmd.Start); err != nil {
		return nil, errors.Join(fmt.Errorf("start the firewall: %w", err), read.Close(), write.Close())
	}
	write.Close()
	go func() {
		defer read.Close()
		var last string
		for in := bufio.NewScanner(read); in.Scan(); {
			if last = in.Text(); strings.Contains(last, `msg="the firewall runs"`) {
				p.said <- ""
			}
			if _, rest, ok := strings.Cut(last, " process_mib="); ok {
				word, _, _ := strings.Cut(rest, " ")
				n, _ := strconv.ParseInt(word, 10, 64)
				p.bound.Store(n << 20)
			}
			if also != nil {
				fmt.Fprintln(also, last)
			}
		}
		p.cmd.Wait()
		select {
		case p.said <- last:
		default:
		}
		close(p.ended)
	}()
	select {
	case last := <-p.said:
		if last == "" {
			return p, nil
		}
		return nil, fmt.Errorf("the firewall has not started: %s", last)
	case <-time.After(startBound):
		p.cmd.Process.Kill()
		return nil, fmt.Errorf("the firewall has not started within %v", startBound)
	}
}

// end ends it as a service manager does.
func (p *process) end() {
	p.cmd.Process.Signal(unix.SIGTERM)
	select {
	case <-p.ended:
	case <-time.After(startBound):
		p.cmd.Process.Kill()
		<-p.ended
	}
}

// memory reads what it has of the host's memory, in bytes: now, and the most there was.
func (p *process) memory() (resident, most int64) {
	status, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", p.cmd.Process.Pid))
	if err != nil {
		return 0, 0
	}
	for line := range strings.Lines(string(status)) {
		name, value, _ := strings.Cut(line, ":")
		n, _ := strconv.ParseInt(strings.TrimSuffix(strings.TrimSpace(value), " kB"), 10, 64)
		switch name {
		case "VmRSS":
			resident = n << 10
		case "VmHWM":
			most = n << 10
		}
	}
	return resident, most
}

// ask asks it over the control socket.
func (p *process) ask(ctx context.Context, f func(context.Context, *control.Client) error) error {
	ctx, cancel := context.WithTimeout(ctx, 10*time.Second)
	defer cancel()
	c, err := control.Dial(filepath.Join(p.folder, "control.sock"))
	if err != nil {
		return err
	}
	defer c.Close()
	return f(ctx, c)
}
