package policy

import (
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/hashicorp/hcl/v2"
)

var update = flag.Bool("update", false, "write testdata/rules/*/*.want anew")

const rulesDir = "../testdata/rules"

// printed loads a file under its base name and returns what a command prints.
func printed(t *testing.T, path string) (*Policy, hcl.Diagnostics, string) {
	t.Helper()
	src, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	p, diags, files := load(filepath.Base(path), src, func(name string) ([]byte, error) {
		return openAddressFile(filepath.Join(filepath.Dir(path), name))
	})
	var b strings.Builder
	if err := WriteDiagnostics(&b, diags, Printout{Files: files}); err != nil {
		t.Fatal(err)
	}
	return p, diags, b.String()
}

func TestBrokenRulesSayWhereAndWhatWasExpected(t *testing.T) {
	files, err := filepath.Glob(rulesDir + "/broken/*.hcl")
	if err != nil || len(files) < 24 {
		t.Fatalf("%d broken rules files, %v; want at least 24", len(files), err)
	}
	for _, path := range files {
		name := strings.TrimSuffix(filepath.Base(path), ".hcl")
		t.Run(name, func(t *testing.T) {
			p, diags, got := printed(t, path)
			if p != nil || !diags.HasErrors() {
				t.Fatalf("loaded, with diagnostics\n%s", got)
			}
			for _, d := range diags {
				if d.Subject == nil || d.Subject.Filename != name+".hcl" && filepath.Ext(d.Subject.Filename) != ".txt" || d.Subject.Start.Line < 1 || d.Subject.Start.Column < 1 {
					t.Errorf("%s: no place in the file: %v", d.Summary, d.Subject)
				}
				if d.Summary == "" || d.Detail == "" {
					t.Errorf("%v says nothing", d)
				}
			}
			if !regexp.MustCompile(`(?m)^` + regexp.QuoteMeta(name) + `\.hcl:\d+,\d+(-\d+(,\d+)?)?: error: \S`).MatchString(got) {
				t.Errorf("no file:line,column in\n%s", got)
			}
			compareGolden(t, path, got)
		})
	}
}

// compareGolden compares with the .want file beside a rules file.
func compareGolden(t *testing.T, path, got string) {
	t.Helper()
	path = strings.TrimSuffix(path, ".hcl") + ".want"
	if *update {
		if err := os.WriteFile(path, []byte(got), 0o644); err != nil {
			t.Fatal(err)
		}
		return
	}
	want, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(string(want), got); diff != "" {
		t.Errorf("-want +got; run with -update if it is meant:\n%s", diff)
	}
}

func TestWarningsSayWhatIsMissing(t *testing.T) {
	files, err := filepath.Glob(rulesDir + "/warnings/*.hcl")
	if err != nil || len(files) == 0 {
		t.Fatalf("no rules files: %v", err)
	}
	for _, path := range files {
		t.Run(filepath.Base(path), func(t *testing.T) {
			p, diags, got := printed(t, path)
			if p == nil || len(diags) == 0 {
				t.Fatalf("policy %v with diagnostics\n%s", p, got)
			}
			compareGolden(t, path, got)
		})
	}
}

// findings loads a file and writes what Lint and Unused say of it.
func findings(t *testing.T, path string) string {
	t.Helper()
	p, diags, text := printed(t, path)
	if len(diags) > 0 {
		t.Fatal(text)
	}
	var b strings.Builder
	for _, f := range p.Lint() {
		fmt.Fprintf(&b, "%s:%d: %s: %s\n", f.At.Filename, f.At.Start.Line, f.Kind, f.Message)
	}
	for _, u := range p.Unused() {
		fmt.Fprintf(&b, "%s\n", u)
	}
	return b.String()
}

func TestFindingsNameRulesAndWhatIsWrongWithThem(t *testing.T) {
	files, err := filepath.Glob(rulesDir + "/lint/*.hcl")
	if err != nil || len(files) == 0 {
		t.Fatalf("no rules files: %v", err)
	}
	for _, path := range files {
		t.Run(filepath.Base(path), func(t *testing.T) { compareGolden(t, path, findings(t, path)) })
	}
}

func TestGoodRulesLoadWithoutWarnings(t *testing.T) {
	files, err := filepath.Glob(rulesDir + "/*.hcl")
	if err != nil || len(files) == 0 {
		t.Fatalf("no rules files: %v", err)
	}
	for _, path := range append(files, "../rules.example.hcl") {
		t.Run(filepath.Base(path), func(t *testing.T) {
			p, _, got := printed(t, path)
			if p == nil || got != "" {
				t.Errorf("%s", got)
			}
		})
	}
}

// changes compares testdata/rules/against/old.hcl with new.hcl, as check writes
// it.
func changes(t *testing.T) string {
	t.Helper()
	old, _, _ := printed(t, rulesDir+"/against/old.hcl")
	new, _, _ := printed(t, rulesDir+"/against/new.hcl")
	var b strings.Builder
	for _, c := range Compare(old, new).Changes {
		fmt.Fprintf(&b, "%s\n    for example: %s\n", c, ExampleText(&c.Example))
	}
	return b.String()
}

func TestChangesNamePacketsAndBothDecisions(t *testing.T) {
	compareGolden(t, rulesDir+"/against/new.hcl", changes(t))
}

// Every block marked as hcl in the reference is a whole rules file.
func TestReferenceShowsRulesThatLoad(t *testing.T) {
	text, err := os.ReadFile("../docs/rules.md")
	if err != nil {
		t.Fatal(err)
	}
	blocks := regexp.MustCompile("(?s)```hcl\n(.*?)```").FindAllSubmatch(text, -1)
	if len(blocks) == 0 {
		t.Fatal("no hcl blocks in docs/rules.md")
	}
	for protocol, names := range icmpTypes {
		for name, number := range names {
			if want := fmt.Sprintf("%s %d", name, number); !strings.Contains(string(text), want) {
				t.Errorf("docs/rules.md has no ICMP type %q of protocol %d", want, protocol)
			}
		}
		for name, number := range icmpCodes[protocol] {
			if want := fmt.Sprintf("%s %d", name, number); !strings.Contains(string(text), want) {
				t.Errorf("docs/rules.md has no ICMP code %q of protocol %d", want, protocol)
			}
		}
	}
	for _, b := range blocks {
		if _, diags := Load("rules.md", b[1]); len(diags) > 0 {
			t.Errorf("%v in\n%s", diags, b[1])
		}
	}
}
