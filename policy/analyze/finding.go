package analyze

import "github.com/hashicorp/hcl/v2"

// Kind is what a finding is about.
type Kind uint8

// The kinds of findings.
const (
	Shadowed    Kind = iota // earlier rules take everything that the rule matches
	Impossible              // no packet can match
	Redundant               // without the rule the same would happen
	AcceptAll               // the rule accepts every IP packet
	Crossing                // the order with a rule of another action matters; a note
	NotAnalyzed             // the budget was spent; a note
	GatewayBFD              // what OVN's gateways watch each other with is dropped
	GatewayNote             // a tenant drops BFD and VRRP; a note
)

// String returns the kind's name, for machines.
func (k Kind) String() string {
	switch k {
	case Shadowed:
		return "shadowed"
	case Impossible:
		return "impossible"
	case Redundant:
		return "redundant"
	case AcceptAll:
		return "accept_all"
	case Crossing:
		return "crossing"
	case NotAnalyzed:
		return "not_analyzed"
	case GatewayBFD:
		return "gateway_bfd"
	case GatewayNote:
		return "gateway_note"
	}
	return "unknown"
}

// Note reports whether the kind is for information and no reason to change
// anything.
func (k Kind) Note() bool { return k == Crossing || k == NotAnalyzed || k == GatewayNote }

// Finding is one result of [Lint], or of [policy.Policy.Lint].
type Finding struct {
	Kind    Kind
	Rule    string    // "tenant/rule"; "" if it is about no single rule
	At      hcl.Range // of the rule, or of the tenant
	Message string    // one or two sentences for the operator
	Others  []Ref     // the other rules that Message names, in the order of the file
}
