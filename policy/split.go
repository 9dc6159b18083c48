package policy

import (
	"bytes"
	"slices"
	"unicode/utf8"

	"github.com/hashicorp/hcl/v2"
)

// A large rules file is nearly all rules. HCL's parser would hold the tokens and
// the syntax tree of all of them at once, some hundred times the text. So a
// large file is cut into the rule blocks of its tenants and the texts between
// them, and each is parsed by itself.

// section is a part of a rules file, whole lines of it.
type section struct {
	start hcl.Pos // of its first byte
	end   int     // byte behind it
	kind  sectionKind

	// of an owner
	opened hcl.Pos // first line behind the header
	closed hcl.Pos // the closing brace
	inner  []section
}

type sectionKind uint8

const (
	textSection  sectionKind = iota
	ruleSection              // one rule block, from its first word to its closing brace
	ownerSection             // a block with rule blocks in it
)

// splitter finds sections. It reads the text as HCL's scanner does, as far as it
// must to tell brackets from those in strings and comments; where it does not
// know, it gives up, which is no error.
type splitter struct {
	src       []byte
	at        int
	line      int
	lineStart int
	deep      int // templates inside each other
}

// split returns the sections of a file in their order, or where it cannot tell
// them any more.
func split(src []byte) (sections []section, failed hcl.Pos, ok bool) {
	s := splitter{src: src, line: 1}
	if !utf8.Valid(src) { // HCL takes what is not, and the end of the line behind it, for a name
		s.skipTo(notUTF8(src))
		return nil, s.pos(), false
	}
	sections, ok = s.sections(false)
	s.at = min(s.at, len(src)) // behind it after an escape at the end
	return sections, s.pos(), ok
}

// notUTF8 returns where text is not UTF-8 any more.
func notUTF8(text []byte) (at int) {
	for at < len(text) {
		r, size := utf8.DecodeRune(text[at:])
		if r == utf8.RuneError && size == 1 {
			break
		}
		at += size
	}
	return at
}

func (s *splitter) pos() hcl.Pos {
	return hcl.Pos{Line: s.line, Column: s.at - s.lineStart + 1, Byte: s.at}
}

// sections reads to the end of the file, or inside an owner to its closing
// brace, which is not read.
func (s *splitter) sections(inside bool) (out []section, ok bool) {
	text := s.pos() // the first line that is in no section yet
	flush := func(end int) {
		if !onlyComments(s.src[text.Byte:end]) {
			out = append(out, section{start: text, end: end})
		}
	}
	for s.at < len(s.src) {
		// At the beginning of a line, outside of all brackets.
		lineStart := s.at
		s.blanks()
		if s.at == len(s.src) {
			break
		}
		if inside && s.src[s.at] == '}' {
			flush(lineStart)
			return out, true
		}
		begin := s.pos()
		kind := s.header(inside)
		if kind == textSection {
			if !s.toLineEnd() {
				return nil, false
			}
			continue
		}
		next := section{start: begin, kind: kind}
		switch kind {
		case ruleSection:
			if !s.code('}') {
				return nil, false
			}
		case ownerSection:
			if !s.restIsBlank() {
				return nil, false
			}
			next.opened = s.pos()
			if next.inner, ok = s.sections(true); !ok {
				return nil, false
			}
			next.closed = s.pos()
			s.at++
		}
		next.end = s.at
		if !s.restIsBlank() {
			return nil, false
		}
		if kind == ownerSection && !slices.ContainsFunc(next.inner, isRule) {
			continue // text, as all else
		}
		flush(lineStart)
		out = append(out, next)
		text = s.pos()
	}
	flush(len(s.src))
	return out, !inside
}

// onlyComments reports whether whole lines say nothing.
func onlyComments(lines []byte) bool {
	comment := false
	for i, c := range lines {
		switch {
		case c == '\n':
			comment = false
		case c == '#' || c == '/' && i+1 < len(lines) && lines[i+1] == '/':
			comment = true
		case comment && ' ' <= c && c <= '~', c == ' ', c == '\t', c == '\r' && bytes.HasPrefix(lines[i+1:], []byte("\n")):
		default:
			return false
		}
	}
	return true
}

func isRule(s section) bool { return s.kind == ruleSection }

