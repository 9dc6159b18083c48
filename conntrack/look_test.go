package conntrack

import (
	"math/rand/v2"
	"reflect"
	"slices"
	"testing"
	"time"

	"sttwall/inspect"
	"sttwall/reason"
)

// everything is all that a table remembers, but for its locks.
type everything struct {
	Entries [][]entry
	Records [][]record
	Slots   [][]uint32
	Lists   [][statuses]list
	Stats   Stats
	Tenants [3][2]int
}

func snapshot(t *Table) (e everything) {
	for i := range t.shards {
		s := &t.shards[i]
		var entries []entry
		var records []record
		for n := range s.used {
			entries = append(entries, *s.at(n))
			records = append(records, *s.record(n))
		}
		e.Records = append(e.Records, records)
		e.Entries, e.Slots, e.Lists = append(e.Entries, entries), append(e.Slots, slices.Clone(s.slots)), append(e.Lists, s.lists)
	}
	e.Stats = t.Stats()
	for i := range e.Tenants {
		e.Tenants[i][0], e.Tenants[i][1] = t.TenantStats(int32(i))
	}
	return e
}

// randomPacket is one that may belong to one of few flows.
func randomPacket(r *rand.Rand) *Packet {
	var p *Packet
	back := r.IntN(2) == 0
	switch r.IntN(8) {
	case 0:
		p = other(17, uint16(1000+r.IntN(3)), 53, back)
	case 1:
		p = icmp([]uint8{8, 0, 13, 14}[r.IntN(4)], uint16(r.IntN(2)), back)
	case 2:
		p = quote(other(17, uint16(1000+r.IntN(3)), 53, !back), 3)
	case 3:
		p = other(47, 0, 0, back)
	default:
		seq, acked := uint32(1000+r.IntN(3)), uint32(5000+r.IntN(3))
		if back {
			seq, acked = acked, seq
		}
		flags := []uint16{inspect.SYN, inspect.SYN | inspect.ACK, inspect.ACK, inspect.ACK, inspect.FIN | inspect.ACK, inspect.RST, inspect.RST | inspect.ACK}[r.IntN(7)]
		p = tcp{flags: flags, seq: seq, ack: acked, window: 502, payload: r.IntN(2), scale: -1, back: back, loose: r.IntN(8) == 0,
			srcPort: uint16(40000 + r.IntN(2))}.packet()
	}
	p.Tenant = int32(r.IntN(2))
	p.Trusted = r.IntN(8) > 0
	if r.IntN(10) == 0 {
		p.From = client
	}
	return p
}

func TestPeekSaysWhatTrackWouldAndMovesNothing(t *testing.T) {
	seed := uint64(time.Now().UnixNano())
	t.Logf("seed %d", seed)
	r := rand.New(rand.NewPCG(seed, 1))
	table := newTable(t, 50)
	now, generation := int64(0), uint32(1)
	states := map[State]int{}
	for n := range 10000 {
		now += int64(r.IntN(3)) * second
		if r.IntN(50) == 0 {
			generation++
		}
		p := randomPacket(r)
		before := snapshot(table)
		var peeked, tracked Result
		var f Flow
		table.Peek(now, generation, p, &peeked, &f)
		table.Walk(now, Cursor{}, func(*Flow, *inspect.Frame) bool { return true })
		if after := snapshot(table); !reflect.DeepEqual(after, before) {
			t.Fatalf("packet %d: a look has changed the table", n)
		}
		if n%8 == 0 {
			// Room may forget what is over, and nothing else.
			table.Expire(now, 1000)
			before = snapshot(table)
			table.Room(now, p, &Limits{Flows: 9, HalfOpen: 3, FlowsPerSource: 4})
			if after := snapshot(table); !reflect.DeepEqual(after, before) {
				t.Fatalf("packet %d: asking for room has changed the table", n)
			}
		}
		if peeked.Handle.Valid() {
			var again Flow
			if !table.Look(peeked.Handle, &again) || again != f || f.Rule != peeked.Rule || f.Mark != peeked.Mark {
				t.Fatalf("packet %d: %+v is not the flow %+v", n, f, again)
			}
		}
		table.Track(now, generation, p, &tracked)
		if peeked != tracked {
			t.Fatalf("packet %d: got %+v, want %+v", n, peeked, tracked)
		}
		states[tracked.State]++
		var fresh Result
		if table.Fresh(p, &fresh); tracked.State == StateNew && fresh != tracked {
			t.Fatalf("packet %d of no known flow: got %+v, want %+v", n, fresh, tracked)
		}
		switch tracked.State {
		case StateNew:
			table.Create(now, generation, p, &Creation{Rule: int32(n), Mark: uint32(n)}, &tracked)
		case StateStale:
			table.Peek(now, f.Generation, p, &peeked, &f)
			if peeked.State == StateStale {
				t.Fatalf("packet %d: a flow is stale by its own rules", n)
			}
			table.Confirm(tracked.Handle, generation, int32(n), 0)
			table.Track(now, generation, p, &tracked)
			if peeked.State != tracked.State || peeked.Reason != tracked.Reason {
				t.Fatalf("packet %d of a flow that is confirmed: got %v %v, want %v %v", n, peeked.State, peeked.Reason, tracked.State, tracked.Reason)
			}
		}
	}
	for s := StateUntracked; s <= StateInvalid; s++ {
		if states[s] == 0 && s != StateUntracked { // all of these have a state
			t.Errorf("no packet was %v: %v", s, states)
		}
	}
}

