package lab

import (
	"errors"
	"fmt"
	"os"
	"runtime"

	"golang.org/x/sys/unix"
)

// namespace is a network namespace without a name: it lasts as long as a file
// descriptor or a thread in it.
type namespace struct {
	name string
	fd   int
}

// currentNamespace is the one of the calling thread.
func currentNamespace(name string) (*namespace, error) {
	// thread-self, since a number would be looked up in whatever PID
	// namespace /proc was mounted for.
	fd, err := unix.Open("/proc/thread-self/ns/net", unix.O_RDONLY|unix.O_CLOEXEC, 0)
	if err != nil {
		return nil, fmt.Errorf("namespace %s: open: %w", name, err)
	}
	return &namespace{name, fd}, nil
}

// newNamespace makes an empty one.
func newNamespace(name string) (*namespace, error) {
	var ns *namespace
	err := onThread(func() error {
		if err := unix.Unshare(unix.CLONE_NEWNET); err != nil {
			return fmt.Errorf("namespace %s: make: %w", name, err)
		}
		var err error
		ns, err = currentNamespace(name)
		return err
	})
	return ns, err
}

// do runs f on a thread of its own inside the namespace and waits for it. What
// f opens stays in the namespace; goroutines that f starts do not run in it.
func (ns *namespace) do(f func() error) error {
	return onThread(func() error {
		if err := unix.Setns(ns.fd, unix.CLONE_NEWNET); err != nil {
			return fmt.Errorf("namespace %s: enter: %w", ns.name, err)
		}
		return f()
	})
}

func (ns *namespace) close() error { return unix.Close(ns.fd) }

// onThread runs f on a thread that ends afterwards: a goroutine that ends
// locked takes its thread, and the thread's namespace, with it.
func onThread(f func() error) error {
	err := errors.New("the function left its goroutine") // runtime.Goexit, as t.FailNow calls it
	done := make(chan struct{})
	go func() {
		runtime.LockOSThread()
		defer close(done)
		err = f()
	}()
	<-done
	return err
}

// writeSysctl sets one of the calling thread's namespace; name as in
// net/ipv4/ip_forward.
func writeSysctl(name, value string) error {
	if err := os.WriteFile("/proc/sys/"+name, []byte(value), 0o644); err != nil {
		return fmt.Errorf("sysctl: %w", err)
	}
	return nil
}
