package conntrack

import (
	"encoding/binary"
	"fmt"
	"math/rand/v2"
	"net/netip"
	"sync"
	"testing"
	"time"
	"unsafe"

	"github.com/google/go-cmp/cmp"

	"sttwall/inspect"
	"sttwall/reason"
)

// piece is a fragment of an inner packet.
type piece struct {
	tenant   int32
	context  uint64
	vlan     uint16
	from     string // outer source
	any      bool   // from any endpoint
	ip6      bool
	src, dst byte
	protocol uint8 // 0: UDP
	id       uint32
	offset   uint16
	bytes    int // 0: 8
	last     bool
	port     uint16 // of a first fragment
}

func (g piece) packet() *Packet {
	if g.bytes == 0 {
		g.bytes = 8
	}
	if g.protocol == 0 {
		g.protocol = inspect.ProtocolUDP
	}
	if g.from == "" {
		g.from = "192.0.2.1"
	}
	const start = 34
	f := &inspect.Frame{
		IP: 4, EtherType: inspect.EtherTypeIPv4, Protocol: g.protocol, L4Offset: -1,
		Src: netip.AddrFrom4([4]byte{10, 0, 0, g.src}), Dst: netip.AddrFrom4([4]byte{10, 0, 1, g.dst}),
		Fragmented: true, Fragment: inspect.Fragment{ID: g.id, Offset: g.offset, More: !g.last, Bytes: g.bytes},
		IPEnd: start + g.bytes, PayloadOffset: start,
	}
	if g.ip6 {
		f.IP, f.EtherType = 6, inspect.EtherTypeIPv6
		f.Src, f.Dst = netip.AddrFrom16([16]byte{0x20, 15: g.src}), netip.AddrFrom16([16]byte{0x20, 14: 1, 15: g.dst})
	}
	if g.vlan != 0 {
		f.TagCount, f.Tags[0] = 1, g.vlan
	}
	data := make([]byte, start+g.bytes)
	if g.offset == 0 {
		f.L4Offset, f.PayloadOffset = start, start+8
		f.HasPorts, f.DstPort = true, g.port
		binary.BigEndian.PutUint16(data[start+2:], g.port)
	}
	return &Packet{
		Tenant: g.tenant, Context: g.context, From: netip.MustParseAddr(g.from), To: netip.MustParseAddr("192.0.2.9"),
		Frame: f, Data: data, Bytes: len(data), AnyEndpoint: g.any,
	}
}

func newFragments(t testing.TB, c FragmentConfig) *Fragments {
	t.Helper()
	if c.MaxPackets == 0 {
		c.MaxPackets = 1024
	}
	f, err := NewFragments(c)
	if err != nil {
		t.Fatal(err)
	}
	return f
}

var (
	passes = FragmentVerdict{Accept: true, Generation: 1, Rule: 3, Mark: 4}
	denied = FragmentVerdict{Reason: reason.RuleDrop, Generation: 1, Rule: 5}
)

// first shows the table a first fragment that gets the verdict, and returns what
// Begin says.
func (t *Fragments) first(now int64, g piece, v FragmentVerdict) string {
	p := g.packet()
	id := t.ID(p)
	if !t.Begin(now, &id, p) {
		return "conflict"
	}
	t.Decided(now, &id, p, &v)
	return "decided"
}

// later asks for a later fragment, by rules of generation 1.
func (t *Fragments) later(now int64, g piece) string {
	p := g.packet()
	id := t.ID(p)
	var v FragmentVerdict
	switch t.Follow(now, 1, &id, &p.Frame.Fragment, &v) {
	case FollowUnknown:
		return "unknown"
	case FollowStale:
		return "stale"
	case FollowOverlap:
		return "overlap"
	}
	if v.Accept {
		return "passes"
	}
	return v.Reason.String()
}

