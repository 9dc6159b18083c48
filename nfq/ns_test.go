package nfq

import (
	"fmt"
	"os"
	"os/exec"
	"runtime"
	"syscall"
	"testing"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"
)

// envInside marks the test process that runs in a user namespace of its own.
const envInside = "STTWALL_TEST_IN_USER_NAMESPACE"

// TestMain runs the tests again in a user namespace if this is not root: there
// they may make network namespaces. A process with several threads cannot
// change its user namespace, so that takes a new process.
func TestMain(m *testing.M) {
	if os.Geteuid() != 0 && os.Getenv(envInside) == "" {
		if code, err := reexec(); err == nil {
			os.Exit(code)
		}
	}
	os.Exit(m.Run())
}

func reexec() (code int, err error) {
	runtime.LockOSThread() // for Pdeathsig, which means the thread
	exe, err := os.Executable()
	if err != nil {
		return 0, err
	}
	cmd := exec.Command(exe, os.Args[1:]...)
	cmd.Stdin, cmd.Stdout, cmd.Stderr = os.Stdin, os.Stdout, os.Stderr
	cmd.Env = append(os.Environ(), envInside+"=1")
	cmd.SysProcAttr = &syscall.SysProcAttr{
		Cloneflags:                 syscall.CLONE_NEWUSER | syscall.CLONE_NEWNET,
		UidMappings:                []syscall.SysProcIDMap{{ContainerID: 0, HostID: os.Getuid(), Size: 1}},
		GidMappings:                []syscall.SysProcIDMap{{ContainerID: 0, HostID: os.Getgid(), Size: 1}},
		GidMappingsEnableSetgroups: false,
		Pdeathsig:                  syscall.SIGKILL,
	}
	if err := cmd.Start(); err != nil {
		return 0, err
	}
	if err := cmd.Wait(); err != nil && cmd.ProcessState == nil {
		return 0, err
	}
	if code = cmd.ProcessState.ExitCode(); code < 0 {
		code = 2
	}
	return code, nil
}

// cannot skips the test with a sentence; in CI, where everything must be there,
// it fails.
func cannot(t testing.TB, format string, args ...any) {
	t.Helper()
	if os.Getenv("CI") == "true" {
		t.Fatalf("CI must be able to run this: "+format, args...)
	}
	t.Skipf(format, args...)
}

// enterNS moves the test's goroutine, with its thread, into a new network
// namespace with loopback up, and returns a descriptor of it. The namespace is
// gone when the test and what it opened are. A subtest has another thread: it
// enters a namespace of its own, or names this one to all that it calls.
func enterNS(t testing.TB) NetNS {
	t.Helper()
	runtime.LockOSThread() // never unlocked: the thread ends with the test
	if err := unix.Unshare(unix.CLONE_NEWNET); err != nil {
		cannot(t, "no network namespace can be made here: %v", err)
	}
	lo, err := netlink.LinkByName("lo")
	must(t, err)
	must(t, netlink.LinkSetUp(lo))
	return currentNS(t)
}

// currentNS returns a descriptor of the thread's network namespace.
func currentNS(t testing.TB) NetNS {
	t.Helper()
	f, err := os.Open(fmt.Sprintf("/proc/self/task/%d/ns/net", unix.Gettid()))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { f.Close() })
	return NetNS(f.Fd())
}

// inside runs f in the network namespace ns.
func inside(t testing.TB, ns NetNS, f func() error) {
	t.Helper()
	if err := inNetNS(ns, f); err != nil {
		t.Fatal(err)
	}
}

// run runs a command in the thread's namespace and returns what it printed.
func run(t testing.TB, name string, args ...string) string {
	t.Helper()
	out, err := try(name, args...)
	if err != nil {
		t.Fatalf("%s %q: %v\n%s", name, args, err, out)
	}
	return out
}

func try(name string, args ...string) (string, error) {
	out, err := exec.Command(name, args...).CombinedOutput()
	return string(out), err
}

// needCommand skips the test if a command is not installed.
func needCommand(t testing.TB, name string) {
	t.Helper()
	if _, err := exec.LookPath(name); err != nil {
		cannot(t, "the %s command is not installed", name)
	}
}
