package firewall

import (
	"encoding/binary"
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"

	"sttwall/conntrack"
	"sttwall/describe"
	"sttwall/stt"
)

// expectedKey is what expect reads of a packet.
func expectedKey(st *standing, p *Packet) (key conntrack.Key, ok bool) {
	e := new(expected)
	keys := e.keysOf(st, e.open(st, []Packet{*p}))
	if len(keys) == 0 {
		return key, false
	}
	return keys[0], true
}

// what expect reads of a packet is the key that Process looks for.
func TestExpectReadsTheKeyThatIsLookedFor(t *testing.T) {
	const ovn = 3<<40 | 5<<24 | 7
	for _, tt := range []struct {
		name, text string
		header     stt.FrameHeader
		size       int
		want       bool
	}{
		{"UDP", "udp 10.0.0.1:1 > 10.0.0.2:53", stt.FrameHeader{ContextID: 400}, 0, true},
		{"TCP in a VLAN", "tcp 10.0.0.1:1 > 10.0.0.2:80 syn", stt.FrameHeader{ContextID: 400, TCI: 0x1007}, 0, true},
		{"IPv6", "udp [2001:db8::1]:1 > [2001:db8::2]:53", stt.FrameHeader{ContextID: 600}, 0, true},
		{"a ping in the OVN layout", "icmp 10.0.0.1 > 10.0.0.2 echo-request id 7", stt.FrameHeader{ContextID: ovn}, 0, true},
		{"no tenant's", "udp 10.0.0.1:1 > 10.0.0.2:53", stt.FrameHeader{ContextID: 9}, 0, false},
		{"ARP", "arp request 10.0.0.1 > 10.0.0.2", stt.FrameHeader{ContextID: 400}, 0, false},
		{"a frame in pieces", "udp 10.0.0.1:1 > 10.0.0.2:53 len 200", stt.FrameHeader{ContextID: 400}, 100, false},
	} {
		t.Run(tt.name, func(t *testing.T) {
			b := stateBench(t, 0)
			d, err := describe.Parse(tt.text)
			if err != nil {
				t.Fatal(err)
			}
			data := cut(path(), 5, sttFrame(tt.header, d.Data), tt.size)
			st, e := b.shared.current.Load(), new(expected)
			frames := e.open(st, []Packet{{Data: data[0], Length: len(data[0])}})
			if whole := tt.size == 0; frames == 1 != whole || whole && e.contextIDs[0] != tt.header.ContextID {
				t.Errorf("%d frames of context ID %d", frames, e.contextIDs[0])
			}
			keys := e.keysOf(st, frames)
			if got := len(keys) == 1; got != tt.want {
				t.Fatalf("a key is read: %v, want %v", got, tt.want)
			}
			if !tt.want {
				return
			}
			b.send(data...)
			want, tracked := conntrack.KeyOf(&b.fw.tracked)
			if !tracked || keys[0] != want {
				t.Errorf("got %+v, want %+v (tracked: %v)", keys[0], want, tracked)
			}
		})
	}
}

// manyFlows is a firewall with so many flows, and a packet of each of some.
func manyFlows(t testing.TB, contextIDs string, flows, batch int) (*bench, []Packet, func(i, flow int)) {
	b := newBench(t, benchConfig{rules: "settings {\n endpoints = [\"192.0.2.0/24\"]\n flows = 400000\n}\ntenant \"all\" {\n context_ids = [" + contextIDs + "]\n rule \"all\" {\n action = \"accept\"\n }\n}\n"})
	b.fw.observer = nil
	packets := make([]Packet, batch)
	for i := range packets {
		packets[i].Data = cut(path(), 5, sttFrame(stt.FrameHeader{ContextID: 100, Flags: stt.FlagChecksumVerified}, innerUDP(t, 64)), 0)[0]
		packets[i].Length, packets[i].Checksum = len(packets[i].Data), ChecksumGood
	}
	const source = 20 + 20 + stt.FrameHeaderLen + 14 + 12
	aim := func(i, flow int) { binary.BigEndian.PutUint32(packets[i].Data[source:], uint32(10<<24|flow)) }
	for flow := range flows {
		aim(0, flow)
		b.out.Reset()
		if b.fw.Process(b.now, &packets[0], &b.out); len(b.out.List) != 1 || b.out.List[0].Action != Accept {
			t.Fatalf("flow %d: %v", flow, b.out.List)
		}
	}
	if n := b.shared.Flows().Stats().Flows; n != flows {
		t.Fatalf("%d flows, want %d", n, flows)
	}
	return b, packets, aim
}

func TestExpectAllocatesNothing(t *testing.T) {
	var ids strings.Builder
	for id := range 40_000 {
		fmt.Fprintf(&ids, "%d, ", id)
	}
	for _, tt := range []struct {
		name, contextIDs string
		flows            int
		tenants          bool // are many
	}{
		{"many flows", "100", 10_000, false},
		{"many context IDs", ids.String(), 10, true},
		{"many of both", ids.String(), 10_000, true},
		{"few of both", "100", 10, false},
	} {
		t.Run(tt.name, func(t *testing.T) {
			b, packets, aim := manyFlows(t, tt.contextIDs, tt.flows, 100)
			if tenants, flows := b.shared.current.Load().policy.Cold(), b.shared.flows.Cold(); tenants != tt.tenants || flows != (tt.flows > 10) {
				t.Fatalf("cold: tenants %t, flows %t", tenants, flows)
			}
			for i := range packets {
				aim(i, i%tt.flows)
			}
			packets[50].Data = packets[50].Data[:30] // no whole frame
			before := b.shared.Flows().Stats()
			if n := testing.AllocsPerRun(10, func() { b.fw.expect(packets) }); n != 0 {
				t.Errorf("%v allocations", n)
			}
			if after := b.shared.Flows().Stats(); after != before {
				t.Errorf("got %+v, want %+v", after, before)
			}
		})
	}
}

// BenchmarkProcessOf looks at batches of packets of random flows, with and without
// Expect.
func BenchmarkProcessOf(b *testing.B) {
	for _, flows := range []int{1000, 250_000} {
		for _, expect := range []bool{false, true} {
			b.Run(fmt.Sprintf("flows=%d/expect=%v", flows, expect), func(b *testing.B) {
				w, packets, aim := manyFlows(b, "100", flows, conntrack.ExpectAtOnce)
				order := rand.New(rand.NewPCG(1, 2))
				at := len(packets)
				b.ReportAllocs()
				for b.Loop() {
					if at == len(packets) {
						at = 0
						for i := range packets {
							aim(i, order.IntN(flows))
						}
						if expect {
							w.fw.expect(packets)
						}
					}
					w.out.Reset()
					w.fw.Process(w.now, &packets[at], &w.out)
					at++
				}
			})
		}
	}
}
