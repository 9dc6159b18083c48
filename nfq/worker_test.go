package nfq

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"sttwall/firewall"
)

// scriptQueue gives batches from a script and keeps the verdicts.
type scriptQueue struct {
	script   [][]firewall.Packet
	wake     chan struct{}
	waits    []time.Duration
	verdicts []firewall.Verdict
	ranges   []int // that were set
	sends    int
	closed   int
	end      func() // called when the script is over
	failure  error  // returned by Receive when the script is over
	refusal  error  // returned by SetVerdicts
	clock    *int64 // advanced to the deadline by a Receive that times out
}

func newScriptQueue(script ...[]firewall.Packet) *scriptQueue {
	return &scriptQueue{script: script, wake: make(chan struct{}, 1)}
}

func (q *scriptQueue) Receive(batch []firewall.Packet, timeout time.Duration) (int, error) {
	q.waits = append(q.waits, timeout)
	if len(q.script) > 0 {
		n := copy(batch, q.script[0])
		q.script = q.script[1:]
		return n, nil
	}
	if q.failure != nil {
		return 0, q.failure
	}
	if timeout >= 0 && q.clock != nil {
		*q.clock += int64(timeout)
		return 0, nil
	}
	if q.end != nil {
		q.end()
	}
	<-q.wake
	return 0, nil
}

func (q *scriptQueue) SetVerdicts(list []firewall.Verdict) error {
	q.sends++
	q.verdicts = append(q.verdicts, slices.Clone(list)...)
	return q.refusal
}

func (q *scriptQueue) SetCopyRange(bytes int) error {
	q.ranges = append(q.ranges, bytes)
	return nil
}

func (q *scriptQueue) Stats() Stats { return Stats{} }

func (q *scriptQueue) Wake() {
	select {
	case q.wake <- struct{}{}:
	default:
	}
}

func (q *scriptQueue) Close() error { q.closed++; return nil }

// pairCore holds a packet until the other of its pair (IDs 2n and 2n+1)
// comes, accepts both then, and drops after its lifetime.
type pairCore struct {
	held     map[uint64]int64 // ID to deadline
	expired  []int64
	batches  []int // how many packets each had
	process  func(p *firewall.Packet)
	lifetime time.Duration
	rests    int
}

func newPairCore() *pairCore {
	return &pairCore{held: make(map[uint64]int64), lifetime: 10 * time.Millisecond}
}

func (c *pairCore) Rest() { c.rests++ }

func (c *pairCore) ProcessBatch(now int64, packets []firewall.Packet, out *firewall.Verdicts) {
	c.batches = append(c.batches, len(packets))
	for i := range packets {
		c.take(now, &packets[i], out)
	}
}

func (c *pairCore) take(now int64, p *firewall.Packet, out *firewall.Verdicts) {
	if c.process != nil {
		c.process(p)
	}
	other := p.ID ^ 1
	if _, ok := c.held[other]; ok {
		delete(c.held, other)
		for _, id := range []uint64{min(p.ID, other), max(p.ID, other)} {
			out.List = append(out.List, firewall.Verdict{ID: id, Action: firewall.Accept})
		}
		return
	}
	c.held[p.ID] = now + int64(c.lifetime)
}

func (c *pairCore) Expire(now int64, out *firewall.Verdicts) {
	c.expired = append(c.expired, now)
	for id, deadline := range c.held {
		if deadline <= now {
			delete(c.held, id)
			out.List = append(out.List, firewall.Verdict{ID: id})
		}
	}
}

func (c *pairCore) NextDeadline() (next int64, ok bool) {
	for _, deadline := range c.held {
		if !ok || deadline < next {
			next, ok = deadline, true
		}
	}
	return next, ok
}

func (c *pairCore) Flush(out *firewall.Verdicts) {
	for id := range c.held {
		out.List = append(out.List, firewall.Verdict{ID: id})
	}
	clear(c.held)
}

func packets(ids ...uint64) []firewall.Packet {
	var list []firewall.Packet
	for _, id := range ids {
		list = append(list, firewall.Packet{ID: id})
	}
	return list
}

func accepted(ids ...uint64) []firewall.Verdict { return accept(packets(ids...)...) }

func dropped(ids ...uint64) []firewall.Verdict {
	var list []firewall.Verdict
	for _, id := range ids {
		list = append(list, firewall.Verdict{ID: id})
	}
	return list
}

