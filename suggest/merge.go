package suggest

import (
	"cmp"
	"net/netip"
	"slices"
	"strings"
)

// inline is how many entries an address or port list has without a name.
const inline = 4

// draft is a rule in the making: all of its servers have all of its services.
type draft struct {
	servers  set
	services []Match // sorted
	clients  set
	uses     []*use
	flows    int
	cover    []Range // CIDRs that stand for many clients
	rest     set     // clients outside of them
}

// drafts makes one draft for each part and service.
func drafts(parts []*part, exact bool) []*draft {
	var out []*draft
	for _, p := range parts {
		byService := map[Match]*draft{}
		for _, u := range p.uses {
			d := byService[u.service]
			if d == nil {
				d = &draft{services: []Match{u.service}}
				byService[u.service] = d
				out = append(out, d)
			}
			d.servers = append(d.servers, u.dst)
			d.clients = append(d.clients, u.clients...)
			d.uses = append(d.uses, u)
			d.flows += len(u.flows)
		}
	}
	for _, d := range out {
		d.servers, d.clients = d.servers.union(nil), d.clients.union(nil)
		d.spread(exact)
	}
	return out
}

// spread finds the CIDRs for the clients.
func (d *draft) spread(exact bool) {
	d.cover, d.rest = nil, d.clients
	if !exact {
		d.cover = d.clients.subnets()
		d.rest = d.clients.without(func(a netip.Addr) bool { return contains(d.cover, a) })
	}
}

// serviceKey is a string that no other list of services has.
func (d *draft) serviceKey() string {
	var b strings.Builder
	for _, m := range d.services {
		b.WriteString(m.String() + " ")
	}
	return b.String()
}

// coverKey is a string that only drafts with the same sources have.
func (d *draft) coverKey() string {
	var b strings.Builder
	for _, r := range d.cover {
		b.WriteString(r.String() + " ")
	}
	return b.String() + d.rest.key()
}

// alike reports whether the clients of two drafts are as good as the same: half
// of them are, or those of one are in the few CIDRs of the other.
func alike(a, b *draft) bool {
	if 2*a.clients.common(b.clients) >= max(len(a.clients), len(b.clients)) {
		return true
	}
	return a.within(b) || b.within(a)
}

func (d *draft) within(o *draft) bool {
	return len(o.cover) > 0 && len(o.cover) <= inline && len(o.rest) == 0 &&
		!slices.ContainsFunc(d.clients, func(a netip.Addr) bool { return !contains(o.cover, a) })
}

// take makes one draft of two. They have the same servers or the same services.
func (d *draft) take(o *draft, exact bool) {
	d.servers = d.servers.union(o.servers)
	d.services = append(d.services, o.services...)
	slices.SortFunc(d.services, compareMatches)
	d.services = slices.Compact(d.services)
	d.clients = d.clients.union(o.clients)
	d.uses = append(d.uses, o.uses...)
	d.flows += o.flows
	d.spread(exact)
}

// merged makes fewer drafts, until there is nothing left to merge: those for the
// same services with the same clients, or among the same hosts; those for the
// same servers with clients that are alike; and those for the same services in
// IPv4 and IPv6.
func merged(ds []*draft, exact bool) []*draft {
	for {
		before := len(ds)
		ds = mergeBy(ds, exact, func(d *draft) string { return d.serviceKey() + "\n" + d.coverKey() }, always)
		ds = mergeBy(ds, exact, func(d *draft) string { return d.serviceKey() + "\n" + d.clients.union(d.servers).key() }, always)
		ds = mergeBy(ds, exact, func(d *draft) string { return d.servers.key() }, alike)
		ds = bothFamilies(ds, exact)
		if len(ds) == before {
			return ds
		}
	}
}

func always(_, _ *draft) bool { return true }

// bothFamilies merges the one draft for some services in IPv4 with the one in
// IPv6. The families never meet, so nothing more is accepted.
func bothFamilies(ds []*draft, exact bool) []*draft {
	count := map[string][2]int{}
	for _, d := range ds {
		n := count[d.serviceKey()]
		if d.servers[0].Is4() {
			n[0]++
		}
		if !d.servers[len(d.servers)-1].Is4() { // IPv4 sorts in front
			n[1]++
		}
		count[d.serviceKey()] = n
	}
	return mergeBy(ds, exact, (*draft).serviceKey, func(a, b *draft) bool {
		return count[a.serviceKey()] == [2]int{1, 1}
	})
}

// mergeBy merges drafts that have the same key where may allows it, the most
// used first.
func mergeBy(ds []*draft, exact bool, key func(*draft) string, may func(a, b *draft) bool) []*draft {
	ds = slices.Clone(ds)
	sortDrafts(ds)
	byKey := map[string][]*draft{}
	var out []*draft
next:
	for _, d := range ds {
		k := key(d)
		for _, o := range byKey[k] {
			if may(o, d) {
				o.take(d, exact)
				continue next
			}
		}
		byKey[k] = append(byKey[k], d)
		out = append(out, d)
	}
	return out
}

// sortDrafts puts the most used first.
func sortDrafts(ds []*draft) {
	slices.SortStableFunc(ds, func(a, b *draft) int {
		if c := cmp.Compare(b.flows, a.flows); c != 0 {
			return c
		}
		if c := slices.CompareFunc(a.servers, b.servers, netip.Addr.Compare); c != 0 {
			return c
		}
		return slices.CompareFunc(a.services, b.services, compareMatches)
	})
}

// atMost merges beyond what is readable, and returns what there is no room for.
func atMost(ds []*draft, n int, exact bool) (kept, over []*draft) {
	if len(ds) > n {
		ds = mergeBy(ds, exact, func(d *draft) string { return d.servers.key() }, always)
	}
	if len(ds) > n {
		ds = mergeBy(ds, exact, (*draft).serviceKey, always)
	}
	sortDrafts(ds)
	if len(ds) <= n {
		return ds, nil
	}
	return ds[:n], ds[n:]
}
