package conntrack

import (
	"encoding/binary"
	"net/netip"
	"runtime"
	"slices"
	"sync"
	"testing"
	"time"

	"sttwall/inspect"
)

// recount compares the counts that are kept with the flows that are there.
func recount(t testing.TB, table *Table) {
	t.Helper()
	flows, halfOpen := 0, map[int32]int{}
	tenants := map[int32]int{}
	for i := range table.shards {
		s := &table.shards[i]
		inLists := 0
		for st := range s.lists {
			for at := s.lists[st].head; at != 0; at = s.record(at - 1).next {
				inLists++
				e := s.at(at - 1)
				k := e.key()
				tenant := min(k.Tenant, MaxTenants) // those above are counted together
				tenants[tenant]++
				if e.status == statusSynSent || e.status == statusSynReceived {
					halfOpen[tenant]++
				}
				if e.status != status(st) {
					t.Fatalf("an entry of status %d is in list %d", e.status, st)
				}
				p, _ := k.pack()
				if n, ok := s.find(&p, table.hash(&p)); !ok || n != at-1 {
					t.Fatalf("an entry is not found by its key")
				}
			}
		}
		if inLists != s.count {
			t.Fatalf("%d entries in lists, %d counted", inLists, s.count)
		}
		flows += s.count
	}
	if got := table.Stats().Flows; got != flows {
		t.Fatalf("%d flows counted, %d there", got, flows)
	}
	for tenant, n := range tenants {
		if f, h := table.TenantStats(tenant); f != n || h != halfOpen[tenant] {
			t.Fatalf("tenant %d: %d flows and %d half-open counted, %d and %d there", tenant, f, h, n, halfOpen[tenant])
		}
	}
}

func TestPseudoState(t *testing.T) {
	type meeting struct {
		p    *Packet
		want string
	}
	group := other(inspect.ProtocolUDP, 1, 2, false)
	group.Frame.Dst = netip.MustParseAddr("224.0.0.5")
	later := other(inspect.ProtocolUDP, 0, 0, false)
	later.Frame.HasPorts, later.Frame.Fragmented, later.Frame.Fragment.Offset = false, true, 1480
	otherVLAN := other(inspect.ProtocolUDP, 1000, 53, true)
	otherVLAN.Frame.TagCount, otherVLAN.Frame.Tags[0] = 1, 7
	otherTenant := other(inspect.ProtocolUDP, 1000, 53, true)
	otherTenant.Tenant = 3
	otherContext := other(inspect.ProtocolUDP, 1000, 53, true)
	otherContext.Context = 101
	for _, tt := range []struct {
		name  string
		steps []meeting
	}{
		{"UDP and its reply", []meeting{{other(17, 1000, 53, false), "original"}, {other(17, 1000, 53, true), "reply"}, {other(17, 1000, 53, false), "original"}}},
		{"UDP to another port is another flow", []meeting{{other(17, 1000, 53, false), "original"}, {other(17, 1000, 54, true), "original"}}},
		{"the same in another VLAN, tenant or context is another flow", []meeting{{other(17, 1000, 53, false), "original"},
			{otherVLAN, "original"}, {otherTenant, "original"}, {otherContext, "original"}}},
		{"a ping and its answer", []meeting{{icmp(8, 77, false), "original"}, {icmp(0, 77, true), "reply"}}},
		{"an answer to nothing", []meeting{{icmp(0, 77, true), "state_invalid"}}},
		{"an answer with another identifier", []meeting{{icmp(8, 77, false), "original"}, {icmp(0, 78, true), "state_invalid"}}},
		{"an answer from the one who asked", []meeting{{icmp(8, 77, false), "original"}, {icmp(0, 77, false), "state_invalid"}}},
		{"two hosts that ask each other with one identifier", []meeting{{icmp(8, 1, false), "original"}, {icmp(8, 1, true), "original"},
			{icmp(0, 1, false), "reply"}, {icmp(0, 1, true), "reply"}}},
		{"a timestamp is no echo", []meeting{{icmp(13, 77, false), "original"}, {icmp(0, 77, true), "state_invalid"}, {icmp(14, 77, true), "reply"}}},
		{"a redirect has no state", []meeting{{icmp(5, 0, false), "untracked"}}},
		{"another protocol by its addresses", []meeting{{other(47, 0, 0, false), "original"}, {other(47, 0, 0, true), "reply"}, {other(50, 0, 0, true), "original"}}},
		{"SCTP by its ports", []meeting{{other(132, 5, 6, false), "original"}, {other(132, 5, 6, true), "reply"}}},
		{"what goes to a group has no state", []meeting{{group, "untracked"}}},
		{"nor has a later fragment", []meeting{{later, "untracked"}}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			table := newTable(t, 100)
			for i, m := range tt.steps {
				if got := word(meet(table, int64(i), m.p, Limits{})); got != m.want {
					t.Fatalf("step %d: got %s, want %s", i, got, m.want)
				}
			}
			recount(t, table)
		})
	}
}

