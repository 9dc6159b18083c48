package lab

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

const (
	// victimVariable makes the test binary a program that runs the demo ("once" or
	// "live"), to be killed in the middle of it.
	victimVariable = "STTWALL_LAB_TEST_VICTIM"
	// brokenVariable: the firewall of the live demo does not start.
	brokenVariable = "STTWALL_LAB_TEST_BROKEN"
)

func TestMain(m *testing.M) {
	MaybeChild(Programs{Live: func(ctx context.Context, f LiveFirewall) error {
		if os.Getenv(brokenVariable) != "" {
			fmt.Fprintln(os.Stderr, "my last words")
			return errors.New("no firewall today")
		}
		return bareFirewall(ctx, f)
	}})
	if what := os.Getenv(victimVariable); what != "" {
		os.Exit(victim(what))
	}
	os.Exit(m.Run())
}

func victim(what string) int {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	started := func(pid int) { fmt.Println("child", pid) }
	var err error
	if what == "live" {
		err = RunLive(ctx, LiveOptions{started: started}, func(ctx context.Context, _ Live) error {
			fmt.Println("all is ok now")
			<-ctx.Done()
			return nil
		})
	} else {
		_, err = RunDemo(ctx, Options{started: started}, os.Stdout)
	}
	if err != nil {
		fmt.Println("error:", err)
		return 1
	}
	return 0
}

// running is a victim whose lab is up.
type running struct {
	cmd       *exec.Cmd
	output    *bufio.Scanner
	stderr    bytes.Buffer
	child     int    // a pidfd of the lab's first process
	namespace string // its network namespace
}

// startVictim starts one, in a process group of its own as a shell does, and
// returns when its first line is done.
func startVictim(t *testing.T, what string) *running {
	t.Helper()
	v := &running{cmd: exec.Command("/proc/self/exe")}
	v.cmd.Env = append(os.Environ(), victimVariable+"="+what)
	v.cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	v.cmd.Stderr = &v.stderr
	out, err := v.cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := v.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { v.cmd.Process.Kill() })
	v.output = bufio.NewScanner(out)
	for v.output.Scan() {
		line := v.output.Text()
		if pid, ok := strings.CutPrefix(line, "child "); ok {
			v.adopt(t, pid)
		}
		if strings.Contains(line, " ok ") {
			return v
		}
		if _, message, ok := strings.Cut(line, "error: "); ok {
			if strings.Contains(message, ErrUnavailable.Error()) {
				unavailable(t, errors.New(message))
			}
			break
		}
	}
	t.Fatalf("the demo did not begin: %s", &v.stderr)
	return nil
}

func (v *running) adopt(t *testing.T, pid string) {
	t.Helper()
	n, err := strconv.Atoi(pid)
	if err != nil {
		t.Fatal(err)
	}
	if v.child, err = unix.PidfdOpen(n, 0); err != nil {
		t.Fatalf("pidfd: %v", err)
	}
	t.Cleanup(func() { unix.Close(v.child) })
	if v.namespace, err = os.Readlink("/proc/" + pid + "/ns/net"); err != nil {
		t.Fatal(err)
	}
	if own, err := os.Readlink("/proc/self/ns/net"); err != nil || own == v.namespace {
		t.Fatalf("the child is in %s, and so is the test (%v)", own, err)
	}
}

// mustBeGone waits until the lab's first process has ended, and looks for what
// may be left of the lab.
func (v *running) mustBeGone(t *testing.T) {
	t.Helper()
	poll := []unix.PollFd{{Fd: int32(v.child), Events: unix.POLLIN}}
	for {
		n, err := unix.Poll(poll, int(testBound/time.Millisecond))
		if errors.Is(err, unix.EINTR) {
			continue
		}
		if err != nil || n == 0 {
			t.Fatalf("the child lives on (%v)", err)
		}
		break
	}
	// The end of a PID namespace's first process is announced when all others
	// in it have ended.
	links, err := filepath.Glob("/proc/[0-9]*/ns/net")
	if err != nil {
		t.Fatal(err)
	}
	for _, link := range links {
		if to, err := os.Readlink(link); err == nil && to == v.namespace {
			t.Errorf("%s is still in the lab's namespace", link)
		}
	}
}

func TestKillingTheParentLeavesNothing(t *testing.T) {
	v := startVictim(t, "once")
	if err := v.cmd.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	v.mustBeGone(t)
	v.cmd.Wait()

	var out, stderr bytes.Buffer
	if ok, err := RunDemo(t.Context(), Options{Bulk: 1_000_000, Stderr: &stderr}, &out); err != nil || !ok {
		t.Errorf("the next start: %v\n%s%s", err, &out, &stderr)
	}
}

func TestInterruptingTheDemoCleansUpAndSaysSo(t *testing.T) {
	v := startVictim(t, "once")
	// As a terminal does it: to the whole group, the child included.
	if err := unix.Kill(-v.cmd.Process.Pid, unix.SIGINT); err != nil {
		t.Fatal(err)
	}
	v.mustBeGone(t)
	for v.output.Scan() {
	}
	var exit *exec.ExitError
	if err := v.cmd.Wait(); !errors.As(err, &exit) || exit.ExitCode() != 1 {
		t.Errorf("got %v, want exit status 1", err)
	}
	if !strings.Contains(v.stderr.String(), "interrupted after") {
		t.Errorf("stderr %q does not say that it was interrupted", &v.stderr)
	}
}

func TestAStrayVariableStartsNoLab(t *testing.T) {
	cmd := exec.Command("/proc/self/exe")
	cmd.Env = append(os.Environ(), childVariable+"="+entryDemo)
	out, err := cmd.CombinedOutput()
	var exit *exec.ExitError
	if !errors.As(err, &exit) || exit.ExitCode() != 2 || !strings.Contains(string(out), "was not started by the lab") {
		t.Errorf("got %v, %q", err, out)
	}
}

func TestTheLabRefusesToRunOutsideOfItsChild(t *testing.T) {
	if _, err := New(Config{}); err == nil {
		t.Error("a lab was built in the host's network")
	}
}
