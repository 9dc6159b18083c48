package privilege

import (
	"fmt"
	"slices"

	seccomp "github.com/elastic/go-seccomp-bpf"
	"github.com/elastic/go-seccomp-bpf/arch"
	"golang.org/x/sys/unix"
)

// The kernel's defaults before Linux 5.16 slow down a process that has a filter, against
// an attack by code that it runs for others: there is none here.
const filterFlags = seccomp.FilterFlagTSync | unix.SECCOMP_FILTER_FLAG_SPEC_ALLOW

// noSuchCall has the C library of a program that is built with it try clone(2).
const noSuchCall = seccomp.ActionErrno | seccomp.Action(unix.ENOSYS)

// filter is what all threads may ask the kernel for, of those calls that a kernel for a
// has. What is not in it fails with EPERM: that ends nothing that is worth more. Calls
// that only somebody who has taken the program over makes end it.
func filter(a *arch.Info) seccomp.Policy {
	there := func(names []string) (have []string) {
		for _, name := range names {
			if _, ok := a.SyscallNames[name]; ok {
				have = append(have, name)
			}
		}
		return have
	}
	conditional := slices.DeleteFunc(withArguments(), func(c seccomp.NameWithConditions) bool {
		_, ok := a.SyscallNames[c.Name]
		return !ok
	})
	return seccomp.Policy{
		DefaultAction: seccomp.ActionErrno,
		Syscalls: []seccomp.SyscallGroup{
			{Names: there(allowed), NamesWithCondtions: conditional, Action: seccomp.ActionAllow},
			{Names: there([]string{"clone3"}), Action: noSuchCall},
			{Names: there(hostile), Action: seccomp.ActionKillProcess},
		},
	}
}

// restrictCalls puts the filter in force in all threads.
func restrictCalls() error {
	a, err := arch.GetInfo("")
	if err != nil {
		return err
	}
	if err := seccomp.LoadFilter(seccomp.Filter{NoNewPrivs: true, Flag: filterFlags, Policy: filter(a)}); err != nil {
		return fmt.Errorf("seccomp: %w", err)
	}
	return nil
}
