package suggest

import (
	"cmp"
	"net/netip"
	"slices"
	"strings"
)

const (
	// inline is how many entries an address or port list has without a name.
	inline = 4
	// publicEntries is how many CIDRs and addresses may stand for the clients of
	// a rule; with more it is for any.
	publicEntries = 256
	// compared bounds with how many others something is compared, passes how often
	// all is looked through for something to merge: what that leaves unmerged
	// nobody wants to read anyway.
	compared = 64
	passes   = 16
)

// draft is a rule in the making: all of its servers have all of its services.
type draft struct {
	servers  set
	services []Match // sorted
	clients  set
	uses     []*use
	flows    int
	cover    []Range // CIDRs that stand for many clients
	rest     set     // clients outside of them
	any      bool    // they are so many that all may
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
	d.cover, d.rest, d.any = nil, d.clients, false
	if exact {
		return
	}
	d.cover = d.clients.subnets()
	d.rest = d.clients.without(func(a netip.Addr) bool { return contains(d.cover, a) })
	if len(d.cover)+len(d.rest) > publicEntries {
		d.cover, d.rest, d.any = nil, nil, true
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
	if d.any {
		b.WriteString("any")
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
	return o.any || len(o.cover) > 0 && len(o.cover) <= inline && len(o.rest) == 0 &&
		!slices.ContainsFunc(d.clients, func(a netip.Addr) bool { return !contains(o.cover, a) })
}

// take makes one draft of several. They have the same servers or the same
// services.
func (d *draft) take(exact bool, others ...*draft) {
	for _, o := range others {
		d.servers = append(d.servers, o.servers...)
		d.services = append(d.services, o.services...)
		d.clients = append(d.clients, o.clients...)
		d.uses = append(d.uses, o.uses...)
		d.flows += o.flows
	}
	d.servers, d.clients = d.servers.union(nil), d.clients.union(nil)
	slices.SortFunc(d.services, compareMatches)
	d.services = slices.Compact(d.services)
	d.spread(exact)
}

// merged makes fewer drafts, until there is nothing left to merge: those for the
// same services with the same clients, or among the same hosts; those for the
// same servers with clients that are alike; and those for the same services in
// IPv4 and IPv6.
func merged(ds []*draft, exact bool) []*draft {
	for range passes {
		before := len(ds)
		ds = mergeBy(ds, exact, func(d *draft) string { return d.serviceKey() + "\n" + d.coverKey() }, nil)
		ds = mergeBy(ds, exact, func(d *draft) string { return d.serviceKey() + "\n" + d.clients.union(d.servers).key() }, nil)
		ds = mergeBy(ds, exact, func(d *draft) string { return d.servers.key() }, alike)
		ds = bothFamilies(ds, exact)
		if len(ds) == before {
			break
		}
	}
	return ds
}

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

// mergeBy merges drafts that have the same key, where may allows it if it is not
// nil, the most used first.
func mergeBy(ds []*draft, exact bool, key func(*draft) string, may func(a, b *draft) bool) []*draft {
	ds = slices.Clone(ds)
	sortDrafts(ds)
	byKey := map[string][]*draft{} // what stays
	into := map[*draft][]*draft{}  // and what it takes, if may does not look
	var out []*draft
	for _, d := range ds {
		k := key(d)
		same := byKey[k]
		same = same[:min(len(same), compared)]
		i := slices.IndexFunc(same, func(o *draft) bool { return may == nil || may(o, d) })
		switch {
		case i < 0:
			byKey[k] = append(byKey[k], d)
			out = append(out, d)
		case may == nil:
			into[same[i]] = append(into[same[i]], d)
		default:
			same[i].take(exact, d)
		}
	}
	for d, others := range into {
		d.take(exact, others...)
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
		ds = mergeBy(ds, exact, func(d *draft) string { return d.servers.key() }, nil)
	}
	if len(ds) > n {
		ds = mergeBy(ds, exact, (*draft).serviceKey, nil)
	}
	sortDrafts(ds)
	if len(ds) <= n {
		return ds, nil
	}
	return ds[:n], ds[n:]
}
