package main

import (
	"bytes"
	"encoding/json"
	"errors"
	"slices"
	"strings"
	"testing"
	"time"

	"sttwall/bench/rows"
	"sttwall/internal/load"
)

func TestMedianIsTheMiddle(t *testing.T) {
	for _, tt := range []struct {
		list []float64
		want float64
	}{{nil, 0}, {[]float64{3}, 3}, {[]float64{3, 1}, 2}, {[]float64{9, 1, 5}, 5}, {[]float64{4, 1, 100, 2}, 3}} {
		before := append([]float64(nil), tt.list...)
		if got := rows.Median(tt.list); got != tt.want {
			t.Errorf("%v: got %v, want %v", tt.list, got, tt.want)
		}
		for i := range before {
			if tt.list[i] != before[i] {
				t.Errorf("%v became %v", before, tt.list)
			}
		}
	}
}

// results is an entry after three rounds.
func results() *entry {
	e := &entry{variant: forward{}, window: 512, calls: 0.25}
	for i, pps := range []float64{100e3, 300e3, 200e3} {
		e.add(load.Result{
			PPS: pps, Gbps: pps / 1e6, Busy: []float64{1, 0.5}, Process: time.Duration(1000 * (i + 1)), Waited: float64(i), Lost: uint64(i / 2),
		}, 1e6)
	}
	return e
}

func TestARowHasMediansOfTheRounds(t *testing.T) {
	got := results().row(cell{load.Segments45, 2, 1000})
	want := Row{
		Variant: "forward", Packet: "45", Queues: 2, Flows: 1000, PPS: 200e3, Each: []float64{100e3, 300e3, 200e3}, Gbps: 0.2, Ratio: 0.2, Lost: 1, CPU: 0.5, Time: 2000,
		SystemCalls: 0.25, Window: 512, Waited: 1,
	}
	if got.Latency != nil {
		t.Errorf("latency that was not taken: %v", got.Latency)
	}
	if a, b := mustJSON(t, got), mustJSON(t, want); a != b {
		t.Errorf("got  %s\nwant %s", a, b)
	}
}

func mustJSON(t *testing.T, r Row) string {
	t.Helper()
	b, err := json.Marshal(r)
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

// Whoever reads the rows relies on these names.
func TestRowsOfJSONHaveTheirNames(t *testing.T) {
	var out bytes.Buffer
	if err := rows.Write(&out, []Row{results().row(cell{load.Small150, 1, 1})}); err != nil {
		t.Fatal(err)
	}
	var got map[string]any
	if err := json.Unmarshal(out.Bytes(), &got); err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"variant", "packet", "queues", "flows", "pps", "gbps", "ratio", "lost", "ns", "system_calls", "window", "waited", "run"} {
		if _, ok := got[name]; !ok {
			t.Errorf("no %q in %s", name, &out)
		}
	}
	if strings.Count(out.String(), "\n") != 1 {
		t.Errorf("more than a line: %s", &out)
	}
}

func TestTheTableShowsWhatIsMissing(t *testing.T) {
	e := results()
	l := &latencies{load: "half", pps: 50e3}
	var h load.Histogram
	h.Counts[20] = 10 // 20 and 21 ns
	l.add(&h)
	e.latency = append(e.latency, l)
	broken := &entry{variant: &sttwall{title: "sttwall_accept"}, err: errors.New("it ended")}
	var out bytes.Buffer
	c := cell{load.Small150, 1, 1000}
	if err := rows.Table(&out, []Row{e.row(c), broken.row(c)}); err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{"packets 150, 1 queue, 1000 flows", "forward   200    0.20", "half    50     0.0", "sttwall_accept: it ended"} {
		if !strings.Contains(out.String(), want) {
			t.Errorf("no %q in\n%s", want, &out)
		}
	}
}

