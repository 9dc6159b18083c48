package remedy

import (
	"fmt"
	"strings"

	"github.com/hashicorp/hcl/v2"
	"github.com/hashicorp/hcl/v2/hclsyntax"

	"sttwall/policy"
)

// maxSource is the largest rules file, in bytes, that is loaded again to try a change
// out. It takes some tenths of a second.
const maxSource = 1 << 20

// file is the rules file of a policy.
type file struct {
	name, text string
	body       *hclsyntax.Body
}

// openFile returns nil where the file is too large. The policy was made of it, so that
// it can be read.
func openFile(p *policy.Policy) *file {
	text, name := p.Source()
	if len(text) > maxSource {
		return nil
	}
	parsed, _ := hclsyntax.ParseConfig([]byte(text), name, hcl.InitialPos)
	if parsed == nil {
		return nil
	}
	body, ok := parsed.Body.(*hclsyntax.Body)
	if !ok {
		return nil
	}
	return &file{name, text, body}
}

// edit replaces a part of the text.
type edit struct {
	start, end int // bytes
	text       string
}

// with returns the text with an edit made.
func (f *file) with(e edit) string { return f.text[:e.start] + e.text + f.text[e.end:] }

// block returns the block in a body that has that type and label; nil if there is none.
func block(body *hclsyntax.Body, kind, label string) *hclsyntax.Block {
	if body == nil {
		return nil
	}
	for _, b := range body.Blocks {
		if b.Type == kind && (label == "" || len(b.Labels) == 1 && b.Labels[0] == label) {
			return b
		}
	}
	return nil
}

// in returns the block of the body of another, which may be nil.
func in(b *hclsyntax.Block, kind, label string) *hclsyntax.Block {
	if b == nil {
		return nil
	}
	return block(b.Body, kind, label)
}

// at names a place.
func (f *file) at(p hcl.Pos) string { return fmt.Sprintf("%s:%d", f.name, p.Line) }

// before is the edit that puts text in front of a block, and of the comments that
// belong to it.
func (f *file) before(b *hclsyntax.Block, text string) edit {
	start := f.line(b.DefRange().Start.Byte)
	for start > 0 {
		above := f.line(start - 1)
		if !strings.HasPrefix(strings.TrimSpace(f.text[above:start]), "#") {
			break
		}
		start = above
	}
	if strings.TrimSpace(f.text[f.line(b.DefRange().Start.Byte):b.DefRange().Start.Byte]) != "" {
		return f.atEnd(nil, "") // two blocks in a line are no rules file
	}
	return edit{start, start, indented(text, b.DefRange().Start.Column-1) + "\n"}
}

// atEnd is the edit that puts text at the end of a block; nil is the file.
func (f *file) atEnd(b *hclsyntax.Block, text string) edit {
	if b == nil {
		return edit{len(f.text), len(f.text), "\n" + text}
	}
	open, end := b.OpenBraceRange, b.CloseBraceRange.Start
	inner := indented(text, b.DefRange().Start.Column+1)
	if open.Start.Line == end.Line { // all in one line, which it cannot stay
		was := strings.TrimSpace(f.text[open.End.Byte:end.Byte])
		return edit{open.End.Byte, end.Byte, "\n" + indented(was+"\n", b.DefRange().Start.Column+1) + "\n" + inner}
	}
	start := f.line(end.Byte)
	if strings.TrimSpace(f.text[start:end.Byte]) != "" {
		return edit{end.Byte, end.Byte, "\n" + inner}
	}
	return edit{start, start, "\n" + inner}
}

// line returns where the line begins that has a byte.
func (f *file) line(at int) int { return strings.LastIndexByte(f.text[:at], '\n') + 1 }

// list is the edit that adds an entry to the list of an attribute, and the attribute's
// text then; false if it is not a plain list.
func (f *file) list(a *hclsyntax.Attribute, entry string) (e edit, text string, ok bool) {
	tuple, ok := a.Expr.(*hclsyntax.TupleConsExpr)
	if !ok {
		return e, "", false
	}
	e = edit{tuple.OpenRange.End.Byte, tuple.OpenRange.End.Byte, entry}
	if n := len(tuple.Exprs); n > 0 {
		end := tuple.Exprs[n-1].Range().End.Byte
		e = edit{end, end, ", " + entry}
	}
	start, end := a.NameRange.Start.Byte, a.SrcRange.End.Byte
	return e, f.text[start:e.start] + e.text + f.text[e.end:end] + "\n", true
}

// indented puts spaces in front of each line.
func indented(text string, by int) string {
	var out strings.Builder
	for line := range strings.Lines(text) {
		if strings.TrimSpace(line) != "" {
			out.WriteString(strings.Repeat(" ", max(0, by)))
		}
		out.WriteString(line)
	}
	return out.String()
}
