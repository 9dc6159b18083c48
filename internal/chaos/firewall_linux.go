package chaos

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
	"sync"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// startBound is how long the firewall may take until it runs, and to end when told to.
const startBound = time.Minute

// runs is what the log of a firewall says when packets are taken.
const runs = `msg="the firewall runs"`

// process is one run of the firewall's program.
type process struct {
	cmd   *exec.Cmd
	log   *lines
	began time.Time
	flags []string
	ended chan struct{}
	end   error // of Wait; valid when ended is closed
}

// launch starts the program without waiting for it to be ready.
func launch(flags []string, also io.Writer) (*process, error) {
	p := &process{log: newLines(also), ended: make(chan struct{}), flags: flags, began: time.Now()}
	p.cmd = exec.Command("/proc/self/exe", append([]string{"run"}, flags...)...)
	read, write, err := os.Pipe()
	if err != nil {
		return nil, err
	}
	p.cmd.Stdout, p.cmd.Stderr = write, write
	if err := p.cmd.Start(); err != nil {
		return nil, errors.Join(fmt.Errorf("start the firewall: %w", err), read.Close(), write.Close())
	}
	write.Close()
	go func() {
		p.log.take(read)
		read.Close()
		p.end = p.cmd.Wait()
		close(p.ended)
	}()
	return p, nil
}

// ready waits until the firewall takes packets.
func (p *process) ready(ctx context.Context) error {
	if _, err := p.log.wait(ctx, startBound, runs, p.ended); err != nil {
		return fmt.Errorf("the firewall has not started: %w; it says:\n%s", err, p.log.last(6))
	}
	return nil
}

func (p *process) pid() int { return p.cmd.Process.Pid }

func (p *process) signal(s syscall.Signal) error { return p.cmd.Process.Signal(s) }

// gone waits for the end, and says how it came.
func (p *process) gone(ctx context.Context, bound time.Duration) (string, error) {
	select {
	case <-p.ended:
		var exit *exec.ExitError
		if errors.As(p.end, &exit) {
			return exit.String(), nil
		}
		return "exit status 0", nil
	case <-time.After(bound):
		return "", fmt.Errorf("the firewall has not ended within %v", bound)
	case <-ctx.Done():
		return "", ctx.Err()
	}
}

// kill ends it, whatever it does.
func (p *process) kill() {
	p.cmd.Process.Kill()
	<-p.ended
}

// uses are what a process has of the host.
type uses struct {
	resident int64 // bytes
	files    int
	threads  int
}

func (p *process) uses() (u uses, err error) {
	dir := fmt.Sprintf("/proc/%d/", p.pid())
	status, err := os.ReadFile(dir + "status")
	if err != nil {
		return u, err
	}
	for line := range strings.Lines(string(status)) {
		name, value, _ := strings.Cut(line, ":")
		value = strings.TrimSuffix(strings.TrimSpace(value), " kB")
		n, _ := strconv.ParseInt(value, 10, 64)
		switch name {
		case "VmRSS":
			u.resident = n << 10
		case "Threads":
			u.threads = int(n)
		}
	}
	files, err := os.ReadDir(filepath.Join(dir, "fd"))
	u.files = len(files)
	return u, err
}

// stopped reports whether a signal has stopped it.
func (p *process) stopped() bool {
	stat, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", p.pid()))
	if err != nil {
		return false
	}
	_, rest, ok := strings.Cut(string(stat), ") ")
	return ok && rest[0] == 'T'
}

// mostLines bounds what is kept of a log.
const mostLines = 2000

// lines are those that a process has written; they can be waited for.
type lines struct {
	also    io.Writer
	mu      sync.Mutex
	list    []string
	cut     int // lines that were there before those
	changed chan struct{}
}

func newLines(also io.Writer) *lines { return &lines{also: also, changed: make(chan struct{})} }

func (l *lines) take(r io.Reader) {
	in := bufio.NewScanner(r)
	in.Buffer(make([]byte, 1<<12), 1<<20)
	for in.Scan() {
		l.mu.Lock()
		l.list = append(l.list, in.Text())
		if over := len(l.list) - mostLines; over > 0 {
			l.list, l.cut = append([]string(nil), l.list[over:]...), l.cut+over
		}
		close(l.changed)
		l.changed = make(chan struct{})
		l.mu.Unlock()
		if l.also != nil {
			fmt.Fprintln(l.also, in.Text())
		}
	}
}

// mark is the place behind the last line.
func (l *lines) mark() int {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.cut + len(l.list)
}

// wait returns the first line that contains text, of all that are there and come.
func (l *lines) wait(ctx context.Context, bound time.Duration, text string, ended <-chan struct{}) (string, error) {
	line, _, err := l.waitSince(ctx, bound, 0, text, ended)
	return line, err
}

// waitSince leaves out the lines before a mark, and returns the mark behind its line.
func (l *lines) waitSince(ctx context.Context, bound time.Duration, mark int, text string, ended <-chan struct{}) (string, int, error) {
	timer := time.NewTimer(bound)
	defer timer.Stop()
	over := false
	for {
		l.mu.Lock()
		from := max(0, mark-l.cut)
		for i, line := range l.list[from:] {
			if strings.Contains(line, text) {
				behind := l.cut + from + i + 1
				l.mu.Unlock()
				return line, behind, nil
			}
		}
		mark = l.cut + len(l.list)
		changed := l.changed
		l.mu.Unlock()
		if over {
			return "", 0, fmt.Errorf("it has ended and not said %q", text)
		}
		select {
		case <-changed:
		case <-ended:
			over = true
		case <-timer.C:
			return "", 0, fmt.Errorf("it has not said %q within %v", text, bound)
		case <-ctx.Done():
			return "", 0, ctx.Err()
		}
	}
}

func (l *lines) last(n int) string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return strings.Join(l.list[max(0, len(l.list)-n):], "\n")
}

// isGone reports whether an error is about something that has ended meanwhile.
func isGone(err error) bool { return errors.Is(err, os.ErrProcessDone) || errors.Is(err, unix.ESRCH) }
