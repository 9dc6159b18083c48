package policy

import (
	"net/netip"
	"slices"

	"sttwall/inspect"
	"sttwall/reason"
)

// Action is what a rule or a default says about a frame. The zero value drops.
type Action uint8

// The actions. Answering with a reject is not in this version: the loader
// refuses the word.
const (
	Drop Action = iota
	Accept
)

// String returns the word that the rules language has for the action.
func (a Action) String() string {
	switch a {
	case Drop:
		return "drop"
	case Accept:
		return "accept"
	}
	return "unknown"
}

// Receivers says which tunnel endpoints the canonical encoding must protect.
type Receivers uint8

// The kinds of receivers.
const (
	ReceiversAny   Receivers = iota // Linux and Windows; the default
	ReceiversLinux                  // the Linux datapath of Open vSwitch alone
)

// String returns the word that the rules language has for the receivers.
func (r Receivers) String() string {
	switch r {
	case ReceiversAny:
		return "any"
	case ReceiversLinux:
		return "linux"
	}
	return "unknown"
}

// DefaultSTTPort is the destination port of STT unless settings.stt_ports says
// otherwise (IANA; draft-davie-stt-08 section 8).
const DefaultSTTPort = 7471

// Settings is the settings block, with defaults in place of what it left out.
type Settings struct {
	STTPorts      []uint16       // destination ports of STT; never empty
	Endpoints     []netip.Prefix // outer addresses that may send STT; empty: any
	Receivers     Receivers      // whom the encoding must protect
	DefaultAction Action         // for contexts no tenant claims, and tenants without a default of their own
}

// Policy is a compiled rules file. It is made by [Load] or [LoadFile], is never
// changed afterwards, and must not be copied by dereferencing.
type Policy struct {
	settings Settings
	contexts contextMap
	tenants  []tenant
	rules    []string // "tenant/rule" by rule index
}

// tenant is one compiled tenant block.
type tenant struct {
	name          string
	defaultAction Action
	firstRule     int32 // index of its first rule in Policy.rules
	matcher       matcher
}

// Decision is what the policy says about one frame.
type Decision struct {
	Action Action
	Log    bool          // the rule that decided has log = true
	Reason reason.Reason // reason.None iff Action is Accept; else ContextUnknown, RuleDrop or TenantDefault
	Tenant string        // name of the tenant; "" if none claims the context ID
	Rule   string        // "tenant/rule"; "" if no rule matched

	TenantIndex int32 // index into Tenants(), for counters; -1 if none
	RuleIndex   int32 // index into Rules(), for counters; -1 if none
}

// Evaluate decides about frame f, which came with the given context ID. f must
// have been decoded with [reason.None]; it is borrowed until the call returns.
// The tenant is the one with the most specific claim on the context ID; its
// first matching rule decides, else its default, else settings.default_action.
// Evaluate allocates nothing and may be called from any goroutine.
func (p *Policy) Evaluate(contextID uint64, f *inspect.Frame) Decision {
	d := Decision{TenantIndex: -1, RuleIndex: -1}
	index := p.contexts.find(contextID)
	if index < 0 {
		d.Action = p.settings.DefaultAction
		d.Reason = dropReason(d.Action, reason.ContextUnknown)
		return d
	}
	t := &p.tenants[index]
	d.Tenant, d.TenantIndex = t.name, index
	matched := t.matcher.first(f)
	if matched < 0 {
		d.Action = t.defaultAction
		d.Reason = dropReason(d.Action, reason.TenantDefault)
		return d
	}
	r := &t.matcher.rules[matched]
	d.RuleIndex = t.firstRule + int32(matched)
	d.Rule = p.rules[d.RuleIndex]
	d.Action, d.Log = r.action, r.log
	d.Reason = dropReason(d.Action, reason.RuleDrop)
	return d
}

func dropReason(a Action, why reason.Reason) reason.Reason {
	if a == Accept {
		return reason.None
	}
	return why
}

// Settings returns the settings of the rules file. The slices in it are the
// policy's own and must not be changed.
func (p *Policy) Settings() Settings { return p.settings }

// Tenants returns the names of the tenants in the order of the file, the order
// of [Decision.TenantIndex]. The slice is the caller's.
func (p *Policy) Tenants() []string {
	names := make([]string, len(p.tenants))
	for i := range p.tenants {
		names[i] = p.tenants[i].name
	}
	return names
}

// Rules returns the names of all rules, "tenant/rule", in the order of the
// file, the order of [Decision.RuleIndex]. The slice is the caller's.
func (p *Policy) Rules() []string { return slices.Clone(p.rules) }
