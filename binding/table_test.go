package binding

import (
	"encoding/binary"
	"fmt"
	"math/rand/v2"
	"net/netip"
	"runtime"
	"sync"
	"testing"
	"time"
)

const second = int64(time.Second)

func newTable(t testing.TB, c Config) *Table {
	t.Helper()
	table, err := New(c)
	if err != nil {
		t.Fatal(err)
	}
	return table
}

func addressClaim(n int) *Claim {
	c := &Claim{kind: Address, is4: true, network: 100}
	c.value[10], c.value[11], c.value[12] = 0xff, 0xff, 10
	c.value[13], c.value[14], c.value[15] = byte(n>>16), byte(n>>8), byte(n)
	return c
}

func outer(n int) netip.Addr { return netip.AddrFrom4([4]byte{10, 47, byte(n >> 8), byte(n)}) }

// claim is what a firewall does with a frame that its rules accept.
func (t *Table) claim(now int64, c *Claim, from netip.Addr, announces bool) (Standing, *Move) {
	g := Sighting{Tenant: 1, Claim: c, From: from, Announces: announces, Expiry: 600 * second, MoveAfter: second}
	f := t.Check(now, &g)
	if f.Standing == Elsewhere {
		return f.Standing, nil
	}
	var m Move
	if t.Commit(now, &g, f, &m) {
		return f.Standing, &m
	}
	return f.Standing, nil
}

// recount compares the counts, lists and heaps with the bindings that are there.
func recount(t testing.TB, table *Table) {
	t.Helper()
	for n := range table.shards {
		s := &table.shards[n]
		live := 0
		for i := range s.used {
			if !s.at(i).live() {
				continue
			}
			live++
			if at, ok := s.find(&s.at(i).key, hashOf(table, &s.at(i).key)); !ok || at != i {
				t.Fatal("a binding is not found by its key")
			}
		}
		a := &s.accounts
		listed := 0
		for e, i := range a.of {
			x := &a.list[i]
			if x.endpoint != e || a.heap[x.place] != i || x.count == 0 {
				t.Fatalf("account %+v of %v", x, e.addr())
			}
			count, last := 0, uint32(0)
			for at := x.head; at != 0; at = s.at(at - 1).next {
				count++
				if b := s.at(at - 1); b.endpoint != e || b.prev != last || !b.live() {
					t.Fatalf("a binding of %v is in the list of %v", b.endpoint.addr(), e.addr())
				}
				last = at
			}
			if count != x.count || x.tail != last || count > a.share {
				t.Fatalf("%v: %d bindings counted, %d there, share %d", e.addr(), x.count, count, a.share)
			}
			listed += count
		}
		for i := range a.heap {
			if a.list[a.heap[(i+1)/2-min(1, (i+1)/2)]].count < a.list[a.heap[i]].count {
				t.Fatalf("place %d of the heap has more than its parent", i)
			}
		}
		if live != s.count || listed != s.count || len(a.heap) != len(a.of) || s.count > s.capacity {
			t.Fatalf("shard %d: %d counted, %d live, %d listed, capacity %d", n, s.count, live, listed, s.capacity)
		}
	}
}

func hashOf(t *Table, k *key) uint64 {
	tenant, c := k.claim()
	_, h, _ := t.find(&Sighting{Tenant: tenant, Claim: &c})
	return h
}

func TestABindingMovesWhenItIsAnnouncedOrSilent(t *testing.T) {
	table := newTable(t, Config{MaxBindings: 100})
	c, a, b := addressClaim(1), outer(1), outer(2)
	for i, tt := range []struct {
		now       int64
		from      netip.Addr
		announces bool
		want      Standing
		moves     uint32
		stayed    int64
	}{
		{0, a, false, Unbound, 0, 0},
		{1, a, false, Here, 0, 0},
		{second, b, false, Elsewhere, 0, 0}, // a spoke 1 ns too late for that
		{second + 1, b, false, Moves, 1, second + 1},
		{second + 2, a, false, Elsewhere, 0, 0},
		{second + 3, a, true, Moves, 2, 2},
		{second + 4, b, true, Moves, 3, 1},
		{second + 5, b, false, Here, 0, 0},
		{601*second + 4, a, false, Moves, 4, 600 * second},
		{1201*second + 4, b, false, Unbound, 0, 0}, // forgotten, so it does not move
		{1201*second + 5, a, false, Elsewhere, 0, 0},
	} {
		got, m := table.claim(tt.now, c, tt.from, tt.announces)
		if got != tt.want || (m != nil) != (tt.moves > 0) {
			t.Fatalf("step %d: got %v, moved %v, want %v", i, got, m, tt.want)
		}
		if m != nil && (m.Moves != tt.moves || m.Stayed != tt.stayed || m.From == tt.from || m.Claim != *c) {
			t.Errorf("step %d: %+v", i, m)
		}
	}
	if s := table.Stats(); s.Learned != 2 || s.Moved != 4 || s.Expired != 1 || s.Bindings != 1 || s.Evicted+s.Unlearned != 0 {
		t.Errorf("%+v", s)
	}
	recount(t, table)
}

