package policy

import (
	"fmt"
	"math/rand/v2"
	"net/netip"
	"strings"
	"testing"

	"sttwall/inspect"
	"sttwall/policy/classify/classbench"
)

// head is what the benchmarks' packets differ in. In a firewall a packet has just
// been read, so its frame is in the cache; thousands of whole frames would not be,
// and would push the rules out of it.
type head struct {
	src, dst         netip.Addr
	srcPort, dstPort uint16
	protocol         uint8
}

// show makes a frame that ip made, of IPv4, the packet's.
func (h *head) show(f *inspect.Frame) {
	f.Src, f.Dst, f.Protocol = h.src, h.dst, h.protocol
	f.SrcPort, f.DstPort = h.srcPort, h.dstPort
	f.HasPorts = h.protocol == inspect.ProtocolTCP || h.protocol == inspect.ProtocolUDP
	f.HasICMP = h.protocol == inspect.ProtocolICMP
}

// realistic writes a tenant's rules, four of five a CIDR and a port, the others
// ranges of ports, sets of addresses, any source or any destination; and packets
// most of which some rule decides.
func realistic(n int) (text string, heads []head) {
	r := rand.New(rand.NewPCG(3, uint64(n)))
	address := func(bits int) netip.Prefix {
		a := netip.AddrFrom4([4]byte{10, byte(r.IntN(256)), byte(r.IntN(256)), byte(r.IntN(256))})
		return netip.PrefixFrom(a, bits).Masked()
	}
	ports := []int{80, 443, 22, 53, 5432, 8080, 3306, 9000, 9042, 6379}
	var b strings.Builder
	b.WriteString("settings {\n endpoints = [\"any\"]\n}\ntenant \"t\" {\n context_ids = [1]\n")
	type shape struct {
		src, dst netip.Prefix
		port     int
	}
	shapes := make([]shape, n)
	for i := range shapes {
		s := &shapes[i]
		*s = shape{address([]int{24, 28, 32}[r.IntN(3)]), address([]int{24, 28, 32}[r.IntN(3)]), ports[r.IntN(len(ports))]}
		source, destination, services := fmt.Sprintf("%q", s.src), fmt.Sprintf("%q", s.dst), fmt.Sprintf("\"tcp/%d\"", s.port)
		switch r.IntN(20) {
		case 0:
			services = fmt.Sprintf("\"tcp/%d-%d\"", s.port, s.port+1000)
		case 1:
			for range 10 {
				destination += fmt.Sprintf(", %q", address(32))
			}
		case 2:
			source = `"any"`
		case 3:
			destination = `"any"`
		}
		fmt.Fprintf(&b, "rule \"r%d\" {\n action = \"accept\"\n source = [%s]\n destination = [%s]\n services = [%s]\n}\n", i, source, destination, services)
	}
	b.WriteString("}\n")
	for range 4096 {
		s := &shapes[r.IntN(n)]
		h := head{s.src.Addr(), s.dst.Addr(), uint16(1024 + r.IntN(60000)), uint16(s.port), inspect.ProtocolTCP}
		if r.IntN(8) == 0 {
			h.dstPort = 7 // none
		}
		heads = append(heads, h)
	}
	return b.String(), heads
}

// ofClassbench writes a tenant with the rules of a ClassBench family, and packets.
func ofClassbench(t testing.TB, family string, n int) (text string, heads []head) {
	filters, err := classbench.Filters(family, n, rand.New(rand.NewPCG(5, uint64(n))))
	if err != nil {
		t.Fatal(err)
	}
	address := func(a uint32) netip.Addr {
		return netip.AddrFrom4([4]byte{byte(a >> 24), byte(a >> 16), byte(a >> 8), byte(a)})
	}
	protocols := map[uint8]string{6: "tcp", 17: "udp", 1: "icmp"}
	var b, groups strings.Builder
	known := make(map[string]string) // service groups by what they say
	service := func(f *classbench.Filter) string {
		name := protocols[f.Protocol]
		switch {
		case f.Protocol == 0:
			return `"any"`
		case name == "":
			return fmt.Sprintf("\"protocol/%d\"", f.Protocol)
		case f.SrcPort == classbench.AnyPort && f.DstPort == classbench.AnyPort:
			return fmt.Sprintf("%q", name)
		case f.SrcPort == classbench.AnyPort:
			return fmt.Sprintf("\"%s/%d-%d\"", name, f.DstPort.Lo, f.DstPort.Hi)
		}
		what := fmt.Sprintf("protocol = %q\n source_ports = [\"%d-%d\"]\n", name, f.SrcPort.Lo, f.SrcPort.Hi)
		if f.DstPort != classbench.AnyPort {
			what += fmt.Sprintf(" ports = [\"%d-%d\"]\n", f.DstPort.Lo, f.DstPort.Hi)
		}
		if known[what] == "" {
			known[what] = fmt.Sprintf("s%d", len(known))
			fmt.Fprintf(&groups, "service %q {\n %s}\n", known[what], what)
		}
		return "service." + known[what]
	}
	b.WriteString("settings {\n endpoints = [\"any\"]\n}\ntenant \"t\" {\n context_ids = [1]\n")
	for i := range filters {
		f := &filters[i]
		fmt.Fprintf(&b, "rule \"r%d\" {\n action = \"accept\"\n services = [%s]\n", i, service(f))
		if f.SrcBits > 0 {
			fmt.Fprintf(&b, " source = [\"%s/%d\"]\n", address(f.Src), f.SrcBits)
		}
		if f.DstBits > 0 {
			fmt.Fprintf(&b, " destination = [\"%s/%d\"]\n", address(f.Dst), f.DstBits)
		}
		b.WriteString("}\n")
	}
	b.WriteString("}\n")
	for _, h := range classbench.Headers(filters, 4096, classbench.LowLocality, rand.New(rand.NewPCG(6, uint64(n)))) {
		heads = append(heads, head{address(h.Src), address(h.Dst), h.SrcPort, h.DstPort, h.Protocol})
	}
	return groups.String() + b.String(), heads
}

