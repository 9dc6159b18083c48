// Package peers starts what sttwall is measured beside: accept-all loops in C
// over nfnetlink_queue, the loop of go-nfqueue's documentation, and Suricata inline.
// Each [Peer] is a process (the loops: one for each queue) in a network
// namespace, pinned to the processors that it is given, and told by its own
// word that its queues are bound:
//
//	packets -> table of the namespace -> queue n -> peer -> verdict
//
// The table that sends packets to the queues, the packets, and the measuring
// are the caller's. What each peer is and what of it is fair stands in
// bench/README.md. A Peer may be started again once it has stopped; its methods
// are for one goroutine at a time.
package peers
