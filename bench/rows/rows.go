// Package rows has what the benchmark says: a [Row] for each variant in each cell, as
// JSON and as a table for people.
//
//	measured ──▶ [Row] ──▶ [Write]: JSON lines ──▶ [Read] ──▶ the pages of docs (report)
//	               └─────▶ [Table]: for people
//
// It measures nothing, and keeps no state.
package rows

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"text/tabwriter"

	"sttwall/internal/benchreport"
)

// Row is one line of the result.
type Row struct {
	Variant string `json:"variant"`
	Packet  string `json:"packet"`
	Queues  int    `json:"queues"`
	Flows   int    `json:"flows"`
	// PPS is packets a second; Gbps that of their outer IP packets in Gbit/s.
	PPS  float64 `json:"pps"`
	Gbps float64 `json:"gbps"`
	// Ratio is that of forwarding in the same round. Each of the three is a median.
	Ratio float64 `json:"ratio"`
	// Each is PPS round by round: two variants of a cell compare within one round. A
	// variant that failed has fewer.
	Each []float64 `json:"pps_rounds,omitempty"`
	// Lost is how many packets of those that the figures are of were lost: a figure
	// with losses is none.
	Lost uint64 `json:"lost"`
	// CPU is how many CPUs the whole machine kept busy beside the source's.
	CPU float64 `json:"cpu"`
	// Time is the processor time that a packet took of the variant's processes, in
	// nanoseconds; of forward, what it took of the source.
	Time float64 `json:"ns"`
	// SystemCalls is how many a packet the processes made; 0 where they do not say.
	SystemCalls float64 `json:"system_calls,omitempty"`
	// Window is how many packets were on their way at most.
	Window int `json:"window"`
	// Waited is how often the source found so many on their way, for each packet sent:
	// near 0 the source is the limit, not the variant.
	Waited float64 `json:"waited"`
	// Latency is how long packets took under less than all the load.
	Latency []Latency `json:"latency,omitempty"`
	// Error says why there are no figures.
	Error string `json:"error,omitempty"`
	// Run is the run that the row is of, the same in all its rows.
	Run Run `json:"run"`
}

// Run says where and how rows were measured.
type Run struct {
	benchreport.Host
	Go string `json:"go"` // that it was built with
	// Rounds is how often each variant was measured, Seconds how long.
	Rounds  int     `json:"rounds"`
	Seconds float64 `json:"seconds"`
}

// Where says where it was measured: no more of the kernel than its version.
func (r Run) Where() string {
	numbers := strings.FieldsFunc(r.Kernel, func(c rune) bool { return (c < '0' || c > '9') && c != '.' })
	version := "unknown"
	if len(numbers) > 0 {
		parts := strings.Split(numbers[0], ".")
		version = strings.Join(parts[:min(2, len(parts))], ".")
	}
	return fmt.Sprintf("Linux %s, %s, %d CPUs, %s; %s", version, r.Processor, r.CPUs, r.Go, r.Time.Format("2006-01-02"))
}

// Latency is what quantiles of the packets took from source to sink, in microseconds:
// medians of the rounds.
type Latency struct {
	// Load says which: "half" of the variant's own throughput, or "half of c_loop".
	Load string  `json:"load"`
	PPS  float64 `json:"pps"`
	P50  float64 `json:"p50_us"`
	P99  float64 `json:"p99_us"`
	P999 float64 `json:"p999_us"`
}

// Median is the middle of a list; of an even number the mean of both.
func Median(list []float64) float64 {
	if len(list) == 0 {
		return 0
	}
	s := slices.Sorted(slices.Values(list))
	return (s[(len(s)-1)/2] + s[len(s)/2]) / 2
}

// Write writes one object of JSON a line.
func Write(w io.Writer, rows []Row) error {
	e := json.NewEncoder(w)
	for _, r := range rows {
		if err := e.Encode(r); err != nil {
			return err
		}
	}
	return nil
}

// Read reads what [Write] wrote. Rows of several runs are an error: figures of one run say
// nothing about those of another.
func Read(r io.Reader) (list []Row, err error) {
	d := json.NewDecoder(r)
	for {
		var row Row
		err := d.Decode(&row)
		if err == io.EOF {
			break
		}
		if err != nil {
			return nil, fmt.Errorf("row %d: %w", len(list)+1, err)
		}
		if row.Variant == "" || row.Packet == "" {
			return nil, fmt.Errorf("row %d: neither variant nor packet: not a row of the benchmark", len(list)+1)
		}
		if len(list) > 0 && row.Run != list[0].Run {
			return nil, fmt.Errorf("row %d: is of another run than those before", len(list)+1)
		}
		list = append(list, row)
	}
	if len(list) == 0 {
		return nil, errors.New("no rows")
	}
	return list, nil
}

// Table writes the rows of a cell for people.
func Table(w io.Writer, rows []Row) error {
	if len(rows) == 0 {
		return nil
	}
	fmt.Fprintf(w, "\n%s\n", rows[0].cell())
	t := tabwriter.NewWriter(w, 0, 0, 2, ' ', tabwriter.AlignRight)
	fmt.Fprintln(t, "variant\tkpps\tGbit/s\tof forward\tlost\tCPU ns/packet\tcalls/packet\tsource waits\t")
	latencies := false
	for _, r := range rows {
		if r.Error != "" {
			fmt.Fprintf(t, "%s\t-\t-\t-\t-\t-\t-\t-\t\n", r.Variant)
			continue
		}
		fmt.Fprintf(t, "%s\t%.0f\t%.2f\t%.3f\t%d\t%.0f\t%s\t%.2f\t\n", r.Variant, r.PPS/1e3, r.Gbps, r.Ratio, r.Lost, r.Time, orDash(r.SystemCalls), r.Waited)
		latencies = latencies || len(r.Latency) > 0
	}
	if err := t.Flush(); err != nil {
		return err
	}
	if latencies {
		fmt.Fprintln(t, "\nlatency of\tat\tkpps\tp50 us\tp99 us\tp99.9 us\t")
		for _, r := range rows {
			for _, l := range r.Latency {
				fmt.Fprintf(t, "%s\t%s\t%.0f\t%.1f\t%.1f\t%.1f\t\n", r.Variant, l.Load, l.PPS/1e3, l.P50, l.P99, l.P999)
			}
		}
		if err := t.Flush(); err != nil {
			return err
		}
	}
	for _, r := range rows {
		if r.Error != "" {
			fmt.Fprintf(w, "%s: %s\n", r.Variant, r.Error)
		}
	}
	return nil
}

func (r Row) cell() string { return Cell(r.Packet, r.Queues, r.Flows) }

// Cell names what variants are measured under.
func Cell(packet string, queues, flows int) string {
	counted := func(n int, thing string) string {
		if n != 1 {
			thing += "s"
		}
		return fmt.Sprintf("%d %s", n, thing)
	}
	return fmt.Sprintf("packets %s, %s, %s", packet, counted(queues, "queue"), counted(flows, "flow"))
}

func orDash(f float64) string {
	if f == 0 {
		return "-"
	}
	return fmt.Sprintf("%.3f", f)
}
