package policy

import (
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"

	"github.com/hashicorp/hcl/v2"
	"github.com/hashicorp/hcl/v2/hclsyntax"
)

// bothWays parses a file as a whole and in pieces. inPieces is nil where it was
// not split.
func bothWays(t *testing.T, src []byte) (whole, inPieces *hclsyntax.Body, wholeDiags, diags hcl.Diagnostics) {
	t.Helper()
	whole, _, wholeDiags = parse("rules.hcl", src, len(src))
	inPieces, pieces, _ := parse("rules.hcl", src, -1)
	if pieces == nil {
		return whole, nil, wholeDiags, nil
	}
	for _, owner := range inPieces.Blocks {
		for i, b := range owner.Body.Blocks {
			if b = pieces.whole(b); b != nil {
				owner.Body.Blocks[i] = b
			}
		}
	}
	return whole, inPieces, wholeDiags, pieces.diags
}

// sameTree compares all of two trees but where the file itself begins and ends.
func sameTree(a, b *hclsyntax.Body) bool {
	return reflect.DeepEqual(a.Attributes, b.Attributes) && reflect.DeepEqual(a.Blocks, b.Blocks)
}

func TestPiecesMakeTheTreeOfTheWhole(t *testing.T) {
	var files []string
	for _, pattern := range []string{"../testdata/rules/*.hcl", "../testdata/rules/*/*.hcl", "../rules.example.hcl"} {
		found, err := filepath.Glob(pattern)
		if err != nil || len(found) == 0 {
			t.Fatalf("%s: %v, %v", pattern, found, err)
		}
		files = append(files, found...)
	}
	texts := map[string]string{"generated": largeRules(300)}
	for _, name := range files {
		src, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		texts[name] = string(src)
	}
	for name, text := range maps.Clone(texts) {
		texts[name+" with carriage returns"] = strings.ReplaceAll(text, "\n", "\r\n")
	}
	split, owners := 0, 0
	for name, text := range texts {
		whole, inPieces, wholeDiags, diags := bothWays(t, []byte(text))
		if inPieces == nil {
			continue
		}
		split++
		if wholeDiags.HasErrors() != diags.HasErrors() {
			t.Errorf("%s: in pieces %v, as a whole %v", name, diags, wholeDiags)
		}
		if wholeDiags.HasErrors() {
			continue
		}
		if !sameTree(whole, inPieces) {
			t.Errorf("%s: another tree in pieces", name)
		}
		owners += len(inPieces.Blocks)
	}
	if split < len(texts)*3/4 || owners == 0 {
		t.Errorf("only %d of %d files were split", split, len(texts))
	}
}

func TestPlainRulesAreParsedQuicklyAndAsHCLDoes(t *testing.T) {
	const start = "rule \"r\" {\n"
	for _, tt := range []struct {
		name  string
		text  string
		quick bool
	}{
		{"nothing in it", start + "}", true},
		{"strings, truth values, lists", start + " action = \"accept\" # why\n\tlog=true\n\n source = [\"10.0.0.0/8\",\"any\"]\n}", true},
		{"a list over lines", start + " source = [ # both\n  \"10.0.0.1\",\n  address_group.web_1 ,\n ]\n}", false},
		{"a list with a comma at its end", start + " source = [\n  \"10.0.0.1\",\n  address_group.web_1,\n ]\n}", true},
		{"an empty list", start + " source = []\n}", true},
		{"a reference", start + " source = address_group.web\n}", true},
		{"blocks", start + " limit {\n  rate = \"1/s\"\n  over = \"drop\"\n }\n time {\n }\n}", true},
		{"a block with a name", start + " limit \"x\" {\n }\n}", true},
		{"blocks too deep", start + " a {\n b {\n c {\n }\n }\n }\n}", false},
		{"numbers", start + " vlan = [10]\n}", false},
		{"an escape", start + " action = \"a\\\"b\"\n}", false},
		{"a template", start + " action = \"${x}\"\n}", false},
		{"a percent sign", start + " action = \"50%\"\n}", false},
		{"an empty string", start + " action = \"\"\n}", false},
		{"a letter of more bytes", start + " action = \"é\"\n}", false},
		{"a comment of such letters", start + " # é\n log = true\n}", false},
		{"negation", start + " source = [!address_group.web]\n}", false},
		{"for", start + " source = [for x in [\"1\"] : x]\n}", false},
		{"for as a name", start + " source = [for.x]\n}", false},
		{"an index", start + " source = [address_group.web[0]]\n}", false},
		{"a longer reference", start + " source = [a.b.c]\n}", false},
		{"one line", "rule \"r\" { log = true }", false},
		{"twice the same", start + " log = true\n log = false\n}", false},
		{"two on a line", start + " log = true action = \"drop\"\n}", false},
		{"null", start + " log = null\n}", false},
		{"no comma", start + " source = [\"a\" \"b\"]\n}", false},
		{"two commas", start + " source = [\"a\",, \"b\"]\n}", false},
		{"a name with a hyphen", start + " a-b = true\n}", false},
		{"carriage returns", "rule \"r\" { # a\r\n log = true\r\n\r\n source = [\r\n  \"any\",\r\n a.b\r\n ]\r\n # b\r\n destination = [a.b]\r\n}", true},
		{"a reference before one", "rule \"r\" {\r\n source = a.b\r\n}", true},
		{"a carriage return alone", "rule \"r\" {\n log = true\r}\n}", false},
		{"a carriage return in a comment", "rule \"r\" {\n # \r a\n}", false},
		{"not closed", start + " log = true\n", false},
	} {
		t.Run(tt.name, func(t *testing.T) {
			at := hcl.Pos{Line: 7, Column: 3, Byte: 100}
			got := quickRule([]byte(tt.text), "rules.hcl", at)
			if (got != nil) != tt.quick {
				t.Fatalf("quick: %t, want %t", got != nil, tt.quick)
			}
			file, diags := hclsyntax.ParseConfig([]byte(tt.text), "rules.hcl", at)
			if got == nil {
				return
			}
			if diags.HasErrors() {
				t.Fatal(diags)
			}
			if want := file.Body.(*hclsyntax.Body).Blocks[0]; !reflect.DeepEqual(got, want) {
				t.Errorf("got %#v\nwant %#v", got, want)
			}
		})
	}
}

