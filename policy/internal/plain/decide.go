package plain

// Interpreter decides by a policy.
type Interpreter struct {
	policy  *Policy
	buckets map[*Rule]*bucket
}

// New returns an interpreter with full buckets.
func New(p *Policy) *Interpreter { return &Interpreter{p, make(map[*Rule]*bucket)} }

// Decide decides about a packet. peek leaves limits alone, and takes them for
// full. tried are the rules that were tried, the last of which decided if the
// decision names a rule.
//
// > Rules are about the first packet of a flow and have no direction: `source` and `destination` are those of the
// > inner packet.
func (in *Interpreter) Decide(k *Packet, peek bool) (d Decision, t *Tenant, tried []*Rule) {
	p := in.policy
	// > 1. **The tenant.** The frame's context ID names it: the most specific claim wins
	t = p.tenant(k.Context)
	if t == nil {
		// > Where nobody claims the ID,
		// > `settings.default_action` decides (`context_unknown` if that is no accept).
		// > Nothing is answered for a context ID that no tenant claims: reject is a drop there.
		if p.defaultAction() == "accept" {
			d.Action = "accept"
		} else {
			d.Action, d.Reason = "drop", "context_unknown"
		}
		return d, nil, nil
	}
	d.Tenant = t.Name
	// > An ID of an OVN tenant whose 9 top bits
	// > are not 0 is dropped (`context_reserved`), whatever the mode.
	if t.OVN && k.Context>>55 != 0 {
		d.Action, d.Reason = "drop", "context_reserved"
		return d, t, nil
	}
	// > 2. **The endpoint.** A frame whose outer source is not among the tenant's `endpoints` is dropped (`tenant_endpoint`), and
	if t.Endpoints != nil && !inRanges(t.Endpoints, k.From) {
		d.deny("drop", "tenant_endpoint", t.Audit)
		if d.Action != "accept" {
			return d, t, nil
		}
	}
	// > so is one whose inner source may not come from there ([anti-spoofing](#anti-spoofing)).
	if t.spoofed(k) {
		d.deny("drop", "binding_declared", t.Audit)
		if d.Action != "accept" {
			return d, t, nil
		}
	}
	// > 4. **The rules**, for all other packets: those of `before_tenants`; then ARP and IPv6 neighbour discovery (ICMPv6 types
	// > 133 to 137, but no fragments of them) pass, unless the tenant says `neighbor_discovery = "rules"`; then the tenant's
	// > rules; then those of `after_tenants`. The first that matches decides.
	for _, r := range p.Before {
		tried = append(tried, r)
		if in.decidesBy(r, t, k, peek, &d) {
			return d, t, tried
		}
	}
	if !t.NeighborsByRule && isNeighborDiscovery(k) {
		d.Action, d.Neighbor, d.Stateless = "accept", true, true
		return d, t, tried
	}
	for _, list := range [][]*Rule{t.Rules, p.After} {
		for _, r := range list {
			tried = append(tried, r)
			if in.decidesBy(r, t, k, peek, &d) {
				return d, t, tried
			}
		}
	}
	// > the first matching rule that names `"later"` in `fragment` decides it. Where there is
	// > none, not even a default decides it: it follows its first fragment.
	// > One whose first fragment is not known is dropped
	// > (`fragment_first_missing`)
	if k.Fragment == "later" {
		d.deny("drop", "fragment_first_missing", t.Audit)
		return d, t, tried
	}
	// > 5. **The default** of the tenant, or of `settings`, where none matches (`tenant_default`).
	action := t.DefaultAction
	if action == "" {
		action = p.defaultAction()
	}
	if action == "accept" {
		d.Action = "accept"
	} else {
		d.deny(action, "tenant_default", t.Audit)
	}
	return d, t, tried
}

// > | `default_action` | "accept", "drop" or "reject" | "drop" |
func (p *Policy) defaultAction() string {
	if p.DefaultAction == "" {
		return "drop"
	}
	return p.DefaultAction
}

// deny makes the decision a drop or reject.
//
// > With `mode = "audit"` what the policy would drop passes, counted and logged as "would be dropped": by its
// > rules, its default, its state, its limits, its endpoints and its bindings.
// > Of several such reasons the first is named; what is dropped in spite of the mode has its own.
func (d *Decision) deny(action, why string, audit bool) {
	if !audit {
		d.Action, d.Reason = action, why
		d.Audit, d.WouldBe, d.Would = false, "", ""
		return
	}
	d.Action = "accept"
	if !d.Audit {
		d.Audit, d.WouldBe, d.Would = true, action, why
	}
}

