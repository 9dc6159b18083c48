// Package firewall is the core of sttwall: packets in, verdicts out.
//
//	Packet -> stt.Segment -> reassembly -> stt.FrameHeader -> inspect.Frame
//	       -> binding.Found, conntrack.Result, policy.Decision
//	       -> canonical encoding -> Verdicts
//
// [Firewall.Process] takes one outer packet and appends the verdicts that are
// known by then: for a packet that completes a frame those of all packets
// that carried it, in the order in which they must leave; for a packet that
// is held none yet.
//
// The core is pure: the clock, the random source and the policy are handed in,
// and it opens no socket, starts no goroutine and never asks the time. A
// running firewall, a replayed capture, tests and fuzzers drive the same code.
//
// What leaves is canonical: all receivers can read it in one way only. A frame
// that came in canonical form leaves as it came, without a copy; see
// canonical.go for what that is and rewrite.go for how others are brought to it.
//
// A rejected frame is answered besides (reject.go), and a rule may change what it
// accepts (state.go).
//
// [Shared.Explain] says what would become of a frame, by the same code and
// without moving anything; [Shared.WalkFlows] shows the flows.
//
// A later inner fragment follows its first one (fragment.go), and waits for it
// where it comes before (hold.go).
//
// One goroutine drives a [Firewall]. Workers share what is in [Shared]: the policy
// in force, the flow table, the table of first inner fragments, the learned
// bindings (binding.go), the limits and the [FrameIDFilter], all of which may be used by all at once; [Counters] and
// [Firewall.Tallies] may be read by anybody.
package firewall
