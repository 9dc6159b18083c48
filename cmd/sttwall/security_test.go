package main

import (
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/spf13/pflag"
)

// TestTheSecurityPageNamesWhatThereIs: each test that SECURITY.md appeals to exists, each
// flag is one of run's, each page that it links to is there.
func TestTheSecurityPageNamesWhatThereIs(t *testing.T) {
	text := readme(t, "SECURITY.md")
	tests := map[string]bool{}
	declared := regexp.MustCompile(`(?m)^func ((?:Test|Fuzz)\w+)\(`)
	err := filepath.WalkDir("../..", func(path string, d fs.DirEntry, err error) error {
		if err != nil || !strings.HasSuffix(path, "_test.go") {
			return err
		}
		source, err := os.ReadFile(path)
		for _, f := range declared.FindAllSubmatch(source, -1) {
			tests[string(f[1])] = true
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	named := regexp.MustCompile("`((?:Test|Fuzz)\\w+)`").FindAllStringSubmatch(text, -1)
	for _, f := range named {
		if !tests[f[1]] {
			t.Errorf("there is no %s", f[1])
		}
	}
	if len(named) < 30 {
		t.Errorf("it names %d tests", len(named))
	}
	flags := newRunCommand(streams{}).Flags()
	for _, f := range regexp.MustCompile("`--([a-z0-9-]+)").FindAllStringSubmatch(text, -1) {
		if flags.Lookup(f[1]) == nil {
			t.Errorf("run has no --%s", f[1])
		}
	}
	links := regexp.MustCompile(`\]\(([^)#]+)(#[^)]*)?\)`).FindAllStringSubmatch(text, -1)
	if len(links) == 0 {
		t.Error("it links to nothing")
	}
	for _, link := range links {
		if _, err := os.Stat(filepath.Join("../..", link[1])); err != nil {
			t.Error(err)
		}
	}
	for _, page := range []string{"README.md", "CHANGELOG.md"} {
		if !strings.Contains(readme(t, page), "SECURITY.md") {
			t.Errorf("%s does not name it", page)
		}
	}
}

// TestTheCasesOfFailingOpenAreThoseOfTheFlag: what the page says can be opened can be,
// and the rest is refused.
func TestTheCasesOfFailingOpenAreThoseOfTheFlag(t *testing.T) {
	var opened []string
	for _, row := range regexp.MustCompile("(?m)^\\| \\*\\*([a-z]+)\\*\\*: .* \\| `([a-z]+)`(: refused[^|]*)? \\|").FindAllStringSubmatch(readme(t, "SECURITY.md"), -1) {
		if row[1] != row[2] {
			t.Errorf("%s is opened by %s", row[1], row[2])
		}
		var f inlineFlags
		flags := pflag.NewFlagSet("run", pflag.ContinueOnError)
		f.addRun(flags)
		if err := flags.Parse([]string{"--fail-open=" + row[2]}); err != nil {
			t.Fatal(err)
		}
		if _, err := f.config(); (err != nil) != (row[3] != "") {
			t.Errorf("--fail-open=%s: %v; the page says otherwise", row[2], err)
		}
		opened = append(opened, row[2])
	}
	if want := []string{"absent", "overload", "exception"}; !slices.Equal(opened, want) {
		t.Errorf("the page has the cases %v, want %v", opened, want)
	}
}

// readme returns a page at the top of the repository.
func readme(t *testing.T, name string) string {
	t.Helper()
	return readAt(t, filepath.Join("../..", name))
}

func readAt(t *testing.T, path string) string {
	t.Helper()
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}
