package tui

import (
	"github.com/charmbracelet/x/ansi"
)

// promptMark stands before what is typed.
const promptMark = "/ "

// before is how many columns of the text are left of the cursor, and how many of them
// do not fit.
func (p *prompt) before(room int) (columns, hidden int) {
	columns = width(clean(p.text[:p.at]))
	return columns, max(0, columns-(room-len(promptMark)-1))
}

// column is where the cursor stands.
func (p *prompt) column(room int) int {
	columns, hidden := p.before(room)
	return min(room-1, len(promptMark)+columns-hidden)
}

// View returns promptLines lines: what is typed, and below it what is wrong, or what
// could be typed.
func (p *prompt) View(room int) []string {
	e := p.env
	_, hidden := p.before(room)
	text := ansi.Truncate(skip(clean(p.text), hidden), room-len(promptMark), "")
	lines := []string{e.theme.paint(toneKey, promptMark) + text, "", ""}
	wrong := p.wrong()
	// What is not finished is no mistake yet.
	unfinished := wrong != nil && !p.refused && wrong.Column > len([]rune(p.text[:p.at]))
	if wrong != nil && !unfinished && !p.refused && p.offered.From < p.at && len(p.offered.Candidates) > 0 && p.at == len(p.text) {
		unfinished = true // a word that completes to something
	}
	if wrong != nil && !unfinished {
		at := width(clean(string([]rune(p.text)[:min(wrong.Column-1, len([]rune(p.text)))])))
		as := toneWarn
		if p.refused {
			as = toneBad
		}
		said := wrapLines([]string{clean(wrong.Error())}, room)
		lines[1], lines[2] = spaces(max(0, len(promptMark)+at-hidden))+"^", said[0]
		if len(said) > 1 {
			// Where it is, it says itself; the end says what to do.
			lines[1], lines[2] = said[0], said[1]
		}
		if len(said) > 2 {
			lines[2] = cut(lines[2], room-2) + " …"
		}
		for i := range lines[1:] {
			lines[1+i] = e.theme.paint(as, cut(lines[1+i], room))
		}
		return lines
	}
	lines[1], lines[2] = p.offer(room)
	return lines
}

// offer lists what could be typed, and tells about the one that Tab takes next.
func (p *prompt) offer(room int) (list, hint string) {
	e := p.env
	next := p.taken
	if next < 0 {
		next = 0
	}
	if len(p.offered.Candidates) == 0 {
		if p.offered.Form != "" {
			list = e.theme.paint(toneDim, cut("  "+p.offered.Form, room))
		}
		return list, ""
	}
	left := room - len(promptMark)
	list = spaces(len(promptMark))
	for i := max(0, next-4); i < len(p.offered.Candidates) && left > 0; i++ {
		text := cut(clean(p.offered.Candidates[i].Text), left)
		as := toneDim
		if i == next {
			as = toneStrong
		}
		list += e.theme.paint(as, text) + "  "
		left -= width(text) + 2
	}
	if at := p.offered.Candidates[next].Hint; at != "" {
		hint = at
	} else {
		hint = p.offered.Form
	}
	return ansi.Truncate(list, room, ""), e.theme.paint(toneDim, cut("  "+clean(hint), room))
}