func TestLaterFragmentsFollowTheirFirst(t *testing.T) {
	type step struct {
		after time.Duration
		first *FragmentVerdict // nil: a later one
		piece piece
		want  string
	}
	a := piece{port: 53}
	more := piece{offset: 8}
	with := func(g piece, change func(g *piece)) piece {
		change(&g)
		return g
	}
	other := passes
	other.Generation = 2
	otherDenied := denied
	otherDenied.Generation = 2
	for _, tt := range []struct {
		name  string
		steps []step
	}{
		{"that passed", []step{{0, &passes, a, "decided"}, {0, nil, more, "passes"}, {0, nil, with(more, func(g *piece) { g.offset = 800 }), "passes"}}},
		{"that was dropped", []step{{0, &denied, a, "decided"}, {0, nil, more, "rule_drop"}}},
		{"and pass nothing before it", []step{{0, nil, more, "unknown"}, {0, &passes, a, "decided"}, {0, nil, more, "passes"}}},
		{"for a time", []step{{0, &passes, a, "decided"}, {30*time.Second - 1, nil, more, "passes"}, {1, nil, more, "unknown"}}},
		{"which a repeat does not make longer", []step{{0, &passes, a, "decided"}, {20 * time.Second, &passes, a, "decided"}, {10 * time.Second, nil, more, "unknown"}}},
		{"until all of the packet has come", []step{{0, &passes, with(a, func(g *piece) { g.bytes = 16 }), "decided"}, {0, nil, with(more, func(g *piece) { g.offset, g.last = 24, true }), "passes"},
			{0, nil, with(more, func(g *piece) { g.offset = 16 }), "passes"}, {0, nil, more, "unknown"}}},
		{"also of one that was dropped", []step{{0, &denied, a, "decided"}, {0, nil, with(more, func(g *piece) { g.last = true }), "rule_drop"}, {0, &passes, piece{port: 9}, "decided"}}},
		{"not inside of its headers", []step{{0, &passes, with(a, func(g *piece) { g.ip6 = true }), "decided"}, {0, nil, with(more, func(g *piece) { g.ip6, g.offset = true, 4 }), "overlap"}, {0, nil, with(more, func(g *piece) { g.ip6 = true }), "passes"}}},
		{"not another first one", []step{{0, &passes, a, "decided"}, {0, &passes, piece{port: 54}, "conflict"}, {0, nil, more, "fragment_conflict"}, {0, &passes, a, "conflict"}}},
		{"but after one that was dropped", []step{{0, &denied, a, "decided"}, {0, nil, more, "rule_drop"}, {0, &passes, piece{port: 54}, "decided"}, {0, nil, more, "passes"}, {0, &passes, a, "conflict"}}},
		{"which does not count as a part of the next packet", []step{{0, &denied, a, "decided"}, {0, nil, more, "rule_drop"}, {0, &passes, piece{port: 54}, "decided"},
			{0, nil, with(more, func(g *piece) { g.offset, g.last = 16, true }), "passes"}, {0, nil, more, "passes"}, {0, nil, more, "unknown"}}},
		{"and is remembered from when the next one came", []step{{0, &denied, a, "decided"}, {29 * time.Second, &denied, piece{port: 54}, "decided"}, {29 * time.Second, nil, more, "rule_drop"}}},
		{"but not after one that passed before a repeat of it was dropped", []step{{0, &passes, a, "decided"}, {0, &denied, a, "decided"}, {0, &passes, piece{port: 54}, "conflict"}}},
		{"nor after one that passed when it was repeated", []step{{0, &denied, a, "decided"}, {0, &passes, a, "decided"}, {0, &passes, piece{port: 54}, "conflict"}}},
		{"and the last piece does not clear a conflict", []step{{0, &passes, a, "decided"}, {0, &passes, piece{port: 54}, "conflict"}, {0, nil, with(more, func(g *piece) { g.last = true }), "fragment_conflict"}, {0, &passes, a, "conflict"}}},
		{"but a repeated one", []step{{0, &passes, a, "decided"}, {0, &passes, a, "decided"}, {0, nil, more, "passes"}}},
		{"a repeat that is dropped stops nothing", []step{{0, &passes, a, "decided"}, {0, &denied, a, "decided"}, {0, nil, more, "passes"}}},
		{"a repeat that passes lets it pass", []step{{0, &denied, a, "decided"}, {0, &passes, a, "decided"}, {0, nil, more, "passes"}}},
		{"by the rules that hold now", []step{{0, &other, a, "decided"}, {0, nil, more, "stale"}, {0, nil, more, "stale"}}},
		{"a dropped one whatever they are", []step{{0, &otherDenied, a, "decided"}, {0, nil, more, "rule_drop"}}},

		{"of their packet", []step{{0, &passes, a, "decided"}, {0, nil, with(more, func(g *piece) { g.id = 1 }), "unknown"}}},
		{"from their source", []step{{0, &passes, a, "decided"}, {0, nil, with(more, func(g *piece) { g.src = 1 }), "unknown"}}},
		{"to their destination", []step{{0, &passes, a, "decided"}, {0, nil, with(more, func(g *piece) { g.dst = 1 }), "unknown"}}},
		{"of their protocol", []step{{0, &passes, a, "decided"}, {0, nil, with(more, func(g *piece) { g.protocol = 6 }), "unknown"}}},
		{"in IPv6 of any: extension headers are behind the fragment header", []step{{0, &passes, with(a, func(g *piece) { g.ip6 = true }), "decided"}, {0, nil, with(more, func(g *piece) { g.ip6, g.protocol = true, 60 }), "passes"}}},
		{"of their tenant", []step{{0, &passes, a, "decided"}, {0, nil, with(more, func(g *piece) { g.tenant = 1 }), "unknown"}}},
		{"of their context", []step{{0, &passes, a, "decided"}, {0, nil, with(more, func(g *piece) { g.context = 1 }), "unknown"}}},
		{"of their VLAN", []step{{0, &passes, a, "decided"}, {0, nil, with(more, func(g *piece) { g.vlan = 1 }), "unknown"}}},
		{"whose priority may be another", []step{{0, &passes, with(a, func(g *piece) { g.vlan = 1 }), "decided"}, {0, nil, with(more, func(g *piece) { g.vlan = 0x2001 }), "passes"}}},
		{"of their endpoint", []step{{0, &passes, a, "decided"}, {0, nil, with(more, func(g *piece) { g.from = "192.0.2.2" }), "unknown"}}},
		{"or of any if the tenant says so", []step{{0, &passes, with(a, func(g *piece) { g.any = true }), "decided"}, {0, nil, with(more, func(g *piece) { g.any, g.from = true, "192.0.2.2" }), "passes"}}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			table, now := newFragments(t, FragmentConfig{}), int64(time.Hour)
			for i, s := range tt.steps {
				now += int64(s.after)
				got := ""
				if s.first != nil {
					got = table.first(now, s.piece, *s.first)
				} else {
					got = table.later(now, s.piece)
				}
				if got != s.want {
					t.Fatalf("step %d: got %s, want %s", i, got, s.want)
				}
			}
		})
	}
}

