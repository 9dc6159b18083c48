package nfq

import (
	"fmt"
	"os"
	"os/exec"
	"testing"

	"golang.org/x/sys/unix"

	"sttwall/internal/nstest"
)

func TestMain(m *testing.M) { nstest.Main(m) }

// enterNS moves the test's goroutine, with its thread, into a new network
// namespace with loopback up, and returns a descriptor of it. The namespace is
// gone when the test and what it opened are. A subtest has another thread: it
// enters a namespace of its own, or names this one to all that it calls.
func enterNS(t testing.TB) NetNS {
	t.Helper()
	nstest.Enter(t)
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
		nstest.Cannot(t, "the %s command is not installed", name)
	}
}
