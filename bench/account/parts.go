package main

import "strings"

// part is what a packet's time is spent for.
type part string

// The parts, in the order in which a packet meets them.
const (
	take    part = "kernel, receiving: from the socket's queue"
	copied  part = "kernel, receiving: copied to the program"
	freed   part = "kernel, receiving: the message's memory given back"
	receive part = "kernel, receiving: the call, message headers"

	netlink  part = "program: the netlink message"
	outer    part = "program: headers, one by one, and what must hold of them"
	sums     part = "program: checksums"
	flow     part = "program: the flow, found and moved on"
	decision part = "program: decision and counters"
	verdict  part = "program: the verdict, put together"
	runtime  part = "program: Go's runtime, and the way into the kernel"
	others   part = "program: what is not on a packet's way (event log, metrics, history)"

	find  part = "kernel, verdict: the packet found, its queue entry freed"
	route part = "kernel, verdict: the packet routed"
	sent  part = "kernel, verdict: the packet sent over the link"
	sink  part = "kernel, verdict: the packet at the other end of the link, counted and freed"
	again part = "kernel, verdict: the rest of going on from the queue"
	send  part = "kernel, verdict: the call, netlink"

	waits part = "kernel: other calls, waiting and waking"
	faced part = "kernel: interrupts and page faults"
)

var parts = []part{
	take, copied, freed, receive, netlink, outer, sums, flow, decision, verdict, runtime, others, find, route, sent, sink, again, send, waits, faced,
}

// partOf says what a sample was for.
func partOf(s *sample) part {
	switch {
	case s.has("do_syscall_64", "entry_SYSCALL_64_after_hwframe"):
		return ofCall(s)
	case s.has("asm_exc_page_fault", "asm_sysvec_apic_timer_interrupt", "asm_common_interrupt", "asm_sysvec_call_function_single", "asm_sysvec_reschedule_ipi"):
		return faced
	}
	return ofProgram(s)
}

// ofCall is for what is below a system call.
func ofCall(s *sample) part {
	switch {
	case s.has("do_recvmmsg", "__sys_recvfrom", "__sys_recvmsg"):
		switch {
		case s.has("skb_copy_datagram_iter"):
			return copied
		case s.has("consume_skb", "kmem_cache_free", "skb_free_datagram", "kfree"):
			return freed
		case s.has("skb_recv_datagram", "__wake_up"):
			return take
		}
		return receive
	case s.has("nfqnl_reinject"):
		switch {
		case s.has("do_softirq.part.0", "do_softirq", "handle_softirqs"):
			return sink
		case s.has("ip_output"):
			return sent
		case s.has("ip_rcv_finish"):
			return route
		}
		return again
	case s.has("nfqnl_recv_verdict", "nfqnl_recv_verdict_batch"):
		return find
	case s.has("netlink_sendmsg", "__sys_sendmsg", "__sys_sendto", "__sys_sendmmsg"):
		return send
	}
	return waits
}

// ofProgram is for what is the program's own: of sttwall by the function, of others there
// is nothing to tell apart.
func ofProgram(s *sample) part {
	if len(s.stack) == 0 {
		return others
	}
	if !s.has("sttwall/nfq.(*Worker).run") {
		if !strings.Contains(strings.Join(s.stack, " "), ".") {
			return netlink // a loop in C
		}
		return others
	}
	for _, symbol := range s.stack { // the innermost that says something
		for _, f := range functions {
			if strings.HasPrefix(symbol, f.prefix) {
				return f.part
			}
		}
	}
	return runtime
}

// functions are those of sttwall: the first prefix counts.
var functions = []struct {
	prefix string
	part   part
}{
	{"sttwall/internal/checksum.", sums},
	{"sttwall/firewall.(*Firewall).quickRead", outer}, {"sttwall/stt.", outer}, {"sttwall/inspect.", outer},
	{"sttwall/conntrack.", flow}, {"sttwall/firewall.(*Firewall).quickExpect", flow}, {"sttwall/internal/prefetch.", flow}, {"aeshash", flow}, {"memhash", flow},
	{"sttwall/firewall.", decision}, {"sttwall/policy.", decision}, {"sttwall/reassembly.", decision},
	{"sttwall/nfq.(*answers)", verdict}, {"sttwall/nfq.(*fast).answer", verdict}, {"sttwall/nfq.(*outstanding)", verdict}, {"sttwall/nfq.(*copyRule)", verdict},
	{"sttwall/nfq.(*fast).send", runtime},
	{"internal/runtime/syscall", runtime}, {"syscall.", runtime}, {"golang.org/x/sys", runtime},
	{"sttwall/nfq.", netlink},
}
