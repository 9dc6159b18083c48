package policy

import (
	"fmt"
	"math/big"
	"reflect"
	"strings"

	"github.com/hashicorp/hcl/v2"
	"github.com/hashicorp/hcl/v2/hclsyntax"
	"github.com/zclconf/go-cty/cty"
	"github.com/zclconf/go-cty/cty/function"
	"github.com/zclconf/go-cty/cty/function/stdlib"
)

// Expressions compute long lists: for, if, templates and the functions below.
// They see the names of groups and services, and nothing else: no variables of
// the environment, no files, no clock, so a file means the same wherever it is
// loaded.

// reference is what address_group.NAME or service.NAME is inside an expression.
type reference struct{ kind, name string }

var referenceType = cty.Capsule("reference", reflect.TypeFor[reference]())

// functions returns those that make lists and strings. None of them can make
// much out of little: format's widths are bounded here, range's by cty.
func functions() map[string]function.Function {
	return map[string]function.Function{
		"concat":   stdlib.ConcatFunc,
		"distinct": stdlib.DistinctFunc,
		"flatten":  stdlib.FlattenFunc,
		"format":   boundedFormat(),
		"join":     bounded(stdlib.JoinFunc, 0),
		"length":   stdlib.LengthFunc,
		"lower":    stdlib.LowerFunc,
		"upper":    stdlib.UpperFunc,
		"range":    stdlib.RangeFunc,
		"replace":  bounded(stdlib.ReplaceFunc, 2),
		"sort":     stdlib.SortFunc,
		"split":    stdlib.SplitFunc,
	}
}

// boundedFormat is format without widths and precisions of more than two
// digits, which would make megabytes of a few characters.
func boundedFormat() function.Function {
	return function.New(&function.Spec{
		Params:   []function.Parameter{{Name: "format", Type: cty.String}},
		VarParam: &function.Parameter{Name: "args", Type: cty.DynamicPseudoType, AllowDynamicType: true},
		Type:     function.StaticReturnType(cty.String),
		Impl: func(args []cty.Value, _ cty.Type) (cty.Value, error) {
			if problem := wideVerb(args[0].AsString()); problem != "" {
				return cty.NilVal, function.NewArgErrorf(0, "%s", problem)
			}
			for i, a := range args[1:] {
				if longNumeral(a) {
					return cty.NilVal, function.NewArgErrorf(i+1, "numbers have at most %d digits", maxNumber)
				}
			}
			return stdlib.FormatFunc.Call(args)
		},
	})
}

// wideVerb says what is wrong with the verbs of a format; "" if nothing is. What
// is written between them may have any digits.
func wideVerb(format string) string {
	inVerb, digits := false, 0
	for i, c := range format {
		switch {
		case !inVerb:
			inVerb, digits = c == '%', 0
		case c == '%' && format[i-1] == '%', 'a' <= c && c <= 'z', 'A' <= c && c <= 'Z':
			inVerb = false
		case c == '*':
			return `"*" is no width here`
		case c == '0' && digits == 0: // a flag, or adds nothing
		case '0' <= c && c <= '9':
			if digits++; digits > 2 {
				return "widths and precisions have at most two digits"
			}
		default:
			digits = 0
		}
	}
	return ""
}

// longNumeral reports whether a value is text that %d would take for a number of
// too many digits. Numbers have been looked at before.
func longNumeral(v cty.Value) bool {
	if v.IsNull() || !v.IsKnown() || v.Type() != cty.String {
		return false
	}
	const anyPrecision = 64
	f, _, err := big.ParseFloat(v.AsString(), 10, anyPrecision, big.ToNearestEven)
	if err != nil {
		return false
	}
	bits := f.MantExp(nil)
	return max(bits, -bits) > maxNumber*3 // of ten digits are 33
}

// maxRepeated is the longest string, in bytes, that a function may repeat: it
// comes back as often as there are values or characters.
const maxRepeated = 64

// bounded is f with a bound on the argument that it repeats.
func bounded(f function.Function, repeated int) function.Function {
	return function.New(&function.Spec{
		Params: f.Params(), VarParam: f.VarParam(),
		Type: func(args []cty.Value) (cty.Type, error) { return cty.String, nil },
		Impl: func(args []cty.Value, _ cty.Type) (cty.Value, error) {
			if len(args[repeated].AsString()) > maxRepeated {
				return cty.NilVal, function.NewArgErrorf(repeated, "at most %d characters are repeated", maxRepeated)
			}
			return f.Call(args)
		},
	})
}