func TestWorker(t *testing.T) {
	broken := errors.New("broken")
	for _, c := range []struct {
		name     string
		script   [][]firewall.Packet
		expire   bool // let time pass when nothing comes
		failure  error
		refusal  error
		affinity Affinity
		want     []firewall.Verdict
		sends    int
		err      error
	}{
		{name: "sends the verdicts of a batch at once", script: [][]firewall.Packet{packets(2, 3, 4, 5)}, want: accepted(2, 3, 4, 5), sends: 1},
		{name: "sends nothing while all is held", script: [][]firewall.Packet{packets(2), packets(3)}, want: accepted(2, 3), sends: 1},
		{name: "survives an early return without packets", script: [][]firewall.Packet{nil, packets(3), nil, packets(2)}, want: accepted(2, 3), sends: 1},
		{name: "drops what is held when it ends", script: [][]firewall.Packet{packets(2, 3, 9)}, want: append(accepted(2, 3), dropped(9)...), sends: 2},
		{name: "lets the core expire what is held too long", script: [][]firewall.Packet{packets(9)}, expire: true, want: dropped(9), sends: 1},
		{name: "ends with the queue's error, and drops what is held", script: [][]firewall.Packet{packets(9)}, failure: broken, want: dropped(9), sends: 1, err: broken},
		{name: "ends with the error of a verdict", script: [][]firewall.Packet{packets(2, 3), packets(4, 5)}, refusal: broken, want: accepted(2, 3), sends: 1, err: broken},
		{name: "runs pinned to a processor", affinity: firstCPU(t), script: [][]firewall.Packet{packets(2, 3)}, want: accepted(2, 3), sends: 1},
	} {
		t.Run(c.name, func(t *testing.T) {
			ctx, cancel := context.WithCancel(context.Background())
			defer cancel()
			now := int64(1e9)
			q, core := newScriptQueue(c.script...), newPairCore()
			q.end, q.failure, q.refusal = cancel, c.failure, c.refusal
			if c.expire {
				q.clock = &now
			}
			w, err := NewWorker(WorkerConfig{Queue: q, Core: core, Clock: func() int64 { return now }, Affinity: c.affinity})
			must(t, err)
			if err := w.Run(ctx); !errors.Is(err, c.err) {
				t.Errorf("got error %v, want %v", err, c.err)
			}
			if diff := cmp.Diff(q.verdicts, c.want); diff != "" {
				t.Errorf("verdicts (-got +want):\n%s", diff)
			}
			if q.sends != c.sends || q.closed != 1 {
				t.Errorf("got %d calls of SetVerdicts, %d of Close, want %d, 1", q.sends, q.closed, c.sends)
			}
			if c.expire && len(core.expired) != 1 {
				t.Errorf("got %d calls of Expire, want 1, at the deadline", len(core.expired))
			}
			// What came together is decided together.
			var came []int
			for _, batch := range c.script {
				came = append(came, len(batch))
			}
			if got := core.batches[:min(len(came), len(core.batches))]; !slices.Equal(got, came) && c.refusal == nil {
				t.Errorf("the core was given batches of %d packets, want %d", got, came)
			}
			// Once for each batch that was answered, one without packets included, and at the end.
			if want := len(q.waits) + 1; core.rests < 1 || core.rests > want {
				t.Errorf("the core rested %d times, want 1 to %d", core.rests, want)
			}
			for _, wait := range q.waits {
				if wait >= 0 && wait < minWait {
					t.Errorf("got a wait of %v, want at least %v", wait, minWait)
				}
			}
		})
	}
}

func firstCPU(t *testing.T) Affinity {
	t.Helper()
	return CPU(allowedCPU())
}

func TestWorkerRefusesAProcessorThatIsNotThere(t *testing.T) {
	q := newScriptQueue()
	w, err := NewWorker(WorkerConfig{Queue: q, Core: newPairCore(), Affinity: CPU(1023)})
	must(t, err)
	if err := w.Run(context.Background()); err == nil || q.closed != 1 {
		t.Errorf("got %v, closed %d times, want an error, once", err, q.closed)
	}
}

func TestWorkerConfigIsRefused(t *testing.T) {
	for _, c := range []struct {
		name   string
		config WorkerConfig
	}{
		{"without a queue", WorkerConfig{Core: newPairCore()}},
		{"without a core", WorkerConfig{Queue: newScriptQueue()}},
		{"with a negative batch", WorkerConfig{Queue: newScriptQueue(), Core: newPairCore(), Batch: -1}},
		{"with too large a batch", WorkerConfig{Queue: newScriptQueue(), Core: newPairCore(), Batch: 4097}},
		{"with a part larger than a packet", WorkerConfig{Queue: newScriptQueue(), Core: newPairCore(), Part: 65536}},
		{"with a negative processor", WorkerConfig{Queue: newScriptQueue(), Core: newPairCore(), Affinity: CPU(-5)}},
	} {
		t.Run(c.name, func(t *testing.T) {
			if _, err := NewWorker(c.config); err == nil {
				t.Error("got no error")
			}
		})
	}
}

