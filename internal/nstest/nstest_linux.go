package nstest

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"runtime"
	"syscall"
	"testing"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"
)

// inside marks the test process that runs in a user namespace of its own.
const inside = "STTWALL_TEST_IN_USER_NAMESPACE"

// Main runs the tests of a package and exits; those of an ordinary user in a user
// namespace, where one can be made. TestMain calls it last.
func Main(m *testing.M) {
	if os.Geteuid() != 0 && !InUserNamespace() {
		runtime.LockOSThread() // for Pdeathsig, which means the thread
		cmd := again(os.Args[1:]...)
		cmd.Stdin, cmd.Stdout, cmd.Stderr = os.Stdin, os.Stdout, os.Stderr
		err := cmd.Run()
		if cmd.ProcessState != nil { // it has run, whatever came of it
			code := cmd.ProcessState.ExitCode()
			if code < 0 {
				code = 2
			}
			os.Exit(code)
		}
		runtime.UnlockOSThread()
		fmt.Fprintf(os.Stderr, "no user namespace for the tests: %v\n", err)
	}
	os.Exit(m.Run())
}

// Isolate makes sure that the test may make network namespaces. Without the right it runs
// the test once more, in a user namespace, and returns false: the caller is done.
func Isolate(t *testing.T) bool {
	t.Helper()
	if os.Geteuid() == 0 {
		if err := canMake(); err != nil {
			Cannot(t, "no network namespace can be made here: %v", err)
		}
		return true
	}
	if InUserNamespace() {
		t.Fatal("no root in the user namespace")
	}
	runtime.LockOSThread() // Pdeathsig is the thread's
	defer runtime.UnlockOSThread()
	output, err := again("-test.run=^"+t.Name()+"$", "-test.v", "-test.timeout=9m").CombinedOutput()
	if exit := new(exec.ExitError); err != nil && !errors.As(err, &exit) {
		Cannot(t, "no user namespace can be made here: %v", err)
	}
	t.Logf("in a user namespace:\n%s", output)
	if err != nil {
		t.Fatal(err)
	}
	return false
}

// InUserNamespace reports whether this is a user namespace that an ordinary user's tests
// have made: what takes the rights of the machine's root does not work here.
func InUserNamespace() bool { return os.Getenv(inside) != "" }

// Cannot skips the test with a sentence; in CI, where everything must be there, it fails.
func Cannot(t testing.TB, format string, args ...any) {
	t.Helper()
	if os.Getenv("CI") == "true" {
		t.Fatalf("CI must be able to run this: "+format, args...)
	}
	t.Skipf(format, args...)
}

// Enter moves the test's goroutine, with its thread, into a new network namespace with
// loopback up. It is gone when the test and what it opened are. A subtest has another
// thread, and enters a namespace of its own.
func Enter(t testing.TB) {
	t.Helper()
	runtime.LockOSThread() // never unlocked: the thread ends with the test
	if err := unix.Unshare(unix.CLONE_NEWNET); err != nil {
		Cannot(t, "no network namespace can be made here: %v", err)
	}
	lo, err := netlink.LinkByName("lo")
	if err == nil {
		err = netlink.LinkSetUp(lo)
	}
	if err != nil {
		t.Fatal(err)
	}
}

// again is this test program in a new user namespace, whose root it is, and in a network
// namespace of that. It ends with the thread that starts it.
func again(args ...string) *exec.Cmd {
	cmd := exec.Command("/proc/self/exe", args...)
	cmd.Args[0] = os.Args[0]
	cmd.Env = append(os.Environ(), inside+"=1")
	cmd.SysProcAttr = &syscall.SysProcAttr{
		Cloneflags:  syscall.CLONE_NEWUSER | syscall.CLONE_NEWNET,
		UidMappings: []syscall.SysProcIDMap{{HostID: os.Getuid(), Size: 1}},
		GidMappings: []syscall.SysProcIDMap{{HostID: os.Getgid(), Size: 1}}, // setgroups stays denied
		Pdeathsig:   syscall.SIGKILL,
	}
	return cmd
}

// canMake makes a network namespace, on a thread that ends with it.
func canMake() error {
	result := make(chan error, 1)
	go func() {
		runtime.LockOSThread() // never unlocked
		result <- unix.Unshare(unix.CLONE_NEWNET)
	}()
	return <-result
}
