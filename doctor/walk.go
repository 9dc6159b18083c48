package doctor

import (
	"cmp"
	"slices"
)

// kind is what a rule does with a packet that it matches.
type kind uint8

const (
	goOn kind = iota
	accepted
	dropped
	queued  // to a queue
	taken   // away: forwarded to another interface, for one
	returns // to the chain that jumped here
	jumps
	goes // to a chain, and not back
	untracked
)

type action struct {
	kind  kind
	chain string // that is jumped to
	queue uint16
	aimed bool // it is for packets of a state that names INVALID
}

// rule is one rule of nftables or iptables.
type rule struct {
	// judge says whether the rule matches, whether what it names is STT's port or the
	// state INVALID, and what it does then; of several things one.
	judge func(*packet) (match tri, aimed bool, acts []action)
	text  func() string // what it is, for evidence
}

// chain is one chain; hook is empty where others lead to it.
type chain struct {
	family, table, name string
	hook                string
	priority            int
	nat                 bool
	policyDrop          bool
	legacy              bool     // of iptables-legacy
	devices             []string // that it stands at, a prefix with * at its end; none: at all
	rules               []rule
}

// ruleset is all rules of a network namespace.
type ruleset struct {
	chains     []*chain
	flowtables []string
	unread     []string // what could not be read of it, and why
}

func (s *ruleset) find(like *chain, name string) *chain {
	i := slices.IndexFunc(s.chains, func(c *chain) bool {
		return c.family == like.family && c.table == like.table && c.legacy == like.legacy && c.name == name
	})
	if i < 0 {
		return nil
	}
	return s.chains[i]
}

// at returns the base chains of a hook that packets of an IP version meet, in their order.
func (s *ruleset) at(hook string, v4 bool) (list []*chain) {
	for _, c := range s.chains {
		if c.hook != hook || c.nat { // untracked packets meet no chain of NAT
			continue
		}
		switch c.family {
		case "inet", "netdev", "bridge":
		case "ip":
			if !v4 {
				continue
			}
		case "ip6":
			if v4 {
				continue
			}
		default:
			continue
		}
		list = append(list, c)
	}
	slices.SortStableFunc(list, func(a, b *chain) int { return cmp.Compare(a.priority, b.priority) })
	return list
}

// fate is what may become of a packet in a base chain.
type fate struct {
	kind    kind
	queue   uint16
	certain bool
	aimed   bool   // at STT's port, or at INVALID
	text    string // the rule
}

// walk follows a packet through a base chain: rules in their order, jumps and returns. A
// rule of which it is not known whether it matches makes all behind it less than certain.
// p.ct is changed as `notrack` changes it.
func (s *ruleset) walk(base *chain, p *packet) []fate {
	w := walker{set: s, p: p, certain: true}
	if !w.through(base, 0) {
		end := fate{kind: accepted, certain: w.certain, text: policyAccept}
		if base.policyDrop {
			end.kind, end.text = dropped, "policy drop"
		}
		w.fates = append(w.fates, end)
	}
	return w.fates
}

const policyAccept = "policy accept"

type walker struct {
	set     *ruleset
	p       *packet
	certain bool
	fates   []fate
	steps   int
}

// Loops of chains are refused by the kernel; long ones are given up.
const (
	deepest   = 32
	mostSteps = 200000
)

// through returns true where the packet certainly does not come back.
func (w *walker) through(c *chain, depth int) (ended bool) {
	if c == nil || depth > deepest {
		w.certain = false
		return false
	}
	back := false // it may have gone back by a rule of which it is not known whether it matches
	for i := range c.rules {
		if w.steps++; w.steps > mostSteps {
			w.certain = false
			return false
		}
		match, aimed, acts := c.rules[i].judge(w.p)
		if match == no {
			continue
		}
		only := match == yes && len(acts) == 1
		for _, a := range acts {
			switch a.kind {
			case goOn:
			case returns:
				if only {
					return false
				}
				w.certain, back = false, true
			case untracked:
				if only {
					w.p.ct = ctUntracked
				} else {
					w.p.ct |= ctUntracked
				}
			case jumps, goes:
				before, n := w.certain, len(w.fates)
				w.certain = before && only
				ended := w.through(w.set.find(c, a.chain), depth+1)
				switch {
				case ended && only:
					return !back
				case len(w.fates) == n:
					w.certain = before
				default:
					w.certain = false
				}
				if a.kind == goes {
					if only {
						return false
					}
					w.certain, back = false, true
				}
			default:
				w.fates = append(w.fates, fate{a.kind, a.queue, w.certain && only, aimed || a.aimed, c.rules[i].text()})
				if only {
					return !back
				}
				w.certain = false
			}
		}
	}
	return false
}