func TestAFlowThatTwoWorkersFindNewBeginsOnce(t *testing.T) {
	table := newTable(t, 100)
	there, back := other(inspect.ProtocolUDP, 5, 6, false), other(inspect.ProtocolUDP, 5, 6, true)
	var first, second Result
	table.Track(0, 1, there, &first)
	table.Track(0, 1, back, &second)
	if first.State != StateNew || second.State != StateNew {
		t.Fatal(first.State, second.State)
	}
	table.Create(0, 1, there, &Creation{}, &first)
	table.Create(0, 1, back, &Creation{}, &second)
	if !first.Begun || second.Begun || second.State != StateReply || table.Stats().Flows != 1 {
		t.Errorf("%+v, %+v", first, second)
	}
	recount(t, table)
}

func TestAFlowIsForgottenByItsStatus(t *testing.T) {
	table := newTable(t, 100)
	meet(table, 0, other(17, 1000, 53, false), Limits{})
	if got := word(meet(table, 30*second-1, other(17, 1000, 53, true), Limits{})); got != "reply" {
		t.Fatal(got)
	}
	if got := word(meet(table, 149*second, other(17, 1000, 53, true), Limits{})); got != "reply" {
		t.Fatal(got) // a stream lives for two minutes
	}
	var r Result
	table.Track(269*second, 1, other(17, 1000, 53, false), &r)
	if r.State != StateNew {
		t.Fatalf("after its timeout the flow is %s", word(r))
	}
	meet(table, 269*second, other(17, 1000, 53, false), Limits{})
	if n := table.Expire(300*second, 10); n != 1 || table.Stats().Flows != 0 {
		t.Errorf("%d expired, %d left", n, table.Stats().Flows)
	}
	recount(t, table)
}

func TestExpireSkipsWhatWasKeptAlive(t *testing.T) {
	table := newTable(t, 100)
	for port := range uint16(10) {
		meet(table, int64(port), other(17, 1000+port, 53, false), Limits{})
	}
	meet(table, 20*second, other(17, 1000, 53, false), Limits{}) // the oldest
	if n := table.Expire(35*second, 100); n != 9 {
		t.Errorf("%d expired, want 9", n)
	}
	if got := word(meet(table, 36*second, other(17, 1000, 53, true), Limits{})); got != "reply" {
		t.Error(got)
	}
	recount(t, table)
}

func TestWhenFullTheOldestUnrepliedGo(t *testing.T) {
	table := newTable(t, 4)
	first := func(port uint16) *Packet { // of two endpoints
		p := other(17, port, 53, false)
		p.From = netip.AddrFrom4([4]byte{10, 47, 1, byte(port % 2)})
		return p
	}
	meet(table, 0, first(1), Limits{})
	meet(table, 1, other(17, 1, 53, true), Limits{})
	for port := uint16(2); port < 5; port++ {
		meet(table, int64(port), first(port), Limits{})
	}
	if got := word(meet(table, 10, first(5), Limits{})); got != "original" {
		t.Fatal(got)
	}
	var r Result
	for port, want := range map[uint16]State{1: StateOriginal, 2: StateNew, 3: StateOriginal, 5: StateOriginal} {
		if table.Track(11, 1, first(port), &r); r.State != want {
			t.Errorf("port %d is %v, want %v", port, r.State, want)
		}
	}
	// All answered: there is nothing to give up.
	for port := uint16(3); port < 6; port++ {
		meet(table, 12, other(17, port, 53, true), Limits{})
	}
	if got := word(meet(table, 13, first(8), Limits{})); got != "flow_table_full" {
		t.Errorf("got %s", got)
	}
	if s := table.Stats(); s.Evicted != 1 || s.RefusedFull != 1 || s.Flows != 4 {
		t.Errorf("%+v", s)
	}
	recount(t, table)
}

