package soak

import (
	"math"
	"math/rand/v2"
	"strings"
	"testing"
	"time"

	"sttwall/internal/chaos"
)

// longRun is two hours of samples of a firewall that stays as it is: memory goes in waves, as
// that of a collected heap does, and now and then a screen is attached.
func longRun(seed uint64) ([]Sample, *End) {
	r := rand.New(rand.NewPCG(seed, 1))
	var samples []Sample
	for at := 5 * time.Second; at <= 2*time.Hour; at += 5 * time.Second {
		wave := int64(at/time.Second%70) * 200 << 10
		s := Sample{
			After: at, Resident: 90<<20 + wave/4 + r.Int64N(1<<20), Heap: 30<<20 + wave + r.Int64N(1<<20),
			Goroutines: 24, Files: 24, Threads: 12, Flows: 5, Asked: 1000, P50: time.Millisecond, P99: 3 * time.Millisecond,
		}
		if at < 4*time.Minute { // warming up
			s.Resident, s.Heap = s.Resident/2, s.Heap/2
		}
		if r.IntN(4) == 0 {
			s.Goroutines, s.Files = s.Goroutines+4, s.Files+2
		}
		samples = append(samples, s)
	}
	return samples, &End{
		Totals: chaos.Totals{DeniedSent: 100000, Verified: 10 << 30, Whole: 2000}, Took: 2 * time.Hour, Done: map[string]int{"reload": 40},
	}
}

func wrong(v Verdict) (names []string) {
	for _, c := range v {
		if !c.OK {
			names = append(names, c.Name)
		}
	}
	return names
}

func TestWhatIsNotAsItShouldBeIsFound(t *testing.T) {
	each := func(change func(part float64, s *Sample)) func([]Sample, *End) {
		return func(samples []Sample, _ *End) {
			for i := range samples {
				change(float64(i)/float64(len(samples)), &samples[i])
			}
		}
	}
	for _, test := range []struct {
		name   string
		change func([]Sample, *End)
		want   string // "": all is well
	}{
		{"nothing", func([]Sample, *End) {}, ""},
		{"a leak of 10 MiB an hour", each(func(p float64, s *Sample) { s.Resident += int64(p * 20 * (1 << 20)) }), "resident memory"},
		{"a leak of the heap, below its waves", each(func(p float64, s *Sample) { s.Heap += int64(p * 8 * (1 << 20)) }), "heap"},
		{"a descriptor each half hour", each(func(p float64, s *Sample) { s.Files += int(p * 4) }), "open files"},
		{"ten goroutines in two hours", each(func(p float64, s *Sample) { s.Goroutines += int(p * 10) }), "goroutines"},
		{"a leak that begins in the middle", each(func(p float64, s *Sample) { s.Resident += int64(max(0, p-0.5) * 60 * (1 << 20)) }), "resident memory"},
		{"memory that falls", each(func(p float64, s *Sample) { s.Resident -= int64(p * 20 * (1 << 20)) }), ""},
		{"a peak", each(func(p float64, s *Sample) {
			if p > 0.6 && p < 0.65 {
				s.Resident += 500 << 20
			}
		}), ""},
		{"a step while it warms up", each(func(p float64, s *Sample) {
			if p > 0.2 {
				s.Resident += 40 << 20
			}
		}), ""},
		{"growth that is allowed", each(func(p float64, s *Sample) { s.Resident += int64(p * 3 * (1 << 20)) }), ""},
		{"a lost question", func(s []Sample, _ *End) { s[900].Lost = 1 }, "accepted frames"},
		{"lost questions under overload", func(s []Sample, _ *End) { s[900].Lost, s[900].Overload = 9, true }, ""},
		{"lost questions that were asked under overload", func(s []Sample, _ *End) { s[898].Overload, s[900].Lost = true, 9 }, ""},
		{"lost questions long after an overload", func(s []Sample, _ *End) { s[897].Overload, s[900].Lost = true, 9 }, "accepted frames"},
		{"no questions", each(func(_ float64, s *Sample) { s.Asked = 0 }), "accepted frames"},
		{"other bytes", func(_ []Sample, e *End) { e.Corrupt = 1 }, "transfers"},
		{"no transfers", func(_ []Sample, e *End) { e.Verified = 0 }, "transfers"},
		{"a denied packet that arrived", func(_ []Sample, e *End) { e.Denied = 1 }, "denied packets"},
		{"a watch that missed packets", func(_ []Sample, e *End) { e.Missed = 1 }, "denied packets"},
		{"none that was denied", func(_ []Sample, e *End) { e.DeniedSent = 0 }, "denied packets"},
		{"a reload that failed", func(_ []Sample, e *End) { e.Failed = []string{"reload: no"} }, "disturbances"},
	} {
		t.Run(test.name, func(t *testing.T) {
			for seed := range uint64(20) {
				samples, end := longRun(seed)
				test.change(samples, end)
				v := Judge(samples, end)
				if got := strings.Join(wrong(v), ", "); got != test.want || v.OK() != (test.want == "") {
					t.Fatalf("seed %d: got %q, want %q\n%+v", seed, got, test.want, v)
				}
			}
		})
	}
}

