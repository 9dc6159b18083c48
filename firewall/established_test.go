package firewall

import (
	"fmt"
	"math/rand/v2"
	"net"
	"strings"
	"testing"

	"github.com/google/gopacket/layers"

	"sttwall/stt"
)

// establish makes a firewall with that many rules, and flows that rules all over
// the list have accepted, in both directions; it returns a packet of each flow.
func establish(t testing.TB, rules, flows int) (*Firewall, []Packet) {
	t.Helper()
	var text strings.Builder
	text.WriteString("settings {\n endpoints = [\"192.0.2.0/24\"]\n}\ntenant \"t\" {\n context_ids = [100]\n")
	for i := range rules {
		fmt.Fprintf(&text, "rule \"r%d\" {\n action = \"accept\"\n destination = [\"10.0.0.2\"]\n services = [\"udp/%d\"]\n}\n", i, 10000+i)
	}
	text.WriteString("}\n")
	shared, err := NewShared(compile(t, text.String()), newFilter(t, FrameIDConfig{Bits: 20}))
	if err != nil {
		t.Fatal(err)
	}
	fw, err := New(Config{Shared: shared, Random: rand.NewPCG(1, 2), Observer: func(*FrameEvent) {}})
	if err != nil {
		t.Fatal(err)
	}
	there, back := path(), path()
	back.Src, back.Dst = there.Dst, there.Src
	packet := func(p stt.Path, src, dst net.IP, sport, dport int) Packet {
		frame := sttFrame(stt.FrameHeader{ContextID: 100}, inner(t, &layers.IPv4{Version: 4, TTL: 64, Protocol: layers.IPProtocolUDP, SrcIP: src, DstIP: dst},
			&layers.UDP{SrcPort: layers.UDPPort(sport), DstPort: layers.UDPPort(dport)}, 64))
		data := cut(p, 1, frame, 0)[0]
		return Packet{ID: 1, Data: data, Length: len(data)}
	}
	a, b := net.IP{10, 0, 0, 1}, net.IP{10, 0, 0, 2}
	var out Verdicts
	packets := make([]Packet, flows)
	for i := range packets {
		sport, dport := 1000+i, 10000+i*rules/flows
		packets[i] = packet(there, a, b, sport, dport)
		reply := packet(back, b, a, dport, sport)
		for _, p := range []*Packet{&packets[i], &reply} {
			out.Reset()
			if fw.Process(1, p, &out); len(out.List) != 1 || out.List[0].Action != Accept {
				t.Fatalf("flow %d did not begin: %v", i, out.List)
			}
		}
	}
	return fw, packets
}

// BenchmarkEstablished sends packets of flows that are known: the rules are not
// met again, however many they are.
func BenchmarkEstablished(b *testing.B) {
	for _, rules := range []int{10, 10_000} {
		b.Run(fmt.Sprintf("rules=%d", rules), func(b *testing.B) {
			fw, packets := establish(b, rules, 1024)
			var out Verdicts
			now, i := int64(1), 0
			b.ReportAllocs()
			for b.Loop() {
				out.Reset()
				now++
				if fw.Process(now, &packets[i&1023], &out); out.List[0].Action != Accept {
					b.Fatal(out.List)
				}
				i++
			}
		})
	}
}
