package control

import (
	"context"
	"fmt"
	"math/rand/v2"
	"net/netip"
	"sync"
	"testing"
	"time"

	"sttwall/conntrack"
	"sttwall/filter"
	"sttwall/firewall"
	"sttwall/inspect"
)

// filled is a firewall with many flows: UDP from tenant acme, which its rule web has
// accepted.
func filled(t testing.TB, flows int) *core {
	t.Helper()
	fw := newCore(t, fmt.Sprintf("settings {\n flows = %d\n}\n", flows)+testRules[len("\nsettings {\n  endpoints = [\"192.0.2.0/24\"]\n}\n"):])
	r := rand.New(rand.NewPCG(3, 4))
	table := fw.shared.Flows()
	frame := inspect.Frame{IP: 4, EtherType: inspect.EtherTypeIPv4, Protocol: inspect.ProtocolUDP, HasPorts: true, DstPort: 53}
	for i := range flows {
		frame.Src = netip.AddrFrom4([4]byte{10, byte(i >> 16), byte(i >> 8), byte(i)})
		frame.Dst = netip.AddrFrom4([4]byte{10, 200, 0, byte(r.IntN(250))})
		frame.SrcPort = uint16(1024 + r.IntN(60000))
		from := netip.AddrFrom4([4]byte{192, 0, 2, byte(10 + i%5)}) // each has its share
		p := conntrack.Packet{Context: 100, From: from, To: endpointB, Frame: &frame, Data: make([]byte, 64), Bytes: 100 + r.IntN(1400), Trusted: true}
		var out conntrack.Result
		table.Create(fw.now, fw.shared.Generation(), &p, &conntrack.Creation{Rule: 1}, &out)
		if !out.Begun {
			t.Fatalf("flow %d: %+v", i, out)
		}
	}
	return fw
}

func BenchmarkSortedPage(b *testing.B) {
	for _, flows := range []int{10_000, 100_000, 1_000_000} {
		fw := filled(b, flows)
		s := serve(b, Config{Firewall: fw})
		for _, q := range []FlowQuery{
			{Sort: "rate", Descending: true},
			{Sort: "src"},
			{Sort: "rule"},
			{Sort: "rate", Filter: "tenant:acme dport:53 not dst:10.200.0.7"},
		} {
			name := q.Sort
			if q.Filter != "" {
				name += ",filter"
			}
			b.Run(fmt.Sprintf("flows=%d/sort=%s", flows, name), func(b *testing.B) {
				q.Limit = 200
				selects, err := parseFilter(q.Filter)
				if err != nil {
					b.Fatal(err)
				}
				b.ReportAllocs()
				for b.Loop() {
					s.look.mu.Lock()
					s.look.budget = budget{paid: -lookSaved} // as if a second had passed
					fw.now += int64(time.Millisecond)
					for _, shard := range s.look.meters {
						for i := range shard {
							shard[i].at -= 1000
						}
					}
					s.look.mu.Unlock()
					page, err := s.look.page(context.Background(), s.Server, &q, selects)
					if err != nil || page.(FlowPage).Matched < flows*9/10 {
						b.Fatal(page, err)
					}
				}
			})
		}
	}
}

// BenchmarkPacketsBesideALook decides packets of known flows while nobody looks, and
// while one look at a hundred thousand flows follows the other without a pause. A
// screen has one look a second.
func BenchmarkPacketsBesideALook(b *testing.B) {
	fw := filled(b, 100_000)
	s := serve(b, Config{Firewall: fw})
	var packets []*firewall.Packet
	for port := range 4096 {
		p := fw.frame(b, 100, fmt.Sprintf("udp 10.9.0.1:%d > 10.0.0.2:53", 1000+port), false)
		p.Checksum = firewall.ChecksumGood
		packets = append(packets, p)
	}
	for _, p := range packets {
		if !fw.process(p) {
			b.Fatal("dropped")
		}
	}
	for _, looks := range []string{"none", "all the time"} {
		b.Run("looks="+looks, func(b *testing.B) {
			ctx, stop := context.WithCancel(context.Background())
			var looking sync.WaitGroup
			if looks != "none" {
				looking.Go(func() {
					for ctx.Err() == nil {
						s.look.mu.Lock()
						s.look.budget = budget{paid: -lookSaved}
						s.look.mu.Unlock()
						s.look.page(ctx, s.Server, &FlowQuery{Sort: "rate", Limit: 200}, new(filter.Filter))
					}
				})
			}
			n := 0
			for b.Loop() {
				n++
				fw.process(packets[n%len(packets)])
			}
			stop()
			looking.Wait()
		})
	}
}
