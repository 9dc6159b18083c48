package bench

import (
	"context"
	"errors"
	"fmt"
	"os"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"sttwall/internal/benchreport"
	"sttwall/internal/load"
	"sttwall/policy"
)

// config is a short benchmark of our own rules.
func config(t *testing.T) Config {
	t.Helper()
	p, asked, err := BuiltIn(3, 20)
	if err != nil {
		t.Fatal(err)
	}
	f, err := Choose(p, time.Now().UnixNano(), asked, 20)
	if err != nil {
		t.Fatal(err)
	}
	c := Config{Flow: *f, Packets: []load.Packet{load.Small150, load.Segments45, load.GSO64K}, Flows: 20, Rounds: 2, Duration: 30 * time.Millisecond}
	c.Inline.Policy, c.Inline.Queues, c.Inline.Queue.Number = p, 1, 17
	return c
}

// measure runs it, where that is possible.
func measure(t *testing.T, ctx context.Context, c Config) ([]benchreport.Sample, error) {
	t.Helper()
	if os.Geteuid() != 0 {
		t.Skip("needs root, since BPF is closed to others")
	}
	samples, err := Run(ctx, c)
	if errors.Is(err, unix.EPERM) && os.Getenv("CI") == "" {
		t.Skip(err)
	}
	return samples, err
}

// descriptors counts what the process has open: namespaces, BPF programs and maps, sockets.
func descriptors(t *testing.T) int {
	t.Helper()
	list, err := os.ReadDir("/proc/self/fd")
	if err != nil {
		t.Fatal(err)
	}
	return len(list)
}

func TestWhereNothingArrivesItIsMeasuredLonger(t *testing.T) {
	var tried []time.Duration
	arrives := func(at int) (int, error) {
		tried = nil
		return longer(20*time.Millisecond, func(d time.Duration) (int, bool, error) {
			tried = append(tried, d)
			return len(tried), len(tried) == at, nil
		})
	}
	if got, err := arrives(1); got != 1 || err != nil || len(tried) != 1 {
		t.Errorf("got %d, %v after %v", got, err, tried)
	}
	if got, err := arrives(3); got != 3 || err != nil || tried[0] != 20*time.Millisecond || tried[1] != longTime || tried[2] != 4*longTime {
		t.Errorf("got %d, %v after %v", got, err, tried)
	}
	if _, err := arrives(99); err == nil || len(tried) != 1+triesMore {
		t.Errorf("%v after %v", err, tried)
	}
	gone := errors.New("gone")
	if _, err := longer(time.Second, func(time.Duration) (int, bool, error) { return 0, false, gone }); err != gone {
		t.Errorf("got %v", err)
	}
}

func TestEachWayIsMeasuredInEachRound(t *testing.T) {
	c := config(t)
	told := 0
	c.Progress = func(p Progress) {
		if p.Done != told || p.Of != 18 || p.Way != benchreport.Ways[told%3] || p.Round != told/3%2+1 || p.Packet != c.Packets[told/6].String() {
			t.Errorf("progress %d: %+v", told, p)
		}
		told++
	}
	samples, err := measure(t, t.Context(), c)
	if err != nil {
		t.Fatal(err)
	}
	if told != 18 || len(samples) != 18 {
		t.Fatalf("%d samples, told of %d", len(samples), told)
	}
	for i, s := range samples {
		// A sink that was counting when the measurement began had counted one packet's bytes already.
		if s.Way != benchreport.Ways[i%3] || s.Packet != c.Packets[i/6].String() || s.Packets == 0 || s.Bytes < 150*(s.Packets-1) || s.Lost != 0 {
			t.Errorf("sample %d: %+v", i, s)
		}
		if l := s.Latency; l == nil || l.P50 <= 0 {
			t.Errorf("sample %d: latency %+v", i, l)
		}
		if (s.CPU == 0) != (s.Way == benchreport.Forward) && s.Way != benchreport.Forward {
			t.Errorf("sample %d: no processor time", i)
		}
	}
}

