package policy

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"sttwall/policy/analyze"
	"sttwall/policy/space"
)

// randomTenants are tenants of both layouts whose claims meet.
func randomTenants(r *rand.Rand) string {
	var b strings.Builder
	b.WriteString("settings {\n  endpoints = [\"any\"]\n}\n")
	edge := func() uint64 {
		in, out, datapath := r.Uint64N(3), r.Uint64N(3), r.Uint64N(12)
		return []uint64{in<<40 | out<<24 | datapath, in<<40 | out<<24 | datapath, r.Uint64N(3) << 60, ^uint64(0), 1<<55 - 1, 1 << 55, 1<<24 - 1}[r.IntN(7)]
	}
	for i := range 1 + r.IntN(5) {
		ovn := r.IntN(2) == 0
		var ids []string
		for range r.IntN(4) {
			lo, hi := edge(), edge()
			if r.IntN(3) == 0 {
				hi = lo
			}
			ids = append(ids, fmt.Sprintf("\"%#x-%#x\"", min(lo, hi), max(lo, hi)))
		}
		fmt.Fprintf(&b, "tenant \"t%d\" {\n", i)
		if ovn {
			fmt.Fprintf(&b, "  context_layout = \"ovn\"\n  datapaths = [\"%d-%d\"]\n", 4*i, 4*i+r.IntN(4))
		}
		if ids == nil && !ovn {
			ids = []string{fmt.Sprint(100 + i)}
		}
		if ids != nil {
			fmt.Fprintf(&b, "  context_ids = [%s]\n", strings.Join(ids, ", "))
		}
		b.WriteString("}\n")
	}
	return b.String()
}

// The lists that are analysed are for the context IDs of their tenants: for all of
// them in every form, and where numbers and parts meet for no others.
func TestListsAreForTheContextIDsOfTheirTenants(t *testing.T) {
	seed := rand.Uint64()
	r := rand.New(rand.NewPCG(seed, 0))
	for loaded := 0; loaded < 300; {
		text := randomTenants(r)
		p, _ := Load("x.hcl", []byte(text))
		if p == nil {
			continue // claims that cross
		}
		loaded++
		for range 200 {
			id := r.Uint64N(3)<<40 | r.Uint64N(3)<<24 | r.Uint64N(24)
			switch r.IntN(6) {
			case 0:
				id |= r.Uint64N(4) << 60
			case 1:
				id = []uint64{0, ^uint64(0), 1<<55 - 1, 1 << 55, 1<<40 - 1, 1 << 40, 1<<24 - 1, 1 << 24}[r.IntN(8)]
			}
			d, found := p.Find(id)
			if !found && d.TenantIndex >= 0 {
				continue // nothing decides about those of the OVN layout that have other bits
			}
			for _, form := range []contextForm{byLayout, inParts} {
				for i, l := range p.lists(form) {
					x := space.Point{space.Context: space.V(id), space.Datapath: space.V(space.NoDatapath), space.Ingress: space.V(space.NoIngress), space.Egress: space.V(space.NoEgress)}
					in := inForm(form, p.tenants[i].OVN, &x)
					got := slices.ContainsFunc(l.Contexts, func(c space.Product) bool { return c.Contains(in) })
					want := d.TenantIndex == int32(i)
					if want && !got || form == inParts && id>>ovnBits == 0 && got != want {
						t.Fatalf("seed %d: %#x in form %d of tenant %d: got %t, want %t\n%s", seed, id, form, i, got, want, text)
					}
				}
			}
		}
	}
}

