package policy

import (
	"github.com/hashicorp/hcl/v2/hclsyntax"
)

// source keeps the text of the rules file, to show operators what they wrote.
type source struct {
	filename string
	text     string
}

// place is where a block stands in the rules file.
type place struct {
	line, column int32 // of the header, from 1
	start, end   int32 // bytes of the whole block
}

func (l *loader) place(b *hclsyntax.Block) place {
	r := b.DefRange()
	return place{line: int32(r.Start.Line), column: int32(r.Start.Column), start: int32(r.Start.Byte), end: int32(b.CloseBraceRange.End.Byte)}
}

// Source returns the text of the rules file and its name. Temporary rules are not in
// it.
func (p *Policy) Source() (text, filename string) { return p.source.text, p.source.filename }

// RuleText returns the lines of a rule as they stand in the file, the file's
// name and the first line's number. For a temporary rule, which is in no file, the
// text is what the file would have, and the others are zero.
func (p *Policy) RuleText(rule int32) (text, filename string, line int) {
	at := p.rules[rule].at
	if t := p.rules[rule].temporary(); t != nil {
		return t.source.text[at.start:at.end], "", 0
	}
	return p.source.text[at.start:at.end], p.source.filename, int(at.line)
}
