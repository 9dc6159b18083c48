package lab

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"os/signal"
	"runtime"
	"sync"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// ErrUnavailable: this host does not let the caller make namespaces, or they
// come without the rights that the lab needs.
var ErrUnavailable = errors.New("namespaces are not available to this user (run as root, or allow user namespaces: " +
	"see the sysctls user.max_user_namespaces and kernel.apparmor_restrict_unprivileged_userns)")

const (
	// childVariable names what a child is to do. It is honoured only by the
	// first process of a PID namespace that has the pipes below.
	childVariable = "STTWALL_LAB_CHILD"
	// entryTest: the child goes on as a test binary.
	entryTest = "test"
	// entryDemo: the child runs the demo.
	entryDemo = "demo"
	// entryLive: the child runs the live demo.
	entryLive = "live"

	// The child reads its orders from controlFD; its end tells it to stop.
	controlFD = 3
	// The child reports on messageFD, one JSON object a message.
	messageFD = 4

	// stopWait is how long a child that was told to stop may take before it
	// is killed. Nothing is lost by killing it.
	stopWait = 3 * time.Second
)

// message is what a child tells its parent.
type message struct {
	Row         *Row   `json:"row,omitempty"`
	Progress    string `json:"progress,omitempty"`
	Error       string `json:"error,omitempty"`
	Unavailable bool   `json:"unavailable,omitempty"`
	Live        *Live  `json:"live,omitempty"` // it runs now
	// Told is what one of Programs.Inside tells.
	Told json.RawMessage `json:"told,omitempty"`
}

// childError is an error of the child, in the parent.
type childError struct{ message }

func (e childError) Error() string { return e.message.Error }

func (e childError) Is(target error) bool { return target == ErrUnavailable && e.Unavailable }

// order is what a parent tells its child before it starts.
type order struct {
	Options Options `json:"options"`
	Pace    int     `json:"pace,omitempty"` // see [LiveOptions]
	// PID of the child, as its parent knows it.
	PID int `json:"pid"`
	// Input of one of Programs.Inside.
	Input json.RawMessage `json:"input,omitempty"`
}

// Programs are what a child runs that is not this package's own.
type Programs struct {
	// Live runs the firewall of the live demo, as `sttwall run` does, until ctx
	// ends; see [RunLive]. nil: there is no live demo.
	Live func(ctx context.Context, f LiveFirewall) error
	// Inside are further programs, by name; [RunInside] starts them.
	Inside map[string]InsideProgram
}

// InsideProgram runs in the lab's child, where [New] works, until it is done or ctx
// ends. input is what [RunInside] was given; tell gives something to its receiver. ok:
// all was as it should be.
type InsideProgram func(ctx context.Context, input json.RawMessage, tell func(any)) (ok bool, err error)

// insideChild is set once, by MaybeChild before anything else runs.
var insideChild bool

// MaybeChild does nothing, unless this process is the child that the lab
// started: then it sets the namespaces up, runs the lab and exits, or, in a
// test binary, returns so that the one test runs. It has to be the first call
// in main and in TestMain.
func MaybeChild(p Programs) {
	entry := os.Getenv(childVariable)
	if entry == "" {
		return
	}
	os.Unsetenv(childVariable)
	control := os.NewFile(controlFD, "control")
	messages := os.NewFile(messageFD, "messages")
	// Without this check a stray variable would have the lab's addresses and
	// links made in the network of the host.
	if os.Getpid() != 1 || !isPipe(controlFD) || !isPipe(messageFD) {
		fmt.Fprintf(os.Stderr, "sttwall: %s is set, but this process was not started by the lab\n", childVariable)
		os.Exit(2)
	}
	unix.CloseOnExec(controlFD)
	unix.CloseOnExec(messageFD)
	// The terminal's ^C reaches parent and child; the parent alone decides.
	signal.Ignore(os.Interrupt, syscall.SIGTERM, syscall.SIGHUP)

	var in order
	decoder := json.NewDecoder(control)
	if err := decoder.Decode(&in); err != nil {
		os.Exit(2) // the parent is gone
	}
	ctx, cancel := context.WithCancel(context.Background())
	go func() {
		io.Copy(io.Discard, control)
		cancel()
		if entry == entryTest {
			os.Exit(2)
		}
	}()

	out := json.NewEncoder(messages)
	err := enterNamespaces()
	if err != nil {
		out.Encode(message{Error: err.Error(), Unavailable: errors.Is(err, ErrUnavailable)})
		os.Exit(2)
	}
	insideChild = true
	if entry == entryTest {
		return
	}
	var told sync.Mutex
	ok, report := true, func(m message) {
		told.Lock()
		defer told.Unlock()
		out.Encode(m)
	}
	switch program := p.Inside[entry]; {
	case program != nil:
		ok, err = program(ctx, in.Input, func(what any) {
			if text, err := json.Marshal(what); err == nil {
				report(message{Told: text})
			}
		})
	case entry == entryLive:
		err = runLive(ctx, &in, p.Live, report)
	default:
		ok, err = runScenario(ctx, in.Options, report)
	}
	switch {
	case err != nil:
		out.Encode(message{Error: err.Error(), Unavailable: errors.Is(err, ErrUnavailable)})
		os.Exit(2)
	case !ok:
		os.Exit(1)
	}
	os.Exit(0)
}

