package privilege

import (
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"syscall"
	"testing"

	"github.com/elastic/go-seccomp-bpf/arch"
	"golang.org/x/sys/unix"
)

// inChild has this test binary confine itself, and then try one thing.
const inChild = "STTWALL_TEST_CONFINED"

func TestMain(m *testing.M) {
	if name := os.Getenv(inChild); name != "" {
		os.Exit(confined(name, os.Args[1]))
	}
	os.Exit(m.Run())
}

// attempts are what a confined process tries in a folder that has the folders read, write
// and other, with a file "there" in each.
var attempts = map[string]func(dir string) error{
	"nothing": func(string) error { return nil },
	"read a file": func(dir string) error {
		_, err := os.ReadFile(dir + "/read/there")
		return err
	},
	"list a folder": func(dir string) error {
		_, err := os.ReadDir(dir + "/read")
		return err
	},
	"make, replace, move and remove a file": func(dir string) error {
		file := dir + "/write/new"
		return errors.Join(os.WriteFile(file, []byte("a"), 0o600), os.WriteFile(file, []byte("b"), 0o600), os.Rename(file, file+".1"), os.Remove(file+".1"))
	},
	"append to a file that is there": func(dir string) error {
		f, err := os.OpenFile(dir+"/write/there", os.O_WRONLY|os.O_APPEND, 0)
		if err != nil {
			return err
		}
		_, err = f.WriteString("more")
		return errors.Join(err, f.Close())
	},
	"read its own counters": func(string) error {
		_, err := os.ReadFile("/proc/self/statm")
		return err
	},
	"open a socket for tables": func(string) error { return socketOf(unix.AF_NETLINK, unix.SOCK_RAW, unix.NETLINK_NETFILTER) },
	"ask over a local socket": func(dir string) error {
		c, err := net.Dial("unix", dir+"/write/socket")
		if err != nil {
			return err
		}
		text, err := io.ReadAll(c)
		if string(text) != "x" {
			err = fmt.Errorf("got %q: %w", text, err)
		}
		return err
	},
	"begin threads": func(string) error {
		done := make(chan struct{})
		for range 50 {
			go func() {
				runtime.LockOSThread() // never unlocked: a thread for each
				<-done
			}()
		}
		close(done)
		return nil
	},

	"read another file": func(dir string) error {
		_, err := os.ReadFile(dir + "/other/there")
		return err
	},
	"list another folder": func(dir string) error {
		_, err := os.ReadDir(dir + "/other")
		return err
	},
	"write to a file that is read": func(dir string) error {
		f, err := os.OpenFile(dir+"/read/there", os.O_WRONLY, 0)
		if err == nil {
			f.Close()
		}
		return err
	},
	"truncate a file that is read": func(dir string) error { return os.Truncate(dir+"/read/there", 0) },
	"make a file where files are read": func(dir string) error {
		return os.WriteFile(dir+"/read/new", nil, 0o600)
	},
	"make a file elsewhere":   func(dir string) error { return os.WriteFile(dir+"/other/new", nil, 0o600) },
	"remove a file elsewhere": func(dir string) error { return os.Remove(dir + "/other/there") },
	"link a file in":          func(dir string) error { return os.Link(dir+"/other/there", dir+"/write/linked") },
	"link to a file":          func(dir string) error { return os.Symlink(dir+"/other/there", dir+"/write/linked") },
	"change a mode":           func(dir string) error { return os.Chmod(dir+"/write/there", 0o777) },
	"serve on a socket that is made anew": func(dir string) error {
		l, err := net.Listen("unix", dir+"/write/other")
		if err != nil {
			return err
		}
		return errors.Join(os.Chmod(dir+"/write/other", 0o660), l.Close())
	},
	"serve on a socket elsewhere": func(dir string) error {
		l, err := net.Listen("unix", dir+"/other/socket")
		if err == nil {
			l.Close()
		}
		return err
	},
	"open an internet socket":         func(string) error { return socketOf(unix.AF_INET, unix.SOCK_STREAM, 0) },
	"open a raw socket":               func(string) error { return socketOf(unix.AF_INET, unix.SOCK_RAW, unix.IPPROTO_RAW) },
	"open a packet socket":            func(string) error { return socketOf(unix.AF_PACKET, unix.SOCK_RAW, 0) },
	"open a socket for routes":        func(string) error { return socketOf(unix.AF_NETLINK, unix.SOCK_RAW, unix.NETLINK_ROUTE) },
	"send a signal":                   func(string) error { return unix.Kill(os.Getppid(), 0) },
	"send itself a signal":            func(string) error { return unix.Kill(os.Getpid(), 0) },
	"make a namespace with clone":     func(string) error { return clone(unix.CLONE_NEWUSER | uintptr(unix.SIGCHLD)) },
	"begin a process with clone":      func(string) error { return clone(uintptr(unix.SIGCHLD)) },
	"load a BPF program":              func(string) error { _, _, errno := unix.Syscall(unix.SYS_BPF, 5, 0, 0); return errno },
	"take its rights back":            func(string) error { return setCapabilities([]Capability{Override}, nil) },
	"lift no_new_privs":               func(string) error { return unix.Prctl(unix.PR_SET_NO_NEW_PRIVS, 0, 0, 0, 0) },
	"make itself open to be debugged": func(string) error { return unix.Prctl(unix.PR_SET_DUMPABLE, 1, 0, 0, 0) },
	"enter another network namespace": func(string) error { return unix.Setns(0, unix.CLONE_NEWNET) },
	"execute a program":               func(string) error { return unix.Exec("/bin/true", []string{"true"}, nil) },
	"start a program":                 func(string) error { return exec.Command("/bin/true").Run() },
	"look into another process":       func(string) error { return unix.PtraceAttach(os.Getppid()) },
	"make namespaces":                 func(string) error { return unix.Unshare(unix.CLONE_NEWUSER) },
	"mount":                           func(dir string) error { return unix.Mount("x", dir, "tmpfs", 0, "") },
	"become root":                     func(string) error { return unix.Setresuid(0, 0, 0) },
	"ask for system calls by a ring":  func(string) error { _, _, errno := unix.Syscall(unix.SYS_IO_URING_SETUP, 1, 0, 0); return errno },
	"load a kernel module":            func(string) error { return unix.FinitModule(0, "", 0) },
	"look into another process's bytes": func(string) error {
		_, err := unix.ProcessVMReadv(os.Getppid(), nil, nil, 0)
		return err
	},
}

