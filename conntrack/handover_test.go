package conntrack

import (
	"bytes"
	"errors"
	"net/netip"
	"slices"
	"testing"

	"sttwall/inspect"
	"sttwall/reason"
)

// handed returns all flows of a table as they are handed over, one by one.
func handed(t testing.TB, table *Table, now int64) (list [][]byte) {
	t.Helper()
	if err := table.Export(now, func(record []byte) error {
		list = append(list, slices.Clone(record))
		return nil
	}); err != nil {
		t.Fatal(err)
	}
	return list
}

func sameTenant(tenant int32) (int32, bool) { return tenant, true }

// varied is a table with flows of many kinds.
func varied(t testing.TB, limits Limits) *Table {
	t.Helper()
	table := newTable(t, 1000)
	six := other(inspect.ProtocolUDP, 7, 8, false)
	six.Frame.IP, six.Frame.EtherType = 6, inspect.EtherTypeIPv6
	six.Frame.Src, six.Frame.Dst = netip.MustParseAddr("fd00::2"), netip.MustParseAddr("fd00::1")
	six.From, six.To = netip.MustParseAddr("fd47::2"), netip.MustParseAddr("ff02::1") // to a group of endpoints
	tagged := other(inspect.ProtocolUDP, 9, 10, false)
	tagged.Frame.TagCount, tagged.Frame.Tags = 2, [inspect.MaxTags + 1]uint16{0x2005, 7}
	first := other(inspect.ProtocolUDP, 11, 12, false)
	first.Frame.Fragmented, first.Frame.Fragment.More = true, true
	ovn := other(inspect.ProtocolUDP, 13, 14, false)
	ovn.OVN = true
	for _, p := range []*Packet{
		tcp{flags: inspect.SYN, seq: 1000, window: 1000, scale: 7}.packet(),
		tcp{flags: inspect.SYN | inspect.ACK, seq: 5000, ack: 1001, window: 2000, scale: 8, back: true}.packet(),
		tcp{flags: inspect.ACK, seq: 1001, ack: 5001, window: 100, scale: -1, payload: 10}.packet(),
		tcp{flags: inspect.SYN, seq: 1, window: 1000, scale: -1, srcPort: 2, tenant: 1}.packet(),
		tcp{flags: inspect.ACK, seq: 1, ack: 3, window: 1000, scale: -1, srcPort: 3, loose: true, tenant: 2}.packet(),
		other(inspect.ProtocolUDP, 5, 6, false), other(inspect.ProtocolUDP, 5, 6, true), other(inspect.ProtocolUDP, 15, 16, true),
		other(inspect.ProtocolSCTP, 5, 6, false), other(47, 0, 0, false), icmp(8, 77, false), icmp(0, 77, true), icmp(13, 1, true),
		six, tagged, first, ovn,
	} {
		if r := meet(table, 5*second, p, limits); !r.Handle.Valid() {
			t.Fatalf("%v %v for %+v", r.State, r.Reason, p.Frame)
		}
	}
	return table
}

