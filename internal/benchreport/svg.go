package benchreport

import (
	"bytes"
	"encoding/xml"
	"fmt"
	"math"
	"strings"
	"time"
)

// Sizes in the picture's units.
const (
	pictureWidth = 900.0
	edge         = 24.0
	barsLeft     = edge
	barsWidth    = 330.0 // of the largest ratio
	plotTop      = 118.0
	rowHeight    = 24.0
	barHeight    = 16.0
	titleHeight  = 26.0 // of a kind
	groupGap     = 14.0
	timesLeft    = 580.0
	timesWidth   = pictureWidth - timesLeft - edge
	axisHeight   = 30.0
)

const fonts = "system-ui, 'DejaVu Sans', 'Liberation Sans', Arial, sans-serif"

// Colours that people who see few of them tell apart, on white.
const (
	paper = "#ffffff"
	ink   = "#1c2128"
	pale  = "#5c6470"
	lines = "#d9dde3"
)

var wayColours = map[Way]string{Forward: "#8a929e", Accept: "#2f6fb0", Rules: "#d4761c"}

// canvas is a picture in the making.
type canvas struct{ bytes.Buffer }

// text is where and how text stands.
type text struct {
	x, y   float64
	size   int
	colour string
	anchor string // "": at its start
	bold   bool
	over   bool // lines end before it
}

func (c *canvas) text(t text, s string) {
	more := ""
	if t.anchor != "" {
		more = fmt.Sprintf(` text-anchor="%s"`, t.anchor)
	}
	if t.bold {
		more += ` font-weight="bold"`
	}
	if t.over {
		more += fmt.Sprintf(` stroke="%s" stroke-width="5" stroke-linejoin="round" paint-order="stroke"`, paper)
	}
	fmt.Fprintf(c, `<text x="%s" y="%s" font-size="%d" fill="%s"%s>`, number(t.x), number(t.y), t.size, t.colour, more)
	xml.EscapeText(c, []byte(s)) // a Buffer takes everything
	c.WriteString("</text>\n")
}

// box is a rectangle.
type box struct{ x, y, width, height float64 }

func (c *canvas) box(b box, colour string) {
	fmt.Fprintf(c, `<rect x="%s" y="%s" width="%s" height="%s" fill="%s"/>`+"\n", number(b.x), number(b.y), number(b.width), number(b.height), colour)
}

func (c *canvas) line(x1, y1, x2, y2 float64, stroke string) {
	fmt.Fprintf(c, `<path d="M%s %sL%s %s" stroke="%s"/>`+"\n", number(x1), number(y1), number(x2), number(y2), stroke)
}

// SVG draws the result: for each kind of packet how much of forwarding each way is, as
// bars, and how long packets take, from p50 to p99.9, on a logarithmic axis.
func (r *Result) SVG() []byte {
	groups := r.groups()
	bottom := plotTop
	for _, g := range groups {
		bottom += titleHeight + float64(len(g))*rowHeight + groupGap
	}
	height := bottom + axisHeight
	var c canvas
	fmt.Fprintf(&c, `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 %s %s" width="%[1]s" height="%[2]s" role="img" aria-label="what forwarding costs with and without the firewall" font-family="%[3]s">`+"\n",
		number(pictureWidth), number(height), fonts)
	c.box(box{0, 0, pictureWidth, height}, paper)
	r.header(&c)
	bars, times := r.barsAxis(), r.timesAxis()
	bars.draw(&c, bottom)
	if times.known {
		times.draw(&c, bottom)
	}
	y := plotTop
	for _, g := range groups {
		c.text(text{x: barsLeft, y: y + 18, size: 14, colour: ink, bold: true}, Title(g[0].Packet))
		y += titleHeight
		for _, row := range g {
			row.bar(&c, bars, y)
			if row.Latency != nil {
				row.Latency.draw(&c, times, y+rowHeight/2, wayColours[row.Way])
			}
			y += rowHeight
		}
		y += groupGap
	}
	c.WriteString("</svg>\n")
	return c.Bytes()
}

// groups returns the rows by kind of packet.
func (r *Result) groups() (out [][]*Row) {
	for i := range r.Rows {
		row := &r.Rows[i]
		if n := len(out); n == 0 || out[n-1][0].Packet != row.Packet {
			out = append(out, nil)
		}
		last := &out[len(out)-1]
		*last = append(*last, row)
	}
	return out
}

func (r *Result) header(c *canvas) {
	c.text(text{x: edge, y: 34, size: 19, colour: ink, bold: true}, "What forwarding costs: "+fitted(r.Rules, 60))
	c.text(text{x: edge, y: 56, size: 12, colour: pale}, fitted(fmt.Sprintf("Linux %s, %s, %s; %s, %s, driver %s; medians of %s",
		r.Kernel, r.Processor, counted(r.CPUs, "processor"), counted(r.Queues, "queue"), counted(r.Flows, "flow"), r.Driver, counted(r.Rounds, "round")), 130))
	x := edge
	for _, way := range Ways {
		c.box(box{x, 72, 12, 12}, wayColours[way])
		label := map[Way]string{Forward: "forwarding, no queue", Accept: "a queue that accepts all: the limit of user space", Rules: "the firewall with the rules"}[way]
		c.text(text{x: x + 18, y: 82.5, size: 12, colour: ink}, label)
		x += 18 + 7.0*float64(len(label)) + 14
	}
	c.text(text{x: barsLeft, y: plotTop - 10, size: 12, colour: pale}, "of forwarding's packets a second")
	if r.timesAxis().known {
		c.text(text{x: timesLeft, y: plotTop - 10, size: 12, colour: pale}, "latency at half the load: p50, p99, p99.9")
	}
}