// ends are the attempts that end the process; no others do.
var ends = []string{
	"execute a program", "look into another process", "make namespaces", "mount", "become root",
	"ask for system calls by a ring", "load a kernel module", "look into another process's bytes",
}

// allowedAttempts are those that succeed; all others fail.
var allowedAttempts = []string{"send itself a signal",
	"nothing", "read a file", "list a folder", "make, replace, move and remove a file", "append to a file that is there", "read its own counters",
	"open a socket for tables", "ask over a local socket", "serve on a socket that is made anew", "begin threads",
}

func socketOf(domain, kind, protocol int) error {
	fd, err := unix.Socket(domain, kind, protocol)
	if err == nil {
		unix.Close(fd)
	}
	return err
}

func clone(flags uintptr) error {
	pid, _, errno := unix.RawSyscall6(unix.SYS_CLONE, flags, 0, 0, 0, 0, 0)
	if errno != 0 {
		return errno
	}
	if pid == 0 {
		unix.RawSyscall(unix.SYS_EXIT_GROUP, 0, 0, 0)
	}
	return nil
}

// Statuses of a confined child.
const (
	succeeded = 10 + iota
	refused
	unconfined
)

// confined confines this process, and tries. A second word of the name is the mode.
func confined(name, dir string) int {
	mode := Required
	if os.Getenv(inChild+"_OFF") != "" {
		mode = Off
	}
	held, err := Confine(Config{
		Keep: []Capability{NetAdmin}, Sandbox: mode,
		Read: []string{dir + "/read", "/proc", dir + "/missing"}, Write: []string{dir + "/write"},
		Readable: []string{dir + "/read/there"}, Writable: []string{dir + "/write"},
	})
	if err != nil {
		fmt.Println(err)
		return unconfined
	}
	fmt.Println(held)
	// Whatever thread it is on.
	result := make(chan error)
	go func() {
		runtime.LockOSThread()
		result <- attempts[name](dir)
	}()
	if err := <-result; err != nil {
		fmt.Println(err)
		return refused
	}
	if name == "nothing" {
		return printStatus()
	}
	return succeeded
}

func printStatus() int {
	threads, err := filepath.Glob("/proc/self/task/*/status")
	if err != nil || len(threads) < 2 {
		fmt.Println(threads, err)
		return unconfined
	}
	for _, path := range threads {
		text, err := os.ReadFile(path)
		if errors.Is(err, os.ErrNotExist) || errors.Is(err, unix.ESRCH) {
			continue // it has ended
		}
		if err != nil {
			fmt.Println(err)
			return unconfined
		}
		fmt.Printf("thread\n%s", text)
	}
	return succeeded
}

