package privilege

import (
	"runtime"

	"golang.org/x/sys/unix"
)

// ReadAll calls f with [ReadSearch] in force, on this thread alone, if the process has it
// and does not use it. f must not start a goroutine that reads.
func ReadAll(f func() error) error {
	header := unix.CapUserHeader{Version: unix.LINUX_CAPABILITY_VERSION_3}
	var before [2]unix.CapUserData
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	if err := unix.Capget(&header, &before[0]); err != nil {
		return f()
	}
	const bit = 1 << unix.CAP_DAC_READ_SEARCH
	if before[0].Permitted&bit == 0 || before[0].Effective&bit != 0 {
		return f()
	}
	with := before
	with[0].Effective |= bit
	if err := unix.Capset(&header, &with[0]); err != nil {
		return f()
	}
	err := f()
	if back := unix.Capset(&header, &before[0]); back != nil {
		return back // never: less than it has is always allowed
	}
	return err
}
