package main

import (
	"flag"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

var update = flag.Bool("update", false, "write docs/checks.md")

// Who changes the code that a fault is put into changes the fault too.
func TestEveryFaultStandsInTheCode(t *testing.T) {
	for _, f := range slices.Concat(ruleFaults, flowFaults, quickFaults) {
		if err := f.stands("../.."); err != nil {
			t.Error(err)
		}
		if f.new == f.old {
			t.Errorf("%s: %q is no fault", f.file, f.old)
		}
	}
}

// The same for the checks that are switched off.
func TestEveryCheckStandsInTheCode(t *testing.T) {
	for _, c := range safetyChecks {
		if err := c.stands("../.."); err != nil {
			t.Error(err)
		}
	}
}

// Each check has a test that must notice, and that is there.
func TestEveryCheckHasATest(t *testing.T) {
	if len(safetyChecks) < 30 {
		t.Errorf("%d checks, want 30 at least", len(safetyChecks))
	}
	for _, c := range safetyChecks {
		folder, name := c.test()
		files, err := filepath.Glob(filepath.Join("../..", folder, "*_test.go"))
		if err != nil {
			t.Fatal(err)
		}
		there := false
		for _, file := range files {
			text, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			there = there || strings.Contains(string(text), "\nfunc "+name+"(t *testing.T)")
		}
		if !there {
			t.Errorf("%s: there is no test %s in %s", c.what, name, folder)
		}
	}
}

// The thirty most important ones are among them, each once.
func TestTheMostImportantChecks(t *testing.T) {
	if len(mostImportant) != 30 {
		t.Errorf("%d checks are the most important, want 30", len(mostImportant))
	}
	marked := 0
	names := make(map[string]bool)
	for _, c := range safetyChecks {
		if names[c.what] {
			t.Errorf("%s is there twice", c.what)
		}
		names[c.what] = true
		if c.important() {
			marked++
		}
	}
	if marked != len(mostImportant) {
		t.Errorf("%d of %d are checks", marked, len(mostImportant))
	}
}

func TestTheListOfChecks(t *testing.T) {
	const path = "../../docs/checks.md"
	if *update {
		if err := os.WriteFile(path, []byte(list()), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	if text, err := os.ReadFile(path); err != nil || string(text) != list() {
		t.Errorf("docs/checks.md is not the list of checks (%v): make docs", err)
	}
}
