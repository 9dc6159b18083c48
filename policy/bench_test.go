package policy

import (
	"fmt"
	"strings"
	"testing"

	"sttwall/inspect"
)

// BenchmarkEvaluate looks for the last of so many rules. A frame's bytes are
// parsed elsewhere; 1500 stands for the frame that is decided about.
func BenchmarkEvaluate(b *testing.B) {
	for _, rules := range []int{10, 100, 1000} {
		var text strings.Builder
		text.WriteString("settings {\n endpoints = [\"any\"]\n}\ntenant \"t\" {\n context_ids = [1]\n")
		for i := range rules {
			fmt.Fprintf(&text, "rule \"r%d\" {\n action = \"accept\"\n source = [\"10.%d.%d.0/24\", \"2001:db8:%x::/64\"]\n services = [\"tcp/443\", \"tcp/8000-9000\"]\n}\n",
				i, i/250, i%250, i)
		}
		text.WriteString("}\n")
		p := mustLoad(b, text.String())
		last := rules - 1
		for name, src := range map[string]string{
			"ip=4": fmt.Sprintf("10.%d.%d.7", last/250, last%250),
			"ip=6": fmt.Sprintf("2001:db8:%x::7", last),
		} {
			f := ip(src, src, inspect.ProtocolTCP)
			f.HasPorts, f.DstPort = true, 443
			b.Run(fmt.Sprintf("rules=%d/%s", rules, name), func(b *testing.B) {
				b.ReportAllocs()
				b.SetBytes(1500)
				var s steady
				for b.Loop() {
					if d := s.evaluate(p, 1, f); d.RuleIndex != int32(last) {
						b.Fatal(d)
					}
				}
			})
		}
	}
}

// BenchmarkContexts finds the tenant of a context ID among many.
func BenchmarkContexts(b *testing.B) {
	for _, tenants := range []int{10, 1000, 100_000} {
		claims := make([]claim, tenants)
		for i := range claims {
			claims[i] = claim{lo: uint64(i) * 16, hi: uint64(i)*16 + 7, tenant: int32(i)}
		}
		m, _ := resolveClaims(claims)
		b.Run(fmt.Sprintf("tenants=%d", tenants), func(b *testing.B) {
			b.ReportAllocs()
			id := uint64(0)
			for b.Loop() {
				id = (id*2654435761 + 1) % uint64(tenants*16)
				m.find(id)
			}
		})
	}
}

// BenchmarkLoad compiles the example.
func BenchmarkLoad(b *testing.B) {
	_, _, files := LoadFile("../rules.example.hcl")
	src := files["../rules.example.hcl"].Bytes
	b.ReportAllocs()
	b.SetBytes(int64(len(src)))
	for b.Loop() {
		if p, diags := Load("rules.example.hcl", src); p == nil {
			b.Fatal(diags)
		}
	}
}
