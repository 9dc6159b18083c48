package firewall

import (
	"encoding/binary"
	"fmt"
	"math/rand/v2"
	"testing"

	"sttwall/conntrack"
	"sttwall/describe"
	"sttwall/stt"
)

// What Expect reads of a packet is the key that Process looks for.
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
			got, ok := new(expected).read(b.shared.current.Load(), &Packet{Data: data[0], Length: len(data[0])})
			if ok != tt.want {
				t.Fatalf("a key is read: %v, want %v", ok, tt.want)
			}
			if !ok {
				return
			}
			b.send(data...)
			want, tracked := conntrack.KeyOf(&b.fw.tracked)
			if !tracked || got != want {
				t.Errorf("got %+v, want %+v (tracked: %v)", got, want, tracked)
			}
		})
	}
}

// manyFlows is a firewall with so many flows, and a packet of each of some.
func manyFlows(t testing.TB, flows, batch int) (*bench, []Packet, func(i, flow int)) {
	b := newBench(t, benchConfig{rules: "settings {\n endpoints = [\"192.0.2.0/24\"]\n flows = 300000\n}\ntenant \"all\" {\n context_ids = [100]\n rule \"all\" {\n action = \"accept\"\n }\n}\n"})
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
	b, packets, aim := manyFlows(t, 10000, 100)
	for i := range packets {
		aim(i, 2*i)
	}
	if n := testing.AllocsPerRun(10, func() { b.fw.Expect(packets) }); n != 0 {
		t.Errorf("%v allocations", n)
	}
}

// BenchmarkProcessOf looks at batches of packets of random flows, with and without
// Expect.
func BenchmarkProcessOf(b *testing.B) {
	for _, flows := range []int{1000, 250_000} {
		for _, expect := range []bool{false, true} {
			b.Run(fmt.Sprintf("flows=%d/expect=%v", flows, expect), func(b *testing.B) {
				w, packets, aim := manyFlows(b, flows, conntrack.ExpectAtOnce)
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
							w.fw.Expect(packets)
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
