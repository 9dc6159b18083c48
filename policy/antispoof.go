package policy

import (
	"net/netip"
	"strings"
	"time"

	"sttwall/binding"
	"sttwall/policy/classify"
	"sttwall/reason"
)

// AntiSpoof is the anti_spoof block of a tenant: where its inner addresses, MACs
// and ports may come from.
type AntiSpoof struct {
	Expiry, MoveAfter time.Duration // of learned bindings

	learn   [binding.Kinds]bool
	within  *classify.Addresses // inner addresses that are learned; nil: any
	shared  values              // what is never learned
	routers spans               // datapaths of which ports and MACs are never learned; empty: none
	owned   values              // what is declared; the numbers are indexes into owners
	owners  []owner
	names   []string         // of the binding blocks
	sources [][]netip.Prefix // their endpoints
}

// owner is the endpoints for which some values are declared: those of all bindings
// that declare them.
type owner struct {
	endpoints *classify.Addresses
	bindings  []int32 // indexes into names
}

// Origins is what [Policy.Admit] finds out about the claims of a packet. It is
// valid if the tenant has an [AntiSpoof].
type Origins struct {
	Claims binding.Claims
	// Declared and Learned have a bit for each claim, by its index: it is declared
	// for the packet's outer source; it is to be learned.
	Declared, Learned uint8
	// Spoofed is the index of a claim that is declared for others; -1 if there is
	// none.
	Spoofed int8
}

// Learns reports whether anything is learned.
func (a *AntiSpoof) Learns() bool { return a.learn != [binding.Kinds]bool{} }

// owner returns the owner of a declared value, or nil.
func (a *AntiSpoof) owner(c *binding.Claim) *owner {
	if i := a.owned.find(c); i >= 0 {
		return &a.owners[i]
	}
	return nil
}

// learns reports whether a claim that is not declared is learned.
func (a *AntiSpoof) learns(c *binding.Claim) bool {
	if !a.learn[c.Kind()] || a.shared.find(c) >= 0 {
		return false
	}
	if c.Kind() != binding.Address {
		return len(a.routers) == 0 || !a.routers.contains(c.Network())
	}
	return a.within == nil || contains(a.within, c.Address())
}

// admitClaims compares what the packet claims with what is declared.
func (t *tenant) admitClaims(k *Packet, d *Decision) bool {
	a, o := t.AntiSpoof, &k.Origins
	origin := t.origin(k.ContextID)
	o.Claims.Read(k.Frame, &origin)
	o.Declared, o.Learned, o.Spoofed = 0, 0, -1
	claims := o.Claims.All()
	for i := range claims {
		switch owner := a.owner(&claims[i]); {
		case owner == nil:
			if a.learns(&claims[i]) {
				o.Learned |= 1 << i
			}
		case contains(owner.endpoints, k.From):
			o.Declared |= 1 << i
		case o.Spoofed < 0:
			o.Spoofed = int8(i)
		}
	}
	if o.Spoofed < 0 {
		return true
	}
	d.Refuse(Drop, reason.BindingDeclared, t.Audit)
	return d.Action == Accept
}

func (t *Tenant) origin(contextID uint64) binding.Origin {
	o := binding.Origin{Context: contextID, OVN: t.OVN}
	if t.OVN {
		o.Datapath, o.IngressPort = OVNDatapath(contextID), OVNIngress(contextID)
	}
	return o
}

// explain says of each claim that is declared for whom it is.
func (a *AntiSpoof) explain(k *Packet) (lines []string) {
	claims := k.Origins.Claims.All()
	for i := range claims {
		c := &claims[i]
		owner := a.owner(c)
		if owner == nil {
			continue
		}
		var names, endpoints []string
		for _, b := range owner.bindings {
			names = append(names, a.names[b])
			for _, p := range a.sources[b] {
				endpoints = append(endpoints, prefixText(p))
			}
		}
		verb := "and comes from there"
		switch {
		case !k.From.IsValid():
			verb = "but the packet says from nowhere (from ADDRESS): " + reason.BindingDeclared.String()
		case k.Origins.Declared&(1<<i) == 0:
			verb = "but the packet comes from " + k.From.String() + ": " + reason.BindingDeclared.String()
		}
		lines = append(lines, ClaimText(c)+" is declared for "+someOf(endpoints)+" (binding "+someOf(names)+"), "+verb)
	}
	return lines
}

// Declarations returns the names of the bindings of its tenant that declare, for others
// than its outer source, what the packet claims, and which claim that is; nil if there
// are none.
func (p *Policy) Declarations(k *Packet) (bindings []string, claim string) {
	d, found := p.Find(k.ContextID)
	if !found || p.tenants[d.TenantIndex].AntiSpoof == nil {
		return nil, ""
	}
	k.Origins.Spoofed = -1
	p.Admit(k, &d)
	if k.Origins.Spoofed < 0 {
		return nil, ""
	}
	a, c := p.tenants[d.TenantIndex].AntiSpoof, &k.Origins.Claims.All()[k.Origins.Spoofed]
	for _, b := range a.owner(c).bindings {
		bindings = append(bindings, a.names[b])
	}
	return bindings, ClaimText(c)
}

// ClaimText names what a claim is about: "inner address 10.1.16.5".
func ClaimText(c *binding.Claim) string {
	switch c.Kind() {
	case binding.Address:
		return "inner address " + c.String()
	case binding.MAC:
		return "inner MAC " + c.String()
	}
	return "OVN ingress " + c.String()
}

func prefixText(p netip.Prefix) string {
	if p.IsSingleIP() {
		return p.Addr().String()
	}
	return p.String()
}

// someOf lists a few of many.
func someOf(list []string) string {
	const most = 5
	if len(list) > most {
		list = append(list[:most:most], "...")
	}
	return strings.Join(list, ", ")
}

// declaredFor returns an endpoint for which the first declared claim is; for tests
// that name none.
func (a *AntiSpoof) declaredFor(o *binding.Claims) (netip.Addr, bool) {
	claims := o.All()
	for i := range claims {
		if owner := a.owner(&claims[i]); owner != nil {
			return a.sources[owner.bindings[0]][0].Addr(), true
		}
	}
	return netip.Addr{}, false
}
