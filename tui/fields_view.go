package tui

import (
	"fmt"
	"strings"
)

// frameLines are the fields beside the bytes, in at most height lines; the bytes of the
// selected field are marked.
func (s *drop) frameLines(room, height int) []string {
	if len(s.entries) == 0 {
		return wrapLines([]string{"None of its bytes were kept: it was dropped before it was whole."}, room)[:1]
	}
	body := s.listHeight(height + dropHead)
	per, ascii := 8, false
	switch hexWidth := func(n int) int { return 6 + 3*n }; {
	case room >= 60+hexWidth(16)+18:
		per, ascii = 16, true
	case room >= 50+hexWidth(16):
		per = 16
	case room >= 54+hexWidth(8)+10:
		ascii = true
	}
	bytesRoom := 6 + 3*per
	if ascii {
		bytesRoom += 2 + per
	}
	listRoom := room - bytesRoom - 1
	var lines []string
	if listRoom < 24 { // no room for bytes beside
		lines = pad(s.fieldLines(room, body), body)
	} else {
		lines = pad(beside(s.fieldLines(listRoom, body), s.hexLines(hexShape{per, body, ascii}), listRoom+1), body)
	}
	lines = append(lines, s.footLines(room)...)
	for i := range lines {
		if styledWidth(lines[i]) > room {
			lines[i] = cutStyled(lines[i], room)
		}
	}
	return lines
}

// listHeight is how many lines the list of fields has where the screen has height.
func (s *drop) listHeight(height int) int {
	const foot = 2
	return max(1, s.textHeight(height)-foot)
}

// listTop is the entry in the first line of the list.
func (s *drop) listTop(height int) int {
	return max(0, min(s.at-height/2, len(s.entries)-height))
}

// fieldLines are the list of layers and fields around the selected one.
func (s *drop) fieldLines(room, height int) []string {
	e := s.env
	const name = 18
	top := s.listTop(height)
	var lines []string
	for i := top; i < min(len(s.entries), top+height); i++ {
		l, f := s.entries[i].layer, s.entries[i].field
		var pieces []piece
		wrong := false
		if f == nil {
			wrong = l.Note != ""
			pieces = []piece{{toneTitle, l.Name}, {toneText, "  "}, {toneDim, l.Summary}}
		} else {
			wrong = f.Note != ""
			pieces = []piece{{toneDim, "  " + fit(clean(f.Name), name) + " "}, {toneText, f.Value}}
		}
		if wrong {
			pieces = append(pieces, piece{toneBad, " <- wrong"})
			if f != nil {
				pieces[1].tone = toneBad
			}
		}
		if i == s.at {
			text := ""
			for _, p := range pieces {
				text += clean(p.text)
			}
			lines = append(lines, e.paint(toneSelected, fit(">"+strings.TrimPrefix(text, " "), room)))
			continue
		}
		lines = append(lines, e.line(room, pieces...))
	}
	return lines
}

// footLines say more about the selected field, in two lines.
func (s *drop) footLines(room int) []string {
	e := s.env
	l, f := s.entries[s.at].layer, s.entries[s.at].field
	of := "the inner frame"
	if l.InHeader {
		of = "the STT frame header"
	}
	offset, length, note, words := l.Offset, l.Length, l.Note, l.Name
	if f != nil {
		offset, length, note, words = f.Offset, f.Length, f.Note, l.Name+", "+f.Name
	}
	place := fmt.Sprintf("byte %d of %s", offset, of)
	if length != 1 {
		place = fmt.Sprintf("bytes %d to %d of %s", offset, offset+max(0, length-1), of)
	}
	if f != nil && f.Bits > 0 {
		place = fmt.Sprintf("%s, %s from bit %d on", place, counted(f.Bits, "bit"), f.Bit)
	}
	if f != nil && f.Filter != "" {
		place += "  Wireshark: " + f.Filter
	}
	lines := []string{e.line(room, piece{toneStrong, words}, piece{toneDim, "  " + place})}
	if note != "" {
		return append(lines, e.line(room, piece{toneBad, "! " + note}))
	}
	if f != nil {
		return append(lines, e.line(room, piece{toneText, f.Value}))
	}
	return append(lines, e.line(room, piece{toneText, l.Summary}))
}

