// Package analyze finds out what rules mean before a packet meets them: which
// rules never decide anything ([Lint]), and which packets are decided otherwise
// after a change ([Compare]).
//
//	rules files ──package policy──▶ [List]: rules as sets of packets ([space.Product])
//	                                  │
//	             index: which rules can meet at all
//	                                  │
//	            [space.Cover]: is this set inside the union of those?
//	                  │                              │
//	     Lint: never matches, redundant,    Compare: classes of packets, old and
//	     impossible, accepts all, crosses   new verdict and rule, an example of each
//
// Every finding is proved or not made. A proof can be too long; what a [Budget]
// did not reach is said in a finding or in [Report], and never counted as fine.
//
// What is not here: the rules language and its names (package policy turns rules
// into lists), and the printing of examples. Conditions that a set of packets
// cannot say, such as time windows, make a rule [Rule.Partial].
//
// Nothing is shared; calls may run at once on different lists.
package analyze
