package nfq

import (
	"fmt"
	"slices"

	"github.com/google/nftables/expr"

	"sttwall/reason"
)

// Chains, sets and counters of the table.
const (
	chainUntracked     = "untracked"
	chainGuard         = "guard"
	chainSTT           = "stt"
	chainIntoVRF       = "into_vrf"
	chainIPv6Fragments = "fragments6"
	chainBetween       = "between"
	chainUntrackedOut  = "untracked_output"
	chainGuardOut      = "guard_output"
	chainBetweenOut    = "between_output"
	mapQueues          = "queues"
	setPorts           = "stt_ports"
	setEndpoints4      = "endpoints4"
	setEndpoints6      = "endpoints6"
	counterQueued      = "queued"
	counterTunnel      = "other_tunnel"
	counterSmallGSO    = "gso_too_small"
	counterNotSTT      = "not_stt"
	counterHidden      = "encapsulated"
)

func chainQueue(i int) string { return fmt.Sprintf("queue_%d", i) }

// Target is how a rule hands a packet to a queue.
type Target uint8

const (
	// TargetNative is nftables' own queue statement (CONFIG_NFT_QUEUE).
	TargetNative Target = iota + 1
	// TargetXTables is the NFQUEUE target of xtables, through nft_compat.
	TargetXTables

	targetDrop // in place of a queue where only the other rules are tested
)

// String returns "queue" or "xt NFQUEUE".
func (t Target) String() string {
	switch t {
	case TargetNative:
		return "queue"
	case TargetXTables:
		return "xt NFQUEUE"
	}
	return "drop"
}

// rule is one rule: the chain it stands in, a comment that stays with it in the
// kernel, and its pieces.
type rule struct {
	chain   string
	comment string
	parts   []part
}

// rules returns all rules of the table, chain by chain in the order of chains.
//
// Of a packet in fragments only the first one has a port, and without it no
// receiver can put the packet together: dropping first fragments is enough.
// Later ones are dropped too where both ends are known to be endpoints. IPv6
// can hide the port of a first fragment behind extension headers (RFC 7112):
// such fragments are dropped. In later fragments the kernel reads payload for
// ports (its fast path for payload expressions does not ask for the offset;
// seen on Linux 6.18), so that no port counts in them.
func (c TableConfig) rules(t Target) []rule {
	list := slices.Concat(c.guardRules(), c.sttRules(), c.ipv6FragmentRules(), c.betweenRules())
	for i := range c.Queues {
		number := c.FirstQueue + uint16(i)
		list = append(list, rule{chainQueue(i), "", []part{queue(t, number, c.FailOpenAbsent)}})
	}
	if c.filling {
		list = append(list, c.fillingRules()...)
	}
	return list
}

// restricted reports whether the endpoints are listed.
func (c TableConfig) restricted() bool { return len(c.Endpoints) > 0 }

// guardRules are those of the base chains.
func (c TableConfig) guardRules() (list []rule) {
	if c.Hooks.incoming() {
		list = append(list, rule{chainUntracked, "STT has no connections to track", []part{sttPort(in), notrack()}})
		list = append(list, c.onceIn()...)
		list = append(list, c.leadOn(chainGuard, chainBetween, setSeen())...)
	}
	if c.Hooks.Has(HookOutput) {
		list = append(list, rule{chainUntrackedOut, "STT has no connections to track", []part{sttPort(in), notrack()}})
		list = append(list, c.onceOut()...)
		list = append(list, c.leadOn(chainGuardOut, c.betweenOut())...)
	}
	return list
}

// leadOn are the rules of a base chain that lead to the others, with what is done to STT before.
func (c TableConfig) leadOn(from, between string, before ...part) []rule {
	list := []rule{
		{from, "", slices.Concat([]part{sttPort(in)}, before, []part{jump(expr.VerdictJump, chainSTT)})},
		{from, "", []part{ipv6Fragment(), jump(expr.VerdictJump, chainIPv6Fragments)}},
	}
	if c.filling {
		return append(list, fillingLeadOn(from, between))
	}
	if c.restricted() {
		for _, v := range []version{v4(), v6()} {
			list = append(list, rule{from, "", []part{endpoint(v, source, in), endpoint(v, destination, in), jump(expr.VerdictGoto, between)}})
		}
	}
	return list
}

