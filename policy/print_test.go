package policy

import (
	"errors"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/hashicorp/hcl/v2"
)

func printOut(t *testing.T, src string, o Printout) string {
	t.Helper()
	_, diags, files := load("f.hcl", []byte(src), noFiles)
	o.Files = files
	var b strings.Builder
	if err := WriteDiagnostics(&b, diags, o); err != nil {
		t.Fatal(err)
	}
	return b.String()
}

func TestTabsAndWideTextKeepTheMarkInPlace(t *testing.T) {
	got := printOut(t, "settings {\n\tendpoints = [\"é\", \"x\"]\n}\ntenant \"a\" {\n context_ids = [1]\n}\n", Printout{})
	for _, want := range []string{
		"  2 | \tendpoints = [\"é\", \"x\"]\n    | \t             ^^^\n",
		"  2 | \tendpoints = [\"é\", \"x\"]\n    | \t                  ^^^\n",
	} {
		if !strings.Contains(got, want) {
			t.Errorf("got\n%s\nwithout\n%s", got, want)
		}
	}
}

func TestALongLineIsCutAroundTheMistake(t *testing.T) {
	src := "settings {\n endpoints = [" + strings.Repeat("\"10.0.0.0/8\", ", 5000) + "\"wrong\"]\n}\n"
	for _, width := range []uint{0, 1, 40, 80, 200} {
		got := printOut(t, src, Printout{Width: width})
		if !strings.Contains(got, `"wrong"`) {
			t.Errorf("width %d: the mistake is not shown in\n%s", width, got)
		}
		limit := int(max(40, width))
		if width == 0 {
			limit = 80
		}
		for line := range strings.Lines(got) {
			if n := utf8.RuneCountInString(strings.TrimSuffix(line, "\n")); n > limit && strings.Contains(line, "|") {
				t.Errorf("width %d: %d columns in %q", width, n, line)
			}
		}
	}
}

func TestColorMarksSeverityAndSubject(t *testing.T) {
	got := printOut(t, "settings {}\ntenant \"a\" {\n context_ids = []\n}\n", Printout{Color: true})
	for _, want := range []string{"\x1b[1;33mwarning\x1b[0m: ", "\x1b[1;31merror\x1b[0m: ", "\x1b[1;31m[]\x1b[0m\n"} {
		if !strings.Contains(got, want) {
			t.Errorf("no %q in\n%s", want, got)
		}
	}
}

func TestNothingInARulesFileReachesTheTerminalAsControl(t *testing.T) {
	for name, src := range map[string]string{
		"in a string":     "settings {\n endpoints = [\"\x1b]0;title\x07\"]\n}",
		"as an escape":    "settings {\n endpoints = [\"\\u001b[2J\\u009b1m\\u202e\"]\n}",
		"in a label":      "tenant \"\\u001b[2J\" {\n}",
		"in a comment":    "tenant \"a\" { # \x1b[2J\n",
		"in an argument":  "settings {\n \x1b[2J = 1\n}",
		"in a reference":  "tenant \"a\" {\n rule \"r\" {\n  source = [address_group[\"\\u001b[2J\"]]\n }\n}",
		"behind a return": "settings {\n endpoints = [1]\r\n}",
	} {
		t.Run(name, func(t *testing.T) {
			got := printOut(t, src, Printout{})
			if got == "" {
				t.Fatal("no diagnostics")
			}
			if i := strings.IndexFunc(got, func(r rune) bool { return r != '\n' && printable(r) != r }); i >= 0 {
				t.Errorf("control character at byte %d of %q", i, got)
			}
		})
	}
}

func TestDiagnosticsPrintWithoutTheSource(t *testing.T) {
	var b strings.Builder
	diags := hcl.Diagnostics{
		{Severity: hcl.DiagError, Summary: "No place", Detail: "Expected one."},
		{Severity: hcl.DiagError, Summary: "No file", Subject: startOf("gone.hcl")},
		{Severity: hcl.DiagWarning, Summary: "Behind the end", Subject: &hcl.Range{Filename: "f.hcl", Start: hcl.Pos{Line: 9, Column: 9, Byte: 999}}},
	}
	o := Printout{Files: map[string]*hcl.File{"f.hcl": {Bytes: []byte("x\n")}}}
	if err := WriteDiagnostics(&b, diags, o); err != nil {
		t.Fatal(err)
	}
	want := "error: No place\n  Expected one.\n\ngone.hcl:1,1-1: error: No file\n\nf.hcl:9,9-0,0: warning: Behind the end\n"
	if got := b.String(); got != want {
		t.Errorf("got\n%s\nwant\n%s", got, want)
	}
}

type brokenWriter struct{ err error }

func (w brokenWriter) Write([]byte) (int, error) { return 0, w.err }

func TestWriteDiagnosticsReturnsTheWritersError(t *testing.T) {
	want := errors.New("pipe closed")
	diags := hcl.Diagnostics{{Severity: hcl.DiagError, Summary: "x"}}
	if got := WriteDiagnostics(brokenWriter{want}, diags, Printout{}); !errors.Is(got, want) {
		t.Errorf("got %v, want %v", got, want)
	}
}
