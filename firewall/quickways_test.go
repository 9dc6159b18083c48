package firewall

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"io"
	"net/netip"
	"path/filepath"
	"reflect"
	"slices"
	"testing"
	"time"

	"sttwall/capture"
	"sttwall/conntrack"
	"sttwall/internal/checksum"
	"sttwall/reason"
	"sttwall/reassembly"
	"sttwall/stt"
)

// twoWays has two firewalls that differ in nothing but that one has no quick way.
type twoWays struct {
	t           testing.TB
	quick, slow *bench
	list        []Packet // of the batch at hand
	next        uint64
	offered     int
	plain       int               // of those offered one by one
	again       int               // came again: see offerAll
	parts       map[uint64]Packet // of which only a part was copied, by ID: they may be held
}

// waysRules are for the tenants of the captures. %s is what differs.
var waysRules = []string{`
settings {
  endpoints = ["10.47.0.0/16", "2001:db8::/32"]
}
tenant "a" {
  context_ids = [100]
  rule "web" {
    action = "accept"
    services = ["tcp/80", "tcp/5201"]
    log = true
  }
  rule "slow" {
    action = "accept"
    services = ["udp"]
    limit {
      rate = "100/s"
    }
  }
}
tenant "b" {
  context_ids = [200]
  mode = "audit"
  rule "web" {
    action = "accept"
    services = ["tcp/80"]
  }
}
tenant "c" {
  context_ids = [300]
  endpoints = ["10.47.1.1"]
  default_action = "accept"
}
tenant "d" {
  context_ids = [400]
  default_action = "accept"
  pairing = "tenant"
  tcp_loose = true
}
tenant "e" {
  context_ids = [500]
  rule "all" {
    action = "accept"
    vlan = [42]
  }
  rule "others" {
    action = "reject"
    services = ["tcp"]
  }
}
tenant "f" {
  context_ids = ["0x0102030405060708"]
  rule "marked" {
    action = "accept"
    services = ["tcp/5201"]
    set {
      dscp = "af21"
    }
  }
  default_action = "accept"
}
`, `
settings {
  endpoints = ["10.47.0.0/16", "2001:db8::/33"]
  receivers = "linux"
  default_action = "accept"
}
tenant "a" {
  context_layout = "ovn"
  datapaths = [100, 200]
  default_action = "accept"
}
tenant "d" {
  context_ids = [400]
  anti_spoof {
    learn = ["address"]
  }
  default_action = "accept"
}
tenant "e" {
  context_ids = [500]
  rule "udp" {
    action = "accept"
    services = ["udp"]
  }
}
tenant "f" {
  context_ids = ["0x0102030405060708"]
  default_action = "accept"
}
`}

func newTwoWays(t testing.TB, rules string) *twoWays {
	t.Helper()
	w := &twoWays{t: t}
	for _, b := range []**bench{&w.quick, &w.slow} {
		one := newBench(t, benchConfig{rules: rules, bits: 14})
		one.fw.observer = func(e *FrameEvent) {
			kept := *e
			kept.InnerData, kept.Beginning = bytes.Clone(e.InnerData), bytes.Clone(e.Beginning)
			kept.Moves, kept.Packets = slices.Clone(e.Moves), slices.Clone(e.Packets)
			for i := range kept.Packets {
				p := &kept.Packets[i] // but for what reassembly alone knows
				*p = reassembly.Packet{
					ID: p.ID, Offset: p.Offset, Length: p.Length, FlowLabel: p.FlowLabel, IPID: p.IPID, TTL: p.TTL, TOS: p.TOS,
					HeaderLen: p.HeaderLen, DontFragment: p.DontFragment, Canonical: p.Canonical, GSO: p.GSO, Unfinished: p.Unfinished,
				}
			}
			one.events = append(one.events, kept)
		}
		*b = one
	}
	w.slow.fw.quick.off = true
	// What depends on a seed is the same in both.
	w.slow.shared.flows = w.quick.shared.flows.Like()
	w.slow.fw.ids.key = w.quick.fw.ids.key
	return w
}

