// Command corpus takes from what a fuzz target has found interesting on this machine a few
// small inputs that run statements which no input of the repository runs, and puts them into
// the target's testdata/fuzz, where every test run has them:
//
//	go run ./scripts/corpus ./control FuzzRequests FuzzQuestion
//
// What `go test -fuzz` finds is in Go's cache, and on no other machine.
package main

import (
	"bufio"
	"cmp"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
)

// Bounds of what is taken for a target: inputs, and bytes of each.
const (
	maxInputs = 32
	maxBytes  = 2 << 10
)

func main() {
	if len(os.Args) < 3 {
		fmt.Fprintln(os.Stderr, "usage: corpus PACKAGE TARGET...")
		os.Exit(2)
	}
	for _, target := range os.Args[2:] {
		if err := take(os.Args[1], target); err != nil {
			fmt.Fprintf(os.Stderr, "corpus: %s: %v\n", target, err)
			os.Exit(1)
		}
	}
}

// take takes inputs of a target of the package in dir.
func take(dir, target string) error {
	found, err := said("go", "list", "-f", "{{.ImportPath}} {{.Dir}} {{.Module.Path}}", dir)
	if err != nil {
		return err
	}
	cache, err := said("go", "env", "GOCACHE")
	if err != nil {
		return err
	}
	var path, module string
	if _, err := fmt.Sscan(found, &path, &dir, &module); err != nil {
		return err
	}
	candidates, err := inputs(filepath.Join(cache, "fuzz", path, target))
	if err != nil {
		return err
	}
	work, err := os.MkdirTemp("", "sttwall-corpus-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(work)
	p := program{dir: dir, target: target, path: filepath.Join(work, "test"), profile: filepath.Join(work, "profile")}
	if err := p.build(path, module); err != nil {
		return err
	}
	covered, err := p.run("")
	if err != nil {
		return err
	}
	corpus := filepath.Join(dir, "testdata", "fuzz", target)
	if err := os.MkdirAll(corpus, 0o755); err != nil {
		return err
	}
	taken := 0
	for _, input := range candidates {
		if taken == maxInputs {
			break
		}
		to := filepath.Join(corpus, filepath.Base(input))
		if _, err := os.Stat(to); err == nil {
			continue
		}
		text, err := os.ReadFile(input)
		if err != nil {
			return err
		}
		if err := os.WriteFile(to, text, 0o644); err != nil {
			return err
		}
		ran, err := p.run("/" + filepath.Base(input))
		if err != nil {
			return err // it fails: a finding, which stays there
		}
		if !adds(covered, ran) {
			if err := os.Remove(to); err != nil {
				return err
			}
			continue
		}
		taken++
	}
	os.Remove(corpus) // if nothing is in it
	fmt.Printf("%s: %d of %d inputs\n", target, taken, len(candidates))
	return nil
}

// inputs returns the files of a corpus that are small enough, the smallest first.
func inputs(dir string) ([]string, error) {
	list, err := os.ReadDir(dir)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("it was not fuzzed here: there is no %s", dir)
	}
	if err != nil {
		return nil, err
	}
	sizes := make(map[string]int64)
	var names []string
	for _, e := range list {
		info, err := e.Info()
		if err != nil {
			return nil, err
		}
		if info.Size() <= maxBytes {
			name := filepath.Join(dir, e.Name())
			names, sizes[name] = append(names, name), info.Size()
		}
	}
	slices.SortFunc(names, func(a, b string) int { return cmp.Or(cmp.Compare(sizes[a], sizes[b]), strings.Compare(a, b)) })
	return names, nil
}

// program is the tests of a package, built to tell what they run.
type program struct{ dir, target, path, profile string }

func (p *program) build(path, module string) error {
	deps, err := said("go", "list", "-deps", path)
	if err != nil {
		return err
	}
	own := slices.DeleteFunc(strings.Fields(deps), func(d string) bool { return !strings.HasPrefix(d, module+"/") })
	_, err = said("go", "test", "-c", "-covermode=set", "-coverpkg="+strings.Join(own, ","), "-o", p.path, path)
	return err
}

// run runs one input of the target, or with "" all that there are, and returns the blocks
// of statements that ran.
func (p *program) run(input string) (map[string]bool, error) {
	c := exec.Command(p.path, "-test.run=^"+p.target+"$"+input, "-test.coverprofile="+p.profile)
	c.Dir = p.dir
	if out, err := c.CombinedOutput(); err != nil {
		return nil, fmt.Errorf("input %q: %w\n%s", input, err, out)
	}
	f, err := os.Open(p.profile)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	ran := make(map[string]bool)
	lines := bufio.NewScanner(f)
	for lines.Scan() {
		if words := strings.Fields(lines.Text()); len(words) == 3 && words[2] != "0" {
			ran[words[0]] = true
		}
	}
	return ran, lines.Err()
}

// adds adds what ran to what is covered, and reports whether that is more then.
func adds(covered, ran map[string]bool) bool {
	before := len(covered)
	for block := range ran {
		covered[block] = true
	}
	return len(covered) > before
}

func said(name string, args ...string) (string, error) {
	c := exec.Command(name, args...)
	c.Stderr = os.Stderr
	out, err := c.Output()
	return strings.TrimSpace(string(out)), err
}