// Where nobody waits for an answer, flows that are over go before those that begin.
func TestWhenFullClosedFlowsGoBeforeHalfOpenOnes(t *testing.T) {
	table := newTable(t, 4)
	now := int64(0)
	endpoint := func(port uint16) netip.Addr { return netip.AddrFrom4([4]byte{10, 47, 1, byte(port)}) } // none has used up its share
	send := func(port uint16, segments ...tcp) {
		for _, s := range segments {
			now++
			if s.srcPort, s.scale = port, -1; !s.back {
				s.from = endpoint(port)
			}
			p := s.packet()
			if s.back {
				p.To = endpoint(port)
			}
			if r := meet(table, now, p, Limits{}); r.State != StateOriginal && r.State != StateReply {
				t.Fatalf("port %d, %+v: %v", port, s, word(r))
			}
		}
	}
	const syn, ack, fin, rst = inspect.SYN, inspect.ACK, inspect.FIN, inspect.RST
	asks, answers, agrees := tcp{flags: syn, seq: 1000, window: 1000}, tcp{flags: syn | ack, seq: 5000, ack: 1001, window: 1000, back: true}, tcp{flags: ack, seq: 1001, ack: 5001, window: 1000}
	send(1, asks, answers, agrees)
	send(2, asks, answers)
	send(3, asks, answers, agrees, tcp{flags: fin | ack, seq: 1001, ack: 5001, window: 1000}, tcp{flags: fin | ack, seq: 5001, ack: 1002, window: 1000, back: true},
		tcp{flags: ack, seq: 1002, ack: 5002, window: 1000})
	send(4, asks, answers, agrees, tcp{flags: rst | ack, seq: 1001, ack: 5001})
	there := func() (list []string) {
		table.Walk(now, Cursor{}, func(f *Flow, _ *inspect.Frame) bool { list = append(list, f.Status); return true })
		slices.Sort(list)
		return list
	}
	for i, want := range [][]string{
		{"close", "established", "syn_received", "time_wait"},
		{"established", "stream", "syn_received", "time_wait"},
		{"established", "stream", "stream", "syn_received"},
		{"established", "stream", "stream", "stream"},
	} {
		if i > 0 { // another flow, answered at once
			there, back := other(17, uint16(i), 53, false), other(17, uint16(i), 53, true)
			there.From, back.To = endpoint(uint16(10+i)), endpoint(uint16(10+i))
			now++
			meet(table, now, there, Limits{})
			meet(table, now, back, Limits{})
		}
		if got := there(); !slices.Equal(got, want) {
			t.Fatalf("after %d more: %v, want %v", i, got, want)
		}
	}
	if got := word(meet(table, now+1, other(17, 9, 53, false), Limits{})); got != "flow_table_full" {
		t.Errorf("got %s", got)
	}
	recount(t, table)
}