// onceIn are rules for what passes PREROUTING a second time.
func (c TableConfig) onceIn() []rule {
	list := []rule{
		{chainGuard, "was seen where it came into this VRF", []part{kindOf(iifKind, "vrf"), forHost(), seen(), jump(expr.VerdictReturn, "")}},
		{chainGuard, "was not", append(secondPass(), sttPort(in), jump(expr.VerdictJump, chainIntoVRF))},
		// It cannot be inspected: what is queued there is lost.
		{chainIntoVRF, "no port is in it", []part{ipv4Fragment("0x1fff", 0x1fff), jump(expr.VerdictReturn, "")}},
		{chainIntoVRF, "", []part{ipv6Fragment(), jump(expr.VerdictReturn, "")}},
		{chainIntoVRF, "came out of a tunnel", []part{dropAs(counterTunnel)}},
	}
	if c.Hooks.Has(HookOutput) {
		list = append(list, rule{chainGuard, "was inspected in output", []part{fromLoopback(), jump(expr.VerdictReturn, "")}})
	}
	return list
}

// onceOut are rules for what passes OUTPUT a second time, or is the firewall's own.
func (c TableConfig) onceOut() []rule {
	list := []rule{{chainGuardOut, "is inspected where it leaves this VRF", []part{kindOf(oifKind, "vrf"), jump(expr.VerdictReturn, "")}}}
	if c.Own != (Own{}) {
		list = append(list, rule{chainGuardOut, "the firewall's own answers", []part{sentBy(c.Own), jump(expr.VerdictReturn, "")}})
	}
	return list
}

// betweenOut is the chain for what this host sends between endpoints: with OnlySTT
// another one, since what this host sends besides tunnels is its own matter, as what is
// for this host is.
func (c TableConfig) betweenOut() string {
	if c.OnlySTT {
		return chainBetweenOut
	}
	return chainBetween
}

// betweens are the chains for what passes between endpoints.
func (c TableConfig) betweens() []string {
	if out := c.betweenOut(); c.Hooks.Has(HookOutput) && out != chainBetween {
		return []string{chainBetween, out}
	}
	return []string{chainBetween}
}

// sttRules are for packets with an STT port, or in whose payload one was read.
func (c TableConfig) sttRules() []rule {
	list := []rule{
		{chainSTT, "no port is in it", []part{ipv4Fragment("0x1fff", 0x1fff), jump(expr.VerdictReturn, "")}},
		{chainSTT, "a first fragment of STT", []part{ipv4Fragment("0x2000", 0x2000), dropAs(reason.OuterFragment.String())}},
		{chainSTT, "", []part{ipv6Fragment(), jump(expr.VerdictReturn, "")}},
	}
	if c.restricted() {
		for _, v := range []version{v4(), v6()} {
			list = append(list, rule{chainSTT, "not a listed endpoint", []part{endpoint(v, source, notIn), dropAs(reason.EndpointUnknown.String())}})
		}
	}
	if c.Guard != nil {
		list = append(list, rule{chainSTT, "super-segments of small pieces", []part{smallPieces(c.Guard), dropAs(counterSmallGSO)}})
	}
	list = append(list, c.boundRules()...)
	list = append(list, c.rateRules()...)
	list = append(list, rule{chainSTT, "", []part{count(counterQueued)}})
	if c.Queues == 1 {
		list = append(list, rule{chainSTT, "", []part{jump(expr.VerdictGoto, chainQueue(0))}})
	} else {
		list = append(list, rule{chainSTT, "all segments of a frame have one source port", []part{spread(c.Queues, c.Seed)}})
	}
	return append(list, rule{chainSTT, "not reached", []part{drop()}})
}

// ipv6FragmentRules are for packets with an IPv6 fragment header. A protocol or
// a port that cannot be read matches no rule but the last.
func (c TableConfig) ipv6FragmentRules() []rule {
	fragment := dropAs(reason.OuterFragment.String())
	list := []rule{{chainIPv6Fragments, "", []part{notTCP(), jump(expr.VerdictReturn, "")}}}
	if c.restricted() {
		list = append(list,
			rule{chainIPv6Fragments, "", []part{ipv6LaterFragment(), endpoint(v6(), source, notIn), jump(expr.VerdictReturn, "")}},
			rule{chainIPv6Fragments, "", []part{ipv6LaterFragment(), endpoint(v6(), destination, notIn), jump(expr.VerdictReturn, "")}},
			rule{chainIPv6Fragments, "may be a fragment of STT", []part{ipv6LaterFragment(), fragment}},
		)
	} else {
		list = append(list, rule{chainIPv6Fragments, "", []part{ipv6LaterFragment(), jump(expr.VerdictReturn, "")}})
	}
	return append(list,
		rule{chainIPv6Fragments, "", []part{sttPort(notIn), jump(expr.VerdictReturn, "")}},
		rule{chainIPv6Fragments, "may be a fragment of STT", []part{fragment}},
	)
}

