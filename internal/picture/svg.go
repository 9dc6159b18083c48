package picture

import (
	"bytes"
	"encoding/xml"
	"fmt"
	"strings"
	"unicode/utf8"
)

// Sizes in the picture's units.
const (
	cellWidth, cellHeight = 8.4, 18.0
	fontSize              = 14
	baseline              = 13.5 // below the top of a cell
	margin                = 14.0
	titleHeight           = 34.0
)

const fonts = "ui-monospace, 'DejaVu Sans Mono', 'Liberation Mono', Menlo, Consolas, monospace"

// Config says what is around a screen.
type Config struct {
	// Title stands above it, as in the title of a window.
	Title string
	// Width and Height of the screen in cells. What is beyond them is left out.
	Width, Height int
}

// SVG draws the rows of a screen.
func SVG(rows []string, c Config) []byte {
	width, height := 2*margin+float64(c.Width)*cellWidth, titleHeight+margin+float64(c.Height)*cellHeight
	var out bytes.Buffer
	fmt.Fprintf(&out, `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 %s %s" width="%[1]s" height="%[2]s" role="img" aria-label="%[3]s">`+"\n",
		number(width), number(height), escaped(c.Title))
	fmt.Fprintf(&out, `<rect width="100%%" height="100%%" rx="9" fill="%s"/>`+"\n", background)
	for i, dot := range []string{"#ff5f57", "#febc2e", "#28c840"} {
		fmt.Fprintf(&out, `<circle cx="%s" cy="%s" r="5.5" fill="%s"/>`+"\n", number(margin+6+float64(i)*19), number(titleHeight/2), dot)
	}
	fmt.Fprintf(&out, `<g font-family="%s" font-size="%d" xml:space="preserve">`+"\n", fonts, fontSize)
	fmt.Fprintf(&out, `<text x="%s" y="%s" fill="#8b929d" text-anchor="middle">%s</text>`+"\n", number(width/2), number(titleHeight/2+5), escaped(c.Title))
	var now look
	for i, row := range rows {
		if i == c.Height {
			break
		}
		drawRow(&out, cells(row, &now), rowAt{c.Width, titleHeight + float64(i)*cellHeight})
	}
	out.WriteString("</g>\n</svg>\n")
	return out.Bytes()
}

// rowAt is where a row is: as many cells, from the left margin on.
type rowAt struct {
	cells int
	y     float64
}

// kind is how a character is drawn.
type kind uint8

const (
	letters kind = iota
	blocks
	braille
)

func kindOf(text string) kind {
	r, size := utf8.DecodeRuneInString(text)
	switch {
	case size != len(text):
	case r >= '▀' && r <= '▏':
		return blocks
	case r >= 0x2800 && r <= 0x28ff:
		return braille
	}
	return letters
}

// run is a part of a row that looks the same all over.
type run struct {
	look     look
	kind     kind
	from, to int
	cells    []cell
}

// runs puts cells together.
func runs(list []cell, most int) (out []run) {
	at := 0
	for _, c := range list {
		if at+c.width > most {
			break
		}
		kind := kindOf(c.text)
		if n := len(out); n == 0 || out[n-1].look != c.look || out[n-1].kind != kind {
			out = append(out, run{look: c.look, kind: kind, from: at})
		}
		last := &out[len(out)-1]
		last.cells = append(last.cells, c)
		at += c.width
		last.to = at
	}
	return out
}

func drawRow(out *bytes.Buffer, list []cell, at rowAt) {
	parts := runs(list, at.cells)
	x := func(cell int) float64 { return margin + float64(cell)*cellWidth }
	for _, r := range parts {
		if _, back := r.look.colours(); back != "" {
			fmt.Fprintf(out, `<rect x="%s" y="%s" width="%s" height="%s" fill="%s"/>`+"\n",
				number(x(r.from)), number(at.y), number(float64(r.to-r.from)*cellWidth), number(cellHeight), back)
		}
	}
	for _, r := range parts {
		front, _ := r.look.colours()
		switch r.kind {
		case letters:
			drawText(out, r, point{x(r.from), at.y + baseline}, front)
			continue
		case blocks:
			fmt.Fprintf(out, `<path fill="%s"%s d="`, front, faint(r.look))
		case braille: // columns of dots are dashed lines
			fmt.Fprintf(out, `<path stroke="%s"%s stroke-width="%s" stroke-dasharray="%s %s" d="`, front, faint(r.look),
				number(dotWidth), number(dotHeight), number(cellHeight/4-dotHeight))
		}
		for i, c := range r.cells {
			char, _ := utf8.DecodeRuneInString(c.text)
			if corner := (point{x(r.from + i), at.y}); r.kind == blocks {
				drawBlock(out, char, corner)
			} else {
				drawDots(out, char, corner)
			}
		}
		out.WriteString("\"/>\n")
	}
}