// Somebody who sends much in one protocol must not stop what begins in another.
func TestWhenFullAFloodOfOneProtocolLeavesTheNewOnesOfOthers(t *testing.T) {
	for _, test := range []struct {
		flood             uint8
		endpoints, others int64 // that it comes from; flows that push out the SYN
	}{{17, 2, 49}, {47, 2, 49}, {17, 1, 37}, {47, 1, 37}} { // one endpoint has a share of 38
		flood := test.flood
		endpoint := func(i int64) netip.Addr { return netip.AddrFrom4([4]byte{10, 47, 1, byte(i % test.endpoints)}) }
		table := newTable(t, 50)
		now := int64(0)
		more := func() {
			now++
			p := other(flood, uint16(now), 53, false)
			p.Frame.Src = netip.AddrFrom4([4]byte{10, 9, byte(now >> 8), byte(now)})
			p.From = endpoint(now)
			if got := word(meet(table, now, p, Limits{})); got != "original" {
				t.Fatalf("protocol %d, flow %d: %s", flood, now, got)
			}
		}
		for range 100 {
			more()
		}
		now++
		syn := tcp{flags: syn, seq: 1, window: 100, scale: -1, srcPort: 7}.packet()
		syn.From = endpoint(now)
		if got := word(meet(table, now, syn, Limits{})); got != "original" {
			t.Fatal(got)
		}
		var r Result
		for i := range test.others {
			more()
			var f Flow
			if table.Peek(now, 1, syn, &r, &f); r.State != StateOriginal {
				t.Fatalf("protocol %d: the SYN is forgotten after %d more", flood, i)
			}
		}
		more()
		if table.Track(now, 1, syn, &r); r.State != StateNew {
			t.Errorf("protocol %d: the SYN, which is the oldest now, is %v", flood, r.State)
		}
		recount(t, table)
	}
}

func TestLimits(t *testing.T) {
	syn := func(port uint16) *Packet {
		return tcp{flags: syn, seq: 1, window: 100, scale: -1, srcPort: port}.packet()
	}
	table := newTable(t, 100)
	for _, s := range []struct {
		name   string
		p      *Packet
		limits Limits
		want   string
	}{
		{"the first", syn(1), Limits{Flows: 2, HalfOpen: 2, FlowsPerSource: 3}, "original"},
		{"the second", syn(2), Limits{Flows: 2, HalfOpen: 2, FlowsPerSource: 3}, "original"},
		{"too many half-open", syn(3), Limits{Flows: 2, HalfOpen: 2, FlowsPerSource: 3}, "half_open_limit"},
		{"too many of the tenant", syn(3), Limits{Flows: 2, FlowsPerSource: 3}, "tenant_flows"},
		{"too many of the source", syn(3), Limits{FlowsPerSource: 2}, "source_flows"},
		{"a packet of a known flow", syn(2), Limits{Flows: 2}, "original"},
		{"the other tenant is not touched", tcp{flags: inspect.SYN, seq: 1, window: 100, scale: -1, srcPort: 3, tenant: 1}.packet(), Limits{Flows: 2, HalfOpen: 2, FlowsPerSource: 2}, "original"},
		{"nor is UDP half-open", other(17, 3, 4, false), Limits{HalfOpen: 2}, "original"},
	} {
		if got := word(meet(table, 0, s.p, s.limits)); got != s.want {
			t.Errorf("%s: got %s, want %s", s.name, got, s.want)
		}
	}
	recount(t, table)
	if n := table.Expire(1000*second, 100); n != 4 {
		t.Errorf("%d expired", n)
	}
	if f, h := table.TenantStats(0); f != 0 || h != 0 {
		t.Errorf("%d flows and %d half-open are counted in an empty table", f, h)
	}
	for i := range table.sources.shards {
		if n := len(table.sources.shards[i].counts); n != 0 {
			t.Errorf("%d sources are counted in an empty table", n)
		}
	}
}

func TestOtherRulesMakeAFlowStale(t *testing.T) {
	table := newTable(t, 100)
	first := meet(table, 0, other(17, 1000, 53, false), Limits{})
	var r Result
	table.Track(1, 2, other(17, 1000, 53, true), &r)
	if r.State != StateStale || r.Handle != first.Handle {
		t.Fatalf("%+v", r)
	}
	var f inspect.Frame
	id, from, to, ok := table.Origin(r.Handle, &f)
	if !ok || id != 100 || from != clientHost || to != serverHost || f.Src != client || f.DstPort != 53 || !f.HasPorts {
		t.Errorf("origin %v %v %v %v %+v", id, from, to, ok, f)
	}
	if !table.Confirm(r.Handle, 2, 8, 10) {
		t.Fatal("the flow is gone")
	}
	if table.Track(1, 2, other(17, 1000, 53, true), &r); r.State != StateReply || r.Rule != 8 || r.Mark != 10 {
		t.Errorf("%+v", r)
	}
	if !table.End(r.Handle) || table.End(r.Handle) || table.Confirm(r.Handle, 3, 0, 0) {
		t.Error("a handle outlives its flow")
	}
	meet(table, 2, other(17, 1001, 53, false), Limits{}) // in the same place
	if table.End(r.Handle) {
		t.Error("a handle names the next flow in its place")
	}
	recount(t, table)
}

