package privilege

import (
	"errors"
	"fmt"
	"os"
	"slices"
	"strings"

	"golang.org/x/sys/unix"
	"kernel.org/pub/linux/libs/security/libcap/cap"
)

// Sandbox says what becomes of Landlock and seccomp.
type Sandbox uint8

const (
	// Auto uses what the kernel has.
	Auto Sandbox = iota
	// Required wants all of it.
	Required
	// Files uses Landlock alone, as far as the kernel has it: a filter costs something at
	// each system call.
	Files
	// Off uses neither.
	Off
)

var sandboxes = [...]string{Auto: "auto", Required: "required", Files: "files", Off: "off"}

func (s Sandbox) String() string { return sandboxes[s] }

// ParseSandbox reads what String returns.
func ParseSandbox(text string) (Sandbox, error) {
	for s, name := range sandboxes {
		if text == name {
			return Sandbox(s), nil
		}
	}
	return Auto, fmt.Errorf("%.40q: want %s", text, strings.Join(sandboxes[:], ", "))
}

// Config is what a process keeps.
type Config struct {
	// Keep are the capabilities that stay, of those that there are.
	Keep []Capability
	// Sandbox is about the files below and about system calls.
	Sandbox Sandbox
	// Read are files and folders, with all that is in them, that are read. Write are
	// such that are written: files are made, renamed and removed there too. Terminals
	// are such whose settings are changed. What is not there is left out.
	Read, Write, Terminals []string
	// Abstract lets other processes' abstract sockets (unix(7)) be reached.
	Abstract bool
	// Readable and Writable are what has to be so at the end: files that are read, and
	// files or folders that are written. Where only [Override] makes it so, that stays.
	// Wanted is likewise written, but is no condition.
	Readable, Writable, Wanted []string
}

// Held is what holds for all threads of a process.
type Held struct {
	UID          int
	Capabilities []Capability // in force; all others are given up
	Bounded      bool         // the bounding set is empty
	NoNewPrivs   bool
	Landlock     int // ABI by which files are restricted; 0: they are not
	Seccomp      bool
	// Missing is what was wanted, and is not to be had from this kernel.
	Missing []string
	// Closed says which of Config.Wanted cannot be written, and why.
	Closed []string
	// Foreign are files for which [Override] was kept: they are somebody else's.
	Foreign []string
}

// String says it in a line.
func (h Held) String() string {
	var b strings.Builder
	fmt.Fprintf(&b, "uid %d, ", h.UID)
	if len(h.Capabilities) == 0 {
		b.WriteString("no capabilities")
	}
	for i, c := range h.Capabilities {
		if i > 0 {
			b.WriteByte('+')
		}
		b.WriteString(c.String())
	}
	if h.NoNewPrivs {
		b.WriteString(", no_new_privs")
	}
	if h.Landlock > 0 {
		fmt.Fprintf(&b, ", landlock ABI %d", h.Landlock)
	}
	if h.Seccomp {
		b.WriteString(", seccomp")
	}
	return b.String()
}

// Confine gives up for all threads, and for good, what c does not keep. After an error the
// process may have given up some of it; it is meant to end then.
func Confine(c Config) (h Held, err error) {
	h.UID = os.Geteuid()
	if h.Bounded, err = closeSets(); err != nil {
		return h, err
	}
	if err := c.keep(&h); err != nil {
		return h, err
	}
	if _, err := cap.Prctlw(unix.PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0); err != nil {
		return h, fmt.Errorf("no_new_privs: %w", err)
	}
	h.NoNewPrivs = true
	if c.Sandbox == Off {
		return h, nil
	}
	abi := landlockABI()
	if h.Missing = left(abi); len(h.Missing) > 0 && c.Sandbox == Required {
		return h, fmt.Errorf("the sandbox is required, and this kernel has no %s", strings.Join(h.Missing, "; no "))
	}
	if abi > 0 {
		if err := restrictFiles(&c); err != nil {
			return h, err
		}
		h.Landlock = abi
	}
	if c.Sandbox == Files {
		return h, nil
	}
	switch err := restrictCalls(); {
	case err == nil:
		h.Seccomp = true
	case c.Sandbox == Required:
		return h, fmt.Errorf("the sandbox is required: %w", err)
	default:
		h.Missing = append(h.Missing, err.Error())
	}
	return h, nil
}

// keep gives up all capabilities but those to keep, and [Override] where that is all that
// opens a file which has to be open to the process.
func (c *Config) keep(h *Held) error {
	kept, err := permitted(c.Keep...)
	if err != nil {
		return err
	}
	spare, err := permitted(Override)
	if err != nil {
		return err
	}
	all := slices.Concat(kept, spare)
	if err := setCapabilities(all, kept); err != nil {
		return err
	}
	left := c.closed()
	if len(left) > 0 && len(spare) > 0 {
		if err := setCapabilities(all, all); err != nil {
			return err
		}
		still := c.closed()
		for _, f := range left {
			if !slices.ContainsFunc(still, func(s closedFile) bool { return s.path == f.path }) {
				if !slices.Contains(h.Foreign, f.path) {
					h.Foreign = append(h.Foreign, f.path)
				}
			}
		}
		if left = still; len(h.Foreign) > 0 {
			kept = all
		}
	}
	var needed []error
	for _, f := range left {
		if f.wanted {
			h.Closed = append(h.Closed, f.err.Error())
		} else {
			needed = append(needed, f.err)
		}
	}
	if len(needed) > 0 {
		return fmt.Errorf("user ID %d, as which the firewall goes on, cannot use what it has to: %w", os.Geteuid(), errors.Join(needed...))
	}
	h.Capabilities = kept
	return setCapabilities(kept, kept)
}

// closedFile is a file or folder that the process cannot use as it has to.
type closedFile struct {
	path   string
	wanted bool // and no more than that
	err    error
}

// closed returns what is not open to the process as it is now.
func (c *Config) closed() (list []closedFile) {
	for _, group := range []struct {
		paths  []string
		mode   uint32
		what   string
		wanted bool
	}{{c.Readable, unix.R_OK, "read", false}, {c.Writable, unix.W_OK, "write", false}, {c.Wanted, unix.W_OK, "write", true}} {
		for _, path := range group.paths {
			mode := group.mode
			if info, err := os.Stat(path); err == nil && info.IsDir() {
				mode |= unix.X_OK
			}
			if err := unix.Faccessat(unix.AT_FDCWD, path, mode, unix.AT_EACCESS); err != nil {
				list = append(list, closedFile{path, group.wanted, fmt.Errorf("%s %s: %w", group.what, path, err)})
			}
		}
	}
	return list
}
