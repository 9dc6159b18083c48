package benchreport

import (
	"fmt"
	"io"
	"math"
	"strconv"
	"strings"
	"time"
)

// head names the columns, each as wide as what may stand in it.
const head = "                packets/s  Gbit/s of fwd of acc     p50     p99   p99.9     CPU\n"

// legend says what the columns are.
const legend = `of fwd: of forwarding without a queue. of acc: of a queue whose worker accepts
everything: the limit of user space. p50, p99, p99.9: latency at half the load.
CPU: time of the firewall's threads for a packet.
`

// Write writes the result for people, at most 80 columns wide unless names are longer.
func (r *Result) Write(w io.Writer) error {
	var out strings.Builder
	for _, line := range []string{
		fmt.Sprintf("%s; Linux %s, %s, %s", r.Version, r.Kernel, r.Processor, counted(r.CPUs, "processor")),
		fmt.Sprintf("%s, %s, driver %s; medians of %s of %g s, in turn",
			counted(r.Queues, "queue"), counted(r.Flows, "flow"), r.Driver, counted(r.Rounds, "round"), r.Duration),
		"rules: " + r.Rules, "packets: " + r.Flow,
	} {
		out.WriteString(wrapped(line) + "\n")
	}
	out.WriteString("\n" + head)
	packet := ""
	for i := range r.Rows {
		row := &r.Rows[i]
		if row.Packet != packet {
			packet = row.Packet
			out.WriteString(Title(packet))
			if row.Rounds < r.Rounds {
				fmt.Fprintf(&out, " (%d of %s)", row.Rounds, counted(r.Rounds, "round"))
			}
			out.WriteString("\n")
		}
		out.WriteString(row.line() + "\n")
		if row.Lost > 0 {
			fmt.Fprintf(&out, "    %s lost: the rates above are of those that left\n", counted(int(row.Lost), "packet"))
		}
	}
	out.WriteString("\n" + legend)
	for _, sentence := range append([]string{r.Finding()}, r.Doubts()...) {
		if sentence != "" {
			out.WriteString("\n" + wrapped(sentence) + "\n")
		}
	}
	_, err := io.WriteString(w, out.String())
	return err
}

func (r *Row) line() string {
	ofAccept := share(r.OfAccept)
	if r.Way == Forward {
		ofAccept = "-" // it says nothing that the other rows do not
	}
	p50, p99, p999 := "-", "-", "-"
	if l := r.Latency; l != nil {
		p50, p99, p999 = timeText(l.P50), timeText(l.P99), timeText(l.P999)
	}
	cpu := "-"
	if r.CPU > 0 {
		cpu = timeText(time.Duration(r.CPU))
	}
	return fmt.Sprintf("  %-11s %11s %7s %6s %6s %7s %7s %7s %7s", r.Way, Thousands(r.PPS), digits(r.Gbps),
		share(r.Ratio), ofAccept, p50, p99, p999, cpu)
}

// Finding says in a sentence what the rows come to: what the rules cost of what is
// possible. It is empty where that was not measured.
func (r *Result) Finding() string {
	var parts []string
	for i := range r.Rows {
		row := &r.Rows[i]
		if row.Way != Rules || row.OfAccept == 0 {
			continue
		}
		cost := "nothing that shows"
		if percent := 100 * (1 - row.OfAccept); percent >= 0.5 {
			cost = fmt.Sprintf("%.0f\u00a0%%", percent)
		}
		parts = append(parts, fmt.Sprintf("%s (%s)", cost, Title(row.Packet)))
	}
	if len(parts) == 0 {
		return ""
	}
	last := len(parts) - 1
	list := parts[last]
	if last > 0 {
		list = strings.Join(parts[:last], ", ") + " and " + list
	}
	return "Of what any firewall on a queue can do here the rules cost " + list + "."
}

// noise is how much of the median the rates of single rounds may differ by before it is
// worth a word.
const noise = 0.25

// tooNoisy is where ratios within a round say little either.
const tooNoisy = 1.0

// Doubts says what makes the figures say less than they seem to.
func (r *Result) Doubts() (out []string) {
	if r.Queues >= r.CPUs {
		out = append(out, fmt.Sprintf("%s on %s: the packet source shares one with a worker, and takes from what the firewall can do.",
			counted(r.Queues, "queue"), counted(r.CPUs, "processor")))
	}
	worst := 0.0
	for i := range r.Rows {
		row := &r.Rows[i]
		worst = max(worst, (row.Fastest-row.Slowest)/max(1, row.PPS))
	}
	if worst > noise {
		text := fmt.Sprintf("Rates of single rounds differ by up to %.0f\u00a0%%: this host does something else too. ", 100*worst)
		if worst > tooNoisy {
			text += "Figures from so busy a host are not to be relied on: measure again when it is idle."
		} else {
			text += "The ratios are of one round each and suffer less; more --rounds help."
		}
		out = append(out, text)
	}
	return out
}

// wrapped breaks text into lines of at most 80 columns, but not where a blank must not be
// broken.
func wrapped(text string) string {
	const most = 80
	var out strings.Builder
	at := 0
	for _, word := range strings.Split(text, " ") {
		word = strings.ReplaceAll(word, "\u00a0", " ")
		switch {
		case at == 0:
		case at+1+len(word) > most:
			out.WriteByte('\n')
			at = 0
		default:
			out.WriteByte(' ')
			at++
		}
		out.WriteString(word)
		at += len(word)
	}
	return out.String()
}

// Title names a kind of packet for people.
func Title(packet string) string {
	if t, ok := titles[packet]; ok {
		return t
	}
	if n, err := strconv.Atoi(packet); err == nil {
		return Thousands(float64(n)) + " bytes"
	}
	return packet
}

var titles = map[string]string{
	"45":          "frames of 45 segments",
	"45-shuffled": "frames of 45 segments, shuffled",
	"gso64k":      "super-segments of 64,000 bytes",
}

func share(f float64) string {
	if f == 0 {
		return "-"
	}
	return fmt.Sprintf("%.2f", f)
}

// digits writes a number with three digits at least.
func digits(f float64) string {
	switch {
	case f >= 99.95:
		return fmt.Sprintf("%.0f", f)
	case f >= 9.995:
		return fmt.Sprintf("%.1f", f)
	}
	return fmt.Sprintf("%.2f", f)
}

// Thousands writes a whole number in groups of three digits.
func Thousands(f float64) string {
	s := strconv.FormatInt(int64(math.Round(f)), 10)
	for i := len(s) - 3; i > 0 && s[i-1] != '-'; i -= 3 {
		s = s[:i] + "," + s[i:]
	}
	return s
}

// timeText writes a duration with three digits, or two where the first is large enough.
func timeText(d time.Duration) string {
	for _, u := range []struct {
		name string
		unit time.Duration
	}{{"ns", time.Nanosecond}, {"us", time.Microsecond}, {"ms", time.Millisecond}} {
		if f := float64(d) / float64(u.unit); f < 999.5 {
			if f >= 9.95 || u.unit == 1 {
				return fmt.Sprintf("%.0f %s", f, u.name)
			}
			return fmt.Sprintf("%.1f %s", f, u.name)
		}
	}
	return fmt.Sprintf("%.1f s", d.Seconds())
}

func counted(n int, thing string) string {
	if n != 1 {
		thing += "s"
	}
	return Thousands(float64(n)) + " " + thing
}
