package limit

import (
	"math/rand/v2"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

func TestParseRate(t *testing.T) {
	for _, tt := range []struct {
		text string
		want Rate
		ok   bool
	}{
		{"1000/s", Rate{1000, time.Second, 1000}, true},
		{"1/s", Rate{1, time.Second, 1}, true},
		{"10/minute", Rate{10, time.Minute, 1}, true},
		{"120/m", Rate{120, time.Minute, 2}, true},
		{"5/hour", Rate{5, time.Hour, 1}, true},
		{"1/day", Rate{1, 24 * time.Hour, 1}, true},
		{"1000000000/s", Rate{1e9, time.Second, 1e9}, true},
		{"1000000001/s", Rate{}, false},
		{"0/s", Rate{}, false},
		{"-1/s", Rate{}, false},
		{"1.5/s", Rate{}, false},
		{"1000", Rate{}, false},
		{"1000/fortnight", Rate{}, false},
		{"/s", Rate{}, false},
		{"", Rate{}, false},
	} {
		t.Run(tt.text, func(t *testing.T) {
			got, err := ParseRate(tt.text)
			if (err == nil) != tt.ok || tt.ok && got != tt.want {
				t.Errorf("got %+v, %v", got, err)
			}
		})
	}
}

func TestValidate(t *testing.T) {
	for _, r := range []Rate{
		{}, {1, time.Second, 0}, {0, time.Second, 1}, {1, 0, 1}, {1, -time.Second, 1},
		{1, 48 * time.Hour, 1}, {1e9, time.Millisecond, 1}, {1, 24 * time.Hour, 1e9}, {1, time.Second, 1e10},
	} {
		if err := r.Validate(); err == nil {
			t.Errorf("%+v is taken", r)
		}
	}
	if err := (Rate{1000, time.Second, 200}).Validate(); err != nil {
		t.Error(err)
	}
}

func TestBucket(t *testing.T) {
	const second = int64(time.Second)
	b := NewBucket(Rate{Events: 2, Per: time.Second, Burst: 3})
	for _, step := range []struct {
		name string
		now  int64
		n    uint64
		want bool
	}{
		{"more than the burst is never there", 0, 4, false},
		{"the whole burst at once", 0, 3, true},
		{"then nothing", 0, 1, false},
		{"nor just before a token is back", second/2 - 1, 1, false},
		{"but then", second / 2, 1, true},
		{"a clock that goes back gives nothing", 0, 1, false},
		{"nor takes anything", second, 1, true},
		{"a long silence fills it to the burst", 100 * second, 3, true},
		{"and no further", 100 * second, 1, false},
		{"nothing is always there", 100 * second, 0, true},
	} {
		if got := b.Take(step.now, step.n); got != step.want {
			t.Errorf("%s: got %t", step.name, got)
		}
	}
}

// The plain reading: a number of tokens, refilled by the time that has gone by.
func TestBucketAgreesWithAPlainModel(t *testing.T) {
	seed := rand.Uint64()
	r := rand.New(rand.NewPCG(seed, 0))
	for range 200 {
		rate := Rate{Events: 1 + r.Uint64N(1000), Per: time.Second, Burst: 1 + r.Uint64N(50)}
		rate.Per = time.Duration(rate.Events) * time.Duration(1+r.Uint64N(1000)) // whole ns
		interval := int64(rate.Per) / int64(rate.Events)
		b := NewBucket(rate)
		credit, then, now := interval*int64(rate.Burst), int64(0), int64(0)
		for range 500 {
			now += r.Int64N(3 * interval)
			n := r.Uint64N(4)
			credit = min(credit+now-then, interval*int64(rate.Burst))
			then = now
			want := credit >= int64(n)*interval && n <= rate.Burst
			if want {
				credit -= int64(n) * interval
			}
			if got := b.Take(now, n); got != want {
				t.Fatalf("seed %d: %+v at %d, %d tokens: got %t, want %t", seed, rate, now, n, got, want)
			}
		}
	}
}

func TestWorkersShareABucket(t *testing.T) {
	b := NewBucket(Rate{Events: 1, Per: time.Hour, Burst: 1000})
	var taken atomic.Int64
	var wg sync.WaitGroup
	for range 4 {
		wg.Go(func() {
			for range 1000 {
				if b.Take(0, 1) {
					taken.Add(1)
				}
			}
		})
	}
	wg.Wait()
	if taken.Load() != 1000 {
		t.Errorf("%d tokens were taken out of 1000", taken.Load())
	}
}

func TestTakeAllocatesNothing(t *testing.T) {
	b := NewBucket(Rate{Events: 1000, Per: time.Second, Burst: 10})
	now := int64(0)
	if n := testing.AllocsPerRun(100, func() { now += 1000; b.Take(now, 1) }); n != 0 {
		t.Errorf("%v allocations", n)
	}
}

// FuzzParseRate: what is read can be written and read again, and makes a bucket
// that gives its burst and no more.
func FuzzParseRate(f *testing.F) {
	for _, s := range []string{"1000/s", "10/minute", "1/day", "x/s", "1000000000/s", "1/"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		r, err := ParseRate(s)
		if err != nil {
			return
		}
		if again, err := ParseRate(r.String()); err != nil || again != r {
			t.Fatalf("%q is %+v, written %q, read again %+v, %v", s, r, r.String(), again, err)
		}
		b := NewBucket(r)
		if !b.Take(5, r.Burst) || b.Take(5, 1) {
			t.Fatalf("%+v does not give its burst", r)
		}
	})
}

func BenchmarkTake(b *testing.B) {
	bucket := NewBucket(Rate{Events: 1_000_000, Per: time.Second, Burst: 1000})
	b.ReportAllocs()
	now := int64(0)
	for b.Loop() {
		now += 500
		bucket.Take(now, 1)
	}
}
