// Package ruletest runs the test blocks of a rules file: it makes the packets
// that they describe, wraps them in STT, sends them through a firewall of their
// own, and compares the verdicts.
//
//	policy.Test ──▶ inner frames ──▶ segments ──firewall.Firewall──▶ verdicts ──▶ []Failure
//
// It is the same core that decides real packets, so a test that passes here says
// what the firewall does, state and all. Every test begins with an empty flow
// table and a clock of its own.
package ruletest
