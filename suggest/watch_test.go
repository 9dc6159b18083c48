package suggest_test

import (
	"context"
	"fmt"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"sttwall/firewall"
	"sttwall/policy"
	. "sttwall/suggest"
)

// audited are events of frames that audit mode lets pass.
func audited(t testing.TB, p *policy.Policy, n int) []firewall.FrameEvent {
	t.Helper()
	b := newBench(t, p)
	out := make([]firewall.FrameEvent, n)
	for i := range out {
		out[i] = *b.send(packet{100, fmt.Sprintf("udp 10.0.%d.%d:40000 > 10.1.0.1:53", i/250, i%250)})
	}
	return out
}

func TestAWatchTellsOfALikeFrameOnceASecond(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := noRules(t).Auditing(false)
		w := NewWatch(func() *policy.Policy { return p }, time.Now())
		ctx, stop := context.WithCancel(t.Context())
		defer stop()
		go w.Run(ctx)
		e := audited(t, p, 1)[0]
		noted := func() uint64 {
			synctest.Wait()
			seen := w.Seen()
			if len(seen.Flows) != 1 || seen.Lost != 0 || seen.Beyond != 0 {
				t.Fatalf("%+v", seen)
			}
			return seen.Flows[0].Packets
		}
		for range 100 {
			w.Observe(&e)
		}
		if n := noted(); n != 1 {
			t.Errorf("%d packets were noted, want 1", n)
		}
		time.Sleep(1001 * time.Millisecond)
		synctest.Wait()
		w.Observe(&e)
		if n := noted(); n != 2 {
			t.Errorf("%d packets were noted a second later, want 2", n)
		}
	})
}

func TestAWatchNotesOnlyWhatAuditModeLetsPass(t *testing.T) {
	p := noRules(t).Auditing(false)
	w := NewWatch(func() *policy.Policy { return p }, time.Now())
	e := audited(t, p, 3)
	e[0].Decision.Audit = false
	e[1].Decision.Would++
	e[2].Verdict = firewall.Drop
	for i := range e {
		w.Observe(&e[i])
	}
	ctx, stop := context.WithTimeout(t.Context(), 0)
	defer stop()
	w.Run(ctx)
	if seen := w.Seen(); len(seen.Flows) != 0 || seen.Lost != 0 {
		t.Errorf("%+v", seen)
	}
}

func TestAWatchCountsWhatItsBacklogHasNoRoomFor(t *testing.T) {
	p := noRules(t).Auditing(false)
	w := NewWatch(func() *policy.Policy { return p }, time.Now())
	e := audited(t, p, 1500) // nobody runs it: 1,024 have room
	for i := range e {
		w.Observe(&e[i])
	}
	ctx, stop := context.WithCancel(t.Context())
	stop()
	w.Run(ctx)
	lost := w.Seen().Lost
	if n := len(w.Seen().Flows); n != 1024 {
		t.Errorf("%d flows were noted, want 1024", n)
	}
	if lost < 1500-1024 || lost > 1500-1024+20 { // of 8,192 places some are shared
		t.Errorf("%d are lost, want about %d", lost, 1500-1024)
	}
}

func TestAWatchMayBeAskedWhileWorkersTell(t *testing.T) {
	p := noRules(t).Auditing(false)
	w := NewWatch(func() *policy.Policy { return p }, time.Now())
	ctx, stop := context.WithCancel(t.Context())
	var running, workers sync.WaitGroup
	running.Go(func() { w.Run(ctx) })
	events := audited(t, p, 200)
	for range 4 {
		workers.Go(func() {
			for i := range events {
				e := events[i]
				w.Observe(&e)
				if i%20 == 0 {
					w.Seen()
				}
			}
		})
	}
	workers.Wait()
	stop()
	running.Wait()
	if n := len(w.Seen().Flows); n == 0 || n > 200 {
		t.Errorf("%d flows", n)
	}
}

func TestAWatchCostsAWorkerNoMemory(t *testing.T) {
	p := noRules(t).Auditing(false)
	w := NewWatch(func() *policy.Policy { return p }, time.Now())
	e := audited(t, p, 200)
	i := 0
	if n := testing.AllocsPerRun(1000, func() { w.Observe(&e[i%200]); i++ }); n != 0 {
		t.Errorf("%v allocations a frame", n)
	}
}

func BenchmarkWatchObserve(b *testing.B) {
	p := noRules(b).Auditing(false)
	w := NewWatch(func() *policy.Policy { return p }, time.Now())
	e := audited(b, p, 1)
	b.ReportAllocs()
	for b.Loop() {
		w.Observe(&e[0])
	}
}