func TestClockNeverGoesBack(t *testing.T) {
	clock := Clock()
	last := clock()
	if d := time.Duration(time.Now().UnixNano() - last); d < -time.Hour || d > time.Hour {
		t.Errorf("got a clock %v away from the wall clock's time", d)
	}
	for range 1000 {
		now := clock()
		if now < last {
			t.Fatalf("got %d after %d", now, last)
		}
		last = now
	}
}

// echoQueue returns the same batch for ever.
type echoQueue struct {
	scriptQueue
	batch []firewall.Packet
	sent  int
}

func (q *echoQueue) Receive(batch []firewall.Packet, _ time.Duration) (int, error) {
	return copy(batch, q.batch), nil
}

func (q *echoQueue) SetVerdicts(list []firewall.Verdict) error {
	q.sent += len(list)
	return nil
}

// acceptCore accepts each packet at once.
type acceptCore struct{}

func (acceptCore) ProcessBatch(_ int64, packets []firewall.Packet, out *firewall.Verdicts) {
	for i := range packets {
		out.List = append(out.List, firewall.Verdict{ID: packets[i].ID, Action: firewall.Accept})
	}
}
func (acceptCore) Expire(int64, *firewall.Verdicts) {}
func (acceptCore) NextDeadline() (int64, bool)      { return 0, true } // always overdue
func (acceptCore) Flush(*firewall.Verdicts)         {}
func (acceptCore) Rest()                            {}

func TestWorkerStepAllocatesNothing(t *testing.T) {
	q := &echoQueue{batch: packets(1, 2, 3, 4, 5, 6, 7, 8)}
	w, err := NewWorker(WorkerConfig{Queue: q, Core: acceptCore{}, Part: PartOfPacket, Whole: func() bool { return false }})
	must(t, err)
	if got := testing.AllocsPerRun(1000, func() {
		if err := w.step(); err != nil {
			t.Fatal(err)
		}
	}); got != 0 {
		t.Errorf("got %v allocations, want 0", got)
	}
}

func BenchmarkWorkerStep(b *testing.B) {
	for _, n := range []int{1, 64} {
		b.Run(fmt.Sprintf("batch=%d", n), func(b *testing.B) {
			q := &echoQueue{batch: make([]firewall.Packet, n)}
			w, err := NewWorker(WorkerConfig{Queue: q, Core: acceptCore{}})
			must(b, err)
			b.ReportAllocs()
			for b.Loop() {
				must(b, w.step())
			}
		})
	}
}

// A worker has parts copied, whole packets while somebody wants them, and whole ones
// when too many parts were too short.
func TestWorkerHasAsMuchCopiedAsIsCheapestOrWanted(t *testing.T) {
	cut := func(ids ...uint64) (list []firewall.Packet) {
		for _, id := range ids {
			list = append(list, firewall.Packet{ID: id, Data: make([]byte, 256), Length: 1500, More: true})
		}
		return list
	}
	for _, c := range []struct {
		name   string
		script [][]firewall.Packet
		core   Core
		want   func(batch int) bool // whole packets are wanted after so many batches
		ranges []int
	}{
		{"parts that are enough", [][]firewall.Packet{cut(1, 2, 3), cut(4, 5, 6)}, acceptCore{}, nil, nil},
		{"whole packets that are wanted from the start", [][]firewall.Packet{cut(1), cut(2), cut(3)}, acceptCore{}, func(int) bool { return true }, []int{0}},
		{"whole packets that are wanted for a while", [][]firewall.Packet{cut(1), cut(2), cut(3)}, acceptCore{}, func(n int) bool { return n == 2 }, []int{0, 300}},
		{"parts that are too short", [][]firewall.Packet{cut(1, 2), cut(3, 4, 5), cut(6)}, againCore{}, nil, []int{0}},
	} {
		t.Run(c.name, func(t *testing.T) {
			ctx, stop := context.WithCancel(context.Background())
			defer stop()
			q := newScriptQueue(c.script...)
			q.end = stop
			w, err := NewWorker(WorkerConfig{Queue: q, Core: c.core, Part: 300, Whole: func() bool {
				return c.want != nil && c.want(q.sends)
			}})
			must(t, err)
			must(t, w.Run(ctx))
			if diff := cmp.Diff(q.ranges, c.ranges); diff != "" {
				t.Errorf("copy ranges (-got +want):\n%s", diff)
			}
		})
	}
}

// againCore asks for each packet again.
type againCore struct{ acceptCore }

func (againCore) NextDeadline() (int64, bool) { return 0, false }
func (againCore) ProcessBatch(_ int64, packets []firewall.Packet, out *firewall.Verdicts) {
	for i := range packets {
		out.List = append(out.List, firewall.Verdict{ID: packets[i].ID, Action: firewall.Again})
	}
}
