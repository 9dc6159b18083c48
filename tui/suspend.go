package tui

import (
	"bytes"
	"fmt"
	"os"
	"strconv"

	"golang.org/x/sys/unix"
)

// resumable reports whether there is a shell that can let this process go on after ^Z. In
// an orphaned process group (setpgid(2)), such as that of `ssh -t HOST sttwall top` or of a
// container, the kernel ignores SIGTSTP, and the screen would wait for a SIGCONT that
// nobody sends.
func resumable() bool {
	session, err := unix.Getsid(0)
	if err != nil {
		return true
	}
	return resumableBy(os.Getppid(), unix.Getpgrp(), session)
}

// resumableBy looks for the first process above the group, which has to be of its session.
func resumableBy(parent, group, session int) bool {
	for parent > 0 {
		of, err := unix.Getpgid(parent)
		if err != nil {
			return false
		}
		if of != group {
			in, err := unix.Getsid(parent)
			return err == nil && in == session
		}
		if parent, err = parentOf(parent); err != nil {
			return true // not to be seen (proc(5), hidepid)
		}
	}
	return false // it is outside of the PID namespace
}

func parentOf(pid int) (int, error) {
	stat, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		return 0, err
	}
	fields := bytes.Fields(stat[bytes.LastIndexByte(stat, ')')+1:]) // state, parent
	if len(fields) < 2 {
		return 0, fmt.Errorf("/proc/%d/stat: %q", pid, stat)
	}
	return strconv.Atoi(string(fields[1]))
}
