package soak

import (
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"
	"time"
)

// Write prints the verdict for people.
func Write(w io.Writer, samples []Sample, end *End) error {
	v := Judge(samples, end)
	var out strings.Builder
	fmt.Fprintf(&out, "%v, %d samples\n", end.Took.Round(time.Second), len(samples))
	for _, c := range v {
		mark := "ok "
		if !c.OK {
			mark = "BAD"
		}
		fmt.Fprintf(&out, "%s %-16s %s\n", mark, c.Name, c.Text)
	}
	p50, p99, worst := latency(samples)
	fmt.Fprintf(&out, "    %-16s p50 %s, p99 %s (medians of the samples), worst p99 %s\n", "latency", millis(p50), millis(p99), millis(worst))
	_, err := io.WriteString(w, out.String())
	return err
}

func millis(d time.Duration) string {
	return fmt.Sprintf("%.2f ms", float64(d)/float64(time.Millisecond))
}

// Markdown is what docs/soak.md says of a run.
func Markdown(samples []Sample, end *End, where string) string {
	var out strings.Builder
	fmt.Fprintf(&out, "%v on %s, %d samples.\n\n| what | verdict | |\n| --- | --- | --- |\n", end.Took.Round(time.Second), where, len(samples))
	for _, c := range Judge(samples, end) {
		word := "ok"
		if !c.OK {
			word = "**not as it should be**"
		}
		fmt.Fprintf(&out, "| %s | %s | %s |\n", c.Name, word, strings.ReplaceAll(c.Text, "|", "\\|"))
	}
	p50, p99, worst := latency(samples)
	fmt.Fprintf(&out, "| latency | | p50 %s, p99 %s (medians of the samples), worst p99 %s |\n\nDisturbances: ", millis(p50), millis(p99), millis(worst))
	for i, name := range slices.Sorted(maps.Keys(end.Done)) {
		if i > 0 {
			out.WriteString(", ")
		}
		fmt.Fprintf(&out, "%s %d times", name, end.Done[name])
	}
	out.WriteString(".\n")
	return out.String()
}

const begin, finish = "<!-- soak -->\n", "<!-- end of soak -->"

// Replace puts a block into a text, between its marks.
func Replace(text, block string) (string, error) {
	before, rest, found := strings.Cut(text, begin)
	_, after, ended := strings.Cut(rest, finish)
	if !found || !ended {
		return "", fmt.Errorf("the marks %q and %q are not there", strings.TrimSpace(begin), finish)
	}
	return before + begin + block + finish + after, nil
}