// offer has packets decided by both, and compares what comes out.
func (w *twoWays) offer(packets ...Packet) {
	w.t.Helper()
	for i := range packets {
		w.next++
		packets[i].ID = w.next
	}
	w.offered += len(packets)
	for _, b := range []*bench{w.quick, w.slow} {
		b.out.Reset()
		b.events = b.events[:0]
		w.list = w.list[:0]
		for _, p := range packets {
			p.Data = bytes.Clone(p.Data)
			w.list = append(w.list, p)
		}
		if len(packets) == 1 || b == w.slow && len(packets) > 0 { // none is a batch too: what is overdue is dropped
			for i := range w.list {
				b.fw.Process(b.now, &w.list[i], &b.out)
			}
		} else {
			b.fw.ProcessBatch(b.now, w.list, &b.out)
		}
		for i := range w.list {
			clear(w.list[i].Data) // they were borrowed
		}
	}
	if len(packets) == 1 && w.quick.fw.quick.read[0].plain {
		w.plain++
	}
	if w.quick.fw.quick.handed {
		w.t.Fatalf("%+v: what the table has said was not taken over", packets)
	}
	w.compare(packets)
}

// offerAll is offer, and has the kernel give the whole of what is to come again; parts
// are of data that goes on behind them.
func (w *twoWays) offerAll(packets ...Packet) {
	w.t.Helper()
	if w.parts == nil {
		w.parts = make(map[uint64]Packet)
	}
	w.offer(packets...)
	for _, p := range packets {
		if p.More {
			w.parts[p.ID] = p
		}
	}
	var whole []Packet
	for _, v := range w.quick.out.List {
		if v.Action == Again {
			p, found := w.parts[v.ID]
			if !found {
				w.t.Fatalf("packet %d is to come again, and was whole", v.ID)
			}
			p.Data, p.More = p.Data[:p.Length], false
			whole = append(whole, p)
		}
	}
	if len(whole) > 0 {
		w.again += len(whole)
		w.offer(whole...)
	}
}

func (w *twoWays) compare(packets []Packet) {
	w.t.Helper()
	fail := func(what string, quick, slow any) {
		w.t.Helper()
		text := func(v any) string {
			s := fmt.Sprintf("%+v", v)
			return s[:min(len(s), 3000)]
		}
		for i := range packets {
			p := &packets[i]
			w.t.Logf("packet %d: %d of %d bytes, checksum %d, GSO %v: %.200x", p.ID, len(p.Data), p.Length, p.Checksum, p.GSO, p.Data)
		}
		w.t.Fatalf("%s\n the quick way: %s\n the general way: %s", what, text(quick), text(slow))
	}
	if !reflect.DeepEqual(w.quick.out.List, w.slow.out.List) {
		fail("verdicts", w.quick.out.List, w.slow.out.List)
	}
	if !reflect.DeepEqual(w.quick.out.Answers, w.slow.out.Answers) {
		fail("answers", w.quick.out.Answers, w.slow.out.Answers)
	}
	if !reflect.DeepEqual(w.quick.events, w.slow.events) {
		fail("events", w.quick.events, w.slow.events)
	}
	var quick, slow Totals
	quick.Add(w.quick.fw.Counters())
	slow.Add(w.slow.fw.Counters())
	if quick != slow {
		fail("counters", quick, slow)
	}
}

// compareAll compares what both have remembered.
func (w *twoWays) compareAll() {
	w.t.Helper()
	for _, what := range []func(b *bench) any{
		func(b *bench) any { return b.flows() },
		func(b *bench) any { return b.shared.Flows().Stats() },
		func(b *bench) any { return b.fw.Held() },
		func(b *bench) any { _, rules, tenants := countsOf(b.fw); return []any{rules, tenants} },
	} {
		if quick, slow := what(w.quick), what(w.slow); !reflect.DeepEqual(quick, slow) {
			w.t.Fatalf("after %d packets the quick way has\n%+v, the general way\n%+v", w.offered, quick, slow)
		}
	}
}

// flows are those of the table.
func (b *bench) flows() (list []FlowView) {
	for from, more := (conntrack.Cursor{}), true; more; {
		from, more = b.shared.WalkFlows(b.now, from, func(v *FlowView) bool {
			list = append(list, *v)
			return true
		})
	}
	return list
}

func (w *twoWays) pass(d time.Duration) {
	w.quick.now += int64(d)
	w.slow.now += int64(d)
}