// drawText draws a run in pieces, each as wide as its cells. More than one blank
// parts two of them: not all that draw SVG keep blanks apart.
func drawText(out *bytes.Buffer, r run, at point, front string) {
	lined := r.look.underline || r.look.struck
	blank := func(i int) bool { return !lined && i < len(r.cells) && r.cells[i].text == " " }
	for i := 0; i < len(r.cells); {
		if blank(i) {
			at.x += cellWidth
			i++
			continue
		}
		var text strings.Builder
		wide := 0
		for ; i < len(r.cells) && !(blank(i) && (blank(i+1) || i+1 == len(r.cells))); i++ {
			text.WriteString(r.cells[i].text)
			wide += r.cells[i].width
		}
		length := float64(wide) * cellWidth
		fmt.Fprintf(out, `<text x="%s" y="%s" fill="%s"%s textLength="%s" lengthAdjust="spacingAndGlyphs">%s</text>`+"\n",
			number(at.x), number(at.y), front, style(r.look), number(length), escaped(text.String()))
		at.x += length
	}
}

func style(l look) string {
	var s string
	if l.bold {
		s += ` font-weight="bold"`
	}
	if l.italic {
		s += ` font-style="italic"`
	}
	switch {
	case l.underline:
		s += ` text-decoration="underline"`
	case l.struck:
		s += ` text-decoration="line-through"`
	}
	return s + faint(l)
}

func faint(l look) string {
	if l.faint {
		return ` opacity="0.6"`
	}
	return ""
}

type point struct{ x, y float64 }

// drawBlock draws a block element, whose sizes are in eighths of a cell.
func drawBlock(out *bytes.Buffer, char rune, corner point) {
	const w, h = cellWidth / 8, cellHeight / 8
	x, y, width, height := 0., 0., 8., 8.
	switch {
	case char == '▀':
		height = 4
	case char <= '█': // from below
		height = float64(char-'▁') + 1
		y = 8 - height
	default: // from the left
		width = float64('▏'-char) + 1
	}
	fmt.Fprintf(out, "M%s %sh%sv%sh-%[3]sz", number(corner.x+x*w), number(corner.y+y*h), number(width*w), number(height*h))
}

const dotWidth, dotHeight = cellWidth * 3 / 8, cellHeight * 3 / 16

// drawDots draws a braille pattern. Its bits 0 to 2 and 6 are the left column from
// above, 3 to 5 and 7 the right one (Unicode, Braille Patterns).
func drawDots(out *bytes.Buffer, char rune, corner point) {
	const step = cellHeight / 4
	for column, bits := range [2][4]int{{0, 1, 2, 6}, {3, 4, 5, 7}} {
		x := corner.x + (float64(column)+0.5)*cellWidth/2
		for row := 0; row < 4; row++ {
			n := 0
			for row+n < 4 && char&(1<<bits[row+n]) != 0 {
				n++
			}
			if n > 0 {
				fmt.Fprintf(out, "M%s %sv%s", number(x), number(corner.y+float64(row)*step+(step-dotHeight)/2), number(float64(n-1)*step+dotHeight))
				row += n
			}
		}
	}
}

// number writes a length as short as it can be.
func number(f float64) string {
	s := strings.TrimRight(fmt.Sprintf("%.2f", f), "0")
	return strings.TrimSuffix(s, ".")
}

func escaped(text string) string {
	var b strings.Builder
	xml.EscapeText(&b, []byte(text)) // a Builder takes everything
	return b.String()
}
