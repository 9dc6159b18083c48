package policy

import (
	"math/big"
	"slices"
	"strings"

	"github.com/hashicorp/hcl/v2"
	"github.com/hashicorp/hcl/v2/hclsyntax"
	"github.com/zclconf/go-cty/cty"
)

// kind is what a value is written as.
type kind uint8

const (
	kindOther kind = iota // an expression that gives nothing that rules know
	kindNull
	kindString
	kindNumber
	kindBool
	kindList
	kindReference // address_group.web, or !address_group.web
)

func (k kind) String() string {
	switch k {
	case kindNull:
		return "null"
	case kindString:
		return "a string"
	case kindNumber:
		return "a number"
	case kindBool:
		return "a truth value"
	case kindList:
		return "a list"
	case kindReference:
		return "a reference"
	}
	return "an expression"
}

// value is a value as it is written, or as an expression gives it.
type value struct {
	kind      kind
	at        hcl.Range
	source    string // as written, clipped
	text      string // of a string
	number    *big.Float
	truth     bool
	items     []value
	failed    bool // what is wrong with it has been said
	traversal hcl.Traversal
	negated   bool // of a reference
}

// describe says what the value is, for diagnostics.
func (v *value) describe() string {
	if v.kind == kindNull {
		return v.source
	}
	return v.kind.String() + " (" + v.source + ")"
}

// text returns the source text of a range, clipped.
func (l *loader) text(at hcl.Range) string { return clip(string(at.SliceBytes(l.src))) }

// value reads an expression. What is written out is taken as it stands, so that
// messages can name it; all else is evaluated.
func (l *loader) value(e hclsyntax.Expression) value {
	v := value{at: e.Range()}
	v.source = l.text(v.at)
	switch e := e.(type) {
	case *hclsyntax.ParenthesesExpr:
		return l.value(e.Expression)
	case *hclsyntax.LiteralValueExpr:
		v.literal(e.Val)
	case *hclsyntax.TemplateExpr:
		var b strings.Builder
		for _, part := range e.Parts {
			p, ok := part.(*hclsyntax.LiteralValueExpr)
			if !ok || p.Val.Type() != cty.String || p.Val.IsNull() {
				l.evaluate(&v, e)
				return v
			}
			b.WriteString(p.Val.AsString())
		}
		v.kind, v.text = kindString, b.String()
	case *hclsyntax.TupleConsExpr:
		v.kind, v.items = kindList, make([]value, len(e.Exprs))
		for i := range e.Exprs {
			v.items[i] = l.value(e.Exprs[i])
		}
	case *hclsyntax.ScopeTraversalExpr:
		v.kind, v.traversal = kindReference, e.Traversal
	case *hclsyntax.UnaryOpExpr:
		operand := e.Val
		for {
			p, ok := operand.(*hclsyntax.ParenthesesExpr)
			if !ok {
				break
			}
			operand = p.Expression
		}
		switch inner := operand.(type) {
		case *hclsyntax.ScopeTraversalExpr:
			if e.Op == hclsyntax.OpLogicalNot {
				v.kind, v.traversal, v.negated = kindReference, inner.Traversal, true
			}
		case *hclsyntax.LiteralValueExpr:
			switch {
			case e.Op == hclsyntax.OpNegate && inner.Val.Type() == cty.Number && !inner.Val.IsNull():
				v.kind, v.number = kindNumber, new(big.Float).Neg(inner.Val.AsBigFloat())
			case e.Op == hclsyntax.OpLogicalNot && inner.Val.Type() == cty.Bool:
				l.evaluate(&v, e)
			}
		case *hclsyntax.UnaryOpExpr, *hclsyntax.BinaryOpExpr, *hclsyntax.ConditionalExpr, *hclsyntax.FunctionCallExpr:
			l.evaluate(&v, e)
		}
	case *hclsyntax.ForExpr, *hclsyntax.FunctionCallExpr, *hclsyntax.ConditionalExpr, *hclsyntax.TemplateWrapExpr,
		*hclsyntax.IndexExpr, *hclsyntax.SplatExpr, *hclsyntax.RelativeTraversalExpr, *hclsyntax.BinaryOpExpr:
		l.evaluate(&v, e)
	}
	return v
}

func (v *value) literal(val cty.Value) {
	switch {
	case val.IsNull():
		v.kind = kindNull
	case !val.IsKnown():
	case val.Type() == cty.String:
		v.kind, v.text = kindString, val.AsString()
	case val.Type() == cty.Number:
		v.kind, v.number = kindNumber, val.AsBigFloat()
	case val.Type() == cty.Bool:
		v.kind, v.truth = kindBool, val.True()
	}
}

// uint returns the number if it is a whole one from 0 to limit. HCL keeps 512
// bits of a number, so that every uint64 is exact.
func (v *value) uint(limit uint64) (uint64, bool) {
	if v.kind != kindNumber || v.number.Sign() < 0 || !v.number.IsInt() ||
		v.number.Cmp(new(big.Float).SetUint64(limit)) > 0 {
		return 0, false
	}
	n, _ := v.number.Uint64()
	return n, true
}

// reference returns the kind and name of KIND.NAME or KIND["NAME"].
func (v *value) reference() (kind, name string, ok bool) {
	if v.kind != kindReference || len(v.traversal) != 2 {
		return "", "", false
	}
	switch step := v.traversal[1].(type) {
	case hcl.TraverseAttr:
		return v.traversal.RootName(), step.Name, true
	case hcl.TraverseIndex:
		if step.Key.Type() == cty.String && step.Key.IsKnown() && !step.Key.IsNull() {
			return v.traversal.RootName(), step.Key.AsString(), true
		}
	}
	return "", "", false
}

// list returns the items of a list attribute; example shows one that is right.
func (l *loader) list(a *hclsyntax.Attribute, example, ifEmpty string) []value {
	v := l.value(a.Expr)
	switch {
	case v.failed:
	case v.kind == kindString || v.kind == kindNumber || v.kind == kindReference:
		l.errorf(v.at, "Not a list", "Expected a list, such as %s; this is %s. Write [%s].", example, v.kind, v.source)
	case v.kind != kindList:
		l.errorf(v.at, "Not a list", "Expected a list, such as %s; this is %s.", example, v.kind)
	case len(v.items) == 0:
		l.errorf(v.at, "Empty list", "Expected at least one entry, such as %s. %s", example, ifEmpty)
	}
	return slices.DeleteFunc(v.items, func(v value) bool { return v.failed })
}

// choice returns the index of the word that the attribute holds, or -1.
// mistaken maps words that operators bring from elsewhere to ours.
func (l *loader) choice(a *hclsyntax.Attribute, words []string, mistaken map[string]string) int {
	v := l.value(a.Expr)
	if v.failed {
		return -1
	}
	if v.kind == kindReference && !v.negated && len(v.traversal) == 1 {
		v.text = v.traversal.RootName() // the word, without quotes
	}
	if v.kind == kindString {
		for i, w := range words {
			if v.text == w {
				return i
			}
		}
	}
	hint := ""
	if v.text != "" {
		if ours, ok := mistaken[strings.ToLower(v.text)]; ok {
			hint = didYouMean(ours, words)
		} else {
			hint = didYouMean(v.text, words)
		}
	}
	l.errorf(v.at, "Invalid "+a.Name, "Expected %s, in quotes; this is %s.%s", oneOf(words), v.source, hint)
	return -1
}
