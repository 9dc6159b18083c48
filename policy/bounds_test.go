package policy

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"github.com/hashicorp/hcl/v2"
	"github.com/hashicorp/hcl/v2/hclsyntax"
	"github.com/zclconf/go-cty/cty"
)

// measure counts the values in v, itself included, and the bytes of its text.
func measure(v cty.Value) (values, text int) {
	values = 1
	switch t := v.Type(); {
	case v.IsNull() || !v.IsKnown():
	case t == cty.String:
		text = len(v.AsString())
	case t == cty.Number:
		text = len(v.AsBigFloat().Text('f', -1))
	case t.IsTupleType() || t.IsListType() || t.IsSetType() || t.IsObjectType() || t.IsMapType():
		for it := v.ElementIterator(); it.Next(); {
			_, element := it.Element()
			n, m := measure(element)
			values, text = values+n, text+m
		}
	}
	return values, text
}

// randomExpression writes an expression; names are the variables around it.
func randomExpression(r *rand.Rand, depth int, names []string) string {
	sub := func() string { return randomExpression(r, depth-1, names) }
	if depth <= 0 {
		leaves := []string{"1", "2.5", "1e30", `"ab"`, `"a,b,,c"`, `"7"`, `"1e99999"`, `[]`, `["x", "yy"]`, "address_group", "address_group.g0", "true"}
		return append(leaves, names...)[r.IntN(len(leaves)+len(names))]
	}
	switch r.IntN(20) {
	case 0, 1, 2, 3:
		name := fmt.Sprintf("v%d", len(names))
		inner := append(append([]string{}, names...), name, name)
		body := randomExpression(r, depth-1, inner)
		if r.IntN(4) == 0 {
			return fmt.Sprintf("[for k, %s in %s : [k, %s] if k != 1]", name, sub(), body)
		}
		return fmt.Sprintf("[for %s in %s : %s]", name, sub(), body)
	case 4:
		return fmt.Sprintf("[%s, %s]", sub(), sub())
	case 5:
		return fmt.Sprintf("\"<${%s}-${%s}>\"", sub(), sub())
	case 6:
		return fmt.Sprintf("range(%d, %d)", r.IntN(3), r.IntN(12))
	case 7:
		return fmt.Sprintf("concat(%s, %s)", sub(), sub())
	case 8:
		return fmt.Sprintf("flatten(%s)", sub())
	case 9:
		return fmt.Sprintf("split(%q, %s)", []string{",", ""}[r.IntN(2)], sub())
	case 10:
		return fmt.Sprintf("join(\"--\", %s)", sub())
	case 11:
		return fmt.Sprintf("replace(%s, %q, \"0123456789\")", sub(), []string{"a", "", "1"}[r.IntN(3)])
	case 12:
		return fmt.Sprintf("format(%q, %s)", []string{"%s.%[1]s", "%09.3v", "%q", "%99d", "%d"}[r.IntN(5)], sub())
	case 13:
		return fmt.Sprintf("%s(%s)", []string{"distinct", "sort", "upper", "length", "concat"}[r.IntN(5)], sub())
	case 14:
		return fmt.Sprintf("true ? %s : %s", sub(), sub())
	case 15:
		return fmt.Sprintf("%s %s %s", sub(), []string{"*", "+", "/", "%"}[r.IntN(4)], sub())
	case 18:
		return fmt.Sprintf("(-%s)", sub())
	case 17:
		return fmt.Sprintf("%s(%s, %s...)", []string{"concat", "format", "range"}[r.IntN(3)], sub(), sub())
	case 16:
		return fmt.Sprintf("%s%s", sub(), []string{"[0]", "[1]", "[*]", ".x"}[r.IntN(4)])
	}
	return fmt.Sprintf("{ (\"k${%s}\") = %s, z = %s }", sub(), sub(), sub())
}

func TestNoExpressionGivesMoreThanItsBound(t *testing.T) {
	seed := rand.Uint64()
	r := rand.New(rand.NewPCG(seed, 0))
	l := loader{groupBlocks: map[string]*hclsyntax.Block{"g0": nil, "g1": nil}}
	context, bounds := l.newScope()
	computed, large := 0, 0
	for range 10_000 {
		text := randomExpression(r, 1+r.IntN(5), nil)
		e, diags := hclsyntax.ParseExpression([]byte(text), "x", hcl.InitialPos)
		if diags.HasErrors() {
			continue
		}
		b := boundOf(e, bounds)
		if b.steps > maxComputed || b.text > maxComputedText {
			continue
		}
		v, diags := e.Value(context)
		if diags.HasErrors() {
			continue
		}
		computed++
		values, length := measure(v)
		if values > 30 {
			large++
		}
		if values > b.values || length > b.text {
			t.Fatalf("seed %d: %s\ngives %d values and %d bytes, bound is %+v", seed, text, values, length, b)
		}
	}
	if computed < 1000 || large < 3 {
		t.Errorf("only %d expressions could be computed, %d of them large", computed, large)
	}
}