func TestWhatCannotBeSplitIsReadAsAWhole(t *testing.T) {
	const tail = "tenant \"t\" {\n context_ids = [1]\n rule \"r\" {\n  action = \"accept\"\n }\n}\n"
	for name, text := range map[string]string{
		"a block without end":    "tenant \"u\" {\n rule \"r\" {\n }\n",
		"a heredoc":              "x = <<EOT\nrule \"r\" {\nEOT\n",
		"an escaped template":    "x = \"$${\"\n",
		"a comment without end":  "/* x\n",
		"a bracket without end":  "x = [\n",
		"a bracket of others":    "x = [}\n",
		"a tenant on one line":   "tenant \"u\" { context_ids = [2] }\n",
		"something behind rules": "tenant \"u\" {\n rule \"r\" {\n } x = 1\n}\n",
	} {
		if _, _, ok := split([]byte(text + tail)); ok {
			t.Errorf("%s: split", name)
		}
	}
	for name, text := range map[string]string{
		"brackets in strings":  "x = \"[{(\"\n",
		"brackets in comments": "# {\n// [\n/* (\n\" */\n",
		"a quoted quote":       "x = \"\\\"{\"\n",
		"templates":            "x = \"a${\"}\"}b%{ if true }c%{ endif }\"\n",
		"a rule without name":  "tenant \"u\" {\n rule \"\" {\n }\n}\n",
		"rules elsewhere":      "other \"x\" {\n rule \"r\" {\n }\n}\n",
	} {
		sections, _, ok := split([]byte(text + tail))
		if !ok || len(sections) < 2 || sections[len(sections)-1].kind != ownerSection || len(sections[len(sections)-1].inner) != 2 {
			t.Errorf("%s: %t, %+v", name, ok, sections)
		}
	}
}

func TestMistakesInLargeFilesAreAtTheirPlace(t *testing.T) {
	text := largeRules(3000)
	if len(text) < splitAbove {
		t.Fatalf("only %d bytes", len(text))
	}
	for _, tt := range []struct{ old, bad, summary string }{
		{"rule \"r2900\" {\n action = \"accept\"", "rule \"r2900\" {\n action = \"axept\"", "Invalid action"},
		{"rule \"r2900\" {\n action = \"accept\"", "rule \"r2900\" {\n action = ", "Invalid expression"},
		{"rule \"r2900\" {\n action = \"accept\"", "rule \"\" {\n action = \"accept\"", "Invalid name"},
		{"rule \"r2900\" {\n action = \"accept\"", "rule \"r2899\" {\n action = \"accept\"", "Duplicate rule"},
	} {
		if strings.Count(text, tt.old) != 1 {
			t.Fatalf("%q stands there %d times", tt.old, strings.Count(text, tt.old))
		}
		bad := strings.Replace(text, tt.old, tt.bad, 1)
		_, want, _ := loadText("rules.hcl", []byte(bad), noFiles, len(bad))
		p, got, files := loadText("rules.hcl", []byte(bad), noFiles, splitAbove)
		if p != nil || len(got) == 0 || len(got) != len(want) || !reflect.DeepEqual(got[0].Subject, want[0].Subject) || got[0].Detail != want[0].Detail {
			t.Errorf("%s: in pieces %v\nas a whole %v", tt.summary, got, want)
		}
		var out strings.Builder
		if err := WriteDiagnostics(&out, got, Printout{Files: files}); err != nil || !strings.Contains(out.String(), fmt.Sprintf("tenant %q", "t")) {
			t.Errorf("%s: %v\n%s", tt.summary, err, &out)
		}
	}
}

