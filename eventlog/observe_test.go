package eventlog

import (
	"encoding/json"
	"fmt"
	"log/slog"
	"path/filepath"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"sttwall/control"
	"sttwall/firewall"
	"sttwall/limit"
	"sttwall/policy"
)

func TestEventsOfATypeAreSampledAndTheRestIsTold(t *testing.T) {
	for name, tt := range map[string]struct {
		rate limit.Rate
		want int
	}{"three a second": {rate(3), 3}, "none": {limit.Rate{}, 0}} {
		t.Run(name, func(t *testing.T) {
			path := filepath.Join(t.TempDir(), "eve.json")
			r := start(t, testRules, Config{Targets: []Target{target(t, path)}, Sampled: tt.rate})
			for i := range 10 {
				r.send(t, 100, "udp 10.0.0.1:9 > 10.0.0.2:54", there)
				r.send(t, 100, "tcp 10.0.0.1:9 > 10.0.0.2:23 syn", there)
				r.send(t, 100, "udp 10.0.0.1:9 > 10.0.0.2:514", there)
				r.send(t, 200, "icmp 10.0.0.1 > 10.0.0.2 echo-request", there)
				r.send(t, 100, fmt.Sprintf("udp 10.0.0.1:%d > 10.0.0.2:53", 1000+i), there) // flows are not
			}
			r.end()
			count := map[string]int{}
			var last string
			for _, l := range lines(t, path) {
				count[l.Type()]++
				if l.Type() == TypeStats {
					last = l.Text("sttwall.event_log.left_out")
				}
			}
			left := 10 - tt.want
			if count[TypeDrop] != tt.want || count[TypeReject] != tt.want || count[TypeAccept] != tt.want || count[TypeWouldDrop] != tt.want || count[TypeFlowStart] != 11 || count[TypeFlow] != 11 {
				t.Errorf("%v", count)
			}
			if want := fmt.Sprintf("map[accept:%d drop:%d reject:%d would_drop:%d]", left, left, left, left); last != want {
				t.Errorf("left out: got %s, want %s", last, want)
			}
		})
	}
}

// What a worker pays for a frame: with nobody there, and with a log that takes it, that
// is full, or that does not sample it.
func TestObservingAllocatesNothing(t *testing.T) {
	var none *Log
	e := &firewall.FrameEvent{Verdict: firewall.Accept, Begins: true, Decision: policy.Decision{Audit: true}}
	if n := testing.AllocsPerRun(100, func() { none.Observe(e) }); n != 0 {
		t.Errorf("no log: %v allocations", n)
	}
	l, err := New(Config{Targets: []Target{{path: "/x"}}, Sampled: rate(1000), Log: slog.New(slog.DiscardHandler)})
	if err != nil {
		t.Fatal(err)
	}
	c := newCore(t, testRules, l.Observe)
	drop := c.frame(t, 100, "udp 10.0.0.1:9 > 10.0.0.2:54", there)
	passes := c.frame(t, 100, "udp 10.0.0.1:9 > 10.0.0.2:514", there)
	c.process(drop)
	c.process(passes)
	if n := testing.AllocsPerRun(framesRoom, func() {
		c.pass(time.Millisecond)
		c.process(drop)
		c.process(passes)
	}); n != 0 {
		t.Errorf("%v allocations", n)
	}
	if l.frames.Lost() == 0 || l.samplers[sampledDrop].leftOut.Load() != 0 {
		t.Error("the ring was never full")
	}
}

func BenchmarkObserve(b *testing.B) {
	l, err := New(Config{Targets: []Target{{path: "/x"}}, Sampled: rate(100), Log: slog.New(slog.DiscardHandler)})
	if err != nil {
		b.Fatal(err)
	}
	for name, e := range map[string]*firewall.FrameEvent{
		"passes": {Verdict: firewall.Accept}, "over the bound": {Verdict: firewall.Drop}, "begins": {Verdict: firewall.Accept, Begins: true},
	} {
		b.Run(name, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				l.Observe(e)
				l.frames.Take(func(*seen) {})
			}
		})
	}
}

func TestReloadsThatWaitAreBounded(t *testing.T) {
	l, err := New(Config{Targets: []Target{{path: "/x"}}, Log: slog.New(slog.DiscardHandler)})
	if err != nil {
		t.Fatal(err)
	}
	for i := range maxTold + 7 {
		l.Tell(reloaded1(i))
	}
	l.Tell(&control.Event{Type: control.EventDrop}) // is not for it
	if c := l.Health(); c.Lost != 7 || len(l.told) != maxTold {
		t.Errorf("%+v", c)
	}
}

func TestANilLogDoesNothing(t *testing.T) {
	var l *Log
	l.Tell(reloaded1(1))
	l.Reopen()
	if c := l.Health(); c != nil {
		t.Errorf("%+v", c)
	}
}