func TestAFlowMoves(t *testing.T) {
	table := newTable(t, 100)
	home, elsewhere := other(17, 1000, 53, true).From, netip.MustParseAddr("10.47.0.9")
	meet(table, 0, other(17, 1000, 53, false), Limits{})
	at := func(from netip.Addr, mayMove, trusted bool) *Packet {
		p := other(17, 1000, 53, true)
		p.From, p.MayMove, p.Trusted = from, mayMove, trusted
		return p
	}
	for i, tt := range []struct {
		from             netip.Addr
		mayMove, trusted bool
		want             string
		movedFrom        netip.Addr
	}{
		{elsewhere, false, true, "flow_endpoint", netip.Addr{}},
		{elsewhere, true, false, "reply", netip.Addr{}}, // nobody will take it: it moves nothing
		{elsewhere, false, true, "flow_endpoint", netip.Addr{}},
		{elsewhere, true, true, "reply", home},
		{elsewhere, false, true, "reply", netip.Addr{}},
		{elsewhere, true, true, "reply", netip.Addr{}},
		{home, false, true, "flow_endpoint", netip.Addr{}},
	} {
		r := meet(table, int64(i+1), at(tt.from, tt.mayMove, tt.trusted), Limits{})
		if word(r) != tt.want || r.MovedFrom != tt.movedFrom {
			t.Errorf("packet %d from %v: got %s, moved from %v", i, tt.from, word(r), r.MovedFrom)
		}
	}
	if n := table.Stats().Moved; n != 1 {
		t.Errorf("%d moves counted", n)
	}
}

// quote wraps the front of p's packet into an ICMP error to its sender.
func quote(p *Packet, kind uint8) *Packet {
	e := other(inspect.ProtocolICMP, 0, 0, true)
	e.Frame.HasICMP, e.Frame.ICMPType = true, kind
	ip := make([]byte, 20)
	ip[0], ip[9] = 0x45, p.Frame.Protocol
	src, dst := p.Frame.Src.As4(), p.Frame.Dst.As4()
	copy(ip[12:], src[:])
	copy(ip[16:], dst[:])
	l4 := make([]byte, 8)
	copy(l4, p.Data[p.Frame.L4Offset:])
	if p.Frame.HasPorts {
		binary.BigEndian.PutUint16(l4, p.Frame.SrcPort)
		binary.BigEndian.PutUint16(l4[2:], p.Frame.DstPort)
	}
	e.Data = append(append(make([]byte, 42), ip...), l4...)
	e.Frame.IPEnd = len(e.Data)
	return e
}

func TestICMPErrors(t *testing.T) {
	for _, tt := range []struct {
		name   string
		change func(e *Packet)
		about  *Packet
		want   string
	}{
		{"about a packet that was sent", nil, tcp{flags: ack, seq: 1001, ack: 5001, scale: -1}.packet(), "related"},
		{"about a number that was not", nil, tcp{flags: ack, seq: 9001, ack: 5001, scale: -1}.packet(), "tcp_window"},
		{"about UDP", nil, other(17, 1000, 53, false), "related"},
		{"about a ping", nil, icmp(8, 77, false), "related"},
		{"about an unknown flow", nil, other(17, 1001, 53, false), "untracked"},
		{"from another endpoint", func(e *Packet) { e.From = netip.MustParseAddr("10.47.0.9") }, other(17, 1000, 53, false), "flow_endpoint"},
		{"from a router behind the same endpoint", func(e *Packet) { e.Frame.Src = netip.MustParseAddr("10.0.0.254") }, other(17, 1000, 53, false), "related"},
		{"to somebody else", func(e *Packet) { e.Frame.Dst = netip.MustParseAddr("10.0.0.3") }, other(17, 1000, 53, false), "state_invalid"},
		{"cut off by the copy", func(e *Packet) { e.Data = e.Data[:len(e.Data)-1] }, other(17, 1000, 53, false), "copy_too_short"},
		{"about a later fragment", func(e *Packet) { e.Data[42+7] = 9 }, other(17, 1000, 53, false), "untracked"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			table := newTable(t, 100)
			for _, s := range shake {
				meet(table, 0, s.tcp.packet(), Limits{})
			}
			meet(table, 0, other(17, 1000, 53, false), Limits{})
			meet(table, 0, icmp(8, 77, false), Limits{})
			e := quote(tt.about, 3)
			if tt.change != nil {
				tt.change(e)
			}
			var r Result
			if table.Track(1, 1, e, &r); word(r) != tt.want {
				t.Errorf("got %s, want %s", word(r), tt.want)
			}
		})
	}
}

