// Package classify finds the first of many rules that matches a packet.
//
//	[]Rule ──New──▶ Matcher: trees for IPv4, IPv6 and the rest
//	                   │
//	                First(key): down each tree to a leaf, the few rules there
//	                            compared exactly ──▶ lowest index, or -1
//
// The trees are decision trees in the way of HiCuts and HyperSplit (Gupta and
// McKeown 1999; Qi et al. 2009), with nodes of up to 16 children that are cut at
// the rules' own bounds. As in EffiCuts (Vamanan et al. 2010), rules that are
// wide in source or destination have trees of their own, since they would be
// copied into every child. A rule is copied into each child that it can match
// in; where that is too much, the node stays a leaf, however many rules it has.
// So memory is at most about 16 places of 4 bytes for each rule, and a hostile
// rules file makes lookups slow, never large.
//
// It knows the fields that nearly all rules are about: addresses, the protocol
// or ethertype, and ports. What else a rule asks is left to a [Checker].
//
// What is not here: the rules language; what a rule does.
//
// A [Matcher] may be used from any number of goroutines at once.
package classify