// A question has its variants, and forwarding, which the ratios are of.
func TestEachCellTakesTheVariantsOfItsQuestion(t *testing.T) {
	var known []string
	for _, v := range variants("sttwall") {
		known = append(known, v.name())
	}
	for _, list := range [][]string{flowVariants, queueVariants, timedVariants} {
		for _, name := range list {
			if !slices.Contains(known, name) {
				t.Errorf("no variant %s", name)
			}
		}
	}
	for _, tt := range []struct {
		cell cell
		want int
	}{
		{cell{load.Small150, 1, 1000}, len(known) - 2}, {cell{load.GSO64K, 1, 1000}, len(known)},
		{cell{load.Small150, 1, 1}, len(flowVariants)}, {cell{load.Small150, 1, 1_000_000}, len(flowVariants)},
		{cell{load.Full1500, 2, 1000}, len(queueVariants) - 1}, {cell{load.GSO64K, 2, 1000}, len(queueVariants)},
	} {
		var taken []string
		for _, v := range variants("sttwall") {
			if tt.cell.takes(v) {
				taken = append(taken, v.name())
			}
		}
		if len(taken) != tt.want || taken[0] != "forward" || !slices.Contains(taken, "c_batch") || !slices.Contains(taken, "sttwall_rules_1000") {
			t.Errorf("%v takes %v, want %d", tt.cell, taken, tt.want)
		}
	}
}

func TestWhatIsLeftIsByWhatStepsTookSoFar(t *testing.T) {
	o := options{rounds: 7, duration: time.Second, latency: true}
	var at time.Time
	c := []cell{{load.Small150, 1, 1000}} // timed
	p := newProgress(o, c, []variant{forward{}, &sttwall{title: "sttwall_accept"}}, func() time.Time { return at })
	if want := 4*c[0].startTime() + 4*7*o.step(); p.all != want {
		t.Errorf("expects %v, want %v", p.all, want)
	}
	p.all = 10 * time.Minute
	for _, tt := range []struct {
		did, takes time.Duration
		want       string
	}{
		{0, 0, "10 min left"}, {time.Minute, 2 * time.Minute, "18 min left"}, {8 * time.Minute, 7 * time.Minute, "1 min left"},
		{30 * time.Second, 30 * time.Second, "30 s left"}, {time.Minute, time.Minute, "0 s left"},
	} {
		at = at.Add(tt.takes)
		if p.did(tt.did); p.String() != tt.want {
			t.Errorf("after %v of what it expected, in %v: %v, want %s", p.behind, at.Sub(p.began), p, tt.want)
		}
	}
}

func TestCellsAreThoseThatWereAskedFor(t *testing.T) {
	for _, tt := range []struct {
		name       string
		args       []string
		want, most int // cells; of them with how many queues
	}{
		{"all", nil, 12, 2},
		{"quick", []string{"--quick"}, 5, 1},
		{"one kind", []string{"--packets", "^150$"}, 4, 2},
		{"one queue", []string{"--queues", "1"}, 7, 1},
		{"few flows", []string{"--flows", "1"}, 1, 1},
	} {
		o, err := parse(tt.args)
		if err != nil {
			t.Fatal(err)
		}
		list := cells(o)
		most := 0
		for _, c := range list {
			most = max(most, c.queues)
			if n := len(placeOf(c).cpus); n != c.queues {
				t.Errorf("%s: %v: %d CPUs", tt.name, c, n)
			}
		}
		if len(list) != tt.want || most != tt.most {
			t.Errorf("%s: %d cells with up to %d queues, want %d with %d", tt.name, len(list), most, tt.want, tt.most)
		}
	}
	for _, args := range [][]string{{"--packets", "("}, {"--variants", "["}, {"more"}, {"--rounds", "-1"}, {"--duration", "-1s"}, {"--queues", "9"}, {"--packets", "151"}, {"--quick", "--queues", "2"}, {"--flows", "2"}} {
		if _, err := parse(args); err == nil {
			t.Errorf("%v was taken", args)
		}
	}
}
