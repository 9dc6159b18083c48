package plot

import (
	"math"
	"strings"
	"unicode/utf8"
)

// Style says how values are drawn.
type Style int

const (
	Area Style = iota // filled down to 0
	Line
)

// Chart says what a chart looks like.
type Chart struct {
	// Width and Height are in columns and lines, axis included.
	Width, Height int
	// Top is the value at the upper edge; 0: a [Ceiling] of the largest value. What
	// is above is drawn at the edge.
	Top float64
	// Label writes a value at the axis; nil: there is no axis. LabelWidth is the
	// least width of labels, so that charts stand in line.
	Label      func(float64) string
	LabelWidth int
	Style      Style
	Glyphs     Glyphs
}

// Row is a line of a chart: what stands at the axis, and the plot.
type Row struct{ Label, Plot string }

// least is how many columns of a plot are worth an axis beside them.
const least = 10

// Draw draws values, the newest at the right: exactly Height rows of Width columns.
func (c *Chart) Draw(w Window) []Row {
	if c.Height <= 0 {
		return nil
	}
	top := c.Top
	if !(top > 0) {
		top = Ceiling(Largest(w.Values))
	}
	labels, axis := c.labels(top)
	columns := max(0, c.Width-axis)
	rows := make([]Row, c.Height)
	var plots []string
	if c.Glyphs == ASCII {
		plots = c.drawASCII(w, columns, top)
	} else {
		plots = c.drawBraille(w, columns, top)
	}
	for i := range rows {
		rows[i] = Row{labels[i], plots[i]}
	}
	return rows
}

// labels returns what stands at the axis of each line, and how wide that is: the
// top, its half where a line is there, and 0.
func (c *Chart) labels(top float64) (labels []string, axis int) {
	labels = make([]string, max(0, c.Height))
	if c.Label == nil || len(labels) == 0 {
		return labels, 0
	}
	at := map[int]float64{0: top, c.Height - 1: 0}
	if c.Height >= 5 && c.Height%2 == 1 {
		at[c.Height/2] = top / 2
	}
	if c.Height == 1 {
		at[0] = top
	}
	axis = c.LabelWidth
	for i, v := range at {
		labels[i] = c.Label(v)
		axis = max(axis, utf8.RuneCountInString(labels[i]))
	}
	tick, line := " ┤", " │"
	if c.Glyphs == ASCII {
		tick, line = " +", " |"
	}
	if axis += 2; c.Width < axis+least {
		clear(labels)
		return labels, 0
	}
	for i, text := range labels {
		edge := line
		if text != "" {
			edge = tick
		}
		labels[i] = strings.Repeat(" ", axis-2-utf8.RuneCountInString(text)) + text + edge
	}
	return labels, axis
}

// A braille cell has dots in two columns and four lines.
const dotsAcross, dotsDown = 2, 4

// brailleDots are the bits of U+2800 for the dots of a cell, by column, and from the
// lowest line up.
var brailleDots = [dotsAcross][dotsDown]rune{{0x40, 0x04, 0x02, 0x01}, {0x80, 0x20, 0x10, 0x08}}

func (c *Chart) drawBraille(w Window, columns int, top float64) []string {
	values := resample(w, columns*dotsAcross)
	cells := make([][]rune, c.Height)
	for i := range cells {
		cells[i] = []rune(strings.Repeat("\u2800", columns))
	}
	before := -1
	for x, v := range values {
		if math.IsNaN(v) {
			before = -1
			continue
		}
		from, to := c.dots(v, top, c.Height*dotsDown, before)
		before = to
		for y := from; y < to; y++ {
			row := c.Height - 1 - y/dotsDown
			cells[row][x/dotsAcross] |= brailleDots[x%dotsAcross][y%dotsDown]
		}
	}
	out := make([]string, c.Height)
	for i, row := range cells {
		// An empty cell is a blank: fonts draw U+2800 in ways of their own.
		out[i] = strings.ReplaceAll(string(row), "\u2800", " ")
	}
	return out
}

// dots says which dots of a column are set, counted from below: from up to before to.
// before is the to of the column at the left, -1 if there is none.
func (c *Chart) dots(v, top float64, levels, before int) (from, to int) {
	to = level(v, top, levels)
	if c.Style == Area {
		return 0, to
	}
	// A line lies on the lowest dot where the value is 0.
	to = max(1, to)
	from = to - 1
	if before > 0 && before <= from {
		from = before
	}
	return from, to
}

// drawASCII has one value a column, and three levels a line.
func (c *Chart) drawASCII(w Window, columns int, top float64) []string {
	const levels = 3
	ramp := [levels + 1]byte{' ', '.', ':', '#'}
	values := resample(w, columns)
	out := make([]string, c.Height)
	for row := range out {
		line := make([]byte, columns)
		for x, v := range values {
			filled := level(v, top, c.Height*levels) - (c.Height-1-row)*levels
			line[x] = ramp[max(0, min(levels, filled))]
			if c.Style == Line && filled > levels {
				line[x] = ' '
			}
		}
		out[row] = string(line)
	}
	return out
}
