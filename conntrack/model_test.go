package conntrack_test

import (
	"encoding/binary"
	"fmt"
	"math/rand/v2"
	"net/netip"
	"testing"
	"time"

	"sttwall/conntrack"
	"sttwall/inspect"
	"sttwall/reason"
)

// model is the table as the documentation says it, for everything but TCP:
// a list of flows that is searched from the front.
type model struct {
	timeouts conntrack.Timeouts
	flows    []*modelFlow
}

type modelFlow struct {
	protocol         uint8
	tenant           int32
	src, dst         netip.Addr // as in the first packet
	srcPort, dstPort uint16     // or identifier and request type
	from, to         netip.Addr
	replied          bool
	generation       uint32
	last             int64
	packets          [2]int
}

func (m *model) timeout(f *modelFlow) int64 {
	switch {
	case f.protocol == 17 && f.replied:
		return int64(m.timeouts.UDPStream)
	case f.protocol == 17:
		return int64(m.timeouts.UDP)
	case f.protocol == 1:
		return int64(m.timeouts.ICMP)
	}
	return int64(m.timeouts.Other)
}

func (m *model) expire(now int64) {
	kept := m.flows[:0]
	for _, f := range m.flows {
		if now < f.last+m.timeout(f) {
			kept = append(kept, f)
		}
	}
	m.flows = kept
}

// event is one packet of a random sequence.
type event struct {
	protocol         uint8
	tenant           int32
	src, dst         netip.Addr
	srcPort, dstPort uint16
	reply            bool // of an ICMP echo
	from, to         netip.Addr
	generation       uint32
	anyEndpoint      bool
}

func (m *model) find(e *event) (*modelFlow, int) {
	for _, f := range m.flows {
		if f.protocol != e.protocol || f.tenant != e.tenant {
			continue
		}
		ports, swapped := [2]uint16{e.srcPort, e.dstPort}, [2]uint16{e.dstPort, e.srcPort}
		if e.protocol == 1 {
			swapped = ports // the identifier and the request's type
		}
		switch {
		case f.src == e.src && f.dst == e.dst && [2]uint16{f.srcPort, f.dstPort} == ports:
			return f, 0
		case f.src == e.dst && f.dst == e.src && [2]uint16{f.srcPort, f.dstPort} == swapped:
			return f, 1
		}
	}
	return nil, 0
}

// step is Track, and Create where Track says new.
func (m *model) step(now int64, e *event, bytes int) (conntrack.State, reason.Reason) {
	m.expire(now)
	f, dir := m.find(e)
	if f == nil {
		if e.reply {
			return conntrack.StateInvalid, reason.StateInvalid
		}
		m.flows = append(m.flows, &modelFlow{
			protocol: e.protocol, tenant: e.tenant, src: e.src, dst: e.dst, srcPort: e.srcPort, dstPort: e.dstPort,
			from: e.from, to: e.to, generation: e.generation, last: now, packets: [2]int{1, 0},
		})
		return conntrack.StateOriginal, reason.None
	}
	if home := []netip.Addr{f.from, f.to}[dir]; home != e.from && !e.anyEndpoint {
		return conntrack.StateInvalid, reason.FlowEndpoint
	}
	if e.protocol == 1 && e.reply != (dir == 1) {
		return conntrack.StateInvalid, reason.StateInvalid
	}
	if f.generation != e.generation {
		return conntrack.StateStale, reason.None
	}
	f.last = now
	f.packets[dir]++
	if dir == 1 {
		f.replied = true
		return conntrack.StateReply, reason.None
	}
	return conntrack.StateOriginal, reason.None
}

// source gives numbers to a sequence: random, or the bytes of a fuzzer.
type source func(n int) int

func (next source) event() (e event) {
	hosts := []netip.Addr{clientV4, serverV4, mustAddr("10.1.0.7")}
	ends := []netip.Addr{endpointA, endpointB, endpointC}
	i := next(3)
	j := (i + 1 + next(2)) % 3
	e = event{
		protocol: []uint8{17, 1, 47, 132}[next(4)], tenant: int32(next(2)), src: hosts[i], dst: hosts[j],
		from: ends[i], to: ends[j], generation: 1, anyEndpoint: next(16) == 0,
	}
	if next(8) == 0 {
		e.from = ends[next(3)] // perhaps an impostor
	}
	switch e.protocol {
	case 17, 132:
		e.srcPort, e.dstPort = uint16(1+next(2)), uint16(1+next(2))
	case 1:
		e.srcPort, e.dstPort, e.reply = uint16(next(2)), 8, next(2) == 0
	}
	return e
}

func (e *event) packet(tb testing.TB) *conntrack.Packet {
	var l4 []byte
	switch e.protocol {
	case 17:
		l4 = udpBytes(e.srcPort, e.dstPort, 0)
	case 132:
		l4 = make([]byte, 12)
		binary.BigEndian.PutUint16(l4[0:], e.srcPort)
		binary.BigEndian.PutUint16(l4[2:], e.dstPort)
	case 1:
		kind := uint8(8)
		if e.reply {
			kind = 0
		}
		l4 = icmpBytes(kind, 0, e.srcPort)
	default:
		l4 = make([]byte, 4)
	}
	p := inner(tb, e.src, e.dst, e.protocol, l4)
	p.Tenant, p.From, p.To, p.AnyEndpoint = e.tenant, e.from, e.to, e.anyEndpoint
	return p
}

