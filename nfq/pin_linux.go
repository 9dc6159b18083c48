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