func TestAShortRunIsNotJudged(t *testing.T) {
	samples, end := longRun(1)
	v := Judge(samples[:60], end) // five minutes
	for _, c := range v[:4] {
		if !c.OK || !strings.Contains(c.Text, "not judged") {
			t.Errorf("%+v, of five minutes", c)
		}
	}
}

// The slope is that of a slow and obvious way for a line without noise.
func TestTheTrendOfALineIsItsSlope(t *testing.T) {
	for _, slope := range []float64{-2, 0, 0.5, 3} {
		var values []float64
		for i := range 60 {
			values = append(values, 100+slope*float64(i))
		}
		l := Trend(values)
		if math.Abs(l.Growth-slope*59) > 1e-9 || math.Abs(l.Least-slope*59) > 1e-9 || l.Points != 60 {
			t.Errorf("slope %v: got %+v, want a growth of %v", slope, l, slope*59)
		}
	}
}

// Of flat series with noise, at most as many are taken for rising as the interval says: one
// in two hundred. Here no growth is allowed at all.
func TestNoiseIsNoTrend(t *testing.T) {
	r := rand.New(rand.NewPCG(7, 7))
	rising := 0
	const runs = 1000
	for range runs {
		values := make([]float64, 80)
		for i := range values {
			values[i] = 100 + r.NormFloat64()
		}
		if l := Trend(values); l.Rises(0) {
			rising++
		}
	}
	if rising > runs/50 {
		t.Errorf("%d of %d flat series rise", rising, runs)
	}
}

func TestABlockIsPutBetweenItsMarks(t *testing.T) {
	samples, end := longRun(1)
	block := Markdown(samples, end, "a host")
	text, err := Replace("a\n<!-- soak -->\nold\n<!-- end of soak -->\nb\n", block)
	if want := "a\n<!-- soak -->\n" + block + "<!-- end of soak -->\nb\n"; err != nil || text != want {
		t.Errorf("got %q, %v", text, err)
	}
	if !strings.Contains(block, "| resident memory | ok | flat: ") || !strings.Contains(block, "reload 40 times") {
		t.Errorf("got\n%s", block)
	}
	if _, err := Replace("no marks", block); err == nil {
		t.Error("marks that are not there are no mistake")
	}
}

func TestTheCSVHasALineForEachSample(t *testing.T) {
	var out strings.Builder
	if err := WriteCSV(&out, []Sample{{After: 1500 * time.Millisecond, Resident: 5, P99: 7 * time.Microsecond, Overload: true}}); err != nil {
		t.Fatal(err)
	}
	want := strings.Join(columns, ",") + "\n1.5,5,0,0,0,0,0,0,0,0,7,1\n"
	if out.String() != want {
		t.Errorf("got %q, want %q", out.String(), want)
	}
}

func TestEachPictureIsDrawnAndNamedInTheDocument(t *testing.T) {
	samples, _ := longRun(1)
	for name, svg := range Charts(samples, "a host") {
		if len(svg) < 1000 || strings.Contains(string(svg), "NaN") {
			t.Errorf("%s: no picture", name)
		}
	}
	if n := len(Charts(nil, "")); n != 3 {
		t.Errorf("%d pictures of nothing", n)
	}
}
