package policy

import (
	"net/netip"
	"slices"

	"sttwall/conntrack"
	"sttwall/inspect"
	"sttwall/limit"
	"sttwall/policy/classify"
	"sttwall/reason"
	"sttwall/rewrite"
)

// Action is what a rule or a default says about a frame. The zero value drops.
type Action uint8

// The actions.
const (
	Drop   Action = iota
	Accept        // let it out
	Reject        // drop it and answer the sender inside the tunnel
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

// Forward says how accepted frames leave.
type Forward uint8

// The ways to forward.
const (
	ForwardCanonical Forward = iota // as they came where that is canonical; the default
	ForwardRebuild                  // all encoded anew, with frame IDs of our own
)

// String returns the word that the rules language has for it.
func (f Forward) String() string {
	switch f {
	case ForwardCanonical:
		return "canonical"
	case ForwardRebuild:
		return "rebuild"
	}
	return "unknown"
}

// Defaults of the settings block.
const (
	// DefaultMSSFloor is the smallest MSS that a frame may ask its receiver to
	// cut inner TCP with, in bytes: what every IPv4 host must be able to take
	// (RFC 9293 section 3.7.1). Smaller ones make thousands of packets of a frame.
	DefaultMSSFloor = 536

	// DefaultSTTPort is the destination port of STT (IANA; draft-davie-stt-08
	// section 8).
	DefaultSTTPort = 7471
	// DefaultFlows is how many flows are remembered at once.
	DefaultFlows = 262144
	// DefaultBindings is how many learned bindings are remembered at once.
	DefaultBindings = 262144
)

// Settings is the settings block, with defaults in place of what it left out.
type Settings struct {
	STTPorts  []uint16       // destination ports of STT; never empty
	Endpoints []netip.Prefix // outer addresses that may send STT; empty: any
	// BoundEndpoints are those of Endpoints that must come in on an interface.
	BoundEndpoints []BoundEndpoint
	OtherTunnels   bool      // other tunnels pass between endpoints; else they are dropped
	OnlySTT        bool      // nothing else passes between endpoints
	Receivers      Receivers // whom the encoding must protect
	Forward        Forward   // how accepted frames leave
	MSSFloor       uint16    // smallest MSS that a frame may ask for, in bytes; 1 at least
	DefaultAction  Action    // for contexts no tenant claims, and tenants without a default of their own
	TCPLoose       bool      // flows may be picked up in the middle
	Flows          int       // bound on the flow table
	Bindings       int       // bound on learned bindings
	Timeouts       conntrack.Timeouts
	RejectRate     limit.Rate
	EndpointRate   limit.Rate // of packets from one outer address to the queues; zero: no limit
}

// Policy is a compiled rules file. It is made by [Load] or [LoadFile] and is
// never changed afterwards, but for the token buckets of its limits. It must
// not be copied by dereferencing.
type Policy struct {
	settings  Settings
	contexts  contextMap
	datapaths datapathMap
	tenants   []tenant
	rules     []rule         // of all lists: before, the tenants', after, temporary
	verdicts  []verdict      // of the rules, by the same index
	rates     []limit.Rate   // of the limits
	buckets   []limit.Bucket // by the same index
	windows   []*timeCondition
	tests     []Test

	before, after, first ruleList // first: temporary rules

	groups    map[string]*classify.Addresses // of the file, for temporary rules
	temporary map[string]*temporaryRule      // those in first, by name
	expiries  []int64                        // of temporary rules, sorted

	source      *source
	unused      []Unused
	definitions Definitions
	nobody      int32 // the tenant of context IDs that nobody claims, plus one; see Auditing
}

// ruleList is a run of rules that are tried in order.
type ruleList struct {
	matcher    *classify.Matcher
	start, end int32       // in Policy.rules
	later      *laterRules // nil: none
}

// any reports whether there are rules: the call is inlined, and for most frames
// three of four lists have none.
func (l *ruleList) any() bool { return l.matcher != nil }

// laterRules are those of a list that name later fragments: no others are asked
// about them.
type laterRules struct {
	matcher *classify.Matcher
	rules   []int32 // in Policy.rules
}

// Packet is what rules see of a frame. All of it is borrowed.
type Packet struct {
	ContextID uint64
	Frame     *inspect.Frame
	From, To  netip.Addr // outer source and destination; a rule about an endpoint does not match one that is not valid
	Wall      int64      // seconds since 1970 UTC, for time windows
	Now       int64      // ns on the clock of limits; see Peek
	// Peek leaves the token buckets of limits alone and takes them for full:
	// for explanations.
	Peek bool
	// BeginsNothing: the packet cannot begin a flow, so it takes no token of a
	// rule that counts flows.
	BeginsNothing bool

	// Origins is set by [Policy.Admit].
	Origins Origins

	check check // of the evaluation under way, so that it needs no memory of its own
}

// Decision is what the policy says about one frame.
type Decision struct {
	Action Action
	Log    bool          // the rule that decided has log = true
	Reason reason.Reason // reason.None iff Action is Accept
	Tenant string        // name of the tenant; "" if none claims the context ID
	Rule   string        // "tenant/rule"; "" if no rule matched

	// Audit: Action is Accept, but would be WouldBe, for the reason Would, if
	// the rule or its tenant were not in audit mode.
	Audit   bool
	WouldBe Action
	Would   reason.Reason

	// Stateless: the decision is about this packet alone, not about its flow.
	Stateless bool
	// Neighbor: accepted as neighbour discovery, without a rule.
	Neighbor bool

	TenantIndex int32 // index into Tenants(), for counters; -1 if none
	RuleIndex   int32 // index into Rules(), for counters; -1 if none
}

// Tenant is what is known of a tenant beside its rules. The pointer that
// [Policy.Tenant] returns is the policy's own and must not be changed.
type Tenant struct {
	Name          string
	OVN           bool // context IDs are in the OVN layout
	Audit         bool
	AnyEndpoint   bool // pairing = "tenant"
	TCPLoose      bool
	DefaultAction Action
	neighbors     bool // neighbour discovery passes
	sources       sourceForm
	AntiSpoof     *AntiSpoof     // nil: inner addresses may come from anywhere
	Endpoints     []netip.Prefix // outer addresses that may carry it; empty: any
	Limits        conntrack.Limits
}

// tenant is one compiled tenant block. What a packet needs of it is the first cache
// line, up to AntiSpoof; each begins one where they are many.
type tenant struct {
	rules    ruleList
	endpoint classify.Range4 // with oneSource
	Tenant
	endpoints *classify.Addresses // Tenant.Endpoints; nil: any
	at        place
	_         [56]byte // up to whole cache lines
}

// sourceForm says which outer sources a tenant has.
type sourceForm uint8

const (
	anySource  sourceForm = iota
	oneSource             // those of tenant.endpoint
	someSource            // those of tenant.endpoints
)

// setEndpoints keeps the set of the tenant's endpoints.
func (t *tenant) setEndpoints(s *classify.Addresses) {
	t.endpoints, t.sources = s, someSource
	if len(s.V4) == 1 && len(s.V6) == 0 {
		t.endpoint, t.sources = s.V4[0], oneSource
	}
}

// Settings returns the settings of the rules file. The slices in it are the
// policy's own and must not be changed.
func (p *Policy) Settings() Settings { return p.settings }

// Tenants returns the names of the tenants in the order of the file, the order
// of [Decision.TenantIndex]. The slice is the caller's.
func (p *Policy) Tenants() []string {
	names := make([]string, len(p.tenants))
	for i := range p.tenants {
		names[i] = p.tenants[i].Name
	}
	return names
}

// Tenant returns the tenant with that [Decision.TenantIndex].
func (p *Policy) Tenant(index int32) *Tenant { return &p.tenants[index].Tenant }

// Rules returns the names of all rules, "tenant/rule", in the order of
// [Decision.RuleIndex]. The slice is the caller's.
func (p *Policy) Rules() []string {
	names := make([]string, len(p.rules))
	for i := range p.rules {
		names[i] = p.rules[i].name
	}
	return names
}

// FileRules returns how many of the rules are those of the file. They come first,
// and temporary rules behind them.
func (p *Policy) FileRules() int { return int(p.first.start) }

// TemporaryRules returns the names of the rules behind those of the file. The slice
// is the caller's.
func (p *Policy) TemporaryRules() []string {
	var names []string
	for i := range p.rules[p.first.start:] {
		names = append(names, p.rules[int(p.first.start)+i].name)
	}
	return names
}

// SameFile reports whether the policies are of one load of a rules file: they
// differ in their temporary rules, and in nothing that has an index.
func (p *Policy) SameFile(o *Policy) bool {
	return p.source == o.source && len(p.tenants) == len(o.tenants) && p.first.start == o.first.start
}

// RuleName returns "tenant/rule" of the rule with that [Decision.RuleIndex].
func (p *Policy) RuleName(rule int32) string { return p.verdicts[rule].name }

// Set returns what the rule with that index changes in an accepted packet; nil
// for none.
func (p *Policy) Set(rule int32) *rewrite.Set {
	if rule < 0 {
		return nil
	}
	return p.verdicts[rule].set
}

// Tests returns the test blocks of the file. The slice is the policy's own.
func (p *Policy) Tests() []Test { return p.tests }

// WindowsAt returns a number that is another one when other time windows are
// open, or temporary rules have expired: what was decided before has to be judged
// again then. 0 without any.
func (p *Policy) WindowsAt(wall int64) uint64 {
	var state uint64
	for i, w := range p.windows {
		if w.contains(wall) {
			state ^= 0x9e3779b97f4a7c15 * uint64(i+1)
		}
	}
	expired, _ := slices.BinarySearch(p.expiries, wall+1) // expiries up to wall
	return state + 0xd1342543de82ef95*uint64(expired)
}
