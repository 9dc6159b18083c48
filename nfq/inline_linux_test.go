package nfq

import (
	"errors"
	"strings"
	"testing"

	"sttwall/firewall"
	"sttwall/internal/nstest"
	"sttwall/policy"
	"sttwall/reassembly"
)

func inlinePolicy(t *testing.T) *policy.Policy {
	t.Helper()
	p, diagnostics := policy.Load("test.hcl", []byte("settings {\n  endpoints = [\"any\"]\n}\ntenant \"a\" {\n  context_ids = [1]\n}\n"))
	if p == nil {
		t.Fatal(diagnostics)
	}
	return p
}

func TestEachWorkerGetsItsPartOfTheBounds(t *testing.T) {
	whole, err := reassembly.Config{}.WithDefaults()
	if err != nil {
		t.Fatal(err)
	}
	for _, workers := range []int{1, 2, 8} {
		part, err := share(reassembly.Config{}, workers)
		if err != nil {
			t.Fatal(err)
		}
		if part.Memory != whole.Memory/workers || part.Packets != whole.Packets/workers || part.Frames != whole.Frames/workers ||
			part.Timeout != whole.Timeout {
			t.Errorf("%d workers: got %+v of %+v", workers, part, whole)
		}
	}
}

func TestAPartAlwaysHasRoomForTheLargestFrame(t *testing.T) {
	part, err := share(reassembly.Config{Memory: 1 << 20}, 8)
	if err != nil || part.SourceMemory < reassembly.LargestBuffer {
		t.Errorf("got %d bytes for a source, %v", part.SourceMemory, err)
	}
	if _, err := share(reassembly.Config{Memory: 1 << 18}, 8); err == nil || !strings.Contains(err.Error(), "largest frame") {
		t.Errorf("parts without room: got %v", err)
	}
}

func TestAQueueThatCannotBeOpenedLeavesNothingBehind(t *testing.T) {
	ns := enterNS(t)
	taken, err := Open(Config{NetNS: ns, Number: 2})
	if err != nil {
		t.Fatal(err)
	}
	config := InlineConfig{Policy: inlinePolicy(t), Queue: Config{NetNS: ns, Number: 0}, Queues: 3, FrameIDBits: 10}
	if _, err := StartInline(config); !errors.Is(err, ErrQueueTaken) {
		t.Fatalf("got %v, want %v", err, ErrQueueTaken)
	}
	if err := taken.Close(); err != nil {
		t.Fatal(err)
	}
	// Queues 0 and 1 were opened before, and must be free again.
	in, err := StartInline(config)
	if err != nil {
		t.Fatal(err)
	}
	in.closeQueues()
	if err := in.Table().Remove(); err != nil {
		t.Error(err)
	}
}

// Two firewalls would take the table from each other: the second does not start, be its
// queues others, and leaves the table as it is. What one that has ended left is no reason.
func TestWhereAFirewallRunsASecondOneDoesNotStart(t *testing.T) {
	ns := enterNS(t)
	told := openProcQueue(ns, 0) != nil
	if !told && !nstest.InUserNamespace() {
		t.Fatal("root may not read who listens on queues")
	}
	config := func(number uint16, queues int) InlineConfig {
		return InlineConfig{Policy: inlinePolicy(t), Queue: Config{NetNS: ns, Number: number}, Queues: queues, FrameIDBits: 10}
	}
	for _, queues := range []int{1, 3} {
		first, err := StartInline(config(7, queues))
		if err != nil {
			t.Fatal(err)
		}
		if got, err := tableQueues(ns); err != nil || len(got) != queues || got[0] != 7 || int(got[queues-1]) != 6+queues {
			t.Errorf("%d queues: the table leads to %v, %v", queues, got, err)
		}
		if !told { // not noticed, and no reason not to start
			if c := config(20, 2); c.rival() != nil {
				t.Errorf("%d queues: who listens is not told: %v", queues, c.rival())
			}
			first.closeQueues()
			continue
		}
		_, err = StartInline(config(20, 2))
		if !errors.Is(err, ErrTableInUse) || !strings.Contains(err.Error(), "queue 7, on which the program with netlink port ") {
			t.Fatalf("%d queues: a second firewall: %v", queues, err)
		}
		if _, err := first.Table().check(); err != nil {
			t.Errorf("%d queues: after that: %v", queues, err)
		}
		if _, err := StartInline(config(5, 4)); !errors.Is(err, ErrQueueTaken) && !errors.Is(err, ErrTableInUse) {
			t.Errorf("%d queues: one with some of its queues: %v", queues, err)
		}
		foreign := config(20, 2)
		foreign.Table = TableForeign
		beside, err := StartInline(foreign)
		if err != nil {
			t.Fatalf("%d queues: behind a table of others: %v", queues, err)
		}
		beside.closeQueues()
		first.closeQueues()
		second, err := StartInline(config(20, 2))
		if err != nil {
			t.Fatalf("%d queues: after the first has ended: %v", queues, err)
		}
		second.closeQueues()
		if err := second.Table().Remove(); err != nil {
			t.Error(err)
		}
	}
}

func TestHeldFragmentsCountInWhatAQueueHolds(t *testing.T) {
	for _, tt := range []struct {
		name          string
		packets, held int
		ok            bool
	}{
		{"both within half of the queue", 24, 8, true},
		{"by default a quarter of the frames'", 24, 0, true},
		{"which may be too much", 26, 0, true},
		{"and is with one more packet", 27, 0, false},
		{"together more than half of it", 24, 9, false},
		{"no bound at all", 24, -1, false},
	} {
		t.Run(tt.name, func(t *testing.T) {
			c := InlineConfig{
				Policy: inlinePolicy(t), Queue: Config{Length: 64}, Queues: 1,
				Reassembly: reassembly.Config{Packets: tt.packets}, Hold: firewall.HoldConfig{Packets: tt.held},
			}
			if _, err := c.validate(); (err == nil) != tt.ok {
				t.Errorf("got %v", err)
			}
		})
	}
}
