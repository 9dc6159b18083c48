package tui

import (
	"fmt"
	"strings"

	"charm.land/bubbles/v2/key"
	tea "charm.land/bubbletea/v2"
	"github.com/charmbracelet/x/ansi"

	"sttwall/tui/plot"
)

// Lines around the screen: header and tabs above, status line and keys below.
const (
	tabsLine  = 1
	bodyTop   = 2
	footLines = 2
)

// Below this size a sentence says so.
const minWidth, minHeight = 40, 10

// wholeScreen ends what may be left of a scrolling region (DECSTBM) without moving
// the cursor. A frame that is drawn while the terminal grows sets one as high as the
// terminal was, and what is drawn after that without this would scroll in it.
const wholeScreen = ansi.SaveCursor + "\x1b[r" + ansi.RestoreCursor

func (a *app) resize(width, height int) {
	a.width, a.height = width, height
	a.env.width, a.env.height = max(1, width), max(1, height-bodyTop-footLines)
	for _, stack := range a.tabs {
		for _, s := range stack {
			s.Update(sizeMsg{})
		}
	}
}

// View draws what there is.
func (a *app) View() tea.View {
	content := a.content()
	if a.env.glyphs == plot.ASCII {
		content = asciiOnly(content)
	}
	v := tea.NewView(content)
	v.AltScreen, v.MouseMode = true, tea.MouseModeCellMotion
	v.WindowTitle = "sttwall"
	if a.config.Title != "" {
		v.WindowTitle += " " + clean(a.config.Title)
	}
	if a.prompt != nil && a.bigEnough() {
		v.Cursor = tea.NewCursor(a.prompt.column(a.width), a.height-footLines-promptLines)
	}
	return v
}

func (a *app) bigEnough() bool { return a.width >= minWidth && a.height >= minHeight }

// content is the whole screen, no line wider and no more lines than there are.
func (a *app) content() string {
	if !a.bigEnough() {
		return a.tooSmall()
	}
	body := a.env.height
	if a.prompt != nil {
		body -= promptLines
	}
	lines := append(make([]string, 0, a.height), a.header(), a.tabsText())
	shown := strings.Split(a.top().View(a.width, body), "\n")
	for i := range body {
		line := ""
		if i < len(shown) {
			line = shown[i]
		}
		// A screen that errs must not break the others.
		if len(line) > a.width && ansi.StringWidth(line) > a.width {
			line = ansi.Truncate(line, a.width, "") + toneEnd
		}
		lines = append(lines, line)
	}
	if a.prompt != nil {
		lines = append(lines, a.prompt.View(a.width)...)
	}
	lines = append(lines, a.statusText(), a.keysText())
	return strings.Join(lines, "\n")
}

func (a *app) tooSmall() string {
	var lines []string
	rest := fmt.Sprintf("this needs a terminal of %dx%d, and this one has %dx%d", minWidth, minHeight, a.width, a.height)
	for rest != "" && len(lines) < a.height && a.width > 0 {
		n := min(len(rest), a.width)
		if i := strings.LastIndexByte(rest[:n], ' '); i > 0 && n < len(rest) && rest[n] != ' ' {
			n = i
		}
		lines = append(lines, rest[:n])
		rest = strings.TrimLeft(rest[n:], " ")
	}
	return strings.Join(lines, "\n")
}

// piece is text in a tone.
type piece struct {
	tone tone
	text string
}

// line puts pieces beside each other, as many columns as there are.
func (e *env) line(room int, pieces ...piece) string {
	var out strings.Builder
	for _, p := range pieces {
		text := cut(clean(p.text), room)
		room -= width(text)
		out.WriteString(e.paint(p.tone, text))
		if room <= 0 {
			break
		}
	}
	return out.String()
}

// header says which firewall it is, how it does, and what goes through it; where there is
// little room in shorter words, and without what then has no room for all of it.
func (a *app) header() string {
	e := a.env
	var line []piece
	used := 0
	for _, short := range []bool{false, true} {
		line, used = nil, 0
		parts, state := a.headerParts(short)
		for i, part := range parts {
			n := 0
			for _, p := range part {
				n += width(clean(p.text))
			}
			if short && used+n > a.width && i > state {
				break
			}
			line, used = append(line, part...), used+n
		}
		if used <= a.width {
			break
		}
	}
	if room := a.width - used - 2; room >= 8 && len(a.trend) > 0 {
		room = min(room, trend)
		line = append(line, piece{toneText, spaces(a.width - used - room)}, piece{tonePlot, e.spark(a.trend, room)})
	}
	return e.line(a.width, line...)
}