func TestFlowsAreTheSameInAnotherTable(t *testing.T) {
	from := varied(t, Limits{FlowsPerSource: 100})
	now, elapsed := 8*second+5, 2*second
	list := handed(t, from, now)
	to := newTable(t, 5000) // with other shards
	clock := int64(1000 * second)
	done, err := to.Import(&Importing{Now: clock, Elapsed: elapsed, Tenant: sameTenant}, bytes.Join(list, nil))
	if err != nil || done != (Imported{Flows: len(list)}) || len(list) != from.Stats().Flows {
		t.Fatalf("%+v, %v, of %d", done, err, from.Stats().Flows)
	}
	to.SortImported()
	recount(t, to)
	shift := clock - elapsed - now
	got, want := make(map[Key]Row), make(map[Key]Row)
	to.Rows(clock, Cursor{}, func(r *Row) bool { got[r.Key()] = *r; return true })
	from.Rows(now, Cursor{}, func(r *Row) bool { want[r.Key()] = *r; return true })
	for k, w := range want {
		g, ok := got[k]
		if !ok {
			t.Errorf("%+v is not there", k)
			continue
		}
		// What is another one, and is to be.
		w.entry.generation, w.entry.rule, w.entry.mark, w.entry.version = 0, -1, 0, g.entry.version
		w.entry.last += shift
		w.record.created = uint32(int64(w.record.created) + shift/1e9 + 1) // 3.000000005 s old: of whole seconds
		w.entry.flags &^= flagTouched
		w.record.hash, w.record.prev, w.record.next = g.record.hash, g.record.prev, g.record.next
		if g.entry != w.entry || g.record.created+1 < w.record.created || g.record.created > w.record.created+1 {
			t.Errorf("%+v:\n got %+v\nwant %+v", k, g.entry, w.entry)
		}
		w.record.created = g.record.created
		if g.record != w.record {
			t.Errorf("%+v:\n got %+v\nwant %+v", k, g.record, w.record)
		}
		if a, b := to.sources.count(sourceOf(k.Tenant, k.Src)), from.sources.count(sourceOf(k.Tenant, k.Src)); a != b {
			t.Errorf("%d flows of %v counted, want %d", a, k.Src, b)
		}
		if a, b := to.endpoints.count(g.entry.from[0]), from.endpoints.count(w.entry.from[0]); a != b {
			t.Errorf("%d flows of the endpoint counted, want %d", a, b)
		}
	}
	// No rules have accepted them yet.
	var r Result
	next := tcp{flags: inspect.ACK, seq: 1011, ack: 5001, window: 100, scale: -1, payload: 10}.packet()
	if to.Track(clock, 1, next, &r); r.State != StateStale {
		t.Errorf("the next packet: %v %v", r.State, r.Reason)
	}
	to.Confirm(r.Handle, 1, 3, 0)
	if to.Track(clock, 1, next, &r); r.State != StateOriginal || r.Rule != 3 {
		t.Errorf("the next packet, confirmed: %v %v", r.State, r.Reason)
	}
	far := tcp{flags: inspect.ACK, seq: 1 << 30, ack: 5001, window: 100, scale: -1, payload: 10}.packet()
	if to.Track(clock, 1, far, &r); r.Reason != reason.TCPWindow {
		t.Errorf("one out of the window: %v %v", r.State, r.Reason)
	}
}

func TestFlowsOfTenantsThatAreGoneAndOldOnesStayBehind(t *testing.T) {
	from := varied(t, Limits{})
	all := handed(t, from, 5*second)
	to := newTable(t, 1000)
	// Tenant 2 has the number 0 now; after a minute only TCP is left of the others.
	done, err := to.Import(&Importing{Now: 1000 * second, Elapsed: 3600 * second, Tenant: func(old int32) (int32, bool) { return 0, old == 2 }}, bytes.Join(all, nil))
	if want := (Imported{Flows: 1, Tenantless: len(all) - 1}); err != nil || done != want {
		t.Errorf("got %+v, %v; want %+v", done, err, want)
	}
	if flows, _ := to.TenantStats(0); flows != 1 {
		t.Errorf("tenant 0 has %d flows", flows)
	}
	to = newTable(t, 1000)
	done, err = to.Import(&Importing{Now: 1000 * second, Elapsed: 3600 * second, Tenant: sameTenant}, bytes.Join(all, nil))
	if want := (Imported{Flows: 2, Over: len(all) - 2}); err != nil || done != want {
		t.Errorf("after an hour: got %+v, %v; want %+v", done, err, want)
	}
	recount(t, to)
}

