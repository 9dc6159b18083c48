package temporary

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"sttwall/describe"
	"sttwall/policy"
)

const rules = `
settings {
  endpoints = ["any"]
}
address_group "web" {
  addresses = ["10.0.0.1"]
}
tenant "acme" {
  context_ids    = [1]
  default_action = "accept"
}
`

func compile(t testing.TB, text string) *policy.Policy {
	t.Helper()
	p, diagnostics := policy.Load("test.hcl", []byte(text))
	if p == nil {
		t.Fatal(diagnostics)
	}
	return p
}

// fake is a firewall without packets, on a clock that a test moves.
type fake struct {
	mu     sync.Mutex
	policy *policy.Policy
	now    time.Time // of the firewall
	step   time.Duration
	fails  error
	during func() // Reload
}

var start = time.Date(2026, 1, 5, 12, 0, 0, 0, time.UTC)

func (f *fake) Reload(p *policy.Policy) (int, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.during != nil {
		f.during()
	}
	if f.fails != nil {
		return 0, f.fails
	}
	f.policy = p
	return 3, nil
}

func (f *fake) Now() int64 {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.now.UnixNano()
}

// wall is the wall clock, which may have been stepped since the start.
func (f *fake) wall() time.Time {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.now.Add(f.step)
}

func (f *fake) after(d time.Duration) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.now = f.now.Add(d)
}

// rule returns what decides about a packet of acme's now.
func (f *fake) rule(t testing.TB, packet string) string {
	t.Helper()
	d, err := describe.Parse(packet)
	if err != nil {
		t.Fatal(err)
	}
	return f.policy.Evaluate(&policy.Packet{ContextID: 1, Frame: &d.Frame, Wall: f.Now() / 1e9}).Rule
}

func open(t testing.TB, path string) (*List, *fake) {
	t.Helper()
	f := &fake{now: start}
	return openAt(t, path, f), f
}

func openAt(t testing.TB, path string, f *fake) *List {
	t.Helper()
	l, err := Open(Config{Policy: compile(t, rules), File: path, Wall: f.wall})
	if err != nil {
		t.Fatal(err)
	}
	f.policy = l.Policy()
	l.Start(f)
	return l
}

func add(t testing.TB, l *List, r Request) Status {
	t.Helper()
	if r.For == 0 {
		r.For = time.Hour
	}
	s, ended, err := l.Add(r)
	if err != nil {
		t.Fatal(err)
	}
	if ended != 3 {
		t.Errorf("%d flows ended, want what the firewall says", ended)
	}
	return s
}

func names(l *List) []string {
	var out []string
	for _, s := range l.Rules() {
		out = append(out, s.Name)
	}
	return out
}

const web = "tcp 10.0.0.9:1 > 10.0.0.1:443"

func TestARuleIsInForceForItsTime(t *testing.T) {
	l, f := open(t, "")
	s := add(t, l, Request{Pattern: " tcp  10.0.0.9 > web:443 ", For: 90 * time.Second, Comment: "ticket 7", UID: 1000})
	want := Status{Rule: Rule{Name: "t1", Action: policy.Drop, Pattern: "tcp 10.0.0.9 > web:443", For: 90 * time.Second, Set: start, UID: 1000, Comment: "ticket 7"},
		Left: 90 * time.Second, Expires: start.Add(90 * time.Second)}
	if s != want {
		t.Errorf("got %+v, want %+v", s, want)
	}
	for _, at := range []struct {
		left  time.Duration
		there bool
	}{{90 * time.Second, true}, {time.Second, true}, {time.Nanosecond, true}, {0, false}, {-time.Hour, false}} {
		f.now = start.Add(90*time.Second - at.left)
		rules := l.Rules()
		if there := f.rule(t, web) == "temporary/t1"; there != at.there || (len(rules) == 1) != at.there {
			t.Errorf("%v before its end: in force %t, shown %d", at.left, there, len(rules))
		}
		if at.there && rules[0].Left != at.left {
			t.Errorf("%v before its end: %v left", at.left, rules[0].Left)
		}
	}
}

func TestTheNewestRuleIsTriedFirst(t *testing.T) {
	l, f := open(t, "")
	add(t, l, Request{Pattern: "any > any"})
	add(t, l, Request{Action: policy.Accept, Pattern: "tcp any > web:443"})
	if got := f.rule(t, web); got != "temporary/t2" || !slices.Equal(names(l), []string{"t2", "t1"}) {
		t.Errorf("decided by %q of %v", got, names(l))
	}
	add(t, l, Request{Action: policy.Reject, Name: "stop", Pattern: "tcp any > any"})
	if got := f.rule(t, web); got != "temporary/stop" {
		t.Errorf("decided by %q", got)
	}
}

