package suggest

import (
	"cmp"
	"net/netip"
	"slices"

	"sttwall/policy"
)

// Options say how rules are made. The zero value is good.
type Options struct {
	// MaxRules bounds the rules of a tenant; 0 means 100. Where it does not
	// suffice, rules for the same servers are merged, then those for the same
	// services; what is still over it is set apart, the least used first.
	MaxRules int
	// Exact: single addresses and ports instead of the CIDRs and ranges around
	// them.
	Exact bool
	// Tenant, if not "", is the only one for which there is to be a suggestion:
	// one of the policy, or "context-100" and the like.
	Tenant string
	// Policy, if not nil, is the rules that are there: what it accepts is left
	// out, its groups and services are used where they fit, its names are not
	// used twice, and the rules for its tenants are written without a block, to
	// be pasted into theirs.
	Policy *policy.Policy
	// Endpoints, if not empty, are written as settings.endpoints where there is
	// no Policy.
	Endpoints []netip.Addr
	// Neighbors are networks that no tenant has and in which ARP or neighbour
	// discovery was seen: they get a tenant even where there is no rule for it. OVN
	// is how their context IDs are read.
	Neighbors []uint64
	OVN       bool

	// one: there is to be one rule and nothing beside it, also for what the policy
	// accepts.
	one bool
}

// Suggestion is what Suggest found.
type Suggestion struct {
	// Rules is how many there are, Covered how many flows needed none because
	// the policy accepts them already, Apart how many got none.
	Rules, Covered, Apart int

	endpoints []netip.Addr
	existing  bool // there is a policy
	groups    []group
	services  []service
	tenants   []*tenant
}

// group is an address group.
type group struct {
	name   string
	ranges []Range
	whole  []Range // the same, joined as far as it goes
	hosts  set     // the same, for being a part of lists; nil: only the whole of one
	exists bool    // in the file
	of     *tenant
	used   bool
}

// service is a named service.
type service struct {
	name    string
	matches []Match // of one protocol, with ports
	exists  bool
}

// tenant is the rules for one tenant.
type tenant struct {
	name     string
	known    bool // it has a block already
	quiet    bool // neighbour discovery was seen, which passes only if there is a tenant
	ovn      bool
	networks []uint64
	flows    int
	rules    []rule
	apart    []string
}

// rule is a rule that accepts.
type rule struct {
	name                string
	source, destination list
	services            []entry
	flows               int
	from, to            int // addresses seen
	guessed             int // flows
}

// list is a source or destination list. All empty means any.
type list struct {
	groups []string
	ranges []Range
}

// entry is an entry of a services list: a reference to a service, or a match.
type entry struct {
	service string // "": match
	match   Match
}

// Suggest returns rules that accept the flows. They are borrowed until it
// returns.
func Suggest(flows []Flow, o Options) *Suggestion {
	if o.MaxRules <= 0 {
		o.MaxRules = 100
	}
	out := &Suggestion{endpoints: o.Endpoints, existing: o.Policy != nil}
	b := &builder{options: &o, names: names{}, out: out}
	b.define()

	sorted := slices.SortedFunc(slices.Values(flows), compareFlows)
	of := tenantsOf(sorted)
	var order []string
	byTenant := map[string][]Flow{}
	for _, f := range sorted {
		name := of(&f)
		if o.Tenant != "" && o.Tenant != name {
			continue
		}
		if o.Policy != nil && !o.one && f.accepted(o.Policy) {
			out.Covered++
			continue
		}
		if byTenant[name] == nil {
			order = append(order, name)
		}
		byTenant[name] = append(byTenant[name], f)
	}
	b.several = len(order) > 1
	for _, name := range order {
		b.tenant(name, byTenant[name])
	}
	b.neighbors()
	out.groups = slices.DeleteFunc(out.groups, func(g group) bool { return g.exists || !g.used })
	out.services = slices.DeleteFunc(out.services, func(s service) bool { return s.exists })
	slices.SortFunc(out.groups, func(a, b group) int { return cmp.Compare(a.name, b.name) })
	slices.SortFunc(out.services, func(a, b service) int { return cmp.Compare(a.name, b.name) })
	return out
}

// tenantsOf returns a function that names the tenant of a flow. OVN datapaths
// that nobody claims are one where answers come back through another.
func tenantsOf(flows []Flow) func(*Flow) string {
	parent := map[uint64]uint64{}
	root := func(n uint64) uint64 {
		for p, ok := parent[n]; ok && p != n; p, ok = parent[n] {
			n = p
		}
		return n
	}
	for i := range flows {
		if f := &flows[i]; f.Tenant == "" && f.OVN {
			a, b := root(f.Network), root(f.Back)
			parent[max(a, b)] = min(a, b)
		}
	}
	return func(f *Flow) string {
		if f.Tenant != "" {
			return f.Tenant
		}
		n := f.Network
		if f.OVN {
			n = root(n)
		}
		return networkName(n, f.OVN)
	}
}

// builder makes a suggestion, tenant by tenant.
type builder struct {
	options *Options
	names   names
	several bool // more than one tenant
	out     *Suggestion
}

// tenant makes the rules of one tenant.
func (b *builder) tenant(name string, flows []Flow) {
	t := &tenant{name: name, known: flows[0].Tenant != "", ovn: flows[0].OVN, flows: len(flows)}
	if !t.known {
		t.name = b.names.fresh(name)
	}
	networks := map[uint64]bool{}
	for i := range flows {
		networks[flows[i].Network], networks[flows[i].Back] = true, true
	}
	for n := range networks {
		t.networks = append(t.networks, n)
	}
	slices.Sort(t.networks)
	w := &workshop{builder: b, tenant: t, flows: flows, apart: map[netip.Addr][]*apart{}, rules: b.rulesOf(t)}
	w.build(w.sort())
	t.apart = w.apartLines()
	b.out.Rules += len(t.rules)
	b.out.tenants = append(b.out.tenants, t)
}

// neighbors sees to it that networks with neighbour discovery have a tenant.
func (b *builder) neighbors() {
	of := map[uint64]*tenant{}
	for _, t := range b.out.tenants {
		for _, n := range t.networks {
			if !t.known {
				of[n] = t
			}
		}
	}
	for _, n := range b.options.Neighbors {
		name := networkName(n, b.options.OVN)
		switch t := of[n]; {
		case t != nil:
			t.quiet = true
		case b.options.Tenant == "" || b.options.Tenant == name:
			b.out.tenants = append(b.out.tenants, &tenant{name: b.names.fresh(name), ovn: b.options.OVN, networks: []uint64{n}, quiet: true})
		}
	}
}
