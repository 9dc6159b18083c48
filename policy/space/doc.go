// Package space calculates with sets of packets, exactly.
//
// A packet is a [Point]: one number for each [Field] that rules can ask about.
// A [Set] is a set of such numbers, a [Product] has one Set for each field and
// holds the packets that have all their numbers in it. What one product cannot
// say, a list of products that do not overlap does:
//
//	        port
//	         ▲
//	   ┌─────┼─────────┐
//	   │ b   │    c    │   p.Subtract(q) = a, b, c
//	   ├─────┼───┐     │
//	p  │     │ q │     │   Cover(p, {q, r, ...}): do q, r, ...
//	   │  a  └───┘     │   hold every possible packet of p?
//	   └───────────────┘─▶ address
//
// Not every combination of numbers is a packet: UDP has no TCP flags, and a
// frame without tag no priority. [Universe] lists what is possible, which is
// what package inspect lets through to the rules; [Product.Possible], [Cover]
// and [Product.Typical] know it.
//
// Covering is a hard problem (co-NP-complete in the number of fields), so [Cover]
// takes a [Budget] of steps and says [Unknown] when that is spent. It never guesses.
//
// What is not here: rules, actions and findings (package analyze); names of
// groups and services. Nothing in the package changes after it was made, but for
// a Budget, so all else may be used from any number of goroutines at once.
package space
