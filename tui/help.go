package tui

import (
	"charm.land/bubbles/v2/key"
	tea "charm.land/bubbletea/v2"
)

// help shows the key map, first what works on the screen that it lies over.
type help struct {
	env    *env
	over   screen
	scroll scroll
}

func newHelp(e *env, over screen) *help { return &help{env: e, over: over} }

func (h *help) Title() string       { return "Help" }
func (h *help) Ask() question       { return nil }
func (h *help) Keys() []key.Binding { return []key.Binding{h.env.keys.Up, h.env.keys.Down} }

func (h *help) Update(msg tea.Msg) tea.Cmd {
	h.scroll.Update(msg, h.env, len(h.lines(h.env.width)))
	return nil
}

func (h *help) View(width, height int) string {
	return h.scroll.View(h.env, h.lines(width), width, height)
}

// lines are the groups of keys, in two columns of groups where there is room.
func (h *help) lines(room int) []string {
	var left, right []string
	groups := append([]keyGroup{{"Here, on " + h.over.Title(), h.over.Keys()}}, h.env.keys.groups()...)
	columns := 1
	if room >= 80 {
		columns = 2
	}
	each := room / columns
	for i, g := range groups {
		into := &left
		if columns == 2 && i > 1 {
			into = &right
		}
		if len(*into) > 0 {
			*into = append(*into, "")
		}
		*into = append(*into, h.env.line(each, piece{toneTitle, g.title}))
		for _, b := range g.keys {
			*into = append(*into, h.env.line(each-1, piece{toneText, "  "}, piece{toneKey, fit(b.Help().Key, 9)}, piece{toneText, b.Help().Desc}))
		}
	}
	marks := []string{"", h.env.line(each, piece{toneTitle, "Verdicts"})}
	for _, v := range []struct{ verdict, says string }{
		{"accept", "the rules let it pass"}, {"drop", "dropped"}, {"reject", "dropped, and answered"},
		{"audit", "passes by audit mode alone"},
	} {
		marks = append(marks, h.env.line(each-1, piece{toneText, "  "}, piece{verdictTone(v.verdict), fit(verdictText(v.verdict), 9)}, piece{toneText, v.says}))
	}
	left = append(left, marks...)
	if columns == 1 {
		return append(left, right...)
	}
	for i := range right {
		if i == len(left) {
			left = append(left, "")
		}
		left[i] += spaces(each-styledWidth(left[i])) + right[i]
	}
	return left
}
