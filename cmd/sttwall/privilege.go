package main

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/spf13/pflag"
	"golang.org/x/sys/unix"

	"sttwall/internal/privilege"
)

// rightsFlags are the flags of `run` that are about whose rights it has, and which.
type rightsFlags struct {
	user    string
	sandbox string
	read    []string

	reads []string // what a later rules file may name, once that is bounded
}

func (f *rightsFlags) add(flags *pflag.FlagSet) {
	flags.StringVar(&f.user, "user", "", "go on as this `user`, by name or number, when started as root; \"\" is who starts it")
	flags.StringVar(&f.sandbox, "sandbox", privilege.Auto.String(), "once started, reach no files but those named here (Landlock), and make no\nsystem calls but the usual ones (seccomp): auto (as far as the kernel can),\nrequired, files (Landlock alone), off")
	flags.StringArrayVar(&f.read, "allow-read", nil, "let later rules files have addresses_from under this `folder` too.\nCan be given again")
}

// become makes the process another user's, if one is named, before it opens anything.
func (f *rightsFlags) become(socket, state string) error {
	if _, err := privilege.ParseSandbox(f.sandbox); err != nil {
		return usageError{fmt.Errorf("--sandbox=%w", err)}
	}
	if f.user == "" {
		return privilege.Reserve()
	}
	account, err := privilege.LookUp(f.user)
	if err != nil {
		return fmt.Errorf("--user: %w", err)
	}
	if account.UID != os.Geteuid() {
		for path, mode := range map[string]os.FileMode{socket: 0o755, state: 0o700} {
			if path == "" {
				continue
			}
			if err := privilege.Folder(filepath.Dir(path), mode, account); err != nil {
				return fmt.Errorf("--user %s: %w", f.user, err)
			}
		}
	}
	if err := privilege.Become(account); err != nil {
		return fmt.Errorf("--user: %w", err)
	}
	return nil
}

// confine gives up what a firewall that runs does not need, and says what holds. read
// are the files that the rules were read from.
func (f *rightsFlags) confine(c *runConfig, read []string, place inPlaceFlags) error {
	sandbox, err := privilege.ParseSandbox(f.sandbox)
	if err != nil {
		return err
	}
	keep := privilege.Config{Keep: []privilege.Capability{privilege.NetAdmin}, Sandbox: sandbox, Abstract: notifiesAbstract()}
	// Counters of the process and of the queues. Not its own folder alone: that is
	// another one to Landlock whenever the kernel has forgotten it in between.
	keep.Read = append(keep.Read, "/proc", "/etc/localtime", "/usr/share/zoneinfo")
	shared := len(keep.Read)
	for _, path := range f.read {
		if info, err := os.Stat(path); err != nil {
			return fmt.Errorf("--allow-read: %w", err)
		} else if !info.IsDir() {
			return fmt.Errorf("--allow-read %s: want a folder", path)
		}
		keep.Read = append(keep.Read, path)
	}
	for _, path := range read {
		keep.Readable = append(keep.Readable, path)
		keep.Read = append(keep.Read, filepath.Dir(path))
		if there, err := filepath.EvalSymlinks(path); err == nil {
			keep.Read = append(keep.Read, filepath.Dir(there))
		}
	}
	rules := slices.Clone(keep.Read[shared:])
	if err := f.written(c, place, &keep); err != nil {
		return err
	}
	if place.on {
		// What is exported from the screen is written where the program was started.
		keep.Write = append(keep.Write, ".")
		keep.Read = append(keep.Read, "/usr/share/terminfo", "/usr/lib/terminfo", "/lib/terminfo", "/etc/terminfo")
		if home, err := os.UserHomeDir(); err == nil {
			keep.Read = append(keep.Read, filepath.Join(home, ".terminfo"))
		}
		keep.Terminals = append(keep.Terminals, "/dev/tty")
	}
	held, err := privilege.Confine(keep)
	if err != nil {
		return err
	}
	if held.Landlock > 0 {
		f.reads = slices.Compact(slices.Sorted(slices.Values(rules)))
	}
	c.rights = held.String()
	c.log.Info("rights are given up", "left", c.rights)
	for _, what := range held.Missing {
		c.log.Warn("the sandbox is not whole: the kernel cannot restrict all of it", "what", what)
	}
	for _, what := range held.Closed {
		c.log.Warn("a log will not be opened again", "why", what)
	}
	if len(held.Foreign) > 0 {
		c.log.Warn("CAP_DAC_OVERRIDE is kept: files are somebody else's, and could not be opened again without it; give them to the user that the firewall runs as, or to a group of its",
			"files", strings.Join(held.Foreign, " "))
	}
	return nil
}

// written adds what is written once the firewall runs: sockets are removed at the end,
// state is written beside itself, captures are moved; logs are opened anew, and made
// where somebody has moved them.
func (f *rightsFlags) written(c *runConfig, place inPlaceFlags, keep *privilege.Config) error {
	folders, files := []string{c.socket, c.state, c.drops.file}, []string{place.log}
	if c.over != nil {
		folders = append(folders, c.over.file)
	}
	if strings.Contains(c.metrics.address, "/") {
		folders = append(folders, c.metrics.address)
	}
	if c.events != nil {
		for _, target := range c.events.Targets {
			files = append(files, target.Path())
		}
	}
	for _, path := range folders {
		if path == "" {
			continue
		}
		folder := filepath.Dir(path)
		if err := os.MkdirAll(folder, 0o700); err != nil { // that of the state is not there yet
			return err
		}
		keep.Write, keep.Writable = append(keep.Write, folder), append(keep.Writable, folder)
	}
	for _, path := range files {
		if path == "" {
			continue
		}
		folder := filepath.Dir(path)
		keep.Write = append(keep.Write, folder)
		if _, err := os.Stat(path); err != nil {
			path = folder // the file is made there
		}
		keep.Wanted = append(keep.Wanted, path)
	}
	return nil
}

// explain adds to what is said of a rules file that does not load what it may read. The
// kernel's word for a file that it may not is the one for a file with another mode.
func (f *rightsFlags) explain(said string, err error) string {
	if err == nil || !strings.Contains(strings.Join(strings.Fields(said), " "), unix.EACCES.Error()) {
		return said
	}
	if f.reads == nil {
		if f.user == "" {
			return said
		}
		return said + "It is read as user " + f.user + ", whom --user names: chgrp the file to a group of that user, with mode 0640.\n"
	}
	return said + "The firewall can read files under these folders alone: " + strings.Join(f.reads, ", ") +
		". Start it with --allow-read FOLDER for others.\n"
}