func isPipe(fd int) bool {
	var st unix.Stat_t
	return unix.Fstat(fd, &st) == nil && st.Mode&unix.S_IFMT == unix.S_IFIFO
}

// child is one run of this program in namespaces of its own.
type child struct {
	entry          string
	arguments      []string // behind the program's name
	order          order
	stdout, stderr io.Writer
	receive        func(message) // called from one goroutine; may be nil
	started        func(pid int) // may be nil
}

// run starts the child and returns its exit status when it is gone, and with
// it everything that was in it. If ctx ends, the child is told to stop.
func (c *child) run(ctx context.Context) (int, error) {
	flags := uintptr(unix.CLONE_NEWNET | unix.CLONE_NEWNS | unix.CLONE_NEWPID)
	attempts := []uintptr{flags | unix.CLONE_NEWUSER}
	if os.Geteuid() == 0 {
		// Root in a container may lack the right, and still have user namespaces.
		attempts = []uintptr{flags, flags | unix.CLONE_NEWUSER}
	}
	type result struct {
		status int
		err    error
	}
	results := make(chan result)
	go func() {
		// PR_SET_PDEATHSIG tells of the end of the *thread* that started the
		// child: this one has to last as long as the child does.
		runtime.LockOSThread()
		defer runtime.UnlockOSThread()
		var r result
		for _, f := range attempts {
			if r.status, r.err = c.attempt(ctx, f); !errors.Is(r.err, ErrUnavailable) {
				break
			}
		}
		results <- r
	}()
	r := <-results
	return r.status, r.err
}

func (c *child) attempt(ctx context.Context, cloneFlags uintptr) (int, error) {
	controlRead, controlWrite, err := os.Pipe()
	if err != nil {
		return 0, fmt.Errorf("lab: control pipe: %w", err)
	}
	defer controlWrite.Close()
	defer controlRead.Close()
	messageRead, messageWrite, err := os.Pipe()
	if err != nil {
		return 0, fmt.Errorf("lab: message pipe: %w", err)
	}
	defer messageRead.Close()
	defer messageWrite.Close()

	cmd := exec.CommandContext(ctx, "/proc/self/exe", c.arguments...)
	cmd.Args[0] = os.Args[0]
	cmd.Env = append(os.Environ(), childVariable+"="+c.entry)
	cmd.Stdout, cmd.Stderr = c.stdout, c.stderr
	cmd.ExtraFiles = []*os.File{controlRead, messageWrite} // become controlFD, messageFD
	cmd.Cancel = controlWrite.Close
	cmd.WaitDelay = stopWait
	cmd.SysProcAttr = &syscall.SysProcAttr{Cloneflags: cloneFlags, Pdeathsig: syscall.SIGKILL}
	if cloneFlags&unix.CLONE_NEWUSER != 0 {
		cmd.SysProcAttr.UidMappings = []syscall.SysProcIDMap{{ContainerID: 0, HostID: os.Geteuid(), Size: 1}}
		cmd.SysProcAttr.GidMappings = []syscall.SysProcIDMap{{ContainerID: 0, HostID: os.Getegid(), Size: 1}}
	}
	if err := cmd.Start(); err != nil {
		switch {
		case errors.Is(err, unix.EPERM), errors.Is(err, unix.EACCES), errors.Is(err, unix.ENOSPC),
			errors.Is(err, unix.EUSERS), errors.Is(err, unix.EINVAL), errors.Is(err, unix.ENOSYS):
			return 0, fmt.Errorf("lab: new namespaces: %w: %w", ErrUnavailable, err)
		}
		return 0, fmt.Errorf("lab: start the child: %w", err)
	}
	controlRead.Close()
	messageWrite.Close()
	if c.started != nil {
		c.started(cmd.Process.Pid)
	}
	c.order.PID = cmd.Process.Pid
	// A pipe takes this without the child reading.
	orderErr := json.NewEncoder(controlWrite).Encode(&c.order)

	var failure error
	received := make(chan struct{})
	go func() {
		defer close(received)
		for decoder := json.NewDecoder(messageRead); ; {
			var m message
			if decoder.Decode(&m) != nil {
				return
			}
			switch {
			case m.Error != "":
				failure = childError{m}
			case c.receive != nil:
				c.receive(m)
			}
		}
	}()
	err = cmd.Wait()
	<-received
	if failure != nil {
		return 0, failure
	}
	if ctx.Err() != nil {
		return 0, ctx.Err()
	}
	var exit *exec.ExitError
	if errors.As(err, &exit) && exit.Exited() {
		return exit.ExitCode(), nil
	}
	if err := errors.Join(err, orderErr); err != nil {
		return 0, fmt.Errorf("lab: the child: %w", err)
	}
	return 0, nil
}

