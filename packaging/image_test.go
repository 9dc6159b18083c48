package packaging

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// What the image is made of is there, but for the program, which `make build` puts at the
// top; what it starts is in it.
func TestTheImageIsMadeOfWhatIsThere(t *testing.T) {
	inside := map[string]bool{}
	var from, entry, command string
	for line := range strings.SplitSeq(string(read(t, "../deploy/oci/Dockerfile")), "\n") {
		instruction, rest, _ := strings.Cut(line, " ")
		switch instruction {
		case "", "#":
		case "FROM":
			from = rest
		case "COPY":
			words := strings.Fields(rest)
			if len(words) != 2 {
				t.Fatalf("COPY %s", rest)
			}
			inside[words[1]] = true
			if _, err := os.Stat(filepath.Join("..", words[0])); err != nil && words[0] != "sttwall" {
				t.Error(err)
			}
		case "ENTRYPOINT":
			entry = rest
		case "CMD":
			command = rest
		default:
			t.Errorf("what is %q?", line)
		}
	}
	if from != "scratch" || entry != `["/sttwall"]` || !inside["/sttwall"] || !inside["/etc/sttwall/rules.hcl"] || !strings.Contains(command, `"/etc/sttwall/rules.hcl"`) {
		t.Errorf("from %s, entry %s, command %s, with %v", from, entry, command, inside)
	}
	if makefile := string(read(t, "../Makefile")); !strings.Contains(makefile, "CGO_ENABLED=0 go build -trimpath -o sttwall ./cmd/sttwall") {
		t.Error("`make build` puts the program elsewhere, or links libraries that the image does not have")
	}
}