func TestAnInterruptedRunLeavesNothingAndHasWholeRounds(t *testing.T) {
	c := config(t)
	// What epoll and the like need once is there behind the first run.
	once := c
	once.Packets, once.Rounds = c.Packets[:1], 1
	if _, err := measure(t, t.Context(), once); err != nil {
		t.Fatal(err)
	}
	before := descriptors(t)
	ctx, cancel := context.WithCancel(t.Context())
	c.Progress = func(p Progress) {
		if p.Done == 4 {
			cancel()
		}
	}
	samples, err := measure(t, ctx, c)
	if !errors.Is(err, context.Canceled) || len(samples) != 3 {
		t.Errorf("%d samples, %v", len(samples), err)
	}
	cancelled, cancel := context.WithCancel(t.Context())
	cancel()
	if samples, err := measure(t, cancelled, c); !errors.Is(err, context.Canceled) || len(samples) != 0 {
		t.Errorf("%d samples, %v", len(samples), err)
	}
	if after := descriptors(t); after != before {
		t.Errorf("%d descriptors are open, %d were before", after, before)
	}
}

func TestWhoDropsIsNamed(t *testing.T) {
	// The rules are asked for one flow and get more than their tenant may have.
	p := rules(t, `
settings {
  endpoints = ["10.48.0.0/16"]
}
tenant "small" {
  context_ids    = [100]
  default_action = "accept"
  limits {
    flows = 5
  }
}`)
	f, err := Choose(p, time.Now().UnixNano(), Asked{}, 1)
	if err != nil {
		t.Fatal(err)
	}
	c := config(t)
	c.Flow, c.Inline.Policy = *f, p
	if _, err := measure(t, t.Context(), c); err == nil || !strings.Contains(err.Error(), "rules: context 100, tcp ") || !strings.Contains(err.Error(), " dropped as ") {
		t.Errorf("got %v", err)
	} else {
		t.Log(err)
	}
}

func TestAConfigOutOfItsBoundsIsRefused(t *testing.T) {
	for _, change := range []func(*Config){
		func(c *Config) { c.Packets = nil }, func(c *Config) { c.Flows = 0 }, func(c *Config) { c.Flows = load.MaxFlows + 1 },
		func(c *Config) { c.Rounds = 0 }, func(c *Config) { c.Rounds = MaxRounds + 1 },
		func(c *Config) { c.Duration = MinDuration - 1 }, func(c *Config) { c.Duration = MaxDuration + 1 },
	} {
		c := config(t)
		change(&c)
		if samples, err := Run(t.Context(), c); err == nil || samples != nil {
			t.Errorf("%+v: %v, %v", c, samples, err)
		}
	}
}

func TestWhatIsMissingIsSaid(t *testing.T) {
	for err, want := range map[error]string{
		unix.EPERM: "needs root of the whole machine", unix.EACCES: "needs root of the whole machine",
		unix.EINVAL: "Linux 5.18", unix.EOPNOTSUPP: "Linux 5.18", unix.ENOSYS: "Linux 5.18", unix.ENOENT: "cls_bpf",
		unix.ENOMEM: "cannot allocate memory",
	} {
		wrapped := fmt.Errorf("load: board: %w", err)
		if got := explained(wrapped); !errors.Is(got, err) || !strings.Contains(got.Error(), want) || !strings.Contains(got.Error(), "load: board") {
			t.Errorf("%v: got %v", err, got)
		}
	}
}

func TestBuiltInRulesAreAsManyAsAskedFor(t *testing.T) {
	for _, n := range []int{1, 2, 1000} {
		p, _, err := BuiltIn(n, 1)
		if err != nil || len(p.Rules()) != n || p.Settings().Flows != policy.DefaultFlows {
			t.Errorf("%d: %v", n, err)
		}
	}
	for _, n := range []int{0, MaxBuiltIn + 1} {
		if _, _, err := BuiltIn(n, 1); err == nil {
			t.Errorf("%d rules", n)
		}
	}
	if p, _, err := BuiltIn(1, load.MaxFlows); err != nil || p.Settings().Flows < load.MaxFlows {
		t.Errorf("no room for all flows: %v", err)
	}
}

func TestTheProcessorIsNamed(t *testing.T) {
	for text, want := range map[string]string{
		"processor\t: 0\nmodel name\t: Some  CPU @ 3 GHz\nmodel name\t: another\n": "Some CPU @ 3 GHz",
		"processor\t: 0\nCPU implementer\t: 0x41\n":                                "unknown processor",
	} {
		if got := processor(text); got != want {
			t.Errorf("got %q, want %q", got, want)
		}
	}
	h, err := Host("v1")
	if err != nil || h.Version != "v1" || h.Kernel == "" || h.CPUs < 1 {
		t.Errorf("%+v, %v", h, err)
	}
}
