// Package policy owns the tenant rules: it reads the rules language, refuses
// every mistake in it with a diagnostic that names file, line and column, and
// decides about frames by what it read.
//
//	rules text ──guard──▶ HCL syntax tree ──loader──▶ Policy (never changed again)
//	                          │                          │
//	                      diagnostics          Evaluate(context ID, frame)
//	                                                     │
//	           contextMap: context ID ─▶ tenant ─▶ matcher: first rule that matches
//	                                                     │
//	                                                 Decision
//
// Nothing is half-loaded: [Load] returns either a whole [Policy] or errors.
// What the language is to have later (state, reject, limits, OVN layout, test
// blocks) is refused by name, never read over.
//
// What is not here: parsing packets (package inspect), whose [inspect.Frame] is
// the only thing about a packet that a rule sees; flow state; anything about the
// tunnel but the 64-bit context ID. docs/rules.md is the reference of the language.
//
// A [Policy] may be used from any number of goroutines at once.
package policy
