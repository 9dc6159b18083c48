package firewall

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"math/rand/v2"
	"net"
	"reflect"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/gopacket"
	"github.com/google/gopacket/layers"

	"sttwall/conntrack"
	"sttwall/reason"
	"sttwall/reassembly"
	"sttwall/stt"
)

// What a part of a packet is enough for, and what takes the rest: the table of
// docs/driver.md.
func TestWhatIsDecidedOnAPartOfAPacket(t *testing.T) {
	const copied = 256
	udp := innerUDP(t, 3000)
	tcp, partialTCP := partial(innerTCP(t, 1000, 80, 3000), 100, 0)
	one := func(h stt.FrameHeader, inner []byte) []byte { return cut(path(), 5, sttFrame(h, inner), 0)[0] }
	plain := stt.FrameHeader{ContextID: 100}
	const accepts = smallHead + tenantAll
	const sets = accepts + "tenant \"other\" {\n  context_ids = [7]\n  rule \"marked\" {\n    action = \"accept\"\n    set {\n      dscp = \"af21\"\n    }\n  }\n}\n"
	const limited = smallHead + "tenant \"t\" {\n  context_ids = [100]\n  rule \"few\" {\n    action = \"accept\"\n    limit {\n      rate  = \"1/s\"\n      burst = 1\n    }\n  }\n}\n"
	const learns = smallHead + "tenant \"t\" {\n  context_ids = [100]\n  default_action = \"accept\"\n  anti_spoof {\n    learn = [\"address\"]\n  }\n}\n"
	for _, c := range []struct {
		name     string
		rules    string
		guard    time.Duration
		data     []byte
		copied   int
		checksum ChecksumState
		gso      bool
		want     Action // on the part
		held     bool   // the whole one waits, for its frame or its first fragment; else it is accepted
	}{
		{name: "an outer checksum that an offload finishes", data: one(plain, udp), checksum: ChecksumPartial, gso: true, want: Accept},
		{name: "one that the kernel found right", data: one(plain, udp), checksum: ChecksumGood, want: Accept},
		{name: "one that nobody verified", data: one(plain, udp), checksum: ChecksumUnverified, want: Again},
		{name: "an endpoint that is not listed", data: remake(one(plain, udp), func(b []byte) { b[12] = 203 }), checksum: ChecksumUnverified, want: Drop},
		{name: "a part without the segment header", data: one(plain, udp), copied: 39, checksum: ChecksumGood, want: Again},
		{name: "a segment of a larger frame", data: cut(path(), 5, sttFrame(plain, udp), 2000)[0], checksum: ChecksumGood, want: Again, held: true},
		{name: "a part without the frame header", data: one(plain, udp), copied: 57, checksum: ChecksumGood, want: Again},
		{name: "a part without the inner headers", data: one(plain, udp), copied: 40 + 18 + 14 + 20 + 7, checksum: ChecksumGood, want: Again},
		{name: "a part that ends with the inner headers", data: one(plain, udp), copied: 40 + 18 + 14 + 20 + 8, checksum: ChecksumGood, want: Accept},
		{name: "no tenant has it", data: one(stt.FrameHeader{ContextID: 99}, udp), checksum: ChecksumGood, want: Drop},
		{name: "an inner TCP checksum that the receiver writes", data: one(partialTCP, tcp), checksum: ChecksumPartial, gso: true, want: Accept},
		{name: "one that the receiver does not look at", data: one(stt.FrameHeader{ContextID: 100, Flags: stt.FlagChecksumVerified}, innerTCP(t, 1, 80, 3000)), checksum: ChecksumPartial, gso: true, want: Accept},
		{name: "one that the receiver verifies", data: one(plain, innerTCP(t, 1, 80, 3000)), checksum: ChecksumPartial, gso: true, want: Again},
		{name: "a frame header that leaves as another", data: one(stt.FrameHeader{ContextID: 100, Padding: 1}, udp), checksum: ChecksumGood, want: Again},
		{name: "an outer header that leaves as another", data: remake(one(plain, udp), func(b []byte) { binary.BigEndian.PutUint16(b[34:], 7) }), checksum: ChecksumGood, want: Again},
		{name: "an outer checksum that is not finished, without GSO", data: one(plain, udp), checksum: ChecksumPartial, want: Again},
		{name: "an ICMP error that quotes a packet", data: one(plain, icmpErrorAbout(t, 3000)), copied: 40 + 18 + 14 + 20 + 8 + 20, checksum: ChecksumGood, want: Again},
		{name: "an ICMP error of which the part has what it quotes", data: one(plain, icmpErrorAbout(t, 3000)), checksum: ChecksumGood, want: Accept},
		{name: "an ICMP error in fragments", data: one(plain, fragmented(icmpErrorAbout(t, 3004))), copied: 40 + 18 + 14 + 20 + 8 + 20, checksum: ChecksumGood, want: Again},
		{name: "a later fragment whose first is not known", data: one(plain, laterFragment(innerUDP(t, 1200))), checksum: ChecksumGood, want: Again, held: true},
		{name: "rules that change packets, of whatever tenant", rules: sets, data: one(plain, udp), checksum: ChecksumGood, want: Again},
		{name: "a rule with a limit", rules: limited, data: one(plain, udp), checksum: ChecksumUnverified, want: Again},
		{name: "a tenant that learns", rules: learns, data: one(plain, udp), checksum: ChecksumUnverified, want: Again},
		{name: "the guard at the start", guard: time.Minute, data: one(plain, udp), checksum: ChecksumPartial, gso: true, want: Again},
		{name: "the guard, without GSO", guard: time.Minute, data: one(plain, udp), checksum: ChecksumGood, want: Accept},
	} {
		t.Run(c.name, func(t *testing.T) {
			if c.rules == "" {
				c.rules = accepts
			}
			if c.copied == 0 {
				c.copied = copied
			}
			b := newBench(t, benchConfig{rules: c.rules, guard: c.guard})
			p := Packet{ID: 1, Data: c.data[:c.copied:c.copied], Length: len(c.data), More: true, Checksum: c.checksum, GSO: c.gso}
			list := b.sendAll(p)
			if len(list) != 1 || list[0].ID != 1 || list[0].Action != c.want || list[0].Payload != nil {
				t.Fatalf("got %+v, want %v", list, c.want)
			}
			var totals Totals
			totals.Add(b.fw.Counters())
			if c.want != Again {
				if totals.PacketsAgain != 0 || totals.Packets != 1 || len(b.events)+int(totals.FramesDropped) == 0 {
					t.Errorf("got %+v, %d events", totals, len(b.events))
				}
				return
			}
			if diff := cmp.Diff(totals, Totals{PacketsAgain: 1}); diff != "" {
				t.Errorf("counted (-got +want):\n%s", diff)
			}
			held := func() int { h := b.fw.Held(); return h.Packets + h.FragmentPackets }
			if b.shared.flows.Stats().Flows != 0 || len(b.events) != 0 || held() != 0 {
				t.Errorf("%d flows, %d events, %d held of a packet that was not decided", b.shared.flows.Stats().Flows, len(b.events), held())
			}
			// Without the right to ask again it is decided, or waits as it is.
			p.More = false
			list = b.sendAll(p)
			before := held()
			if len(list)+before != 1 || before == 0 && list[0].Action == Again {
				t.Errorf("a part of which there is no more: got %+v, %d held", list, before)
			}
			p.ID, p.Data = 2, c.data
			list = b.sendAll(p)
			if c.held {
				if len(list) != 0 || held() != before+1 {
					t.Errorf("whole: got %+v, %d held, want it to wait for the rest of its frame or packet", list, held()-before)
				}
			} else if len(list) != 1 || list[0].Action != Accept {
				t.Errorf("whole: got %+v, want accept", list)
			}
		})
	}
}