// bar draws how much of forwarding a way is, and what it comes to.
func (row *Row) bar(c *canvas, a axis, y float64) {
	width := a.at(row.Ratio) - a.left
	c.box(box{a.left, y + (rowHeight-barHeight)/2, width, barHeight}, wayColours[row.Way])
	label := fmt.Sprintf("%s · %s/s", digits(row.Ratio), Thousands(row.PPS))
	if row.Gbps >= 0.01 {
		label += fmt.Sprintf(", %s Gbit/s", digits(row.Gbps))
	}
	c.text(text{x: a.left + width + 7, y: y + rowHeight/2 + 4, size: 12, colour: ink, over: true}, label)
}

// draw draws a line from p50, a full dot, over p99, an open one, to p99.9.
func (l *Latency) draw(c *canvas, a axis, middle float64, colour string) {
	p50, p99, p999 := a.at(micros(l.P50)), a.at(micros(l.P99)), a.at(micros(l.P999))
	fmt.Fprintf(c, `<path d="M%s %sH%sM%[3]s %[4]sv8" stroke="%[5]s" stroke-width="2" fill="none"/>`+"\n",
		number(p50), number(middle), number(p999), number(middle-4), colour)
	fmt.Fprintf(c, `<circle cx="%s" cy="%s" r="5" fill="%s"/>`+"\n", number(p50), number(middle), colour)
	fmt.Fprintf(c, `<circle cx="%s" cy="%s" r="4.5" fill="%s" stroke="%s" stroke-width="2"/>`+"\n", number(p99), number(middle), paper, colour)
}

func micros(d time.Duration) float64 { return max(0.1, float64(d)/float64(time.Microsecond)) }

// axis maps values to places.
type axis struct {
	left, width float64
	from, to    float64
	logarithmic bool
	ticks       []float64
	label       func(float64) string
	known       bool // there is something on it
}

func (a *axis) at(v float64) float64 {
	from, to := a.from, a.to
	if a.logarithmic {
		v, from, to = math.Log(v), math.Log(from), math.Log(to)
	}
	return a.left + a.width*min(1, max(0, (v-from)/(to-from)))
}

func (a *axis) draw(c *canvas, bottom float64) { a.drawFrom(c, plotTop, bottom) }

func (a *axis) drawFrom(c *canvas, top, bottom float64) {
	for _, t := range a.ticks {
		x := a.at(t)
		c.line(x, top, x, bottom, lines)
		c.text(text{x: x, y: bottom + 18, size: 11, colour: pale, anchor: "middle"}, a.label(t))
	}
}

// barsAxis goes to 1, or to the largest ratio where noise has put that above.
func (r *Result) barsAxis() axis {
	most := 1.0
	for i := range r.Rows {
		most = max(most, r.Rows[i].Ratio)
	}
	return axis{left: barsLeft, width: barsWidth, to: most, ticks: []float64{0, 0.25, 0.5, 0.75, 1}, known: true,
		label: number}
}

// timesAxis goes over what was measured, in microseconds.
func (r *Result) timesAxis() axis {
	from, to := math.Inf(1), 0.0
	for i := range r.Rows {
		if l := r.Rows[i].Latency; l != nil {
			from, to = min(from, micros(l.P50)), max(to, micros(l.P999))
		}
	}
	a := axis{left: timesLeft, width: timesWidth}
	if to == 0 {
		return a
	}
	return powersAxis(a, from, to)
}

// powersAxis makes of a an axis over whole powers of ten, in microseconds.
func powersAxis(a axis, from, to float64) axis {
	a.logarithmic, a.known = true, true
	a.label = func(f float64) string {
		return strings.Replace(timeText(time.Duration(f*float64(time.Microsecond))), ".0 ", " ", 1)
	}
	a.from = math.Pow(10, math.Floor(math.Log10(from)))
	a.to = max(10*a.from, math.Pow(10, math.Ceil(math.Log10(to))))
	for t := a.from; t <= a.to*1.001; t *= 10 {
		a.ticks = append(a.ticks, t)
	}
	return a
}

// fitted cuts text that would leave the picture.
func fitted(s string, most int) string {
	if r := []rune(s); len(r) > most {
		return string(r[:most-1]) + "…"
	}
	return s
}

// number writes a length as short as it can be.
func number(f float64) string {
	s := strings.TrimRight(fmt.Sprintf("%.2f", f), "0")
	return strings.TrimSuffix(s, ".")
}
