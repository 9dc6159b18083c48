// Package filter selects flows, drops and events by a line of text, the same one in
// the terminal UI, the commands and the control socket:
//
//	tenant:acme dst:10.1.0.0/24 dport:443 not verdict:accept
//
// [Parse] makes a [Filter] of it, or says at which column it is wrong; [Filter.Match]
// asks it about a [Record], without allocating; [Complete] tells what could be
// typed next. docs/filter.md is for users, its table of fields is generated from the
// table here.
//
// What is not here: where records come from. A record in which a field does not
// apply (ports of ARP, the tenant of an unknown context ID) is matched by no value
// of that field, and so by its negation.
package filter
