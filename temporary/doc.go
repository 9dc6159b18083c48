// Package temporary owns the rules that operators set for a time beside the rules
// file of a running firewall.
//
//	sttwall block ──▶ Add ──┐                                   ┌─▶ state file, synced
//	sttwall unblock ▶ Remove├─▶ rules file + list = a policy ───┤
//	sttwall reload ─▶ Reload┘                                   └─▶ Firewall.Reload
//
// A [List] makes one change at a time: a reload and a block never lose each other.
// A change is in force when the call returns, or, after an error, not at all: it is
// in the state file before it is in force, and what cannot be written is not put in
// force.
//
// Expiry needs nobody: the policy knows the last second of each rule. The list
// leaves expired rules out of what it shows, and forgets them at the next change.
//
// What is not here: what a pattern means (package describe) and how rules are
// matched (package policy); who may ask (package control).
//
// A [List] may be used by many goroutines.
package temporary