// Names may hold anything: the line is JSON all the same, is one line, and does nothing
// to a terminal.
func FuzzNamesMakeValidLines(f *testing.F) {
	for _, seed := range []string{"acme", "a\"b\\c", "\x1b[2J\x00", "\xff\xfe\xc3", "\u009b31m", "\u2028\u2029\u202e\u200f", "</script>", "日本語", "\U0001f600", "\n{\"a\":1}\n", strings.Repeat("x", 5000)} {
		f.Add(seed, seed)
	}
	s := schema(f)
	f.Fuzz(func(t *testing.T, tenant, rule string) {
		r := &record{
			Timestamp: new(stamper).stamp(time.Unix(0, 0)), EventType: TypeReload, Host: tenant,
			Own: &own{Tenant: tenant, Rule: rule, Reload: &reloaded{Error: rule}},
		}
		text, err := newEncoder().line(r)
		if err != nil {
			t.Fatal(err)
		}
		if n := strings.Count(string(text), "\n"); n != 1 || text[len(text)-1] != '\n' || !utf8.Valid(text) {
			t.Fatalf("%q", text)
		}
		for _, c := range string(text[:len(text)-1]) {
			if c < 0x20 || acts(c) {
				t.Fatalf("%q holds %q", text, c)
			}
		}
		l, err := s.Line(text)
		if err != nil {
			t.Fatal(err)
		}
		want := strings.ToValidUTF8(tenant, "\ufffd")
		if got := l.Text("sttwall.tenant"); utf8.ValidString(tenant) && got != want {
			t.Fatalf("got %q, want %q", got, want)
		}
		for _, c := range sentence(r) {
			if c < 0x20 || acts(c) {
				t.Fatalf("%q holds %q", sentence(r), c)
			}
		}
	})
}

// A line must not depend on what encoding/json happens to escape.
func TestTheTextOfALineIsNotEscapedForHTML(t *testing.T) {
	text, err := newEncoder().line(&record{EventType: TypeReload, Own: &own{Tenant: "a&b<c>\u009b"}})
	if err != nil || !strings.Contains(string(text), `"tenant":"a&b<c>\u009b"`) || !json.Valid(text) {
		t.Errorf("%s, %v", text, err)
	}
}

func TestTimesAreWrittenAsSuricataWritesThem(t *testing.T) {
	var s stamper
	zones := []*time.Location{time.UTC, time.FixedZone("east", 5*3600+30*60), time.FixedZone("west", -3*3600)}
	for i, ns := range []int64{0, 1, 999_999_999, 1_000_000_000, 1_234_567_891, 1_732_628_676_000_042_000, 1_732_628_676_999_999_999, 1_732_628_675_100_000_000} {
		at := time.Unix(0, ns).In(zones[i%len(zones)])
		s.head = "" // another zone
		for range 2 {
			if got, want := string(s.stamp(at)), at.Format("2006-01-02T15:04:05.000000-0700"); got != want {
				t.Errorf("got %s, want %s", got, want)
			}
		}
	}
}

// A mistake of ours in one line costs that line.
func TestAMistakeInALineStopsNothing(t *testing.T) {
	said := make(Said, 100)
	l, err := New(Config{Targets: []Target{{path: "/x"}}, Sampled: rate(100), Log: slog.New(said)})
	if err != nil {
		t.Fatal(err)
	}
	core := newCore(t, testRules, l.Observe)
	c := newCollector(l, core)
	told := 0
	c.put = func(*sink, line) {
		if told++; told == 1 {
			panic("a mistake")
		}
	}
	core.send(t, 100, "udp 10.0.0.1:9 > 10.0.0.2:54", there)
	core.send(t, 100, "udp 10.0.0.1:9 > 10.0.0.2:55", there)
	c.look(time.Now())
	if told != 2 || l.frames.Waiting() != 0 {
		t.Errorf("%d told, %d wait", told, l.frames.Waiting())
	}
	said.Wait(t, "a mistake in sttwall's event log")
}

// More than the ring has room for comes between two looks of the clock only if it comes
// faster than lines are made.
func TestWhereMuchHappensItLooksAgainAtOnce(t *testing.T) {
	l, err := New(Config{Targets: []Target{{path: "/x"}}, Sampled: rate(1 << 20), Log: slog.New(slog.DiscardHandler)})
	if err != nil {
		t.Fatal(err)
	}
	core := newCore(t, testRules, l.Observe)
	c := newCollector(l, core)
	drop := core.frame(t, 100, "udp 10.0.0.1:9 > 10.0.0.2:54", there)
	told := 0
	c.put = func(*sink, line) {
		if told++; told <= 2*framesRoom {
			core.process(drop) // one more for each that is taken
		}
	}
	for range framesRoom / 2 {
		core.process(drop)
	}
	c.look(time.Now())
	if want := 2*framesRoom + framesRoom/2; told != want || l.frames.Lost() != 0 {
		t.Errorf("%d told, want %d; %d lost", told, want, l.frames.Lost())
	}
}
