package main

import (
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"sttwall/control"
	"sttwall/internal/lab"
)

// rightsRules reject, and are about this host alone: only then is a reject answered.
const rightsRules = `settings {
  endpoints = ["127.0.0.0/8", "10.9.0.0/16 on nosuch0"]
}
tenant "acme" {
  context_ids = [100]
  rule "no-telnet" {
    action   = "reject"
    services = ["tcp/23"]
  }
  rule "web" {
    action   = "accept"
    services = ["tcp/443"]
  }
}
`

// threadsOf returns what the kernel says of each thread of a process, by name.
func threadsOf(t *testing.T, pid int) (threads []map[string]string) {
	t.Helper()
	paths, err := filepath.Glob(fmt.Sprintf("/proc/%d/task/*/status", pid))
	if err != nil || len(paths) == 0 {
		t.Fatal(paths, err)
	}
	for _, path := range paths {
		text, err := os.ReadFile(path)
		if errors.Is(err, os.ErrNotExist) || errors.Is(err, unix.ESRCH) {
			continue // it has ended
		}
		if err != nil {
			t.Fatal(err)
		}
		thread := map[string]string{}
		for line := range strings.Lines(string(text)) {
			name, value, _ := strings.Cut(line, ":")
			thread[name] = strings.TrimSpace(value)
		}
		threads = append(threads, thread)
	}
	return threads
}

// wantThreads has all threads of a process be as they should, which changes with time
// for none of them.
func wantThreads(t *testing.T, pid int, want map[string]string) {
	t.Helper()
	threads := threadsOf(t, pid)
	for _, thread := range threads {
		for name, value := range want {
			if thread[name] != value {
				t.Errorf("thread %s of %d has %s %q, want %q", thread["Pid"], len(threads), name, thread[name], value)
			}
		}
	}
}

const (
	noCapabilities = "0000000000000000"
	netAdminAlone  = "0000000000001000" // bit 12, capability.h
)

// waitTotals waits until what a firewall has counted is as it should be.
func waitTotals(t *testing.T, socket string, what string, is func(control.Totals) bool) {
	t.Helper()
	c, err := control.Dial(socket)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	var s control.Status
	for deadline := time.Now().Add(sayPatience); time.Now().Before(deadline); time.Sleep(10 * time.Millisecond) {
		if s, err = c.Status(t.Context()); err != nil {
			t.Fatal(err)
		}
		if is(s.Totals) {
			return
		}
	}
	_, drops, _ := sttwall("drops", "--control", socket)
	t.Fatalf("not %s: %+v\n%s", what, s.Totals, drops)
}

