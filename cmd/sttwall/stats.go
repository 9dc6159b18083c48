package main

import (
	"context"
	"fmt"
	"io"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"sttwall/control"
)

// Over how many of the last samples, of a second each, rates are shown.
const statsNow, statsMinute = 5, 60

// stats is what `stats` shows.
type stats struct {
	Status  control.Status   `json:"status"`
	Health  control.Health   `json:"health"`
	Drops   []control.Drop   `json:"drops"`
	Samples []control.Sample `json:"samples"` // of the last minute
}

func newStatsCommand(s streams) *cobra.Command {
	var (
		where  controlFlag
		again  watchFlag
		asJSON bool
	)
	cmd := &cobra.Command{
		Use:   "stats",
		Short: "Show how much the running firewall does, and how full it is",
		Long: "stats shows what goes through the firewall a second, on average over the last seconds and the last minute, and since\n" +
			"the start; its queues; how full the tables of flows and bindings, reassembly and memory are; and what should be\n" +
			"looked at. Packets are outer ones, frames STT frames; packets lost are those that the kernel dropped before they\n" +
			"were seen.",
		Example: "  sttwall stats\n  sttwall stats --watch=5s",
		Args:    arguments(again.noArgs),
		RunE: func(cmd *cobra.Command, _ []string) error {
			return where.ask(cmd.Context(), func(ctx context.Context, c *control.Client) error {
				return again.run(ctx, shown{streams: s, what: "stats", json: asJSON}, func(ctx context.Context, w io.Writer, _ int) error {
					st, err := askStats(ctx, c)
					if err != nil {
						return err
					}
					if asJSON {
						return newLines(w).Encode(st)
					}
					return st.write(w)
				})
			})
		},
	}
	flags := cmd.Flags()
	where.add(flags)
	flags.BoolVar(&asJSON, "json", false, "write a line of JSON: the answers of /v1/status, health and drops, and a minute of /v1/history")
	again.add(flags)
	return cmd
}

func askStats(ctx context.Context, c *control.Client) (st stats, err error) {
	if st.Status, err = c.Status(ctx); err != nil {
		return st, err
	}
	if st.Health, err = c.Health(ctx); err != nil {
		return st, err
	}
	if st.Drops, err = c.Drops(ctx); err != nil {
		return st, err
	}
	history, err := c.Recent(ctx, statsMinute)
	st.Samples = history.Samples
	return st, err
}

func (st *stats) write(w io.Writer) error {
	h := &st.Health
	var out strings.Builder
	out.WriteString(clean(fmt.Sprintf("%s, pid %d, up %s; %s: %s", st.Status.Version, st.Status.PID,
		forText(time.Duration(h.Uptime*float64(time.Second))), st.Status.Rules, rulesText(st.Status.Tenants, st.Status.RuleCount))) + "\n\n")
	for _, part := range []*columns{st.rates(), queuesTable(h.Queues), gaugesTable(h)} {
		out.WriteString(strings.Join(part.lines(), "") + "\n")
	}
	m, f := &h.Memory, &h.Flows
	fmt.Fprintf(&out, "flows: %d half-open; %d begun, %d expired, %d ended by rules, %d given up, %d refused for want of room\n",
		f.HalfOpen, f.Created, f.Expired, f.Ended, f.Evicted, f.Refused)
	fmt.Fprintf(&out, "memory: heap %s, resident %s, %s; events: %s, %d lost\n",
		sizeText(float64(m.Heap)), sizeText(float64(m.Resident)), counted(m.Goroutines, "goroutine"), counted(h.Events.Followers, "follower"), h.Events.Lost)
	if st.Status.Rights != "" {
		out.WriteString(clean("rights: "+st.Status.Rights) + "\n")
	}
	for i, t := range h.Troubles {
		if i == 0 {
			out.WriteString("\n")
		}
		out.WriteString(wrapped(clean(t.Severity+": "+t.What), "", "  ") + wrapped(clean(t.Remedy), "    > ", "      "))
	}
	_, err := io.WriteString(w, out.String())
	return err
}