func TestAFirstFragmentCanBeJudgedAgain(t *testing.T) {
	table, now := newFragments(t, FragmentConfig{}), int64(time.Hour)
	a := piece{port: 53, vlan: 0x6007}
	old := passes
	old.Generation = 7
	table.first(now, a, old)
	p := a.packet()
	id := table.ID(p)
	var got inspect.Frame
	from, to, ok := table.Origin(now, &id, &got)
	if !ok || from != p.From || to != p.To {
		t.Fatalf("from %v to %v, %t", from, to, ok)
	}
	want := *p.Frame
	want.L4Offset, want.PayloadOffset, want.IPEnd, want.Fragment = -1, 0, 0, inspect.Fragment{More: true}
	if diff := cmp.Diff(want, got, cmp.Comparer(func(a, b netip.Addr) bool { return a == b })); diff != "" {
		t.Errorf("-want +got:\n%s", diff)
	}
	for _, tt := range []struct {
		verdict FragmentVerdict
		want    string
	}{{passes, "passes"}, {denied, "rule_drop"}, {passes, "rule_drop"}} {
		table.Judged(now, &id, &tt.verdict)
		if got := table.later(now, piece{offset: 8, vlan: 7}); got != tt.want {
			t.Errorf("judged as %+v: got %s, want %s", tt.verdict, got, tt.want)
		}
	}
	if got := table.first(now, piece{port: 54, vlan: 7}, passes); got != "conflict" {
		t.Errorf("another first one, where one has left by rules of before: %s", got)
	}
}

func TestFragmentBounds(t *testing.T) {
	for _, tt := range []struct {
		config FragmentConfig
		ok     bool
	}{
		{FragmentConfig{MaxPackets: 7}, false}, {FragmentConfig{MaxPackets: 8}, true},
		{FragmentConfig{MaxPackets: MaxFragmented}, true}, {FragmentConfig{MaxPackets: MaxFragmented + 1}, false},
		{FragmentConfig{MaxPackets: 8, Timeout: -1}, false},
	} {
		if _, err := NewFragments(tt.config); (err == nil) != tt.ok {
			t.Errorf("%+v: %v", tt.config, err)
		}
	}
	if n := unsafe.Sizeof(fragmented{}); n > 256 {
		t.Errorf("%d bytes for a packet", n)
	}
}

