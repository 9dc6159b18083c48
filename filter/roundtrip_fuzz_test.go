package filter

import "testing"

func FuzzQuotedValuesAreFoundAsTheyAre(f *testing.F) {
	for _, s := range []string{"a", "", "a b", "a*", `a"b`, `a\`, ">5", "1-2", "a,b", "and", "(x", "!x", "a:b", "\x1b[m", "\u00a0x", "é", "\xff", "..", "10.0.0.0/8", "?", "~x", "ACME"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		for _, field := range []string{"tenant", "rule"} {
			text := field + ":" + Quote(s)
			if s == "" || len(text) > MaxLen {
				continue
			}
			flt, err := Parse(text)
			if err != nil {
				t.Fatalf("%q: %v", text, err)
			}
			r := Record{Tenant: s, Rule: s, Protocol: -1, EtherType: -1, SrcPort: -1, DstPort: -1, Age: -1}
			if !flt.Match(&r) {
				t.Fatalf("%q does not find %q", text, s)
			}
			r.Tenant += "x"
			r.Rule += "x"
			if flt.Match(&r) {
				t.Fatalf("%q finds %q", text, r.Tenant)
			}
		}
	})
}