// decidesBy tries a rule.
func (in *Interpreter) decidesBy(r *Rule, t *Tenant, k *Packet, peek bool, d *Decision) bool {
	if !r.matches(t, k) {
		return false
	}
	// > A stateful rule takes one for each flow
	// > that it would begin, a stateless one, and one that drops or rejects, for each packet.
	takes := r.Limit != nil && (r.Stateless || r.Action != "accept" || !k.BeginsNothing)
	within := !takes || peek || in.take(r, k.Now)
	// > Without a token the rule does not match, and the next is tried; with `over = "drop"` it drops
	// > (`rate_limit`).
	if !within && !r.Limit.Drop {
		return false
	}
	d.Rule, d.Log, d.Stateless, d.Set = r.FullName(), r.Log, r.Stateless, r.Set
	// > A
	// > rule's `mode` goes before the tenant's; rules for all tenants follow the tenant's mode where they have none.
	audit := r.Mode == "audit" || r.Mode == "" && t.Audit
	switch {
	case !within:
		d.deny("drop", "rate_limit", audit)
	case r.Action == "accept":
		d.Action = "accept"
	case r.Action == "drop":
		d.deny("drop", "rule_drop", audit)
	default:
		d.deny("reject", "rule_reject", audit)
	}
	return true
}

// tenant returns who has the most specific claim on a context ID; nil: nobody.
func (p *Policy) tenant(id uint64) *Tenant {
	var owner *Tenant
	var smallest uint64 // one less than how many IDs the claim has
	for _, t := range p.Tenants {
		for _, c := range t.Claims {
			// > A claim may lie inside another one, of the same or another tenant: the inner one wins.
			if c.Lo <= id && id <= c.Hi && (owner == nil || c.Hi-c.Lo < smallest) {
				owner, smallest = t, c.Hi-c.Lo
			}
		}
	}
	// > of `context_ids` first; a datapath is
	// > less specific than a claim of up to 2,147,483,648 IDs and more specific than a larger one.
	if owner != nil && smallest <= 2147483648-1 {
		return owner
	}
	for _, t := range p.Tenants {
		for _, n := range t.Datapaths {
			if d := datapath(id); n.Lo <= d && d <= n.Hi {
				return t
			}
		}
	}
	return owner
}

// > OVN packs 9 zero bits, ingress port (15 bits), egress port (16) and datapath (24) into them
func ingressPort(id uint64) uint64 { return id << 9 >> 9 >> 40 }
func egressPort(id uint64) uint64  { return id << 24 >> 24 >> 24 }
func datapath(id uint64) uint64    { return id % (1 << 24) }

// > ARP and IPv6 neighbour discovery (ICMPv6 types
// > 133 to 137, but no fragments of them)
func isNeighborDiscovery(k *Packet) bool {
	if k.EtherType == 0x0806 {
		return true
	}
	return k.IP == 6 && k.Protocol == 58 && k.HasICMP && 133 <= k.Type && k.Type <= 137 && k.Fragment == "whole"
}

// Conflicts says whether claims make the file a mistake.
//
// > Claims that are equal, or that
// > overlap and are not one inside the other, are a mistake.
// > A datapath of `datapaths` is claimed once.
func (p *Policy) Conflicts() bool {
	var claims []Claim
	var datapaths []Number
	for _, t := range p.Tenants {
		for _, c := range t.Claims {
			for _, o := range claims {
				if c.conflicts(o) {
					return true
				}
			}
			claims = append(claims, c)
		}
		for _, d := range t.Datapaths {
			for _, o := range datapaths {
				if d.Lo <= o.Hi && o.Lo <= d.Hi {
					return true
				}
			}
			datapaths = append(datapaths, d)
		}
	}
	return false
}

func (c Claim) conflicts(o Claim) bool {
	overlap := c.Lo <= o.Hi && o.Lo <= c.Hi
	inside := o.Lo <= c.Lo && c.Hi <= o.Hi
	around := c.Lo <= o.Lo && o.Hi <= c.Hi
	return overlap && inside == around
}
