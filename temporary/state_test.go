package temporary

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"sttwall/policy"
)

func TestRulesOutlastARestart(t *testing.T) {
	path := filepath.Join(t.TempDir(), "deep", "state.json")
	l, f := open(t, path)
	if !l.Kept() {
		t.Error("nothing is kept")
	}
	add(t, l, Request{Pattern: "tcp any > web:443", Comment: `quotes " and ü`, UID: 7})
	add(t, l, Request{Action: policy.Reject, Name: "x", Pattern: "tenant:acme udp any <> any:9", For: 30 * time.Minute})
	add(t, l, Request{Action: policy.Accept, Pattern: "icmp any > any", For: time.Minute})
	if info, err := os.Stat(path); err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("%v, %v", info, err)
	}
	f.after(time.Minute)
	want := l.Rules()

	again := openAt(t, path, &fake{now: f.now})
	got := again.Rules()
	if len(want) != 2 || !slices.Equal(got, want) {
		t.Errorf("got %+v\nwant %+v", got, want)
	}
	if rules := again.Policy().Rules(); !slices.Equal(rules, []string{"temporary/x", "temporary/x", "temporary/t1"}) { // there and back
		t.Errorf("in force at the start: %v", rules)
	}
	if s := add(t, again, Request{Pattern: "any > any"}); s.Name != "t3" {
		t.Errorf("after the restart a name comes back: %s", s.Name)
	}
	if left, err := os.ReadDir(filepath.Dir(path)); err != nil || len(left) != 1 {
		t.Errorf("beside the file: %v, %v", left, err)
	}
}

// What was set for an hour holds for an hour, whatever happens to the wall clock.
func TestAStepOfTheWallClockMovesNoRule(t *testing.T) {
	for _, step := range []time.Duration{-24 * time.Hour, 24 * time.Hour} {
		t.Run(fmt.Sprint(step), func(t *testing.T) {
			path := filepath.Join(t.TempDir(), "state.json")
			l, f := open(t, path)
			add(t, l, Request{Pattern: "any > any"})
			f.after(10 * time.Minute)
			f.step = step
			if s := l.Rules()[0]; s.Left != 50*time.Minute || !s.Expires.Equal(f.wall().Add(50*time.Minute)) {
				t.Errorf("%+v", s)
			}
			add(t, l, Request{Pattern: "udp any > any"}) // writes the file by the clock as it goes now
			again := openAt(t, path, &fake{now: f.wall()})
			if s := again.Rules()[1]; s.Name != "t1" || s.Left != 50*time.Minute {
				t.Errorf("after a restart: %+v", s)
			}
		})
	}
	t.Run("back, before the restart and unseen", func(t *testing.T) {
		path := filepath.Join(t.TempDir(), "state.json")
		l, _ := open(t, path)
		add(t, l, Request{Pattern: "any > any"})
		again := openAt(t, path, &fake{now: start.Add(-300 * 24 * time.Hour)})
		if s := again.Rules()[0]; s.Left != time.Hour {
			t.Errorf("%+v", s)
		}
	})
}

func TestARuleThatMeansNothingAnyMoreIsKeptAndShown(t *testing.T) {
	path := filepath.Join(t.TempDir(), "state.json")
	l, f := open(t, path)
	add(t, l, Request{Pattern: "any > web"})
	p := compile(t, strings.Replace(rules, "web", "www", 1))
	again, err := Open(Config{Policy: p, File: path, Wall: f.wall})
	if err != nil {
		t.Fatal(err)
	}
	if s := again.Rules(); len(s) != 1 || !strings.Contains(s[0].Inactive, `there is no "web"`) || len(again.Policy().Rules()) != 0 {
		t.Errorf("%+v, %v", s, again.Policy().Rules())
	}
}

const goodState = `{"version": 1, "next": 2, "rules": [{"name": "t1", "action": "drop", "pattern": "any > any", "seconds": 3600,
 "set": "2026-01-05T12:00:00Z", "expires": "2026-01-05T13:00:00Z", "uid": 0}]}`

