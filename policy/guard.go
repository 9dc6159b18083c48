package policy

import (
	"bytes"
	"fmt"

	"github.com/hashicorp/hcl/v2"
	"github.com/hashicorp/hcl/v2/hclsyntax"
)

const (
	// MaxFileSize is the largest rules file that is read, in bytes. It has room
	// for some 200,000 rules.
	MaxFileSize = 32 << 20

	// maxText is the most that HCL's parser gets of a file: of what stands beside
	// the rules in all, and of one rule. It has room for a hundred thousand
	// addresses; HCL needs some hundred times as much memory for a moment.
	maxText = 2 << 20

	// splitAbove is the size of a file, in bytes, above which its rules are parsed
	// one by one.
	splitAbove = 256 << 10

	// maxNesting bounds how deep the syntax tree can get, and into how many
	// pieces a string is cut. HCL's parser calls itself for each level and has no
	// bound of its own; a Go program that runs out of stack cannot be saved. For
	// the pieces its time grows with their square.
	maxNesting = 1000

	// maxDiagnostics bounds how many mistakes are reported at once.
	maxDiagnostics = 100
)

// guard refuses text that must not reach HCL's parser because of its size or
// nesting, and a few common slips for which the parser's own message is of no
// help. start is where the text stands in the file. nil means that it may be
// parsed.
func guard(filename string, text []byte, start hcl.Pos) hcl.Diagnostics {
	if len(text) > maxText {
		return tooLarge(hcl.Range{Filename: filename, Start: start, End: start}, maxText, len(text),
			"in one rule; long lists of addresses belong into a file (addresses_from)")
	}
	tokens, _ := hclsyntax.LexConfig(text, filename, start)
	var (
		levels nesting
		slips  hcl.Diagnostics
	)
	for i, t := range tokens {
		var previous hclsyntax.TokenType
		if i > 0 {
			previous = tokens[i-1].Type
		}
		levels.token(t.Type, previous)
		if levels.total > maxNesting {
			return hcl.Diagnostics{{
				Severity: hcl.DiagError,
				Summary:  "Nested too deep",
				Detail:   fmt.Sprintf("Expected at most %d brackets, operators and pieces of a string inside each other; is a closing bracket missing further up?", maxNesting),
				Subject:  t.Range.Ptr(),
			}}
		}
		if t.Type == hclsyntax.TokenNumberLit && i+1 < len(tokens) && len(slips) < maxDiagnostics {
			slips = append(slips, slip(t, tokens[i+1])...)
		}
	}
	return slips
}

// tooLarge reports that of a file there may be only that many bytes.
func tooLarge(at hcl.Range, limit, size int, what string) hcl.Diagnostics {
	return hcl.Diagnostics{{
		Severity: hcl.DiagError,
		Summary:  "File too large",
		Detail:   fmt.Sprintf("Expected at most %d bytes %s; there are %d.", limit, what, size),
		Subject:  &at,
	}}
}

// nesting adds up how deep the parser would be: one level for each open
// bracket, quote or template, and one for each operator or piece of a string
// since the last comma or line end in each of them.
type nesting struct {
	open  []level
	top   int // operators outside all brackets
	total int
}

type level struct {
	closer    hclsyntax.TokenType
	operators int
}

func (n *nesting) token(t, previous hclsyntax.TokenType) {
	switch t {
	case hclsyntax.TokenOBrack:
		switch previous {
		case hclsyntax.TokenIdent, hclsyntax.TokenCBrack, hclsyntax.TokenCParen, hclsyntax.TokenCQuote,
			hclsyntax.TokenCBrace, hclsyntax.TokenNumberLit, hclsyntax.TokenStar:
			n.operator() // an index is one too
		}
		n.push(hclsyntax.TokenCBrack)
	case hclsyntax.TokenOBrace:
		n.push(hclsyntax.TokenCBrace)
	case hclsyntax.TokenOParen:
		n.push(hclsyntax.TokenCParen)
	case hclsyntax.TokenOQuote:
		n.push(hclsyntax.TokenCQuote)
	case hclsyntax.TokenOHeredoc:
		n.push(hclsyntax.TokenCHeredoc)
	case hclsyntax.TokenTemplateInterp:
		n.push(hclsyntax.TokenTemplateSeqEnd)
	case hclsyntax.TokenTemplateControl:
		n.operator() // what follows %{ if } is inside it until %{ endif }
		n.push(hclsyntax.TokenTemplateSeqEnd)

	case hclsyntax.TokenCBrack, hclsyntax.TokenCBrace, hclsyntax.TokenCParen, hclsyntax.TokenCQuote,
		hclsyntax.TokenCHeredoc, hclsyntax.TokenTemplateSeqEnd:
		// One that closes nothing opens nothing either.
		if len(n.open) > 0 && n.open[len(n.open)-1].closer == t {
			n.clear()
			n.open = n.open[:len(n.open)-1]
			n.total--
		}

	case hclsyntax.TokenComma:
		n.clear()
	case hclsyntax.TokenNewline:
		// Only in blocks does a line end end an expression.
		if len(n.open) == 0 || n.open[len(n.open)-1].closer == hclsyntax.TokenCBrace {
			n.clear()
		}

	case hclsyntax.TokenStar, hclsyntax.TokenSlash, hclsyntax.TokenPlus, hclsyntax.TokenMinus,
		hclsyntax.TokenPercent, hclsyntax.TokenEqualOp, hclsyntax.TokenNotEqual,
		hclsyntax.TokenLessThan, hclsyntax.TokenLessThanEq, hclsyntax.TokenGreaterThan,
		hclsyntax.TokenGreaterThanEq, hclsyntax.TokenAnd, hclsyntax.TokenOr, hclsyntax.TokenBang,
		hclsyntax.TokenQuestion, hclsyntax.TokenQuotedLit, hclsyntax.TokenStringLit:
		n.operator()
	}
}

func (n *nesting) push(closer hclsyntax.TokenType) {
	n.open = append(n.open, level{closer: closer})
	n.total++
}

// counter is the operator count of the innermost level.
func (n *nesting) counter() *int {
	if len(n.open) == 0 {
		return &n.top
	}
	return &n.open[len(n.open)-1].operators
}

func (n *nesting) operator() { *n.counter()++; n.total++ }

func (n *nesting) clear() {
	c := n.counter()
	n.total -= *c
	*c = 0
}

// slip recognises a number that is something that needed quotes; next is the
// token behind it.
func slip(number, next hclsyntax.Token) hcl.Diagnostics {
	d := &hcl.Diagnostic{Severity: hcl.DiagError, Subject: number.Range.Ptr()}
	switch {
	case bytes.Count(number.Bytes, []byte(".")) > 1:
		d.Summary = "Address without quotes"
		d.Detail = `Expected addresses in quotes, such as "10.0.0.0/8".`
	case string(number.Bytes) == "0" && next.Type == hclsyntax.TokenIdent &&
		(next.Bytes[0] == 'x' || next.Bytes[0] == 'X') && number.Range.End.Byte == next.Range.Start.Byte:
		d.Summary = "Hexadecimal number without quotes"
		d.Detail = `Expected hexadecimal numbers in quotes, such as "0x1000".`
		d.Subject = hcl.RangeBetween(number.Range, next.Range).Ptr()
	default:
		return nil
	}
	return hcl.Diagnostics{d}
}

// startOf is the subject of what is wrong with a file as a whole.
func startOf(filename string) *hcl.Range {
	return &hcl.Range{Filename: filename, Start: hcl.InitialPos, End: hcl.InitialPos}
}
