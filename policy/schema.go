package policy

import (
	"cmp"
	"fmt"
	"slices"
	"strings"

	"github.com/hashicorp/hcl/v2"
	"github.com/hashicorp/hcl/v2/hclsyntax"
)

// schema says what may stand in a block. The tables in tables.go are the only
// list of the language's words: the loader refuses what is not in them, and
// docs/rules.md is tested against them.
type schema struct {
	block      string // how the block begins: `rule "NAME"`
	where      string // "in a rule"
	meaning    string
	attributes []attribute
	blocks     []*schema
	later      []string // words that the language is to have, but this version has not
}

// attribute describes one attribute for the loader's errors and for the
// reference.
type attribute struct {
	name     string
	form     string // the type, in the reader's words
	fallback string // what holds where it is left out; "required" where it must be there
	meaning  string
	example  string // the right side of the "="
}

const required = "required"

func (s *schema) names() (attributes, blocks []string) {
	for i := range s.attributes {
		attributes = append(attributes, s.attributes[i].name)
	}
	for _, b := range s.blocks {
		blocks = append(blocks, b.blockType())
	}
	return attributes, blocks
}

func (s *schema) blockType() string {
	word, _, _ := strings.Cut(s.block, " ")
	return word
}

func (s *schema) attribute(name string) bool {
	return slices.ContainsFunc(s.attributes, func(a attribute) bool { return a.name == name })
}

func (s *schema) child(blockType string) *schema {
	for _, b := range s.blocks {
		if b.blockType() == blockType {
			return b
		}
	}
	return nil
}

// check reports everything in body that the schema does not know, and what it
// misses. header is the range of the block's header.
func (l *loader) check(body *hclsyntax.Body, header hcl.Range, s *schema) {
	for name, a := range body.Attributes {
		if s.attribute(name) {
			continue
		}
		if b := s.child(name); b != nil {
			l.errorf(a.NameRange, "Not an argument", "Expected a block: %s { ... }, without \"=\".", b.block)
			continue
		}
		l.unknown(a.NameRange, "argument", name, s)
	}
	for _, b := range body.Blocks {
		if s.child(b.Type) != nil {
			continue
		}
		if s.attribute(b.Type) {
			l.errorf(b.TypeRange, "Not a block", "Expected an argument: %s = ...", b.Type)
			continue
		}
		l.unknown(b.TypeRange, "block", b.Type, s)
	}
	for i := range s.attributes {
		if a := &s.attributes[i]; a.fallback == required && body.Attributes[a.name] == nil {
			l.errorf(header, "Missing argument", "Expected %q %s.", a.name, s.where)
		}
	}
}

func (l *loader) unknown(at hcl.Range, kind, name string, s *schema) {
	if slices.Contains(s.later, name) {
		l.errorf(at, "Not in this version",
			"%q is part of the rules language, but this version of sttwall does not enforce it; take it out.", name)
		return
	}
	known, blocks := s.names()
	known = append(known, blocks...)
	hint := didYouMean(name, known)
	if hint == "" {
		hint = elsewhere(name, s)
	}
	l.errorf(at, "Unknown "+kind, "There is no %q %s; expected %s.%s", clip(name), s.where, oneOf(known), hint)
}

// elsewhere says where a word belongs that stands in the wrong block.
func elsewhere(name string, s *schema) string {
	for _, other := range allSchemas {
		if other != s && (other.attribute(name) || other.child(name) != nil) {
			return fmt.Sprintf(" It belongs %s.", other.where)
		}
	}
	return ""
}

// single returns the one block of a type in body, or nil; a second one is an
// error.
func (l *loader) single(body *hclsyntax.Body, s *schema) *hclsyntax.Block {
	var found *hclsyntax.Block
	for _, b := range body.Blocks {
		if b.Type != s.blockType() {
			continue
		}
		l.noLabel(b)
		if found != nil {
			l.errorf(b.TypeRange, "Duplicate "+b.Type, "Expected one %s block; the first is at %s.", b.Type, found.TypeRange)
			continue
		}
		found = b
	}
	return found
}

func (l *loader) noLabel(b *hclsyntax.Block) {
	if len(b.Labels) > 0 {
		l.errorf(b.LabelRanges[0], "Unexpected name", "Expected %s without a name: %s { ... }.", b.Type, b.Type)
	}
}

// name returns the one label of a block.
func (l *loader) name(b *hclsyntax.Block) (string, bool) {
	if len(b.Labels) == 0 {
		l.errorf(b.TypeRange, "Missing name", "Expected a name in quotes: %s \"NAME\" { ... }.", b.Type)
		return "", false
	}
	if len(b.Labels) > 1 {
		l.errorf(b.LabelRanges[1], "One name too many", "Expected one name: %s \"NAME\" { ... }.", b.Type)
		return "", false
	}
	name := b.Labels[0]
	if !ValidName(name) {
		l.errorf(b.LabelRanges[0], "Invalid name", "Expected a name of 1 to %d letters (a-z, A-Z), digits, \"_\" and \"-\" that begins with a letter or \"_\".", maxName)
		return "", false
	}
	if b.Type == "tenant" && slices.Contains(reservedTenants, name) {
		l.errorf(b.LabelRanges[0], "Reserved name", "Expected another name: %q is how the rules of the %s block are called in counters and logs.", name, name)
		return "", false
	}
	return name, true
}

// reservedTenants are the tenant's place in the names of rules that belong to
// none.
var reservedTenants = []string{beforeTenants, afterTenants, temporary}

const (
	beforeTenants = "before_tenants"
	afterTenants  = "after_tenants"
	temporary     = "temporary"
)

const maxName = 64

// ValidName reports whether rules, tenants, groups and services can have that
// name: it can be written in a reference, and needs no quoting in logs, metrics
// and "tenant/rule".
func ValidName(s string) bool {
	if s == "" || len(s) > maxName {
		return false
	}
	for i := range len(s) {
		c := s[i]
		switch {
		case 'a' <= c && c <= 'z', 'A' <= c && c <= 'Z', c == '_':
		case i > 0 && ('0' <= c && c <= '9' || c == '-'):
		default:
			return false
		}
	}
	return true
}

// declare notes that a name is taken and reports whether it was free.
func (l *loader) declare(taken map[string]hcl.Range, kind, name string, at hcl.Range) bool {
	if first, ok := taken[name]; ok {
		l.errorf(at, "Duplicate name", "Expected another name: %s %q is at %s already.", kind, name, first)
		return false
	}
	taken[name] = at
	return true
}

// sortedAttributes returns the attributes of a body in the order of the file.
func sortedAttributes(body *hclsyntax.Body) []*hclsyntax.Attribute {
	out := make([]*hclsyntax.Attribute, 0, len(body.Attributes))
	for _, a := range body.Attributes {
		out = append(out, a)
	}
	slices.SortFunc(out, func(a, b *hclsyntax.Attribute) int {
		return cmp.Compare(a.NameRange.Start.Byte, b.NameRange.Start.Byte)
	})
	return out
}

// clip shortens what the operator wrote to what fits in a message, and keeps
// control characters out of the terminal.
func clip(s string) string {
	const longest = 60
	if first, _, more := strings.Cut(s, "\n"); more {
		s = first + "..."
	}
	if len(s) > longest {
		s = s[:longest] + "..."
	}
	return strings.Map(printable, strings.ToValidUTF8(s, "\uFFFD"))
}
