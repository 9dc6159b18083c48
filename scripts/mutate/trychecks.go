package main

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"time"
)

// runChecks switches the checks off whose label the expression matches, one at a time, and
// has the test of each look.
func runChecks(only string) error {
	chosen, err := regexp.Compile(only)
	if err != nil {
		return err
	}
	checks := slices.DeleteFunc(slices.Clone(safetyChecks), func(c check) bool {
		return !chosen.MatchString(c.label())
	})
	if len(checks) == 0 {
		return fmt.Errorf("no check has %q", only)
	}
	for _, c := range checks {
		if err := c.stands("."); err != nil {
			return err
		}
	}
	dir, remove, err := copied()
	if err != nil {
		return err
	}
	defer remove()
	begun := time.Now()
	if err := pass(dir, checks); err != nil {
		return err
	}
	missed := 0
	for i, c := range checks {
		word := "noticed by"
		noticed, err := c.try(dir)
		if !noticed {
			word = "MISSED by "
			missed++
		}
		fmt.Printf("%3d %-52s %s %s\n", i+1, c.what, word, c.by)
		if err != nil {
			fmt.Println(err)
		}
	}
	if missed > 0 {
		return fmt.Errorf("%d of %d checks were switched off without their test noticing", missed, len(checks))
	}
	fmt.Printf("each of %d checks was switched off, and its test noticed (%v)\n", len(checks), time.Since(begun).Round(time.Second))
	return nil
}

// stands says what keeps a check from being switched off below dir.
func (c *check) stands(dir string) error {
	for _, f := range c.off {
		if err := f.stands(dir); err != nil {
			return fmt.Errorf("%s: %w", c.what, err)
		}
	}
	return nil
}

// test is the folder and the name of the test that must notice.
func (c *check) test() (folder, name string) {
	i := strings.LastIndexByte(c.by, '.')
	return c.by[:max(i, 0)], c.by[i+1:]
}

// try switches the check off, has its test look, and switches it on again.
func (c *check) try(dir string) (noticed bool, err error) {
	was := make(map[string][]byte)
	defer func() {
		for path, text := range was {
			err = errors.Join(err, os.WriteFile(path, text, 0o644))
		}
	}()
	for _, f := range c.off {
		path := filepath.Join(dir, f.file)
		text, err := os.ReadFile(path)
		if err != nil {
			return false, err
		}
		if was[path] == nil {
			was[path] = text
		}
		if err := os.WriteFile(path, []byte(strings.Replace(string(text), f.old, f.new, 1)), 0o644); err != nil {
			return false, err
		}
	}
	folder, name := c.test()
	out, ok := testNamed(dir, folder, []string{name})
	if ok {
		return false, nil
	}
	if !slices.Contains(failed(out), name) {
		return false, fmt.Errorf("that %s fails is not what stopped it:\n%s", c.by, out)
	}
	return true, nil
}

// tries is how often tests may fail on a busy machine while all checks are on.
const tries = 3

// pass has the tests of all checks look while all are on.
func pass(dir string, checks []check) error {
	names := make(map[string][]string)
	for _, c := range checks {
		folder, name := c.test()
		names[folder] = append(names[folder], name)
	}
	for folder, list := range names {
		out, ok := testNamed(dir, folder, list)
		for n := 1; !ok && n < tries; n++ {
			out, ok = testNamed(dir, folder, list)
		}
		if !ok {
			return fmt.Errorf("the tests fail with all checks on:\n%s", out)
		}
		for _, name := range list {
			if !strings.Contains(out, "--- PASS: "+name+" (") {
				return fmt.Errorf("%s.%s did not run: it was skipped, or there is none", folder, name)
			}
		}
	}
	return nil
}

func testNamed(dir, folder string, names []string) (output string, passed bool) {
	c := exec.Command("go", "test", "-vet=off", "-count=1", "-timeout=5m", "-ldflags=-w", "-v", "-run", "^("+strings.Join(names, "|")+")$", "./"+folder)
	c.Dir = dir
	c.Env = append(os.Environ(), "GOFLAGS="+os.Getenv("GOFLAGS")+" -pgo=off -trimpath")
	out, err := c.CombinedOutput()
	return string(out), err == nil
}

var failure = regexp.MustCompile(`(?m)^--- FAIL: (\w+) `)

// failed returns the tests that failed.
func failed(out string) (names []string) {
	for _, m := range failure.FindAllStringSubmatch(out, -1) {
		names = append(names, m[1])
	}
	return names
}

// copied returns a copy of the repository.
func copied() (dir string, remove func(), err error) {
	if dir, err = os.MkdirTemp("", "sttwall-mutate-"); err != nil {
		return "", nil, err
	}
	remove = func() { os.RemoveAll(dir) }
	if err := os.CopyFS(dir, os.DirFS(".")); err != nil {
		remove()
		return "", nil, err
	}
	return dir, remove, nil
}
