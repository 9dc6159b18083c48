package chaos

import (
	"testing"
	"time"
)

// asked makes a probe that has asked every 10 ms; answers are ms after the question,
// negative for none.
func asked(start time.Time, answers ...int) *probe {
	p := newProbe()
	for i, ms := range answers {
		sent := start.Add(time.Duration(i) * 10 * time.Millisecond)
		at := time.Time{}
		if ms >= 0 {
			at = sent.Add(time.Duration(ms) * time.Millisecond)
		}
		p.sent, p.answered = append(p.sent, sent), append(p.answered, at)
	}
	return p
}

func TestLossAndGapAreThoseOfTheSpan(t *testing.T) {
	start := time.Now()
	p := asked(start, -1, 1, 1, -1, -1, 1, 1)
	l := p.loss(window{start.Add(10 * time.Millisecond), start.Add(60 * time.Millisecond)})
	if l.asked != 6 || l.lost != 2 || l.gap != 30*time.Millisecond {
		t.Errorf("%+v, want 6 asked, 2 lost, a gap of 30 ms", l)
	}
	if l := p.loss(window{start, start.Add(time.Second)}); l.gap != 939*time.Millisecond || l.lost != 3 {
		t.Errorf("%+v: nothing came at the end for 939 ms", l)
	}
}

func TestSteadyWantsAnswersInARow(t *testing.T) {
	start := time.Now()
	answers := []int{-1}
	for range steadyProbes - 1 {
		answers = append(answers, 1)
	}
	if _, ok := asked(start, answers...).steady(start); ok {
		t.Errorf("%d answers are not %d", steadyProbes-1, steadyProbes)
	}
	answers = append(answers, 1)
	at, ok := asked(start, answers...).steady(start)
	if want := start.Add(11 * time.Millisecond); !ok || !at.Equal(want) {
		t.Errorf("steady since %v, %v, want %v", at, ok, want)
	}
	if _, ok := asked(start, answers...).steady(start.Add(20 * time.Millisecond)); ok {
		t.Error("what was asked before counts")
	}
}

func TestAnotherByteIsNoticed(t *testing.T) {
	p := newProbe()
	b := p.ask()
	b[100] ^= 1
	if p.answer(b); p.corrupt.Load() != 1 || !p.answered[0].IsZero() {
		t.Error("it is not")
	}
	b[100] ^= 1
	if p.answer(b); p.corrupt.Load() != 1 || p.answered[0].IsZero() {
		t.Error("the right answer does not count")
	}
}

func TestWhatArrivesIsSortedByWindow(t *testing.T) {
	d := newDenied()
	start := time.Now()
	for i, sort := range []int{0, 1, 1, 2} {
		d.seen = append(d.seen, sighting{start.Add(time.Duration(i) * time.Second), sort})
	}
	span := window{from: start}
	inside, outside, sorts := d.arrivals(span, window{from: start.Add(500 * time.Millisecond), to: start.Add(1500 * time.Millisecond)}, "")
	if want := "1 × " + d.names[0] + ", 1 × " + d.names[1] + ", 1 × " + d.names[2]; inside != 1 || outside != 3 || sorts != want {
		t.Errorf("%d, %d, %q, want %q", inside, outside, sorts, want)
	}
	if inside, outside, _ := d.arrivals(span, window{}, ""); inside != 0 || outside != 4 {
		t.Errorf("with nothing opened: %d, %d", inside, outside)
	}
	if inside, outside, _ := d.arrivals(span, window{from: start}, d.names[1]); inside != 2 || outside != 2 {
		t.Errorf("with one sort opened: %d, %d", inside, outside)
	}
	d.see(append([]byte("headers"), d.mark(5)...), false)
	d.see(append([]byte("headers"), d.mark(5)...), true)
	d.see([]byte("something else"), false)
	if d.total[5] != 1 {
		t.Errorf("%d packets were seen, and one was to be", d.total[5])
	}
}

func TestTheHierarchyIsFoundInTheMounts(t *testing.T) {
	const mounts = `25 1 0:22 / /sys/fs/cgroup rw - tmpfs tmpfs rw
26 25 0:23 / /sys/fs/cgroup/cpu rw - cgroup cgroup rw,cpu
27 25 0:24 / /sys/fs/cgroup/memory rw - cgroup cgroup rw,memory
28 25 0:25 / /sys/fs/cgroup/unified rw - cgroup2 cgroup2 rw
`
	for version, want := range map[int]string{1: "/sys/fs/cgroup/memory", 2: "/sys/fs/cgroup/unified"} {
		if got := rootOf(mounts, version); got != want {
			t.Errorf("version %d: %q, want %q", version, got, want)
		}
	}
	if got := rootOf("", 2); got != "" {
		t.Errorf("in no mounts: %q", got)
	}
}
