package main

import (
	"fmt"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"regexp"
	"strings"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"sttwall/internal/doctest"
)

// desk is where the commands of a page are typed: inside of the lab's child, with folders
// of its own in the places of a host that pages name, and with the program as sttwall.
type desk struct {
	t      *testing.T
	page   string
	folder string   // where one types
	before string   // what was typed for the next command of alone or asks
	lab    *liveLab // once a command has wanted it
}

// own is the desk's folder, in memory and gone with the child; temporaryOfDesk that for
// temporary files of commands that must leave none.
const (
	own             = "/mnt"
	temporaryOfDesk = own + "/tmp"
)

// rulesOfDocs is what pages call rules.hcl; captureOfDocs is their tunnel.pcap.
const (
	rulesOfDocs   = "rules.example.hcl"
	captureOfDocs = "testdata/pcaps/off-http.pcap"
)

func newDesk(t *testing.T, page string) *desk {
	t.Helper()
	// The lab's child ignores ^C, and what it starts would too.
	signal.Notify(make(chan os.Signal, 1), os.Interrupt)
	d := &desk{t: t, page: page, folder: filepath.Join(own, "here")}
	root, err := filepath.Abs("../..")
	d.must(err)
	d.must(doctest.Seal(root))
	d.must(unix.Mount("tmpfs", own, "tmpfs", 0, "mode=755"))
	etc, bin := filepath.Join(own, "etc"), filepath.Join(own, "bin")
	for _, folder := range []string{d.folder, etc, bin, temporaryOfDesk} {
		d.must(os.Mkdir(folder, 0o755))
	}
	entries, err := os.ReadDir(root)
	d.must(err)
	for _, e := range entries {
		d.must(os.Symlink(filepath.Join(root, e.Name()), filepath.Join(d.folder, e.Name())))
	}
	// What commands renew is a copy.
	d.must(os.Remove(filepath.Join(d.folder, "docs")))
	d.must(os.CopyFS(filepath.Join(d.folder, "docs"), os.DirFS(filepath.Join(root, "docs"))))
	const record = "docs/fuzzing.md" // has no row of package nfq yet
	d.writes(filepath.Join(d.folder, record), regexp.MustCompile(`(?m)^\| nfq\..*\n`).ReplaceAllString(readme(t, record), ""))
	rules := readme(t, rulesOfDocs)
	d.writes(filepath.Join(d.folder, "rules.hcl"), rules)
	d.writes(filepath.Join(d.folder, "rules.new.hcl"), strings.Replace(rules, `"tcp/9000-9009"`, `"tcp/9000-9005"`, 1))
	d.writes(filepath.Join(d.folder, "tunnel.pcap"), readme(t, captureOfDocs))

	// Copies, so that nothing that happens to them happens to the host's. Others than root
	// may not read all of it.
	exec.Command("cp", "-a", "/etc/.", etc).Run()
	d.must(unix.Mount(etc, "/etc", "", unix.MS_BIND, ""))
	for _, folder := range []string{"/run", "/var/log", "/var/lib", "/usr/local/sbin"} {
		d.must(unix.Mount("tmpfs", folder, "tmpfs", 0, "mode=755"))
	}
	for _, folder := range []string{"/etc/sttwall", "/var/log/sttwall", "/var/lib/sttwall", "/run/netns"} {
		d.must(os.MkdirAll(folder, 0o755))
	}
	d.writes("/etc/sttwall/rules.hcl", rules)
	d.writes("/var/log/sttwall/eve.json", d.loggedDrops())
	// A fence that begins with the name of a file is that file.
	for _, fence := range regexp.MustCompile("(?s)```[a-z]+\n# (/etc/sttwall/\\S+)\n(.*?)```").FindAllStringSubmatch(readme(t, page), -1) {
		d.writes(fence[1], fence[2])
	}

	gid := 4711
	if !ofTheMachine() {
		gid = 0 // there is no other
	}
	groups, err := os.ReadFile("/etc/group")
	d.must(err)
	d.writes("/etc/group", fmt.Sprintf("%snetops:x:%d:\n", groups, gid))

	exe, err := os.Executable()
	d.must(err)
	compiler, _ := exec.LookPath("go") // a command that wants it fails where there is none
	d.standsIn(bin)
	d.must(os.Setenv("ROOT", root))
	d.must(os.Setenv("PROGRAM", exe))
	d.must(os.Setenv("GO", compiler))
	d.must(os.Setenv("PATH", bin+":/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"))
	return d
}

