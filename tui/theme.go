package tui

import (
	"fmt"
	"image/color"
	"slices"
	"strings"

	"charm.land/lipgloss/v2"
)

// tone is what a piece of text means; the theme says how that looks.
type tone int

const (
	toneText tone = iota
	toneDim
	toneStrong
	toneTitle    // of a section
	toneBrand    // the program's name
	toneHead     // of a table
	toneSorted   // head of the column by which a table is sorted
	toneSelected // row
	toneFrozen   // mark of a row
	toneTab
	toneTabOn
	toneKey // on the keyboard
	toneAccept
	toneDrop
	toneReject
	toneAudit
	toneGood
	toneWarn
	toneBad
	tonePlot  // what passes, in plots and sparklines
	tonePlot2 // the other direction
	toneCount
)

// theme has how each tone looks: the SGR sequence that begins it.
type theme struct {
	name string
	on   [toneCount]string
}

const toneEnd = "\x1b[m"

// paint writes clean text in a tone.
func (t *theme) paint(as tone, text string) string {
	if text == "" || t.on[as] == "" {
		return text
	}
	return t.on[as] + text + toneEnd
}

// Themes are the names for [Config.Theme], besides ThemeAuto.
var Themes = []string{"dark", "light", "okabe-ito", "none"}

// ThemeAuto takes what fits the terminal: none under NO_COLOR, else dark or light as
// its background is.
const ThemeAuto = "auto"

// palette names the colours of a theme.
type palette struct {
	dim, title, head, selected, selectedText string
	tab, tabText                             string
	accept, drop, reject, audit, warn        string
	plot, plot2, key                         string
}

// The palettes. okabe-ito has the eight colours that people with any kind of colour
// blindness tell apart (Okabe and Ito 2008).
func paletteOf(name string) (p palette, ok bool) {
	switch name {
	case "dark":
		return palette{
			dim: "#7f8794", title: "#8ab4f8", head: "#9aa5b5", selected: "#1f4e79", selectedText: "#ffffff",
			tab: "#8ab4f8", tabText: "#10151f", accept: "#7fd18b", drop: "#ff7b72", reject: "#ff9e64", audit: "#d2a8ff",
			warn: "#f2cc60", plot: "#56c2c2", plot2: "#8ab4f8", key: "#f2cc60",
		}, true
	case "light":
		return palette{
			dim: "#6a7280", title: "#0b57d0", head: "#4a5260", selected: "#cfe0fc", selectedText: "#000000",
			tab: "#0b57d0", tabText: "#ffffff", accept: "#116329", drop: "#b3261e", reject: "#a04100", audit: "#7a3fb5",
			warn: "#7d5200", plot: "#006a6a", plot2: "#0b57d0", key: "#7d5200",
		}, true
	case "okabe-ito":
		return palette{
			dim: "#8c8c8c", title: "#56b4e9", head: "#a8a8a8", selected: "#0072b2", selectedText: "#ffffff",
			tab: "#56b4e9", tabText: "#000000", accept: "#56b4e9", drop: "#d55e00", reject: "#e69f00", audit: "#cc79a7",
			warn: "#f0e442", plot: "#009e73", plot2: "#56b4e9", key: "#f0e442",
		}, true
	}
	return p, false
}

// newTheme returns a theme by its name.
func newTheme(name string) (*theme, error) {
	if !slices.Contains(Themes, name) {
		return nil, fmt.Errorf("theme %q: want %s or %s", name, ThemeAuto, strings.Join(Themes, ", "))
	}
	t := &theme{name: name}
	plain := lipgloss.NewStyle()
	bold, faint, reverse := plain.Bold(true), plain.Faint(true), plain.Reverse(true)
	styles := [toneCount]lipgloss.Style{
		toneText: plain, toneDim: faint, toneStrong: bold, toneTitle: bold, toneBrand: bold,
		toneHead: bold, toneSorted: bold.Underline(true), toneSelected: reverse, toneFrozen: bold,
		toneTab: plain, toneTabOn: reverse.Bold(true), toneKey: bold,
		toneAccept: plain, toneDrop: bold, toneReject: bold, toneAudit: plain.Underline(true),
		toneGood: plain, toneWarn: bold, toneBad: bold, tonePlot: plain, tonePlot2: plain,
	}
	if p, ok := paletteOf(name); ok {
		fg := func(hex string) lipgloss.Style { return plain.Foreground(hue(hex)) }
		styles = [toneCount]lipgloss.Style{
			toneText: plain, toneDim: fg(p.dim), toneStrong: bold, toneTitle: fg(p.title).Bold(true),
			toneBrand: fg(p.tabText).Background(hue(p.tab)).Bold(true),
			toneHead:  fg(p.head).Bold(true), toneSorted: fg(p.title).Bold(true),
			toneSelected: fg(p.selectedText).Background(hue(p.selected)), toneFrozen: fg(p.warn).Bold(true),
			toneTab: fg(p.dim), toneTabOn: fg(p.tabText).Background(hue(p.tab)).Bold(true), toneKey: fg(p.key).Bold(true),
			toneAccept: fg(p.accept), toneDrop: fg(p.drop), toneReject: fg(p.reject), toneAudit: fg(p.audit).Bold(true),
			toneGood: fg(p.accept), toneWarn: fg(p.warn), toneBad: fg(p.drop).Bold(true),
			tonePlot: fg(p.plot), tonePlot2: fg(p.plot2),
		}
	}
	const letter = "x"
	for i, style := range styles {
		t.on[i], _, _ = strings.Cut(style.Render(letter), letter)
	}
	return t, nil
}

func hue(hex string) color.Color { return lipgloss.Color(hex) }

// verdictTone is the tone of a verdict.
func verdictTone(verdict string) tone {
	switch verdict {
	case "accept":
		return toneAccept
	case "drop":
		return toneDrop
	case "reject":
		return toneReject
	case "audit":
		return toneAudit
	}
	return toneText
}

// verdictText is how a verdict is written: each has a mark of its own, so that none
// is told by its colour alone.
func verdictText(verdict string) string {
	switch verdict {
	case "accept":
		return "+ accept"
	case "drop":
		return "x drop"
	case "reject":
		return "! reject"
	case "audit":
		return "~ audit"
	}
	return verdict
}
