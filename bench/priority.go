package main

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"
)

// highestNice is the most that a process can ask for (sched(7)).
const highestNice = -20

// goFirst has this process, and those that it starts, run before others of the host:
// source and firewall alike, so that neither waits for what does not belong to it. undo
// gives the session of the terminal its old share back.
func goFirst() (undo func() error, err error) {
	threads, err := os.ReadDir("/proc/self/task")
	if err != nil {
		return nil, err
	}
	for _, t := range threads { // threads made later have it from those that make them
		id, err := strconv.Atoi(t.Name())
		if err != nil {
			return nil, err
		}
		if err := unix.Setpriority(unix.PRIO_PROCESS, id, highestNice); err != nil && err != unix.ESRCH {
			return nil, fmt.Errorf("priority of thread %d: %w", id, err)
		}
	}
	return sessionFirst("/proc/self/autogroup")
}

// sessionFirst raises the session whose share is in file: where sessions share the CPUs among
// them (CONFIG_SCHED_AUTOGROUP), a process's priority is one within its session.
func sessionFirst(file string) (undo func() error, err error) {
	nothing := func() error { return nil }
	before, err := os.ReadFile(file)
	if errors.Is(err, fs.ErrNotExist) {
		return nothing, nil
	}
	if err != nil {
		return nil, err
	}
	// "/autogroup-7 nice 0"; empty for who descends from init without a setsid(2) between: these
	// are beside the sessions, each with its own priority, and a share for all is refused
	// (kernel/sched/autogroup.c).
	_, old, inSession := strings.Cut(string(before), " nice ")
	if !inSession {
		return nothing, nil
	}
	if err := os.WriteFile(file, []byte(strconv.Itoa(highestNice)), 0); err != nil {
		return nil, fmt.Errorf("priority of the session: %w", err)
	}
	return func() error { return os.WriteFile(file, []byte(strings.TrimSpace(old)), 0) }, nil
}