// worksConfined has a firewall do all that one does once it runs; dir is where it writes.
func worksConfined(t *testing.T, w *wire, fw *running, dir, rules string) {
	t.Helper()
	// A frame passes, and one is rejected: the answer comes by as a third.
	w.send(t, 100, "tcp 10.0.0.1:40000 > 10.0.0.2:443 syn", 1)
	w.send(t, 100, "tcp 10.0.0.1:40000 > 10.0.0.2:23 syn", 1)
	waitTotals(t, fw.socket, "a frame that passes, and an answer", func(n control.Totals) bool {
		return n.FramesAccepted >= 1 && n.RejectsSent == 1 && n.Packets >= 3
	})
	ask := func(args ...string) {
		t.Helper()
		if status, out, stderr := sttwall(append(args, "--control", fw.socket)...); status != statusFine {
			t.Errorf("%v: status %d\n%s%s", args, status, out, stderr)
		}
	}
	ask("block", "tenant:acme udp any > any", "--for", "1h")
	ask("reload")
	// Other endpoints: the table is made anew.
	if err := os.WriteFile(rules, []byte(strings.Replace(rightsRules, "127.0.0.0/8", "127.0.0.0/9", 1)), 0o644); err != nil {
		t.Fatal(err)
	}
	if err := os.Rename(filepath.Join(dir, "eve.json"), filepath.Join(dir, "eve.json.1")); err != nil && !errors.Is(err, os.ErrNotExist) { // or it is not there yet
		t.Fatal(err)
	}
	if err := fw.cmd.Process.Signal(unix.SIGHUP); err != nil {
		t.Fatal(err)
	}
	if err := fw.waitFor(2, "the rules are in force"); err != nil {
		t.Fatal(err)
	}
	w.send(t, 100, "tcp 10.0.0.1:40001 > 10.0.0.2:443 syn", 1)
	waitTotals(t, fw.socket, "a second frame that passes", func(n control.Totals) bool { return n.FramesAccepted >= 2 })
	ask("drops")
	uid, _, _ := strings.Cut(threadsOf(t, fw.cmd.Process.Pid)[0]["Uid"], "\t")
	rights := "\nrights: uid " + uid + ", cap_net_admin, no_new_privs, landlock ABI "
	if status, out, stderr := sttwall("stats", "--control", fw.socket); status != statusFine || !strings.Contains(out, rights) || !strings.Contains(out, ", seccomp\n") {
		t.Errorf("stats: status %d, and not %q\n%s%s", status, rights, out, stderr)
	}
	if status, body := measured(t, filepath.Join(dir, "metrics.sock"), "/metrics"); status != 200 || !strings.Contains(body, "\nprocess_open_fds ") ||
		!strings.Contains(body, "\nprocess_resident_memory_bytes ") || !strings.Contains(body, "\nsttwall_table_installed 1\n") {
		t.Errorf("status %d:\n%s", status, regexp.MustCompile(`(?m)^(process|sttwall_table)_.*`).FindAllString(body, -1))
	}
	status, said := fw.stop(t, unix.SIGTERM)
	// In a user namespace there is no guard, which is said at the start.
	said = strings.ReplaceAll(said, "BPF is not permitted", "")
	if status != statusFine || strings.Contains(said, "level=ERROR") || strings.Contains(said, "permitted") || strings.Contains(said, "denied") {
		t.Errorf("status %d\n%s", status, said)
	}
	if !strings.Contains(fw.begun, "interface=nosuch0") {
		t.Errorf("an interface that does not exist is not said:\n%s", fw.begun)
	}
	for _, name := range []string{"eve.json", "drops.pcapng", "temporary.json", "handover"} {
		if info, err := os.Stat(filepath.Join(dir, name)); err != nil || info.Size() == 0 {
			t.Errorf("%s was not written: %v", name, err)
		}
	}
	for _, name := range []string{fw.socket, filepath.Join(dir, "metrics.sock")} {
		if _, err := os.Stat(name); !errors.Is(err, os.ErrNotExist) {
			t.Errorf("%s is still there: %v", name, err)
		}
	}
}

// knowsQueues wants what the kernel shows to root alone: that was opened at the start.
func knowsQueues(t *testing.T, socket string) {
	t.Helper()
	c, err := control.Dial(socket)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	health, err := c.Health(t.Context())
	if err != nil || len(health.Queues) != 2 || health.Queues[0].Waiting < 0 {
		t.Errorf("%+v: %v", health.Queues, err)
	}
}

// confinedArgs are for a firewall that does all that one does.
func confinedArgs(dir string) []string {
	return []string{
		"--queues", "2", "--event-log", filepath.Join(dir, "eve.json"), "--drop-capture", filepath.Join(dir, "drops.pcapng"),
		"--state", filepath.Join(dir, "temporary.json"), "--metrics", filepath.Join(dir, "metrics.sock"),
		"--handover", filepath.Join(dir, "handover"),
	}
}