func TestASmallerTableTakesAnsweredFlows(t *testing.T) {
	from := newTable(t, 100)
	for i := range uint16(40) {
		meet(from, second, other(inspect.ProtocolUDP, i, 53, false), Limits{})
		if i%4 == 0 {
			meet(from, second, other(inspect.ProtocolUDP, i, 53, true), Limits{})
		}
	}
	to := newTable(t, 12)
	done, err := to.Import(&Importing{Now: second, Tenant: sameTenant}, bytes.Join(handed(t, from, second), nil))
	if want := (Imported{Flows: 12, NoRoom: 28}); err != nil || done != want {
		t.Fatalf("got %+v, %v; want %+v", done, err, want)
	}
	recount(t, to)
	to.SortImported()
	recount(t, to)
	answered := 0
	to.Walk(second, Cursor{}, func(f *Flow, _ *inspect.Frame) bool {
		if f.HasReply {
			answered++
		}
		return true
	})
	if answered != 10 {
		t.Errorf("%d of 10 answered flows have found room", answered)
	}
}

func TestImportedFlowsAreForgottenInTheirOrder(t *testing.T) {
	from := newTable(t, 100)
	for _, i := range []uint16{5, 3, 9, 1, 7} {
		meet(from, int64(i)*second, other(inspect.ProtocolUDP, i, 53, false), Limits{})
	}
	to := newTable(t, 100)
	if _, err := to.Import(&Importing{Now: 10 * second, Tenant: sameTenant}, bytes.Join(handed(t, from, 10*second), nil)); err != nil {
		t.Fatal(err)
	}
	to.SortImported()
	recount(t, to)
	s, last := &to.shards[0], int64(0)
	for at := s.lists[statusUDP].head; at != 0; at = s.record(at - 1).next {
		if e := s.at(at - 1); e.last < last {
			t.Errorf("one of %d s behind one of %d s", e.last/second, last/second)
		} else {
			last = e.last
		}
	}
}

func TestUnwatchedTCPGoesOnWhereverItIs(t *testing.T) {
	from := varied(t, Limits{})
	for _, tt := range []struct {
		unwatched bool
		want      string
	}{{false, "tcp_window"}, {true, "original"}} {
		to := newTable(t, 1000)
		if _, err := to.Import(&Importing{Now: 5 * second, Tenant: sameTenant, Unwatched: tt.unwatched}, bytes.Join(handed(t, from, 5*second), nil)); err != nil {
			t.Fatal(err)
		}
		// Both sides have sent 100 MB meanwhile.
		p := tcp{flags: inspect.ACK, seq: 1011 + 100e6, ack: 5001 + 100e6, window: 100, scale: -1, payload: 10}.packet()
		var r Result
		to.Track(5*second, 0, p, &r)
		if word(r) != tt.want {
			t.Errorf("unwatched: %v: got %s", tt.unwatched, word(r))
		}
		p = tcp{flags: inspect.ACK, seq: 5001 + 100e6, ack: 1021 + 100e6, window: 100, scale: -1, payload: 10, back: true}.packet()
		if to.Track(5*second, 0, p, &r); tt.unwatched && r.State != StateReply {
			t.Errorf("unwatched, the other side: %s", word(r))
		}
	}
}

