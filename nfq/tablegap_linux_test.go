package nfq

import (
	"context"
	"flag"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/nftables"
	"golang.org/x/sys/unix"
)

var gapLosses = flag.Int("table-losses", 0, "how often TestHowMuchPassesUntilTheTableIsRestored removes the table; 0 skips it")

// With -table-losses N: another program removes the table N times, 100 ms apart, while
// STT of a tenant that nobody knows comes without a pause. It prints how much of it
// passed, and how long that took at the rate of the packets.
func TestHowMuchPassesUntilTheTableIsRestored(t *testing.T) {
	if *gapLosses == 0 {
		t.Skip("only with -table-losses")
	}
	w := newWire(t)
	in, err := StartInline(InlineConfig{Policy: settingsPolicy(t, `endpoints = ["10.0.0.0/8"]`), Queue: Config{NetNS: w.near}, Queues: 2, FrameIDBits: 10})
	must(t, err)
	ctx, stop := context.WithCancel(context.Background())
	var running sync.WaitGroup
	running.Go(func() { in.Run(ctx) })
	watch, err := in.WatchTable(true, func(l TableLoss) {
		if !l.Restored {
			t.Errorf("%+v", l)
		}
	})
	must(t, err)
	running.Go(func() { watch.Run(ctx) })
	// What passes is counted behind the table; nothing is accepted.
	run(t, "nft", `add table inet after
		add counter inet after passed
		add chain inet after pre { type filter hook prerouting priority 100; }
		add rule inet after pre tcp dport 7471 counter name passed`)
	after := &nftables.Table{Name: "after", Family: nftables.TableFamilyINet}
	counter := func() int {
		objects, err := (&nftables.Conn{NetNS: int(w.near)}).GetObjects(after)
		must(t, err)
		return int(objects[0].(*nftables.CounterObj).Packets)
	}
	var sent atomic.Uint64
	sending, ended := context.WithCancel(ctx)
	running.Go(func() {
		frame := w.ethernet(offload{}, outer{id: 1}.bytes())
		for sending.Err() == nil {
			if _, err := unix.Write(w.packetSocket, frame); err != nil {
				t.Error(err)
				return
			}
			sent.Add(1)
		}
	})
	var gaps []int
	passed := counter()
	start := time.Now()
	for range *gapLosses {
		must(t, RemoveTable(w.near))
		time.Sleep(100 * time.Millisecond) // longer than it takes
		now := counter()
		gaps = append(gaps, now-passed)
		passed = now
	}
	took := time.Since(start)
	for begun := time.Now(); ; { // it is there again in the end
		_, err := in.Table().check()
		if err == nil {
			break
		}
		if time.Since(begun) > patience {
			t.Fatal(err)
		}
	}
	ended()
	stop()
	running.Wait()
	rate := float64(sent.Load()) / took.Seconds()
	slices.Sort(gaps)
	gap := func(n int) time.Duration {
		return time.Duration(float64(n) / rate * float64(time.Second)).Round(10 * time.Microsecond)
	}
	t.Logf("%d packets a second; %d losses: %d packets passed uninspected; the gap is %v in the middle, %v at most",
		int(rate), *gapLosses, passed, gap(gaps[len(gaps)/2]), gap(gaps[len(gaps)-1]))
}
