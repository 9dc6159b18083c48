package chaos

import (
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"
	"time"
)

// Write prints the summary for people.
func (s *Summary) Write(w io.Writer, seed uint64, samples []Sample) error {
	var out strings.Builder
	fmt.Fprintf(&out, "\n%d faults in %v, seed %d, the firewall was started %d times\n", s.Faults, s.Took.Round(time.Second), seed, s.Starts)
	fmt.Fprintf(&out, "denied packets: %d sent, %d arrived (but for what was opened)\n", s.Sent, s.Denied)
	fmt.Fprintf(&out, "accepted transfers: %d MB compared, %d other bytes; %d whole, %d broken off by faults\n", s.Verified/1_000_000, s.Corrupt, s.Whole, s.Broken)
	fmt.Fprintf(&out, "probe: %d of %d lost while faults were in\n", s.Lost, s.Asked)
	for _, life := range lives(samples) {
		fmt.Fprintf(&out, "process %d: %s\n", life.pid, life.text)
	}
	if s.Missed != 0 {
		fmt.Fprintf(&out, "WRONG: the watch at the far side has missed %d packets\n", s.Missed)
	}
	for _, leak := range s.Leaks {
		fmt.Fprintf(&out, "WRONG: %s\n", leak)
	}
	if s.Wrong > 0 {
		fmt.Fprintf(&out, "WRONG: %d faults did not end as they should\n", s.Wrong)
	}
	_, err := io.WriteString(w, out.String())
	return err
}

// life is what was seen of one process.
type life struct {
	pid         int
	first, last Sample
	most        Sample
	text        string
}

func lives(samples []Sample) (list []life) {
	for _, s := range samples {
		if len(list) == 0 || list[len(list)-1].pid != s.PID {
			list = append(list, life{pid: s.PID, first: s, most: s})
		}
		l := &list[len(list)-1]
		l.last = s
		l.most.Resident, l.most.Files, l.most.Goroutines = max(l.most.Resident, s.Resident), max(l.most.Files, s.Files), max(l.most.Goroutines, s.Goroutines)
	}
	for i := range list {
		l := &list[i]
		l.text = fmt.Sprintf("from an age of %v to %v: memory %d, then %d MiB (most %d); open files %d, then %d (most %d); goroutines %d, then %d (most %d)",
			l.first.Age.Round(time.Second), l.last.Age.Round(time.Second), l.first.Resident>>20, l.last.Resident>>20, l.most.Resident>>20,
			l.first.Files, l.last.Files, l.most.Files, l.first.Goroutines, l.last.Goroutines, l.most.Goroutines)
	}
	return list
}

// RandomMarkdown returns what docs/reliability.md says of a run of random faults.
func RandomMarkdown(rows []Row, samples []Sample, s *Summary, seed uint64) string {
	var out strings.Builder
	if s == nil {
		return ""
	}
	fmt.Fprintf(&out, "%v with seed %d: %d faults, the firewall was started %d times. Denied packets: %d sent, %d arrived. "+
		"Accepted transfers: %d MB compared, %d other bytes. Faults that did not end as they should: %d.\n\n",
		s.Took.Round(time.Second), seed, s.Faults, s.Starts, s.Sent, s.Denied, s.Verified/1_000_000, s.Corrupt, s.Wrong)
	out.WriteString("| fault | how often | lost at most | longest gap | longest recovery |\n| --- | --- | --- | --- | --- |\n")
	type sum struct {
		n, lost       int
		gap, recovery time.Duration
	}
	sums := map[string]*sum{}
	for i := range rows {
		r := &rows[i]
		if sums[r.Fault] == nil {
			sums[r.Fault] = &sum{}
		}
		m := sums[r.Fault]
		m.n++
		m.lost, m.gap, m.recovery = max(m.lost, r.Lost), max(m.gap, r.Gap), max(m.recovery, r.Recovery)
	}
	for _, name := range slices.Sorted(maps.Keys(sums)) {
		m := sums[name]
		fmt.Fprintf(&out, "| %s | %d | %d | %s | %s |\n", name, m.n, m.lost, duration(m.gap), duration(m.recovery))
	}
	out.WriteString("\n| process | age when looked at | memory in MiB | open files | goroutines |\n| --- | --- | --- | --- | --- |\n")
	for i, l := range lives(samples) {
		fmt.Fprintf(&out, "| %d | %v, %v | %d, %d (most %d) | %d, %d (most %d) | %d, %d (most %d) |\n", i+1,
			l.first.Age.Round(time.Second), l.last.Age.Round(time.Second), l.first.Resident>>20, l.last.Resident>>20, l.most.Resident>>20,
			l.first.Files, l.last.Files, l.most.Files, l.first.Goroutines, l.last.Goroutines, l.most.Goroutines)
	}
	return out.String()
}

// Replace puts a block into a text, between the marks with its name.
func Replace(text, name, block string) (string, error) {
	begin, end := "<!-- chaos: "+name+" -->\n", "<!-- end of chaos: "+name+" -->"
	before, rest, found := strings.Cut(text, begin)
	_, after, ended := strings.Cut(rest, end)
	if !found || !ended {
		return "", fmt.Errorf("the marks %q and %q are not there", strings.TrimSpace(begin), end)
	}
	return before + begin + block + end + after, nil
}