func TestRulesAreRemovedByNameOrNumberAllOrNone(t *testing.T) {
	l, f := open(t, "")
	for range 3 {
		add(t, l, Request{Pattern: "tcp any > web:443"})
	}
	add(t, l, Request{Name: "x", Pattern: "udp any > any"})
	if _, _, err := l.Remove("x", "t9"); !errors.Is(err, ErrUnknown) || !strings.Contains(err.Error(), `"t9"`) || len(names(l)) != 4 {
		t.Errorf("%v, %v", err, names(l))
	}
	removed, ended, err := l.Remove("x", "2", "x")
	if err != nil || ended != 3 || len(removed) != 2 || removed[0].Name != "x" || removed[1].Name != "t2" {
		t.Errorf("%+v, %d, %v", removed, ended, err)
	}
	if got := names(l); !slices.Equal(got, []string{"t3", "t1"}) || !slices.Equal(f.policy.Rules(), []string{"temporary/t3", "temporary/t1"}) {
		t.Errorf("left: %v, in force: %v", got, f.policy.Rules())
	}
	if s := add(t, l, Request{Pattern: "any > any"}); s.Name != "t4" {
		t.Errorf("a name comes back: %s", s.Name)
	}
	if _, _, err := l.Remove(""); !errors.Is(err, ErrUnknown) {
		t.Errorf("no name: %v", err)
	}
	f.after(2 * time.Hour)
	if _, _, err := l.Remove("t1"); !errors.Is(err, ErrUnknown) {
		t.Errorf("one that has expired: %v", err)
	}
}

func TestMistakesChangeNothing(t *testing.T) {
	path := filepath.Join(t.TempDir(), "state.json")
	l, f := open(t, path)
	add(t, l, Request{Name: "taken", Pattern: "any > any"})
	before, inForce := read(t, path), f.policy
	for _, tt := range []struct {
		request Request
		want    string
	}{
		{Request{Pattern: "tcp any > nobody:443", For: time.Hour}, `pattern: column 11: expected any, addresses, or an address_group of the rules file; there is no "nobody"`},
		{Request{Pattern: "tpc any > any", For: time.Hour}, "pattern: column 1: expected any, tcp"},
		{Request{Pattern: "tenant:gone any > any", For: time.Hour}, "pattern: column 1: expected a tenant"},
		{Request{Pattern: "any > any", For: time.Hour, Name: "taken"}, `expected another name: there is a temporary rule "taken"`},
		{Request{Pattern: "any > any", For: time.Hour, Name: "9"}, "expected a name of 1 to 64"},
		{Request{Pattern: "any > any"}, "expected a time from 1s to 30 days; this is 0s"},
		{Request{Pattern: "any > any", For: 499 * time.Millisecond}, "expected a time from 1s"},
		{Request{Pattern: "any > any", For: MaxFor + time.Second}, "expected a time from 1s"},
		{Request{Pattern: "any > any", For: 1<<63 - 1}, "expected a time from 1s"},
		{Request{Pattern: "any > any", For: -time.Hour}, "expected a time from 1s"},
		{Request{Pattern: "any > any", For: time.Hour, Comment: strings.Repeat("x", MaxComment+1)}, "expected a comment of at most 200 bytes; this one has 201"},
		{Request{Pattern: "any > any", For: time.Hour, Comment: "two\nlines"}, "expected a comment of one line"},
		{Request{Pattern: "any > any", For: time.Hour, Comment: "\x1b[2J"}, "expected a comment of one line"},
		{Request{Pattern: "any > any", For: time.Hour, Comment: "\u202e"}, "expected a comment of one line"},
		{Request{Pattern: "any > any", For: time.Hour, Action: 9}, "expected accept, drop or reject"},
	} {
		_, _, err := l.Add(tt.request)
		if _, ok := errors.AsType[*RequestError](err); !ok || !strings.HasPrefix(err.Error(), tt.want) {
			t.Errorf("%+v: got %v, want %s", tt.request, err, tt.want)
		}
	}
	if got := names(l); !slices.Equal(got, []string{"taken"}) || read(t, path) != before || f.policy != inForce {
		t.Errorf("something has changed: %v", got)
	}
	if s := add(t, l, Request{Pattern: "any > any", For: MaxFor}); s.Name != "t1" {
		t.Errorf("a mistake has used a name up: %s", s.Name)
	}
}

func TestTheListIsBounded(t *testing.T) {
	path := filepath.Join(t.TempDir(), "state.json")
	full := state{Version: stateVersion, Next: 5000}
	for i := range policy.MaxTemporary {
		d := time.Hour
		if i == 5 {
			d = time.Minute
		}
		full.Rules = append(full.Rules, stateRule{Name: fmt.Sprintf("t%d", i), Action: "drop", Pattern: fmt.Sprintf("udp any > any:%d", i) + strings.Repeat(" ", 1000),
			Seconds: int64(d / time.Second), Set: start, Expires: start.Add(d), Comment: strings.Repeat("x", MaxComment)})
	}
	if err := (&file{path: path}).write(full); err != nil {
		t.Fatal(err)
	}
	l, f := open(t, path)
	if _, _, err := l.Add(Request{Pattern: "any > any", For: time.Hour}); err == nil || !strings.Contains(err.Error(), "there are 1000 temporary rules") {
		t.Errorf("one too many: %v", err)
	}
	f.after(time.Minute) // one expires, and makes room
	add(t, l, Request{Pattern: "any > any"})
	if n := len(f.policy.Rules()); n != policy.MaxTemporary {
		t.Errorf("%d rules", n)
	}
}

