package firewall

import (
	"fmt"
	"math/rand/v2"
	"reflect"
	"testing"

	"sttwall/conntrack"
	"sttwall/stt"
)

// countsOf are the counters of a firewall as anybody may read them.
func countsOf(f *Firewall) (totals Totals, rules, tenants map[string]Tally) {
	totals.Add(f.Counters())
	rules, tenants = make(map[string]Tally), make(map[string]Tally)
	f.Tallies(rules, tenants)
	return totals, rules, tenants
}

// A batch is decided as its packets are one by one, and when it has returned
// everything is counted.
func TestABatchIsDecidedAndCountedAsItsPackets(t *testing.T) {
	for seed := range uint64(20) {
		r := rand.New(rand.NewPCG(seed, 1))
		var packets []Packet
		for id := range uint64(200) {
			size := []int{0, 0, 100}[r.IntN(3)]
			frame := innerUDP(t, r.IntN(200))
			if r.IntN(2) == 0 {
				frame = innerTCP(t, uint16(1000+r.IntN(5)), []uint16{22, 80, 443}[r.IntN(3)], r.IntN(200))
			}
			for _, data := range cut(path(), uint32(id), sttFrame(stt.FrameHeader{ContextID: uint64(100 * (1 + r.IntN(4)))}, frame), size) {
				if r.IntN(20) == 0 {
					data[r.IntN(len(data))] ^= 1
				}
				packets = append(packets, Packet{ID: uint64(len(packets)), Data: data, Length: len(data)})
			}
		}
		r.Shuffle(len(packets), func(i, j int) { packets[i], packets[j] = packets[j], packets[i] })
		one, many := newBench(t, benchConfig{}), newBench(t, benchConfig{})
		many.fw.ids.key = one.fw.ids.key // an ID seems used to both, or to neither
		for rest := packets; len(rest) > 0; {
			n := min(len(rest), 1+r.IntN(64))
			for i := range n {
				one.fw.Process(one.now, &rest[i], &one.out)
			}
			many.fw.ProcessBatch(many.now, rest[:n], &many.out)
			rest = rest[n:]
			oneTotals, oneRules, oneTenants := countsOf(one.fw)
			totals, rules, tenants := countsOf(many.fw)
			if oneTotals != totals || !reflect.DeepEqual(oneRules, rules) || !reflect.DeepEqual(oneTenants, tenants) {
				t.Fatalf("seed %d: as a batch\n%+v %+v %+v, one by one\n%+v %+v %+v", seed, totals, rules, tenants, oneTotals, oneRules, oneTenants)
			}
			if decided := totals.PacketsAccepted + totals.PacketsDropped; decided != uint64(len(many.out.List)) || decided == 0 && len(rest) == 0 {
				t.Fatalf("seed %d: %d verdicts are counted, want %d", seed, decided, len(many.out.List))
			}
		}
		if got, want := fmt.Sprint(many.out.List), fmt.Sprint(one.out.List); got != want {
			t.Fatalf("seed %d: as a batch\n%s, one by one\n%s", seed, got, want)
		}
		if len(many.events) != len(one.events) {
			t.Fatalf("seed %d: %d events as a batch, %d one by one", seed, len(many.events), len(one.events))
		}
		for i := range many.events {
			a, b := &many.events[i], &one.events[i]
			a.Packets, a.Beginning, b.Packets, b.Beginning = nil, nil, nil, nil // were borrowed
			if a.Flow.Valid() == b.Flow.Valid() {
				a.Flow, b.Flow = conntrack.Handle{}, conntrack.Handle{} // each table has places of its own
			}
			if !reflect.DeepEqual(a, b) {
				t.Fatalf("seed %d, event %d: as a batch\n%+v, one by one\n%+v", seed, i, a, b)
			}
		}
	}
}

// More tallies change in a batch than are shown at once.
func TestAllTalliesOfABatchAreShown(t *testing.T) {
	const rules = 3 * showAtOnce
	fw, packets := establish(t, rules, rules)
	var out Verdicts
	fw.ProcessBatch(2, packets, &out)
	_, tallies, tenants := countsOf(fw)
	if len(tallies) != rules || tenants["t"].Frames != 3*rules {
		t.Fatalf("%d rules are counted, the tenant %+v", len(tallies), tenants["t"])
	}
	for name, tally := range tallies {
		if tally.Frames != 3 || tally.First != 1 || tally.Last != 2 {
			t.Fatalf("%s: %+v, want 3 frames, from 1 to 2", name, tally)
		}
	}
}