func (d *desk) must(err error) {
	d.t.Helper()
	if err != nil {
		d.t.Fatal(err)
	}
}

func (d *desk) writes(path, text string) {
	d.t.Helper()
	d.must(os.WriteFile(path, []byte(text), 0o644))
}

func (d *desk) script(folder, name, body string) {
	d.t.Helper()
	d.must(os.WriteFile(filepath.Join(folder, name), []byte("#!/bin/sh\n"+body+"\n"), 0o755))
}

// loggedDrops are the lines of docs/events.md, as the log has them: each on one line.
func (d *desk) loggedDrops() string {
	var all strings.Builder
	for _, block := range regexp.MustCompile("(?s)```json\n(.*?)```").FindAllStringSubmatch(readme(d.t, "docs/events.md"), -1) {
		all.WriteString(strings.ReplaceAll(strings.TrimSpace(block[1]), "\n", " ") + "\n")
	}
	return all.String()
}

// types tries one command.
func (d *desk) types(c doctest.Command) {
	d.t.Helper()
	row := tried(d.page, c.Text)
	began := time.Now()
	var wrong error
	switch row.way {
	case elsewhere:
		if row.without != "" {
			d.t.Logf("%s:%d: not typed: %s", d.page, c.Line, row.why)
			break
		}
		wrong = typedBy(row)
	case screens:
		d.lives()
		wrong = d.sits(c.Text, row)
	case works:
		wrong = d.sits(inANetwork+leavesNothing(c.Text, row), row)
	case prepares, answers:
		d.before += c.Text + "\n"
	case asks:
		script := inANetwork + d.answered(c.Text)
		wrong = d.runs(script, row)
		for range row.again {
			if wrong != nil {
				d.t.Logf("%s:%d: once more: %v", d.page, c.Line, wrong)
				wrong = d.runs(script, row)
			}
		}
		d.before = ""
	case alone:
		wrong = d.follows(inANetwork+d.before+c.Text, row)
		d.before = ""
	case beside:
		wrong = d.runs(inANetwork+"sttwall run --rules rules.hcl "+row.run+` >/run/said 2>&1 &
			until grep -q "the firewall runs" /run/said; do kill -0 $! || { cat /run/said >&2; exit 9; }; sleep 0.05; done
			`+c.Text, row)
	case follows:
		d.lives()
		script := c.Text
		if row.file != "" {
			script = "{ until [ -s " + row.file + " ]; do sleep 0.05; done; echo written; } &\n" + script
		}
		wrong = d.follows(script, row)
	case steps:
		wrong = d.runs(c.Text, row)
	case starts:
		wrong = d.starts(c.Text, row)
	case runs:
		d.lives()
		wrong = d.runs(c.Text, row)
	}
	if wrong != nil {
		d.t.Errorf("%s:%d: %s\n%v\nMake the page right, or give the command a row in the table of trials (docs_test.go).", d.page, c.Line, c.Text, wrong)
	}
	d.t.Logf("%s:%d: %v: %s", d.page, c.Line, time.Since(began).Round(time.Millisecond), c.Text)
}

// inANetwork begins a script that runs in a network of its own, with a /run of its own,
// as host A of the README, and the host there of docs/probe.md: an interface eth0, and a
// namespace acme for a tenant.
const inANetwork = `[ "$inside" ] || inside=1 exec unshare --mount --net -- bash "$0"
	mount -t tmpfs tmpfs /run && mkdir -p /run/netns /run/sttwall
	ip link set lo up && ip netns add acme
	ip link add eth0 type veth peer name far0 && ip link set eth0 up && ip link set far0 up
	ip addr add 10.47.1.1/24 dev eth0 && ip addr add 10.0.0.2/24 dev eth0 && ip route add default via 10.47.1.254
	set -e
	`

