package main

import (
	"bufio"
	"bytes"
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"syscall"
	"testing"
	"time"

	"sttwall/internal/chaos"
	"sttwall/internal/lab"
	"sttwall/internal/soak"
)

// asProgram makes the test binary be sttwall: tests start it as a process of
// its own where signals, rights or a kernel's refusals matter.
const asProgram = "STTWALL_TEST_AS_PROGRAM"

// wholeProgram is a value of asProgram that stays: where the program starts itself, that
// is the program too.
const wholeProgram = "whole"

func TestMain(m *testing.M) {
	lab.MaybeChild(lab.Programs{Live: runLoggedLiveFirewall, Inside: map[string]lab.InsideProgram{chaos.Program: chaos.Inside, soak.Program: soak.Inside}})
	if how := os.Getenv(asProgram); how != "" {
		if how != wholeProgram {
			os.Unsetenv(asProgram)
		}
		if how == withoutNetfilter {
			forbidNetfilterSockets()
		}
		main()
	}
	os.Exit(m.Run())
}

// sttwall runs the command line as main does, in this process.
func sttwall(args ...string) (status int, out, err string) {
	var stdout, stderr bytes.Buffer
	status = execute(context.Background(), args, streams{strings.NewReader(""), &stdout, &stderr})
	return status, stdout.String(), stderr.String()
}

// program is sttwall as a process of its own, which the goroutine of the test has to
// start.
func program(t *testing.T, how string, args ...string) *exec.Cmd {
	t.Helper()
	exe, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command(exe, args...)
	cmd.Env = append(os.Environ(), asProgram+"="+how)
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	// That is sent at the end of the *thread* that starts it: this one has to last as
	// long as the test does. Others end with goroutines that namespaces were made for.
	runtime.LockOSThread()
	t.Cleanup(runtime.UnlockOSThread)
	return cmd
}

// output runs a program to its end.
func output(t *testing.T, cmd *exec.Cmd) (status int, stderr string) {
	t.Helper()
	var b bytes.Buffer
	cmd.Stderr = &b
	if err := cmd.Run(); err != nil && cmd.ProcessState == nil {
		t.Fatal(err)
	}
	return cmd.ProcessState.ExitCode(), b.String()
}

// sayPatience is how long a busy machine may take until a firewall says something.
const sayPatience = time.Minute

// running is a firewall that has said that it runs.
type running struct {
	cmd    *exec.Cmd
	socket string      // of control
	lines  chan string // what it says after that
	said   []string    // of which this was read
	begun  string      // what it said before and then
}

func start(t *testing.T, args ...string) *running {
	t.Helper()
	return startRules(t, acceptAll, args...)
}

func startRules(t *testing.T, rules string, args ...string) *running {
	t.Helper()
	return startAs(t, rules, func(*exec.Cmd) {}, filepath.Join(t.TempDir(), "control.sock"), args...)
}

// startAs starts a firewall whose process was prepared; socket is that of control.
func startAs(t *testing.T, rules string, prepare func(*exec.Cmd), socket string, args ...string) *running {
	t.Helper()
	r := &running{socket: socket, lines: make(chan string, 1<<16)}
	r.cmd = program(t, "plain", append([]string{"run", "--rules", rules, "--control", r.socket, "--state", "", "--handover", ""}, args...)...)
	prepare(r.cmd)
	stderr, err := r.cmd.StderrPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := r.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	lines := bufio.NewScanner(stderr)
	var said strings.Builder
	for lines.Scan() {
		said.WriteString(lines.Text() + "\n")
		if strings.Contains(lines.Text(), "the firewall runs") {
			r.begun = said.String()
			go func() {
				defer close(r.lines)
				for lines.Scan() {
					r.lines <- lines.Text()
				}
			}()
			return r
		}
	}
	t.Fatalf("it does not run: %v\n%s", r.cmd.Wait(), said.String())
	return nil
}

// stop sends a signal and returns the exit status and what was said since the start.
func (r *running) stop(t *testing.T, signal syscall.Signal) (status int, said string) {
	t.Helper()
	if err := r.cmd.Process.Signal(signal); err != nil {
		t.Fatal(err)
	}
	for line := range r.lines {
		r.said = append(r.said, line)
	}
	said = strings.Join(r.said, "\n") + "\n"
	if err := r.cmd.Wait(); err != nil && r.cmd.ProcessState == nil {
		t.Fatal(err)
	}
	return r.cmd.ProcessState.ExitCode(), said
}

// waitFor waits until it has said something n times.
func (r *running) waitFor(n int, what string) error {
	patience := time.NewTimer(sayPatience)
	defer patience.Stop()
	for n > 0 {
		select {
		case line, more := <-r.lines:
			if !more {
				return fmt.Errorf("it has ended and did not say %q %d times more:\n%s", what, n, strings.Join(r.said, "\n"))
			}
			r.said = append(r.said, line)
			if strings.Contains(line, what) {
				n--
			}
		case <-patience.C:
			return fmt.Errorf("it does not say %q %d times more within %s:\n%s", what, n, sayPatience, strings.Join(r.said, "\n"))
		}
	}
	return nil
}

// ended returns the exit status of one that ends by itself, and what was said since the
// start.
func (r *running) ended(t *testing.T) (status int, said string) {
	t.Helper()
	for line := range r.lines {
		r.said = append(r.said, line)
	}
	if err := r.cmd.Wait(); err != nil && r.cmd.ProcessState == nil {
		t.Fatal(err)
	}
	return r.cmd.ProcessState.ExitCode(), strings.Join(r.said, "\n") + "\n"
}
