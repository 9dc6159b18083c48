package benchreport

import (
	"fmt"
	"strings"
)

// Lines is a picture of values over time: panels one below the other, each with an axis of
// its own from 0 up.
type Lines struct {
	Title    string
	Subtitle string // where it was measured
	// Axis is what goes to the right, Ticks names its places: at 0, at the end, and evenly
	// between them.
	Axis   string
	Ticks  []string
	Panels []Panel
}

// Panel is lines on one axis.
type Panel struct {
	Title string // what the values are, and their unit
	Lines []Series
}

// Series is one line. Values are at even distances; their number is that of all others.
type Series struct {
	Name   string
	Tone   Tone
	Values []float64
}

// Sizes in the picture's units.
const (
	linesLeft   = 70.0
	linesRight  = 150.0 // where names stand
	panelHeight = 130.0
	panelGap    = 44.0
	// linesPoints bounds the points of a line; of more values each point is the largest of
	// its neighbours, so that no peak is lost.
	linesPoints = 360
)

// SVG draws it.
func (l *Lines) SVG() []byte {
	bottom := chartTop + float64(len(l.Panels))*(panelHeight+panelGap)
	height := bottom + axisHeight
	var out canvas
	fmt.Fprintf(&out, `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 %s %s" width="%[1]s" height="%[2]s" role="img" font-family="%[3]s">`+"\n",
		number(pictureWidth), number(height), fonts)
	out.box(box{0, 0, pictureWidth, height}, paper)
	out.text(text{x: edge, y: 34, size: 19, colour: ink, bold: true}, fitted(l.Title, 90))
	out.text(text{x: edge, y: 56, size: 12, colour: pale}, fitted(l.Subtitle, 130))
	for i := range l.Panels {
		l.Panels[i].draw(&out, chartTop+float64(i)*(panelHeight+panelGap)+panelGap/2)
	}
	width := pictureWidth - linesLeft - linesRight
	for i, t := range l.Ticks {
		x := linesLeft + width*float64(i)/float64(max(1, len(l.Ticks)-1))
		out.text(text{x: x, y: bottom + 4, size: 11, colour: pale, anchor: "middle"}, t)
	}
	out.text(text{x: pictureWidth - linesRight + 10, y: bottom + 4, size: 11, colour: pale}, l.Axis)
	out.WriteString("</svg>\n")
	return out.Bytes()
}

func (p *Panel) draw(c *canvas, top float64) {
	most := 0.0
	for _, s := range p.Lines {
		for _, v := range s.Values {
			most = max(most, v)
		}
	}
	step := niceStep(most)
	if most/step > 5 {
		step *= 2
	}
	end := step
	for end < most {
		end += step
	}
	width := pictureWidth - linesLeft - linesRight
	at := func(v float64) float64 { return top + panelHeight*(1-v/end) }
	c.text(text{x: linesLeft, y: top - 8, size: 13, colour: ink, bold: true}, p.Title)
	for t := 0.0; t <= end*1.001; t += step {
		c.line(linesLeft, at(t), linesLeft+width, at(t), lines)
		c.text(text{x: linesLeft - 8, y: at(t) + 4, size: 11, colour: pale, anchor: "end"}, shortNumber(t))
	}
	for i, s := range p.Lines {
		values := peaks(s.Values)
		var path strings.Builder
		for j, v := range values {
			command := "L"
			if j == 0 {
				command = "M"
			}
			fmt.Fprintf(&path, "%s%s %s", command, number(linesLeft+width*float64(j)/float64(max(1, len(values)-1))), number(at(v)))
		}
		colour := wayColours[Way(s.Tone)]
		fmt.Fprintf(c, `<path d="%s" fill="none" stroke="%s" stroke-width="1.6" stroke-linejoin="round"/>`+"\n", path.String(), colour)
		y := top + 14 + 18*float64(i)
		c.box(box{linesLeft + width + 12, y - 8, 10, 8}, colour)
		c.text(text{x: linesLeft + width + 28, y: y, size: 12, colour: ink}, s.Name)
	}
}

// peaks makes at most linesPoints of the values.
func peaks(values []float64) []float64 {
	if len(values) <= linesPoints {
		return values
	}
	out := make([]float64, linesPoints)
	for i := range out {
		for _, v := range values[i*len(values)/linesPoints : (i+1)*len(values)/linesPoints] {
			out[i] = max(out[i], v)
		}
	}
	return out
}
