package filter

import (
	"fmt"
	"os"
	"regexp"
	"strings"
	"testing"
)

func row(f *Field) string {
	form := f.Form()
	if f.kind == kindWord {
		form = strings.Join(f.Words, ", ")
	}
	return fmt.Sprintf("| `%s` | %s | %s | `%s:%s` |\n", f.Name, f.Meaning, form, f.Name, f.Example)
}

func TestTheDocumentationHasEachFieldAndItsExamplesParse(t *testing.T) {
	data, err := os.ReadFile("../docs/filter.md")
	if err != nil {
		t.Fatal(err)
	}
	text := string(data)
	var table strings.Builder
	for _, f := range Fields() {
		table.WriteString(row(&f))
	}
	if _, got, _ := strings.Cut(text, "| --- | --- | --- | --- |\n"); got != table.String() {
		t.Errorf("the table should be\n%s", table.String())
	}
	blocks := regexp.MustCompile("(?s)```filter\n(.*?)```").FindAllStringSubmatch(text, -1)
	if len(blocks) == 0 {
		t.Error("there are no examples")
	}
	for _, block := range blocks {
		for line := range strings.Lines(block[1]) {
			if _, err := Parse(strings.TrimSpace(line)); err != nil {
				t.Errorf("%s: %v", line, err)
			}
		}
	}
	for _, said := range []string{fmt.Sprintf("at most %d bytes", MaxLen)} {
		if !strings.Contains(text, said) {
			t.Errorf("it does not say %q", said)
		}
	}
}
