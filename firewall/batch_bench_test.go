package firewall_test

import (
	"encoding/binary"
	"fmt"
	"math/rand/v2"
	"net/netip"
	"strings"
	"testing"
	"time"

	"sttwall/control"
	"sttwall/firewall"
	"sttwall/policy"
	"sttwall/reassembly"
	"sttwall/stt"
	"sttwall/tap"
)

// batchSize is what a worker takes at once.
const batchSize = 64

// traffic is a firewall with observers as `sttwall run` has them, and packets of many
// flows: frames that are whole in one packet, in buffers that are used again and
// again, as a driver does. A flow is told by its inner source port, the last byte of
// its inner source address, and its inner destination port, one for each rule. Words
// of the payload make up for what differs, so that the checksums stay.
type traffic struct {
	core    *tap.Core
	packets []firewall.Packet
	rules   int
	partial bool
	pseudo  uint32 // of flow 0, where the inner checksum is partial
	out     firewall.Verdicts
	now     int64
	id      uint32
}

// Where words are in a packet: outer IP and segment header, frame header, Ethernet.
const (
	frameIDAt    = 20 + 8
	frameAt      = 20 + stt.SegmentHeaderLen
	innerAt      = frameAt + stt.FrameHeaderLen
	innerIPAt    = innerAt + 14
	innerL4At    = innerIPAt + 20
	innerDataAt  = innerL4At + 20 // of TCP
	innerEqualAt = innerDataAt    // the words that make up for others
)

type trafficKind struct {
	protocol string // udp, tcp, tcp-partial
	size     int    // of the frame as it is on the wire without GSO, in bytes
	gso      bool
}

func newTraffic(t testing.TB, k trafficKind, rules, flows int) *traffic {
	t.Helper()
	var text strings.Builder
	text.WriteString("settings {\n endpoints = [\"192.0.2.0/24\"]\n flows = 1400000\n}\ntenant \"t\" {\n context_ids = [100]\n")
	name, number := k.protocol[:3], byte(17)
	if name == "tcp" {
		number = 6
	}
	for i := range rules {
		fmt.Fprintf(&text, "rule \"r%d\" {\n action = \"accept\"\n destination = [\"10.0.1.2\"]\n services = [\"%s/%d\"]\n}\n", i, name, 10000+i)
	}
	text.WriteString("}\n")
	p, diags := policy.Load("bench.hcl", []byte(text.String()))
	if diags.HasErrors() {
		t.Fatal(diags)
	}
	ids, err := firewall.NewFrameIDFilter(firewall.FrameIDConfig{Bits: 26})
	if err != nil {
		t.Fatal(err)
	}
	shared, err := firewall.NewShared(p, ids)
	if err != nil {
		t.Fatal(err)
	}
	feed, recent, taps := new(control.Feed), control.NewRecent(), new(tap.Taps)
	fw, err := firewall.New(firewall.Config{
		Shared: shared, Reassembly: reassembly.Config{}, Random: rand.NewPCG(1, 2),
		Observer: func(e *firewall.FrameEvent) {
			feed.Observe(e)
			recent.Observe(e)
			taps.Observe(e)
		},
		WantsQuiet: taps.WantsQuiet,
	})
	if err != nil {
		t.Fatal(err)
	}
	w := &traffic{core: taps.Wrap(fw), rules: rules, partial: k.protocol == "tcp-partial", now: int64(time.Hour)}
	w.establish(t, k, number, flows)
	return w
}