// evaluate computes an expression into v.
func (l *loader) evaluate(v *value, e hclsyntax.Expression) {
	if l.scope == nil {
		l.scope, l.bounds = l.newScope()
	}
	b := boundOf(e, l.bounds)
	if b.steps > maxComputed || b.text > maxComputedText {
		l.errorf(v.at, "Too much to compute", "Expected an expression of at most %d steps, numbers of at most %d digits, and %d MiB of text; take it apart, or put addresses into a file (addresses_from).",
			maxComputed, maxNumber, maxComputedText>>20)
		v.failed = true
		return
	}
	if l.steps += b.steps; l.steps > maxComputedInAll {
		l.errorf(v.at, "Too much to compute", "Expected at most %d steps in all expressions of the file together; write lists out, or put them into a group that many rules use.", maxComputedInAll)
		v.failed = true
		return
	}
	val, diags := e.Value(l.scope)
	if diags.HasErrors() {
		for _, d := range diags {
			at := v.at
			if d.Subject != nil {
				at = *d.Subject
			}
			l.errorf(at, d.Summary, "Expected an expression that can be computed: %s", sentence(d.Detail))
		}
		v.failed = true
		return
	}
	l.computed = maxComputed
	v.fill(l, val)
	if l.computed < 0 {
		l.errorf(v.at, "Too much to compute", "Expected an expression that gives at most %d values.", maxComputed)
		v.failed, v.items = true, nil
	}
}

// sentence is a message of the evaluator, at a length that fits.
func sentence(s string) string {
	const longest = 200
	if s = strings.Map(printable, strings.ToValidUTF8(s, "\uFFFD")); len(s) > longest {
		s = strings.ToValidUTF8(s[:longest], "") + "..."
	}
	if s != "" && !strings.HasSuffix(s, ".") {
		s += "."
	}
	return s
}

// fill sets v from a computed value; its items stand where the expression does.
func (v *value) fill(l *loader, val cty.Value) {
	if l.computed--; l.computed < 0 {
		return
	}
	t := val.Type()
	switch {
	case val.IsNull():
		v.kind = kindNull
	case !val.IsWhollyKnown():
	case t.Equals(referenceType):
		r := val.EncapsulatedValue().(*reference)
		v.kind, v.source = kindReference, r.kind+"."+r.name
		v.traversal = hcl.Traversal{hcl.TraverseRoot{Name: r.kind}, hcl.TraverseAttr{Name: r.name}}
	case t.IsTupleType() || t.IsListType() || t.IsSetType():
		v.kind = kindList
		for it := val.ElementIterator(); it.Next() && l.computed >= 0; {
			_, element := it.Element()
			item := value{at: v.at}
			item.fill(l, element)
			if item.kind == kindString {
				item.source = fmt.Sprintf("%q", clip(item.text))
			} else if item.source == "" {
				item.source = v.source
			}
			v.items = append(v.items, item)
		}
	default:
		v.literal(val)
		if v.kind == kindNumber && v.source == "" {
			v.source = v.number.Text('g', 20)
		}
	}
}

// newScope is what expressions can name, and how much there is of it.
func (l *loader) newScope() (*hcl.EvalContext, scope) {
	object := func(kind string, names map[string]*hclsyntax.Block) cty.Value {
		members := make(map[string]cty.Value, len(names))
		for name := range names {
			members[name] = cty.CapsuleVal(referenceType, &reference{kind, name})
		}
		return cty.ObjectVal(members)
	}
	bounds := make(scope)
	for kind, names := range map[string]map[string]*hclsyntax.Block{"address_group": l.groupBlocks, "service": l.serviceBlocks} {
		one := scalar(0, maxName)
		bounds[kind] = bound{length: len(names), values: len(names) + 1, text: maxName * len(names), leaf: maxName, each: &one, objects: true}
	}
	return &hcl.EvalContext{
		Variables: map[string]cty.Value{
			"address_group": object("address_group", l.groupBlocks),
			"service":       object("service", l.serviceBlocks),
		},
		Functions: functions(),
	}, bounds
}
