package policy

import (
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/hashicorp/hcl/v2"
	"github.com/hashicorp/hcl/v2/hclsyntax"

	"sttwall/internal/messages"
)

// shown loads every broken file, and every one with warnings or findings, and
// returns all that is said of them; goldens hold each word of it.
func shown(t *testing.T) (texts []string) {
	t.Helper()
	for _, dir := range []string{"broken", "warnings"} {
		files, err := filepath.Glob(filepath.Join(rulesDir, dir, "*.hcl"))
		if err != nil || len(files) == 0 {
			t.Fatalf("no rules files: %v", err)
		}
		for _, path := range files {
			_, diags, _ := printed(t, path)
			for _, d := range diags {
				texts = append(texts, d.Summary+": "+d.Detail)
			}
		}
	}
	files, err := filepath.Glob(filepath.Join(rulesDir, "lint", "*.hcl"))
	if err != nil || len(files) == 0 {
		t.Fatalf("no rules files: %v", err)
	}
	for _, path := range files {
		texts = append(texts, findings(t, path))
	}
	return append(texts, changes(t))
}

// sentences begin a message, or go on in one.
var sentences = regexp.MustCompile(`^ ?[A-Z][a-z]+ .*[a-z"].*[.?]?$`)

// said are the words of analyses.
var said = regexp.MustCompile(`^[ ,;a-z]*[a-z]{3,} [a-z%]{2,}`)

// shownElsewhere are messages that no file of testdata can provoke, and the test
// that compares them.
var shownElsewhere = map[string]string{
	"Rules file not read": "TestLoadFileReportsAFileThatCannotBeRead", "Expected a rules file that can be read: %s.": "TestLoadFileReportsAFileThatCannotBeRead",
	"File too large": "TestLargeFilesAreRefused", "Expected at most %d bytes %s; there are %d.": "TestLargeFilesAreRefused",
	"Too many diagnostics": "TestDiagnosticsAreBounded",
	"rule was":             "TestASpentBudgetIsSaid", "rules were": "TestASpentBudgetIsSaid",
	"its %s can have no value at all": "TestFindingsSayWhatIsWrongAndWhere",
	"Too many files":                  "TestFilesOfAddressesAreBounded", "Expected at most %d files of addresses.": "TestFilesOfAddressesAreBounded",
	"Too many addresses": "TestWhatListsHoldTogetherIsBounded",
	"Expected groups and lists of at most %d addresses and ranges together; a list that is one address_group.NAME takes no room.":       "TestWhatListsHoldTogetherIsBounded",
	"Expected lists of services that stand for at most %d protocols and ports together; a list that is one service.NAME takes no room.": "TestWhatListsHoldTogetherIsBounded",
	"Expected a byte order mark nowhere but where the file begins; take it out.":                                                        "TestAByteOrderMarkStandsAtTheBeginningAlone",
	"Expected at most %d steps in all expressions of the file together; write lists out, or put them into a group that many rules use.": "TestAllExpressionsOfAFileTogetherAreBounded",
}

// Every sentence that the loader, the linter and the comparison can say stands
// in a golden file of testdata/rules, so that somebody has read it.
func TestEveryMessageIsShownByAGolden(t *testing.T) {
	texts, tests := shown(t), ""
	for _, path := range []string{"load_test.go", "split_test.go", "bounds_test.go", "sharing_test.go", "analyze/lint_test.go"} {
		tests += string(mustRead(t, path))
	}
	paths, err := filepath.Glob("*.go")
	if err != nil {
		t.Fatal(err)
	}
	looksLike := make(map[string]*regexp.Regexp)
	for _, path := range []string{"lint.go", "redundant.go", "crossing.go", "change.go", "classes.go"} {
		path = "analyze/" + path
		paths, looksLike[path] = append(paths, path), said
	}
	seen := 0
	for _, path := range paths {
		// tables.go is the reference; explanations have tests of their own.
		if strings.HasSuffix(path, "_test.go") || path == "tables.go" || path == "explain.go" {
			continue
		}
		like := looksLike[path]
		if like == nil {
			like = sentences
		}
		found, err := messages.In(path, like)
		if err != nil {
			t.Fatal(err)
		}
		for _, m := range found {
			seen++
			if elsewhere := shownElsewhere[m.Text]; elsewhere != "" {
				if !strings.Contains(tests, "\nfunc "+elsewhere+"(") {
					t.Errorf("%s: there is no %s", m.At, elsewhere)
				}
				continue
			}
			if !slices.ContainsFunc(texts, m.Pattern().MatchString) {
				t.Errorf("%s: no golden shows %q", m.At, m.Text)
			}
		}
	}
	if seen < 150 {
		t.Errorf("only %d messages", seen)
	}
}

// Every attribute has a value that is wrong, and a golden with what is said of it.
func TestEveryAttributeHasAGoldenOfAWrongValue(t *testing.T) {
	wrong := make(map[string]bool) // "rule source"
	files, err := filepath.Glob(rulesDir + "/broken/*.hcl")
	if err != nil || len(files) == 0 {
		t.Fatalf("no rules files: %v", err)
	}
	for _, path := range files {
		_, diags, _ := printed(t, path)
		for _, d := range diags {
			file, _ := hclsyntax.ParseConfig(mustRead(t, path), filepath.Base(path), hcl.InitialPos)
			if body, ok := file.Body.(*hclsyntax.Body); ok && d.Subject.Filename == filepath.Base(path) {
				if name := valueAt(body, "", d.Subject.Start.Byte); name != "" {
					wrong[name] = true
				}
			}
		}
	}
	for _, s := range allSchemas {
		for _, a := range s.attributes {
			if name := s.blockType() + " " + a.name; !wrong[name] {
				t.Errorf("no golden shows what is said of a wrong value of %s", name)
			}
		}
	}
}

// valueAt returns the block's type and the attribute in whose value an offset is.
func valueAt(body *hclsyntax.Body, block string, offset int) string {
	for _, a := range body.Attributes {
		if a.Expr.Range().ContainsOffset(offset) {
			return block + " " + a.Name
		}
	}
	for _, b := range body.Blocks {
		if b.Range().ContainsOffset(offset) {
			return valueAt(b.Body, b.Type, offset)
		}
	}
	return ""
}

func mustRead(t *testing.T, path string) []byte {
	t.Helper()
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return text
}