func TestMuchOutOfLittleIsRefusedBeforeItIsComputed(t *testing.T) {
	chain := func(n int, start, step string) string {
		for range n {
			start = fmt.Sprintf(step, start)
		}
		return start
	}
	for _, e := range []string{
		`[for a in [range(0, 1000)] : [for x in a : [for y in a : [for z in a : "10.0.0.1"]]]]`,
		`[for a in [split("", "` + strings.Repeat("x", 1000) + `")] : [for x in a : [for y in a : y]]]`,
		`[for x in split(",", replace("` + strings.Repeat("a", 600) + `", "a", "` + strings.Repeat(",", 60) + `")) : [for y in range(9) : [for z in range(9) : z]]]`,
		chain(8, `"aaaaaaaa"`, `replace(%s, "a", "`+strings.Repeat("a", 60)+`")`),
		chain(12, `"0123456789"`, `[for v in [%s] : "${v[0]}${v[0]}${v}${v}${v}${v}${v}${v}${v}${v}"][0]`),
		chain(30, `1e300`, `[for v in [%s] : v * v][0]`),
		`"${1e500000000}"`,
		`[for v in [1e99999999] : "${v}"]`,
		`format("` + strings.Repeat("%[1]s", 400) + `", "` + strings.Repeat("x", 60000) + `")`,
		`distinct([for a in range(900) : [for b in range(60) : "${a}${b}"]])`,
		chain(3, `range(900)`, `flatten([for v in [%s] : [for w in v : v]])`),
		chain(900, `["10.0.0.1"]`, `concat(%s, [])`),
		`[for g in address_group : [for h in range(1000) : [for i in range(1000) : g]]]`,
		`join("` + strings.Repeat("-", 60) + `", [for a in range(1000) : "` + strings.Repeat("y", 80_000) + `"])`,
		`concat([for v in range(900) : range(900)]...)`,
		// Writing them takes minutes.
		`[for v in [1e9999999] : v]`,
		`["${"1e9999999" * 1}x"]`,
		`["x${-"1e9999999"}"]`,
		`["x${"1e${9999999}" % 3}"]`,
		`range("1e9999999", "1e9999999")`,
		`[for k, v in {"1e9999999" = 1} : k + 1]`,
		`[for v in split(",", "1e9999999") : v / 2]`,
	} {
		p, diags := Load("x.hcl", []byte("address_group \"g0\" {\n addresses = [\"10.0.0.1\"]\n}\ntenant \"t\" {\n context_ids = [1]\n rule \"r\" {\n action = \"accept\"\n source = "+e+"\n }\n}\n"))
		if p != nil || !slices.ContainsFunc(diags, func(d *hcl.Diagnostic) bool { return d.Summary == "Too much to compute" }) {
			t.Errorf("%.80s: %v", e, diags)
		}
	}
}

func TestFormatTakesNoTextForAHugeNumber(t *testing.T) {
	l := loader{}
	context, _ := l.newScope()
	for text, ok := range map[string]bool{`"1e9999999"`: false, `"1e-9999999"`: false, `"1e9"`: true, `"12345678"`: true, `null`: false, `1`: true} {
		e, diags := hclsyntax.ParseExpression([]byte(`format("%d", `+text+`)`), "x", hcl.InitialPos)
		if diags.HasErrors() {
			t.Fatal(diags)
		}
		if v, diags := e.Value(context); diags.HasErrors() == ok {
			t.Errorf("%s: %#v, %v", text, v, diags)
		}
	}
}

func TestAllExpressionsOfAFileTogetherAreBounded(t *testing.T) {
	const each = "rule \"r%d\" {\n action = \"accept\"\n services = [for p in range(900) : \"tcp/${p}\"]\n}\n"
	load := func(rules int) (*Policy, hcl.Diagnostics) {
		text := "tenant \"t\" {\n context_ids = [1]\n"
		for i := range rules {
			text += fmt.Sprintf(each, i)
		}
		l := newLoader("x.hcl", []byte(text+"}\n"), noFiles)
		l.steps = maxComputedInAll - maxComputed // as if there had been more
		body, _, diags := parse("x.hcl", l.src, len(l.src))
		if diags.HasErrors() {
			t.Fatal(diags)
		}
		l.file(body)
		return l.policy, l.diags
	}
	if _, diags := load(1); diags.HasErrors() {
		t.Error(diags)
	}
	if _, diags := load(40); !slices.ContainsFunc(diags, func(d *hcl.Diagnostic) bool { return d.Summary == "Too much to compute" }) {
		t.Error(diags)
	}
}

func TestOnlyTheVerbsOfAFormatAreBounded(t *testing.T) {
	for text, want := range map[string]bool{
		`format("192.168.%d.0/24", 7)`:         true,
		`format("2001:db8:%x::/48", 7)`:        true,
		`format("100%%1000 %d", 7)`:            true,
		`format("%010d", 7)`:                   true,
		`format("*%s*", "a")`:                  true,
		`format("%99d %[1]s", 7)`:              true,
		`format("%100d", 7)`:                   false,
		`format("%%%100d", 7)`:                 false,
		`format("%-0100d", 7)`:                 false,
		`format("%.100f", 7)`:                  false,
		`format("%.000100f", 7)`:               false,
		`format("%5%%1000000000d", 7)`:         false,
		`format("%1000000000d%1$*d", 7)`:       false,
		`format("%*d", 7, 7)`:                  false,
		`format("%[1000000000000000000]d", 7)`: false,
	} {
		e, diags := hclsyntax.ParseExpression([]byte(text), "x", hcl.InitialPos)
		if diags.HasErrors() {
			t.Fatal(diags)
		}
		if _, diags = e.Value(&hcl.EvalContext{Functions: functions()}); diags.HasErrors() == want {
			t.Errorf("%s: got %v", text, diags)
		}
	}
}
