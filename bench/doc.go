// Command bench measures sttwall beside what else could take packets from NFQUEUE, in
// one run:
//
//	cd bench && go run . [--quick] [--json]
//
// Each variant has a lab of its own (sttwall/internal/load): a firewall host between
// two ends, with a source that costs nearly nothing and a sink that drops. In each
// round every variant is measured once, in turn, so that what else the machine does
// meets all alike; ratios are of the kernel's forwarding in the same round, and what is
// shown is the median of the rounds. It needs root.
//
//	cell (packet, queues, flows) -> for each round -> for each variant -> Measure
//	                             -> medians -> rows
//
// It is a module of its own: what it measures beside sttwall is no dependency of
// sttwall. The peers are in package peers, the layers alone in package layers.
package main
