package main

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"

	"github.com/google/nftables"

	"golang.org/x/sys/unix"

	"sttwall/internal/lab"
	"sttwall/nfq"
)

// scenario installs, upgrades, removes and purges.
type scenario struct {
	task
	lab     *lab.Lab
	manager *manager
	typed   []string // of the page
	say     func(format string, args ...any)
}

// packages are those of one package manager.
type packages struct {
	name                     string
	install, upgrade, remove func() error
	purge                    func() error // nil: there is no such thing
}

func (s *scenario) packages() []packages {
	rpm := []string{"rpm", "--root", s.Root, "--force-debian", "--nodeps", "--nosignature"}
	with := func(more ...string) func() error {
		return func() error { return s.call(append(slices.Clone(rpm), more...)) }
	}
	page := func(beginning, folder string) func() error {
		return func() error {
			_, err := s.types(beginning, folder)
			return err
		}
	}
	return []packages{
		{"deb", page("apt install", oldFolder), page("apt install", newFolder), page("apt remove", "/"), page("apt purge", "/")},
		// From outside: there is no rpm in there.
		{"rpm", with("-i", s.OldRPM), with("-U", s.NewRPM), with("-e", "sttwall"), nil},
	}
}

// Folders of the root with a deb each.
const oldFolder, newFolder = "/packages/old", "/packages/new"

// port is where transfers go to.
const port = 5201

func (s *scenario) prepare() (err error) {
	// Of this process's own: the lab's child has a mount namespace.
	if err := unix.Mount("proc", s.Root+"/proc", "proc", 0, ""); err != nil {
		return fmt.Errorf("proc: %w", err)
	}
	for folder, deb := range map[string]string{oldFolder: s.OldDeb, newFolder: s.NewDeb} {
		if err := os.MkdirAll(s.Root+folder, 0o755); err != nil {
			return err
		}
		text, err := os.ReadFile(deb)
		if err == nil {
			err = os.WriteFile(filepath.Join(s.Root+folder, filepath.Base(deb)), text, 0o644)
		}
		if err != nil {
			return err
		}
	}
	if s.manager, err = newManager(s.Root); err != nil {
		return err
	}
	return receive(s.lab, port)
}

// call runs a package manager.
func (s *scenario) call(args []string) error {
	cmd := exec.Command(args[0], args[1:]...)
	cmd.Env = []string{"PATH=/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin", "DEBIAN_FRONTEND=noninteractive", "LC_ALL=C", "HOME=/"}
	if out, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("%v: %w\n%s", args, err, out)
	}
	return nil
}

// inRoot runs a program in the root, in a folder of that.
func (s *scenario) inRoot(folder string, args ...string) (string, error) {
	cmd := &exec.Cmd{
		Path: args[0], Args: args, Dir: folder, Env: []string{"PATH=/usr/sbin:/usr/bin:/sbin:/bin", "DEBIAN_FRONTEND=noninteractive", "LC_ALL=C", "HOME=/"},
		SysProcAttr: &syscall.SysProcAttr{Chroot: s.Root}, Stdin: strings.NewReader("y\n"),
	}
	out, err := cmd.CombinedOutput()
	if err != nil {
		err = fmt.Errorf("%q: %w\n%s", args, err, out)
	}
	return string(out), err
}

// table reports whether the firewall's table is there.
func table() (bool, error) {
	tables, err := new(nftables.Conn).ListTablesOfFamily(nftables.TableFamilyINet)
	return slices.ContainsFunc(tables, func(t *nftables.Table) bool { return t.Name == nfq.TableName }), err
}

// operators is a file that no package knows.
const operators = "/etc/sttwall/mine.txt"

func (s *scenario) run(p packages, withSystemd bool) error {
	if err := s.manager.boot(withSystemd); err != nil {
		return err
	}
	before, err := treeOf(s.Root)
	if err != nil {
		return err
	}
	if err := p.install(); err != nil {
		return err
	}
	if !withSystemd {
		if s.manager.running() {
			return errors.New("without systemd it was started")
		}
		if err := s.manager.start(); err != nil {
			return err
		}
	}
	if !s.manager.running() {
		return fmt.Errorf("it was not started: systemctl was called with %q", s.manager.asked)
	}
	if err := s.watches(); err != nil {
		return err
	}
	s.say("%s, systemd %v: installed; the service is ready, and only watches", p.name, withSystemd)
	if withSystemd {
		if err := s.upgraded(p); err != nil {
			return err
		}
		s.say("%s: upgraded to %s; a connection went on", p.name, s.NewVersion)
		if err := s.reloadsAndRotates(); err != nil {
			return err
		}
		s.say("%s: reloaded; the event log was rotated, and goes on", p.name)
		if err := s.outOfTheWay(); err != nil {
			return err
		}
		s.say("%s: stopped and out of the way at once; started again", p.name)
		if err := s.comesAgain(p); err != nil {
			return err
		}
		s.say("%s: removed and installed again; it runs", p.name)
	}
	if err := os.WriteFile(s.Root+operators, []byte("the operator's\n"), 0o600); err != nil {
		return err
	}
	if err := s.removed(p, before); err != nil {
		return err
	}
	return os.RemoveAll(s.Root + "/etc/sttwall")
}

