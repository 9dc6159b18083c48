package firewall

import (
	"maps"
	"math/rand/v2"
	"testing"
)

// Panics at one stage and another, in batches whose verdicts are gone when the next one
// comes: no packet has a verdict in a later batch too.
func TestVerdictsOfEarlierBatchesAreNotGivenAgain(t *testing.T) {
	for seed := range uint64(60) {
		r := rand.New(rand.NewPCG(seed, 1))
		packets := faultyTraffic(t, r)
		b := newBench(t, benchConfig{panicked: func(*Panic) {}, fault: func(Stage) {}})
		armed, at := 0, Stages
		b.fw.fault = func(s Stage) {
			if s != at || armed == 0 {
				return
			}
			if armed--; armed == 0 {
				panic("a mistake")
			}
		}
		last := make(map[uint64]Verdict)
		gather := func() {
			here := make(map[uint64]Verdict)
			for _, v := range b.out.List {
				if _, twice := here[v.ID]; twice {
					t.Fatalf("seed %d: packet %d has two verdicts in a batch", seed, v.ID)
				}
				if before, twice := last[v.ID]; twice {
					t.Fatalf("seed %d: packet %d has a second verdict, %v, after %v in an earlier batch (panics at %v)", seed, v.ID, v.Action, before.Action, at)
				}
				here[v.ID] = v
			}
			maps.Copy(last, here)
			b.out.Reset()
		}
		for rest := packets; len(rest) > 0; {
			n := min(len(rest), 1+r.IntN(8))
			armed, at = 1, Stage(r.IntN(int(Stages)))
			b.fw.ProcessBatch(b.now, rest[:n], &b.out)
			gather()
			rest = rest[n:]
			b.now += 4e9 // no more than 16 in a minute
		}
		armed = 0
		b.fw.Flush(&b.out)
		gather()
		if len(last) != len(packets) {
			t.Fatalf("seed %d: %d verdicts for %d packets", seed, len(last), len(packets))
		}
	}
}
