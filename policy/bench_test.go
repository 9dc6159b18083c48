package policy

import (
	"fmt"
	"math/rand/v2"
	"net/netip"
	"strings"
	"testing"

	"sttwall/inspect"
)

// realistic writes a tenant's rules, four of five a CIDR and a port, the others
// ranges of ports, sets of addresses, any source or any destination; and packets
// most of which some rule decides.
func realistic(n int) (text string, frames []*inspect.Frame) {
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
		f := ip(s.src.Addr().String(), s.dst.Addr().String(), inspect.ProtocolTCP)
		f.HasPorts, f.SrcPort, f.DstPort = true, uint16(1024+r.IntN(60000)), uint16(s.port)
		if r.IntN(8) == 0 {
			f.DstPort = 7 // none
		}
		frames = append(frames, f)
	}
	return b.String(), frames
}

// BenchmarkFirstPacket decides about packets that begin flows.
func BenchmarkFirstPacket(b *testing.B) {
	for _, n := range []int{10, 100, 1000, 10_000} {
		b.Run(fmt.Sprintf("rules=%d", n), func(b *testing.B) {
			text, frames := realistic(n)
			p := mustLoad(b, text)
			b.ReportAllocs()
			var s steady
			i := 0
			for b.Loop() {
				s.evaluate(p, 1, frames[i&4095])
				i++
			}
		})
	}
}

// BenchmarkTenant decides about packets of random tenants and context IDs.
func BenchmarkTenant(b *testing.B) {
	for _, size := range []struct {
		name              string
		tenants, contexts int
	}{{"tenants=10", 10, 10}, {"tenants=10000", 10_000, 10_000}, {"contexts=10", 10, 10}, {"contexts=1000000", 1000, 1_000_000}} {
		b.Run(size.name, func(b *testing.B) {
			var text strings.Builder
			text.WriteString("settings {\n endpoints = [\"any\"]\n}\n")
			for i := range size.tenants {
				fmt.Fprintf(&text, "tenant \"t%d\" {\n context_ids = [%d]\n rule \"r\" {\n action = \"accept\"\n services = [\"tcp/80\"]\n }\n}\n", i, i)
			}
			p := mustLoad(b, text.String())
			claims := make([]claim, size.contexts)
			for i := range claims {
				claims[i] = claim{lo: uint64(i) * 3, hi: uint64(i) * 3, tenant: int32(i % size.tenants)}
			}
			p.contexts, _ = resolveClaims(claims)
			f := ip("10.0.0.1", "10.0.0.2", inspect.ProtocolTCP)
			f.HasPorts, f.DstPort = true, 80
			r := rand.New(rand.NewPCG(1, 2))
			b.ReportAllocs()
			var s steady
			for b.Loop() {
				if d := s.evaluate(p, uint64(r.IntN(size.contexts))*3, f); d.Action != Accept {
					b.Fatal(d)
				}
			}
		})
	}
}