// A datapath has 2^31 IDs, and a tenant can claim some of them as numbers.
func TestChangesAreFoundWhereNumbersAndDatapathsMeet(t *testing.T) {
	const (
		start = "settings {\n  endpoints = [\"any\"]\n}\n"
		wide  = "tenant \"wide\" {\n  context_ids = [\"0x0/0\"]\n  rule \"tcp\" {\n    action   = \"accept\"\n    services = [\"tcp\"]\n  }\n}\n"
		ovn   = "tenant \"ovn\" {\n  context_layout = \"ovn\"\n  datapaths      = [7]\n  rule \"in\" {\n    action       = \"accept\"\n    services     = [\"udp\"]\n    ingress_port = [1]\n  }\n}\n"
		one   = "tenant \"one\" {\n  context_ids = [\"0x10002000007\"]\n  rule \"tcp\" {\n    action   = \"accept\"\n    services = [\"tcp\"]\n  }\n}\n"
	)
	for _, tt := range []struct {
		name, old, new string
		want           []string
	}{
		{"a datapath inside of a wide claim", wide, wide + ovn, []string{
			"datapath 7, tcp, {IPv4, IPv6}\n  accept by wide/tcp (test.hcl:6) -> drop by the default of tenant ovn",
			"datapath 7, ingress port 1, udp, {IPv4, IPv6}\n  drop by the default of tenant wide -> accept by ovn/in (test.hcl:14)",
		}},
		{"a number inside of a datapath", ovn, ovn + one, []string{
			"datapath 7, ingress port 1, egress port 2, tcp, {IPv4, IPv6}\n  drop by the default of tenant ovn -> accept by one/tcp (test.hcl:15)",
			"datapath 7, ingress port 1, egress port 2, udp, {IPv4, IPv6}\n  accept by ovn/in (test.hcl:7) -> drop by the default of tenant one",
		}},
		{"a number that has been a plain one", strings.Replace(one, "0x10002000007", "0x64", 1), strings.Replace(one, "  context_ids = [\"0x10002000007\"]", "  context_layout = \"ovn\"\n  context_ids = [100]", 1), nil},
		{"a number that is no plain one", strings.Replace(one, "0x10002000007", "0x64", 1), strings.Replace(one, "  context_ids = [\"0x10002000007\"]", "  context_layout = \"ovn\"\n  context_ids = [101]", 1), []string{
			"context ID 100, arp, not IP; and context ID 100, icmpv6, IPv6, types 133-137, whole\n  accept by neighbour discovery -> drop, as no tenant claims the context",
			"context ID 101, arp, not IP; and context ID 101, icmpv6, IPv6, types 133-137, whole\n  drop, as no tenant claims the context -> accept by neighbour discovery",
			"context ID 100, tcp, {IPv4, IPv6}\n  accept by one/tcp (test.hcl:6) -> drop, as no tenant claims the context",
			"context ID 101, tcp, {IPv4, IPv6}\n  drop, as no tenant claims the context -> accept by one/tcp (test.hcl:7)",
		}},
		{"a tenant that has lost all to others", strings.Replace(one, "\"0x10002000007\"", "\"0x100-0x101\"", 1),
			strings.Replace(one, "\"0x10002000007\"", "\"0x100-0x101\"", 1) + "tenant \"a\" {\n  context_ids = [256, 257]\n}\n", []string{
				"context ID 256-257, tcp, {IPv4, IPv6}\n  accept by one/tcp (test.hcl:6) -> drop by the default of tenant a",
			}},
		{"what nobody claims", ovn + one, "settings {\n  endpoints      = [\"any\"]\n  default_action = \"accept\"\n}\n" + strings.ReplaceAll(ovn+one, " {\n  context", " {\n  default_action = \"drop\"\n  context"), []string{
			"context ID 0x80000000000000-0xffffffffffffffff; and datapath not 7\n  drop, as no tenant claims the context -> accept (in a flow or not), as no tenant claims the context",
		}},
		{"what nobody claims beside datapaths", ovn, "settings {\n  endpoints      = [\"any\"]\n  default_action = \"accept\"\n}\n" + strings.ReplaceAll(ovn, " {\n  context", " {\n  default_action = \"drop\"\n  context"), []string{
			"context ID 0x80000000000000-0xffffffffffffffff; and datapath not 7\n  drop, as no tenant claims the context -> accept (in a flow or not), as no tenant claims the context",
		}},
	} {
		if !strings.HasPrefix(tt.new, "settings") {
			tt.new = start + tt.new
		}
		r := Compare(mustLoad(t, start+tt.old), mustLoad(t, tt.new))
		var got []string
		for _, c := range r.Changes {
			got = append(got, c.String())
		}
		slices.Sort(got)
		slices.Sort(tt.want)
		if !slices.Equal(got, tt.want) || len(r.Unknown) > 0 {
			t.Errorf("%s: got\n%s\n%v\nwant\n%s", tt.name, strings.Join(got, "\n"), r.Unknown, strings.Join(tt.want, "\n"))
		}
	}
}

