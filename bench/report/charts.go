package main

import (
	"fmt"
	"strings"
	"time"

	"sttwall/bench/rows"
	"sttwall/internal/benchreport"
)

// Who is in the pictures: one of each kind, so that a page has room for all packets.
var (
	throughputVariants = []string{
		"forward", "c_batch_copy256", "c_batch", "c_many", "c_loop", "go_nfqueue", "suricata", "sttwall_accept", "sttwall_rules_1000", "sttwall_rules_10000",
	}
	timeVariants = []string{"c_batch_copy256", "c_batch", "c_many", "c_loop", "sttwall_accept", "sttwall_rules_10", "sttwall_rules_1000", "sttwall_rules_10000", "sttwall_tui"}
)

// charts draws the pictures, by name.
func (f *figures) charts() map[string]*benchreport.Chart {
	all := map[string]*benchreport.Chart{
		"performance-throughput.svg": f.bars(benchreport.Chart{Title: "What gets through one queue", Axis: "of forwarding's packets a second, and packets a second"},
			f.packets(1), throughputVariants, func(r *rows.Row) (float64, string) {
				if r.Variant == "forward" {
					return r.Ratio, fmt.Sprintf("%.2f · %s/s", r.Ratio, benchreport.Thousands(r.PPS))
				}
				return f.ratio(r), fmt.Sprintf("%s · %s/s", f.ratioText(r), benchreport.Thousands(r.PPS))
			}),
		"performance-time.svg": f.bars(benchreport.Chart{Title: "Processor time of a packet", Axis: "nanoseconds of the processes behind the queue"},
			[]string{"150", "1500", "45", "gso64k"}, timeVariants, func(r *rows.Row) (float64, string) {
				return r.Time, benchreport.Thousands(r.Time) + " ns"
			}),
		"performance-latency.svg": f.spans(),
	}
	return all
}

// bars fills a chart with what value says of each row.
func (f *figures) bars(c benchreport.Chart, packets, variants []string, value func(*rows.Row) (bar float64, label string)) *benchreport.Chart {
	c.Subtitle = f.run.Where() + "; 1 queue, 1,000 flows"
	for _, packet := range packets {
		g := benchreport.Group{Title: benchreport.Title(packet)}
		for _, v := range variants {
			r := f.row(usual(v, packet))
			if r == nil {
				continue
			}
			m := benchreport.Mark{Name: title(v), Tone: tone(v)}
			m.Bar, m.Label = value(r)
			g.Marks = append(g.Marks, m)
		}
		if len(g.Marks) > 0 {
			c.Groups = append(c.Groups, g)
		}
	}
	return &c
}

// spans draws latency under the load that is the same for all.
func (f *figures) spans() *benchreport.Chart {
	c := &benchreport.Chart{
		Title: "Latency at half of c_loop's packets a second", Subtitle: f.run.Where() + "; 1 queue, 1,000 flows",
		Axis: "from source to sink: p50 (full), p99 (open), p99.9 (end)",
	}
	for _, packet := range f.packets(1) {
		g := benchreport.Group{Title: benchreport.Title(packet)}
		for _, v := range f.variants(1, 1000) {
			if l := f.latency(usual(v, packet), commonLoad); l != nil {
				g.Marks = append(g.Marks, benchreport.Mark{Name: title(v), Tone: tone(v), Span: &benchreport.Latency{P50: micros(l.P50), P99: micros(l.P99), P999: micros(l.P999)}})
			}
		}
		if len(g.Marks) > 0 {
			c.Groups = append(c.Groups, g)
		}
	}
	return c
}

// commonLoad names the load that is the same for all.
const commonLoad = "half of c_loop"

func micros(us float64) time.Duration { return time.Duration(us * float64(time.Microsecond)) }

func tone(variant string) benchreport.Tone {
	switch {
	case variant == "forward":
		return benchreport.Plain
	case strings.HasPrefix(variant, "sttwall"):
		return benchreport.Own
	}
	return benchreport.Peer
}
