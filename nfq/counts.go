package nfq

import "sync/atomic"

// counts is what a driver counts; see [Stats].
type counts struct {
	packets, verdicts, overruns, late, payloadRefused, verdictsLost, unreadable, otherErrors atomic.Uint64
	messages, syscalls, again                                                                atomic.Uint64
}

func (c *counts) stats() Stats {
	return Stats{
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
	}
}
