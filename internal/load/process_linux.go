package load

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// processTime is the processor time, by thread, of the processes that are in the
// firewall's namespace: the part of what was measured that no other program's time is
// in. What the kernel does for a packet on their behalf is in it.
type processTime map[string]time.Duration

// processTime reads it. source is the file of the source's thread, which is not part of
// it. Threads of this process count if [LabConfig.Own] says so.
func (l *Lab) processTime(source string) (processTime, error) {
	times := processTime{}
	if l.config.Own {
		if err := times.read("/proc/self/"); err != nil {
			return nil, err
		}
		delete(times, source)
	}
	var own unix.Stat_t
	if err := unix.Fstat(int(l.firewall), &own); err != nil {
		return nil, fmt.Errorf("load: firewall's namespace: %w", err)
	}
	all, err := filepath.Glob("/proc/[0-9]*/ns/net")
	if err != nil {
		return nil, err
	}
	self := fmt.Sprintf("/proc/%d/", os.Getpid()) // whose first thread may have stayed in there
	for _, path := range all {
		if strings.HasPrefix(path, self) {
			continue
		}
		var st unix.Stat_t
		if unix.Stat(path, &st) != nil || st.Ino != own.Ino || st.Dev != own.Dev {
			continue // or it has ended
		}
		if err := times.read(strings.TrimSuffix(path, "ns/net")); err != nil {
			return nil, err
		}
	}
	return times, nil
}

// read adds the threads of a process, whose directory in /proc it is told.
func (t processTime) read(dir string) error {
	tasks, err := filepath.Glob(dir + "task/[0-9]*/schedstat")
	if err != nil {
		return err
	}
	for _, task := range tasks {
		if t[task], err = schedstat(task); err != nil && !ended(err) {
			return err
		}
	}
	return nil
}

func ended(err error) bool { return errors.Is(err, fs.ErrNotExist) || errors.Is(err, syscall.ESRCH) }

// schedstat reads how long a thread has run: the first number, in nanoseconds
// (Documentation/scheduler/sched-stats.rst). It is 0 where the kernel does not count.
func schedstat(path string) (time.Duration, error) {
	text, err := os.ReadFile(path)
	if err != nil {
		return 0, fmt.Errorf("load: %w", err)
	}
	first, _, _ := strings.Cut(string(text), " ")
	ns, err := strconv.ParseInt(first, 10, 64)
	if err != nil {
		return 0, fmt.Errorf("load: %s: %w", path, err)
	}
	return time.Duration(ns), nil
}

// since adds up what each thread has run since before.
func (t processTime) since(before processTime) (sum time.Duration) {
	for task, now := range t {
		sum += now - before[task]
	}
	return sum
}