func TestWhatIsNoFlowIsRefused(t *testing.T) {
	list := handed(t, varied(t, Limits{}), 5*second)
	one := list[slices.IndexFunc(list, func(b []byte) bool { return b[0]&handedTCP != 0 })]
	change := func(f func(b []byte)) []byte {
		b := slices.Clone(one)
		f(b)
		return b
	}
	const ( // of an IPv4 flow of TCP
		protocol, nameFlags, status, flags, age, tags, side, scale = 13, 14, 23, 24, 49, 106, 108, 108 + 20
	)
	for name, tt := range map[string]struct {
		list []byte
		want error
	}{
		"cut off":                 {one[:len(one)-1], errHandedShort},
		"only its beginning":      {one[:1], errHandedShort},
		"twice":                   {append(slices.Clone(one), one...), errHandedTwice},
		"unknown parts":           {change(func(b []byte) { b[0] |= 0x80 }), errHandedParts},
		"addresses out of order":  {change(func(b []byte) { b[15], b[19] = 200, 1 }), errHandedName},
		"bits of no name":         {change(func(b []byte) { b[nameFlags] |= 0x40 }), errHandedName},
		"a tenant below zero":     {change(func(b []byte) { b[5] |= 0x80 }), errHandedName},
		"three VLANs":             {change(func(b []byte) { b[9] = 3 }), errHandedName},
		"a VLAN without a tag":    {change(func(b []byte) { b[12] = 7 }), errHandedName},
		"three tags":              {change(func(b []byte) { b[tags] = 3 }), errHandedName},
		"a state that is none":    {change(func(b []byte) { b[status] = byte(statuses) }), errHandedStatus},
		"the state of UDP":        {change(func(b []byte) { b[status] = byte(statusUDP) }), errHandedStatus},
		"another protocol":        {change(func(b []byte) { b[protocol] = 17 }), errHandedStatus},
		"flags that are none":     {change(func(b []byte) { b[flags] |= byte(flagTouched) }), errHandedStatus},
		"an age beyond all":       {change(func(b []byte) { b[age+7] = 0x7f }), errHandedAge},
		"a scale beyond the RFC":  {change(func(b []byte) { b[scale] = 15 }), errHandedTCP},
		"a window beyond the RFC": {change(func(b []byte) { b[side+11] = 0x7f }), errHandedTCP},
		"unknown flags of a side": {change(func(b []byte) { b[scale+1] = 0x80 }), errHandedTCP},
	} {
		to := newTable(t, 100)
		if _, err := to.Import(&Importing{Now: 5 * second, Tenant: sameTenant}, tt.list); !errors.Is(err, tt.want) {
			t.Errorf("%s: got %v, want %v", name, err, tt.want)
		}
		recount(t, to)
	}
	if done, err := newTable(t, 100).Import(&Importing{Now: 5 * second, Tenant: sameTenant}, one); err != nil || done.Flows != 1 {
		t.Errorf("the flow itself: %+v, %v", done, err)
	}
}

// FuzzImport has tables take any bytes for flows: what they take is what they then hand
// over, counts are right, and packets are decided.
func FuzzImport(f *testing.F) {
	for _, limits := range []Limits{{}, {FlowsPerSource: 10}} {
		list := handed(f, varied(f, limits), 5*second)
		f.Add(bytes.Join(list, nil), uint16(0))
		for _, one := range list {
			f.Add(one, uint16(1))
		}
	}
	f.Fuzz(func(t *testing.T, list []byte, elapsed uint16) {
		if len(list) > 64<<10 {
			return
		}
		now := int64(1e18)
		table := newTable(t, 20)
		done, err := table.Import(&Importing{Now: now, Elapsed: int64(elapsed) * second / 100, Tenant: sameTenant, Unwatched: elapsed%2 == 1}, list)
		table.SortImported()
		recount(t, table)
		if done.Flows != table.Stats().Flows {
			t.Fatalf("%+v, but %d flows are there", done, table.Stats().Flows)
		}
		again := newTable(t, 20)
		copied := handed(t, table, now)
		if len(copied) != done.Flows {
			t.Fatalf("%d flows were taken, %d handed over", done.Flows, len(copied))
		}
		if _, refused := again.Import(&Importing{Now: now, Tenant: sameTenant}, bytes.Join(copied, nil)); refused != nil {
			t.Fatalf("what a table has taken (%v) another one does not: %v", err, refused)
		}
		twice := handed(t, again, now)
		slices.SortFunc(copied, bytes.Compare)
		slices.SortFunc(twice, bytes.Compare)
		if !slices.EqualFunc(copied, twice, bytes.Equal) {
			t.Fatal("what is handed over twice is another thing")
		}
		meet(table, now, tcp{flags: inspect.ACK, seq: 1011, ack: 5001, window: 100, scale: -1}.packet(), Limits{})
		meet(table, now, other(inspect.ProtocolUDP, 5, 6, true), Limits{Flows: 3})
		meet(table, now, icmp(8, 77, false), Limits{FlowsPerSource: 1})
		recount(t, table)
		table.Reap(now + 1<<60)
		if n := table.Stats().Flows; n != 0 {
			t.Fatalf("%d flows outlive all time", n)
		}
	})
}
