package main

import (
	"fmt"
	"math"
	"strings"

	"sttwall/internal/benchreport"
)

// goal is what must hold of a figure.
type goal struct {
	what  string
	least float64 // 0 if there is none
	most  float64 // 0 if there is none
	aim   float64 // more than least; 0 if there is none
	is    float64 // NaN or 0 if it is not known
	// more: it may be more, since the source was the limit of the variant; less: it may be
	// less, since it was that of the other.
	more, less bool
	note       string
}

// own is the variant that goals are about.
const own = "sttwall_rules_1000"

func (f *figures) goalList() (list []goal) {
	beside := func(other, packet string, least, aim float64) {
		list = append(list, f.ratioGoal(goal{
			what:  fmt.Sprintf("packets a second, of %s: %s", marked(other), benchreport.Title(packet)),
			least: least, aim: aim,
		}, usual(own, packet), usual(other, packet)))
	}
	for _, packet := range []string{"150", "1500", "gso64k"} {
		beside("c_batch", packet, 0.88, 0.95)
	}
	beside("c_batch_copy256", "gso64k", 0.88, 0.95)
	for _, packet := range []string{"45", "45-shuffled"} {
		beside("c_many", packet, 0.85, 0)
	}
	beside("go_nfqueue", "150", 6, 0)
	beside("go_nfqueue", "gso64k", 20, 0)
	for _, packet := range []string{"150", "1500"} {
		beside("suricata", packet, 2, 0)
		list[len(list)-1].note = "[why](#suricata)"
	}
	for _, packet := range []string{"150", "1500"} {
		list = append(list, f.ratioGoal(goal{
			what: "packets a second with 10,000 rules, of those with ten: " + benchreport.Title(packet), least: 0.97,
		}, usual("sttwall_rules_10000", packet), usual("sttwall_rules_10", packet)))
	}
	if r := f.row(usual(own, "150")); r != nil {
		list = append(list, goal{what: "system calls of a packet: 150 bytes", most: 0.1, is: r.SystemCalls})
	}
	for _, packet := range []string{"150", "1500", "gso64k"} {
		a, b := f.latency(usual(own, packet), commonLoad), f.latency(usual("c_loop", packet), commonLoad)
		if a != nil && b != nil {
			list = append(list, goal{what: "latency p99, of `c_loop` at the same load: " + benchreport.Title(packet), most: 1.5, is: a.P99 / b.P99})
		}
	}
	return append(list, f.flatness()...)
}

// ratioGoal fills in how many packets a second one carries, of those of another.
func (f *figures) ratioGoal(g goal, one, other key) goal {
	g.is = f.of(one, other)
	if g.is > 0 {
		g.more, g.less = bound(f.row(one)), bound(f.row(other))
	}
	return g
}

// flatness is how much longer a packet takes with the number of flows, or of rules, where
// it takes longest.
func (f *figures) flatness() (list []goal) {
	spread := func(what string, most float64, keys []key) {
		low, high := math.Inf(1), 0.0
		for _, k := range keys {
			r := f.row(k)
			if r == nil {
				return
			}
			low, high = min(low, r.Time), max(high, r.Time)
		}
		list = append(list, goal{what: "processor time at the most, of the least: " + what, most: most, is: high / low})
	}
	var flows, rules []key
	for _, n := range flowCounts {
		flows = append(flows, key{own, "150", 1, n})
	}
	for _, v := range []string{"sttwall_rules_10", own, "sttwall_rules_10000"} {
		rules = append(rules, usual(v, "150"))
	}
	spread("1 to 1,000,000 flows", 1.5, flows)
	spread("10 to 10,000 rules", 1.1, rules)
	if f.run.CPUs > 2 {
		list = append(list, f.ratioGoal(goal{what: "packets a second of two queues, of one: 150 bytes", least: 1.6},
			key{own, "150", 2, 1000}, usual(own, "150")))
	}
	return list
}

// goals writes what must hold, and whether it does.
func (f *figures) goals(out *strings.Builder) {
	var lines [][]string
	for _, g := range f.goalList() {
		if g.is > 0 {
			lines = append(lines, []string{g.what, g.wanted(), g.figure(), g.verdict()})
		}
	}
	if lines == nil {
		return
	}
	fmt.Fprintf(out, "\n**What it should come to**: sttwall with 1,000 rules and 1,000 flows, one queue. Ratios of packets a second are\nmedians of those of each round; those of processor time are of medians, with other flows of cells some minutes apart. `≤`: the source was the limit\nof the other, which can do more.\n")
	table(out, []string{"", "should be", "is", ""}, lines)
}

func (g *goal) wanted() string {
	switch {
	case g.most > 0:
		return fmt.Sprintf("at most %g", g.most)
	case g.aim > 0:
		return fmt.Sprintf("%g, at least %g", g.aim, g.least)
	}
	return fmt.Sprintf("at least %g", g.least)
}

func (g *goal) figure() string {
	digits := 3
	switch {
	case g.is >= 3:
		digits = 1
	case g.is >= 1:
		digits = 2
	}
	s := fmt.Sprintf("%.*f", digits, g.is)
	switch {
	case g.more && g.less:
		return "? " + s
	case g.more:
		return "≥ " + s
	case g.less:
		return "≤ " + s
	}
	return s
}

func (g *goal) verdict() string {
	switch {
	case g.less && g.is >= g.least:
		return "not known"
	case g.most > 0 && g.is <= g.most, g.least > 0 && g.is >= max(g.least, g.aim):
		return "yes"
	case g.least > 0 && g.is >= g.least:
		return "the least, not the goal"
	case g.note != "":
		return "no: " + g.note
	}
	return "no"
}
