package suggest

import (
	"net/netip"
	"slices"
	"strings"

	"sttwall/inspect"
)

const (
	dynamicPorts = 4     // distinct ports from firstDynamic on; fewer stay single
	firstDynamic = 32768 // net.ipv4.ip_local_port_range; IANA says 49152
)

// use is one service of one server.
type use struct {
	dst     netip.Addr
	service Match
	clients set
	flows   []*Flow
}

// part is servers with the same services, of one kind: they become one group.
type part struct {
	servers set
	clients map[netip.Addr]bool // the servers' own included
	uses    []*use
}

// dynamic replaces ports that look picked at random by the range around them.
func dynamic(flows []Flow) {
	type server struct {
		dst      netip.Addr
		protocol uint8
	}
	isDynamic := func(m Match) bool {
		return m.HasPorts && m.First >= firstDynamic && m.Protocol != inspect.ProtocolSCTP
	}
	ports := map[server]map[uint16]bool{}
	for i := range flows {
		f := &flows[i]
		if s := (server{f.Dst, f.Service.Protocol}); isDynamic(f.Service) {
			if ports[s] == nil {
				ports[s] = map[uint16]bool{}
			}
			ports[s][f.Service.First] = true
		}
	}
	for i := range flows {
		f := &flows[i]
		seen := ports[server{f.Dst, f.Service.Protocol}]
		if len(seen) < dynamicPorts || !isDynamic(f.Service) {
			continue
		}
		for p := range seen {
			f.Service.First, f.Service.Last = min(f.Service.First, p), max(f.Service.Last, p)
		}
	}
}

// usesOf puts flows together by server and service, sorted.
func usesOf(flows []Flow) []*use {
	type key struct {
		dst     netip.Addr
		service Match
	}
	byKey := map[key]*use{}
	var uses []*use
	for i := range flows {
		f := &flows[i]
		k := key{f.Dst, f.Service}
		if byKey[k] == nil {
			byKey[k] = &use{dst: f.Dst, service: f.Service}
			uses = append(uses, byKey[k])
		}
		byKey[k].flows = append(byKey[k].flows, f)
	}
	for _, u := range uses {
		for _, f := range u.flows {
			u.clients = append(u.clients, f.Src)
		}
		u.clients = u.clients.union(nil)
	}
	slices.SortFunc(uses, func(a, b *use) int {
		if c := a.dst.Compare(b.dst); c != 0 {
			return c
		}
		return compareMatches(a.service, b.service)
	})
	return uses
}

// partsOf finds the kinds of servers: the same services, and clients in common.
// What is had beside a server's purpose (ssh, ping, monitoring) counts only where
// there is nothing else. Servers with more than a few clients each are taken for
// public; they need no clients in common. uses are sorted.
func partsOf(uses []*use) []*part {
	var parts []*part
	bySignature := map[string]*kind{}
	for len(uses) > 0 {
		n := 1
		for n < len(uses) && uses[n].dst == uses[0].dst {
			n++
		}
		mine := uses[:n]
		uses = uses[n:]
		if manyTo(mine[0].dst) {
			parts = append(parts, &part{servers: set{mine[0].dst}, uses: mine})
			continue
		}
		main := slices.DeleteFunc(slices.Clone(mine), func(u *use) bool { return u.service.aux() })
		if len(main) == 0 {
			main = mine
		}
		var signature strings.Builder
		clients := map[netip.Addr]bool{mine[0].dst: true}
		for _, u := range main {
			signature.WriteString(u.service.String() + " ")
			for _, c := range u.clients {
				clients[c] = true
			}
		}
		k := bySignature[signature.String()]
		if k == nil {
			k = &kind{of: map[netip.Addr][]*part{}}
			bySignature[signature.String()] = k
		}
		p, isNew := k.add(mine[0].dst, setOf(clients))
		if isNew {
			parts = append(parts, p)
		}
		p.uses = append(p.uses, mine...)
	}
	return parts
}

// kind is the parts that have the same services.
type kind struct {
	of     map[netip.Addr][]*part // by client
	public map[bool]*part         // by "is IPv4": that of servers with many clients
}

// add puts a server into the part with which it shares half of its clients, or
// half of the part's, and into a new one if there is none.
func (k *kind) add(dst netip.Addr, clients set) (p *part, isNew bool) {
	shared := map[*part]int{}
	var order []*part
	for _, c := range clients {
		for _, p := range k.of[c] {
			if shared[p] == 0 {
				order = append(order, p)
			}
			shared[p]++
		}
	}
	for _, o := range order {
		if 2*shared[o] >= min(len(clients), len(o.clients)) && (p == nil || shared[o] > shared[p]) {
			p = o
		}
	}
	public := len(clients) > manyAddresses
	if p == nil && public {
		p = k.public[dst.Is4()]
	}
	if p == nil {
		p, isNew = &part{clients: map[netip.Addr]bool{}}, true
	}
	if public && k.public[dst.Is4()] == nil {
		if k.public == nil {
			k.public = map[bool]*part{}
		}
		k.public[dst.Is4()] = p
	}
	p.servers = append(p.servers, dst) // they come sorted
	for _, c := range clients {
		if !p.clients[c] {
			p.clients[c] = true
			if len(k.of[c]) < compared {
				k.of[c] = append(k.of[c], p)
			}
		}
	}
	return p, isNew
}
