package filter

import (
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"unicode/utf8"
)

const (
	// MaxLen bounds a filter, in bytes.
	MaxLen = 4096
	// MaxSteps bounds its [Filter.Steps]: who asks about a million flows is not to keep
	// others waiting for minutes.
	MaxSteps = 256
	// maxDepth bounds its parentheses and negations.
	maxDepth = 64
)

// Error says what is wrong with the text of a filter.
type Error struct {
	// Column is where, in characters from 1.
	Column  int
	Problem string
	text    string
}

func (e *Error) Error() string { return fmt.Sprintf("column %d: %s", e.Column, e.Problem) }

// Pointed returns the text of the filter, and a line with a caret below the column.
// Characters that a terminal would not show are replaced.
func (e *Error) Pointed() string {
	var line strings.Builder
	for _, r := range e.text {
		if r < ' ' || r == 0x7f || r == utf8.RuneError {
			r = '?'
		}
		line.WriteRune(r)
	}
	return line.String() + "\n" + strings.Repeat(" ", e.Column-1) + "^"
}

// Parse reads a filter. Text without a word selects everything. Terms that follow
// one another are joined by "and", which binds more than "or"; the error is an
// [Error].
func Parse(text string) (*Filter, error) {
	p := &parser{text: text}
	if len(text) > MaxLen {
		return nil, p.errorf(MaxLen, "expected at most %d bytes", MaxLen)
	}
	if err := p.scan(); err != nil {
		return nil, err
	}
	if len(p.words) == 0 {
		return &Filter{text: text}, nil
	}
	root, err := p.or(0)
	if err != nil {
		return nil, err
	}
	if w, ok := p.peek(); ok { // only a closing parenthesis ends an expression
		return nil, p.errorf(w.at, "there is no ( that this ) could close")
	}
	return &Filter{text: text, root: root}, nil
}

type parser struct {
	text  string
	words []word
	next  int
	steps int
}

// errorf makes an error at a byte of the text.
func (p *parser) errorf(at int, format string, args ...any) error {
	return &Error{Column: utf8.RuneCountInString(p.text[:min(at, len(p.text))]) + 1, Problem: fmt.Sprintf(format, args...), text: p.text}
}

func (p *parser) peek() (word, bool) {
	if p.next == len(p.words) {
		return word{at: len(p.text)}, false
	}
	return p.words[p.next], true
}

// operators have other spellings.
var operators = map[string]operator{"and": isAnd, "&&": isAnd, "or": isOr, "||": isOr, "not": isNot, "!": isNot}

func (w *word) operator() (operator, bool) {
	op, ok := operators[strings.ToLower(w.raw)]
	return op, ok
}

func (p *parser) or(depth int) (*node, error) {
	return p.joined(isOr, depth, p.and)
}

func (p *parser) and(depth int) (*node, error) {
	return p.joined(isAnd, depth, p.not)
}

// joined reads one or more of what sub reads, with the operator between them,
// which for "and" may be left out.
func (p *parser) joined(op operator, depth int, sub func(int) (*node, error)) (*node, error) {
	n, err := sub(depth)
	if err != nil {
		return nil, err
	}
	all := []*node{n}
	for {
		w, ok := p.peek()
		if !ok || w.raw == ")" {
			break
		}
		if is, found := w.operator(); found && is != isNot {
			if is != op {
				break
			}
			p.next++
		} else if op == isOr {
			break
		}
		if n, err = sub(depth); err != nil {
			return nil, err
		}
		all = append(all, n)
	}
	if len(all) == 1 {
		return all[0], nil
	}
	return &node{op: op, of: all}, nil
}

func (p *parser) not(depth int) (*node, error) {
	w, ok := p.peek()
	if depth == maxDepth {
		return nil, p.errorf(w.at, "expected at most %d ( and not inside one another", maxDepth)
	}
	if !ok {
		return nil, p.errorf(w.at, "expected a field and a value, such as tenant:acme, behind this")
	}
	op, found := w.operator()
	switch {
	case found && op == isNot:
		p.next++
		n, err := p.not(depth + 1)
		if err != nil {
			return nil, err
		}
		return &node{op: isNot, of: []*node{n}}, nil
	case found:
		return nil, p.errorf(w.at, "expected a field and a value, such as tenant:acme, before %q", w.raw)
	case w.raw == "(":
		p.next++
		n, err := p.or(depth + 1)
		if err != nil {
			return nil, err
		}
		if end, _ := p.peek(); end.raw != ")" {
			return nil, p.errorf(w.at, "there is no ) that closes this (")
		}
		p.next++
		return n, nil
	case w.raw == ")":
		return nil, p.errorf(w.at, "expected a field and a value, such as tenant:acme, before this )")
	}
	p.next++
	return p.term(&w)
}

func (p *parser) term(w *word) (*node, error) {
	if w.colon < 0 || w.colon > 0 && isAddress(w.raw) {
		return p.bare(w)
	}
	name := w.raw[:w.colon]
	f := byName[strings.ToLower(name)]
	if f == nil {
		return nil, p.errorf(w.at, "there is no field %.40q%s", name, orNear(name, fieldNames()))
	}
	n := &node{field: f, at: w.at}
	for _, part := range w.values() {
		v, problem := f.parse(part.raw)
		if problem != "" {
			return nil, p.errorf(w.at+part.at, "%s: expected %s", f.Name, problem)
		}
		n.values = append(n.values, v)
	}
	if p.steps += n.steps(); p.steps > MaxSteps {
		return nil, p.errorf(w.at, "expected fewer values: %d in all, where the parts of a name with * count, and each text: as %d", MaxSteps, stepsOfText)
	}
	return n, nil
}

// bare reads a word that names no field: a verdict, a protocol or an address.
func (p *parser) bare(w *word) (*node, error) {
	var f *Field
	text := strings.ToLower(w.raw)
	switch {
	case slices.Contains(verdictWords, text):
		f = byName["verdict"]
	case slices.Contains(protocolWords(), text):
		f = byName["proto"]
	case isAddress(text):
		f = byName["host"]
	case byName[text] != nil:
		return nil, p.errorf(w.at+len(w.raw), "expected a colon and a value, such as %s:%s", text, byName[text].Example)
	case isDigits(text):
		return nil, p.errorf(w.at, "expected a field before a number: port:%[1]s, context:%[1]s", text)
	default:
		return nil, p.errorf(w.at, "%.40q is no verdict, protocol or address%s; text:%.40[1]s looks for it in names",
			w.raw, orNear(text, slices.Concat(verdictWords, protocolWords(), fieldNames())))
	}
	v, problem := f.parse(text)
	if problem != "" {
		return nil, p.errorf(w.at, "expected %s", problem)
	}
	if p.steps++; p.steps > MaxSteps {
		return nil, p.errorf(w.at, "expected fewer values: %d in all", MaxSteps)
	}
	return &node{field: f, values: []value{v}, at: w.at}, nil
}

// isAddress reports whether it is an address, CIDR or range, right or wrong in
// detail.
func isAddress(s string) bool {
	first, _, _ := strings.Cut(s, "/")
	first, _, _ = strings.Cut(first, "-")
	_, err := netip.ParseAddr(first)
	return err == nil
}

func isDigits(s string) bool { return s != "" && strings.Trim(s, "0123456789") == "" }
