package main

import (
	"fmt"

	"golang.org/x/sys/unix"

	"sttwall/nfq"
)

// fitLength chooses the length of the queues where none is said: of what waits there the
// kernel bounds the number and not the bytes, and somebody who sends super-segments while
// the firewall is slow must not take the host's memory.
func fitLength(c *nfq.InlineConfig) error {
	if c.Queue.Length != 0 {
		return nil
	}
	var host unix.Sysinfo_t
	if err := unix.Sysinfo(&host); err != nil {
		return fmt.Errorf("memory of this host: %w", err)
	}
	length, err := c.FittingLength(int64(host.Totalram) * int64(host.Unit))
	if err != nil {
		return nil // that is said when it starts
	}
	c.Queue.Length = length
	return nil
}
