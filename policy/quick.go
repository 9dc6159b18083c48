package policy

import (
	"github.com/hashicorp/hcl/v2"
	"github.com/hashicorp/hcl/v2/hclsyntax"
	"github.com/zclconf/go-cty/cty"
)

// quick parses a rule block of a large file that is written in the plain way:
// one argument a line, with strings, truth values and references, and lists of
// them, and blocks of such arguments. It makes the syntax tree that HCL's parser
// makes, in a tenth of the time. What it does not know it leaves to that.
type quick struct {
	src      []byte // to the end of the block
	at       int
	pos      hcl.Pos // of src[0]
	line     int     // lines behind pos
	start    int     // of the line
	depth    int     // blocks inside each other
	filename string
}

// quickDepth bounds how deep blocks are inside each other.
const quickDepth = 3

// quickRule returns the rule block at the beginning of src, which must be the
// whole of it, or nil.
func quickRule(src []byte, filename string, pos hcl.Pos) *hclsyntax.Block {
	q := quick{src: src, pos: pos, start: 1 - pos.Column, filename: filename}
	b := q.block()
	if b == nil || q.at != len(src) {
		return nil
	}
	return b
}

func (q *quick) here() hcl.Pos {
	return hcl.Pos{Line: q.pos.Line + q.line, Column: q.at - q.start + 1, Byte: q.pos.Byte + q.at}
}

// from returns the range from a place on.
func (q *quick) from(start hcl.Pos) hcl.Range {
	return hcl.Range{Filename: q.filename, Start: start, End: q.here()}
}

// next reports whether that character comes next, and reads it if it does.
func (q *quick) next(c byte) bool {
	if q.at < len(q.src) && q.src[q.at] == c {
		q.at++
		return true
	}
	return false
}

func (q *quick) blanks() {
	for q.at < len(q.src) && (q.src[q.at] == ' ' || q.src[q.at] == '\t') {
		q.at++
	}
}

// lineEnd reads blanks, a comment and the end of the line.
func (q *quick) lineEnd() bool {
	q.blanks()
	if q.at < len(q.src) && q.src[q.at] == '#' {
		for q.at < len(q.src) && ' ' <= q.src[q.at] && q.src[q.at] <= '~' {
			q.at++
		}
	}
	if q.at+1 < len(q.src) && q.src[q.at] == '\r' && q.src[q.at+1] == '\n' {
		q.at++
	}
	if !q.next('\n') {
		return false
	}
	q.line++
	q.start = q.at
	return true
}

// word reads a name; "" for none.
func (q *quick) word() (string, hcl.Range) {
	start, at := q.here(), q.at
	for q.at < len(q.src) && (isLetter(q.src[q.at]) || q.src[q.at] == '_' || q.at > at && '0' <= q.src[q.at] && q.src[q.at] <= '9') {
		q.at++
	}
	return string(q.src[at:q.at]), q.from(start)
}

// plain reads a string in which every character stands for itself; false for
// none. inner is without the quotes.
func (q *quick) plain() (s string, outer, inner hcl.Range, ok bool) {
	start := q.here()
	if !q.next('"') {
		return "", outer, inner, false
	}
	from, at := q.here(), q.at
	for q.at < len(q.src) && isPlain(q.src[q.at]) {
		q.at++
	}
	s, inner = string(q.src[at:q.at]), q.from(from)
	ok = s != "" && q.next('"')
	return s, q.from(start), inner, ok
}

// block reads a block from its type to its closing brace.
func (q *quick) block() *hclsyntax.Block {
	name, at := q.word()
	if name == "" {
		return nil
	}
	q.blanks()
	return q.blockOf(name, at)
}

