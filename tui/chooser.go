package tui

import (
	"strings"

	"charm.land/bubbles/v2/key"
	tea "charm.land/bubbletea/v2"
)

// columnChooser has columns that can be chosen and put in order; tables do.
type columnChooser interface {
	Columns() []columnChoice
	SetColumns([]columnChoice)
}

// columnChoice is a column, and whether it is shown.
type columnChoice struct {
	key, title string
	on         bool
}

// chooseColumns lies over a screen while its columns are chosen.
type chooseColumns struct {
	env     *env
	of      columnChooser
	choices []columnChoice
	at      int
}

func newChooseColumns(e *env, of columnChooser) *chooseColumns {
	return &chooseColumns{env: e, of: of, choices: of.Columns()}
}

func (c *chooseColumns) Title() string { return "Columns" }
func (c *chooseColumns) Ask() question { return nil }

func (c *chooseColumns) Keys() []key.Binding {
	k := c.env.keys
	return []key.Binding{k.Toggle, k.MoveUp, k.MoveDown, k.Up, k.Down}
}

func (c *chooseColumns) Update(msg tea.Msg) tea.Cmd {
	press, ok := msg.(tea.KeyPressMsg)
	if !ok {
		return nil
	}
	k := c.env.keys
	swap := func(with int) {
		if with >= 0 && with < len(c.choices) {
			c.choices[c.at], c.choices[with] = c.choices[with], c.choices[c.at]
			c.at = with
		}
	}
	switch {
	case key.Matches(press, k.MoveUp):
		swap(c.at - 1)
	case key.Matches(press, k.MoveDown):
		swap(c.at + 1)
	case key.Matches(press, k.Up):
		c.at = max(0, c.at-1)
	case key.Matches(press, k.Down):
		c.at = min(len(c.choices)-1, c.at+1)
	case key.Matches(press, k.Toggle):
		c.choices[c.at].on = !c.choices[c.at].on
		on := 0
		for _, choice := range c.choices {
			if choice.on {
				on++
			}
		}
		if on == 0 {
			c.choices[c.at].on = true
			return notice(toneWarn, "one column must stay")
		}
	case key.Matches(press, k.Enter):
		return c.env.send(closeMsg{})
	}
	c.of.SetColumns(c.choices)
	return nil
}

func (c *chooseColumns) View(width, height int) string {
	lines := []string{c.env.paint(toneTitle, cut("Columns: which are shown, and in what order", width)), ""}
	top := max(0, c.at-max(1, height-len(lines))+1)
	for i := top; i < len(c.choices) && len(lines) < height; i++ {
		choice := c.choices[i]
		mark := "[ ] "
		if choice.on {
			mark = "[x] "
		}
		line := "  " + mark + clean(choice.title)
		if i == c.at {
			line = c.env.paint(toneSelected, fit("> "+mark+clean(choice.title), width))
		} else {
			line = cut(line, width)
		}
		lines = append(lines, line)
	}
	return strings.Join(lines[:min(len(lines), height)], "\n")
}