// watches looks whether the running firewall lets all pass, and counts it.
func (s *scenario) watches() error {
	if there, err := table(); err != nil || !there {
		return fmt.Errorf("the table is not there: %v", err)
	}
	t, err := begin(s.lab, port)
	if err != nil {
		return err
	}
	if err := errors.Join(t.moves(1<<20), t.finish()); err != nil {
		return err
	}
	seen, err := s.types("sttwall flows --audit", "/")
	if err != nil {
		return err
	}
	if _, err := s.types("sttwall stats", "/"); err != nil {
		return err
	}
	if _, err := s.types("sttwall suggest --running", "/tmp"); err != nil {
		return err
	}
	if rules, err := os.ReadFile(s.Root + "/tmp/rules.new.hcl"); err != nil || !strings.Contains(string(rules), "tcp") {
		return fmt.Errorf("no rule is suggested for it: %v\n%s", err, rules)
	}
	if !strings.Contains(seen, "5201") || !strings.Contains(seen, "tenant_default") {
		return fmt.Errorf("it has not noted what it let pass:\n%s", seen)
	}
	for path, want := range map[string]string{
		"/etc/sttwall": "drwxr-x---", "/usr/sbin/sttwall": "-rwxr-xr-x", "/usr/share/man/man8/sttwall-run.8.gz": "-rw-r--r--",
		"/usr/share/bash-completion/completions/sttwall": "-rw-r--r--", "/usr/lib/systemd/system/sttwall-boot.service": "-rw-r--r--",
		"/usr/share/doc/sttwall/docs/rules.md": "-rw-r--r--", "/var/log/sttwall": "drwxr-x---", "/var/log/sttwall/eve.json": "-rw-r-----",
	} {
		info, err := os.Stat(s.Root + path)
		if err != nil {
			return err
		}
		if info.Mode().String() != want {
			return fmt.Errorf("%s: %v, want %s", path, info.Mode(), want)
		}
	}
	return nil
}

// upgraded upgrades while a connection sends.
func (s *scenario) upgraded(p packages) error {
	t, err := begin(s.lab, port)
	if err != nil {
		return err
	}
	if err := t.moves(1 << 20); err != nil {
		return err
	}
	was := s.manager.cmd.Process.Pid
	if err := p.upgrade(); err != nil {
		return err
	}
	if !s.manager.running() || s.manager.cmd.Process.Pid == was {
		return fmt.Errorf("the upgrade has not restarted it: systemctl was called with %q", s.manager.asked)
	}
	if err := errors.Join(t.moves(1<<20), t.finish()); err != nil {
		return fmt.Errorf("over the upgrade: %w", err)
	}
	if !strings.Contains(s.manager.log(), "of the instance before are taken over") {
		return errors.New("nothing was handed over")
	}
	return nil
}

// comesAgain removes it, and installs it where its configuration has stayed.
func (s *scenario) comesAgain(p packages) error {
	if err := errors.Join(p.remove(), s.manager.waitEnd()); err != nil {
		return err
	}
	if err := p.upgrade(); err != nil {
		return err
	}
	if !s.manager.running() {
		return fmt.Errorf("installed again, it was not started: systemctl was called with %q", s.manager.asked)
	}
	return s.watches()
}

