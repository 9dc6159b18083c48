// Package policy owns the tenant rules: it reads the rules language, refuses
// every mistake in it with a diagnostic that names file, line and column, and
// decides about frames by what it read.
//
//	rules text ──guard──▶ HCL syntax tree ──loader──▶ Policy (never changed again)
//	                          │                          │
//	                      diagnostics             Evaluate(packet)
//	                                                     │
//	   contextMap, datapathMap: context ID ─▶ tenant ─▶ endpoints, AntiSpoof
//	                                                     │
//	                                                     ▼ lists of rules: the first
//	                                                     │        that matches
//	                                                 Decision
//
// A file of many rules is parsed rule by rule, so that it needs no more memory than
// what it becomes.
//
// Nothing is half-loaded: [Load] returns either a whole [Policy] or errors. The
// words of the language are in tables.go, and nowhere else; what it is to have
// later is refused by name, never read over.
//
// [Policy.WithTemporary] puts rules in front of the file's that hold for a time.
//
// [Policy.Evaluate] decides about a packet as the first of its flow;
// [Policy.Find], [Policy.Admit] and [Policy.Decide] are its steps, for the core,
// which has the state of flows between them. [Policy.Explain] shows the way.
//
// What is not here: parsing packets (package inspect), whose [inspect.Frame] is
// what a rule sees of a packet; flow state (package conntrack); running the file's
// test blocks (package ruletest); anything about the tunnel but the 64-bit context
// ID and the outer addresses. docs/rules.md is the reference of the language.
//
// A [Policy] may be used from any number of goroutines at once.
package policy
