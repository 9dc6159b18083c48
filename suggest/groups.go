package suggest

import (
	"cmp"
	"net/netip"
	"slices"

	"sttwall/inspect"
)

// minGroup is from how many servers on they get an address group.
const minGroup = 2

// nameServers gives a group to each part that some rule is for as a whole, or
// from as a whole, and to hosts that only use each other.
func (w *workshop) nameServers(parts []*part, ds []*draft) {
	for _, p := range parts {
		if g := w.groupOf(p.servers); g != nil {
			g.hosts = p.servers // one of the file: it may be a part of lists from now on
			continue
		}
		if len(p.servers) < minGroup || !slices.ContainsFunc(ds, func(d *draft) bool {
			return d.servers.common(p.servers) == len(p.servers) || slices.Equal(d.clients, p.servers)
		}) {
			continue
		}
		main := mainOf(p.uses)
		suffix := "-servers"
		switch {
		case main.HasICMP:
			suffix = "-targets"
		case peers(p, main):
			suffix = "-peers"
		}
		w.group(main.label()+suffix, p.servers)
	}
	for _, d := range ds {
		if slices.Equal(d.servers, d.clients) && len(d.servers) >= minGroup && w.groupOf(d.servers) == nil {
			w.group(mainOf(d.uses).label()+"-peers", d.servers)
		}
	}
	slices.SortStableFunc(w.out.groups, func(a, b group) int {
		return cmp.Or(cmp.Compare(len(b.hosts), len(a.hosts)), cmp.Compare(a.name, b.name))
	})
}

// groupOf returns the group of just these hosts; nil if there is none.
func (w *workshop) groupOf(s set) *group {
	whole := joined(s.runs())
	for i := range w.out.groups {
		if g := &w.out.groups[i]; w.mine(g) && slices.Equal(g.whole, whole) {
			return g
		}
	}
	return nil
}

// mine reports whether the tenant's rules may use the group: not those that were
// made for another tenant.
func (w *workshop) mine(g *group) bool { return g.exists || g.of == w.tenant }

// peers reports whether the servers of a part are their own clients, all of them
// and nobody else.
func peers(p *part, main Match) bool {
	for _, u := range p.uses {
		if u.service == main && u.clients.common(p.servers) < len(u.clients) {
			return false
		}
	}
	return true
}

// group makes a new group.
func (w *workshop) group(name string, s set) string {
	if w.several {
		name = w.tenant.name + "-" + name
	}
	candidates := []string{name}
	if !slices.ContainsFunc(s, netip.Addr.Is4) {
		candidates = append(candidates, name+"-v6")
	}
	g := group{name: w.names.fresh(candidates...), ranges: s.runs(), whole: joined(s.runs()), hosts: s, of: w.tenant}
	w.out.groups = append(w.out.groups, g)
	return g.name
}

// list writes addresses as groups that lie in them whole, and what is left: few
// entries as they are, more under a name of their own.
func (w *workshop) list(s set, wide []Range, name string) list {
	whole := joined(slices.Concat(s.runs(), wide))
	for i := range w.out.groups {
		if g := &w.out.groups[i]; g.exists && slices.Equal(g.whole, whole) {
			return list{groups: []string{g.name}}
		}
	}
	out := list{ranges: slices.Clone(wide)}
	for i := range w.out.groups {
		g := &w.out.groups[i]
		if n := len(g.hosts); w.mine(g) && n > 0 && n <= len(s) && g.hosts.common(s) == n {
			g.used = true
			out.groups = append(out.groups, g.name)
			s = s.without(g.hosts.has)
		}
	}
	if runs := s.runs(); len(runs)+len(wide) <= inline {
		out.ranges = append(out.ranges, runs...)
	} else if len(runs) > 0 {
		out.groups = append(out.groups, w.group(name, s))
		w.out.groups[len(w.out.groups)-1].used = true
	}
	slices.Sort(out.groups)
	slices.SortFunc(out.ranges, compareRanges)
	return out
}

// services writes a list of services: runs of ports as ranges, known ports by
// name, and many ports under a name of their own.
func (w *workshop) services(all []Match, rule string) []entry {
	var out []entry
	unnamed := map[uint8][]Match{}
	for _, m := range runs(all) {
		name := ""
		if m.HasPorts {
			name = w.service(m)
		}
		switch {
		case name != "":
			out = append(out, entry{service: name})
		case m.HasPorts:
			unnamed[m.Protocol] = append(unnamed[m.Protocol], m)
		default:
			out = append(out, entry{match: m})
		}
	}
	for _, protocol := range []uint8{inspect.ProtocolTCP, inspect.ProtocolUDP, inspect.ProtocolSCTP} {
		ports := unnamed[protocol]
		if len(ports) > inline {
			name := w.names.fresh(rule+"-ports", rule+"-"+protocolName(protocol)+"-ports")
			w.out.services = append(w.out.services, service{name: name, matches: ports})
			out = append(out, entry{service: name})
			continue
		}
		for _, m := range ports {
			out = append(out, entry{match: m})
		}
	}
	slices.SortFunc(out, func(a, b entry) int {
		if (a.service == "") != (b.service == "") {
			return -cmp.Compare(a.service, b.service) // names in front
		}
		return cmp.Or(cmp.Compare(a.service, b.service), compareMatches(a.match, b.match))
	})
	return out
}

// service returns the name of a service for known ports, or of one that the file
// has for these; "" if there is none, or the name is another one's.
func (w *workshop) service(m Match) string {
	for _, s := range w.out.services {
		if len(s.matches) == 1 && s.matches[0] == m {
			return s.name
		}
	}
	k, ok := m.known()
	if !ok || w.names[k.name] || w.options.one {
		return ""
	}
	w.names[k.name] = true
	w.out.services = append(w.out.services, service{name: k.name, matches: []Match{m}})
	return k.name
}

// runs makes ranges of consecutive ports, and of ranges that meet. all is sorted.
func runs(all []Match) []Match {
	var out []Match
	for i := 0; i < len(all); {
		n, last := 1, all[i].Last
		for i+n < len(all) && all[i].HasPorts && all[i+n].HasPorts && all[i+n].Protocol == all[i].Protocol && uint32(all[i+n].First) <= uint32(last)+1 {
			last = max(last, all[i+n].Last)
			n++
		}
		if uint32(last)-uint32(all[i].First) < shortestRun-1 {
			n, last = 1, all[i].Last
		}
		m := all[i]
		m.Last = last
		out = append(out, m)
		i += n
	}
	return out
}
