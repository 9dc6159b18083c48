package picture

import (
	"fmt"
	"image/color"
	"unicode"
	"unicode/utf8"

	"github.com/charmbracelet/x/ansi"
)

// Colours of a screen that says nothing else.
const (
	background = "#14171c"
	foreground = "#d6d9de"
)

// palette are the 16 colours that have no values of their own.
var palette = [16]string{
	"#2a2f38", "#e06c75", "#8fc379", "#e5c07b", "#61afef", "#c678dd", "#56b6c2", "#c3c8d0",
	"#5c6370", "#f08a92", "#a8d694", "#f0d399", "#85c4f5", "#d899eb", "#7ccbd6", "#ffffff",
}

// look is how a cell looks; "" are the colours of the screen.
type look struct {
	front, back                            string
	bold, faint, italic, underline, struck bool
	reverse                                bool
}

// colours returns what is seen of them.
func (l *look) colours() (front, back string) {
	front, back = l.front, l.back
	if front == "" {
		front = foreground
	}
	if l.reverse {
		if back == "" {
			back = background
		}
		front, back = back, front
	}
	return front, back
}

// cell is a character and how many columns it takes.
type cell struct {
	text  string
	width int
	look  look
}

// cells reads a row. Escape codes other than SGR, and control characters, show
// nothing. now is the look that the row before has ended with; cells changes it.
func cells(row string, now *look) (list []cell) {
	parser, state := ansi.NewParser(), byte(0)
	for len(row) > 0 {
		text, width, n, next := ansi.DecodeSequence(row, state, parser)
		row, state = row[n:], next
		switch {
		case width > 0:
			list = append(list, cell{text, width, *now})
		case combines(text) && len(list) > 0:
			list[len(list)-1].text += text
		case ansi.Cmd(parser.Command()).Final() == 'm' && ansi.HasCsiPrefix(text) && ansi.Cmd(parser.Command()).Prefix() == 0:
			now.change(parser.Params())
		}
	}
	return list
}

// combines reports whether text stands on the character before it.
func combines(text string) bool {
	r, size := utf8.DecodeRuneInString(text)
	return size == len(text) && unicode.IsMark(r)
}

// change obeys an SGR sequence (ECMA-48, 8.3.117).
func (l *look) change(params ansi.Params) {
	if len(params) == 0 {
		*l = look{}
	}
	for i := 0; i < len(params); i++ {
		switch p, _, _ := params.Param(i, 0); p {
		case 0:
			*l = look{}
		case 1:
			l.bold = true
		case 2:
			l.faint = true
		case 3:
			l.italic = true
		case 4:
			l.underline = true
		case 7:
			l.reverse = true
		case 9:
			l.struck = true
		case 22:
			l.bold, l.faint = false, false
		case 23:
			l.italic = false
		case 24:
			l.underline = false
		case 27:
			l.reverse = false
		case 29:
			l.struck = false
		case 30, 31, 32, 33, 34, 35, 36, 37:
			l.front = palette[p-30]
		case 90, 91, 92, 93, 94, 95, 96, 97:
			l.front = palette[p-90+8]
		case 39:
			l.front = ""
		case 40, 41, 42, 43, 44, 45, 46, 47:
			l.back = palette[p-40]
		case 100, 101, 102, 103, 104, 105, 106, 107:
			l.back = palette[p-100+8]
		case 49:
			l.back = ""
		case 38, 48:
			var c color.Color
			n := ansi.ReadStyleColor(params[i:], &c)
			if n < 1 || c == nil {
				return // what follows cannot be told from its parts
			}
			if p == 38 {
				l.front = hex(c)
			} else {
				l.back = hex(c)
			}
			i += n - 1
		}
	}
}

func hex(c color.Color) string {
	switch c := c.(type) {
	case ansi.BasicColor:
		return palette[c]
	case ansi.IndexedColor:
		if c < 16 {
			return palette[c]
		}
	}
	r, g, b, _ := c.RGBA()
	return fmt.Sprintf("#%02x%02x%02x", r>>8, g>>8, b>>8)
}
