package analyze

import (
	"fmt"
	"path/filepath"

	"github.com/hashicorp/hcl/v2"

	"sttwall/policy/space"
)

// Action is what becomes of a packet. The zero value drops.
type Action uint8

// The actions.
const (
	Drop Action = iota
	Accept
	Reject
)

// String returns the word that the rules language has for the action.
func (a Action) String() string {
	switch a {
	case Drop:
		return "drop"
	case Accept:
		return "accept"
	case Reject:
		return "reject"
	}
	return "unknown"
}

// Verdict is all that being decided by a rule means.
type Verdict struct {
	Action Action
	// Effect says in words what it means beside the action ("log, limit 10/s"),
	// in one canonical way: of two rules with equal verdicts either can decide.
	// A limit is the rule's own, so its effect names the rule.
	Effect string
}

// String returns the verdict in words.
func (v Verdict) String() string {
	if v.Effect == "" {
		return v.Action.String()
	}
	return v.Action.String() + " (" + v.Effect + ")"
}

// Rule is a rule as the set of packets that it matches.
type Rule struct {
	Name string    // "tenant/rule"
	At   hcl.Range // of the rule block
	Verdict
	Products []space.Product // it matches their union; they may overlap
	// Partial: it may match less than Products, by a condition that they do not
	// say. Condition is that in words ("mon-fri 08:00-18:00"); partial rules of
	// equal conditions match under the same circumstances. Without words a
	// condition is like no other.
	Partial   bool
	Condition string
	// Shared: the rule stands in the lists of several tenants, with the same Name
	// and At. What is found must hold in all lists that have it.
	Shared bool
	// Implicit: nobody wrote the rule, so nothing is reported about it.
	Implicit bool
}

// List is the rules that packets of one tenant are tried with, in this order:
// the first that matches decides, and Default if none does.
type List struct {
	Tenant string // "" for contexts that no tenant claims
	// Contexts are the packets that the list is for: their union. They constrain
	// [space.Context], or for the OVN layout [space.Datapath]; a tenant without
	// that layout says that its packets have none. Empty stands for all packets.
	Contexts []space.Product
	Rules    []Rule
	Default  Verdict
}

// Budget bounds the work of an analysis, so that it ends on any input. 0 stands
// for a default, which is a few seconds.
type Budget struct {
	PerRule int // steps for one question about one rule
	Total   int // steps for all
}

// Defaults of [Budget].
const (
	DefaultPerRule = 200_000
	DefaultTotal   = 20_000_000
)

func (b Budget) withDefaults() Budget {
	if b.PerRule == 0 {
		b.PerRule = DefaultPerRule
	}
	if b.Total == 0 {
		b.Total = DefaultTotal
	}
	return b
}

// ask runs a question with a part of the total.
func (b *Budget) ask(question func(*space.Budget)) {
	part := space.Budget{Steps: min(b.PerRule, b.Total)}
	given := part.Steps
	question(&part)
	b.Total -= given - max(part.Steps, 0)
}

// Ref names a rule in a text about another one.
type Ref struct {
	Name string
	At   hcl.Range // the zero Range if nobody wrote it
}

// String returns the name with file and line: "acme/web (rules.hcl:12)".
func (r Ref) String() string {
	if r.At.Filename == "" {
		return r.Name
	}
	return fmt.Sprintf("%s (%s:%d)", r.Name, filepath.Base(r.At.Filename), r.At.Start.Line)
}

func (r *Rule) ref() Ref { return Ref{r.Name, r.At} }
