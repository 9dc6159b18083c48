package nfq

import (
	"slices"
	"testing"
	"time"

	"sttwall/firewall"
)

// wakeable is a queue without packets.
type wakeable struct {
	Queue
	wake chan struct{}
}

func (q *wakeable) Receive([]firewall.Packet, time.Duration) (int, error) {
	<-q.wake
	return 0, nil
}

func (q *wakeable) Wake() {
	select {
	case q.wake <- struct{}{}:
	default:
	}
}

func (q *wakeable) SetVerdicts([]firewall.Verdict) error { return nil }
func (q *wakeable) Close() error                         { return nil }

// hanging is a core that comes to no decision while it is held.
type hanging struct {
	Core
	held chan struct{} // closed: it goes on
	in   chan struct{}
}

func (c *hanging) NextDeadline() (int64, bool) { return 0, false }
func (c *hanging) Flush(*firewall.Verdicts)    {}
func (c *hanging) Rest()                       {}
func (c *hanging) ProcessBatch(int64, []firewall.Packet, *firewall.Verdicts) {
	c.in <- struct{}{}
	<-c.held
}

func TestAWorkerThatHangsIsFound(t *testing.T) {
	free := make(chan struct{})
	close(free)
	in := &Inline{}
	in.config.Queue.Number = 7
	cores := []*hanging{{held: free, in: make(chan struct{}, 1000)}, {held: make(chan struct{}), in: make(chan struct{}, 1000)}}
	for _, c := range cores {
		q := &wakeable{wake: make(chan struct{}, 1)}
		w, err := NewWorker(WorkerConfig{Queue: q, Core: c})
		if err != nil {
			t.Fatal(err)
		}
		in.queues, in.workers = append(in.queues, q), append(in.workers, w)
		go w.Run(t.Context())
	}
	if hang := in.Progress(); len(hang) > 0 {
		t.Errorf("the first time: %v", hang)
	}
	for _, c := range cores {
		<-c.in // both have come so far
	}
	for in.workers[0].asked.Load() {
		time.Sleep(time.Millisecond) // it comes around by itself
	}
	if hang := in.Progress(); !slices.Equal(hang, []int{8}) {
		t.Errorf("got queues %v, want 8", hang)
	}
	close(cores[1].held)
	for in.workers[0].asked.Load() || in.workers[1].asked.Load() {
		time.Sleep(time.Millisecond)
	}
	if hang := in.Progress(); len(hang) > 0 {
		t.Errorf("when it goes on again: %v", hang)
	}
}