func TestARunningFirewallHasGivenUpItsRights(t *testing.T) {
	if !lab.Inside(t) {
		return
	}
	w, dir := newWire(t), t.TempDir()
	rules := rulesFile(t, rightsRules)
	fw := startRules(t, rules, append(confinedArgs(dir), "--sandbox=required")...)
	want := map[string]string{
		"CapInh": noCapabilities, "CapPrm": netAdminAlone, "CapEff": netAdminAlone, "CapBnd": noCapabilities, "CapAmb": noCapabilities,
		"NoNewPrivs": "1", "Seccomp": "2",
	}
	wantThreads(t, fw.cmd.Process.Pid, want)
	worksConfined(t, w, fw, dir, rules)
	for _, driver := range []string{"fast", "go-nfqueue"} {
		fw = startRules(t, rules, "--driver", driver, "--queues", "2")
		w.send(t, 100, "tcp 10.0.0.1:40000 > 10.0.0.2:443 syn", 1)
		waitTotals(t, fw.socket, "a frame that passes", func(n control.Totals) bool { return n.FramesAccepted == 1 })
		wantThreads(t, fw.cmd.Process.Pid, want)
		if status, said := fw.stop(t, unix.SIGTERM); status != statusFine {
			t.Errorf("%s: status %d\n%s", driver, status, said)
		}
	}
	for sandbox, says := range map[string]string{"files": "no_new_privs, landlock ABI ", "off": "no_new_privs\n"} {
		fw = startRules(t, rules, "--sandbox", sandbox, "--queues", "1")
		want["Seccomp"] = "0"
		wantThreads(t, fw.cmd.Process.Pid, want)
		if _, out, _ := sttwall("stats", "--control", fw.socket); !strings.Contains(out, says) || strings.Contains(out, "seccomp") {
			t.Errorf("--sandbox=%s: stats do not say %q:\n%s", sandbox, says, out)
		}
		fw.stop(t, unix.SIGTERM)
	}
	if status, _, stderr := sttwall("run", "--rules", rules, "--sandbox=on"); status != statusUsage || !strings.Contains(stderr, `--sandbox="on": want auto, required, files, off`) {
		t.Errorf("status %d, %s", status, stderr)
	}
}

// Another user's: it takes root, and more than one user in the namespace.
func TestAFirewallGoesOnAsAnotherUser(t *testing.T) {
	if os.Getuid() != 0 {
		t.Skip("it takes root to become somebody else")
	}
	if !lab.Inside(t) {
		return
	}
	const nobody = 65534
	w := newWire(t)
	// Folders of the test are root's alone.
	top, err := os.MkdirTemp("", "sttwall")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(top) })
	rules, dir := filepath.Join(top, "rules.hcl"), filepath.Join(top, "own")
	if err := errors.Join(os.Chmod(top, 0o755), os.WriteFile(rules, []byte(rightsRules), 0o644), os.Mkdir(dir, 0o700), os.Chown(dir, nobody, nobody)); err != nil {
		t.Fatal(err)
	}
	args := append(confinedArgs(dir), "--user", fmt.Sprint(nobody), "--control", filepath.Join(top, "made", "control.sock"))
	fw := startRules(t, rules, args...)
	fw.socket = filepath.Join(top, "made", "control.sock")
	wantThreads(t, fw.cmd.Process.Pid, map[string]string{
		"Uid": "65534\t65534\t65534\t65534", "Gid": "65534\t65534\t65534\t65534", "Groups": "",
		"CapInh": noCapabilities, "CapPrm": netAdminAlone, "CapEff": netAdminAlone, "CapBnd": noCapabilities, "CapAmb": noCapabilities,
		"NoNewPrivs": "1", "Seccomp": "2",
	})
	knowsQueues(t, fw.socket)
	worksConfined(t, w, fw, dir, rules)

	// Rules that it could not read again are told at the start, not at the first reload.
	if err := os.Chmod(rules, 0o600); err != nil {
		t.Fatal(err)
	}
	status, said := output(t, program(t, "plain", append([]string{"run", "--rules", rules}, args...)...))
	if status != statusRefused || !strings.Contains(said, "permission denied") || !strings.Contains(said, "read as user 65534") {
		t.Errorf("status %d\n%s", status, said)
	}
}