func (w *twoWays) setRules(rules string) {
	w.quick.shared.SetPolicy(compile(w.t, rules))
	w.slow.shared.SetPolicy(compile(w.t, rules))
}

// crowd makes both tables so large that flows are expected before they are decided.
func (w *twoWays) crowd() {
	const source = 20 + 20 + stt.FrameHeaderLen + 14 + 12
	p := path()
	p.Src, p.Dst = netip.MustParseAddr("10.47.1.1"), netip.MustParseAddr("10.47.2.1")
	data := cut(p, 5, sttFrame(stt.FrameHeader{ContextID: 400, Flags: stt.FlagChecksumVerified}, innerUDP(w.t, 10)), 0)[0]
	for _, b := range []*bench{w.quick, w.slow} {
		for i := range 9000 {
			b.out.Reset()
			binary.BigEndian.PutUint32(data[source:], 11<<24|uint32(i))
			b.fw.Process(b.now, &Packet{Data: data, Length: len(data), Checksum: ChecksumGood}, &b.out)
		}
		if !b.shared.Flows().Cold() {
			w.t.Fatal("the table is not large")
		}
	}
}

// captured are the outer packets of the captures, by file, as the kernel would give
// them.
func captured(t testing.TB) map[string][]Packet {
	t.Helper()
	files, err := filepath.Glob("../testdata/pcaps/*.pcap")
	if err != nil || len(files) == 0 {
		t.Fatal("no captures", err)
	}
	all := make(map[string][]Packet)
	for _, file := range files {
		r, err := capture.Open(file, nil)
		if err != nil {
			t.Fatal(err)
		}
		var p capture.Packet
		for err = r.Next(&p); err == nil; err = r.Next(&p) {
			data := bytes.Clone(p.IPPacket())
			if data == nil {
				continue
			}
			is := Packet{Data: data, Length: len(data)}
			var s stt.Segment
			if s.Decode(data, len(data), []uint16{stt.Port}) == reason.None && s.ChecksumIsPseudo() {
				is.Checksum, is.GSO = ChecksumPartial, true
			}
			all[filepath.Base(file)] = append(all[filepath.Base(file)], is)
		}
		if err != io.EOF {
			t.Fatal(file, err)
		}
		r.Close()
	}
	return all
}

// mend makes the outer checksums of a packet right, and with inner that of TCP or UDP
// where the inner headers are in their usual places; partial: the inner one holds the
// sum of the pseudo-header.
func mend(data []byte, inner bool) {
	l3, addresses := 20, 12
	if data[0]>>4 == 6 {
		l3, addresses = 40, 8
	}
	if len(data) < l3+stt.SegmentHeaderLen+stt.FrameHeaderLen+14 {
		return
	}
	frame := data[l3+stt.SegmentHeaderLen:]
	if inner {
		mendInner(frame[stt.FrameHeaderLen:], frame[1]&stt.FlagChecksumPartial != 0)
	}
	if l3 == 20 {
		binary.BigEndian.PutUint16(data[10:], 0)
		binary.BigEndian.PutUint16(data[10:], stt.Checksum(data[:20]))
	}
	mendL4(data[addresses:l3], data[l3:], 16, 6, false)
}

func mendInner(frame []byte, partial bool) {
	at, from := 34, 26
	if frame[12] == 0x86 {
		at, from = 54, 22
	}
	if len(frame) < at+8 {
		return
	}
	protocol := frame[23]
	if at == 54 {
		protocol = frame[20]
	}
	field := map[byte]int{6: 16, 17: 6}[protocol]
	if field == 0 || len(frame) < at+field+2 {
		return
	}
	mendL4(frame[from:at], frame[at:], field, protocol, partial)
}

func mendL4(addresses, l4 []byte, field int, protocol byte, partial bool) {
	pseudo := uint64(checksum.Sum(addresses)) + uint64(protocol) + uint64(len(l4))
	binary.BigEndian.PutUint16(l4[field:], 0)
	if partial {
		binary.BigEndian.PutUint16(l4[field:], checksum.Fold(pseudo))
		return
	}
	binary.BigEndian.PutUint16(l4[field:], ^checksum.Fold(pseudo+uint64(checksum.Sum(l4))))
}
