package plain

import (
	"fmt"
	"go/parser"
	"go/token"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// What the interpreter follows stands in the documentation: a sentence that is
// changed there has to be read anew here.
func TestEverySentenceThatIsFollowedStandsInTheDocumentation(t *testing.T) {
	text, err := os.ReadFile("../../../docs/rules.md")
	if err != nil {
		t.Fatal(err)
	}
	oneLine := func(s string) string { return strings.Join(strings.Fields(s), " ") }
	docs := oneLine(string(text))
	paths, err := filepath.Glob("*.go")
	if err != nil {
		t.Fatal(err)
	}
	quotes := 0
	for _, path := range paths {
		fset := token.NewFileSet()
		file, err := parser.ParseFile(fset, path, nil, parser.ParseComments)
		if err != nil {
			t.Fatal(err)
		}
		for _, group := range file.Comments {
			for i := 0; i < len(group.List); i++ {
				at, sentence := group.List[i].Pos(), ""
				for ; i < len(group.List); i++ {
					part, quoted := strings.CutPrefix(group.List[i].Text, "// > ")
					if !quoted {
						break
					}
					sentence += part + "\n"
				}
				if sentence == "" {
					continue
				}
				quotes++
				// Sentences of different places may follow each other.
				if !strings.Contains(docs, oneLine(sentence)) && !eachContained(docs, sentence) {
					t.Errorf("%s: docs/rules.md does not say %q", fset.Position(at), sentence)
				}
			}
		}
	}
	if quotes < 50 {
		t.Errorf("only %d quotes", quotes)
	}
}

// eachContained says whether lines, and those that they go on in, stand there.
func eachContained(docs, sentence string) bool {
	whole := ""
	for line := range strings.Lines(sentence) {
		if joined := strings.TrimSpace(whole + " " + strings.TrimSpace(line)); strings.Contains(docs, joined) {
			whole = joined
		} else if whole = strings.TrimSpace(line); !strings.Contains(docs, whole) {
			return false
		}
	}
	return true
}

func TestICMPNamesAreThoseOfTheDocumentation(t *testing.T) {
	text, err := os.ReadFile("../../../docs/rules.md")
	if err != nil {
		t.Fatal(err)
	}
	for protocol, row := range map[uint8]string{1: "| `icmp` | ", 58: "| `icmpv6` | "} {
		_, rest, ok := strings.Cut(string(text), row)
		rest, _, _ = strings.Cut(rest, " |\n")
		types, codes, two := strings.Cut(rest, " | ")
		if !ok || !two {
			t.Fatalf("docs/rules.md has no row %s", row)
		}
		for _, c := range []struct {
			got  string
			want map[int]string
		}{{types, icmpNames[protocol].types}, {codes, icmpNames[protocol].codes}} {
			var want []string
			for _, n := range sortedKeys(c.want) {
				want = append(want, fmt.Sprintf("%s %d", c.want[n], n))
			}
			if c.got != strings.Join(want, ", ") {
				t.Errorf("%s%s, want %s", row, c.got, want)
			}
		}
	}
}
