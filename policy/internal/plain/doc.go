// Package plain reads the rules language slowly: an interpreter that follows
// docs/rules.md sentence by sentence, for the tests of package policy, which
// compare it with the engine.
//
//	Random(r) ─▶ Policy ─┬─ Text ─▶ rules text ─▶ policy.Load ─▶ the engine ─┐
//	                     ├─ Edges.Packet ─▶ Packet ─ Frame ─▶ bytes ─────────┼─▶ the same Decision
//	                     └─ Interpreter.Decide ──────────────────────────────┘
//
// It knows nothing of how the engine does it and can import neither policy nor
// what stands below it. A policy is plain data, a rule is tried by asking each of
// its conditions, a set is a list that is gone through. Where a comment begins
// with ">", it is a sentence of docs/rules.md, word by word (a test looks for it
// there), and what stands below it does what it says and no more.
//
// What is not here: state (flows, see conntrack's model), mistakes in rules
// files, and how frames are read.
//
// An [Interpreter] holds the tokens of limits and is for one goroutine; a
// [Policy] is not changed once it is made.
package plain