// enterNamespaces makes the child's surroundings those of its namespaces. The
// namespace that the process starts in is to be the firewall's.
func enterNamespaces() error {
	// From here on no mount reaches the host.
	if err := unix.Mount("", "/", "", unix.MS_REC|unix.MS_PRIVATE, ""); err != nil {
		return fmt.Errorf("lab: %w: make the mounts private: %w", ErrUnavailable, err)
	}
	// The old /proc would show the host's processes, and may be read-only.
	// Some containers forbid a new one; the lab works with the old one too,
	// since it goes by /proc/thread-self.
	proc := unix.Mount("proc", "/proc", "proc", unix.MS_NOSUID|unix.MS_NODEV|unix.MS_NOEXEC, "")
	// Likewise /sys, whose class/net is that of the namespace that mounts it.
	unix.Mount("sysfs", "/sys", "sysfs", unix.MS_NOSUID|unix.MS_NODEV|unix.MS_NOEXEC, "")
	if err := writeSysctl("net/ipv4/ip_forward", "1"); err != nil {
		return fmt.Errorf("lab: %w: %w", ErrUnavailable, errors.Join(err, proc))
	}
	return nil
}

// Inside reports whether the test that calls it runs inside the lab's child.
// Where it does not, Inside runs this one test again in a child, hands its
// outcome to t, and returns false: the test then returns. Where namespaces are
// impossible, it skips; with CI=true in the environment it fails instead.
func Inside(t TB) bool {
	t.Helper()
	if insideChild {
		return true
	}
	var output bytes.Buffer
	c := child{
		entry:     entryTest,
		arguments: []string{"-test.run=^" + t.Name() + "$", "-test.v", "-test.count=1"},
		stdout:    &output, stderr: &output,
	}
	status, err := c.run(context.Background())
	switch {
	case errors.Is(err, ErrUnavailable):
		unavailable(t, err)
	case err != nil:
		t.Fatalf("%v\n%s", err, &output)
	case status != 0:
		t.Fatalf("inside the lab:\n%s", &output)
	case bytes.Contains(output.Bytes(), []byte("--- SKIP: "+t.Name())):
		t.Skipf("inside the lab:\n%s", &output)
	default:
		t.Logf("inside the lab:\n%s", &output)
	}
	return false
}

func unavailable(t TB, err error) {
	t.Helper()
	if os.Getenv("CI") == "true" {
		t.Fatalf("the lab must run in CI: %v", err)
	}
	t.Skipf("the lab needs network, mount and PID namespaces: %v", err)
}

// TB is the part of testing.TB that the lab uses; the program itself is not to
// carry package testing.
type TB interface {
	Helper()
	Name() string
	Logf(format string, args ...any)
	Fatalf(format string, args ...any)
	Skipf(format string, args ...any)
}
