package privilege

import (
	"fmt"
	"os"
	"slices"

	"kernel.org/pub/linux/libs/security/libcap/cap"
)

// Capability is one of capabilities(7).
type Capability = cap.Value

// Those that a firewall is about.
const (
	// NetAdmin is for the queues and the table: the kernel asks for it at each message,
	// verdicts too (nfnetlink.c, nfnetlink_rcv).
	NetAdmin = cap.NET_ADMIN
	// NetRaw opens the sockets for rejects; sending through them needs nothing.
	NetRaw = cap.NET_RAW
	// ReadSearch opens what only root may read: the kernel's counters of its queues.
	ReadSearch = cap.DAC_READ_SEARCH
	// Override reads and writes files whatever their owner and mode say.
	Override = cap.DAC_OVERRIDE
	// BPF and Perfmon load BPF programs.
	BPF     = cap.BPF
	Perfmon = cap.PERFMON
)

// permitted returns which of list the process may use.
func permitted(list ...Capability) (have []Capability, err error) {
	now := cap.GetProc()
	for _, c := range list {
		on, err := now.GetFlag(cap.Permitted, c)
		if err != nil {
			return nil, fmt.Errorf("capability %v: %w", c, err)
		}
		if on && !slices.Contains(have, c) {
			have = append(have, c)
		}
	}
	return have, nil
}

// setCapabilities leaves these and no others; those of effective are in force at once.
func setCapabilities(permitted, effective []Capability) error {
	next := cap.NewSet()
	if err := next.SetFlag(cap.Permitted, true, permitted...); err != nil {
		return err
	}
	if err := next.SetFlag(cap.Effective, true, effective...); err != nil {
		return err
	}
	if err := next.SetProc(); err != nil {
		return fmt.Errorf("capabilities: %w", err)
	}
	return nil
}

// Reserve takes [ReadSearch] out of force for all threads: files are opened by their modes
// from here on, and [ReadAll] alone uses it. Root's stays in force.
func Reserve() error {
	if os.Geteuid() == 0 {
		return nil
	}
	now := cap.GetProc()
	if on, err := now.GetFlag(cap.Effective, ReadSearch); err != nil || !on {
		return err
	}
	if err := now.SetFlag(cap.Effective, false, ReadSearch); err != nil {
		return err
	}
	if err := now.SetProc(); err != nil {
		return fmt.Errorf("capability %v: %w", ReadSearch, err)
	}
	return nil
}

// closeSets empties the inheritable, ambient and bounding sets. The last takes
// CAP_SETPCAP; without it that stays as it is, which bounded says: no_new_privs makes it
// of no use.
func closeSets() (bounded bool, err error) {
	can, err := permitted(cap.SETPCAP)
	if err != nil {
		return false, err
	}
	next := cap.NewIAB()
	if bounded = len(can) > 0; bounded {
		for c := Capability(0); c < cap.MaxBits(); c++ {
			if err := next.SetVector(cap.Bound, true, c); err != nil {
				return false, err
			}
		}
	}
	if err := next.SetProc(); err != nil {
		return false, fmt.Errorf("inheritable, ambient and bounding capabilities: %w", err)
	}
	return bounded, nil
}
