package nfq

import "sync/atomic"

// counts is what a driver counts; see [Stats].
type counts struct {
	packets, verdicts, overruns, late, payloadRefused, verdictsLost, unreadable, otherErrors atomic.Uint64
	messages, syscalls, again                                                                atomic.Uint64
}

// stats returns what was counted, and the kernel's view: last, of a queue that was
// closed, or what proc says now. receiveBuffer is in bytes.
func (c *counts) stats(receiveBuffer int, last *KernelStats, proc *procQueue) Stats {
	s := Stats{
		Packets:        c.packets.Load(),
		Verdicts:       c.verdicts.Load(),
		Overruns:       c.overruns.Load(),
		Late:           c.late.Load(),
		PayloadRefused: c.payloadRefused.Load(),
		VerdictsLost:   c.verdictsLost.Load(),
		Unreadable:     c.unreadable.Load(),
		OtherErrors:    c.otherErrors.Load(),
		Messages:       c.messages.Load(),
		Syscalls:       c.syscalls.Load(),
		Again:          c.again.Load(),
		ReceiveBuffer:  receiveBuffer,
	}
	if last != nil {
		s.Kernel, s.KernelKnown = *last, true
	} else {
		s.Kernel, s.KernelKnown = proc.read()
	}
	return s
}
