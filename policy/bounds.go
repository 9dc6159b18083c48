package policy

import (
	"math"
	"math/big"
	"strings"

	"github.com/hashicorp/hcl/v2"
	"github.com/hashicorp/hcl/v2/hclsyntax"
	"github.com/zclconf/go-cty/cty"
)

// How much an expression takes and gives is bounded before it is computed: loops
// in loops, strings that repeat strings and numbers of many digits make much out
// of little.

const (
	// maxComputed bounds how many values one expression may give, and how many
	// steps it may take to get there.
	maxComputed = 65536
	// maxComputedText bounds the text in it, in bytes.
	maxComputedText = 64 << 20
	// maxComputedInAll bounds the steps of all expressions of a file.
	maxComputedInAll = 64 * maxComputed
	// maxDigits is how long a number is as text beyond its size: it has 512 bits.
	maxDigits = 400
	// maxNumber bounds how long a number is as text. No list has one of more than
	// 20 digits, and writing a number takes the square of its length.
	maxNumber = 16384
	// longestNumeral is the longest text that arithmetic may take for a number:
	// "1e9999" has less than maxNumber digits.
	longestNumeral = 6

	tooMuch = 1 << 30 // for anything
)

// bound says how much there can be at most.
type bound struct {
	steps  int    // of computing it
	length int    // elements, if it is a list or object
	values int    // in it, itself included
	text   int    // bytes of all strings and numbers in it
	leaf   int    // bytes of the longest of them
	each   *bound // one element; nil: there are none, or no more is known

	objects bool // some value in it may be an object, of which flatten makes no elements
	strings bool // some value in it may be a string
}

func scalar(steps, text int) bound { return bound{steps: steps, values: 1, text: text, leaf: text} }

func scalarText(steps, text int) bound {
	b := scalar(steps, text)
	b.strings = true
	return b
}

// number is a number that is computed of b.
func (b bound) number(digits int) bound {
	if digits > maxNumber || b.strings && b.leaf > longestNumeral {
		b.steps = tooMuch
	}
	return scalar(add(b.steps, 1), digits)
}

// element is any one element of a list or object, without what it takes to
// compute it.
func (b *bound) element() bound {
	if b.each != nil {
		return *b.each
	}
	return bound{length: b.length, values: max(1, b.values), text: b.text, leaf: b.leaf, objects: b.objects, strings: b.strings}
}

// either is what is bound by b or by c.
func (b bound) either(c bound) bound {
	out := bound{
		steps: max(b.steps, c.steps), length: max(b.length, c.length), values: max(b.values, c.values),
		text: max(b.text, c.text), leaf: max(b.leaf, c.leaf), objects: b.objects || c.objects,
		strings: b.strings || c.strings,
	}
	switch {
	case b.each != nil && c.each != nil:
		both := b.each.either(*c.each)
		out.each = &both
	case b.length == 0:
		out.each = c.each
	case c.length == 0:
		out.each = b.each
	}
	return out
}

// scope has the bounds of what an expression can name: the variables of the
// loops around it, and groups and services.
type scope map[string]bound

func (s scope) with(name string, b bound) scope {
	out := make(scope, len(s)+1)
	for n, x := range s {
		out[n] = x
	}
	out[name] = b
	return out
}

