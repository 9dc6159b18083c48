package privilege

import (
	"errors"
	"fmt"
	"io/fs"
	"os"

	"github.com/landlock-lsm/go-landlock/landlock"
	ll "github.com/landlock-lsm/go-landlock/landlock/syscall"
)

const (
	readFile   = ll.AccessFSReadFile
	readFolder = readFile | ll.AccessFSReadDir
	writeFile  = readFile | ll.AccessFSWriteFile | ll.AccessFSTruncate
	// Nothing is executed there, no link or device made, nothing moved in or out.
	writeFolder = readFolder | writeFile | ll.AccessFSMakeReg | ll.AccessFSMakeSock | ll.AccessFSMakeDir | ll.AccessFSRemoveFile
	terminal    = writeFile | ll.AccessFSIoctlDev
)

// restrictions are those of Landlock's ABI 7, the newest that this was tried with. With
// them no file but those of the configuration is opened, no TCP port bound or connected
// to, no signal sent to other processes, and no abstract socket of theirs reached.
var restrictions = landlock.V7

// landlockABI returns what the kernel knows of Landlock; 0 is nothing.
func landlockABI() int {
	abi, err := ll.LandlockGetABIVersion()
	if err != nil {
		return 0
	}
	return abi
}

// restrictFiles has all threads reach no files but those of c. What is not there at that
// moment is not reached later either.
func restrictFiles(c *Config) error {
	var rules []landlock.Rule
	for _, group := range []struct {
		paths        []string
		file, folder landlock.AccessFSSet
	}{
		{c.Read, readFile, readFolder},
		{c.Write, writeFile, writeFolder},
		{c.Terminals, terminal, readFolder},
	} {
		for _, path := range group.paths {
			info, err := os.Stat(path)
			if errors.Is(err, fs.ErrNotExist) {
				continue
			}
			if err != nil {
				return fmt.Errorf("landlock: %w", err)
			}
			access := group.file
			if info.IsDir() {
				access = group.folder
			}
			rules = append(rules, landlock.PathAccess(access, path).IgnoreIfMissing())
		}
	}
	limits := restrictions
	if c.Abstract {
		limits.Scoped &^= ll.ScopeAbstractUnixSocket
	}
	if err := limits.BestEffort().Restrict(rules...); err != nil {
		return fmt.Errorf("landlock: %w", err)
	}
	return nil
}

// left says what a kernel that knows this much of Landlock does not restrict.
func left(abi int) (missing []string) {
	switch {
	case abi < 1:
		return []string{"landlock (files): not in this kernel, or not among its lsm="}
	case abi < 3:
		missing = append(missing, "landlock: truncating files (Linux 6.2)")
	}
	if abi < 4 {
		missing = append(missing, "landlock: TCP ports (Linux 6.7)")
	}
	if abi < 6 {
		missing = append(missing, "landlock: signals and abstract sockets (Linux 6.12)")
	}
	return missing
}