// rates is the table of what goes through.
func (st *stats) rates() *columns {
	t := &st.Status.Totals
	var dropped, lost uint64
	for _, d := range st.Drops {
		if d.Where == "firewall" {
			dropped += d.Count
		}
	}
	for _, q := range st.Health.Queues {
		lost += q.DroppedFull + max(q.DroppedBuffer, q.Overruns)
	}
	now, minute := st.Samples[max(0, len(st.Samples)-statsNow):], st.Samples
	plain := func(n float64) string { return fmt.Sprintf("%.*f", decimals(n), n) }
	var table columns
	table.row("WHAT", "A SECOND", "OVER A MINUTE", "SINCE START")
	for _, r := range []struct {
		what  string
		of    func(*control.Sample) uint64
		total uint64
		text  func(float64) string
	}{
		{"packets", func(s *control.Sample) uint64 { return s.Packets }, t.Packets, plain},
		{"bytes", func(s *control.Sample) uint64 { return s.Bytes }, t.Bytes, sizeText},
		{"frames accepted", func(s *control.Sample) uint64 { return s.Accepted }, t.FramesAccepted, plain},
		{"- by audit mode alone", func(s *control.Sample) uint64 { return s.Audited }, t.FramesAudited, plain},
		{"dropped", func(s *control.Sample) uint64 { return s.Dropped }, dropped, plain},
		{"- rejected", func(s *control.Sample) uint64 { return s.Rejected }, t.RejectsSent + t.RejectsLimited + t.RejectsRefused, plain},
		{"flows begun", func(s *control.Sample) uint64 { return s.Begun }, st.Health.Flows.Created, plain},
		{"packets lost", func(s *control.Sample) uint64 { return s.Lost }, lost, plain},
	} {
		rate := func(samples []control.Sample) string {
			if len(samples) == 0 {
				return "" // it has just begun
			}
			sum := uint64(0)
			for i := range samples {
				sum += r.of(&samples[i])
			}
			return r.text(float64(sum) / float64(len(samples)))
		}
		total := fmt.Sprint(r.total)
		if r.what == "bytes" {
			total = sizeText(float64(r.total))
		}
		table.row(r.what, rate(now), rate(minute), total)
	}
	return &table
}

// decimals is how many digits behind the point say something.
func decimals(n float64) int {
	if n == 0 || n >= 10 {
		return 0
	}
	return 1
}

func queuesTable(queues []control.QueueHealth) *columns {
	var table columns
	table.row("QUEUE", "WAITING", "LENGTH", "PACKETS", "VERDICTS", "LOST: FULL", "LOST: BUFFER", "REFUSED", "LATE", "ERRORS")
	for i := range queues {
		q := &queues[i]
		waiting := ""
		if q.Waiting >= 0 {
			waiting = fmt.Sprint(q.Waiting)
		}
		table.row(q.Number, waiting, q.Length, q.Packets, q.Verdicts, q.DroppedFull, max(q.DroppedBuffer, q.Overruns), q.Refused, q.Late, q.Errors)
	}
	return &table
}

func gaugesTable(h *control.Health) *columns {
	var table columns
	table.row("HELD", "NOW", "AT MOST", "FULL")
	r := &h.Reassembly
	for _, g := range []struct {
		what string
		control.Gauge
		text func(float64) string
	}{
		{"flows", h.Flows.Gauge, nil},
		{"learned bindings", h.Bindings.Gauge, nil},
		{"frames not whole", r.Frames, nil},
		{"- their packets", r.Packets, nil},
		{"- their memory", r.Memory, sizeText},
		{"inner fragments' packets", r.FragmentPackets, nil},
		{"keys of dropped frames", r.Tombstones, nil},
	} {
		now, most := fmt.Sprint(g.Now), fmt.Sprint(g.Bound)
		if g.text != nil {
			now, most = g.text(float64(g.Now)), g.text(float64(g.Bound))
		}
		table.row(g.what, now, most, fmt.Sprintf("%d%%", 100*g.Now/max(1, g.Bound)))
	}
	return &table
}

// sizeText writes bytes with three digits, by powers of 1000.
func sizeText(n float64) string {
	units := []string{"B", "kB", "MB", "GB", "TB", "PB", "EB"}
	i := 0
	for ; i < len(units)-1 && n >= 999.5; i++ {
		n /= 1000
	}
	if i > 0 && n < 9.95 {
		return fmt.Sprintf("%.1f %s", n, units[i])
	}
	return fmt.Sprintf("%.0f %s", n, units[i])
}