func TestWhoLeavesAFullBucket(t *testing.T) {
	a, b, c := [16]byte{1}, [16]byte{2}, [16]byte{3}
	for _, tt := range []struct {
		name string
		full [fragmentWays][16]byte // in the order of their age
		from [16]byte
		want int
	}{
		{"the oldest, if all are of one source", [...][16]byte{a, a, a, a, a, a, a, a}, a, 0},
		{"also for another source", [...][16]byte{a, a, a, a, a, a, a, a}, b, 0},
		{"the oldest of the source that has most", [...][16]byte{a, a, b, b, b, b, b, a}, a, 2},
		{"its own, of two that have as many", [...][16]byte{a, a, a, a, b, b, b, b}, b, 4},
		{"the oldest, of two that have as many and are others", [...][16]byte{b, a, a, a, a, b, b, b}, c, 0},
	} {
		t.Run(tt.name, func(t *testing.T) {
			// The places say nothing about the age.
			var bucket fragmentBucket
			for i, from := range tt.full {
				bucket.entries[(i*3+5)%fragmentWays] = fragmented{used: true, from: from, expires: int64(100 + i)}
			}
			e, evicted := bucket.room(tt.from)
			if got := e.expires - 100; !evicted || got != int64(tt.want) {
				t.Errorf("got the one of age %d, evicted %t; want %d", got, evicted, tt.want)
			}
			e.used = false
			if again, evicted := bucket.room(tt.from); again != e || evicted {
				t.Error("a free place is not taken")
			}
		})
	}
}

// One source sends first fragments without end; the packets of others stay.
func TestASourceThatFillsTheTableLosesItsOwn(t *testing.T) {
	// A packet of others leaves only a bucket that they fill alone. The hash puts
	// eight of 32 into one of 128 buckets once in fifty million runs.
	const packets, flood, size = 32, 20000, 1024
	table, now := newFragments(t, FragmentConfig{MaxPackets: size}), int64(time.Hour)
	of := func(i int) piece { return piece{id: uint32(i), from: fmt.Sprintf("192.0.2.%d", 100+i)} }
	for i := range packets {
		table.first(now, of(i), passes)
	}
	kept := func() (n int) {
		for i := range packets {
			g := of(i)
			g.offset = 8
			if table.later(now, g) == "passes" {
				n++
			}
		}
		return n
	}
	before := kept()
	for i := range flood {
		now += 1000
		table.first(now, piece{id: uint32(1000 + i), from: "192.0.2.66"}, passes)
	}
	if got := kept(); got != packets || before != packets {
		t.Errorf("%d of %d packets were there, and %d after the flood", before, packets, got)
	}
	if table.later(now, piece{id: 1000 + flood - 1, offset: 8, from: "192.0.2.66"}) != "passes" {
		t.Error("the newest packet of the flood is not there")
	}
	if table.later(now, piece{id: 1000, offset: 8, from: "192.0.2.66"}) != "unknown" {
		t.Error("the oldest packet of the flood is there")
	}
	s := table.Stats()
	if s.Entered != packets+flood || s.Evicted < flood-size {
		t.Errorf("%+v", s)
	}
}

// fragmentModel is the table as plain data without bounds.
type fragmentModel map[piece]*modelFragmented

type modelFragmented struct {
	port         uint16
	verdict      string // "passes", or a reason
	expires      int64
	bytes, total int
}

func (m fragmentModel) find(now int64, g piece) (piece, *modelFragmented) {
	key := piece{tenant: g.tenant, from: g.from, src: g.src, id: g.id, ip6: g.ip6, protocol: g.protocol}
	if key.ip6 {
		key.protocol = 0
	}
	e := m[key]
	if e != nil && now >= e.expires {
		delete(m, key)
		e = nil
	}
	return key, e
}

func (m fragmentModel) first(now int64, g piece, v FragmentVerdict) string {
	verdict := "passes"
	if !v.Accept {
		verdict = v.Reason.String()
	}
	key, e := m.find(now, g)
	switch {
	case e == nil:
		m[key] = &modelFragmented{port: g.port, verdict: verdict, expires: now + int64(30*time.Second), bytes: g.bytes}
	case e.verdict == denied.Reason.String() && e.port != g.port:
		// What was dropped is as if it had never come.
		m[key] = &modelFragmented{port: g.port, verdict: verdict, expires: now + int64(30*time.Second), bytes: g.bytes}
	case e.verdict == "fragment_conflict" || e.port != g.port:
		e.verdict = "fragment_conflict"
		return "conflict"
	case e.verdict != "passes":
		e.verdict = verdict
	}
	return "decided"
}

