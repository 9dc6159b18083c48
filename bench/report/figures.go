package main

import (
	"fmt"
	"slices"

	"sttwall/bench/rows"
)

// key finds a row.
type key struct {
	variant, packet string
	queues, flows   int
}

// usual is a variant in a cell of one queue and 1,000 flows.
func usual(variant, packet string) key { return key{variant, packet, 1, 1000} }

// figures are the rows of a run.
type figures struct {
	run   rows.Run
	list  []rows.Row
	found map[key]*rows.Row
}

func newFigures(list []rows.Row) *figures {
	f := &figures{run: list[0].Run, list: list, found: make(map[key]*rows.Row)}
	for i := range list {
		r := &list[i]
		f.found[key{r.Variant, r.Packet, r.Queues, r.Flows}] = r
	}
	return f
}

// row finds one that has figures: a figure with losses is none.
func (f *figures) row(k key) *rows.Row {
	if r := f.found[k]; r != nil && r.Error == "" && r.Lost == 0 {
		return r
	}
	return nil
}

// variants lists those that have a row of so many queues and flows, in the order of the
// run.
func (f *figures) variants(queues int, flows ...int) (names []string) {
	for _, r := range f.list {
		if r.Queues == queues && slices.Contains(flows, r.Flows) && !slices.Contains(names, r.Variant) {
			names = append(names, r.Variant)
		}
	}
	return names
}

// packets lists the kinds likewise.
func (f *figures) packets(queues int) (names []string) {
	for _, r := range f.list {
		if r.Queues == queues && !slices.Contains(names, r.Packet) {
			names = append(names, r.Packet)
		}
	}
	return names
}

// of is how many times as many packets one carries as another, by the rounds if they are
// of one cell; 0 if that is not known.
func (f *figures) of(one, other key) float64 {
	a, b := f.row(one), f.row(other)
	switch {
	case a == nil || b == nil || b.PPS == 0:
		return 0
	case one.packet != other.packet || one.queues != other.queues || one.flows != other.flows || len(a.Each) != len(b.Each) || len(a.Each) == 0:
		return a.PPS / b.PPS
	}
	var ratios []float64
	for i := range a.Each {
		ratios = append(ratios, a.Each[i]/b.Each[i])
	}
	return rows.Median(ratios)
}

// ratio is how many packets a variant carries, of those of forwarding in the same rounds;
// 0 if forwarding has no figures.
func (f *figures) ratio(r *rows.Row) float64 {
	if f.row(key{"forward", r.Packet, r.Queues, r.Flows}) == nil {
		return 0
	}
	return r.Ratio
}

// latency finds that of a load; nil if there is none.
func (f *figures) latency(k key, load string) *rows.Latency {
	r := f.row(k)
	if r == nil {
		return nil
	}
	if k.variant == "c_loop" {
		load = "half" // of itself
	}
	for i := range r.Latency {
		if r.Latency[i].Load == load {
			return &r.Latency[i]
		}
	}
	return nil
}

// sourceWaits is how often the source has to find its window full, for each packet, to
// be sure that it is not what limits.
const sourceWaits = 0.05

// bound reports whether a row's throughput is the source's: the variant can do more.
func bound(r *rows.Row) bool { return r.Variant != "forward" && r.Waited < sourceWaits }

// title names a variant for people.
func title(variant string) string {
	if t, ok := titles[variant]; ok {
		return t
	}
	return variant
}

var titles = map[string]string{
	"forward":             "forwarding",
	"sttwall_accept":      "sttwall, accept-all",
	"sttwall_rules_10":    "sttwall, 10 rules",
	"sttwall_rules_1000":  "sttwall, 1,000 rules",
	"sttwall_rules_10000": "sttwall, 10,000 rules",
	"sttwall_tui":         "sttwall, a screen attached",
	"sttwall_go_nfqueue":  "sttwall, driver go-nfqueue",
}

// marked is a title in Markdown.
func marked(variant string) string {
	if t, ok := titles[variant]; ok {
		return t
	}
	return fmt.Sprintf("`%s`", variant)
}
