package filter

import (
	"fmt"
	"slices"
	"strings"
	"unicode/utf8"
)

// Filter selects records. The zero value matches all. It is not changed by use and
// may be used by many at once.
type Filter struct {
	text string
	root *node // nil matches all
}

// String returns the text that it was made of.
func (f *Filter) String() string { return f.text }

// All reports whether it matches everything.
func (f *Filter) All() bool { return f.root == nil }

// Only returns an [Error] at the first term that asks for another field than those;
// what is named in it: "rules have no dport".
func (f *Filter) Only(what string, fields ...string) error {
	n := f.root.other(fields)
	if n == nil {
		return nil
	}
	return &Error{
		Column: utf8.RuneCountInString(f.text[:n.at]) + 1, text: f.text,
		Problem: fmt.Sprintf("%s have no %s: expected one of %s", what, n.field.Name, strings.Join(fields, ", ")),
	}
}

// other returns the first term of another field.
func (n *node) other(fields []string) *node {
	if n == nil || n.op == isTerm && slices.Contains(fields, n.field.Name) {
		return nil
	}
	if n.op == isTerm {
		return n
	}
	for _, sub := range n.of {
		if found := sub.other(fields); found != nil {
			return found
		}
	}
	return nil
}

// Match reports whether the record is selected. It allocates nothing.
func (f *Filter) Match(r *Record) bool { return f.root == nil || f.root.match(r) }

type operator int

const (
	isTerm operator = iota
	isAnd
	isOr
	isNot
)

// node is a term (a field with values), or joins others.
type node struct {
	op     operator
	of     []*node
	field  *Field
	values []value
	at     int // of a term, in the text
}

func (n *node) match(r *Record) bool {
	switch n.op {
	case isAnd:
		for _, sub := range n.of {
			if !sub.match(r) {
				return false
			}
		}
		return true
	case isOr:
		for _, sub := range n.of {
			if sub.match(r) {
				return true
			}
		}
		return false
	case isNot:
		return !n.of[0].match(r)
	}
	for i := range n.values {
		if n.field.match(r, &n.values[i]) {
			return true
		}
	}
	return false
}

// Steps is how many values a match compares at most; a name with * counts for each of
// its parts, and letters that stand somewhere in a name for stepsOfText.
func (f *Filter) Steps() int { return f.root.steps() }

const stepsOfText = 4

func (n *node) steps() (sum int) {
	if n == nil {
		return 0
	}
	for _, sub := range n.of {
		sum += sub.steps()
	}
	for i := range n.values {
		if n.field.kind == kindText {
			sum += stepsOfText
			continue
		}
		sum += max(1, len(n.values[i].parts))
	}
	return sum
}

// Fields returns the names of the fields that it asks for, in the order of the text.
func (f *Filter) Fields() []string {
	var names []string
	var walk func(n *node)
	walk = func(n *node) {
		if n.field != nil && !slices.Contains(names, n.field.Name) {
			names = append(names, n.field.Name)
		}
		for _, sub := range n.of {
			walk(sub)
		}
	}
	if f.root != nil {
		walk(f.root)
	}
	return names
}