// icmpErrorAbout makes a frame with an ICMP error that quotes an IP packet with so
// many bytes of payload.
func icmpErrorAbout(t testing.TB, payload int) []byte {
	t.Helper()
	b := gopacket.NewSerializeBuffer()
	err := gopacket.SerializeLayers(b, gopacket.SerializeOptions{FixLengths: true, ComputeChecksums: true},
		&layers.Ethernet{SrcMAC: net.HardwareAddr{2, 0, 0, 0, 0, 2}, DstMAC: net.HardwareAddr{2, 0, 0, 0, 0, 1}, EthernetType: layers.EthernetTypeIPv4},
		&layers.IPv4{Version: 4, TTL: 64, Protocol: layers.IPProtocolICMPv4, SrcIP: net.IP{10, 0, 0, 2}, DstIP: net.IP{10, 0, 0, 1}},
		&layers.ICMPv4{TypeCode: layers.CreateICMPv4TypeCode(layers.ICMPv4TypeDestinationUnreachable, layers.ICMPv4CodePort)},
		gopacket.Payload(innerUDP(t, payload)[14:]))
	if err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

// partOf is the first 256 bytes of a packet whose outer checksum is good, with a frame and an
// ID for both.
func partOf(id uint32, h stt.FrameHeader, inner []byte, more bool) Packet {
	data := cut(path(), id, sttFrame(h, inner), 0)[0]
	return Packet{ID: uint64(id), Data: data[:256:256], Length: len(data), More: more, Checksum: ChecksumGood}
}

// A later fragment that shares the verdict of a first one that was too short is not too
// short itself: it is dropped as that one was, and not asked for again.
func TestAFragmentOfWhatWasTooShortDoesNotComeAgain(t *testing.T) {
	b := newBench(t, benchConfig{rules: smallHead + tenantAll})
	plain, padded := stt.FrameHeader{ContextID: 100}, stt.FrameHeader{ContextID: 100, Padding: 1} // that one has to leave as another
	for _, c := range []struct {
		name   string
		packet Packet
		want   Action
		short  uint64 // dropped as too short until then
	}{
		{"the first", partOf(1, padded, fragmented(innerUDP(t, 1200)), false), Drop, 1},
		{"one that has to be written anew, whatever becomes of it", partOf(2, padded, laterFragment(innerUDP(t, 1200)), true), Again, 1},
		{"one that could leave as it came", partOf(3, plain, laterFragment(innerUDP(t, 1200)), true), Drop, 2},
	} {
		list := b.sendAll(c.packet)
		if want := []Verdict{{ID: c.packet.ID, Action: c.want}}; !reflect.DeepEqual(list, want) {
			t.Errorf("%s: got %+v, want %+v", c.name, list, want)
		}
		if n := b.fw.Counters().Reasons[reason.CopyTooShort].Load(); n != c.short {
			t.Errorf("%s: %d dropped as too short, want %d", c.name, n, c.short)
		}
	}
}

// A part of which there is no more waits as it is, and is not asked for when its first one
// comes, though there is more of that.
func TestAFragmentThatWaitedDoesNotComeAgain(t *testing.T) {
	b := newBench(t, benchConfig{rules: smallHead + tenantAll})
	padded := stt.FrameHeader{ContextID: 100, Padding: 1}
	if list := b.sendAll(partOf(1, padded, laterFragment(innerUDP(t, 1200)), false)); len(list) != 0 || b.fw.Held().FragmentPackets != 1 {
		t.Fatalf("got %+v, want it to wait", list)
	}
	list := b.sendAll(partOf(2, stt.FrameHeader{ContextID: 100}, fragmented(innerUDP(t, 1200)), true))
	if want := []Verdict{{ID: 2, Action: Accept}, {ID: 1, Action: Drop}}; !reflect.DeepEqual(list, want) {
		t.Errorf("got %+v, want %+v", list, want)
	}
	if n := b.fw.Counters().Reasons[reason.CopyTooShort].Load(); n != 1 {
		t.Errorf("%d dropped as too short, want 1", n)
	}
}

// laterFragment makes an inner IPv4 packet a later fragment of that which [fragmented] makes
// of it, not the last.
func laterFragment(inner []byte) []byte {
	inner[20], inner[21] = 0x20, 200 // in units of 8 bytes
	clear(inner[24:26])
	binary.BigEndian.PutUint16(inner[24:], stt.Checksum(inner[14:34]))
	return inner
}

// fragmented makes an inner IPv4 packet the first fragment of a larger one.
func fragmented(inner []byte) []byte {
	inner[20] |= 0x20
	clear(inner[24:26])
	binary.BigEndian.PutUint16(inner[24:], stt.Checksum(inner[14:34]))
	return inner
}

// Whatever comes, cut anywhere: with parts first, and whole where the part was not
// enough, everything becomes of it that becomes of whole packets, and nothing is
// counted or moved twice.
func TestPartsAreDecidedAsWholePackets(t *testing.T) {
	seed := rand.Uint64()
	t.Logf("seed %d", seed)
	r := rand.New(rand.NewPCG(seed, 0))
	for name, rules := range smallPolicies {
		t.Run(name, func(t *testing.T) {
			config := benchConfig{rules: rules, bits: 12, hold: HoldConfig{Packets: 16}, reassembly: reassembly.Config{Memory: 1 << 20}}
			whole, parts := newBench(t, config), newBench(t, config)
			parts.shared.frameIDs.key = whole.shared.frameIDs.key // the same IDs are in use for both
			again := 0
			for range 3000 {
				step := r.Int64N(1e6)
				whole.now += step
				parts.now += step
				whole.out.Reset()
				parts.out.Reset()
				for _, p := range damagedPackets(t, r) {
					whole.fw.Process(whole.now, &p, &whole.out)
					part := p
					part.Data = p.Data[:r.IntN(len(p.Data)+1)]
					if r.IntN(2) == 0 {
						part.Data = p.Data[:min(len(p.Data), 100)]
					}
					part.More = len(part.Data) < len(p.Data)
					before := len(parts.out.List)
					parts.fw.Process(parts.now, &part, &parts.out)
					if n := len(parts.out.List); n > before && parts.out.List[n-1].Action == Again {
						if !part.More || parts.out.List[n-1].ID != p.ID {
							t.Fatalf("%d of %d bytes, more %v: got %+v", len(part.Data), p.Length, part.More, parts.out.List[n-1])
						}
						again++
						parts.out.List = parts.out.List[:n-1]
						parts.fw.Process(parts.now, &p, &parts.out)
					}
				}
				if got, want := fmt.Sprint(parts.out.List), fmt.Sprint(whole.out.List); got != want {
					t.Fatalf("verdicts: got\n%s, want\n%s", got, want)
				}
				if len(parts.out.Answers) != len(whole.out.Answers) {
					t.Fatalf("%d answers, want %d", len(parts.out.Answers), len(whole.out.Answers))
				}
				if len(parts.events) != len(whole.events) {
					t.Fatalf("%d events, want %d", len(parts.events), len(whole.events))
				}
				for i := range parts.events {
					got, want := &parts.events[i], &whole.events[i]
					if !bytes.HasPrefix(want.InnerData, got.InnerData) {
						t.Fatalf("event of frame %x, want %x", got.InnerData, want.InnerData)
					}
					for _, e := range []*FrameEvent{got, want} {
						e.Forget()
						if e.Flow.Valid() {
							e.Flow = conntrack.Handle{}
						}
					}
					if !reflect.DeepEqual(got, want) {
						t.Fatalf("event\n%+v, want\n%+v", got, want)
					}
				}
				parts.events, whole.events = nil, nil
			}
			gotTotals, gotRules, gotTenants := countsOf(parts.fw)
			totals, rules, tenants := countsOf(whole.fw)
			if gotTotals.PacketsAgain != uint64(again) || again == 0 {
				t.Errorf("%d packets came again, %d are counted", again, gotTotals.PacketsAgain)
			}
			gotTotals.PacketsAgain = 0
			if diff := cmp.Diff(gotTotals, totals); diff != "" {
				t.Errorf("counters (-parts +whole):\n%s", diff)
			}
			if !reflect.DeepEqual(gotRules, rules) || !reflect.DeepEqual(gotTenants, tenants) {
				t.Errorf("tallies\n%v %v, want\n%v %v", gotRules, gotTenants, rules, tenants)
			}
			if got, want := parts.shared.flows.Stats(), whole.shared.flows.Stats(); got != want {
				t.Errorf("flows: got %+v, want %+v", got, want)
			}
		})
	}
}
