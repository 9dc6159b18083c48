package doctor

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/vishvananda/netlink"

	"sttwall/internal/nstest"
	"sttwall/nfq"
)

func TestMain(m *testing.M) {
	if numbers := os.Getenv(listenVariable); numbers != "" {
		listenAsTold(numbers)
	}
	nstest.Main(m)
}

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// sh runs a line as an operator types it, in the thread's namespace, and fails where it
// fails.
func sh(t testing.TB, lines ...string) {
	t.Helper()
	for _, line := range lines {
		if out, err := exec.Command("sh", "-c", line).CombinedOutput(); err != nil {
			t.Fatalf("%s: %v\n%s", line, err, out)
		}
	}
}

// rig is a host with two interfaces, an endpoint behind each, and nothing that hurts: as
// far as a namespace cannot have that of its own, files of the rig hide those of the host.
type rig struct {
	testing.TB
	root   string // folder whose files hide those of the host
	config Config
	undo   func() // what a trouble's byHand does, where it takes what was made
}

// patience is how long a test waits for what must come.
const patience = time.Minute

const goodRules = `settings {
  endpoints = [ENDPOINTS]
  receivers = "linux"
  MORE
}
tenant "a" {
  context_ids = [1]
}
`

func newRig(t testing.TB) *rig {
	t.Helper()
	nstest.Enter(t)
	sh(t, "ip link add a0 type veth peer name a1", "ip link add b0 type veth peer name b1",
		"ip link set a0 up; ip link set a1 up; ip link set b0 up; ip link set b1 up",
		"ip address add 10.0.1.1/24 dev a0; ip address add 10.0.2.1/24 dev b0",
		"sysctl -q -w net.ipv4.ip_forward=1 net.ipv4.conf.all.rp_filter=0 net.ipv4.conf.a0.rp_filter=0 net.ipv4.conf.b0.rp_filter=0")
	for _, name := range []string{"a0", "a1", "b0", "b1"} {
		linkUp(t, name)
	}
	r := &rig{TB: t, root: t.TempDir()}
	r.Setenv("XTABLES_LOCKFILE", filepath.Join(r.root, "xtables.lock")) // that of the host is root's
	r.config.Root = over{os.DirFS(r.root), os.DirFS("/")}
	r.config.Clock = func() (bool, error) { return true, nil }
	r.config.Kernel = func() []nfq.KernelPart { return nil } // asking takes time
	r.write("proc/net/softnet_stat", "00000001 00000000 00000000\n")
	r.write("proc/interrupts", "           CPU0       CPU1\n")
	r.write("proc/sys/net/netfilter/nf_conntrack_max", "65536\n")
	r.write("proc/sys/user/max_user_namespaces", "1000\n")
	r.write("sys/devices/system/cpu/online", "0-3\n")
	if nstest.InUserNamespace() {
		// Only the host's root may read it, or force a buffer.
		r.write("proc/thread-self/net/netfilter/nfnetlink_queue", "")
		r.config.ForceBuffer = func(int) error { return nil }
		r.config.TCX = func(int) ([]uint32, error) { return nil, nil }
	}
	r.rules(`"10.0.1.2", "10.0.2.2"`, "")
	return r
}

// linkUp waits until a link carries packets: until then the kernel loses them without an error.
func linkUp(t testing.TB, name string) {
	t.Helper()
	for end := time.Now().Add(patience); ; time.Sleep(time.Millisecond) {
		link, err := netlink.LinkByName(name)
		must(t, err)
		if link.Attrs().OperState == netlink.OperUp {
			return
		}
		if time.Now().After(end) {
			t.Fatalf("link %s is %s", name, link.Attrs().OperState)
		}
	}
}

// rules writes the rules file.
func (r *rig) rules(endpoints, more string) {
	r.config.Rules = filepath.Join(r.TempDir(), "rules.hcl")
	text := strings.NewReplacer("ENDPOINTS", endpoints, "MORE", more).Replace(goodRules)
	must(r, os.WriteFile(r.config.Rules, []byte(text), 0o600))
}

// write writes a file that hides the host's.
func (r *rig) write(path, text string) {
	r.Helper()
	file := filepath.Join(r.root, path)
	must(r, os.MkdirAll(filepath.Dir(file), 0o755))
	must(r, os.WriteFile(file, []byte(text), 0o600))
}

// stand puts a program in the way of one that would change the host: a shell script, with
// ROOT for the folder of the rig.
func (r *rig) stand(program, script string) {
	r.Helper()
	dir := r.TempDir()
	must(r, os.WriteFile(filepath.Join(dir, program), []byte("#!/bin/sh\nROOT="+r.root+"\n"+script), 0o755))
	r.Setenv("PATH", dir+":"+os.Getenv("PATH"))
}

// standForSysctl writes what sysctl would write to the files of the rig.
func (r *rig) standForSysctl() {
	r.stand("sysctl", `[ "$1" = -w ] && echo "${2#*=}" >"$ROOT/proc/sys/${2%%=*}"`)
}

func (r *rig) run() *Report {
	r.Helper()
	report, err := Run(r.Context(), r.config)
	must(r, err)
	return report
}

// of returns the findings of a check.
func (r *Report) of(id string) (list []Finding) {
	for _, f := range r.Findings {
		if f.ID == id {
			list = append(list, f)
		}
	}
	return list
}

// text shows a report where a test fails.
func (r *Report) text() string {
	var out bytes.Buffer
	for _, f := range r.Findings {
		fmt.Fprintf(&out, "%s %s: %s\n  %q\n  %v\n", f.ID, f.Severity, f.What, f.Evidence, f.Commands)
	}
	for _, o := range r.Checks {
		if o.Unknown != "" {
			fmt.Fprintf(&out, "%s ? %s\n", o.ID, o.Unknown)
		}
	}
	return out.String()
}

// over is a file system that hides another one where it has a file.
type over struct{ upper, lower fs.FS }

func (o over) Open(name string) (fs.File, error) {
	if f, err := o.upper.Open(name); err == nil {
		if info, err := f.Stat(); err == nil && !info.IsDir() {
			return f, nil
		}
		if strings.HasPrefix(name, "sys/class/net/") {
			return f, nil
		}
		f.Close()
	}
	return o.lower.Open(name)
}

// ReadDir leaves out the processes of others on this machine, which may run sttwall too.
func (o over) ReadDir(name string) ([]fs.DirEntry, error) {
	list, err := fs.ReadDir(struct{ fs.FS }{o}, name) // as Open has it
	if name != "proc" {
		return list, err
	}
	return slices.DeleteFunc(list, func(e fs.DirEntry) bool {
		_, err := o.ReadLink("proc/" + e.Name() + "/exe")
		return errors.Is(err, fs.ErrPermission)
	}), err
}

func (o over) ReadLink(name string) (string, error) { return fs.ReadLink(o.lower, name) }
func (o over) Lstat(name string) (fs.FileInfo, error) {
	return fs.Lstat(o.lower, name)
}