// reloadsAndRotates has the unit reload the rules, and logrotate move the event log away.
func (s *scenario) reloadsAndRotates() error {
	rules := s.Root + "/etc/sttwall/rules.hcl"
	good, err := os.ReadFile(rules)
	if err != nil {
		return err
	}
	reload := func() error {
		_, err := s.types("systemctl reload", "/")
		return err
	}
	if err := reload(); err != nil {
		return fmt.Errorf("the unit's reload: %w", err)
	}
	if err := os.WriteFile(rules, []byte("tenant {"), 0o644); err != nil {
		return err
	}
	if err := reload(); err == nil || !strings.Contains(err.Error(), "rules.hcl:1,") {
		return fmt.Errorf("a reload of broken rules says: %v", err)
	}
	if err := os.WriteFile(rules, good, 0o644); err != nil {
		return err
	}
	if _, err := s.inRoot("/", "/usr/sbin/logrotate", "--force", "--state", "/tmp/logrotate.state", "/etc/logrotate.d/sttwall"); err != nil {
		return err
	}
	log := s.Root + "/var/log/sttwall/eve.json"
	old, err := os.Stat(log + ".1")
	if err != nil || old.Size() == 0 {
		return fmt.Errorf("the old log: %v", err)
	}
	if _, err := os.Stat(log); err != nil {
		return fmt.Errorf("the log was not opened anew: %w", err)
	}
	return nil
}

// outOfTheWay ends it as the page says, so that no packet meets it, and starts it again.
func (s *scenario) outOfTheWay() error {
	if _, err := s.types("systemctl stop sttwall && ", "/"); err != nil {
		return err
	}
	if there, err := table(); err != nil || there || s.manager.running() {
		return fmt.Errorf("it is not out of the way: table %v, it runs: %v, %v", there, s.manager.running(), err)
	}
	t, err := begin(s.lab, port)
	if err != nil {
		return err
	}
	if err := errors.Join(t.moves(1<<20), t.finish()); err != nil {
		return err
	}
	return s.manager.start()
}

// removed removes and purges, and looks at what is left.
func (s *scenario) removed(p packages, before map[string]string) error {
	if err := p.remove(); err != nil {
		return err
	}
	if s.manager.running() {
		return errors.New("it runs without its package")
	}
	if err := s.manager.waitEnd(); err != nil {
		return err
	}
	if there, err := table(); err != nil || there {
		return fmt.Errorf("the table is still there, and would drop: %v", err)
	}
	t, err := begin(s.lab, port)
	if err != nil {
		return fmt.Errorf("after the removal: %w", err)
	}
	if err := errors.Join(t.moves(1<<20), t.finish()); err != nil {
		return fmt.Errorf("after the removal: %w", err)
	}
	after, err := treeOf(s.Root)
	if err != nil {
		return err
	}
	if p.purge == nil {
		withoutEmpty(before, after)
	}
	// Configuration, state, logs and the user stay until it is purged.
	mayStay := []string{"/etc/sttwall", "/etc/default/sttwall", "/etc/logrotate.d/sttwall", "/var/lib/sttwall", "/var/log/sttwall",
		"/etc/passwd", "/etc/group", "/etc/shadow", "/etc/gshadow", "/etc/systemd"}
	if left := slices.DeleteFunc(differences(before, after), func(d string) bool {
		return slices.ContainsFunc(mayStay, func(m string) bool { _, is, _ := strings.Cut(d, ": "); return strings.HasPrefix(is, m) })
	}); len(left) > 0 {
		return fmt.Errorf("left behind by the removal: %q", left)
	}
	s.say("%s: removed; the table is gone, traffic passes", p.name)
	if p.purge == nil {
		return s.sweep(before)
	}
	if err := p.purge(); err != nil {
		return err
	}
	if after, err = treeOf(s.Root); err != nil {
		return err
	}
	left := slices.DeleteFunc(differences(before, after), func(d string) bool {
		_, is, _ := strings.Cut(d, ": ")
		return is == operators || is == filepath.Dir(operators)
	})
	if len(left) > 0 {
		return fmt.Errorf("not as it was after the purge: %q", left)
	}
	if text, err := os.ReadFile(s.Root + operators); err != nil || string(text) != "the operator's\n" {
		return fmt.Errorf("what the operator wrote is gone: %v", err)
	}
	s.say("%s: purged; the root is as it was, and what the operator wrote is there", p.name)
	return nil
}

// sweep takes away what a removal may leave where nothing purges, and looks whether that
// was all.
func (s *scenario) sweep(before map[string]string) error {
	if _, err := s.types("userdel", "/"); err != nil {
		return err
	}
	after, err := treeOf(s.Root)
	if err != nil {
		return err
	}
	withoutEmpty(before, after)
	if left := differences(before, after); len(left) > 0 {
		return fmt.Errorf("left behind by the removal: %q", left)
	}
	return nil
}
