package tui

import (
	"fmt"
	"strings"
	"time"

	"sttwall/control"
	"sttwall/tui/plot"
)

// wideEnough is from how many columns on charts and lists stand beside each other.
const wideEnough = 100

// overviewPlan says what stands where, in lines from the top.
type overviewPlan struct {
	health int // lines of troubles
	beside bool
	// bits and packets are the lines of the charts, without their titles.
	bits, packets int
	rows          int // of the lists
	words         int // about the selected line
	listTop       int // line of the first row of the lists
	half          int // column of the right list
}

// roomyFrom is from how many lines on parts have a line between them.
const roomyFrom = 30

func (s *overview) plan(width, height int) overviewPlan {
	p := overviewPlan{health: 1, half: (width + 1) / 2, words: 2, beside: width >= wideEnough}
	if len(s.health.Troubles) > 0 {
		p.health = min(2*len(s.health.Troubles), max(2, height/8))
	}
	rest := height - p.health - len(s.verdicts()) - p.words
	// A title each; blank lines, and a title for the verdicts, where there is room.
	blanks := 0
	if height >= roomyFrom {
		blanks = 4
	}
	lists := max(4, min(rest/3, 1+max(len(s.tenants), len(s.drops), 5)))
	charts := rest - lists - blanks
	if p.beside {
		p.bits = max(0, min(charts-1, 15))
		p.packets = p.bits
		lists = rest - blanks - p.bits - 1
	} else {
		p.bits = max(0, min((charts-2+1)*2/3, 15))
		p.packets = max(0, min(charts-2-p.bits, 9))
		lists = rest - blanks - p.bits - p.packets - 2
	}
	p.rows = max(0, lists-1)
	p.listTop = height - p.words - p.rows
	return p
}

func (s *overview) View(width, height int) string {
	e := s.env
	if !s.heard || e.hasStatus && e.status.Totals.Packets == 0 && len(s.drops) == 0 {
		return e.empty(width, height, emptyTable{heard: s.heard, err: s.err, what: "packet"})
	}
	p := s.plan(width, height)
	lines := s.healthLines(width, p.health)
	roomy := height >= roomyFrom
	blank := func() {
		if roomy {
			lines = append(lines, "")
		}
	}
	blank()
	bits := func(room int) []string {
		return s.chart(room, p.bits, "Throughput", s.window(bitsOf), s.bits, func(v float64) string { return bitsText(v / 8) })
	}
	packets := func(room int) []string {
		return s.chart(room, p.packets, "Packets", s.window(packetsOf), s.packets, perSecond)
	}
	if p.beside {
		lines = append(lines, beside(bits(p.half-2), packets(width-p.half), p.half)...)
	} else {
		lines = append(append(lines, bits(width)...), packets(width)...)
	}
	blank()
	if roomy {
		lines = append(lines, e.line(width, piece{toneTitle, "Frames by verdict"}))
	}
	lines = append(lines, s.verdictLines(width)...)
	blank()
	lines = append(lines, beside(s.tenantLines(p.half-1, p.rows), s.dropLines(width-p.half, p.rows), p.half)...)
	// About the selected line is said below the lists, wherever those end.
	lines = append(pad(lines, min(len(lines)+1, height-p.words)), s.wordLines(width, p.words)...)
	return strings.Join(lines[:min(len(lines), height)], "\n")
}

// beside puts blocks of lines beside each other, the right one from a column on.
func beside(left, right []string, column int) []string {
	out := make([]string, max(len(left), len(right)))
	for i := range out {
		if i < len(left) {
			out[i] = left[i]
		}
		if i < len(right) {
			out[i] += spaces(column-styledWidth(out[i])) + right[i]
		}
	}
	return out
}

// healthLines say whether all is well, in exactly n lines.
func (s *overview) healthLines(room, n int) []string {
	e := s.env
	troubles := s.health.Troubles
	if len(troubles) == 0 {
		return []string{e.line(room, piece{toneGood, "+ All is well"}, piece{toneDim, ": nothing is lost, and nothing nearly full"})}
	}
	var lines []string
	for i, t := range troubles {
		if i > 0 && len(lines)+2 > n {
			more := e.line(room, piece{toneWarn, fmt.Sprintf("  and %s: see the screen Health", counted(len(troubles)-i, "more trouble"))})
			lines = append(lines[:min(len(lines), n-1)], more)
			break
		}
		lines = append(lines, troubleLines(e, room, t)...)
	}
	return lines[:min(len(lines), n)]
}

// troubleLines are a trouble, and what to do.
func troubleLines(e *env, room int, t control.Trouble) []string {
	as := toneWarn
	if t.Severity == severityCritical {
		as = toneBad
	}
	return []string{
		e.line(room, piece{as, "! " + t.Severity + ": "}, piece{toneStrong, t.What}),
		e.line(room, piece{toneDim, "  do: "}, piece{toneText, t.Remedy}),
	}
}

// chart draws a title and a chart of so many lines.
func (s *overview) chart(room, lines int, title string, w plot.Window, top float64, label func(float64) string) []string {
	e := s.env
	now := 0.0
	if n := len(w.Values); n > 0 {
		now = w.Values[n-1]
	}
	c := plot.Chart{Width: room, Height: lines, Top: top, Label: label, LabelWidth: 7, Glyphs: e.glyphs}
	span := time.Duration(float64(w.Steps) * s.step() * float64(time.Second))
	out := []string{e.line(room, piece{toneTitle, title}, piece{toneText, "  "}, piece{toneStrong, label(now)},
		piece{toneDim, "  peak " + label(plot.Largest(w.Values)) + "  the last " + ageText(span)})}
	for _, row := range c.Draw(w) {
		out = append(out, e.paint(toneDim, row.Label)+e.paint(tonePlot, row.Plot))
	}
	return out
}