// hexShape is how bytes are laid out.
type hexShape struct {
	per, height int
	ascii       bool
}

// hexRow is a line of bytes; without bytes it is a title.
type hexRow struct {
	title  string
	header bool // bytes of the frame header
	offset int
	bytes  []byte
}

// hexLines are the bytes around the selected ones.
func (s *drop) hexLines(shape hexShape) []string {
	e := s.env
	var rows []hexRow
	add := func(title string, header bool, data []byte) {
		if len(data) == 0 {
			return
		}
		rows = append(rows, hexRow{title: title})
		for at := 0; at < len(data); at += shape.per {
			rows = append(rows, hexRow{header: header, offset: at, bytes: data[at:min(len(data), at+shape.per)]})
		}
	}
	add("STT frame header", true, s.frame.Header)
	title := "inner frame"
	if kept := len(s.frame.Data); kept < s.frame.InnerBytes {
		title = fmt.Sprintf("inner frame, %d of %d bytes", kept, s.frame.InnerBytes)
	}
	add(title, false, s.frame.Data)
	l, f := s.entries[s.at].layer, s.entries[s.at].field
	from, to := l.Offset, l.Offset+l.Length
	if f != nil {
		from, to = f.Offset, f.Offset+f.Length
	}
	first := 0
	for i := range rows {
		if r := &rows[i]; r.bytes != nil && r.header == l.InHeader && from >= r.offset && from < r.offset+len(r.bytes) {
			first = i
		}
	}
	top := max(0, min(first-shape.height/2, len(rows)-shape.height))
	var lines []string
	for i := top; i < min(len(rows), top+shape.height); i++ {
		r := &rows[i]
		if r.bytes == nil {
			lines = append(lines, e.paint(toneDim, r.title))
			continue
		}
		lo, hi := from-r.offset, to-r.offset
		if r.header != l.InHeader {
			lo, hi = 0, 0
		}
		lines = append(lines, s.hexLine(r, shape, max(0, lo), min(len(r.bytes), max(0, hi))))
	}
	return lines
}

// hexLine is a row in which the bytes from lo up to hi are marked.
func (s *drop) hexLine(r *hexRow, shape hexShape, lo, hi int) string {
	e := s.env
	var out strings.Builder
	out.WriteString(e.paint(toneDim, fmt.Sprintf("%04x", r.offset)) + "  ")
	run := func(from, to int, as tone, write func(byte) string, gap string) {
		if from >= to {
			return
		}
		var text []string
		for _, b := range r.bytes[from:to] {
			text = append(text, write(b))
		}
		out.WriteString(e.paint(as, strings.Join(text, gap)))
	}
	digits := func(b byte) string { return fmt.Sprintf("%02x", b) }
	n := len(r.bytes)
	if lo >= hi {
		lo, hi = n, n
	}
	blank := func(more bool) {
		if more {
			out.WriteByte(' ')
		}
	}
	run(0, lo, toneText, digits, " ")
	blank(lo > 0 && lo < n)
	run(lo, hi, toneSelected, digits, " ")
	blank(hi > lo && hi < n)
	run(hi, n, toneText, digits, " ")
	if shape.ascii {
		out.WriteString(spaces(3*(shape.per-n) + 3))
		letter := func(b byte) string {
			if b < ' ' || b > '~' {
				return "."
			}
			return string(rune(b))
		}
		run(0, lo, toneDim, letter, "")
		run(lo, hi, toneSelected, letter, "")
		run(hi, n, toneDim, letter, "")
	}
	return out.String()
}