// headerParts are the parts of the header, and which of them says how the firewall does:
// those behind it are shown whole or not at all.
func (a *app) headerParts(short bool) (parts [][]piece, state int) {
	e := a.env
	words := struct{ flows, packets, dropped, audited string }{" flows", " packets", " dropped", " audited"}
	if short {
		words.packets, words.dropped, words.audited = " pkts", " drop", " audit"
	}
	parts = [][]piece{{{toneBrand, " sttwall "}}}
	gap := " "
	add := func(pieces ...piece) {
		parts = append(parts, append([]piece{{toneText, gap}}, pieces...))
		gap = "  "
	}
	if a.config.Title != "" {
		add(piece{toneStrong, a.config.Title})
	}
	switch {
	case e.lost != nil && !e.hasStatus:
		add(piece{toneBad, "not connected"})
	case e.lost != nil:
		add(piece{toneBad, "no answer"})
	case !e.hasStatus:
		add(piece{toneDim, "asking " + a.config.Where})
	case e.paused:
		add(piece{toneWarn, "paused"})
	default:
		add(piece{toneGood, "up " + ageText(e.now().Sub(e.status.Started))})
	}
	state = len(parts) - 1
	if e.hasStatus {
		add(piece{toneStrong, grouped(uint64(max(0, e.status.Flows)))}, piece{toneDim, words.flows})
	}
	r := e.rates
	if !r.known {
		return parts, state
	}
	add(piece{toneStrong, bitsText(r.bytes)})
	add(piece{toneStrong, perSecond(r.packets)}, piece{toneDim, words.packets})
	for _, v := range []struct {
		rate float64
		tone tone
		what string
	}{{r.dropped, toneDrop, words.dropped}, {r.audited, toneAudit, words.audited}} {
		as := toneDim
		if v.rate > 0 {
			as = v.tone
		}
		add(piece{as, perSecond(v.rate) + v.what})
	}
	return parts, state
}

// span is a part of a line.
type span struct{ from, to int }

// tabLabels are the tabs; where there is no room, those that are not shown are numbers.
func (a *app) tabLabels() []string {
	labels := make([]string, len(a.tabs))
	room := a.width
	for i, stack := range a.tabs {
		labels[i] = fmt.Sprintf(" %d %s ", i+1, stack[0].Title())
		room -= width(labels[i])
	}
	if room < 0 {
		for i := range labels {
			if i != a.at {
				labels[i] = fmt.Sprintf(" %d ", i+1)
			}
		}
	}
	return labels
}

// tabSpans are where the tabs can be clicked.
func (a *app) tabSpans() []span {
	var out []span
	at := 0
	for _, label := range a.tabLabels() {
		out = append(out, span{at, at + width(label)})
		at += width(label)
	}
	return out
}

// tabsText has the tabs, and what is open over the screen.
func (a *app) tabsText() string {
	var pieces []piece
	for i, label := range a.tabLabels() {
		as := toneTab
		if i == a.at {
			as = toneTabOn
			if a.env.theme.name == "none" {
				label = "[" + label[1:len(label)-1] + "]"
			}
		}
		pieces = append(pieces, piece{as, label})
	}
	for _, s := range a.tabs[a.at][1:] {
		pieces = append(pieces, piece{toneDim, " > "}, piece{toneStrong, s.Title()})
	}
	return a.env.line(a.width, pieces...)
}

// statusText is the line above the keys: what is wrong, else what was just done, else
// the filter; and at the right where in its table the screen is.
func (a *app) statusText() string {
	e := a.env
	left := []piece{{toneWarn, a.hint}}
	switch {
	case e.lost != nil:
		since := ageText(e.now().Sub(a.poll.lostAt))
		left = []piece{{toneBad, "the firewall does not answer; trying again (for " + since + "): " + e.lost.Error()}}
	case a.exporting:
		left = []piece{{toneStrong, "export what is shown as  "}, {toneKey, "c"}, {toneText, " CSV   "},
			{toneKey, "j"}, {toneText, " JSON   "}, {toneKey, "Esc"}, {toneText, " not at all"}}
	case a.notice.text != "":
		left = []piece{{a.notice.tone, a.notice.text}}
	case !e.filter.All():
		left = []piece{{toneKey, "/"}, {toneStrong, e.filter.String()}}
		if f, ok := a.root().(filtered); ok {
			left = append(left, piece{toneDim, "  " + f.Filtered()})
		}
	}
	right := ""
	if p, ok := a.top().(placed); ok && e.lost == nil {
		right = clean(p.Place())
	}
	text := e.line(a.width, left...)
	if used := styledWidth(text); used+2+width(right) > a.width {
		return text // what is said is worth more
	}
	return text + spaces(a.width-width(right)-styledWidth(text)) + e.paint(toneDim, right)
}

// keysText has the keys that work here, as many as fit.
func (a *app) keysText() string {
	k := a.env.keys
	if a.prompt != nil {
		return a.keysLine(a.prompt.keys())
	}
	keys := a.top().Keys()
	if len(a.tabs[a.at]) > 1 {
		keys = append([]key.Binding{k.Back}, keys...)
	}
	return a.keysLine(append(append([]key.Binding{k.Help, k.Quit}, keys...), k.Filter, k.Pause, k.Theme))
}

func (a *app) keysLine(keys []key.Binding) string {
	var out strings.Builder
	room, told := a.width, make(map[string]bool)
	for _, b := range keys {
		h := b.Help()
		shown, _, _ := strings.Cut(h.Key, " ")
		does, _, _ := strings.Cut(h.Desc, ":")
		n := width(shown) + 1 + width(does) + 2
		if told[shown] || n-2 > room {
			continue
		}
		told[shown] = true
		out.WriteString(a.env.theme.paint(toneKey, shown) + " " + a.env.theme.paint(toneDim, does))
		if room -= n; room <= 0 {
			break
		}
		out.WriteString("  ")
	}
	return out.String()
}
