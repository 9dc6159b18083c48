package main

import (
	"fmt"
	"strings"

	"sttwall/bench/rows"
	"sttwall/internal/benchreport"
)

// markdown writes what stands between the marks.
func (f *figures) markdown() []byte {
	var out strings.Builder
	fmt.Fprintf(&out, "%s. Medians of %d rounds of %g s. sttwall is stateful, event log and metrics are on, inner flows are TCP. `≥`: the source was\nthe limit, the variant can do more. `-`: not measured, or with losses.\n",
		f.run.Where(), f.run.Rounds, f.run.Seconds)
	out.WriteString("\n![Throughput beside forwarding](pictures/performance-throughput.svg)\n")
	f.goals(&out)
	f.throughput(&out)
	f.times(&out)
	f.latencies(&out)
	f.flowTable(&out)
	f.queueTable(&out)
	f.absent(&out)
	return []byte(out.String())
}

// atLeast is the mark of a lower bound.
func atLeast(r *rows.Row) string {
	if bound(r) {
		return "≥ "
	}
	return ""
}

// table writes one: a head, and lines of as many cells.
func table(out *strings.Builder, head []string, lines [][]string) {
	line := func(cells []string) { fmt.Fprintf(out, "| %s |\n", strings.Join(cells, " | ")) }
	out.WriteString("\n")
	line(head)
	fmt.Fprintf(out, "|%s\n", strings.Repeat(" --- |", len(head)))
	for _, l := range lines {
		line(l)
	}
}

// by writes a table of variants by kinds of packets, with a text for each row.
func (f *figures) by(out *strings.Builder, packets, variants []string, queues int, text func(*rows.Row) string) {
	head := []string{""}
	for _, p := range packets {
		head = append(head, benchreport.Title(p))
	}
	var lines [][]string
	for _, v := range variants {
		line, known := []string{marked(v)}, false
		for _, p := range packets {
			cell := "-"
			if r := f.row(key{v, p, queues, 1000}); r != nil {
				if s := text(r); s != "" {
					cell, known = s, true
				}
			}
			line = append(line, cell)
		}
		if known {
			lines = append(lines, line)
		}
	}
	table(out, head, lines)
}

func (f *figures) ratioText(r *rows.Row) string {
	if r.Variant == "forward" {
		return benchreport.Thousands(r.PPS) + "/s"
	}
	ratio := f.ratio(r)
	if ratio == 0 {
		return "-"
	}
	return fmt.Sprintf("%s%.2f", atLeast(r), ratio)
}

func (f *figures) throughput(out *strings.Builder) {
	out.WriteString("\n**Throughput of one queue**, 1,000 flows: of forwarding, whose packets a second are in the first row.\n")
	f.by(out, f.packets(1), f.variants(1, 1000), 1, f.ratioText)
}

func (f *figures) times(out *strings.Builder) {
	out.WriteString("\n**Processor time of a packet**, ns, of the variant's processes, and with it the kernel's work in their system calls. Of forwarding: of the source, which is where the kernel forwards.\n")
	f.by(out, f.packets(1), f.variants(1, 1000), 1, func(r *rows.Row) string { return benchreport.Thousands(r.Time) })
	out.WriteString("\n![Processor time of a packet](pictures/performance-time.svg)\n\n**System calls of a packet**, of those that receive and those that send. Others do not say.\n")
	f.by(out, f.packets(1), f.variants(1, 1000), 1, func(r *rows.Row) string {
		if r.SystemCalls == 0 {
			return ""
		}
		return fmt.Sprintf("%.3f", r.SystemCalls)
	})
}

func (f *figures) latencies(out *strings.Builder) {
	var lines [][]string
	for _, p := range f.packets(1) {
		for _, v := range f.variants(1, 1000) {
			own, common := f.latency(usual(v, p), "half"), f.latency(usual(v, p), commonLoad)
			if own == nil && common == nil {
				continue
			}
			lines = append(lines, append([]string{benchreport.Title(p), marked(v)}, append(latencyCells(common), latencyCells(own)...)...))
		}
	}
	if lines == nil {
		return
	}
	out.WriteString("\n**Latency**, us, from source to sink, at half of the packets a second of `c_loop`, which is the same load for all, and at half of the variant's own.\n")
	table(out, []string{"", "", "p50", "p99", "p99.9", "half of its own: p50", "p99", "p99.9"}, lines)
	out.WriteString("\n![Latency](pictures/performance-latency.svg)\n")
}

func latencyCells(l *rows.Latency) []string {
	if l == nil {
		return []string{"-", "-", "-"}
	}
	var cells []string
	for _, us := range []float64{l.P50, l.P99, l.P999} {
		if us < 100 {
			cells = append(cells, fmt.Sprintf("%.1f", us))
			continue
		}
		cells = append(cells, benchreport.Thousands(us))
	}
	return cells
}

// flowCounts are those of the benchmark.
var flowCounts = []int{1, 1000, 1_000_000}

func (f *figures) flowTable(out *strings.Builder) {
	var lines [][]string
	for _, v := range f.variants(1, 1, 1_000_000) {
		line := []string{marked(v)}
		for _, n := range flowCounts {
			cell := "-"
			if r := f.row(key{v, "150", 1, n}); r != nil {
				cell = fmt.Sprintf("%s, %s ns", f.ratioText(r), benchreport.Thousands(r.Time))
			}
			line = append(line, cell)
		}
		lines = append(lines, line)
	}
	if lines == nil {
		return
	}
	out.WriteString("\n**Flows**: of forwarding, and processor time of a packet; 150 bytes, one queue.\n")
	table(out, []string{"", "1 flow", "1,000 flows", "1,000,000 flows"}, lines)
}

func (f *figures) queueTable(out *strings.Builder) {
	packets := f.packets(2)
	if packets == nil {
		return
	}
	out.WriteString("\n**Two queues**: of forwarding, and packets a second beside those of one queue.")
	if f.run.CPUs < 3 {
		fmt.Fprintf(out, " With %d CPUs the second queue is served on that of the source: this does not show what a second worker\nis worth, but that all share the want.", f.run.CPUs)
	}
	out.WriteString("\n")
	f.by(out, packets, f.variants(2, 1000), 2, func(r *rows.Row) string {
		one := f.row(usual(r.Variant, r.Packet))
		if one == nil || r.Variant == "forward" {
			return f.ratioText(r)
		}
		return fmt.Sprintf("%s, x %.2f", f.ratioText(r), r.PPS/one.PPS)
	})
}

// absent says which rows have no figures, and why.
func (f *figures) absent(out *strings.Builder) {
	first := true
	for _, r := range f.list {
		why := ""
		switch {
		case r.Error != "":
			why = r.Error
		case r.Lost > 0:
			why = fmt.Sprintf("%d packets were lost", r.Lost)
		default:
			continue
		}
		if first {
			out.WriteString("\nWithout figures:\n\n")
			first = false
		}
		line, _, _ := strings.Cut(why, "\n")
		fmt.Fprintf(out, "- %s, %s: %s\n", marked(r.Variant), rows.Cell(r.Packet, r.Queues, r.Flows), line)
	}
}
