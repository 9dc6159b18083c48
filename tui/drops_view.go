package tui

import (
	"cmp"
	"fmt"
	"strconv"
	"strings"
	"time"

	"sttwall/control"
)

// dropsPlan says how many lines each part has.
type dropsPlan struct {
	reasons, words, frames int
}

// plan gives the reasons a third at most, two lines of words, a title, and the rest to
// the frames.
func (s *drops) plan(height int) dropsPlan {
	p := dropsPlan{words: 2}
	p.reasons = max(2, min(1+max(1, s.reasons.total), height/3))
	const title = 1
	p.frames = max(1, height-p.reasons-p.words-title)
	return p
}

func (s *drops) View(width, height int) string {
	e := s.env
	if s.reasons.total == 0 && s.frames.total == 0 && (e.filter.All() || !s.heard) {
		return e.empty(width, height, emptyTable{heard: s.heard, err: s.err, what: "drop", more: s.nothing()})
	}
	p := s.plan(height)
	s.reasons.blurred, s.frames.blurred = !s.onReasons, s.onReasons
	lines := pad(strings.Split(s.reasons.View(width, p.reasons), "\n"), p.reasons)
	lines = append(lines, pad(s.words(width, p.words), p.words)...)
	title := "Frames, the newest first"
	if s.frames.sortBy != "time" || !s.frames.descending() {
		title = "Frames"
	}
	mark := toneTitle
	if s.onReasons {
		mark = toneDim
	}
	pieces := []piece{{mark, title}}
	if s.skipped > 0 {
		pieces = append(pieces, piece{toneDim, "  " + counted(int(s.skipped), "frame") + " more not kept: they came too fast"})
	}
	lines = append(lines, e.line(width, pieces...))
	if s.frames.total > 0 {
		lines = append(lines, strings.Split(s.frames.View(width, p.frames), "\n")...)
	} else {
		lines = append(lines, strings.Split(s.noFrames(width, p.frames), "\n")...)
	}
	return strings.Join(lines[:min(len(lines), height)], "\n")
}

// nothing says that nothing was dropped.
func (s *drops) nothing() []string {
	if s.env.status.Totals.Packets == 0 {
		return s.env.noTraffic()
	}
	return []string{"Nothing has been dropped since the firewall started, and audit mode has let nothing pass."}
}

// noFrames says why no frame is listed though some were dropped.
func (s *drops) noFrames(width, height int) string {
	hidden := 0
	for i := range s.reasons.rows {
		hidden += int(s.reasons.rows[i].Count)
	}
	return s.env.empty(width, height, emptyTable{heard: s.heard, err: s.err, what: "frame", hidden: hidden, more: []string{
		"Only frames that the firewall itself drops are kept with their bytes, the newest of them.",
		"What the nftables table or the kernel's queue drops is counted above.",
	}})
}

func pad(lines []string, n int) []string {
	for len(lines) < n {
		lines = append(lines, "")
	}
	return lines[:n]
}

// words say what the selected reason means, and what to do.
func (s *drops) words(room, n int) []string {
	e := s.env
	var text string
	if s.onReasons {
		if d := s.reasons.current(); d != nil {
			text = clean(d.Reason) + ": " + clean(d.Meaning) + ". Do: " + clean(d.Remedy) + "."
		}
	} else if at := s.frames.current(); at != nil {
		f := *at
		for i := range s.reasons.rows {
			if d := &s.reasons.rows[i]; d.Reason == f.Reason {
				text = clean(d.Reason) + ": " + clean(d.Meaning) + ". Do: " + clean(d.Remedy) + "."
			}
		}
	}
	lines := wrapLines([]string{text}, room)
	if len(lines) > n {
		lines = lines[:n]
		lines[n-1] = cut(lines[n-1]+" …", room)
	}
	for i := range lines {
		lines[i] = e.paint(toneDim, lines[i])
	}
	return lines
}

