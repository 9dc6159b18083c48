package main

import (
	"errors"
	"os"
	"runtime"
	"slices"
	"strconv"
	"strings"
)

// maxCPU is the largest number of a processor that a thread can be pinned to: there are
// so many bits in a cpu_set_t (sched_setaffinity(2)).
const maxCPU = 1023

var errCPUs = errors.New("want numbers of processors and ranges of them, such as 2,4-7, each once")

// cpuList reads a list of processors as taskset(1) has it, in its order.
func cpuList(text string) (list []int, err error) {
	if text == "" {
		return nil, nil
	}
	for part := range strings.SplitSeq(text, ",") {
		first, last, ranged := strings.Cut(strings.TrimSpace(part), "-")
		if !ranged {
			last = first
		}
		from, err1 := strconv.ParseUint(first, 10, 16)
		to, err2 := strconv.ParseUint(last, 10, 16)
		if err1 != nil || err2 != nil || from > to || to > maxCPU {
			return nil, errCPUs
		}
		for n := int(from); n <= int(to); n++ {
			if slices.Contains(list, n) {
				return nil, errCPUs
			}
			list = append(list, n)
		}
	}
	return list, nil
}

// roomForWorkers lets so many more goroutines run at once than there are processors,
// unless the environment says how many may. A worker that comes back from the kernel
// with packets waits otherwise until one of those that answer clients, collect garbage
// or judge flows makes room, for milliseconds at times. Which of them runs, where
// there are more than processors, is for the kernel to say, and it has a thread that has
// slept go first.
func roomForWorkers(workers int) (undo func()) {
	if os.Getenv("GOMAXPROCS") != "" {
		return func() {}
	}
	before := runtime.GOMAXPROCS(0)
	runtime.GOMAXPROCS(before + workers)
	return func() { runtime.GOMAXPROCS(before) }
}
