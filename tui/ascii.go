package tui

import "strings"

// inASCII are the signs of the screens that have a likeness in ASCII, of the same width.
var inASCII = map[rune]byte{'▲': '^', '▼': 'v', '↑': '^', '↓': 'v', '←': '<', '→': '>', '…': '~', '│': '|', '┤': '+', '─': '-', '·': '.'}

// asciiOnly writes text, with SGR sequences in it, for a terminal that shows no more than
// ASCII; names too, since some bytes of UTF-8 are control characters there. Its width
// stays.
func asciiOnly(s string) string {
	var out strings.Builder
	out.Grow(len(s))
	for _, r := range s {
		switch as, known := inASCII[r]; {
		case r < 0x80:
			out.WriteByte(byte(r))
		case known:
			out.WriteByte(as)
		default:
			out.WriteString(strings.Repeat("?", max(0, width(string(r)))))
		}
	}
	return out.String()
}
