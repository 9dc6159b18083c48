package filter

import "strings"

// word is what stands between spaces and parentheses, or one of those.
type word struct {
	at    int // its first byte in the text
	raw   string
	colon int // of the first colon outside of quotes in raw, -1 if there is none
}

// part is a value of a word, and where it begins in it.
type part struct {
	at  int
	raw string
}

// scan cuts the text into words.
func (p *parser) scan() error {
	for i := 0; i < len(p.text); {
		switch c := p.text[i]; c {
		case ' ', '\t', '\n', '\r':
			i++
		case '(', ')', '!':
			p.words = append(p.words, word{at: i, raw: p.text[i : i+1], colon: -1})
			i++
		default:
			w, ok := scanWord(p.text, i)
			if !ok {
				return p.errorf(i+strings.IndexByte(w.raw, '"'), "there is no second \" that ends this")
			}
			p.words = append(p.words, w)
			i += len(w.raw)
		}
	}
	return nil
}

// scanWord reads the word at byte i; false if a quotation does not end.
func scanWord(text string, i int) (w word, ok bool) {
	w = word{at: i, colon: -1}
	quoted := false
	for end := i; ; end++ {
		if end == len(text) {
			w.raw = text[i:]
			return w, !quoted
		}
		switch c := text[end]; {
		case quoted && c == '\\' && end+1 < len(text):
			end++
		case c == '"':
			quoted = !quoted
		case quoted:
		case c == ':' && w.colon < 0:
			w.colon = end - i
		case strings.IndexByte(" \t\n\r()", c) >= 0:
			w.raw = text[i:end]
			return w, true
		}
	}
}

// values cuts what is behind the colon at commas outside of quotes.
func (w *word) values() (parts []part) {
	begin, quoted := w.colon+1, false
	for i := begin; i < len(w.raw); i++ {
		switch c := w.raw[i]; {
		case quoted && c == '\\':
			i++
		case c == '"':
			quoted = !quoted
		case c == ',' && !quoted:
			parts = append(parts, part{begin, w.raw[begin:i]})
			begin = i + 1
		}
	}
	return append(parts, part{begin, w.raw[begin:]})
}

// unquote takes the quotes off a value; quoted is false if it has none, ok if what
// is quoted is not all of it.
func unquote(raw string) (text string, quoted, ok bool) {
	if !strings.Contains(raw, `"`) {
		return raw, false, true
	}
	if raw[0] != '"' {
		return "", true, false
	}
	var b strings.Builder
	for i := 1; i < len(raw); i++ {
		switch c := raw[i]; {
		case c == '\\' && i+1 < len(raw):
			i++
			b.WriteByte(raw[i])
		case c == '"':
			return b.String(), true, i == len(raw)-1
		default:
			b.WriteByte(c)
		}
	}
	return "", true, false
}