// betweenRules are for packets from one listed endpoint to another that are not
// whole STT.
func (c TableConfig) betweenRules() []rule {
	if !c.restricted() {
		return nil
	}
	list := c.between(chainBetween)
	if c.Hooks.Has(HookOutput) && c.betweenOut() != chainBetween {
		c.OnlySTT = false
		list = append(list, c.between(chainBetweenOut)...)
	}
	return list
}

// between looks at what passes PREROUTING twice in a VRF twice too: what comes out of a tunnel
// into it passes once. Only whether an address is of this host need not be the same the second time.
func (c TableConfig) between(chain string) []rule {
	list := []rule{{chain, "may be a fragment of STT", []part{ipv4TCP(), ipv4Fragment("0x1fff", 0x1fff), dropAs(reason.OuterFragment.String())}}}
	if !c.PassOtherTunnels {
		list = append(list, rule{chain, "other tunnels", []part{tunnelProtocol(), dropAs(counterTunnel)}})
	}
	for _, later := range []part{ipv4Fragment("0x1fff", 0x1fff), ipv6LaterFragment()} {
		if c.OnlySTT {
			list = append(list,
				rule{chain, "not for the first time", append(secondPass(), later, jump(expr.VerdictReturn, ""))},
				rule{chain, "for this host", []part{later, forThisHost(), jump(expr.VerdictReturn, "")}},
				rule{chain, "not STT", []part{later, dropAs(counterNotSTT)}})
		} else if !c.PassOtherTunnels {
			list = append(list, rule{chain, "no port is in it", []part{later, jump(expr.VerdictReturn, "")}})
		}
	}
	if !c.PassOtherTunnels {
		list = append(list, rule{chain, "other tunnels", []part{tunnelPort(), dropAs(counterTunnel)}})
	}
	if c.OnlySTT {
		list = append(list,
			rule{chain, "not for the first time", append(secondPass(), jump(expr.VerdictReturn, ""))},
			rule{chain, "for this host", []part{forThisHost(), jump(expr.VerdictReturn, "")}},
			rule{chain, "errors", []part{icmpTypes(icmpErrors()), jump(expr.VerdictReturn, "")}},
			rule{chain, "errors, neighbours", []part{icmpv6Types(icmpv6Needed()), jump(expr.VerdictReturn, "")}},
			rule{chain, "not STT", []part{dropAs(counterNotSTT)}})
	}
	return list
}

// chains returns the chains in their order in the table; base chains first.
func (c TableConfig) chains() []string {
	var list []string
	if c.Hooks.incoming() {
		list = append(list, chainUntracked, chainGuard)
	}
	if c.Hooks.Has(HookOutput) {
		list = append(list, chainUntrackedOut, chainGuardOut)
	}
	if c.Hooks.incoming() {
		list = append(list, chainIntoVRF)
	}
	list = append(list, chainSTT, chainIPv6Fragments)
	if c.restricted() {
		list = append(list, c.betweens()...)
	}
	if c.filling {
		for _, between := range c.betweens() {
			from, to, both := fillingChains(between)
			list = append(list, from, to, both)
		}
	}
	if len(c.Bound) > 0 {
		list = append(list, chainInterfaces)
	}
	for i := range c.Queues {
		list = append(list, chainQueue(i))
	}
	return list
}

// field returns where a counter of the table is told; nil if it is none of ours.
func (c *TableCounters) field(counter string) *uint64 {
	switch counter {
	case counterQueued:
		return &c.Queued
	case reason.OuterFragment.String():
		return &c.OuterFragment
	case reason.EndpointUnknown.String():
		return &c.EndpointUnknown
	case counterInterface:
		return &c.EndpointInterface
	case counterTunnel:
		return &c.OtherTunnel
	case counterHidden:
		return &c.Encapsulated
	case counterNotSTT:
		return &c.NotSTT
	case counterRate:
		return &c.EndpointRate
	case counterSmallGSO:
		return &c.GSOTooSmall
	}
	return nil
}

// counters returns the names of the table's counters.
func (c TableConfig) counters() []string {
	list := []string{counterQueued, reason.OuterFragment.String(), reason.EndpointUnknown.String(), counterTunnel, counterNotSTT, counterInterface, counterRate}
	if c.Guard != nil {
		list = append(list, counterSmallGSO)
	}
	return list
}