// The texts between rules begin where no file does.
func TestAByteOrderMarkStandsAtTheBeginningAlone(t *testing.T) {
	const rule = "tenant \"t\" {\n context_ids = [1]\n rule \"r\" {\n  action = \"accept\"\n }\n}\n"
	for _, tt := range []struct {
		text string
		ok   bool
	}{
		{"\ufeffsettings {\n}\n" + rule, true},
		{rule + "\ufeffsettings {\n}\n", false},
		{strings.Replace(rule, " rule", "\ufeff tcp_loose = true\n rule", 1), false},
		{strings.Replace(rule, "}\n}", "}\n\ufeff\n}", 1), false},
	} {
		for _, above := range []int{len(tt.text), -1} {
			p, diags, _ := loadText("rules.hcl", []byte(tt.text), noFiles, above)
			if (p != nil) != tt.ok {
				t.Errorf("%q, split above %d: %v", tt.text, above, diags)
			}
		}
	}
}

func TestMistakesInEveryRuleAreNotAllKept(t *testing.T) {
	const rule = " rule \"r\" {\n  =\n }\n"
	text := "tenant \"t\" {\n" + strings.Repeat(rule, 20*maxDiagnostics) + "}\n"
	body, pieces, _ := parse("rules.hcl", []byte(text), -1)
	if pieces == nil {
		t.Fatal("not split")
	}
	for _, b := range body.Blocks[0].Body.Blocks {
		pieces.whole(b)
	}
	if got := len(pieces.diags); got <= 10*maxDiagnostics || got > 11*maxDiagnostics {
		t.Errorf("%d diagnostics are kept", got)
	}
}

// HCL takes a byte that is no UTF-8 and the end of the line behind it for a name, so
// that the rule in the next line would be none.
func TestWhatIsNotUTF8IsNotSplit(t *testing.T) {
	for _, tt := range []struct {
		text string
		at   hcl.Pos
		ok   bool
	}{
		{"tenant \"t\" {\n # é\ufffd\n rule \"r\" {\n }\n}\n", hcl.Pos{}, true},
		{"tenant \"t\" {\n # é\n \xd0\n rule \"r\" {\n }\n}\n", hcl.Pos{Line: 3, Column: 2, Byte: 20}, false},
	} {
		_, at, ok := split([]byte(tt.text))
		if ok != tt.ok || !ok && at != tt.at {
			t.Errorf("%q: %t at %+v, want %t at %+v", tt.text, ok, at, tt.ok, tt.at)
		}
	}
}

// FuzzSplit: what can be split has the tree of the whole.
func FuzzSplit(f *testing.F) {
	f.Add(largeRules(3))
	f.Add(strings.ReplaceAll(largeRules(3), "\n", "\r\n"))
	f.Add("tenant \"t\" {\n context_ids = [1]\n rule \"r\" {\n }\n\ufeff\n}\n")
	f.Add("tenant \"t\" {\n \xd0\n rule \"r\" {\n }\n}\n")
	f.Add("tenant \"t\" {\n # a\n // b\n / c\n rule \"r\" {\n }\n # \x00\n}\n")
	f.Add("tenant \"t\" {\n rule \"r\" {\n  log = true\n }\n # c\n x = \"${1}\" /* \n */\n rule \"s\" {\n  limit {\n   rate = \"1/s\"\n  }\n }\n}\nafter_tenants {\n}\n")
	f.Fuzz(func(t *testing.T, text string) {
		if guard("rules.hcl", []byte(text), hcl.InitialPos).HasErrors() {
			return
		}
		whole, inPieces, wholeDiags, diags := bothWays(t, []byte(text))
		if inPieces == nil {
			return
		}
		if wholeDiags.HasErrors() != diags.HasErrors() {
			t.Fatalf("in pieces %v, as a whole %v", diags, wholeDiags)
		}
		if !wholeDiags.HasErrors() && !sameTree(whole, inPieces) {
			t.Fatal("another tree in pieces")
		}
	})
}