// header reads the header of a block that is a section, with its open brace, or
// nothing.
func (s *splitter) header(inside bool) sectionKind {
	begin := s.at
	for s.at < len(s.src) && (isLetter(s.src[s.at]) || s.src[s.at] == '_') {
		s.at++
	}
	word, kind, label := string(s.src[begin:s.at]), textSection, true
	switch {
	case inside && word == "rule":
		kind = ruleSection
	case !inside && word == "tenant":
		kind = ownerSection
	case !inside && (word == beforeSchema.block || word == afterSchema.block):
		kind, label = ownerSection, false
	}
	s.blanks()
	if label {
		if s.at == len(s.src) || s.src[s.at] != '"' {
			kind = textSection
		}
		name := s.at + 1
		for s.at++; s.at < len(s.src) && isPlain(s.src[s.at]); s.at++ {
		}
		if s.at >= len(s.src) || s.src[s.at] != '"' || s.at == name {
			kind = textSection
		}
		s.at++
		s.blanks()
	}
	if kind == textSection || s.at >= len(s.src) || s.src[s.at] != '{' {
		s.at = begin
		return textSection
	}
	s.at++
	return kind
}

// blanks reads white space in a line.
func (s *splitter) blanks() {
	for s.at < len(s.src) && (s.src[s.at] == ' ' || s.src[s.at] == '\t') {
		s.at++
	}
}

// restIsBlank reads the rest of a line in which there may be a comment.
func (s *splitter) restIsBlank() bool {
	s.blanks()
	if s.at < len(s.src) && s.src[s.at] == '#' || bytes.HasPrefix(s.src[s.at:], []byte("//")) {
		s.comment()
	}
	if s.at == len(s.src) {
		return true
	}
	if bytes.HasPrefix(s.src[s.at:], []byte("\r\n")) {
		s.at++
	}
	if s.src[s.at] != '\n' {
		return false
	}
	s.newline()
	return true
}

func (s *splitter) comment() {
	for s.at < len(s.src) && s.src[s.at] != '\n' {
		s.at++
	}
}

func (s *splitter) newline() {
	s.at++
	s.line++
	s.lineStart = s.at
}

// toLineEnd reads a line, and further lines as long as a bracket or comment is
// open.
func (s *splitter) toLineEnd() bool { return s.code('\n') }

// code reads to a closing bracket, or the end of a line, outside of all further
// brackets, and reads that too.
func (s *splitter) code(end byte) bool {
	var open []byte // what closes the brackets that are open
	for s.at < len(s.src) {
		c := s.src[s.at]
		switch c {
		case '\n':
			s.newline()
			if len(open) == 0 && end == '\n' {
				return true
			}
			continue
		case '#':
			s.comment()
			continue
		case '/':
			switch {
			case bytes.HasPrefix(s.src[s.at:], []byte("//")):
				s.comment()
				continue
			case bytes.HasPrefix(s.src[s.at:], []byte("/*")):
				n := bytes.Index(s.src[s.at+2:], []byte("*/"))
				if n < 0 {
					return false
				}
				s.skipTo(s.at + 2 + n + 2)
				continue
			}
		case '"':
			s.at++
			if !s.text() {
				return false
			}
			continue
		case '<':
			if bytes.HasPrefix(s.src[s.at:], []byte("<<")) {
				return false // a heredoc
			}
		case '{':
			open = append(open, '}')
		case '[':
			open = append(open, ']')
		case '(':
			open = append(open, ')')
		case '}', ']', ')':
			s.at++
			switch n := len(open); {
			case n > 0 && open[n-1] == c:
				open = open[:n-1]
			case n == 0 && c == end:
				return true
			default:
				return false
			}
			if len(open) > maxNesting {
				return false
			}
			continue
		}
		s.at++
	}
	return end == '\n' && len(open) == 0
}

func (s *splitter) skipTo(at int) {
	for s.at < at {
		if s.src[s.at] == '\n' {
			s.newline()
		} else {
			s.at++
		}
	}
}

// text reads the rest of a string.
func (s *splitter) text() bool {
	for s.at < len(s.src) {
		switch c := s.src[s.at]; c {
		case '"':
			s.at++
			return true
		case '\n':
			return false
		case '\\':
			s.at += 2
			continue
		case '$', '%':
			switch {
			case s.at+1 < len(s.src) && s.src[s.at+1] == c:
				return false // perhaps an escaped template
			case s.at+1 < len(s.src) && s.src[s.at+1] == '{':
				s.at += 2
				if s.deep++; s.deep > maxNesting || !s.code('}') {
					return false
				}
				s.deep--
				continue
			}
		}
		s.at++
	}
	return false
}

func isLetter(c byte) bool { return 'a' <= c && c <= 'z' || 'A' <= c && c <= 'Z' }

// isPlain reports whether a character stands for itself in a string, and is one
// column wide.
func isPlain(c byte) bool {
	return ' ' <= c && c <= '~' && c != '"' && c != '\\' && c != '$' && c != '%'
}