// Rules of an OVN tenant are about parts of its context IDs however it claims them.
func TestRulesAboutPartsOfNumbersAreNotImpossible(t *testing.T) {
	p := mustLoad(t, `settings {
  endpoints = ["any"]
}
tenant "o" {
  context_layout = "ovn"
  context_ids    = ["0x10002000007", 0]
  rule "right" {
    action       = "accept"
    datapath     = [7]
    ingress_port = [1]
    services     = ["tcp"]
  }
  rule "elsewhere" {
    action   = "accept"
    datapath = [8]
    services = ["tcp"]
  }
  rule "bfd" {
    action   = "accept"
    services = ["bfd"]
  }
}`)
	var got []string
	for _, f := range p.Lint() {
		if f.Kind != analyze.Crossing {
			got = append(got, f.Kind.String()+" "+f.Rule)
		}
	}
	if strings.Join(got, ", ") != "impossible o/elsewhere" {
		t.Errorf("got %v", got)
	}
}

// What others claim of one tenant's datapaths does not make those of the next too
// many to be told apart.
func TestWhatOthersClaimOfADatapathIsLeftOutForEachTenant(t *testing.T) {
	const tenants = 2 * maxParts
	carved := func(i int) uint64 { return uint64(i)<<40 | 2<<24 | uint64(i) }
	var text strings.Builder
	text.WriteString("settings {\n  endpoints = [\"any\"]\n}\n")
	for i := 1; i <= tenants; i++ {
		fmt.Fprintf(&text, "tenant \"ovn-%d\" {\n  context_layout = \"ovn\"\n  datapaths = [%d]\n}\ntenant \"one-%d\" {\n  context_ids = [\"%#x\"]\n}\n", i, i, i, carved(i))
	}
	p := mustLoad(t, text.String())
	lists := p.lists(inParts)
	for i := 1; i <= tenants; i++ {
		for _, id := range []uint64{carved(i), carved(i) + 1<<24} {
			x := inForm(inParts, false, &space.Point{space.Context: space.V(id)})
			for j, want := range []bool{id != carved(i), id == carved(i)} {
				l := lists[2*(i-1)+j]
				if got := slices.ContainsFunc(l.Contexts, func(c space.Product) bool { return c.Contains(x) }); got != want {
					t.Fatalf("%#x is in %s: %t, want %t", id, l.Tenant, got, want)
				}
			}
		}
	}
}

// A change is found in a datapath of which others claim more than is told apart.
func TestAChangeIsFoundInADatapathThatManyNumbersAreOf(t *testing.T) {
	rules := func(port int) *Policy {
		var ids []string
		for i := range 2 * maxParts {
			ids = append(ids, fmt.Sprintf("\"%#x\"", uint64(i+1)<<40|2<<24|7))
		}
		return mustLoad(t, fmt.Sprintf(`settings {
  endpoints = ["any"]
}
tenant "ovn" {
  context_layout = "ovn"
  datapaths      = [7]
  rule "in" {
    action   = "accept"
    services = ["tcp/%d"]
  }
}
tenant "one" {
  context_ids = [%s]
}
`, port, strings.Join(ids, ", ")))
	}
	r := Compare(rules(80), rules(81))
	if !slices.ContainsFunc(r.Changes, func(c analyze.Change) bool { return c.Old.Tenant == "ovn" && c.New.Tenant == "ovn" }) {
		t.Errorf("got %v", r.Changes)
	}
}