// boundOf bounds an expression.
func boundOf(e hclsyntax.Expression, s scope) bound {
	switch e := e.(type) {
	case *hclsyntax.LiteralValueExpr:
		b := scalar(1, literalText(e.Val))
		b.strings = e.Val.Type() == cty.String
		if b.text > maxNumber && !b.strings {
			b.steps = tooMuch
		}
		return b
	case *hclsyntax.ParenthesesExpr:
		return boundOf(e.Expression, s)
	case *hclsyntax.TemplateWrapExpr:
		return boundOf(e.Wrapped, s)
	case *hclsyntax.ObjectConsKeyExpr:
		if word := hcl.ExprAsKeyword(e.Wrapped); word != "" {
			return scalarText(1, len(word))
		}
		return boundOf(e.Wrapped, s)
	case *hclsyntax.TemplateExpr:
		return written(boundOfAll(e.Parts, s))
	case *hclsyntax.TemplateJoinExpr:
		return written(boundOf(e.Tuple, s))
	case *hclsyntax.TupleConsExpr:
		return boundOfAll(e.Exprs, s)
	case *hclsyntax.ObjectConsExpr:
		var members []hclsyntax.Expression
		for _, x := range e.Items {
			members = append(members, x.KeyExpr, x.ValueExpr)
		}
		out := boundOfAll(members, s)
		out.objects = true
		return out
	case *hclsyntax.ForExpr:
		return boundOfLoop(e, s)
	case *hclsyntax.FunctionCallExpr:
		return boundOfCall(e, s)
	case *hclsyntax.ConditionalExpr:
		condition := boundOf(e.Condition, s)
		whenTrue, whenFalse := boundOf(e.TrueResult, s), boundOf(e.FalseResult, s)
		out := whenTrue.either(whenFalse)
		out.steps = add(condition.steps, add(whenTrue.steps, whenFalse.steps))
		return out
	case *hclsyntax.BinaryOpExpr:
		all := boundOfAll([]hclsyntax.Expression{e.LHS, e.RHS}, s)
		switch e.Op {
		case hclsyntax.OpEqual, hclsyntax.OpNotEqual, hclsyntax.OpLogicalAnd, hclsyntax.OpLogicalOr:
			return scalar(all.steps, len("false"))
		}
		// Digits add up where numbers are multiplied.
		return all.number(add(all.text, maxDigits))
	case *hclsyntax.UnaryOpExpr:
		b := boundOf(e.Val, s)
		return b.number(add(b.text, len("false")))
	case *hclsyntax.ScopeTraversalExpr:
		root, ok := s[e.Traversal.RootName()]
		if !ok {
			root = scalar(0, 0) // there is no such variable
		}
		return root.follow(len(e.Traversal) - 1)
	case *hclsyntax.RelativeTraversalExpr:
		return boundOf(e.Source, s).follow(len(e.Traversal))
	case *hclsyntax.IndexExpr:
		key := boundOf(e.Key, s)
		out := boundOf(e.Collection, s).follow(1)
		out.steps = add(out.steps, key.steps)
		return out
	case *hclsyntax.SplatExpr:
		// What is not a list is taken for a list of one.
		list := boundOf(e.Source, s)
		one := list.element().either(list)
		one.steps = 0
		each := boundOf(e.Each, s.with(splatted, one))
		return loop(list.steps, max(1, list.length), each.steps, each)
	case *hclsyntax.AnonSymbolExpr:
		return s[splatted]
	}
	return scalar(1, 0)
}

// follow is what some steps into lists and objects lead to.
func (b bound) follow(steps int) bound {
	taken := b.steps
	for range steps {
		b = b.element()
	}
	b.steps = add(taken, 1)
	return b
}

// written is what becomes one string.
func written(b bound) bound { return scalarText(add(b.steps, 1+b.text/1024), b.text) }

// boundOfAll is that of a list with these elements.
func boundOfAll(elements []hclsyntax.Expression, s scope) bound {
	return listOf(boundsOf(elements, s))
}

func boundsOf(expressions []hclsyntax.Expression, s scope) []bound {
	out := make([]bound, len(expressions))
	for i, e := range expressions {
		out[i] = boundOf(e, s)
	}
	return out
}

func listOf(elements []bound) bound {
	out := bound{steps: 1, values: 1, length: len(elements)}
	for i, b := range elements {
		out.steps, out.values = add(out.steps, b.steps), add(out.values, b.values)
		out.text, out.leaf = add(out.text, b.text), max(out.leaf, b.leaf)
		out.objects, out.strings = out.objects || b.objects, out.strings || b.strings
		b.steps = 0
		if i > 0 {
			b = b.either(*out.each)
		}
		out.each = &b
	}
	return out
}

func boundOfLoop(e *hclsyntax.ForExpr, s scope) bound {
	list := boundOf(e.CollExpr, s)
	inside := s.with(e.ValVar, list.element())
	if e.KeyVar != "" {
		key := scalar(0, max(maxDigits, list.leaf))
		key.strings = list.objects
		inside = inside.with(e.KeyVar, key)
	}
	each := boundOf(e.ValExpr, inside)
	turn := each.steps
	if e.CondExpr != nil {
		turn = add(turn, boundOf(e.CondExpr, inside).steps)
	}
	if e.KeyExpr != nil {
		key := boundOf(e.KeyExpr, inside)
		turn = add(turn, key.steps)
		each.values, each.text, each.leaf = add(each.values, 1), add(each.text, key.text), max(each.leaf, key.leaf)
	}
	out := loop(list.steps, list.length, turn, each)
	out.objects, out.strings = each.objects || e.KeyExpr != nil, each.strings || e.KeyExpr != nil
	return out
}

// splatted is what stands for the element of a list in front of [*]; no variable
// has that name.
const splatted = "*"

// loop is a list of so many elements, each of which takes some steps.
func loop(steps, length, turn int, each bound) bound {
	each.steps = 0
	return bound{
		steps:  add(steps, multiply(length, add(turn, 1))),
		length: length,
		values: add(1, multiply(length, each.values)),
		text:   multiply(length, each.text),
		leaf:   each.leaf,
		each:   &each,

		objects: each.objects, strings: each.strings,
	}
}

