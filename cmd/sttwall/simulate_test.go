package main

import (
	"errors"
	"slices"
	"strings"
	"testing"
	"time"

	"sttwall/firewall"
	"sttwall/nfq"
)

func TestSimulationIsReadOrRefused(t *testing.T) {
	for _, c := range []struct {
		text, refused                      string
		memory, table, queue, clock, panic bool
	}{
		{text: ""},
		{text: "memory:1/1000", memory: true},
		{text: "table:1/10", table: true},
		{text: "netlink:1/10000, queue@10s", queue: true},
		{text: "clock:+1h@10s", clock: true},
		{text: "memory:1/2,table:1/2,netlink:1/2,clock:1h", memory: true, table: true, queue: true, clock: true},
		{text: "panic:1/100000", panic: true},
		{text: "memory", refused: "want a share such as 1/1000"},
		{text: "memory:2/3", refused: "want a share such as 1/1000"},
		{text: "table:1/0", refused: "want a share such as 1/1000"},
		{text: "table:1/2@3s", refused: "want table:1/N"},
		{text: "queue:1/2", refused: "want queue@AFTER"},
		{text: "clock:-1h", refused: "it never goes back"},
		{text: "clock:+1h@soon", refused: "want a time such as 10s"},
		{text: "rain:1/2", refused: "want memory, table, netlink, panic"},
	} {
		s, err := simulation(c.text)
		if c.refused != "" {
			if err == nil || !strings.Contains(err.Error(), c.refused) {
				t.Errorf("%q: %v, want %q", c.text, err, c.refused)
			}
			continue
		}
		if err != nil {
			t.Errorf("%q: %v", c.text, err)
			continue
		}
		if c.text == "" {
			if s != nil {
				t.Error("something is simulated that nobody asked for")
			}
			continue
		}
		if s.Faults != c.text || (s.Memory != nil) != c.memory || (s.Table != nil) != c.table || (s.Queue != nil) != c.queue || (s.Clock != nil) != c.clock || (s.Fault != nil) != c.panic {
			t.Errorf("%q: %+v", c.text, s)
		}
	}
}

func TestSimulationIsNotInTheHelp(t *testing.T) {
	if _, out, _ := sttwall("run", "--help"); strings.Contains(out, "--simulate") {
		t.Error("it is")
	}
}

// fakeQueue gives a packet each time and remembers the verdicts.
type fakeQueue struct {
	nfq.Queue
	next     uint64
	verdicts []firewall.Verdict
}

func (q *fakeQueue) Receive(batch []firewall.Packet, _ time.Duration) (int, error) {
	q.next++
	batch[0] = firewall.Packet{ID: q.next}
	return 1, nil
}

func (q *fakeQueue) SetVerdicts(list []firewall.Verdict) error {
	q.verdicts = append(q.verdicts, slices.Clone(list)...)
	return nil
}

func (q *fakeQueue) Stats() nfq.Stats { return nfq.Stats{} }

func TestALostBatchIsDroppedAndCounted(t *testing.T) {
	under := &fakeQueue{}
	lose := false
	q := &lossyQueue{Queue: under, now: func() bool { return lose }}
	batch := make([]firewall.Packet, 4)
	accept := func(id uint64) []firewall.Verdict {
		return []firewall.Verdict{{ID: id, Action: firewall.Accept, Payload: []byte{1}}}
	}
	if n, err := q.Receive(batch, 0); n != 1 || err != nil {
		t.Fatal(n, err)
	}
	if err := q.SetVerdicts(accept(1)); err != nil {
		t.Fatal(err)
	}
	lose = true
	if n, err := q.Receive(batch, 0); n != 0 || err != nil {
		t.Fatal(n, err)
	}
	if err := q.SetVerdicts(accept(3)); err != nil {
		t.Fatal(err)
	}
	want := []firewall.Action{firewall.Accept, firewall.Drop, firewall.Drop}
	for i, v := range under.verdicts {
		if v.ID != uint64(i+1) || v.Action != want[i] {
			t.Errorf("verdict %d: %+v", i, v)
		}
	}
	if s := q.Stats(); len(under.verdicts) != 3 || s.Overruns != 1 || s.VerdictsLost != 1 {
		t.Errorf("%d verdicts, %+v", len(under.verdicts), s)
	}
}

func TestABrokenQueueFailsWhenItIsTimeTo(t *testing.T) {
	batch := make([]firewall.Packet, 1)
	if n, err := (&brokenQueue{&fakeQueue{}, time.Now().Add(time.Hour)}).Receive(batch, -1); n != 1 || err != nil {
		t.Error(n, err)
	}
	if n, err := (&brokenQueue{&fakeQueue{}, time.Now()}).Receive(batch, -1); n != 0 || !errors.Is(err, errSimulated) {
		t.Error(n, err)
	}
}
