package main

import (
	"bytes"
	"fmt"
	"io"
	"strings"
	"unicode"
	"unicode/utf8"
)

// What a running firewall answers holds words of others: file names, comments, the
// text of errors. Whatever they are, they write nothing but themselves to a terminal.

// hostile reports whether a terminal may take a character for more than a letter:
// control characters, those that turn the direction of the text, and line breaks
// of Unicode.
func hostile(r rune) bool {
	return unicode.IsControl(r) || unicode.Is(unicode.Bidi_Control, r) || r == '\u2028' || r == '\u2029'
}

// clean returns text as a part of one line.
func clean(s string) string {
	return strings.Map(func(r rune) rune {
		if hostile(r) {
			return utf8.RuneError
		}
		return r
	}, s)
}

// cleanLines returns text of several lines.
func cleanLines(s string) string {
	var out strings.Builder
	p := plainWriter{w: &out}
	io.WriteString(&p, s)
	p.end()
	return out.String()
}

// plain returns streams that write lines of text, or of JSON, and nothing else.
func (s streams) plain() streams {
	return streams{s.in, &plainWriter{w: s.out}, &plainWriter{w: s.err}}
}

// plainWriter replaces what is hostile, but for line feeds and tabs; in JSON, where
// it can stand in strings alone, by its escape.
type plainWriter struct {
	w    io.Writer
	json bool
	rest []byte // of a character that was cut in two
}

// unwrap returns what is written to in the end.
func unwrap(out any) any {
	if p, ok := out.(*plainWriter); ok {
		return p.w
	}
	return out
}

// inJSON returns a writer of JSON to the same place.
func inJSON(w io.Writer) io.Writer {
	if p, ok := w.(*plainWriter); ok {
		return &plainWriter{w: p.w, json: true}
	}
	return w
}

func (p *plainWriter) Write(text []byte) (int, error) {
	all := text
	if len(p.rest) > 0 {
		all = append(p.rest, text...)
	}
	var out bytes.Buffer
	for len(all) > 0 && utf8.FullRune(all) {
		r, size := utf8.DecodeRune(all)
		switch {
		case r == '\n' || r == '\t' || r != utf8.RuneError && !hostile(r):
			out.Write(all[:size])
		case p.json && r != utf8.RuneError:
			fmt.Fprintf(&out, `\u%04x`, r)
		default:
			out.WriteRune(utf8.RuneError)
		}
		all = all[size:]
	}
	p.rest = append([]byte(nil), all...) // less than a character
	if _, err := p.w.Write(out.Bytes()); err != nil {
		return 0, err
	}
	return len(text), nil
}

// end writes what is left of a character that never became whole.
func (p *plainWriter) end() {
	if len(p.rest) > 0 {
		p.rest = nil
		io.WriteString(p.w, string(utf8.RuneError))
	}
}