// verdictRow is what is drawn of a verdict.
type verdictRow struct {
	text string
	tone tone
	of   func(*control.Sample) float64
}

// verdicts are the rows of verdicts; what the kernel has lost is one if it has.
func (s *overview) verdicts() []verdictRow {
	var rows []verdictRow
	for _, v := range []struct {
		verdict string
		of      func(*control.Sample) float64
	}{{"accept", acceptedOf}, {"drop", droppedOf}, {"audit", auditedOf}, {"reject", rejectedOf}} {
		rows = append(rows, verdictRow{verdictText(v.verdict), verdictTone(v.verdict), v.of})
	}
	if plot.Largest(s.values(lostOf)) > 0 {
		rows = append(rows, verdictRow{"? lost", toneBad, lostOf})
	}
	return rows
}

// verdictLines are a line for each verdict: how many frames a second, and since when.
func (s *overview) verdictLines(room int) []string {
	var lines []string
	for _, v := range s.verdicts() {
		w := s.window(v.of)
		now := 0.0
		if n := len(w.Values); n > 0 {
			now = w.Values[n-1]
		}
		most := plot.Largest(w.Values)
		as, words := v.tone, toneStrong
		if most == 0 {
			as, words = toneDim, toneDim
		}
		head := []piece{{as, fit(v.text, 9)}, {words, fitRight(perSecond(now), 7)},
			{toneDim, fit("  peak "+perSecond(most), 15)}}
		const used = 9 + 7 + 15
		lines = append(lines, s.env.line(room, append(head, piece{as, plot.Sparkline(w, room-used, 0, s.env.glyphs)})...))
	}
	return lines
}

// rowLine is a line of a list: its mark, and pieces that fill the room.
func (s *overview) rowLine(room int, selected bool, pieces ...piece) string {
	e := s.env
	if !selected {
		return e.line(room, append([]piece{{toneText, "  "}}, pieces...)...)
	}
	text := "> "
	for _, p := range pieces {
		text += clean(p.text)
	}
	return e.paint(toneSelected, fit(text, room))
}

// tenantLines are a title and so many rows.
func (s *overview) tenantLines(room, rows int) []string {
	e := s.env
	title := "Tenants that send most"
	top, end := s.seen(false, rows)
	if n := len(s.tenants); n > end-top {
		title += fmt.Sprintf("  %d-%d of %d", top+1, end, n)
	}
	lines := []string{e.line(room, piece{toneTitle, title})}
	total := 0.0
	for i := range s.tenants {
		total += s.tenantRates.now[s.tenants[i].Tenant].bytes
	}
	for i := top; i < end; i++ {
		t := &s.tenants[i]
		r := s.tenantRates.now[t.Tenant]
		share := ""
		if total > 0 {
			share = fmt.Sprintf("%.0f%%", 100*r.bytes/total)
		}
		name := max(6, room-2-9-5-min(trendOf, max(0, room-32))-3)
		pieces := []piece{{toneStrong, fit(clean(t.Tenant), name)}, {toneText, fitRight(bitsText(r.bytes), 9)}, {toneDim, fitRight(share, 5)}, {toneText, "  "},
			{tonePlot, plot.Sparkline(plot.Window{Values: r.trend}, min(trendOf, max(0, room-32)), 0, e.glyphs)}}
		lines = append(lines, s.rowLine(room, !s.onDrops && i == s.selected(), pieces...))
	}
	if len(s.tenants) == 0 && rows > 0 {
		lines = append(lines, e.line(room, piece{toneDim, "  none: the rules name no tenant"}))
	}
	return lines
}

// dropLines are a title and so many rows.
func (s *overview) dropLines(room, rows int) []string {
	e := s.env
	title := "Dropped most, by reason"
	top, end := s.seen(true, rows)
	if n := len(s.drops); n > end-top {
		title += fmt.Sprintf("  %d-%d of %d", top+1, end, n)
	}
	lines := []string{e.line(room, piece{toneTitle, title})}
	for i := top; i < end; i++ {
		d := &s.drops[i]
		r := s.dropRates.now[d.Reason]
		as := toneDrop
		if r.rate == 0 {
			as = toneDim
		}
		name := max(6, room-2-7-8-min(trendOf, max(0, room-37))-2)
		pieces := []piece{{toneText, fit(clean(d.Reason), name)}, {as, fitRight(perSecond(r.rate), 7)}, {toneDim, fitRight(countText(d.Count), 8)}, {toneText, "  "},
			{toneDrop, plot.Sparkline(plot.Window{Values: r.trend}, min(trendOf, max(0, room-37)), 0, e.glyphs)}}
		lines = append(lines, s.rowLine(room, s.onDrops && i == s.selected(), pieces...))
	}
	if len(s.drops) == 0 && rows > 0 {
		lines = append(lines, e.line(room, piece{toneDim, "  nothing has been dropped"}))
	}
	return lines
}

// wordLines say in n lines what the selected line means, and what Enter does.
func (s *overview) wordLines(room, n int) []string {
	e := s.env
	at := s.selected()
	var text string
	switch {
	case at < 0:
	case s.onDrops:
		d := &s.drops[at]
		text = clean(d.Reason) + ": " + clean(d.Meaning) + ". Do: " + clean(d.Remedy) + "."
	default:
		t := &s.tenants[at]
		text = fmt.Sprintf("%s: %s, %s frames dropped, %s would be but for audit mode. Enter shows its flows.",
			clean(t.Tenant), counted(t.FlowsNow, "flow"), grouped(t.Dropped), grouped(t.Audited))
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