func TestCheckAloneChangesNothing(t *testing.T) {
	table := newTable(t, Config{MaxBindings: 100})
	g := Sighting{Claim: addressClaim(1), From: outer(1), Expiry: 600 * second, MoveAfter: second}
	if f := table.Check(0, &g); f.Standing != Unbound || table.Stats().Bindings != 0 {
		t.Error("a frame that was dropped has taught something")
	}
	var m Move
	table.Commit(0, &g, Found{}, &m)
	other := g
	other.From, other.Announces = outer(2), true
	if f := table.Check(1, &other); f.Standing != Moves || f.Endpoint != outer(1) {
		t.Errorf("%+v", f)
	}
	table.Check(second/2, &g)
	other.Announces = false
	if f := table.Check(second, &other); f.Standing != Moves {
		t.Errorf("a frame that was dropped has kept it alive: %+v", f)
	}
}

// Between check and commit another worker may have been there.
func TestACommitLooksAgain(t *testing.T) {
	table := newTable(t, Config{MaxBindings: 100})
	c := addressClaim(1)
	here := Sighting{Tenant: 1, Claim: c, From: outer(1), Expiry: 600 * second, MoveAfter: second}
	there := here
	there.From = outer(2)
	mine, theirs := table.Check(0, &here), table.Check(0, &there)
	var m Move
	if table.Commit(0, &here, mine, &m) || table.Commit(0, &there, theirs, &m) {
		t.Error("it moved")
	}
	if f := table.Check(1, &there); f.Standing != Elsewhere || f.Endpoint != outer(1) {
		t.Errorf("the first to be accepted has it: %+v", f)
	}
	// Forgotten and learned again in the same place: the old answer is of no use.
	old := table.Check(1, &here)
	later := 700 * second
	if table.Commit(later, &there, table.Check(later, &there), &m) {
		t.Error("what was forgotten does not move")
	}
	if table.Commit(later, &here, old, &m) || table.Check(later, &there).Standing != Here {
		t.Error("an old answer has moved it back")
	}
	recount(t, table)
}

func TestWhoHasMostGivesUpFirst(t *testing.T) {
	table := newTable(t, Config{MaxBindings: 100, MaxPerEndpoint: 60})
	for i := range 30 {
		table.claim(int64(i), addressClaim(i), outer(1), false)
	}
	for i := range 50 {
		table.claim(100+int64(i), addressClaim(1000+i), outer(2), false)
	}
	for i := range 1000 { // a flood from a third one
		table.claim(200+int64(i), addressClaim(10000+i), outer(3), false)
	}
	recount(t, table)
	// Its flood has filled the table and taken from the one with most, until it was
	// that itself; the small one has all it had.
	count := map[netip.Addr]int{}
	table.Sweep(1300, func(b *Binding) { count[b.Endpoint]++ })
	if count[outer(1)] != 30 || count[outer(2)]+count[outer(3)] != 70 || count[outer(2)] < 34 || count[outer(2)] > 36 {
		t.Errorf("%v", count)
	}
	if s := table.Stats(); s.Evicted != 980 || s.Unlearned != 0 {
		t.Errorf("%+v", s)
	}
}

func TestAnEndpointWithItsWholeShareGivesUpItsOwnOldest(t *testing.T) {
	table := newTable(t, Config{MaxBindings: 1000, MaxPerEndpoint: 20})
	table.claim(0, addressClaim(5000), outer(2), false)
	for i := range 25 {
		table.claim(int64(i), addressClaim(i), outer(1), false)
		table.claim(int64(i), addressClaim(2), outer(1), false) // it stays in use
	}
	recount(t, table)
	there := map[string]bool{}
	table.Sweep(30, func(b *Binding) { there[b.Claim.String()] = true })
	for n, want := range map[int]bool{5000: true, 0: false, 1: false, 2: true, 24: true} {
		if got := there[addressClaim(n).String()]; got != want {
			t.Errorf("%v is there: %v", addressClaim(n), got)
		}
	}
	if len(there) != 21 {
		t.Errorf("%d bindings", len(there))
	}
}

