package firewall

import (
	"sttwall/binding"
	"sttwall/policy"
	"sttwall/reason"
)

// bindingScratch is what is known of the bindings of the frame at hand.
type bindingScratch struct {
	// learning is the tenant's anti_spoof if the frame teaches something should it
	// be accepted.
	learning *policy.AntiSpoof
	found    [binding.MaxClaims]binding.Found // by claim, if it is to be learned
	// mayMove: the frame's source address is behind its outer source now, so that a
	// flow may follow it there.
	mayMove bool
	moves   [binding.MaxClaims]binding.Move
}

// admitSource checks whether the tenant's frames may come from where this one came,
// and what it claims may: what was declared ([policy.Policy.Admit]) and what was
// learned. Nothing is learned yet: a frame that is dropped in the end must teach
// nothing, or anybody could bind what is not theirs. false is returned where the
// frame is dropped.
func (f *Firewall) admitSource(now int64, p *policy.Policy, d *policy.Decision) bool {
	b := &f.bindingScratch
	b.mayMove = false
	admitted := p.Admit(&f.packet, d)
	t := p.Tenant(d.TenantIndex)
	if t.AntiSpoof == nil || d.Reason == reason.TenantEndpoint {
		return admitted
	}
	o := &f.packet.Origins
	if o.Spoofed >= 0 {
		f.event.Spoofed = o.Claims.All()[o.Spoofed]
	}
	if !admitted {
		return false
	}
	claims := o.Claims.All()
	for i := range claims {
		c := &claims[i]
		here := o.Declared&(1<<i) != 0
		if o.Learned&(1<<i) != 0 {
			g := f.sighting(t.AntiSpoof, d.TenantIndex, c)
			b.found[i] = f.shared.bindings.Check(now, &g)
			switch b.found[i].Standing {
			case binding.Elsewhere:
				// Where only somebody asks, and names no endpoint, it is the right one.
				if o.Spoofed < 0 && (f.peek == nil || !f.peek.anyEndpoint) {
					o.Spoofed = int8(i)
					f.event.Spoofed, f.event.SpoofedAt = *c, b.found[i].Endpoint
					d.Refuse(policy.Drop, reason.BindingLearned, t.Audit)
				}
			case binding.Here, binding.Moves:
				here = true
			}
		}
		if here && c.Kind() == binding.Address {
			b.mayMove = true // packets of flows claim one address, their source
		}
	}
	if o.Spoofed >= 0 {
		b.mayMove = false
		return d.Action == policy.Accept
	}
	// In audit mode a frame that came from where its tenant may not be passes, but
	// teaches what no enforcing tenant would learn.
	if o.Learned != 0 && !d.Audit {
		b.learning = t.AntiSpoof
	}
	return true
}

// commitBindings takes what an accepted frame teaches, and tells whether its flow
// has followed its sender to another endpoint.
func (f *Firewall) commitBindings(now int64) {
	e, b, o := &f.event, &f.bindingScratch, &f.packet.Origins
	if from := f.result.MovedFrom; from.IsValid() {
		e.FlowMovedFrom = from
		f.counts.flowsMoved++
	}
	if b.learning == nil {
		return
	}
	claims, moved := o.Claims.All(), 0
	for i := range claims {
		if o.Learned&(1<<i) == 0 {
			continue
		}
		g := f.sighting(b.learning, e.Decision.TenantIndex, &claims[i])
		if f.shared.bindings.Commit(now, &g, b.found[i], &b.moves[moved]) {
			moved++
		}
	}
	if e.Moves = b.moves[:moved]; moved > 0 {
		f.counts.bindingsMoved += uint64(moved)
	}
}

func (f *Firewall) sighting(a *policy.AntiSpoof, tenant int32, c *binding.Claim) binding.Sighting {
	return binding.Sighting{
		Tenant: f.standing.tenants[tenant], Claim: c, From: f.event.Src, Announces: f.packet.Origins.Claims.Announces,
		Expiry: int64(a.Expiry), MoveAfter: int64(a.MoveAfter),
	}
}

// SweepBindings shows every learned binding and the name of its tenant to visit,
// which may not call the table; see [binding.Table.Sweep].
func (s *Shared) SweepBindings(now int64, visit func(tenant string, b *binding.Binding)) {
	s.mu.Lock()
	names := make(map[int32]string, len(s.tenants))
	for name, id := range s.tenants {
		names[id] = name
	}
	s.mu.Unlock()
	s.bindings.Sweep(now, func(b *binding.Binding) { visit(names[b.Tenant], b) })
}
