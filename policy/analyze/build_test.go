package analyze_test

import (
	"net/netip"

	"sttwall/policy/analyze"
	"sttwall/policy/space"
)

// The builders of rules for the tests of messages.

var (
	accept = analyze.Verdict{Action: analyze.Accept}
	drop   = analyze.Verdict{Action: analyze.Drop}
	reject = analyze.Verdict{Action: analyze.Reject}
)

func addresses(f space.Field, prefix string) func(*space.Product) {
	r, family := space.Prefix(netip.MustParsePrefix(prefix))
	return func(p *space.Product) {
		p[f] = f.Of(r)
		p[space.Family] = space.Family.Values(family)
	}
}

func src(prefix string) func(*space.Product) { return addresses(space.Src, prefix) }
func dst(prefix string) func(*space.Product) { return addresses(space.Dst, prefix) }

func kind(k uint64) func(*space.Product) {
	return func(p *space.Product) { p[space.Kind] = space.Kind.Values(k) }
}

func service(k, loPort, hiPort uint64) func(*space.Product) {
	return func(p *space.Product) {
		p[space.Kind], p[space.DstPort] = space.Kind.Values(k), space.DstPort.Between(loPort, hiPort)
	}
}

func field(f space.Field, s space.Set) func(*space.Product) {
	return func(p *space.Product) { p[f] = s }
}

var anyIP = field(space.Family, space.Family.Values(4, 6))

// rule makes a rule of one product; line is its place in rules.hcl.
func rule(name string, line int, v analyze.Verdict, conditions ...func(*space.Product)) analyze.Rule {
	var p space.Product
	for _, c := range conditions {
		c(&p)
	}
	return analyze.Rule{Name: "acme/" + name, At: at("rules.hcl", line), Verdict: v, Products: []space.Product{p}}
}

// tenant makes a list for packets of the plain layout.
func tenant(def analyze.Verdict, rules ...analyze.Rule) analyze.List {
	plain := space.Product{}.With(space.Context, space.Context.Between(0x1000, 0x1fff)).
		With(space.Datapath, space.Datapath.Values(space.NoDatapath))
	return analyze.List{Tenant: "acme", Contexts: []space.Product{plain}, Rules: rules, Default: def}
}