// establish begins all flows, and makes the buffers.
func (w *traffic) establish(t testing.TB, k trafficKind, protocol byte, flows int) {
	there := stt.Path{Src: netip.AddrFrom4([4]byte{192, 0, 2, 1}), Dst: netip.AddrFrom4([4]byte{192, 0, 2, 2}), SrcPort: 50000, DstPort: stt.Port, TTL: 64, DontFragment: true}
	back := there
	back.Src, back.Dst = there.Dst, there.Src
	// A packet is told from where its headers end: the handshake has no payload.
	packet := func(path *stt.Path, reply bool, flags byte, seq, ack uint32, payload int) []byte {
		var inner []byte
		inner = append(inner, 2, 0, 0, 0, 0, 2, 2, 0, 0, 0, 0, 1, 8, 0)
		l4 := 8
		if protocol == 6 {
			l4 = 20
		}
		inner = append(inner, 0x45, 0, 0, 0, 0, 1, 0x40, 0, 64, protocol, 0, 0)
		src, dst, sport, dport := []byte{10, 0, 0, 0}, []byte{10, 0, 1, 2}, uint16(0), uint16(0)
		if reply {
			src, dst = dst, src
		}
		inner = append(append(inner, src...), dst...)
		binary.BigEndian.PutUint16(inner[16:], uint16(20+l4+payload))
		inner = binary.BigEndian.AppendUint16(inner, sport)
		inner = binary.BigEndian.AppendUint16(inner, dport)
		if protocol == 6 {
			inner = binary.BigEndian.AppendUint32(inner, seq)
			inner = binary.BigEndian.AppendUint32(inner, ack)
			inner = append(inner, 5<<4, flags, 0xff, 0xff, 0, 0, 0, 0)
		} else {
			inner = binary.BigEndian.AppendUint16(inner, uint16(8+payload))
			inner = append(inner, 0, 0)
		}
		for i := range payload {
			inner = append(inner, byte(i))
		}
		header := stt.FrameHeader{ContextID: 100}
		sum := uint32(stt.PseudoSum(netip.AddrFrom4([4]byte(inner[26:30])), netip.AddrFrom4([4]byte(inner[30:34])), protocol, l4+payload))
		if protocol == 6 {
			binary.BigEndian.PutUint16(inner[34+16:], uint16(sum))
			header.Flags = stt.FlagChecksumPartial | stt.FlagIPv4 | stt.FlagTCP
			header.L4Offset = 34
			if payload > 1460 {
				header.MSS = 1460
			}
			w.pseudo = sum
			if !w.partial && payload > 0 {
				header.Flags, header.L4Offset, header.MSS = 0, 0, 0
				binary.BigEndian.PutUint16(inner[34+16:], stt.Checksum(inner[34:])) // holds the pseudo sum
			}
		}
		piece := stt.Piece{FrameID: 1, FrameLength: stt.FrameHeaderLen + len(inner), Payload: append(make([]byte, stt.FrameHeaderLen), inner...), Header: &header}
		if k.gso && payload > 0 {
			piece.Checksum = stt.ChecksumPartial
		}
		return stt.AppendSegment(nil, path, &piece)
	}
	const syn, ack, psh = 2, 16, 8
	begin := func(path *stt.Path, reply bool, flags byte, seq, ackn uint32) func(flow int) {
		data := packet(path, reply, flags, seq, ackn, 0)
		p := firewall.Packet{Data: data, Length: len(data), Checksum: firewall.ChecksumGood}
		sport, dport, last := innerL4At, innerL4At+2, innerIPAt+15
		if reply {
			sport, dport, last = dport, sport, innerIPAt+19
		}
		return func(flow int) {
			binary.BigEndian.PutUint16(data[sport:], uint16(flow))
			binary.BigEndian.PutUint16(data[dport:], uint16(10000+flow%w.rules))
			data[last] = byte(flow >> 16)
			if protocol == 6 {
				binary.BigEndian.PutUint16(data[innerL4At+16:], uint16(fold(w.pseudo+uint32(flow>>16))))
			}
			w.out.Reset()
			if w.core.Process(w.now, &p, &w.out); len(w.out.List) != 1 || w.out.List[0].Action != firewall.Accept {
				t.Fatalf("flow %d does not begin: %v", flow, w.out.List)
			}
		}
	}
	steps := []func(int){begin(&there, false, 0, 0, 0), begin(&back, true, 0, 0, 0)}
	if protocol == 6 {
		steps = []func(int){begin(&there, false, syn, 1000, 0), begin(&back, true, syn|ack, 5000, 1001), begin(&there, false, ack, 1001, 5001)}
	}
	for flow := range flows {
		for _, step := range steps {
			step(flow)
		}
	}
	l4 := 8
	if protocol == 6 {
		l4 = 20
	}
	headers := frameAt + stt.FrameHeaderLen + 14 + 20 + l4
	for range batchSize {
		data := packet(&there, false, ack|psh, 1001, 5001, k.size-headers)
		for i := range 4 {
			binary.BigEndian.PutUint16(data[innerEqualAt+2*i:], 0xffff)
		}
		if protocol == 6 && !w.partial {
			binary.BigEndian.PutUint16(data[innerL4At+16:], 0)
			binary.BigEndian.PutUint16(data[innerL4At+16:], ^uint16(fold(w.pseudo+uint32(^stt.Checksum(data[innerL4At:])))))
		}
		if !k.gso {
			binary.BigEndian.PutUint16(data[20+16:], 0)
			sum := uint32(stt.PseudoSum(there.Src, there.Dst, 6, len(data)-20)) + uint32(^stt.Checksum(data[20:]))
			binary.BigEndian.PutUint16(data[20+16:], ^uint16(fold(sum)))
		}
		p := firewall.Packet{ID: 1, Data: data, Length: len(data)}
		if k.gso {
			p.GSO, p.Checksum = true, firewall.ChecksumPartial
		}
		w.packets = append(w.packets, p)
	}
}