func reasonColumns(s *drops) []column[control.Drop] {
	rate := func(d *control.Drop) dropRate { return s.rates.now[d.Reason] }
	return []column[control.Drop]{
		{Key: "reason", Title: "REASON", Min: 12, Max: 28,
			Less: func(a, b *control.Drop) int { return cmp.Compare(a.Reason, b.Reason) },
			Cell: func(d *control.Drop) cell { return cell{d.Reason, toneStrong} }},
		{Key: "rate", Title: "RATE", Min: 7, Max: 7, Right: true, Largest: true,
			Less: func(a, b *control.Drop) int {
				return cmp.Or(cmp.Compare(rate(a).rate, rate(b).rate), cmp.Compare(a.Count, b.Count))
			},
			Cell: func(d *control.Drop) cell {
				if n := rate(d).rate; n > 0 {
					return cell{perSecond(n), toneDrop}
				}
				return cell{"0", toneDim}
			},
			File: func(d *control.Drop) string { return strconv.FormatFloat(rate(d).rate, 'f', 1, 64) }},
		{Key: "trend", Title: "TREND", Min: 12, Max: 12, Drop: 4, Drawn: true,
			Cell: func(d *control.Drop) cell { return cell{s.env.spark(rate(d).trend, trendOf), toneDrop} }},
		{Key: "count", Title: "COUNT", Min: 6, Max: 6, Right: true, Largest: true,
			Less: func(a, b *control.Drop) int { return cmp.Compare(a.Count, b.Count) },
			Cell: func(d *control.Drop) cell { return cell{countText(d.Count), toneText} },
			File: func(d *control.Drop) string { return fileNumber(d.Count) }},
		{Key: "bytes", Title: "BYTES", Min: 6, Max: 6, Right: true, Drop: 5, Largest: true,
			Less: func(a, b *control.Drop) int { return cmp.Compare(a.Bytes, b.Bytes) },
			Cell: func(d *control.Drop) cell {
				if d.Bytes == 0 { // the kernel does not say
					return cell{}
				}
				return cell{bytesText(d.Bytes), toneDim}
			},
			File: func(d *control.Drop) string { return fileNumber(d.Bytes) }},
		{Key: "where", Title: "WHERE", Min: 8, Max: 8, Drop: 3,
			Less: func(a, b *control.Drop) int { return cmp.Compare(a.Where, b.Where) },
			Cell: func(d *control.Drop) cell { return cell{d.Where, toneDim} }},
		{Key: "last", Title: "LAST", Min: 10, Max: 10, Right: true, Drop: 2, Largest: true,
			Less: func(a, b *control.Drop) int { return timeOf(a.Last).Compare(timeOf(b.Last)) },
			Cell: func(d *control.Drop) cell {
				if d.Last == nil {
					return cell{"", toneDim}
				}
				return cell{ageText(s.env.now().Sub(*d.Last)) + " ago", toneDim}
			},
			File: func(d *control.Drop) string { return fileTime(d.Last) }},
		{Key: "meaning", Title: "MEANING", Min: 20, Max: 90, Drop: 6,
			Cell: func(d *control.Drop) cell { return cell{d.Meaning, toneDim} }},
	}
}

func timeOf(t *time.Time) time.Time {
	if t == nil {
		return time.Time{}
	}
	return *t
}

// byPointer are columns of rows that are pointers: frames are large, and sorting moves
// rows about.
func byPointer[T any](columns []column[T]) []column[*T] {
	out := make([]column[*T], len(columns))
	for i := range columns {
		c := &columns[i]
		out[i] = column[*T]{
			Key: c.Key, Title: c.Title, Min: c.Min, Max: c.Max, Right: c.Right, Drop: c.Drop, Off: c.Off, Largest: c.Largest, Drawn: c.Drawn,
			Cell: func(r **T) cell { return c.Cell(*r) },
		}
		if c.File != nil {
			out[i].File = func(r **T) string { return c.File(*r) }
		}
		if c.Less != nil {
			out[i].Less = func(a, b **T) int { return c.Less(*a, *b) }
		}
	}
	return out
}

