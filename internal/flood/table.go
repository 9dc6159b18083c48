package flood

import (
	"cmp"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
)

// leastRatio is what must remain of the others' goodput.
const leastRatio = 0.9

// Wrong says what is not as it should be; "": nothing. An attack without a limit on its
// rate is there to show why there is one.
func (r *Row) Wrong() string {
	var list []string
	if r.Ratio < leastRatio && r.Attack != withoutLimit {
		list = append(list, fmt.Sprintf("goodput is below %.1f", leastRatio))
	}
	if r.Most > r.Bound {
		list = append(list, "memory is over its bound")
	}
	return strings.Join(list, ", ")
}

// withoutLimit is the attack that nothing holds back.
const withoutLimit = "line-rate"

func mib(bytes int64) string { return fmt.Sprintf("%d MiB", (bytes+1<<20-1)>>20) }

// drops lists the reasons that count, the most frequent first.
func (r *Row) drops() string {
	type drop struct {
		name  string
		count uint64
	}
	var list []drop
	for name, n := range r.Dropped {
		if n > 0 {
			list = append(list, drop{name, n})
		}
	}
	slices.SortFunc(list, func(a, b drop) int { return cmp.Or(cmp.Compare(b.count, a.count), cmp.Compare(a.name, b.name)) })
	var texts []string
	for _, d := range list[:min(len(list), 4)] {
		_, name, _ := strings.Cut(d.name, "/")
		texts = append(texts, fmt.Sprintf("`%s` %d", name, d.count))
	}
	if texts == nil {
		return "nothing"
	}
	return strings.Join(texts, ", ")
}

// Write prints the row for people.
func (r *Row) Write(w io.Writer) error {
	mark := "ok "
	if r.Wrong() != "" {
		mark = "BAD"
	}
	_, err := fmt.Fprintf(w, "%s %-18s %8.0f/s  goodput %.3f (at least %.3f)  memory %s -> %s of %s  dropped: %s\n      flows %d of %d, bindings %d of %d, frames %d of %d, %s of %s; %d lines logged %s\n",
		mark, r.Attack, r.Rate, r.Ratio, r.Least, mib(r.Before), mib(r.Most), mib(r.Bound), strings.ReplaceAll(r.drops(), "`", ""),
		r.Flows.Now, r.Flows.Bound, r.Bindings.Now, r.Bindings.Bound, r.Frames.Now, r.Frames.Bound, mib(int64(r.Held.Now)), mib(int64(r.Held.Bound)), r.LoggedLines, r.Wrong())
	return err
}

const begin, finish = "<!-- sttwall flood -->\n", "<!-- /sttwall flood -->"

// Replace puts the rows as a table into a document, between its marks.
func Replace(document string, rows []Row) (string, error) {
	before, rest, ok := strings.Cut(document, begin)
	_, after, closed := strings.Cut(rest, finish)
	if !ok || !closed {
		return "", errors.New("it has no marks for the table of sttwall flood")
	}
	var out strings.Builder
	out.WriteString("| attack | a second | goodput of the others (worst round) | dropped, of all that came | most in the tables | resident memory before, at most, bound |\n| --- | --- | --- | --- | --- | --- |\n")
	for _, r := range rows {
		fmt.Fprintf(&out, "| **%s**: %s | %.0f | %.3f (%.3f) | %s | %d of %d flows, %d of %d bindings, %d of %d frames in %s of %s; %d lines logged | %s, %s, %s |\n",
			r.Attack, r.What, r.Rate, r.Ratio, r.Least, r.drops(), r.Flows.Now, r.Flows.Bound, r.Bindings.Now, r.Bindings.Bound, r.Frames.Now, r.Frames.Bound,
			mib(int64(r.Held.Now)), mib(int64(r.Held.Bound)), r.LoggedLines, mib(r.Before), mib(r.Most), mib(r.Bound))
	}
	return before + begin + out.String() + finish + after, nil
}
