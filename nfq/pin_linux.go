package nfq

import (
	"fmt"

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