// runSequence compares the table with the model, packet by packet.
func runSequence(tb testing.TB, steps int, next source) {
	tb.Helper()
	timeouts := conntrack.DefaultTimeouts()
	timeouts.UDP, timeouts.UDPStream, timeouts.ICMP, timeouts.Other = 10*time.Second, 40*time.Second, 7*time.Second, 20*time.Second
	table := newTable(tb, conntrack.Config{MaxFlows: 1000, Timeouts: timeouts})
	m := &model{timeouts: timeouts}
	var now int64
	generation := uint32(1)
	for n := range steps {
		switch next(16) {
		case 0, 1, 2:
			now += int64(next(12)) * second
		case 3:
			generation++ // a reload
		case 4:
			table.Expire(now, 1+next(4))
		}
		e := next.event()
		e.generation = generation
		p := e.packet(tb)
		var r conntrack.Result
		table.Track(now, generation, p, &r)
		if r.State == conntrack.StateNew {
			table.Create(now, generation, p, &conntrack.Creation{Rule: 3}, &r)
		}
		want, why := m.step(now, &e, p.Bytes)
		if r.State != want || r.Reason != why {
			tb.Fatalf("packet %d at %d s, %+v: got %v %v, want %v %v", n, now/second, e, r.State, r.Reason, want, why)
		}
		if want == conntrack.StateStale {
			f, _ := m.find(&e)
			if next(4) == 0 { // the new rules deny it
				if !table.End(r.Handle) || table.End(r.Handle) {
					tb.Fatalf("packet %d: a flow ends once", n)
				}
				for i := range m.flows {
					if m.flows[i] == f {
						m.flows = append(m.flows[:i], m.flows[i+1:]...)
						break
					}
				}
			} else {
				if !table.Confirm(r.Handle, generation, 5, 0) {
					tb.Fatalf("packet %d: Confirm of a flow that is there", n)
				}
				f.generation = generation
			}
		}
		if n%64 == 63 {
			compareFlows(tb, now, table, m)
		}
	}
	now += 100 * second
	table.Expire(now, 1<<20)
	if s := table.Stats(); s.Flows != 0 {
		tb.Fatalf("%d flows left when all time is over", s.Flows)
	}
	for tenant := range int32(2) {
		if flows, half := table.TenantStats(tenant); flows != 0 || half != 0 {
			tb.Fatalf("tenant %d: %d flows, %d half-open counted in an empty table", tenant, flows, half)
		}
	}
}

func compareFlows(tb testing.TB, now int64, table *conntrack.Table, m *model) {
	tb.Helper()
	m.expire(now)
	show := func(src, dst netip.Addr, tenant int32, protocol uint8, a, b uint16, from, to netip.Addr, p0, p1 int) string {
		return fmt.Sprint(tenant, protocol, src, a, dst, b, from, to, p0, p1)
	}
	want := map[string]bool{}
	for _, f := range m.flows {
		want[show(f.src, f.dst, f.tenant, f.protocol, f.srcPort, f.dstPort, f.from, f.to, f.packets[0], f.packets[1])] = true
	}
	table.Sweep(now, func(_ conntrack.Handle, f *conntrack.Flow, _ *inspect.Frame) bool {
		k := f.Key
		got := show(k.Src, k.Dst, k.Tenant, k.Protocol, k.SrcPort, k.DstPort, f.From, f.To, int(f.Packets[0]), int(f.Packets[1]))
		if !want[got] {
			tb.Errorf("the table has %s, the model not", got)
		}
		delete(want, got)
		return true
	})
	for f := range want {
		tb.Errorf("the model has %s, the table not", f)
	}
	if tb.Failed() {
		tb.FailNow()
	}
}

func TestRandomSequencesAgreeWithTheModel(t *testing.T) {
	seed := uint64(time.Now().UnixNano())
	t.Logf("seed %d", seed)
	r := rand.New(rand.NewPCG(seed, 0))
	for range 300 {
		runSequence(t, 500, r.IntN)
	}
}

// FuzzSequences reads bytes as a sequence of packets.
func FuzzSequences(f *testing.F) {
	f.Add([]byte("\x05\x00\x00\x00\x00\x01\x01\x00\x00\x05\x01\x00\x00\x00\x01\x01\x00\x00"))
	f.Add(make([]byte, 400))
	r := rand.New(rand.NewPCG(1, 2))
	long := make([]byte, 2000)
	for i := range long {
		long[i] = byte(r.Uint32())
	}
	f.Add(long)
	f.Fuzz(func(t *testing.T, data []byte) {
		at := 0
		runSequence(t, min(len(data)/6, 400), func(n int) int {
			if at >= len(data) {
				return 0
			}
			at++
			return int(data[at-1]) % n
		})
	})
}