func TestWhereEverythingIsInUseNothingIsLearned(t *testing.T) {
	table := newTable(t, Config{MaxBindings: 1000, MaxPerEndpoint: 20})
	for range 2 {
		for i := range 20 {
			table.claim(0, addressClaim(i), outer(1), false)
		}
	}
	if got, _ := table.claim(1, addressClaim(99), outer(1), false); got != Unbound || table.Stats().Unlearned != 1 {
		t.Errorf("%v, %+v", got, table.Stats())
	}
	// A binding that moves to where no room is is forgotten; nothing is dropped for it.
	for i := range 20 {
		table.claim(1, addressClaim(i), outer(1), false)
	}
	table.claim(1, addressClaim(50), outer(2), false)
	if got, m := table.claim(2, addressClaim(50), outer(1), true); got != Moves || m == nil {
		t.Errorf("%v, %+v", got, m)
	}
	if got, _ := table.claim(3, addressClaim(50), outer(3), false); got != Unbound {
		t.Errorf("%v", got)
	}
	recount(t, table)
}

func TestConfigHasBounds(t *testing.T) {
	for _, c := range []Config{{}, {MaxBindings: -1}, {MaxBindings: MaxBindings + 1}, {MaxBindings: 10, MaxPerEndpoint: 11}, {MaxBindings: 10, MaxPerEndpoint: -1}} {
		if _, err := New(c); err == nil {
			t.Errorf("%+v is taken", c)
		}
	}
	for _, n := range []int{1, 2, 5000, MaxBindings} {
		newTable(t, Config{MaxBindings: n})
	}
}

// model is what the documentation says of a table that is never full.
type model struct{ bindings map[modelKey]*modelBinding }

type modelKey struct {
	tenant int32
	claim  Claim
}

type modelBinding struct {
	at          netip.Addr
	since, last int64
	moves       uint32
}

func (m *model) frame(now int64, key modelKey, from netip.Addr, announces, accepted bool, expiry, moveAfter int64) (Standing, uint32) {
	b := m.bindings[key]
	if b != nil && now-b.last >= expiry {
		b = nil
	}
	switch {
	case b == nil:
		if accepted {
			m.bindings[key] = &modelBinding{from, now, now, 0}
		}
		return Unbound, 0
	case b.at == from:
		if accepted {
			b.last = now
		}
		return Here, 0
	case !announces && now-b.last < moveAfter:
		return Elsewhere, 0
	}
	if accepted {
		b.at, b.since, b.last = from, now, now
		b.moves++
		return Moves, b.moves
	}
	return Moves, 0
}

// runSequence compares the table with the model, frame by frame.
func runSequence(t testing.TB, steps int, next func(n int) int) {
	t.Helper()
	table := newTable(t, Config{MaxBindings: 5000})
	m := &model{map[modelKey]*modelBinding{}}
	var now int64
	for n := range steps {
		if next(3) == 0 {
			now += int64(next(12)) * second / 4
		}
		c := Claim{kind: Kind(next(int(Kinds))), is4: next(2) == 0, network: uint64(next(2)), vlan: uint32(next(2)), value: [16]byte{byte(next(3))}}
		g := Sighting{Tenant: int32(next(2)), Claim: &c, From: outer(next(3)), Announces: next(8) == 0, Expiry: 10 * second, MoveAfter: second}
		if next(4) == 0 {
			g.From = netip.AddrFrom16(g.From.As16()) // another endpoint than the IPv4 one
		}
		accepted := next(4) > 0
		f := table.Check(now, &g)
		accepted = accepted && f.Standing != Elsewhere
		want, moves := m.frame(now, modelKey{g.Tenant, c}, g.From, g.Announces, accepted, g.Expiry, g.MoveAfter)
		var move Move
		moved := false
		if accepted {
			moved = table.Commit(now, &g, f, &move)
		}
		if f.Standing != want || moved != (moves > 0) || move.Moves != moves {
			t.Fatalf("frame %d at %v, %v of tenant %d from %v, accepted %v: got %v, %+v, want %v, %d moves",
				n, time.Duration(now), c, g.Tenant, g.From, accepted, f.Standing, move, want, moves)
		}
		if n%64 == 63 {
			recount(t, table)
		}
	}
	got := 0
	table.Sweep(now, func(b *Binding) {
		got++
		w := m.bindings[modelKey{b.Tenant, b.Claim}]
		if w == nil || w.at != b.Endpoint || w.last != b.Last || w.since != b.Since || w.moves != b.Moves {
			t.Errorf("the table has %+v, the model %+v", b, w)
		}
	})
	for _, b := range m.bindings {
		if now-b.last < 10*second {
			got--
		}
	}
	if got != 0 {
		t.Errorf("the table has %d bindings more than the model", got)
	}
}

func TestRandomSequencesAgreeWithTheModel(t *testing.T) {
	seed := uint64(time.Now().UnixNano())
	t.Logf("seed %d", seed)
	r := rand.New(rand.NewPCG(seed, 0))
	for range 200 {
		runSequence(t, 1000, r.IntN)
	}
}

