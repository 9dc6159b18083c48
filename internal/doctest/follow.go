package doctest

import (
	"os"
	"os/exec"
	"regexp"
	"strings"
	"syscall"
	"time"
)

// Follow starts a command that has a process group of its own, interrupts the group when
// what both outputs have said matches, and waits for the end. It returns all that was said,
// and whether it came to the interrupt. How the command ended is in its ProcessState; after
// so much patience it is cancelled, if it has a Cancel.
func Follow(cmd *exec.Cmd, want *regexp.Regexp, patience time.Duration) (said string, interrupted bool, err error) {
	read, write, err := os.Pipe()
	if err != nil {
		return "", false, err
	}
	defer read.Close()
	cmd.Stdout, cmd.Stderr = write, write
	if err := cmd.Start(); err != nil {
		write.Close()
		return "", false, err
	}
	write.Close()
	if cmd.Cancel != nil {
		end := time.AfterFunc(patience, func() { cmd.Cancel() })
		defer end.Stop()
	}
	var out strings.Builder
	for b := make([]byte, 1<<16); ; {
		n, err := read.Read(b)
		out.Write(b[:n])
		if err != nil {
			break
		}
		if !interrupted && want.MatchString(out.String()) {
			interrupted = true
			syscall.Kill(-cmd.Process.Pid, syscall.SIGINT)
		}
	}
	if err := cmd.Wait(); err != nil && cmd.ProcessState == nil {
		return out.String(), interrupted, err
	}
	return out.String(), interrupted, nil
}
