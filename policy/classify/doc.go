// Package classify finds the first of many rules that matches a packet.
//
//	[]Rule ──New──▶ Matcher: a table each for IPv4, IPv6 and what is neither,
//	                   │      with few rules flat, or up to four trees of more
//	                   │
//	                First(key): in each tree a slot of its root, down a few nodes
//	                            to a leaf; then the boxes of all leaves compared
//	                            ──▶ lowest index, or -1
//
// The trees are decision trees in the way of HiCuts and HyperSplit (Gupta and
// McKeown 1999; Qi et al. 2009). A root has up to 4096 slots of equal size, as
// HiCuts cuts; a node has up to eight children, cut at the rules' own bounds, and
// fills one cache line. Rules that are wide in source or destination, measured by
// how many of the other rules' addresses they hold, have trees of their own, since
// they would be copied into every child (EffiCuts, Vamanan et al. 2010; CutSplit,
// Li et al. 2018). A leaf has flat boxes of 40 bytes, and compares four at a time
// without a branch; of rules that are many boxes it has those that meet its region
// if they are few, else one around them, and asks the rule. docs/classify.md has
// the figures.
//
// Up to 256 boxes are no trees, but lie flat in columns: AVX2 compares 64 of them with
// a packet in some ten nanoseconds, and nothing is guessed wrong on the way. Without
// AVX2 that goes up to 16 boxes. Two boxes are one cache line, compared without it.
//
// A rule is copied into each child that it can match in; where that is too much,
// the node stays a leaf, however many rules it has. So memory is at most some
// hundred bytes for each rule, and a hostile rules file makes lookups slow, never
// large.
//
// It knows the fields that nearly all rules are about: addresses, the protocol
// or ethertype, and ports. What else a rule asks is left to a [Checker].
//
// What is not here: the rules language; what a rule does.
//
// A [Matcher] may be used from any number of goroutines at once.
package classify
