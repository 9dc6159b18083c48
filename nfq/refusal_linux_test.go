package nfq

import (
	"errors"
	"fmt"
	"runtime"
	"strings"
	"testing"

	"golang.org/x/sys/unix"
)

func TestRefusalNamesTheCause(t *testing.T) {
	for _, c := range []struct {
		name string
		err  error
		want error
	}{
		{"no right", unix.EPERM, ErrNoCapability},
		{"no right to the socket", fmt.Errorf("dial: %w", unix.EACCES), ErrNoCapability},
		{"no netlink family", unix.EPROTONOSUPPORT, ErrNoKernelQueue},
		{"no subsystem", unix.EINVAL, ErrNoKernelQueue},
		{"something else stays what it is", unix.ENOMEM, unix.ENOMEM},
	} {
		t.Run(c.name, func(t *testing.T) {
			err := refusal(c.err, ErrNoKernelQueue)
			if !errors.Is(err, c.want) || !errors.Is(err, c.err) {
				t.Errorf("got %v, want one that is %v and %v", err, c.want, c.err)
			}
		})
	}
	if err := refusal(nil, ErrNoKernelQueue); err != nil {
		t.Errorf("no error: got %v", err)
	}
}

func TestBindRefusalNamesTheOwner(t *testing.T) {
	for _, c := range []struct {
		name  string
		err   error
		owner uint32
		taken bool
		want  string
	}{
		{"another program, known", unix.EPERM, 4711, true, "netlink port 4711"},
		{"another program, unknown", unix.EPERM, 0, true, "another program"},
		{"ourselves", unix.EBUSY, 0, true, "already taken"},
		{"something else", unix.ENOMEM, 4711, false, "cannot allocate"},
	} {
		t.Run(c.name, func(t *testing.T) {
			err := bindRefusal(c.err, c.owner)
			if errors.Is(err, ErrQueueTaken) != c.taken || !strings.Contains(err.Error(), c.want) {
				t.Errorf("got %v, want taken %v, with %q", err, c.taken, c.want)
			}
		})
	}
}

func TestEverythingIsRefusedWithoutTheCapability(t *testing.T) {
	enterNS(t)
	dropCapabilities(t)
	c := TableConfig{Ports: []uint16{7471}, Queues: 1}
	for name, do := range map[string]func() error{
		"open a queue": func() error { _, err := Open(Config{Number: 3}); return err },
		"install":      func() error { _, err := InstallTable(c); return err },
		"remove":       func() error { return RemoveTable(0) },
	} {
		if err := do(); !errors.Is(err, ErrNoCapability) || !strings.Contains(err.Error(), "CAP_NET_ADMIN is missing") {
			t.Errorf("%s: got %v, want %v", name, err, ErrNoCapability)
		}
	}
}

// dropCapabilities takes all capabilities from the test's thread, which is
// locked and ends with the test.
func dropCapabilities(t *testing.T) {
	t.Helper()
	runtime.LockOSThread()
	header := unix.CapUserHeader{Version: unix.LINUX_CAPABILITY_VERSION_3}
	var none [2]unix.CapUserData
	must(t, unix.Capset(&header, &none[0]))
}

func TestInANamespaceThatIsNone(t *testing.T) {
	const noNamespace = NetNS(1 << 20) // no such descriptor
	if q, err := Open(Config{NetNS: noNamespace}); err == nil {
		q.Close()
		t.Error("open: got no error")
	}
	if _, err := InstallTable(TableConfig{NetNS: noNamespace, Ports: []uint16{7471}, Queues: 1}); err == nil {
		t.Error("install: got no error")
	}
}
