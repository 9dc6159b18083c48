package nfq

import (
	"errors"
	"testing"

	"golang.org/x/sys/unix"
)

// The kernel that the tests run on has all that the firewall needs, and nothing of the
// probes stays.
func TestWhatIsTriedIsThereAndLeavesNothing(t *testing.T) {
	ns := enterNS(t)
	parts := ProbeKernel(ns)
	if len(parts) < 6 {
		t.Errorf("%d parts", len(parts))
	}
	for _, p := range parts {
		if p.Err != nil || p.Configs == "" || p.Module == "" || p.For == "" {
			t.Errorf("%+v", p)
		}
	}
	conn, err := connect(ns)
	must(t, err)
	if tables, err := conn.ListTables(); err != nil || len(tables) != 0 {
		t.Errorf("left: %v, %v", tables, err)
	}
}

// In a namespace of others nothing can be found out, and that is said.
func TestWithoutTheRightNothingIsFoundOut(t *testing.T) {
	enterNS(t)
	var header = unix.CapUserHeader{Version: unix.LINUX_CAPABILITY_VERSION_3}
	var none [2]unix.CapUserData
	must(t, unix.Capset(&header, &none[0])) // of this thread, which ends with the test
	for _, p := range ProbeKernel(0) {
		if !errors.Is(p.Err, ErrNoCapability) {
			t.Errorf("%s: %v", p.Name, p.Err)
		}
	}
}
