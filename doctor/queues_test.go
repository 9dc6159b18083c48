package doctor

import (
	"fmt"
	"io"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"testing"
	"testing/fstest"

	"sttwall/internal/nstest"
	"sttwall/nfq"
)

// listenVariable has this test program listen on queues until its input ends.
const listenVariable = "STTWALL_TEST_LISTEN"

func listenAsTold(numbers string) {
	var queues []nfq.Queue
	for word := range strings.SplitSeq(numbers, ",") {
		n, err := strconv.ParseUint(word, 10, 16)
		if err != nil {
			fmt.Println(err)
			os.Exit(1)
		}
		q, err := nfq.Open(nfq.Config{Number: uint16(n)})
		if err != nil {
			fmt.Println(err)
			os.Exit(1)
		}
		queues = append(queues, q)
	}
	fmt.Println("here")
	io.Copy(io.Discard, os.Stdin)
	runtime.KeepAlive(queues)
	os.Exit(0)
}

// listener starts a process that runs the file of this test, as another sttwall runs that
// of this sttwall, and listens on queues.
func listener(r *rig, numbers ...string) *exec.Cmd {
	r.Helper()
	exe, err := os.Executable()
	must(r, err)
	cmd := exec.Command(exe)
	cmd.Args[0] = "something else"
	cmd.Env = append(os.Environ(), listenVariable+"="+strings.Join(numbers, ","))
	in, err := cmd.StdinPipe()
	must(r, err)
	out, err := cmd.StdoutPipe()
	must(r, err)
	must(r, cmd.Start())
	said := make([]byte, 500)
	n, err := out.Read(said)
	if err != nil || string(said[:n]) != "here\n" {
		r.Fatalf("%s, %v", said[:n], err)
	}
	ended := make(chan struct{})
	go func() { _ = cmd.Wait(); close(ended) }()
	r.Cleanup(func() { in.Close(); <-ended })
	if nstest.InUserNamespace() {
		listInPlaceOfTheKernel(r, cmd.Process.Pid, numbers)
	}
	return cmd
}

// listInPlaceOfTheKernel writes the lines of the list of queues that an ordinary user
// cannot read. The netlink ports are those that the process has.
func listInPlaceOfTheKernel(r *rig, pid int, numbers []string) {
	r.Helper()
	h := &host{Config: r.config}
	sockets, err := h.netfilterSockets()
	must(r, err)
	files, err := filepath.Glob(fmt.Sprintf("/proc/%d/fd/*", pid))
	must(r, err)
	var ports []string
	for _, f := range files {
		if to, err := os.Readlink(f); err == nil && sockets[to] != "" {
			ports = append(ports, sockets[to])
		}
	}
	if len(ports) < len(numbers) {
		r.Fatalf("%d sockets for queues %v", len(ports), numbers)
	}
	text, err := h.text(queuesFile)
	must(r, err)
	for i, n := range numbers {
		text += fmt.Sprintf("\n%s %s 0 2 65531 0 0 0 1", n, ports[i])
	}
	r.write(queuesFile, text+"\n")
}

// The one to whose queues the table leads stays, whichever was there first, and whatever
// they call themselves.
func TestTheFirewallThatTheTableLeadsToIsTheOneThatStays(t *testing.T) {
	r := newRig(t)
	installTable(r)
	other := listener(r, "8000")
	ours := listener(r, "7471", "7472")
	startProcess(r, "sttwall", "run") // which listens on nothing
	report := r.run()
	found := report.of("STT-D011")
	if len(found) != 1 || !strings.Contains(found[0].What, "2 firewalls") || len(found[0].Evidence) != 2 {
		t.Fatalf("got %+v\n%s", found, report.text())
	}
	for _, want := range []string{
		fmt.Sprintf("process %d listens on queue 8000", other.Process.Pid), fmt.Sprintf("process %d listens on queue 7471, 7472, to which the table leads", ours.Process.Pid),
	} {
		if !strings.Contains(strings.Join(found[0].Evidence, "\n")+"\n", want+"\n") {
			t.Errorf("no %q in %q", want, found[0].Evidence)
		}
	}
	if len(found[0].Commands) != 1 || found[0].Commands[0].String() != fmt.Sprintf("kill %d", other.Process.Pid) {
		t.Errorf("commands %v", found[0].Commands)
	}
}

func TestOneFirewallIsNoSecondOne(t *testing.T) {
	for name, make := range map[string]func(*rig){
		"one on two queues":              func(r *rig) { installTable(r); listener(r, "7471", "7472") },
		"two that call themselves so":    func(r *rig) { startProcess(r, "sttwall", "run"); startProcess(r, "sttwall", "run") },
		"two behind the rules of others": func(r *rig) { listener(r, "7471"); listener(r, "8000") },
	} {
		t.Run(strings.ReplaceAll(name, " ", "_"), func(t *testing.T) {
			r := newRig(t)
			make(r)
			report := r.run()
			if found := report.of("STT-D011"); len(found) > 0 {
				t.Errorf("got %+v", found)
			}
			for _, o := range report.Checks {
				if o.ID == "STT-D011" && o.Seen == "" {
					t.Errorf("got %+v", o)
				}
			}
		})
	}
}

// A process that may not be looked into is told where a queue may be its own, and only
// there.
func TestAHiddenFirewallIsNotPassedOver(t *testing.T) {
	const listed = "7471 100 0 2 256 0 0 0 1\n"
	root := fstest.MapFS{
		queuesFile: {Data: []byte(listed)}, socketsFile: {Data: []byte("sk Eth Pid\n0 12 100 0 0 0 0 2 0 77\n")},
		"proc/5/comm": {Data: []byte("sttwall\n")}, "proc/6/comm": {Data: []byte("other\n")},
		"proc/7/exe": {Data: []byte("/usr/bin/sttwall"), Mode: fs.ModeSymlink}, "proc/7/fd/3": {Data: []byte("socket:[77]"), Mode: fs.ModeSymlink},
	}
	h := &host{Config: Config{Root: closed{root, []string{"proc/5/exe", "proc/6/exe"}}}}
	list, hidden, err := h.firewalls()
	if err != nil || len(list) != 1 || list[0].pid != 7 || len(hidden) > 0 {
		t.Errorf("its queue is that of another one: %v, hidden %q, %v", list, hidden, err)
	}
	root[queuesFile] = &fstest.MapFile{Data: []byte(listed + "7472 200 0 2 256 0 0 0 1\n")}
	list, hidden, err = h.firewalls()
	if err != nil || len(list) != 1 || strings.Join(hidden, " ") != "5" {
		t.Errorf("a queue may be its: %v, hidden %q, %v", list, hidden, err)
	}
}

// closed is a file system with links that may not be read.
type closed struct {
	fs.FS
	links []string
}

func (c closed) ReadLink(name string) (string, error) {
	if slices.Contains(c.links, name) {
		return "", &fs.PathError{Op: "readlink", Path: name, Err: fs.ErrPermission}
	}
	return fs.ReadLink(c.FS, name)
}

func (c closed) Lstat(name string) (fs.FileInfo, error) { return fs.Lstat(c.FS, name) }

func TestAReplacedFileIsStillThatOfSttwall(t *testing.T) {
	h := &host{Config: Config{Root: os.DirFS("/")}}
	for file, want := range map[string]bool{"/usr/bin/sttwall": true, "/usr/bin/sttwall (deleted)": true, "/usr/bin/suricata": false, "/opt/sttwall/other": false} {
		if got := h.isOurs("proc/1", file); got != want {
			t.Errorf("%s: got %v", file, got)
		}
	}
}
