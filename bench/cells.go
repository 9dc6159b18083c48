package main

import (
	"runtime"
	"slices"

	"sttwall/bench/rows"
	"sttwall/internal/load"
)

// cell is what all variants are measured under.
type cell struct {
	packet load.Packet
	queues int
	flows  int
}

func (c cell) String() string { return rows.Cell(c.packet.String(), c.queues, c.flows) }

// usualFlows is how many flows there are where their number is not in question.
const usualFlows = 1000

// cells lists what is measured: each kind of packet with each number of queues, and other
// numbers of flows with the smallest packets and one queue.
func cells(o options) []cell {
	kinds := []load.Packet{load.Small150, load.Full1500, load.Segments45, load.Shuffled45, load.GSO64K}
	var list []cell
	for _, p := range kinds {
		list = append(list, cell{p, 1, usualFlows})
	}
	list = append(list, cell{load.Small150, 1, 1}, cell{load.Small150, 1, 1_000_000})
	for _, p := range kinds {
		list = append(list, cell{p, 2, usualFlows})
	}
	return slices.DeleteFunc(list, func(c cell) bool {
		return !o.packet.MatchString(c.packet.String()) || o.queues != 0 && c.queues != o.queues ||
			o.flows != 0 && c.flows != o.flows || o.quick && (c.queues > 1 || c.flows != usualFlows)
	})
}

// With one queue and the usual flows all variants are measured. In other cells the
// question is another one, and those stay away that have no answer to it: loops know no
// flows, and with two queues a variant has one more of what it has with one.
var (
	flowVariants  = []string{"forward", "c_batch", "sttwall_rules_10", "sttwall_rules_1000", "sttwall_rules_10000"}
	queueVariants = []string{
		"forward", "c_loop", "c_many", "c_batch", "c_batch_copy256", "go_nfqueue", "suricata", "sttwall_accept", "sttwall_rules_1000",
	}
)

// takes reports whether a variant is measured in the cell, if it measures it at all.
func (c cell) takes(v variant) bool {
	switch {
	case !v.measures(c):
		return false
	case c.flows != usualFlows:
		return slices.Contains(flowVariants, v.name())
	case c.queues > 1:
		return slices.Contains(queueVariants, v.name())
	}
	return true
}

// sourceCPU is where the source runs; the queues are served on the others, and the last
// of them here too where there are too few.
const sourceCPU = 0

func placeOf(c cell) place {
	p := place{cell: c}
	for i := range c.queues {
		p.cpus = append(p.cpus, (sourceCPU+1+i)%runtime.NumCPU())
	}
	return p
}