func fold(sum uint32) uint32 {
	for sum > 0xffff {
		sum = sum>>16 + sum&0xffff
	}
	return sum
}

// aim makes packet i one of a flow.
func (w *traffic) aim(i, flow int) {
	p := &w.packets[i]
	data := p.Data
	w.id++
	sport, dport, last, check := uint16(flow), uint16(10000+flow%w.rules), uint16(flow>>16), uint16(0)
	binary.BigEndian.PutUint16(data[innerL4At:], sport)
	binary.BigEndian.PutUint16(data[innerL4At+2:], dport)
	data[innerIPAt+15] = byte(last)
	if w.partial {
		check = uint16(fold(w.pseudo+uint32(last)) - w.pseudo)
		binary.BigEndian.PutUint16(data[innerL4At+16:], uint16(w.pseudo)+check)
	}
	if p.GSO {
		binary.BigEndian.PutUint32(data[frameIDAt:], w.id)
	}
	binary.BigEndian.PutUint64(data[innerEqualAt:], ^(uint64(sport)<<48 | uint64(dport)<<32 | uint64(last)<<16 | uint64(check)))
}

// batch has all packets decided. Of super-segments, some meet a frame ID that the filter
// takes for a used one, and leave with another.
func (w *traffic) batch() bool {
	w.now += 64_000 // a million packets a second
	w.out.Reset()
	w.core.ProcessBatch(w.now, w.packets, &w.out)
	for i := range w.out.List {
		if w.out.List[i].Action != firewall.Accept || w.out.List[i].Payload != nil && !w.packets[0].GSO {
			return false
		}
	}
	return len(w.out.List) == len(w.packets)
}

// BenchmarkBatch is what a packet of a known flow costs, in ns/packet: whole in one
// packet, in batches of 64 packets of random flows.
func BenchmarkBatch(b *testing.B) {
	for _, protocol := range []string{"udp", "tcp", "tcp-partial"} {
		for _, size := range []struct {
			name string
			size int
			gso  bool
		}{{"150", 150, false}, {"1500", 1500, false}, {"gso65000", 65000, true}} {
			for _, many := range []struct{ flows, rules int }{{1, 1000}, {1000, 10}, {1000, 1000}, {1000, 10_000}, {1_000_000, 1000}} {
				flows, rules := many.flows, many.rules
				b.Run(fmt.Sprintf("%s/%s/flows=%d/rules=%d", protocol, size.name, flows, rules), func(b *testing.B) {
					w := newTraffic(b, trafficKind{protocol, size.size, size.gso}, rules, flows)
					order := rand.New(rand.NewPCG(1, 2))
					b.ReportAllocs()
					for b.Loop() {
						for i := range w.packets {
							w.aim(i, int(uint64(order.Uint32())*uint64(flows)>>32))
						}
						if !w.batch() {
							b.Fatalf("a packet did not leave as it came: %v", w.out.List)
						}
					}
					b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N*batchSize), "ns/packet")
				})
			}
		}
	}
}
