package main

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"sttwall/internal/doctest"
)

// names looks for what a command names: the command and its flags, the target of make,
// the package and the tests of go, the script. It reports whether there was something.
func (d *desk) names(c doctest.Command) bool {
	d.t.Helper()
	words := doctest.Words(c.Text)
	folder := "../.."
	if rest, ok := strings.CutPrefix(c.Text, "cd bench && "); ok {
		folder, words = "../../bench", doctest.Words(rest)
	}
	if words[0] == "sudo" || words[0] == "nice" {
		words = words[1:]
	}
	wrong := ""
	switch words[0] {
	case "sttwall":
		wrong = namedCommand(words[1:])
	case "make":
		wrong = namedTarget(words[1:])
	case "go":
		if wrong = namedPackage(folder, words[1:]); wrong != "" && namedPackage("../../bench", words[1:]) == "" {
			wrong = "" // the text is about that module
		}
	default:
		if info, err := os.Stat(filepath.Join(folder, words[0])); err != nil {
			wrong = err.Error()
		} else if info.Mode()&0o111 == 0 {
			wrong = "nobody can run " + words[0]
		} else if out, err := exec.Command("bash", "-n", filepath.Join(folder, words[0])).CombinedOutput(); err != nil {
			wrong = string(out)
		}
	}
	if wrong != "" {
		d.t.Errorf("%s:%d: %s: %s", d.page, c.Line, c.Text, wrong)
	}
	return true
}

// namedCommand says what is wrong with a command line of sttwall, values aside.
func namedCommand(words []string) string {
	cmd := newRootCommand(streams{})
	cmd.InitDefaultCompletionCmd()
	cmd.InitDefaultHelpCmd()
	for len(words) > 0 && !strings.HasPrefix(words[0], "-") {
		i := slices.IndexFunc(cmd.Commands(), func(sub *cobra.Command) bool { return sub.Name() == words[0] })
		if i < 0 {
			if cmd.HasSubCommands() && strings.ToUpper(words[0]) != words[0] { // of a text, any of them
				return "there is no command " + words[0]
			}
			break
		}
		cmd, words = cmd.Commands()[i], words[1:]
	}
	for _, word := range words {
		if name, ok := strings.CutPrefix(word, "--"); ok {
			if name, _, _ = strings.Cut(name, "="); cmd.Flags().Lookup(name) == nil && name != "help" && name != "" {
				return cmd.Name() + " has no --" + name
			}
		} else if len(word) > 1 && word[0] == '-' && cmd.Flags().ShorthandLookup(word[1:2]) == nil {
			return cmd.Name() + " has no " + word
		}
	}
	return ""
}

// namedTarget says what is wrong with a command line of make.
func namedTarget(words []string) string {
	text, err := os.ReadFile("../../Makefile")
	if err != nil {
		return err.Error()
	}
	for _, word := range words {
		pattern := `(?m)^([a-z]+ )*` + regexp.QuoteMeta(word) + `( [a-z]+)*:`
		if name, _, ok := strings.Cut(word, "="); ok {
			pattern = `\$\(` + regexp.QuoteMeta(name) + `\)`
		}
		if !regexp.MustCompile(pattern).Match(text) {
			return "the Makefile has no " + word
		}
	}
	return ""
}

// namedPackage says what is wrong with a command line of go: the package, its flags
// where it is a program or they are a test's own, the names of its tests.
func namedPackage(folder string, words []string) string {
	verb, words := words[0], words[1:]
	if verb != "run" && verb != "test" && verb != "build" {
		return "" // go tool, go mod and so on: Go's own
	}
	if len(words) > 0 && words[0] == "-race" {
		words = words[1:]
	}
	if len(words) == 0 || words[0] == "./..." {
		return ""
	}
	where := filepath.Join(folder, words[0])
	files, err := filepath.Glob(filepath.Join(where, "*.go"))
	if err != nil || len(files) == 0 {
		return "there is no package " + words[0]
	}
	var source strings.Builder
	for _, file := range files {
		text, err := os.ReadFile(file)
		if err != nil {
			return err.Error()
		}
		source.Write(text)
	}
	if verb == "run" && words[0] == "./cmd/sttwall" {
		return namedCommand(words[1:])
	}
	if verb == "run" && !strings.Contains(source.String(), "package main\n") {
		return words[0] + " is no program"
	}
	ofGo := []string{"run", "bench", "count", "v", "timeout", "benchmem", "short", "args"}
	for i, word := range words[1:] {
		name, ok := strings.CutPrefix(strings.TrimPrefix(word, "-"), "-")
		if !strings.HasPrefix(word, "-") {
			continue
		}
		if name, _, _ = strings.Cut(name, "="); !ok {
			name = strings.TrimPrefix(word, "-")
		}
		if verb == "test" && slices.Contains(ofGo, name) {
			if (name == "run" || name == "bench") && i+2 < len(words) {
				if of := words[i+2]; of != "xxx" && of != "^$" {
					kind := map[string]string{"run": "(?:Test|Fuzz)", "bench": "Benchmark"}[name]
					fits := regexp.MustCompile(of)
					declared := regexp.MustCompile(`(?m)^func (`+kind+`\w*)\(`).FindAllStringSubmatch(source.String(), -1)
					if !slices.ContainsFunc(declared, func(f []string) bool { return fits.MatchString(f[1]) }) {
						return words[0] + " has nothing that -" + name + " " + of + " fits"
					}
				}
			}
			continue
		}
		if !strings.Contains(source.String(), `"`+name+`"`) {
			return words[0] + " has no flag " + word
		}
	}
	return ""
}

// typedBy says what is wrong with a row that says who types its command: the part is no part
// of what CI runs, does not come to the file, or that does no such thing.
func typedBy(row trial) error {
	part, file, _ := strings.Cut(row.by, ": ")
	for name, want := range map[string]string{
		".ci/run": `(?m)^make check$`, "Makefile": `(?m)^check:.* ` + part + `( |$)`, file: row.has,
	} {
		text, err := os.ReadFile(filepath.Join("../..", name))
		if err != nil {
			return err
		}
		if want == "" || !regexp.MustCompile(want).Match(text) {
			return fmt.Errorf("%s has no %s", name, want)
		}
	}
	text, err := os.ReadFile("../../Makefile")
	if err != nil {
		return err
	}
	recipe := regexp.MustCompile(`(?m)^` + part + `:\n((?:\t.*\n)+)`).FindSubmatch(text)
	if recipe == nil || !strings.Contains(string(recipe[1]), file) && !(strings.HasSuffix(file, "_test.go") && strings.Contains(string(recipe[1]), "go test")) {
		return fmt.Errorf("make %s does not come to %s", part, file)
	}
	return nil
}
