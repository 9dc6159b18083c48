// Command account says where the time of a packet goes: from what `record`, beside it, has
// recorded, a table for docs/performance.md.
//
//	bench/account/record FOLDER 150 1500 && cd bench && go run ./account FOLDER
//	cd bench && go run ./account --write ../docs/performance.md FOLDER
//
//	perf's samples ──▶ a part for each ──▶ its share of the processor time that the
//	                                       benchmark measured of a packet, in ns
//
// What is not here: measuring. perf itself takes part of the time: the sum is that of the
// recorded run.
package main

import (
	"errors"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"sttwall/bench/page"
	"sttwall/bench/rows"
	"sttwall/internal/benchreport"
)

func main() {
	write := flag.String("write", "", "put the tables between the marks of this `page`; the default is to print them")
	flag.Usage = func() {
		fmt.Fprintln(flag.CommandLine.Output(), "usage: go run ./account [--write PAGE] FOLDER\nFOLDER is what account/record wrote.")
		flag.PrintDefaults()
	}
	flag.Parse()
	if flag.NArg() != 1 {
		flag.Usage()
		os.Exit(2)
	}
	text, err := tables(flag.Arg(0))
	if err == nil {
		if *write != "" {
			err = marks.Renew(*write, []byte(text))
		} else {
			fmt.Print(text)
		}
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "account:", err)
		os.Exit(1)
	}
}

// marks are around the tables in docs/performance.md.
var marks = page.Marks{
	Begin: "<!-- account: `go run ./account` in bench/ writes what is from here on -->\n",
	End:   "<!-- account: up to here -->\n",
}

// recording is one variant with one kind of packet.
type recording struct {
	row     rows.Row
	samples []sample
}

// packetOrder is that of the tables.
var packetOrder = []string{"150", "1500", "45", "45-shuffled", "gso64k"}

// tables makes one of each kind of packet that was recorded.
func tables(folder string) (string, error) {
	var out strings.Builder
	for _, packet := range packetOrder {
		list, err := read(filepath.Join(folder, packet))
		if errors.Is(err, os.ErrNotExist) {
			continue
		}
		if err != nil {
			return "", fmt.Errorf("%s: %w", packet, err)
		}
		if out.Len() == 0 {
			fmt.Fprintf(&out, "%s. Medians of %d rounds in turn.\n", list[0].row.Run.Where(), list[0].row.Run.Rounds)
		}
		out.WriteString("\n" + markdown(packet, list))
	}
	if out.Len() == 0 {
		return "", fmt.Errorf("%s: no recordings", folder)
	}
	return out.String(), nil
}

// read reads the rows and samples of a kind of packet.
func read(path string) (list []recording, err error) {
	text, err := os.Open(path + ".json")
	if err != nil {
		return nil, err
	}
	defer text.Close()
	all, err := rows.Read(text)
	if err != nil {
		return nil, err
	}
	stacks, err := os.Open(path + ".stacks")
	if err != nil {
		return nil, err
	}
	defer stacks.Close()
	samples, err := readSamples(stacks)
	if err != nil {
		return nil, err
	}
	for _, row := range all {
		if row.Variant == "forward" {
			continue // it has no process
		}
		r := recording{row, during(samples, command(row.Variant))}
		if len(r.samples) == 0 || row.Time == 0 {
			return nil, fmt.Errorf("%s: no samples, or no processor time", row.Variant)
		}
		list = append(list, r)
	}
	if len(list) == 0 {
		return nil, errors.New("forwarding alone")
	}
	return list, nil
}

// command is what perf calls the process of a variant.
func command(variant string) string {
	if strings.HasPrefix(variant, "sttwall") {
		return "sttwall"
	}
	return strings.TrimSuffix(variant, "_copy256")
}

// times is how many ns of a packet's time each part has. Their sum is the row's.
func (r *recording) times() map[part]float64 {
	ns := make(map[part]float64)
	each := r.row.Time / float64(len(r.samples))
	for i := range r.samples {
		ns[partOf(&r.samples[i])] += each
	}
	return ns
}

// markdown writes the table of one kind of packet.
func markdown(packet string, list []recording) string {
	var out strings.Builder
	row := func(cells ...string) { fmt.Fprintf(&out, "| %s |\n", strings.Join(cells, " | ")) }
	head, rule := []string{"ns of a packet: " + benchreport.Title(packet)}, []string{"---"}
	var ns []map[part]float64
	for _, r := range list {
		head, rule = append(head, "`"+r.row.Variant+"`"), append(rule, "---")
		ns = append(ns, r.times())
	}
	if len(list) > 1 {
		head, rule = append(head, "more"), append(rule, "---")
	}
	row(head...)
	row(rule...)
	last := len(list) - 1
	line := func(name string, of func(i int) float64) {
		cells, some := []string{name}, false
		for i := range list {
			cells, some = append(cells, fmt.Sprintf("%.0f", of(i))), some || of(i) >= 0.5
		}
		if last > 0 {
			cells = append(cells, fmt.Sprintf("%+.0f", of(last)-of(0)))
		}
		if some {
			row(cells...)
		}
	}
	for _, p := range parts {
		line(string(p), func(i int) float64 { return ns[i][p] })
	}
	line("**all**, as it was measured", func(i int) float64 { return list[i].row.Time })
	counts := []string{"samples"}
	for _, r := range list {
		counts = append(counts, benchreport.Thousands(float64(len(r.samples))))
	}
	if last > 0 {
		counts = append(counts, "")
	}
	row(counts...)
	return out.String()
}