// boundOfCall bounds what a function gives. Each of the functions has its case.
func boundOfCall(e *hclsyntax.FunctionCallExpr, s scope) bound {
	args := boundsOf(e.Args, s)
	all := listOf(args)
	var first bound
	if len(args) > 0 {
		first = args[0]
	}
	if e.ExpandFinal { // the elements of the last argument are arguments
		all.each = nil
		first = bound{length: all.values, values: all.values, text: all.text, leaf: all.leaf, objects: all.objects, strings: all.strings}
	}
	switch e.Name {
	case "range":
		n := rangeLength(e.Args)
		number := scalar(0, add(all.text, maxDigits))
		if literal(e.Args, func(f *big.Float) bool { return f.IsInt() }) != nil {
			number = scalar(0, all.leaf+1)
		}
		steps := all.number(number.text).steps
		return bound{steps: add(steps, n), length: n, values: n + 1, text: multiply(n, number.text), leaf: number.text, each: &number}
	case "concat", "flatten", "distinct", "sort":
		// No more than the arguments hold, but all of that may become elements.
		out := bound{steps: add(all.steps, all.values), length: all.values, values: all.values, text: all.text, leaf: all.leaf, objects: all.objects, strings: all.strings}
		switch e.Name {
		case "distinct": // each is compared with each
			out.steps = add(out.steps, multiply(all.values, all.values)/64)
			out.length, out.each = first.length, first.each
		case "sort":
			out.length, out.each, out.strings = first.length, first.each, true
		case "concat":
			out.length, out.each = joined(args, e.ExpandFinal)
		case "flatten":
			if text := scalar(0, all.leaf); !all.objects {
				text.strings = all.strings
				out.each = &text
			}
		}
		return out
	case "split":
		n := add(all.text, 1)
		part := scalarText(0, all.text)
		return bound{steps: add(all.steps, n), length: n, values: add(n, 1), text: all.text, leaf: all.text, each: &part, strings: true}
	case "join":
		return written(bound{steps: all.steps, text: add(all.text, multiply(all.values, maxRepeated))})
	case "replace":
		return written(bound{steps: all.steps, text: add(all.text, multiply(first.text+1, maxRepeated))})
	case "format":
		// A verb writes all arguments at most, quoted as JSON, or 99 digits and 99
		// more.
		verb := add(200, add(multiply(all.text, 6), multiply(all.values, 8)))
		return written(bound{steps: all.steps, text: add(first.text, multiply(verbs(e.Args, first.text), verb))})
	case "lower", "upper":
		return written(bound{steps: all.steps, text: multiply(all.text, 3)})
	}
	return scalar(add(all.steps, 1), maxDigits) // length, and what is no function
}

// joined returns how many elements there are in lists, and a bound for each.
func joined(lists []bound, expand bool) (length int, each *bound) {
	for _, b := range lists {
		if expand {
			length = add(length, b.values)
			continue
		}
		length = add(length, b.length)
		one := b.element()
		if each != nil {
			one = one.either(*each)
		}
		each = &one
	}
	return length, each
}

// literal returns numbers that are written out; nil if some are not, or are not
// of the kind.
func literal(args []hclsyntax.Expression, is func(*big.Float) bool) (out []float64) {
	for _, a := range args {
		e, ok := a.(*hclsyntax.LiteralValueExpr)
		if !ok || e.Val.Type() != cty.Number || e.Val.IsNull() || !is(e.Val.AsBigFloat()) {
			return nil
		}
		f, _ := e.Val.AsBigFloat().Float64()
		out = append(out, f)
	}
	return out
}

// rangeLength is how many numbers a range has: what its arguments say if they
// are written out, else what cty allows.
func rangeLength(args []hclsyntax.Expression) int {
	const most = 1024
	from, to, step := 0.0, 0.0, 1.0
	switch ends := literal(args, func(*big.Float) bool { return true }); len(ends) {
	case 1:
		to = ends[0]
	case 2:
		from, to = ends[0], ends[1]
	case 3:
		from, to, step = ends[0], ends[1], ends[2]
	default:
		return most
	}
	n := math.Ceil(math.Abs((to - from) / step))
	if !(n < most) { // nor a number
		return most
	}
	return int(n)
}

// verbs is how many verbs a format of that length has at most.
func verbs(args []hclsyntax.Expression, text int) int {
	if len(args) == 0 {
		return 0
	}
	if t, ok := args[0].(*hclsyntax.TemplateExpr); ok && t.IsStringLiteral() {
		v, _ := t.Value(nil) // a literal
		return strings.Count(v.AsString(), "%")
	}
	return text/2 + 1
}

// literalText is how long a literal is as text.
func literalText(v cty.Value) int {
	switch {
	case v.IsNull():
		return 0
	case v.Type() == cty.String:
		return len(v.AsString())
	case v.Type() == cty.Number:
		f := v.AsBigFloat()
		exponent := f.MantExp(nil)
		if exponent = max(exponent, -exponent); exponent > 1024 {
			return add(maxDigits, exponent)
		}
		return len(f.Text('f', -1)) // in plain digits, without an exponent
	}
	return len("false")
}

// add and multiply stop at a number that is too much for anything.
func add(a, b int) int { return min(a+b, tooMuch) }

func multiply(a, b int) int {
	if a > 0 && b > tooMuch/a {
		return tooMuch
	}
	return a * b
}
