package filter

import (
	"slices"
	"strings"
)

// Candidate is something that could be typed.
type Candidate struct {
	Text string // replaces the text from Completion.From to the cursor
	Hint string // what it is, for people; "" where it explains itself
}

// Completion is what could be typed at a cursor.
type Completion struct {
	From       int // first byte that a candidate replaces
	Candidates []Candidate
	// Form tells how the value is written that stands at the cursor, where it is
	// not one of a list.
	Form string
}

// Complete tells what could be typed at the end of text. known gives the values of
// a field that there are now, such as the names of tenants; it may be nil.
func Complete(text string, known func(f *Field) []string) Completion {
	w := lastWord(text)
	begin := strings.TrimLeft(w.raw, "!")
	at := w.at + len(w.raw) - len(begin)
	if w.colon < 0 {
		return completeWord(begin, at)
	}
	f := byName[strings.ToLower(w.raw[:w.colon])]
	if f == nil {
		return Completion{From: len(text)}
	}
	parts := w.values()
	last := parts[len(parts)-1]
	c := Completion{From: w.at + last.at, Form: f.Form()}
	words := f.Words
	if known != nil && len(words) == 0 {
		words = known(f)
	}
	begin = strings.TrimPrefix(last.raw, `"`)
	for _, text := range words {
		if strings.HasPrefix(text, begin) {
			c.Candidates = append(c.Candidates, Candidate{Text: Quote(text)})
		}
	}
	slices.SortFunc(c.Candidates, func(a, b Candidate) int { return strings.Compare(a.Text, b.Text) })
	return c
}

func completeWord(begin string, at int) Completion {
	c := Completion{From: at}
	add := func(text, hint string) {
		if strings.HasPrefix(text, strings.ToLower(begin)) {
			c.Candidates = append(c.Candidates, Candidate{text, hint})
		}
	}
	for i := range fields {
		add(fields[i].Name+":", fields[i].Meaning)
	}
	for _, word := range verdictWords {
		add(word, "verdict:"+word)
	}
	for _, word := range protocolWords() {
		add(word, "proto:"+word)
	}
	for _, word := range []string{"and", "not", "or"} {
		add(word, "")
	}
	return c
}

// lastWord is the word at the end of the text, which may not be complete.
func lastWord(text string) word {
	last := word{at: len(text), colon: -1}
	for i := 0; i < len(text); {
		if strings.IndexByte(" \t\n\r()!", text[i]) >= 0 {
			i++
			continue
		}
		last, _ = scanWord(text, i)
		i += len(last.raw)
	}
	if last.at+len(last.raw) < len(text) {
		return word{at: len(text), colon: -1}
	}
	return last
}

// Quote returns a value as it is written in a filter: in quotes where it needs them.
func Quote(value string) string {
	if value != "" && !strings.ContainsAny(value, " \t\n\r()!,\"*\\") {
		return value
	}
	return `"` + strings.NewReplacer(`\`, `\\`, `"`, `\"`).Replace(value) + `"`
}
