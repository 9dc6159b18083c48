// Package bench is `sttwall bench`: what forwarding costs on this host without a queue,
// with a queue that accepts everything, and through the firewall with some rules.
//
//	rules ──Choose──▶ a [Flow] that they let pass
//	                     │
//	                  [Run]: for each kind of packet a lab (package load), and in it
//	                     │   round after round one way after the other
//	                     ▼
//	              samples (package benchreport)
//
// The firewall under test is the one of `sttwall run`: [nfq.StartInline], in the lab's
// network namespace. All of it is in this process and ends with it: namespaces have no
// names, so that nothing is left behind, however the process ends.
//
// What is not here: making packets and counting them (package load), showing what came
// of it (package benchreport).
//
// [Run] has goroutines of its own, and all have ended when it returns.
package bench
