package peers

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os/exec"
	"runtime"
	"strings"
	"sync"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// patience is how long a peer may take to bind its queues, and to end. Suricata
// compiles its rules first: half a minute for a thousand where others compute too.
const patience = 2 * time.Minute

// command is a process to start.
type command struct {
	path  string
	args  []string
	env   []string // beside the caller's
	netNS string
	cpus  []int
	ready string // what the line has in it that says "bound", on standard output
}

// process is one that runs.
type process struct {
	cmd  *exec.Cmd
	done chan struct{} // closed when it has ended and all is read
	err  error         // of its end; valid when done is closed

	mu    sync.Mutex
	lines []string // the last ones of both outputs
}

// start starts a process and waits for its word that it is ready.
func start(ctx context.Context, c command) (*process, error) {
	p := &process{done: make(chan struct{})}
	p.cmd = exec.CommandContext(ctx, c.path, c.args...)
	p.cmd.Env = append(p.cmd.Environ(), c.env...)
	// The kernel ends it with us. It means the thread that starts it, which
	// therefore stays: see run.
	p.cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	ready := make(chan struct{})
	started := make(chan error, 1)
	go p.run(c, ready, started)
	if err := <-started; err != nil {
		return nil, err
	}
	timeout := time.NewTimer(patience)
	defer timeout.Stop()
	select {
	case <-ready:
		return p, nil
	case <-p.done:
		return nil, fmt.Errorf("ended before it was ready: %w", p.ending())
	case <-timeout.C:
		_ = p.cmd.Process.Kill()
		<-p.done
		return nil, fmt.Errorf("was not ready after %v: %w", patience, p.ending())
	}
}

// run enters the namespace and pins the thread, so that the process inherits
// both; then it waits for the end of the process. The thread ends with it.
func (p *process) run(c command, ready chan<- struct{}, started chan<- error) {
	runtime.LockOSThread()
	stdout, stderr, err := p.launch(c)
	started <- err
	if err != nil {
		return
	}
	var readers sync.WaitGroup
	readers.Go(func() {
		p.read(stdout, func(line string) {
			if ready != nil && strings.Contains(line, c.ready) {
				close(ready)
				ready = nil
			}
		})
	})
	readers.Go(func() { p.read(stderr, func(string) {}) })
	readers.Wait()
	p.err = p.cmd.Wait()
	close(p.done)
}

func (p *process) launch(c command) (stdout, stderr io.Reader, err error) {
	if err := enter(c.netNS); err != nil {
		return nil, nil, err
	}
	if err := pin(c.cpus); err != nil {
		return nil, nil, err
	}
	if stdout, err = p.cmd.StdoutPipe(); err != nil {
		return nil, nil, err
	}
	if stderr, err = p.cmd.StderrPipe(); err != nil {
		return nil, nil, err
	}
	return stdout, stderr, p.cmd.Start()
}

// read keeps the last lines of an output.
func (p *process) read(r io.Reader, each func(line string)) {
	const keep = 20
	lines := bufio.NewScanner(r)
	for lines.Scan() {
		p.mu.Lock()
		p.lines = append(p.lines, lines.Text())
		p.lines = p.lines[max(0, len(p.lines)-keep):]
		p.mu.Unlock()
		each(lines.Text())
	}
	_, _ = io.Copy(io.Discard, r) // a line too long for the scanner
}

// ending tells of an end that nobody asked for.
func (p *process) ending() error {
	err := p.err
	if err == nil {
		err = errors.New("exit status 0")
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	if len(p.lines) == 0 {
		return err
	}
	return fmt.Errorf("%w\n%s", err, strings.Join(p.lines, "\n"))
}

// stop ends the process. If the last line on standard output is JSON, counts
// are read from it.
func (p *process) stop() (Counts, error) {
	select {
	case <-p.done:
		return Counts{}, fmt.Errorf("had ended by itself: %w", p.ending())
	default:
	}
	if err := p.cmd.Process.Signal(unix.SIGTERM); err != nil {
		return Counts{}, fmt.Errorf("end it: %w", err)
	}
	timeout := time.NewTimer(patience)
	defer timeout.Stop()
	select {
	case <-p.done:
	case <-timeout.C:
		_ = p.cmd.Process.Kill()
		<-p.done
		return Counts{}, fmt.Errorf("did not end in %v: %w", patience, p.ending())
	}
	if p.err != nil {
		return Counts{}, fmt.Errorf("did not end well: %w", p.ending())
	}
	var c Counts
	for _, line := range p.lines {
		if strings.HasPrefix(line, "{") {
			if err := json.Unmarshal([]byte(line), &c); err != nil {
				return Counts{}, fmt.Errorf("its report %q: %w", line, err)
			}
		}
	}
	c.User, c.System = p.cmd.ProcessState.UserTime(), p.cmd.ProcessState.SystemTime()
	return c, nil
}

// enter moves the calling thread into a network namespace.
func enter(path string) error {
	if path == "" {
		return nil
	}
	fd, err := unix.Open(path, unix.O_RDONLY|unix.O_CLOEXEC, 0)
	if err != nil {
		return fmt.Errorf("network namespace %s: open: %w", path, err)
	}
	defer unix.Close(fd)
	if err := unix.Setns(fd, unix.CLONE_NEWNET); err != nil {
		return fmt.Errorf("network namespace %s: enter: %w", path, err)
	}
	return nil
}

// pin pins the calling thread to processors; none leaves it as it is.
func pin(cpus []int) error {
	if len(cpus) == 0 {
		return nil
	}
	var set unix.CPUSet
	for _, n := range cpus {
		set.Set(n)
	}
	if err := unix.SchedSetaffinity(0, &set); err != nil {
		return fmt.Errorf("pin to processors %v: %w", cpus, err)
	}
	return nil
}

// started fills in PIDs.
func (e Env) started(running ...*process) {
	if e.PIDs == nil {
		return
	}
	*e.PIDs = nil
	for _, p := range running {
		*e.PIDs = append(*e.PIDs, p.cmd.Process.Pid)
	}
}

// startAll starts one process for each queue; command names that of queue i.
func startAll(ctx context.Context, name string, env Env, command func(i int) command) (stop func() error, err error) {
	var running []*process
	stop = func() error {
		var errs []error
		var total Counts
		for _, p := range running {
			c, err := p.stop()
			errs = append(errs, err)
			total.add(c)
		}
		if env.Counts != nil {
			*env.Counts = total
		}
		if err := errors.Join(errs...); err != nil {
			return fmt.Errorf("%s: %w", name, err)
		}
		return nil
	}
	for i := range env.Queues {
		p, err := start(ctx, command(i))
		if err != nil {
			err = fmt.Errorf("%s: queue %d: %w", name, env.FirstQueue+i, err)
			return nil, errors.Join(err, stop())
		}
		running = append(running, p)
	}
	env.started(running...)
	return stop, nil
}