// lives has the lab with its firewall and traffic there, as /run/sttwall.
func (d *desk) lives() {
	d.t.Helper()
	if d.lab != nil {
		return
	}
	d.lab = startLab(d.t)
	d.must(os.Symlink(filepath.Dir(d.lab.socket), "/run/sttwall"))
}

// bash is a shell that runs a script in the folder.
func (d *desk) bash(script string) *exec.Cmd {
	path := filepath.Join(filepath.Dir(d.folder), "script")
	d.writes(path, "set -o pipefail\n"+script+"\n")
	cmd := exec.CommandContext(d.t.Context(), "bash", path)
	cmd.Dir = d.folder
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	cmd.Cancel = func() error { return syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL) }
	cmd.WaitDelay = 10 * time.Second
	return cmd
}

// deskPatience is how long a command may take; on an emulated processor that is longer.
func deskPatience() time.Duration {
	if d, err := time.ParseDuration(os.Getenv("STTWALL_TEST_PATIENCE")); err == nil {
		return d
	}
	return patience
}

// runs has a script come to its end.
func (d *desk) runs(script string, row trial) error {
	cmd := d.bash(script)
	// A file, since what goes on in the background would hold a pipe open.
	said, err := os.CreateTemp(filepath.Dir(d.folder), "said")
	if err != nil {
		return err
	}
	defer said.Close()
	cmd.Stdout, cmd.Stderr = said, said
	if err := cmd.Start(); err != nil {
		return err
	}
	defer time.AfterFunc(deskPatience(), func() { cmd.Cancel() }).Stop()
	if err := cmd.Wait(); err != nil && cmd.ProcessState == nil {
		return err
	}
	if row.way == beside {
		syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL) // the firewall
	}
	out, err := os.ReadFile(said.Name())
	if err != nil {
		return err
	}
	return judge(cmd.ProcessState, string(out), row, false)
}

// starts has a program go on in the background, and waits until it has said what is wanted.
func (d *desk) starts(script string, row trial) error {
	said := filepath.Join(filepath.Dir(d.folder), "started")
	want := row.want
	row.want = ""
	if err := d.runs("{ "+script+" } >"+said+" 2>&1\nuntil grep -qE '"+want+"' "+said+" || ! kill -0 $!; do sleep 0.05; done; grep -qE '"+want+"' "+said, row); err != nil {
		text, _ := os.ReadFile(said)
		return fmt.Errorf("%w\n%s", err, text)
	}
	return nil
}

// judge says what is wrong with how a command ended, and what it wrote.
func judge(state *os.ProcessState, out string, row trial, interrupted bool) error {
	status := state.ExitCode()
	if s := state.Sys().(syscall.WaitStatus); interrupted && (s.Signal() == syscall.SIGINT || status == 128+int(syscall.SIGINT)) {
		status = row.status // curl ends by ^C itself
	}
	if row.finds && status == 1 {
		status = row.status
	}
	switch {
	case status != row.status:
		return fmt.Errorf("%v, want exit status %d; it wrote:\n%s", state, row.status, out)
	case !regexp.MustCompile(row.want).MatchString(out):
		return fmt.Errorf("it does not write %s, but:\n%s", row.want, out)
	}
	return nil
}

// follows has a script go on until it has written what is wanted, and interrupts it.
func (d *desk) follows(script string, row trial) error {
	if row.want == "" {
		row.want = `\S`
	}
	cmd := d.bash(script)
	out, interrupted, err := doctest.Follow(cmd, regexp.MustCompile(row.want), deskPatience())
	if err != nil {
		return err
	}
	return judge(cmd.ProcessState, out, row, interrupted)
}