// Whatever is sent, the bounds hold and the table stays whole.
func TestRandomSequencesStayInBounds(t *testing.T) {
	seed := uint64(time.Now().UnixNano())
	t.Logf("seed %d", seed)
	r := rand.New(rand.NewPCG(seed, 0))
	for range 60 {
		c := Config{MaxBindings: 1 + r.IntN(60)}
		c.MaxPerEndpoint = 1 + r.IntN(c.MaxBindings)
		table := newTable(t, c)
		var now int64
		for n := range 1000 {
			now += r.Int64N(2 * second)
			table.claim(now, addressClaim(r.IntN(100)), outer(r.IntN(5)*r.IntN(3)), r.IntN(4) == 0)
			if n%16 == 0 {
				recount(t, table)
			}
		}
		if s := table.Stats(); s.Bindings > c.MaxBindings {
			t.Fatalf("%+v with %+v", s, c)
		}
	}
}

func FuzzSequences(f *testing.F) {
	f.Add(make([]byte, 300))
	r := rand.New(rand.NewPCG(1, 2))
	long := make([]byte, 3000)
	for i := range long {
		long[i] = byte(r.Uint32())
	}
	f.Add(long)
	f.Fuzz(func(t *testing.T, data []byte) {
		at := 0
		runSequence(t, min(len(data)/10, 400), func(n int) int {
			if at >= len(data) {
				return 0
			}
			at++
			return int(data[at-1]) % n
		})
	})
}

func TestWorkersShareTheTable(t *testing.T) {
	table := newTable(t, Config{MaxBindings: 4000, MaxPerEndpoint: 1500})
	var workers sync.WaitGroup
	for w := range 4 {
		workers.Go(func() {
			r := rand.New(rand.NewPCG(uint64(w), 1))
			for n := range 5000 {
				table.claim(int64(n)*second/100, addressClaim(r.IntN(6000)), outer(r.IntN(8)), r.IntN(10) == 0)
				if n%500 == 0 {
					table.Sweep(int64(n), func(*Binding) {})
					table.Stats()
				}
			}
		})
	}
	workers.Wait()
	recount(t, table)
}

func TestTheWayOfAClaimAllocatesNothing(t *testing.T) {
	table := newTable(t, Config{MaxBindings: 100})
	for i := range 100 { // the table has all of its memory
		table.claim(0, addressClaim(1000+i), outer(i), false)
	}
	n, moved := 0, 0
	r := rand.New(rand.NewPCG(1, 2))
	c := addressClaim(0)
	g := Sighting{Tenant: 1, Claim: c, Expiry: 600 * second, MoveAfter: second}
	var m Move
	if got := testing.AllocsPerRun(2000, func() {
		n++
		now := int64(n) * second / 50
		binary.BigEndian.PutUint16(c.value[14:], uint16(r.IntN(150)))
		g.From, g.Announces = outer(n%100), n%7 == 0
		if f := table.Check(now, &g); f.Standing != Elsewhere && table.Commit(now, &g, f, &m) {
			moved++
		}
	}); got != 0 {
		t.Errorf("%v allocations", got)
	}
	if s := table.Stats(); moved == 0 || s.Evicted == 0 {
		t.Errorf("%d moved, %+v", moved, s)
	}
}

func TestMemoryOfABinding(t *testing.T) {
	const n = 200000
	var before, after runtime.MemStats
	runtime.GC()
	runtime.ReadMemStats(&before)
	table := newTable(t, Config{MaxBindings: n, MaxPerEndpoint: n})
	c := addressClaim(0)
	for i := range n {
		binary.BigEndian.PutUint32(c.value[12:], uint32(i))
		table.claim(0, c, outer(i%1000), false)
	}
	runtime.GC()
	runtime.ReadMemStats(&after)
	if got := table.Stats().Bindings; got < n*98/100 {
		t.Fatalf("%d bindings", got)
	}
	each := float64(after.HeapAlloc-before.HeapAlloc) / n
	t.Logf("%.0f bytes each", each)
	if each > 130 {
		t.Errorf("%.0f bytes each", each)
	}
	runtime.KeepAlive(table)
}

func BenchmarkClaim(b *testing.B) {
	for _, n := range []int{1000, 200000} {
		b.Run(fmt.Sprintf("bindings=%d", n), func(b *testing.B) {
			table := newTable(b, Config{MaxBindings: 262144, MaxPerEndpoint: 262144})
			c := addressClaim(0)
			for i := range n {
				binary.BigEndian.PutUint32(c.value[12:], uint32(i))
				table.claim(0, c, outer(i%1000), false)
			}
			g := Sighting{Tenant: 1, Claim: c, Expiry: 600 * second, MoveAfter: second}
			var m Move
			b.ReportAllocs()
			i := 0
			for b.Loop() {
				i = (i + 7919) % n
				binary.BigEndian.PutUint32(c.value[12:], uint32(i))
				g.From = outer(i % 1000)
				table.Commit(1, &g, table.Check(1, &g), &m)
			}
		})
	}
}
