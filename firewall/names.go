package firewall

import (
	"sttwall/conntrack"
	"sttwall/policy"
	"sttwall/reason"
)

// maxNamed is of how many policies the names of the rules are remembered: the one
// that holds and those before it. Flows that passed by an older one have a rule
// without a name.
const maxNamed = 16

// ruleNames are the names of a policy's rules, by index.
type ruleNames struct {
	policy          *policy.Policy // of the last one alone, so that no other is kept alive
	since           uint32         // the generation from which on it holds
	file, temporary []string       // policies of one rules file share the first
}

// remember remembers the names of what is in force now. With mu held.
func (s *Shared) remember(st *standing) {
	p := st.policy
	s.there = make([]bool, len(s.called))
	for _, id := range st.tenants {
		s.there[id] = true
	}
	next := ruleNames{policy: p, since: st.generation, temporary: p.TemporaryRules()}
	if n := len(s.named); n > 0 {
		last := &s.named[n-1]
		if last.policy.SameFile(p) {
			next.file = last.file
		}
		last.policy = nil
	}
	if next.file == nil {
		next.file = p.Rules()[:p.FileRules()]
	}
	if len(s.named) == maxNamed {
		s.named = append(s.named[:0:0], s.named[1:]...)
	}
	s.named = append(s.named, next)
}

// Passed is by what a flow passed.
type Passed struct {
	// Tenant is its name; Gone: the policy that holds now does not have it.
	Tenant string
	Gone   bool
	// Rule is "" where no rule matched and the default decided, or where the name is
	// not known any more.
	Rule string
	// Audit: it passed by audit mode alone; WouldBe and Would are what the rules said
	// without it.
	Audit   bool
	WouldBe policy.Action
	Would   reason.Reason
}

// Passed says by what a flow passed, that may have ended since.
func (s *Shared) Passed(f *conntrack.Flow) (p Passed) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if n := f.Key.Tenant; n >= 0 && int(n) < len(s.called) {
		p.Tenant, p.Gone = s.called[n], !s.there[n]
	}
	if f.Rule >= 0 {
		p.Rule = s.ruleName(f.Generation, int(f.Rule))
	}
	if f.Mark&markAudit != 0 {
		p.Audit, p.WouldBe, p.Would = true, policy.Action(f.Mark>>8), reason.Reason(f.Mark>>16)
	}
	return p
}

// ruleName returns the name that a rule had when flows of that generation passed.
func (s *Shared) ruleName(generation uint32, rule int) string {
	for i := len(s.named) - 1; i >= 0; i-- {
		n := &s.named[i]
		if int32(generation-n.since) < 0 {
			continue
		}
		switch {
		case rule < len(n.file):
			return n.file[rule]
		case rule-len(n.file) < len(n.temporary):
			return n.temporary[rule-len(n.file)]
		}
		break
	}
	return ""
}
