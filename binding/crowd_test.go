package binding

import "testing"

// Inner addresses that make a pattern are as many to a shard, and search as far, as others;
// and what somebody has found to meet in one table does not meet in another, which has
// another secret.
func TestAddressesThatMakeAPatternDoNotCrowd(t *testing.T) {
	const bindings = 1 << 14
	for name, step := range map[string]int{"in a row": 1, "in steps of 256": 1 << 8, "in steps of 4,096": 1 << 12} {
		table := newTable(t, Config{MaxBindings: 4 * bindings, MaxPerEndpoint: 4 * bindings})
		for i := range bindings {
			n := i * step
			n = n&0xffffff | n>>24 // what is above goes to the low bits
			table.claim(1, addressClaim(n), outer(1), true)
		}
		for i := range table.shards {
			s := &table.shards[i]
			if want := bindings / len(table.shards); s.count < want*3/4 || s.count > want*5/4 {
				t.Errorf("%s: shard %d has %d bindings, want about %d", name, i, s.count, want)
			}
			run, most := 0, 0
			for _, slot := range s.slots {
				if run++; slot == 0 {
					run = 0
				}
				most = max(most, run)
			}
			if most > 64 {
				t.Errorf("%s: shard %d has a run of %d slots", name, i, most)
			}
		}
	}

	known, other := newTable(t, Config{MaxBindings: bindings}), newTable(t, Config{MaxBindings: bindings})
	shards := map[*shard]int{}
	for i, found := 0, 0; found < 256; i++ {
		g := Sighting{Tenant: 1, Claim: addressClaim(i)}
		if _, _, s := known.find(&g); s == &known.shards[0] {
			_, _, s = other.find(&g)
			shards[s]++
			found++
		}
	}
	for _, n := range shards {
		if n > 64 { // 16 or 32 are to be expected
			t.Errorf("of 256 addresses chosen for another secret %d meet in one of %d shards", n, len(other.shards))
		}
	}
}
