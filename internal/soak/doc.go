// Package soak has traffic go through a real firewall for hours, and says whether it
// stays as it was: `sttwall soak`.
//
//	package chaos: lab, firewall as a process, traffic ── Steady ─┐
//	disturb: reload, endpoints, temporary rules, screens ─────────┤ in the lab's child
//	                                             Sample each few seconds ──> parent
//	Judge(samples, totals) ──> Verdict        charts ──> SVG        WriteCSV
//
// No fault is put in: that is the business of package chaos, whose bench and traffic this
// is. [Judge], [Trend] and what draws are pure functions of the samples.
//
// Nothing here is for more than one goroutine at a time.
package soak