func (q *quick) blockOf(name string, at hcl.Range) *hclsyntax.Block {
	b := &hclsyntax.Block{Type: name, TypeRange: at}
	if label, outer, _, ok := q.plain(); ok {
		b.Labels, b.LabelRanges = []string{label}, []hcl.Range{outer}
		q.blanks()
	}
	open := q.here()
	if !q.next('{') {
		return nil
	}
	b.OpenBraceRange = q.from(open)
	if q.depth++; q.depth > quickDepth || !q.lineEnd() {
		return nil
	}
	b.Body = &hclsyntax.Body{Attributes: hclsyntax.Attributes{}, Blocks: hclsyntax.Blocks{}}
	for {
		for q.lineEnd() {
		}
		end := q.here()
		if q.next('}') {
			b.CloseBraceRange = q.from(end)
			b.Body.SrcRange = hcl.RangeBetween(b.OpenBraceRange, b.CloseBraceRange)
			q.depth--
			b.Body.EndRange = hcl.Range{Filename: q.filename, Start: b.CloseBraceRange.End, End: b.CloseBraceRange.End}
			return b
		}
		if !q.item(b.Body) {
			return nil
		}
	}
}

// item reads an argument or a block, with its line end.
func (q *quick) item(body *hclsyntax.Body) bool {
	name, at := q.word()
	if name == "" {
		return false
	}
	q.blanks()
	equals := q.here()
	if !q.next('=') {
		inner := q.blockOf(name, at)
		body.Blocks = append(body.Blocks, inner)
		return inner != nil && q.lineEnd()
	}
	a := &hclsyntax.Attribute{Name: name, NameRange: at, EqualsRange: q.from(equals)}
	q.blanks()
	if a.Expr = q.value(true); a.Expr == nil || body.Attributes[name] != nil {
		return false
	}
	a.SrcRange = hcl.RangeBetween(at, a.Expr.Range())
	body.Attributes[name] = a
	return q.lineEnd()
}

// value reads a string, a truth value, a reference, or where lists are allowed a
// list of them; nil for anything else.
func (q *quick) value(lists bool) hclsyntax.Expression {
	start := q.here()
	if q.at == len(q.src) {
		return nil
	}
	switch c := q.src[q.at]; {
	case c == '"':
		s, outer, inner, ok := q.plain()
		if !ok {
			return nil
		}
		return &hclsyntax.TemplateExpr{
			Parts:    []hclsyntax.Expression{&hclsyntax.LiteralValueExpr{Val: cty.StringVal(s), SrcRange: inner}},
			SrcRange: outer,
		}
	case c == '[' && lists:
		return q.list()
	case isLetter(c):
		name, at := q.word()
		switch {
		case name == "true" || name == "false":
			return &hclsyntax.LiteralValueExpr{Val: cty.BoolVal(name == "true"), SrcRange: at}
		case !lists && name == "for":
			return nil
		}
		dot := q.here()
		if !q.next('.') {
			return nil
		}
		part, _ := q.word()
		if part == "" || q.at == len(q.src) || !isEnd(q.src[q.at]) {
			return nil
		}
		return &hclsyntax.ScopeTraversalExpr{
			Traversal: hcl.Traversal{hcl.TraverseRoot{Name: name, SrcRange: at}, hcl.TraverseAttr{Name: part, SrcRange: q.from(dot)}},
			SrcRange:  q.from(start),
		}
	}
	return nil
}

// isEnd reports whether a reference ends before that character.
func isEnd(c byte) bool { return c == ',' || c == ']' || c == '\n' || c == '\r' }

func (q *quick) list() hclsyntax.Expression {
	start := q.here()
	q.at++
	t := &hclsyntax.TupleConsExpr{OpenRange: q.from(start)}
	for {
		q.gap()
		if q.next(']') {
			break
		}
		v := q.value(false)
		if v == nil {
			return nil
		}
		t.Exprs = append(t.Exprs, v)
		q.gap()
		if q.next(',') {
			continue
		}
		if !q.next(']') {
			return nil
		}
		break
	}
	t.SrcRange = q.from(start)
	return t
}

// gap reads blanks, line ends and comments between the values of a list.
func (q *quick) gap() {
	for q.lineEnd() {
	}
}