func frameColumns(e *env) []column[control.Frame] {
	text := func(get func(*control.Frame) string) func(*control.Frame) cell {
		return func(f *control.Frame) cell { return cell{get(f), toneText} }
	}
	dim := func(get func(*control.Frame) string) func(*control.Frame) cell {
		return func(f *control.Frame) cell { return cell{get(f), toneDim} }
	}
	less := func(get func(*control.Frame) string) func(a, b *control.Frame) int {
		return func(a, b *control.Frame) int { return cmp.Compare(get(a), get(b)) }
	}
	// What has no inner ends is told by its outer ones.
	ends := func(inner func(*control.Frame) string, outer func(*control.Frame) string) func(*control.Frame) cell {
		return func(f *control.Frame) cell {
			if text := inner(f); text != "" {
				return cell{text, toneText}
			}
			if text := outer(f); text != "" {
				return cell{"outer " + text, toneDim}
			}
			return cell{}
		}
	}
	src := ends(func(f *control.Frame) string { return end(f.Src, f.Inner.SrcPort) }, func(f *control.Frame) string { return addressText(f.From) })
	dst := ends(func(f *control.Frame) string { return end(f.Dst, f.DstPort) }, func(f *control.Frame) string { return addressText(f.To) })
	return []column[control.Frame]{
		{Key: "time", Title: "TIME", Min: 8, Max: 8, Largest: true,
			Less: func(a, b *control.Frame) int { return cmp.Compare(a.Seq, b.Seq) },
			Cell: dim(func(f *control.Frame) string { return f.Time.In(e.now().Location()).Format(time.TimeOnly) }),
			File: func(f *control.Frame) string { return fileTime(&f.Time) }},
		{Key: "verdict", Title: "VERDICT", Min: 8, Max: 8,
			Less: less(func(f *control.Frame) string { return f.Verdict }),
			Cell: func(f *control.Frame) cell { return cell{verdictText(f.Verdict), verdictTone(f.Verdict)} },
			File: func(f *control.Frame) string { return f.Verdict }},
		{Key: "tenant", Title: "TENANT", Min: 6, Max: 20, Drop: 2,
			Less: less(func(f *control.Frame) string { return f.Tenant }),
			Cell: func(f *control.Frame) cell {
				if f.Tenant == "" {
					return cell{"-", toneDim}
				}
				return cell{f.Tenant, toneText}
			},
			File: func(f *control.Frame) string { return f.Tenant }},
		{Key: "reason", Title: "REASON", Min: 10, Max: 24, Drop: 1,
			Less: less(func(f *control.Frame) string { return f.Reason }),
			Cell: func(f *control.Frame) cell { return cell{f.Reason, verdictTone(f.Verdict)} }},
		{Key: "protocol", Title: "PROTO", Min: 5, Max: 12, Drop: 4, Less: less(frameProtocol), Cell: text(frameProtocol)},
		{Key: "src", Title: "SOURCE", Min: 9, Max: 47,
			Less: func(a, b *control.Frame) int { return a.Src.Compare(b.Src) }, Cell: src},
		{Key: "dst", Title: "DESTINATION", Min: 9, Max: 47,
			Less: func(a, b *control.Frame) int { return a.Dst.Compare(b.Dst) }, Cell: dst},
		{Key: "rule", Title: "RULE", Min: 7, Max: 32, Drop: 6, Less: less(func(f *control.Frame) string { return f.Rule }),
			Cell: func(f *control.Frame) cell {
				if f.Rule == "" {
					return cell{"-", toneDim}
				}
				return cell{f.Rule, toneText}
			},
			File: func(f *control.Frame) string { return f.Rule }},
		{Key: "bytes", Title: "BYTES", Min: 6, Max: 6, Right: true, Drop: 8, Largest: true,
			Less: func(a, b *control.Frame) int { return cmp.Compare(a.InnerBytes, b.InnerBytes) },
			Cell: dim(func(f *control.Frame) string { return bytesText(uint64(max(0, f.InnerBytes))) }),
			File: func(f *control.Frame) string { return fileNumber(uint64(max(0, f.InnerBytes))) }},
		{Key: "context", Title: "CONTEXT", Min: 7, Max: 18, Drop: 7, Cell: dim(func(f *control.Frame) string {
			if f.Context == nil {
				return ""
			}
			return contextText(*f.Context)
		})},
		{Key: "from", Title: "FROM", Min: 7, Max: 39, Drop: 9,
			Less: func(a, b *control.Frame) int { return a.From.Compare(b.From) },
			Cell: dim(func(f *control.Frame) string { return addressText(f.From) })},
		{Key: "to", Title: "TO", Min: 7, Max: 39, Drop: 10,
			Less: func(a, b *control.Frame) int { return a.To.Compare(b.To) },
			Cell: dim(func(f *control.Frame) string { return addressText(f.To) })},
		{Key: "segments", Title: "PACKETS", Min: 7, Max: 7, Right: true, Off: true, Drop: 11, Largest: true,
			Less: func(a, b *control.Frame) int { return cmp.Compare(a.Segments, b.Segments) },
			Cell: dim(func(f *control.Frame) string { return fmt.Sprint(f.Segments) })},
	}
}