func (m fragmentModel) later(now int64, g piece) string {
	key, e := m.find(now, g)
	if e == nil {
		return "unknown"
	}
	e.bytes += g.bytes
	if g.last {
		e.total = int(g.offset) + g.bytes
	}
	if e.bytes == e.total && e.verdict != "fragment_conflict" {
		delete(m, key)
	}
	return e.verdict
}

func TestFragmentsAreWhatAPlainModelSays(t *testing.T) {
	seed := rand.Uint64()
	t.Logf("seed %d", seed)
	r := rand.New(rand.NewPCG(seed, 0))
	seen := map[string]int{}
	for range 30 {
		table, model, now := newFragments(t, FragmentConfig{MaxPackets: 65536}), fragmentModel{}, int64(time.Hour)
		for i := range 3000 {
			now += int64(r.IntN(200)) * int64(time.Millisecond)
			g := piece{
				tenant: int32(r.IntN(2)), from: fmt.Sprintf("192.0.2.%d", 1+r.IntN(2)), src: byte(r.IntN(2)), id: uint32(r.IntN(8)),
				ip6: r.IntN(2) == 0, protocol: []uint8{6, 17}[r.IntN(2)], bytes: 8 + 8*r.IntN(3),
			}
			var got, want string
			if r.IntN(3) == 0 {
				v := passes
				if r.IntN(3) == 0 {
					v = denied
				}
				g.port = 53
				if r.IntN(6) == 0 {
					g.port++
				}
				got, want = table.first(now, g, v), model.first(now, g, v)
			} else {
				g.offset, g.last = uint16(8+8*r.IntN(4)), r.IntN(3) == 0
				got, want = table.later(now, g), model.later(now, g)
			}
			if got != want {
				t.Fatalf("packet %d, %+v: got %s, want %s", i, g, got, want)
			}
			seen[got]++
		}
		if n := table.Stats().Evicted; n != 0 {
			t.Fatalf("%d evicted", n)
		}
	}
	for _, what := range []string{"decided", "conflict", "passes", "rule_drop", "fragment_conflict", "unknown"} {
		if seen[what] < 100 {
			t.Errorf("%q came %d times only", what, seen[what])
		}
	}
}

func TestWorkersShareTheFragments(t *testing.T) {
	table := newFragments(t, FragmentConfig{MaxPackets: 64})
	var workers sync.WaitGroup
	for w := range 4 {
		workers.Go(func() {
			now := int64(time.Hour)
			for i := range 3000 {
				now += 1000
				g := piece{id: uint32(i), from: fmt.Sprintf("192.0.2.%d", 1+w%2), port: uint16(i % 3)}
				if w < 2 {
					table.first(now, g, []FragmentVerdict{passes, denied}[i%2])
					continue
				}
				g.offset = 8
				got := table.later(now, g)
				want := []string{"passes", "rule_drop"}[i%2]
				if got != want && got != "unknown" {
					t.Errorf("fragment %d: got %s, want %s", i, got, want)
				}
				p := g.packet()
				id := table.ID(p)
				table.Knows(now, &id)
				table.SetTimeout(time.Minute)
			}
		})
	}
	workers.Wait()
}

func TestFragmentsAllocateNothing(t *testing.T) {
	table, now := newFragments(t, FragmentConfig{MaxPackets: 64}), int64(time.Hour)
	first, later := piece{port: 53}.packet(), piece{offset: 8}.packet()
	run := func() {
		now += int64(time.Second)
		first.Frame.Fragment.ID++
		later.Frame.Fragment.ID++
		id := table.ID(first)
		var v FragmentVerdict
		table.Begin(now, &id, first)
		table.Decided(now, &id, first, &passes)
		table.Knows(now, &id)
		id = table.ID(later)
		if table.Follow(now, 1, &id, &later.Frame.Fragment, &v) != FollowVerdict {
			t.Error("not known")
		}
	}
	for range 1000 {
		run() // until all slabs are there
	}
	if n := testing.AllocsPerRun(100, run); n != 0 {
		t.Errorf("%v allocations", n)
	}
}

func BenchmarkFragments(b *testing.B) {
	table, now := newFragments(b, FragmentConfig{MaxPackets: 16384}), int64(time.Hour)
	first, later := piece{port: 53}.packet(), piece{offset: 8, last: true}.packet()
	b.ReportAllocs()
	for b.Loop() {
		now += 1000
		first.Frame.Fragment.ID++
		later.Frame.Fragment.ID++
		id := table.ID(first)
		var v FragmentVerdict
		table.Begin(now, &id, first)
		table.Decided(now, &id, first, &passes)
		table.Follow(now, 1, &id, &later.Frame.Fragment, &v)
	}
}