// BenchmarkFirstPacket decides about packets that begin flows.
func BenchmarkFirstPacket(b *testing.B) {
	sizes := []int{10, 100, 1000, 10_000}
	for _, n := range sizes {
		text, heads := realistic(n)
		benchmarkFirstPacket(b, fmt.Sprintf("rules=%d", n), text, heads)
	}
	for _, family := range classbench.Families {
		for _, n := range sizes {
			text, heads := ofClassbench(b, family, n)
			benchmarkFirstPacket(b, fmt.Sprintf("family=%s/rules=%d", family, n), text, heads)
		}
	}
}

func benchmarkFirstPacket(b *testing.B, name, text string, heads []head) {
	p := mustLoad(b, text)
	b.Run(name, func(b *testing.B) {
		b.ReportAllocs()
		var s steady
		f := ip("10.0.0.1", "10.0.0.2", inspect.ProtocolTCP)
		i := 0
		for b.Loop() {
			heads[i&4095].show(f)
			s.evaluate(p, 1, f)
			i++
		}
	})
}

// BenchmarkTenant decides about packets of random tenants and context IDs, in
// batches, as a worker takes them from its queue: it expects a batch where that
// pays, and decides.
func BenchmarkTenant(b *testing.B) { benchmarkTenant(b, expectAtOnce) }

// BenchmarkTenantAlone is the same for packets that come one by one: what memory
// costs when nothing is known of the next packet.
func BenchmarkTenantAlone(b *testing.B) { benchmarkTenant(b, 1) }

func benchmarkTenant(b *testing.B, batch int) {
	for _, size := range []struct {
		name              string
		tenants, contexts int
	}{{"tenants=10", 10, 10}, {"tenants=10000", 10_000, 10_000}, {"contexts=10", 10, 10}, {"contexts=1000000", 1000, 1_000_000}} {
		b.Run(size.name, func(b *testing.B) {
			p := manyContexts(b, size.tenants, size.contexts)
			f := ip("10.0.0.1", "10.0.0.2", inspect.ProtocolTCP)
			f.HasPorts, f.DstPort = true, 80
			ids := make([]uint64, batch)
			r := rand.New(rand.NewPCG(1, 2))
			b.ReportAllocs()
			var s steady
			at := batch
			for b.Loop() {
				if at == batch {
					at = 0
					for i := range ids {
						ids[i] = uint64(r.IntN(size.contexts)) * 3
					}
					if batch > 1 && p.Cold() {
						p.Expect(ids)
					}
				}
				if d := s.evaluate(p, ids[at], f); d.Action != Accept {
					b.Fatal(d)
				}
				at++
			}
		})
	}
}

// manyContexts is a policy of tenants with one rule each, to which the context IDs
// that are multiples of 3 belong in turn.
func manyContexts(t testing.TB, tenants, contexts int) *Policy {
	var text strings.Builder
	text.WriteString("settings {\n endpoints = [\"any\"]\n}\n")
	for i := range tenants {
		fmt.Fprintf(&text, "tenant \"t%d\" {\n context_ids = [%d]\n rule \"r\" {\n action = \"accept\"\n services = [\"tcp/80\"]\n }\n}\n", i, i)
	}
	p := mustLoad(t, text.String())
	claims := make([]claim, contexts)
	for i := range claims {
		claims[i] = claim{lo: uint64(i) * 3, hi: uint64(i) * 3, tenant: int32(i % tenants)}
	}
	p.contexts, _ = resolveClaims(claims)
	return p
}
