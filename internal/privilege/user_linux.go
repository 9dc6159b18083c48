package privilege

import (
	"errors"
	"fmt"
	"os"
	"os/user"
	"path/filepath"
	"strconv"

	"golang.org/x/sys/unix"
	"kernel.org/pub/linux/libs/security/libcap/cap"
)

// Account is a user of this host.
type Account struct {
	Name     string
	UID, GID int
	Groups   []int // all others that it is in
}

// LookUp finds a user by name or number.
func LookUp(name string) (*Account, error) {
	u, err := user.Lookup(name)
	if err != nil {
		if u, err = user.LookupId(name); err != nil {
			return nil, fmt.Errorf("user %.64q: there is none of that name or number", name)
		}
	}
	a := &Account{Name: u.Username}
	if a.UID, err = strconv.Atoi(u.Uid); err != nil {
		return nil, fmt.Errorf("user %.64q: user ID %.20q: %w", name, u.Uid, err)
	}
	if a.GID, err = strconv.Atoi(u.Gid); err != nil {
		return nil, fmt.Errorf("user %.64q: group ID %.20q: %w", name, u.Gid, err)
	}
	groups, err := u.GroupIds()
	if err != nil {
		return nil, fmt.Errorf("user %.64q: its groups: %w", name, err)
	}
	for _, text := range groups {
		if id, err := strconv.Atoi(text); err == nil && id != a.GID {
			a.Groups = append(a.Groups, id)
		}
	}
	return a, nil
}

// Become makes all threads those of another user, who keeps the capabilities that are
// for the start: [NetAdmin], [NetRaw], [BPF] and [Perfmon] in force, [ReadSearch] for
// [ReadAll], and CAP_SETPCAP for [Confine], as far as the process has them. That takes
// CAP_SETUID and CAP_SETGID: root.
func Become(a *Account) error {
	if os.Geteuid() == a.UID && os.Getegid() == a.GID {
		return nil
	}
	if can, err := permitted(cap.SETUID, cap.SETGID); err != nil || len(can) < 2 {
		return errors.Join(fmt.Errorf("become user %s: only root, or who has CAP_SETUID and CAP_SETGID, can", a.Name), err)
	}
	force, err := permitted(NetAdmin, NetRaw, BPF, Perfmon)
	if err != nil {
		return err
	}
	later, err := permitted(ReadSearch, cap.SETPCAP)
	if err != nil {
		return err
	}
	if err := cap.SetGroups(a.GID, a.Groups...); err != nil {
		return fmt.Errorf("become user %s: group %d: %w", a.Name, a.GID, err)
	}
	if err := cap.SetUID(a.UID); err != nil {
		return fmt.Errorf("become user %s: user ID %d: %w", a.Name, a.UID, err)
	}
	return setCapabilities(append(later, force...), force)
}

// Folder makes a folder with that mode for an account, if it is not there; one that is
// there stays as it is. Those above it are made for all to pass, and stay the caller's.
func Folder(path string, mode os.FileMode, a *Account) error {
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		return err
	}
	switch err := os.Mkdir(path, mode); {
	case errors.Is(err, unix.EEXIST):
		return nil
	case err != nil:
		return err
	}
	return os.Chown(path, a.UID, a.GID)
}
