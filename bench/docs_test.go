package main

import (
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"sttwall/internal/doctest"
)

// typed are the commands of pages that are typed here, and how: until they have said what is
// wanted, by which packets have come through a program or a layer was measured, when a ^C
// ends them; or to their end where nothing is wanted. status is that of the end.
var typed = []struct {
	command, want string
	status        int
	said          string
}{
	{command: `bench/account/record /tmp/account `, want: `start c_batch\n +start `, status: 1},
	{command: `cd bench && go run \./account (--write \.\./docs/performance\.md )?/tmp/account`},
	{command: `cd bench && go run \./layers`, want: `(?m)^decode +\S.* \d+\.\d`, status: 1, said: "layers: interrupted; what was whole by then is above"},
	{command: `cd bench && go run \.( |$)`, want: `start c_batch\n +start `, status: 1, said: "bench: interrupted; only what was whole by then is shown"},
}

// pagesOfBench are those that have commands of this module.
var pagesOfBench = []string{"bench/README.md", "docs/performance.md"}

const (
	// prebuilt names the folder of the programs, for the process in namespaces of its own.
	prebuilt = "STTWALL_BENCH_PREBUILT"
	// desk is in memory, and gone with that process.
	desk = "/mnt"
	// patience is how long a command may take on a machine that has other things to do.
	patience = 5 * time.Minute
)

// A compiler has built what these commands build; perf is not there in CI, and what it
// records is nothing to this test.
var standIns = map[string]string{
	"go": `case "$1 $2" in
"run .") shift 2; exec bench "$@" ;;
"run ./"*) program=${2#./}; shift 2; exec "$program" "$@" ;;
"list -m") echo ..; exit ;;
"build -o") exec cp ` + desk + `/bin/bench "$3" ;;
"build -C") exec cp ` + desk + `/bin/sttwall "$5" ;;
esac
echo "go $*: this test knows no such thing" >&2; exit 9`,
	"perf": `[ "$1" = record ] || exit 9
until [ "$1" = -- ]; do [ "$1" != -o ] || : >"$2"; shift; done
shift; exec "$@"`,
}

// recorded is a folder that account/record has written, as short as it can be.
var recorded = map[string]string{
	"150.json":   `{"variant":"c_batch","packet":"150","queues":1,"flows":1000,"ns":900,"run":{"rounds":3,"kernel":"6.18.5-x","processor":"P","cpus":2}}` + "\n",
	"150.stacks": "c_batch 12 9.100000: \n\tffffffff8162f605 process_backlog\n\tffffffff8162f605 nfqnl_reinject\n\tffffffff81000130 entry_SYSCALL_64_after_hwframe\n\n",
}

// TestTheCommandsOfThePagesMeasure types what pages say about this module, as it stands there.
func TestTheCommandsOfThePagesMeasure(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Skip("needs root, since BPF is closed to others")
	}
	if os.Getenv(prebuilt) == "" { // then once more, in namespaces of its own
		folder := t.TempDir()
		if out, err := exec.CommandContext(t.Context(), "go", "build", "-o", folder+"/", ".", "./account", "./layers", "./report").CombinedOutput(); err != nil {
			t.Fatalf("%v\n%s", err, out)
		}
		if _, err := build(t.Context(), folder); err != nil {
			t.Fatal(err)
		}
		exe, err := os.Executable()
		must(t, err)
		again := exec.CommandContext(t.Context(), "unshare", "--mount", "--net", "--pid", "--fork", "--kill-child", "--mount-proc",
			exe, "-test.run=^"+t.Name()+"$", "-test.v")
		again.Env = append(os.Environ(), prebuilt+"="+folder)
		out, err := again.CombinedOutput()
		if t.Logf("inside:\n%s", out); err != nil {
			t.Fatal(err)
		}
		return
	}
	laysOut(t)
	count, before := 0, map[string]bool{}
	for _, page := range pagesOfBench {
		text, err := os.ReadFile(filepath.Join("..", page))
		if err != nil {
			t.Fatal(err)
		}
		for _, c := range doctest.Commands(string(text)) {
			if strings.HasPrefix(c.Text, "cd bench && ") || strings.HasPrefix(c.Text, "bench/account/") {
				count++
				if before[c.Typed()] {
					continue // another page has it too
				}
				before[c.Typed()] = true
				began := time.Now()
				types(t, page, c)
				t.Logf("%s:%d: %v: %s", page, c.Line, time.Since(began).Round(time.Millisecond), c.Text)
			}
		}
	}
	if count < 10 {
		t.Errorf("only %d commands were found", count)
	}
}

func types(t *testing.T, page string, c doctest.Command) {
	t.Helper()
	for _, row := range typed {
		if !regexp.MustCompile("^" + row.command).MatchString(c.Text) {
			continue
		}
		temporary := filepath.Join(desk, "tmp")
		must(t, os.MkdirAll("/tmp/account", 0o755))
		for name, text := range recorded {
			writes(t, filepath.Join("/tmp/account", name), text)
		}
		script := filepath.Join(desk, "script")
		writes(t, script, c.Text+"\n")
		cmd := exec.CommandContext(t.Context(), "bash", script)
		cmd.Dir = filepath.Join(desk, "here")
		cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
		cmd.Cancel = func() error { return syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL) }
		cmd.Env = append(os.Environ(), "TMPDIR="+temporary)
		want := row.want
		if want == "" {
			want = `$^` // never: it is not interrupted
		}
		said, interrupted, err := doctest.Follow(cmd, regexp.MustCompile(want), patience)
		status := -1
		if err == nil {
			status = cmd.ProcessState.ExitCode()
		}
		if err != nil || interrupted != (row.want != "") || status != row.status || !strings.Contains(said, row.said) {
			t.Errorf("%s:%d: %s\n%v, interrupted: %v, status %d, want %d and %q; it said:\n%s", page, c.Line, c.Text, err, interrupted, status, row.status, row.said, said)
		}
		left, err := os.ReadDir(temporary)
		if err != nil || len(left) > 0 {
			t.Errorf("%s:%d: %s\nleft behind: %v, %v", page, c.Line, c.Text, left, err)
		}
		return
	}
	t.Errorf("%s:%d: %s: give it a row in the table of this test", page, c.Line, c.Text)
}

// laysOut has the folders in which is typed: programs, a checkout whose pages are copies, and
// a /tmp of its own. Nothing of the host can be written.
func laysOut(t *testing.T) {
	t.Helper()
	root, err := filepath.Abs("..")
	must(t, err)
	must(t, doctest.Seal(root))
	must(t, unix.Mount("tmpfs", desk, "tmpfs", 0, "mode=755"))
	bin, here := filepath.Join(desk, "bin"), filepath.Join(desk, "here")
	must(t, os.CopyFS(bin, os.DirFS(os.Getenv(prebuilt))))
	for name, script := range standIns {
		writes(t, filepath.Join(bin, name), "#!/bin/sh\n"+script+"\n")
	}
	for _, folder := range []string{filepath.Join(here, "bench"), filepath.Join(desk, "tmp")} {
		must(t, os.MkdirAll(folder, 0o755))
	}
	must(t, os.CopyFS(filepath.Join(here, "docs"), os.DirFS(filepath.Join(root, "docs"))))
	must(t, os.CopyFS(filepath.Join(here, "bench/account"), os.DirFS("account")))
	must(t, unix.Mount("tmpfs", "/tmp", "tmpfs", 0, "mode=1777"))
	must(t, os.Setenv("PATH", bin+":/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"))
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func writes(t *testing.T, path, text string) {
	t.Helper()
	must(t, os.WriteFile(path, []byte(text), 0o755))
}