func TestFilesOfAddressesAreReadWhereTheyWereNamed(t *testing.T) {
	if !lab.Inside(t) {
		return
	}
	const group = "address_group %q {\n  addresses_from = %q\n}\n"
	list := func() string { // in a folder of its own
		path := filepath.Join(t.TempDir(), "list.txt")
		if err := os.WriteFile(path, []byte("192.0.2.1\n"), 0o644); err != nil {
			t.Fatal(err)
		}
		return path
	}
	first, second, third := list(), list(), list()
	text := rightsRules + fmt.Sprintf(group, "first", first)
	rules := rulesFile(t, text)
	fw := startRules(t, rules, "--queues", "1", "--sandbox=required", "--allow-read", filepath.Dir(second))
	defer fw.stop(t, unix.SIGTERM)
	reload := func(text string) (status int, stderr string) {
		t.Helper()
		if err := os.WriteFile(rules+".new", []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
		if err := os.Rename(rules+".new", rules); err != nil { // as editors do
			t.Fatal(err)
		}
		status, _, stderr = sttwall("reload", "--control", fw.socket)
		return status, stderr
	}
	if status, stderr := reload(text + fmt.Sprintf(group, "second", second)); status != statusFine {
		t.Errorf("status %d\n%s", status, stderr)
	}
	status, stderr := reload(text + fmt.Sprintf(group, "third", third))
	stderr = strings.Join(strings.Fields(stderr), " ") // it is broken into lines
	if status != statusRefused || !strings.Contains(stderr, "Address file not read") || !strings.Contains(stderr, "permission denied") || !strings.Contains(stderr, "--allow-read") {
		t.Errorf("status %d\n%s", status, stderr)
	}
}

func TestTheServiceManagerIsToldHowTheFirewallDoes(t *testing.T) {
	if !lab.Inside(t) {
		return
	}
	for _, name := range []string{filepath.Join(t.TempDir(), "notify"), "@sttwall-test-notify"} {
		manager, err := net.ListenUnixgram("unixgram", &net.UnixAddr{Name: name, Net: "unixgram"})
		if err != nil {
			t.Fatal(err)
		}
		defer manager.Close()
		if err := manager.SetReadDeadline(time.Now().Add(5 * sayPatience)); err != nil {
			t.Fatal(err)
		}
		// hear waits for a message with that in it.
		hear := func(want string) {
			t.Helper()
			buf := make([]byte, 4096)
			for {
				n, err := manager.Read(buf)
				if err != nil {
					t.Fatalf("%s: not told %q: %v", name, want, err)
				}
				if strings.Contains(string(buf[:n]), want) {
					return
				}
			}
		}
		rules := rulesFile(t, rightsRules)
		t.Setenv("NOTIFY_SOCKET", name)
		t.Setenv("WATCHDOG_USEC", "300000")
		fw := startRules(t, rules, "--queues", "2", "--sandbox=required")
		hear("READY=1\nSTATUS=runs: 1 tenant, 2 rules")
		hear("WATCHDOG=1")
		hear("WATCHDOG=1") // all workers have come around, though nothing comes in
		if err := fw.cmd.Process.Signal(unix.SIGHUP); err != nil {
			t.Fatal(err)
		}
		hear("RELOADING=1\nMONOTONIC_USEC=")
		hear("READY=1")
		if err := os.WriteFile(rules, []byte("tenant {"), 0o600); err != nil {
			t.Fatal(err)
		}
		if err := fw.cmd.Process.Signal(unix.SIGHUP); err != nil {
			t.Fatal(err)
		}
		hear("STATUS=runs with the rules from before")
		if err := fw.cmd.Process.Signal(unix.SIGTERM); err != nil {
			t.Fatal(err)
		}
		hear("STOPPING=1")
		for range fw.lines {
		}
		if err := fw.cmd.Wait(); err != nil {
			t.Error(err)
		}
	}
}

// The units are what systemd takes, and close as much as they can: their exposure, of 10,
// is 2.0 at most.
func TestTheUnitIsOneOfSystemds(t *testing.T) {
	analyze, err := exec.LookPath("systemd-analyze")
	if err != nil {
		if os.Getenv("CI") != "" {
			t.Fatal(err)
		}
		t.Skip("there is no systemd-analyze")
	}
	dir := t.TempDir()
	var paths []string
	for _, name := range []string{"sttwall.service", "sttwall-boot.service"} {
		unit := readme(t, "deploy/"+name)
		commands := regexp.MustCompile(`(?m)^Exec(?:Start|Reload)=(/usr/local/sbin/sttwall) (.*)$`).FindAllStringSubmatch(unit, -1)
		if commands == nil {
			t.Fatalf("%s starts something else", name)
		}
		for _, command := range commands {
			c, rest, err := newRootCommand(streams{}).Find(strings.Fields(command[2]))
			if err != nil {
				t.Fatal(err)
			}
			if err := c.ParseFlags(rest); err != nil {
				t.Errorf("%s: %v", name, err)
			}
		}
		// The program is not installed here.
		path := filepath.Join(dir, name)
		if err := os.WriteFile(path, []byte(strings.ReplaceAll(unit, commands[0][1], "/bin/true")), 0o644); err != nil {
			t.Fatal(err)
		}
		paths = append(paths, path)
		out, err := exec.Command(analyze, "security", "--offline=true", "--threshold=20", "--no-pager", path).CombinedOutput()
		if err != nil {
			t.Errorf("systemd-analyze security: %v\n%s", err, out)
		}
	}
	out, err := exec.Command(analyze, append([]string{"verify", "--man=no"}, paths...)...).CombinedOutput()
	if err != nil || len(out) > 0 {
		t.Errorf("systemd-analyze verify: %v\n%s", err, out)
	}
}

// As the unit has it: a user with the capabilities of the unit and no others.
func TestTheCapabilitiesOfTheUnitAreEnough(t *testing.T) {
	if os.Getuid() != 0 {
		t.Skip("it takes root to start something as somebody else")
	}
	if !lab.Inside(t) {
		return
	}
	const nobody = 65534
	line := regexp.MustCompile(`(?m)^AmbientCapabilities=(.*)$`).FindStringSubmatch(readme(t, "deploy/sttwall.service"))
	if line == nil {
		t.Fatal("the unit has no capabilities")
	}
	numbers := map[string]uintptr{"CAP_NET_ADMIN": unix.CAP_NET_ADMIN, "CAP_NET_RAW": unix.CAP_NET_RAW, "CAP_BPF": unix.CAP_BPF, "CAP_DAC_READ_SEARCH": unix.CAP_DAC_READ_SEARCH}
	var ambient []uintptr
	for _, name := range strings.Fields(line[1]) {
		n, known := numbers[name]
		if !known {
			t.Fatalf("the unit has %s", name)
		}
		ambient = append(ambient, n)
	}
	top, err := os.MkdirTemp("", "sttwall")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(top) })
	rules, exe := filepath.Join(top, "rules.hcl"), filepath.Join(top, "sttwall")
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	if err := errors.Join(os.Chown(top, nobody, nobody), os.WriteFile(rules, []byte(rightsRules), 0o644), os.Link(self, exe)); err != nil {
		// Another file system.
		if text, err := os.ReadFile(self); err != nil || os.WriteFile(exe, text, 0o755) != nil {
			t.Fatal(err)
		}
	}
	w := newWire(t)
	asInTheUnit := func(cmd *exec.Cmd) {
		cmd.Path = exe
		cmd.SysProcAttr.Credential = &syscall.Credential{Uid: nobody, Gid: nobody}
		cmd.SysProcAttr.AmbientCaps = ambient
	}
	// It reads what its user may, although it could read all.
	closed := filepath.Join(top, "closed.hcl")
	if err := os.WriteFile(closed, []byte(rightsRules), 0o600); err != nil {
		t.Fatal(err)
	}
	refused := program(t, "plain", "run", "--rules", closed, "--control", filepath.Join(top, "control.sock"), "--state", "", "--handover", "")
	asInTheUnit(refused)
	if status, said := output(t, refused); status != statusRefused || !strings.Contains(said, "permission denied") {
		t.Errorf("status %d\n%s", status, said)
	}
	fw := startAs(t, rules, asInTheUnit, filepath.Join(top, "control.sock"), confinedArgs(top)...)
	wantThreads(t, fw.cmd.Process.Pid, map[string]string{
		"Uid": "65534\t65534\t65534\t65534", "CapInh": noCapabilities, "CapPrm": netAdminAlone, "CapEff": netAdminAlone, "CapAmb": noCapabilities,
		"NoNewPrivs": "1", "Seccomp": "2",
	})
	knowsQueues(t, fw.socket)
	worksConfined(t, w, fw, top, rules)
}
