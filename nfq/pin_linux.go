package nfq

import (
	"fmt"
	"slices"

	"golang.org/x/sys/unix"
)

// pin pins the calling thread.
func pin(a Affinity) error {
	if a == 0 {
		return nil
	}
	var set unix.CPUSet
	set.Set(int(a) - 1)
	if err := unix.SchedSetaffinity(0, &set); err != nil {
		return fmt.Errorf("worker: pin to processor %d: %w", int(a)-1, err)
	}
	return nil
}

// workerCPUs returns the processors on which workers run, in turn: those chosen, or all
// on which this process may run.
func workerCPUs(chosen []int) ([]Affinity, error) {
	allowed, err := allowedCPUs()
	if err != nil || len(chosen) == 0 {
		return allowed, err
	}
	var cpus []Affinity
	for _, n := range chosen {
		if n < 0 || !slices.Contains(allowed, CPU(n)) {
			var may []int
			for _, a := range allowed {
				may = append(may, int(a)-1)
			}
			return nil, fmt.Errorf("worker: processor %d: this process may run on %v only; pin to some of these, or let it run on more (taskset, cpuset)", n, may)
		}
		cpus = append(cpus, CPU(n))
	}
	return cpus, nil
}

// allowedCPUs returns the processors that this process may run on, at least one.
func allowedCPUs() ([]Affinity, error) {
	var set unix.CPUSet
	if err := unix.SchedGetaffinity(0, &set); err != nil {
		return nil, fmt.Errorf("worker: ask for the allowed processors: %w", err)
	}
	var cpus []Affinity
	for n := 0; len(cpus) < set.Count(); n++ {
		if set.IsSet(n) {
			cpus = append(cpus, CPU(n))
		}
	}
	return cpus, nil
}
