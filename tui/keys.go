package tui

import (
	"charm.land/bubbles/v2/key"
	tea "charm.land/bubbletea/v2"
)

// keyMap has every key that does something. Update, footer, help and docs/tui.md are
// all made from it.
type keyMap struct {
	// Everywhere.
	Screen, Next, Previous, Filter, Pause, Theme, Export, Copy, Help, Back, Quit, Interrupt, Suspend key.Binding
	// Where there is a table.
	Up, Down, PageUp, PageDown, Top, Bottom, Enter, Sort, SortBack, Reverse, Follow, Freeze, Columns key.Binding
	// Where columns are chosen.
	Toggle, MoveUp, MoveDown key.Binding
	// While a filter is typed.
	Apply, Complete, Past, Cancel key.Binding
	// Between parts of a screen.
	Part key.Binding
	// In detail screens.
	RuleOf, FlowsOf, Reload, Packet, Rule key.Binding
}

func bind(shown, does string, keys ...string) key.Binding {
	return key.NewBinding(key.WithKeys(keys...), key.WithHelp(shown, does))
}

// newKeyMap returns the keys; inside says whether the firewall runs in this process.
func newKeyMap(inside bool) *keyMap {
	k := &keyMap{
		Screen:   bind("1-6", "that screen", "1", "2", "3", "4", "5", "6"),
		Next:     bind("Tab", "next screen", "tab"),
		Previous: bind("S-Tab", "screen before", "shift+tab"),
		Filter:   bind("/", "filter", "/"),
		Pause:    bind("p", "pause", "p"),
		Theme:    bind("t", "theme", "t"),
		Export:   bind("e", "export", "e"),
		Copy:     bind("y", "copy", "y"),
		Help:     bind("?", "help", "?", "f1"),
		Back:     bind("Esc", "back: or no filter", "esc"),
		Quit:     bind("q", "quit", "q"),

		Interrupt: bind("^C", "quit", "ctrl+c"),
		Suspend:   bind("^Z", "suspend", "ctrl+z"),

		Up:       bind("k ↑", "up", "k", "up", "ctrl+p"),
		Down:     bind("j ↓", "down", "j", "down", "ctrl+n"),
		PageUp:   bind("PgUp ^B", "page up", "pgup", "ctrl+b"),
		PageDown: bind("PgDn ^F", "page down", "pgdown", "ctrl+f"),
		Top:      bind("g Home", "top", "g", "home", "<"),
		Bottom:   bind("G End", "end", "G", "end", ">"),
		Enter:    bind("Enter", "detail", "enter"),
		Sort:     bind("s S-→", "sort: by the next column", "s", "shift+right"),
		SortBack: bind("S-←", "sort back: column before", "shift+left"),
		Reverse:  bind("S", "turn: the other order", "S"),
		Follow:   bind("f", "follow: stay at the top", "f"),
		Freeze:   bind("Space", "freeze: the row stays on top", "space"),
		Columns:  bind("c", "columns: which, what order", "c"),

		Toggle:   bind("Space", "show or hide", "space"),
		MoveUp:   bind("K S-↑", "move up", "K", "shift+up"),
		MoveDown: bind("J S-↓", "move down", "J", "shift+down"),

		Apply:    bind("Enter", "filter: by this, or by none", "enter"),
		Complete: bind("Tab", "complete", "tab"),
		Past:     bind("↑ ↓", "filters from before", "up", "down"),
		Cancel:   bind("Esc", "not at all", "esc"),

		Part:    bind("←→ h l", "other part", "left", "right", "h", "l"),
		RuleOf:  bind("Enter", "its rule", "enter"),
		Packet:  bind("v", "view: the newest packet", "v"),
		Reload:  bind("R", "reload: pressed twice", "R"),
		FlowsOf: bind("Enter", "its flows: or its drops", "enter"),

		Rule: bind("r", "rule that allows it", "r"),
	}
	if inside {
		k.Quit.SetHelp("q", "leave: the firewall goes on")
		k.Interrupt.SetHelp("^C", "stop the firewall")
		k.Suspend.SetHelp("^Z", "not here: the firewall would stop too")
	}
	return k
}

// keyGroup is a part of the help.
type keyGroup struct {
	title string
	keys  []key.Binding
}

// groups are the keys as help and documentation list them.
func (k *keyMap) groups() []keyGroup {
	return []keyGroup{
		{"Everywhere", []key.Binding{k.Screen, k.Next, k.Previous, k.Filter, k.Pause, k.Theme, k.Export, k.Copy, k.Help, k.Back, k.Quit, k.Interrupt, k.Suspend}},
		{"In tables", []key.Binding{k.Up, k.Down, k.PageUp, k.PageDown, k.Top, k.Bottom, k.Enter, k.Sort, k.SortBack, k.Reverse, k.Follow, k.Freeze, k.Columns}},
		{"Typing a filter", []key.Binding{k.Apply, k.Complete, k.Past, k.Cancel}},
		{"Choosing columns", []key.Binding{k.Toggle, k.MoveUp, k.MoveDown}},
		{"Detail of a flow", []key.Binding{k.RuleOf, k.Packet, k.Rule}},
		{"Rules", []key.Binding{k.Reload}},
		{"Detail of a rule", []key.Binding{k.FlowsOf}},
		{"Overview, drops and their detail", []key.Binding{k.Part, k.Rule}},
	}
}

// backwards reports whether a key of keyMap.Part goes to the left.
func backwards(msg tea.KeyPressMsg) bool {
	return msg.Code == tea.KeyLeft || msg.Code == 'h'
}
