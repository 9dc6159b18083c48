// Package classify finds the first of many rules that matches a packet.
//
//	[]Rule ──New──▶ Matcher ──First(key)──▶ index of a rule, or -1
//
// It knows the fields that nearly all rules are about: addresses, the protocol
// or ethertype, and ports. What else a rule asks is left to a [Checker].
//
// What is not here: the rules language; what a rule does.
//
// A [Matcher] may be used from any number of goroutines at once.
package classify
