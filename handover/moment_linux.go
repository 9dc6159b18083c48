package handover

import (
	"errors"
	"fmt"
	"os"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

// Moment is a time on a clock that all processes of a host share and that nobody sets:
// CLOCK_BOOTTIME of one boot (clock_gettime(2)); and the network that it was in.
type Moment struct {
	Boot  string `json:"boot"`  // /proc/sys/kernel/random/boot_id
	Since int64  `json:"since"` // ns since the boot
	NetNS uint64 `json:"netns"` // number of the network namespace: namespaces(7)
}

// Now returns the moment.
func Now() (m Moment, err error) {
	id, err := os.ReadFile("/proc/sys/kernel/random/boot_id")
	if err != nil {
		return m, fmt.Errorf("which boot this is: %w", err)
	}
	var t unix.Timespec
	if err := unix.ClockGettime(unix.CLOCK_BOOTTIME, &t); err != nil {
		return m, fmt.Errorf("time since the boot: %w", err)
	}
	var ns unix.Stat_t
	if err := unix.Stat("/proc/thread-self/ns/net", &ns); err != nil {
		return m, fmt.Errorf("which network namespace this is: %w", err)
	}
	return Moment{Boot: strings.TrimSpace(string(id)), Since: t.Nano(), NetNS: ns.Ino}, nil
}

// Age returns how long before now it was. The error says why a state of that moment is
// of no use any more.
func (m Moment) Age(now Moment) (time.Duration, error) {
	age := time.Duration(now.Since - m.Since)
	switch {
	case m.Boot != now.Boot:
		return 0, errors.New("it was written before the host started")
	case m.NetNS != now.NetNS:
		return 0, errors.New("it was written in another network namespace")
	case age < 0 || m.Since < 0:
		return 0, Broken("it was written in %v", -age)
	case age > MaxAge:
		return 0, fmt.Errorf("it is %v old, and counts for %v", age.Round(time.Second), MaxAge)
	}
	return age, nil
}