// What cannot be understood whole is not used at all, and is left as it is.
func TestABrokenStateFileStopsTheStart(t *testing.T) {
	change := func(old, new string) string {
		if !strings.Contains(goodState, old) {
			t.Fatalf("no %s", old)
		}
		return strings.Replace(goodState, old, new, 1)
	}
	for _, tt := range []struct{ name, text, want string }{
		{"empty", "", "broken"},
		{"cut off", goodState[:100], "broken"},
		{"not JSON", "rules!", "broken at byte 1"},
		{"something behind", goodState + "{}", "broken at byte"},
		{"of a later version", change(`"version": 1`, `"version": 2, "more": 1`), "version 2; this sttwall reads version 1"},
		{"of no version", `{"rules": []}`, "version 0"},
		{"an unknown field", change(`"uid": 0`, `"uid": 0, "hook": "rm"`), `unknown field "hook"`},
		{"an unknown action", change(`"drop"`, `"deny"`), `rule 1 ("t1"): action "deny"`},
		{"no pattern", change(`"any > any"`, `"anything"`), `rule 1 ("t1"): pattern: column 1`},
		{"a pattern for the terminal", change(`"any > any"`, `"tenant:\u001b[2J any > any"`), `rule 1 ("t1"): pattern: column 1`},
		{"no name", change(`"t1"`, `"1"`), `rule 1 ("1"): expected a name`},
		{"too long", change("3600", "99999999999"), `rule 1 ("t1"): 99999999999 seconds`},
		{"negative", change("3600", "-1"), `rule 1 ("t1"): -1 seconds`},
		{"a comment for the terminal", change(`"uid": 0`, `"uid": 0, "comment": "\u001b[2J"`), `rule 1 ("t1"): expected a comment`},
		{"twice", strings.Replace(goodState, "[{", `[{"name": "t1", "action": "drop", "pattern": "any > any", "seconds": 1, "set": "2026-01-05T12:00:00Z", "expires": "2026-01-05T12:00:01Z", "uid": 0}, {`, 1), `rule 2 ("t1"): a second rule`},
		{"too many", change(`"rules": [`, `"rules": [`+strings.Repeat(`{},`, policy.MaxTemporary)), "1001 rules; at most 1000"},
		{"too large", strings.Repeat(" ", maxState+1), "more than"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			path := filepath.Join(t.TempDir(), "state.json")
			if err := os.WriteFile(path, []byte(tt.text), 0o600); err != nil {
				t.Fatal(err)
			}
			_, err := Open(Config{Policy: compile(t, rules), File: path})
			if err == nil || !strings.HasPrefix(err.Error(), "state file "+path+": "+tt.want) && !strings.Contains(err.Error(), tt.want) ||
				!strings.Contains(err.Error(), "repair it, or move it away") {
				t.Errorf("got %v, want %s", err, tt.want)
			}
			if read(t, path) != tt.text {
				t.Error("the file has changed")
			}
		})
	}
	path := filepath.Join(t.TempDir(), "state.json")
	if err := os.WriteFile(path, []byte(goodState), 0o600); err != nil {
		t.Fatal(err)
	}
	if got := names(openAt(t, path, &fake{now: start})); !slices.Equal(got, []string{"t1"}) {
		t.Errorf("what these were made of: %v", got)
	}
}

func TestAStateFileThatOthersMayHaveWrittenStopsTheStart(t *testing.T) {
	errNotRoot := errors.New("only root can give files away")
	for _, tt := range []struct {
		name, want string
		make       func(path string) error
	}{
		{"for all to write", "others may write it (mode 0666)", func(path string) error {
			return errors.Join(os.WriteFile(path, []byte(goodState), 0o600), os.Chmod(path, 0o666))
		}},
		{"a link", "too many levels of symbolic links", func(path string) error {
			return errors.Join(os.WriteFile(path+"2", []byte(goodState), 0o600), os.Symlink(path+"2", path))
		}},
		{"a pipe", "not a regular file", func(path string) error { return unix.Mkfifo(path, 0o600) }},
		{"a folder", "not a regular file", func(path string) error { return os.Mkdir(path, 0o700) }},
		{"somebody else's", "it belongs to user 65533", func(path string) error {
			if os.Geteuid() != 0 {
				return errNotRoot
			}
			return errors.Join(os.WriteFile(path, []byte(goodState), 0o600), os.Chown(path, 65533, -1))
		}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			path := filepath.Join(t.TempDir(), "state.json")
			switch err := tt.make(path); {
			case errors.Is(err, errNotRoot):
				t.Skip(err)
			case err != nil:
				t.Fatal(err)
			}
			if _, err := Open(Config{Policy: compile(t, rules), File: path}); err == nil || !strings.Contains(err.Error(), tt.want) {
				t.Errorf("got %v, want %s", err, tt.want)
			}
		})
	}
}

// alone runs a test in a process of its own, in which it reports true: go test
// writes files too.
func alone(t *testing.T) bool {
	t.Helper()
	const variable = "STTWALL_TEST_ALONE"
	if os.Getenv(variable) != "" {
		return true
	}
	exe, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command(exe, "-test.run=^"+t.Name()+"$", "-test.v")
	cmd.Env = append(os.Environ(), variable+"=1")
	if out, err := cmd.CombinedOutput(); err != nil || !strings.Contains(string(out), "--- PASS: "+t.Name()) {
		t.Errorf("alone: %v\n%s", err, out)
	}
	return false
}

// limitFiles lets this process write only so many bytes into a file, as a full
// disk does, until the returned function is called.
func limitFiles(t *testing.T, bytes uint64) (restore func()) {
	t.Helper()
	signal.Ignore(unix.SIGXFSZ)
	var old unix.Rlimit
	if err := unix.Getrlimit(unix.RLIMIT_FSIZE, &old); err != nil {
		t.Fatal(err)
	}
	if err := unix.Setrlimit(unix.RLIMIT_FSIZE, &unix.Rlimit{Cur: bytes, Max: old.Max}); err != nil {
		t.Fatal(err)
	}
	return func() {
		if err := unix.Setrlimit(unix.RLIMIT_FSIZE, &old); err != nil {
			t.Error(err)
		}
	}
}

