package doctest

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"

	"golang.org/x/sys/unix"
)

// Seal makes all file systems of the host read-only for this process and what it starts,
// but for the folder of temporary files: what a page says may remove or write anything. It
// is an error outside of the first process of namespaces of its own, as the lab's child is.
func Seal(checkout string) error {
	if os.Getpid() != 1 {
		return errors.New("this is not the first process of namespaces of its own")
	}
	temporary := os.TempDir()
	for _, folder := range []string{temporary, checkout} { // the checkout may be a temporary one
		if err := unix.Mount(folder, folder, "", unix.MS_BIND, ""); err != nil {
			return fmt.Errorf("%s: %w", folder, err)
		}
	}
	if err := unix.MountSetattr(unix.AT_FDCWD, "/", unix.AT_RECURSIVE, &unix.MountAttr{Attr_set: unix.MOUNT_ATTR_RDONLY}); err != nil {
		return fmt.Errorf("make / read-only: %w", err)
	}
	for _, mount := range []string{temporary, "/proc", "/sys"} { // the last two are of its namespaces
		if err := unix.MountSetattr(unix.AT_FDCWD, mount, 0, &unix.MountAttr{Attr_clr: unix.MOUNT_ATTR_RDONLY}); err != nil {
			return fmt.Errorf("make %s writable: %w", mount, err)
		}
	}
	for _, folder := range []string{"/etc", "/var", checkout} {
		probe := filepath.Join(folder, "sttwall-is-sealed")
		if err := os.WriteFile(probe, nil, 0o600); err == nil {
			return errors.Join(fmt.Errorf("%s of the host can be written", folder), os.Remove(probe))
		}
	}
	return nil
}
