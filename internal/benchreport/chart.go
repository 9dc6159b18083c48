package benchreport

import (
	"fmt"
	"math"
)

// Chart is a picture of values in groups, one below the other: bars from 0, or spans of
// time on a logarithmic axis.
type Chart struct {
	Title    string
	Subtitle string // where it was measured
	Axis     string // what the values are
	Groups   []Group
}

// Group is what is beside each other.
type Group struct {
	Title string
	Marks []Mark
}

// Mark is a value with its name before it.
type Mark struct {
	Name string
	Tone Tone
	// Bar is how long the bar is, from 0 up, and Label what stands behind it. They count
	// if there is no Span.
	Bar   float64
	Label string
	Span  *Latency
}

// Tone is the colour of a mark.
type Tone Way

// The tones: what needs no queue, what sttwall is beside, and sttwall.
const (
	Plain = Tone(Forward)
	Peer  = Tone(Accept)
	Own   = Tone(Rules)
)

// Sizes in the picture's units.
const (
	chartNames  = 190.0 // where names end
	chartLeft   = chartNames + 10
	chartLabels = 190.0 // right of the longest bar
	chartTop    = 92.0
	chartRow    = 20.0
	chartBar    = 13.0
)

// SVG draws it. A chart has spans alone, or none.
func (c *Chart) SVG() []byte {
	bottom := chartTop
	for _, g := range c.Groups {
		bottom += titleHeight + float64(len(g.Marks))*chartRow + groupGap
	}
	height := bottom + axisHeight
	var out canvas
	fmt.Fprintf(&out, `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 %s %s" width="%[1]s" height="%[2]s" role="img" font-family="%[3]s">`+"\n",
		number(pictureWidth), number(height), fonts)
	out.box(box{0, 0, pictureWidth, height}, paper)
	out.text(text{x: edge, y: 34, size: 19, colour: ink, bold: true}, fitted(c.Title, 90))
	out.text(text{x: edge, y: 56, size: 12, colour: pale}, fitted(c.Subtitle, 130))
	out.text(text{x: chartLeft, y: chartTop - 10, size: 12, colour: pale}, c.Axis)
	a := c.axis()
	a.drawFrom(&out, chartTop, bottom)
	y := chartTop
	for _, g := range c.Groups {
		out.text(text{x: edge, y: y + 18, size: 14, colour: ink, bold: true}, g.Title)
		y += titleHeight
		for _, m := range g.Marks {
			m.draw(&out, a, y)
			y += chartRow
		}
		y += groupGap
	}
	out.WriteString("</svg>\n")
	return out.Bytes()
}

func (m *Mark) draw(c *canvas, a axis, y float64) {
	colour, middle := wayColours[Way(m.Tone)], y+chartRow/2
	c.text(text{x: chartNames, y: middle + 4, size: 12, colour: ink, anchor: "end"}, m.Name)
	if m.Span != nil {
		m.Span.draw(c, a, middle, colour)
		return
	}
	width := a.at(m.Bar) - a.left
	c.box(box{a.left, middle - chartBar/2, width, chartBar}, colour)
	c.text(text{x: a.left + width + 7, y: middle + 4, size: 12, colour: ink, over: true}, m.Label)
}

// axis is made for what is drawn.
func (c *Chart) axis() axis {
	most, low, high := 0.0, math.Inf(1), 0.0
	for _, g := range c.Groups {
		for _, m := range g.Marks {
			if m.Span != nil {
				low, high = min(low, micros(m.Span.P50)), max(high, micros(m.Span.P999))
			}
			most = max(most, m.Bar)
		}
	}
	if high > 0 {
		return powersAxis(axis{left: chartLeft, width: pictureWidth - chartLeft - edge - 16}, low, high)
	}
	a := axis{left: chartLeft, width: pictureWidth - chartLeft - chartLabels, known: true, label: shortNumber}
	step := niceStep(most)
	for t := 0.0; ; t += step {
		a.ticks = append(a.ticks, t)
		if t >= most*0.999 {
			a.to = max(t, step)
			return a
		}
	}
}

// niceStep is 1, 2 or 5 of some power of ten: between four and ten of it go up to most.
func niceStep(most float64) float64 {
	if most <= 0 {
		return 1
	}
	power := math.Pow(10, math.Floor(math.Log10(most)))
	for _, n := range []float64{0.1, 0.2, 0.5, 1} {
		if most/(n*power) <= 10 {
			return n * power
		}
	}
	return power
}

// shortNumber writes a tick.
func shortNumber(f float64) string {
	if f >= 1000 {
		return Thousands(f)
	}
	return number(f)
}