// folders makes what attempts are about, and serves on a socket there.
func folders(t *testing.T) string {
	t.Helper()
	dir, err := os.MkdirTemp("", "confined") // short: it is in the name of a socket
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	for _, name := range []string{"read", "write", "other"} {
		if err := os.Mkdir(filepath.Join(dir, name), 0o700); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(dir, name, "there"), []byte("text"), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	l, err := net.Listen("unix", dir+"/write/socket")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	go func() {
		if c, err := l.Accept(); err == nil {
			io.WriteString(c, "x")
			c.Close()
		}
	}()
	return dir
}

// try has a child try; it returns what it has said, and its end.
func try(t *testing.T, name, dir string, environment ...string) (said string, end syscall.WaitStatus) {
	t.Helper()
	exe, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	child := exec.Command(exe, dir)
	child.Env = append(append(os.Environ(), inChild+"="+name), environment...)
	out, err := child.CombinedOutput()
	if child.ProcessState == nil {
		t.Fatal(err)
	}
	return string(out), child.ProcessState.Sys().(syscall.WaitStatus)
}

func needsAll(t *testing.T) {
	t.Helper()
	if missing := left(landlockABI()); len(missing) > 0 {
		if os.Getenv("CI") == "true" {
			t.Fatalf("CI's kernel has no %s", strings.Join(missing, "; no "))
		}
		t.Skipf("this kernel has no %s", strings.Join(missing, "; no "))
	}
}

func TestAConfinedProcessDoesWhatItHasToAndNoMore(t *testing.T) {
	needsAll(t)
	for name := range attempts {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			said, end := try(t, name, folders(t))
			want := "refused"
			for _, n := range ends {
				if n == name {
					want = "killed"
				}
			}
			for _, n := range allowedAttempts {
				if n == name {
					want = "succeeded"
				}
			}
			got := fmt.Sprint(end)
			switch {
			case end.Signaled() && end.Signal() == unix.SIGSYS:
				got = "killed"
			case end.ExitStatus() == refused:
				got = "refused"
			case end.ExitStatus() == succeeded:
				got = "succeeded"
			}
			if got != want {
				t.Errorf("got %s, want %s:\n%s", got, want, said)
			}
		})
	}
}

// What is refused above is refused by the sandbox: the same without it.
func TestWithoutTheSandboxTheSameSucceeds(t *testing.T) {
	for _, name := range []string{"read another file", "write to a file that is read", "remove a file elsewhere", "link to a file", "open an internet socket",
		"open a socket for routes", "send a signal", "begin a process with clone", "execute a program", "change a mode"} {
		said, end := try(t, name, folders(t), inChild+"_OFF=1")
		if !end.Exited() || end.ExitStatus() != succeeded && (name != "execute a program" || end.ExitStatus() != 0) {
			t.Errorf("%s: %v\n%s", name, end, said)
		}
	}
}

func TestItHoldsForAllThreads(t *testing.T) {
	needsAll(t)
	said, end := try(t, "nothing", folders(t))
	if end.ExitStatus() != succeeded {
		t.Fatalf("%v\n%s", end, said)
	}
	line, rest, _ := strings.Cut(said, "\n")
	if want := fmt.Sprintf("landlock ABI %d, seccomp", landlockABI()); !strings.Contains(line, want) || !strings.Contains(line, "no_new_privs") {
		t.Errorf("it says %q, want %s", line, want)
	}
	kept := "0000000000000000"
	if have, err := permitted(NetAdmin); err != nil {
		t.Fatal(err)
	} else if len(have) > 0 {
		kept = "0000000000001000"
	}
	threads := strings.Split(rest, "thread\n")[1:]
	for _, thread := range threads {
		for _, want := range []string{"CapInh:\t0000000000000000", "CapPrm:\t" + kept, "CapEff:\t" + kept, "CapAmb:\t0000000000000000", "NoNewPrivs:\t1", "Seccomp:\t2"} {
			if !strings.Contains(thread, want+"\n") {
				t.Errorf("no %q in\n%s", want, thread)
			}
		}
	}
	if len(threads) < 2 {
		t.Errorf("%d threads", len(threads))
	}
}

func TestFilesThatAreClosedAreToldAtTheStart(t *testing.T) {
	dir := t.TempDir() // with none of the files
	said, end := try(t, "nothing", dir)
	if end.ExitStatus() != unconfined || !strings.Contains(said, "read "+dir+"/read/there: no such file or directory") || !strings.Contains(said, "write "+dir+"/write") {
		t.Errorf("%v\n%s", end, said)
	}
}

// The kernels of both architectures have what a Go program cannot do without, and each
// name is one of a call.
func TestTheCallsAreThoseOfTheArchitectures(t *testing.T) {
	for _, a := range []*arch.Info{arch.X86_64, arch.AARCH64} {
		policy := filter(a)
		names := map[string]bool{}
		for _, n := range policy.Syscalls[0].Names {
			if names[n] {
				t.Errorf("%s: %s is there twice", a.Name, n)
			}
			names[n] = true
		}
		for _, c := range policy.Syscalls[0].NamesWithCondtions {
			names[c.Name] = true
		}
		for _, n := range []string{"recvmsg", "sendmsg", "epoll_pwait", "openat", "close", "futex", "mmap", "rt_sigreturn", "exit_group", "clone", "socket", "accept4"} {
			if !names[n] {
				t.Errorf("%s: no %s", a.Name, n)
			}
		}
		for _, n := range policy.Syscalls[2].Names {
			if names[n] {
				t.Errorf("%s: %s is allowed and hostile", a.Name, n)
			}
		}
	}
	for _, n := range append(append([]string{}, allowed...), hostile...) {
		if _, ok := arch.X86_64.SyscallNames[n]; !ok {
			t.Errorf("there is no system call %s", n)
		}
	}
}