func TestAReloadKeepsTheRulesAndSaysWhichAreNotInForce(t *testing.T) {
	l, f := open(t, "")
	add(t, l, Request{Pattern: "tenant:acme tcp any > web:443"})
	add(t, l, Request{Pattern: "udp any > any"})
	ended, err := l.Reload(compile(t, strings.Replace(rules, "web", "www", 1)))
	if err != nil || ended != 3 {
		t.Fatal(ended, err)
	}
	if got := f.rule(t, web); got != "" {
		t.Errorf("a rule about a group that is gone decides: %q", got)
	}
	if got := f.rule(t, "udp 10.0.0.9:1 > 10.0.0.1:443"); got != "temporary/t2" {
		t.Errorf("a rule that still means something: %q", got)
	}
	status := l.Rules()
	if len(status) != 2 || status[0].Inactive != "" || !strings.Contains(status[1].Inactive, `there is no "web"`) {
		t.Errorf("%+v", status)
	}
	add(t, l, Request{Pattern: "sctp any > any"}) // a change does not lose it
	if _, err := l.Reload(compile(t, strings.Replace(rules, "acme", "acme2", 1))); err != nil {
		t.Fatal(err)
	}
	if got := l.Rules()[2].Inactive; !strings.Contains(got, `there is no "acme". Did you mean "acme2"?`) {
		t.Errorf("the tenant is gone: %q", got)
	}
	if _, err := l.Reload(compile(t, rules)); err != nil {
		t.Fatal(err)
	}
	if got := f.rule(t, web); got != "temporary/t1" || l.Rules()[2].Inactive != "" {
		t.Errorf("when the group is back: %q", got)
	}
	f.fails = errors.New("the table does not follow")
	if _, err := l.Reload(compile(t, strings.Replace(rules, "web", "www", 1))); !errors.Is(err, f.fails) || l.Rules()[2].Inactive != "" {
		t.Errorf("after a failure: %v", err)
	}
}

func TestAChangeThatIsNotPutInForceIsNotKept(t *testing.T) {
	path := filepath.Join(t.TempDir(), "state.json")
	l, f := open(t, path)
	add(t, l, Request{Pattern: "any > any"})
	before := read(t, path)
	f.fails = errors.New("out of order")
	if _, _, err := l.Add(Request{Pattern: "udp any > any", For: time.Hour}); !errors.Is(err, f.fails) {
		t.Error(err)
	}
	if _, _, err := l.Remove("t1"); !errors.Is(err, f.fails) {
		t.Error(err)
	}
	if got := names(l); !slices.Equal(got, []string{"t1"}) || read(t, path) != before {
		t.Errorf("%v\n%s\nwant\n%s", got, read(t, path), before)
	}
}

// Whoever changes what at the same time: what is in force is what is listed and
// what is kept.
func TestChangesAreMadeOneAtATime(t *testing.T) {
	path := filepath.Join(t.TempDir(), "state.json")
	l, f := open(t, path)
	f.during = func() {
		if l.changing.TryLock() {
			t.Error("another change could be made meanwhile")
			l.changing.Unlock()
		}
	}
	other := compile(t, rules+"tenant \"globex\" {\n context_ids = [2]\n}\n")
	var changes sync.WaitGroup
	for w := range 4 {
		changes.Go(func() {
			for i := range 25 {
				name := fmt.Sprintf("w%d-%d", w, i)
				if _, _, err := l.Add(Request{Name: name, Pattern: fmt.Sprintf("udp any > any:%d", i), For: time.Hour}); err != nil {
					t.Error(err)
				}
				l.Rules()
				if i%2 == 0 {
					if _, _, err := l.Remove(name); err != nil {
						t.Error(err)
					}
				}
				if i%5 == 0 {
					if _, err := l.Reload(other); err != nil {
						t.Error(err)
					}
				}
			}
		})
	}
	changes.Wait()
	got := names(l)
	if len(got) != 4*12 {
		t.Errorf("%d rules: %v", len(got), got)
	}
	var inForce []string
	for _, name := range f.policy.Rules() {
		inForce = append(inForce, strings.TrimPrefix(name, policy.TemporaryPrefix))
	}
	if !slices.Equal(inForce, got) || len(f.policy.Tenants()) != 2 {
		t.Errorf("in force: %v, tenants %v", inForce, f.policy.Tenants())
	}
	if kept := names(openAt(t, path, &fake{now: start})); !slices.Equal(kept, got) {
		t.Errorf("kept: %v", kept)
	}
}

func read(t testing.TB, path string) string {
	t.Helper()
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}