func TestWhatCannotBeWrittenIsNotPutInForce(t *testing.T) {
	if !alone(t) {
		return
	}
	for _, tt := range []struct {
		name string
		want error
		full func(t *testing.T, path string) (restore func())
	}{
		{"a full disk", unix.EFBIG, func(t *testing.T, _ string) func() { return limitFiles(t, 10) }},
		{"a folder that is a file", syscall.ENOTDIR, func(t *testing.T, path string) func() {
			dir := filepath.Dir(path)
			if err := errors.Join(os.Rename(dir, dir+"2"), os.WriteFile(dir, nil, 0o600)); err != nil {
				t.Fatal(err)
			}
			return func() {
				if err := errors.Join(os.Remove(dir), os.Rename(dir+"2", dir)); err != nil {
					t.Fatal(err)
				}
			}
		}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			path := filepath.Join(t.TempDir(), "folder", "state.json")
			l, f := open(t, path)
			add(t, l, Request{Pattern: "any > any"})
			before, inForce := read(t, path), f.policy
			restore := tt.full(t, path)
			_, _, added := l.Add(Request{Pattern: "udp any > any", For: time.Hour})
			_, _, removed := l.Remove("t1")
			restore()
			for _, err := range []error{added, removed} {
				if !errors.Is(err, tt.want) || !strings.Contains(err.Error(), "nothing has changed: state file "+path) {
					t.Errorf("got %v", err)
				}
			}
			if got := names(l); !slices.Equal(got, []string{"t1"}) || f.policy != inForce || read(t, path) != before {
				t.Errorf("%v\n%s", got, read(t, path))
			}
			if left, err := os.ReadDir(filepath.Dir(path)); err != nil || len(left) != 1 {
				t.Errorf("beside the file: %v, %v", left, err)
			}
			add(t, l, Request{Pattern: "udp any > any"}) // when there is room again
		})
	}
}

func TestTheFileOfAnotherIsNotOverwritten(t *testing.T) {
	path := filepath.Join(t.TempDir(), "state.json")
	l, _ := open(t, path)
	other, _ := open(t, path)
	add(t, other, Request{Name: "theirs", Pattern: "any > any"})
	if _, _, err := l.Add(Request{Pattern: "any > any", For: time.Hour}); err == nil || !strings.Contains(err.Error(), "does another sttwall use it?") || len(names(l)) != 0 {
		t.Errorf("%v, %v", err, names(l))
	}
	if got := names(openAt(t, path, &fake{now: start})); !slices.Equal(got, []string{"theirs"}) {
		t.Errorf("kept: %v", got)
	}
	// One that was moved away hinders nobody.
	if err := os.Rename(path, path+".old"); err != nil {
		t.Fatal(err)
	}
	add(t, l, Request{Pattern: "any > any"})
}

// A crash may leave half a file beside the state file.
func TestHalfAFileBesideIsReplaced(t *testing.T) {
	path := filepath.Join(t.TempDir(), "state.json")
	if err := os.WriteFile(path+".new", []byte(`{"version": 1, "ru`), 0o644); err != nil {
		t.Fatal(err)
	}
	l, _ := open(t, path)
	add(t, l, Request{Pattern: "any > any"})
	if _, err := os.Lstat(path + ".new"); !errors.Is(err, fs.ErrNotExist) {
		t.Error(err)
	}
	if info, err := os.Stat(path); err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("%v, %v", info, err)
	}
}

// FuzzState: any text is refused, or holds rules that can be in a list, and that
// are read again as they are written.
func FuzzState(f *testing.F) {
	f.Add([]byte(goodState))
	f.Add([]byte(`{"version": 1, "next": 18446744073709551615, "rules": []}`))
	f.Add([]byte(strings.Replace(goodState, "any > any", " tenant:acme  tcp 10.0.0.1<>web:443 ", 1)))
	f.Fuzz(func(t *testing.T, text []byte) {
		s, err := parse(text)
		if err != nil {
			return
		}
		for i := range s.Rules {
			if _, err := s.Rules[i].rule(); err != nil {
				t.Fatal(err)
			}
		}
		written, err := json.Marshal(s)
		if err != nil {
			t.Fatal(err)
		}
		again, err := parse(written)
		if err != nil || len(again.Rules) != len(s.Rules) || again.Next != s.Next {
			t.Fatalf("%v: got %+v, want %+v", err, again, s)
		}
		for i, r := range again.Rules {
			if r.Name != s.Rules[i].Name || r.Pattern != s.Rules[i].Pattern || !r.Expires.Equal(s.Rules[i].Expires) {
				t.Fatalf("got %+v, want %+v", r, s.Rules[i])
			}
		}
	})
}