func TestRoomNamesTheLimitThatCreateMeets(t *testing.T) {
	for _, tt := range []struct {
		name   string
		limits Limits
		flows  int // of the table
		first  []*Packet
		next   *Packet
		want   reason.Reason
	}{
		{"none", Limits{Flows: 2, FlowsPerSource: 2}, 10, []*Packet{other(17, 1, 53, false)}, other(17, 2, 53, false), reason.None},
		{"the tenant's flows", Limits{Flows: 1}, 10, []*Packet{other(17, 1, 53, false)}, other(17, 2, 53, false), reason.TenantFlows},
		{"the source's flows", Limits{FlowsPerSource: 1}, 10, []*Packet{other(17, 1, 53, false)}, other(17, 2, 53, false), reason.SourceFlows},
		{"another source's", Limits{FlowsPerSource: 1}, 10, []*Packet{other(17, 1, 53, true)}, other(17, 2, 54, false), reason.None},
		{"half-open TCP", Limits{HalfOpen: 1}, 10, []*Packet{tcp{flags: inspect.SYN, srcPort: 1, scale: -1}.packet()}, tcp{flags: inspect.SYN, srcPort: 2, scale: -1}.packet(), reason.HalfOpenLimit},
		{"half-open TCP is no limit on others", Limits{HalfOpen: 1}, 10, []*Packet{tcp{flags: inspect.SYN, srcPort: 1, scale: -1}.packet()}, other(17, 2, 54, false), reason.None},
		{"a table full of unanswered flows", Limits{}, 1, []*Packet{other(17, 1, 53, false)}, other(17, 2, 53, false), reason.None},
		{"a full table", Limits{}, 1, []*Packet{other(17, 1, 53, false), other(17, 1, 53, true)}, other(17, 2, 53, false), reason.FlowTableFull},
		{"what begins none", Limits{}, 1, nil, icmp(0, 1, false), reason.StateInvalid},
	} {
		t.Run(tt.name, func(t *testing.T) {
			table := newTable(t, tt.flows)
			for _, p := range tt.first {
				if r := meet(table, 1, p, tt.limits); r.State == StateInvalid {
					t.Fatal(r.Reason)
				}
			}
			if got := table.Room(2, tt.next, &tt.limits); got != tt.want {
				t.Errorf("got %v, want %v", got, tt.want)
			}
			var r Result
			table.Create(2, 1, tt.next, &Creation{Limits: tt.limits}, &r)
			if r.Reason != tt.want {
				t.Errorf("Create meets %v, want %v", r.Reason, tt.want)
			}
		})
	}
}

func TestWalksOfAnyLengthShowEachFlowOnce(t *testing.T) {
	const flows = 3000
	table := fill(t, flows)
	for _, page := range []int{1, 7, 256, 1000, flows, flows + 1} {
		seen := map[Key]bool{}
		var at Cursor
		for more, rounds := true, 0; more; rounds++ {
			left := page
			at, more = table.Walk(1, at, func(f *Flow, origin *inspect.Frame) bool {
				if seen[f.Key] || f.Key.Src != origin.Src || f.Expires <= f.Last {
					t.Fatalf("page %d: %+v is shown twice, or wrong", page, f.Key)
				}
				seen[f.Key] = true
				left--
				return left > 0
			})
			if rounds > flows/page+1 {
				t.Fatalf("page %d: it does not end", page)
			}
		}
		if len(seen) != flows {
			t.Errorf("page %d: %d flows of %d", page, len(seen), flows)
		}
	}
	for _, c := range []Cursor{{Shard: 1 << 31}, {Index: 1<<32 - 1}, {Shard: 1<<32 - 1, Index: 1<<32 - 1}} {
		if _, more := table.Walk(1, c, func(*Flow, *inspect.Frame) bool { return c.Shard == 0 }); more {
			t.Errorf("from %v: there is more", c)
		}
	}
	if _, more := table.Walk(int64(time.Hour), Cursor{}, func(f *Flow, _ *inspect.Frame) bool { t.Errorf("%+v is over", f); return false }); more {
		t.Error("more of what is over")
	}
}