func TestWorkersShareTheTable(t *testing.T) {
	table := newTable(t, 2000)
	var wg sync.WaitGroup
	for w := range 4 {
		wg.Go(func() {
			for i := range 3000 {
				port := uint16(i*7+w) % 3000
				p := other(17, port, 53, w%2 == 1)
				key, _ := KeyOf(p)
				table.Expect([]Key{key})
				meet(table, int64(i)*int64(time.Millisecond), p, Limits{Flows: 1500, FlowsPerSource: 1400})
				if i%100 == 0 {
					table.Expire(int64(i)*int64(time.Millisecond), 10)
					table.Sweep(int64(i), func(Handle, *Flow, *inspect.Frame) bool { return i%300 != 0 })
				}
			}
		})
	}
	wg.Wait()
	recount(t, table)
}

func TestTrackAllocatesNothing(t *testing.T) {
	table := newTable(t, 100)
	for _, s := range shake {
		meet(table, 0, s.tcp.packet(), Limits{})
	}
	data, udp, e := tcp{flags: ack, seq: 1001, ack: 5001, window: 502, payload: 10, scale: -1}.packet(), other(17, 9, 53, false), quote(other(17, 9, 53, false), 3)
	meet(table, 0, udp, Limits{})
	var r Result
	if n := testing.AllocsPerRun(100, func() {
		table.Track(1, 1, data, &r)
		table.Track(1, 1, udp, &r)
		table.Track(1, 1, e, &r)
	}); n != 0 {
		t.Errorf("Track: %v allocations", n)
	}
	if n := testing.AllocsPerRun(100, func() {
		if meet(table, 1, udp, Limits{FlowsPerSource: 10}).State == StateOriginal {
			table.Track(1, 1, udp, &r)
			table.End(r.Handle)
		}
	}); n != 0 {
		t.Errorf("Create and End: %v allocations", n)
	}
}

// aim makes p the first packet of flow i.
func aim(p *Packet, i int) {
	f := p.Frame
	f.Src = netip.AddrFrom4([4]byte{10, 1, byte(i >> 12), byte(i >> 4)})
	f.SrcPort, f.DstPort = uint16(i), uint16(i>>16)
	p.From = netip.AddrFrom4([4]byte{10, 47, 1, byte(i % 4)}) // none has more than its share
}

// fill makes n flows.
func fill(b testing.TB, n int) *Table {
	table := newTable(b, n)
	p := other(17, 0, 0, false)
	for i := range n {
		aim(p, i)
		if r := meet(table, 0, p, Limits{}); r.State != StateOriginal {
			b.Fatalf("flow %d: %s", i, word(r))
		}
	}
	return table
}

func TestAMillionFlowsTake256BytesEach(t *testing.T) {
	if testing.Short() {
		t.Skip("short")
	}
	const n = 1_000_000
	heap := func() int {
		var m runtime.MemStats
		runtime.GC()
		runtime.ReadMemStats(&m)
		return int(m.HeapAlloc)
	}
	before := heap()
	table := fill(t, n)
	size := table.memory.Size()
	if runtime.GOOS == "linux" { // elsewhere it is of the heap
		size += heap() - before
	}
	each := float64(size) / n
	t.Logf("%.1f bytes for each flow", each)
	if each < 192 {
		t.Errorf("%.1f bytes for each flow: an entry alone has more", each)
	}
	if each > 256 {
		t.Errorf("%.1f bytes for each flow, want at most 256", each)
	}
	if table.Stats().Flows != n {
		t.Error(table.Stats())
	}
}
