package policy

import (
	"bytes"
	"fmt"

	"github.com/hashicorp/hcl/v2"
	"github.com/hashicorp/hcl/v2/hclsyntax"
)

// pieces is a large rules file whose rules are parsed when they are compiled.
type pieces struct {
	filename string
	src      []byte
	diags    hcl.Diagnostics // of the syntax
	text     int             // bytes beside the rules
	waiting  *hclsyntax.Body // of a rule that has not been parsed yet
}

func newPieces(filename string, src []byte) *pieces {
	return &pieces{filename: filename, src: src, waiting: &hclsyntax.Body{}}
}

// body parses all but the rules. A rule has its header, its range and the body
// waiting.
func (p *pieces) body(sections []section) *hclsyntax.Body {
	body := &hclsyntax.Body{Attributes: hclsyntax.Attributes{}, Blocks: hclsyntax.Blocks{}}
	for i := range sections {
		s := &sections[i]
		switch s.kind {
		case textSection:
			if p.text > maxText {
				return body // said already
			}
			if p.text += s.end - s.start.Byte; p.text > maxText {
				p.diags = append(p.diags, tooLarge(hcl.Range{Filename: p.filename, Start: s.start, End: s.start}, maxText, p.text,
					"beside the rules; long lists of addresses belong into a file (addresses_from)")...)
				return body
			}
			p.join(body, p.parse(p.src[s.start.Byte:s.end], s.start))
		case ruleSection:
			body.Blocks = append(body.Blocks, p.rule(s))
		case ownerSection:
			if b := p.owner(s); b != nil {
				body.Blocks = append(body.Blocks, b)
			}
		}
	}
	return body
}

// byteOrderMark is what HCL passes over where a file begins, and only there.
var byteOrderMark = []byte("\ufeff")

// parse parses a text by itself; nil if nothing can be said of it, or enough is
// wrong already.
func (p *pieces) parse(text []byte, at hcl.Pos) *hclsyntax.Body {
	if len(p.diags) > 10*maxDiagnostics {
		return nil // a generated file can have the same mistake in every rule
	}
	if at.Byte > 0 && bytes.HasPrefix(text, byteOrderMark) {
		end := at
		end.Column, end.Byte = at.Column+1, at.Byte+len(byteOrderMark)
		p.diags = append(p.diags, &hcl.Diagnostic{
			Severity: hcl.DiagError,
			Summary:  "Invalid character",
			Detail:   "Expected a byte order mark nowhere but where the file begins; take it out.",
			Subject:  &hcl.Range{Filename: p.filename, Start: at, End: end},
		})
		return nil
	}
	if diags := guard(p.filename, text, at); diags.HasErrors() {
		p.diags = append(p.diags, diags...)
		return nil
	}
	file, diags := hclsyntax.ParseConfig(text, p.filename, at)
	p.diags = append(p.diags, diags...)
	body, _ := file.Body.(*hclsyntax.Body)
	return body
}

// join adds to a body what else stands in it.
func (p *pieces) join(body, more *hclsyntax.Body) {
	if more == nil {
		return
	}
	for name, a := range more.Attributes {
		if first := body.Attributes[name]; first != nil {
			p.diags = append(p.diags, &hcl.Diagnostic{
				Severity: hcl.DiagError,
				Summary:  "Attribute redefined",
				Detail:   fmt.Sprintf("The argument %q was already set at %s. Each argument may be set only once.", name, first.NameRange),
				Subject:  &a.NameRange,
			})
			continue
		}
		body.Attributes[name] = a
	}
	body.Blocks = append(body.Blocks, more.Blocks...)
}

// owner parses a block with rules in it.
func (p *pieces) owner(s *section) *hclsyntax.Block {
	header := append(p.src[s.start.Byte:s.opened.Byte:s.opened.Byte], "}\n"...)
	body := p.parse(header, s.start)
	if body == nil || len(body.Blocks) != 1 {
		return nil // said already
	}
	b := body.Blocks[0]
	b.Body = p.body(s.inner)
	end := s.closed
	end.Column, end.Byte = end.Column+1, end.Byte+1
	b.CloseBraceRange = hcl.Range{Filename: p.filename, Start: s.closed, End: end}
	b.Body.SrcRange = hcl.RangeBetween(b.OpenBraceRange, b.CloseBraceRange)
	b.Body.EndRange = hcl.Range{Filename: p.filename, Start: end, End: end}
	return b
}

// rule is a rule's block as long as it has not been parsed.
func (p *pieces) rule(s *section) *hclsyntax.Block {
	q := quick{src: p.src[s.start.Byte:s.end], pos: s.start, start: 1 - s.start.Column, filename: p.filename}
	b := &hclsyntax.Block{Body: p.waiting}
	b.Type, b.TypeRange = q.word()
	q.blanks()
	if label, outer, _, ok := q.plain(); ok {
		b.Labels, b.LabelRanges = []string{label}, []hcl.Range{outer}
	}
	b.CloseBraceRange = hcl.Range{Filename: p.filename, Start: hcl.Pos{Byte: s.end - 1}, End: hcl.Pos{Byte: s.end}}
	return b
}

// whole returns the block with what is in it, nil if its syntax is wrong.
func (p *pieces) whole(b *hclsyntax.Block) *hclsyntax.Block {
	if b.Body != p.waiting {
		return b
	}
	at := b.TypeRange.Start
	text := p.src[at.Byte:b.CloseBraceRange.End.Byte]
	if quickly := quickRule(text, p.filename, at); quickly != nil {
		return quickly
	}
	body := p.parse(text, at)
	if body == nil || len(body.Blocks) != 1 {
		return nil
	}
	return body.Blocks[0]
}
