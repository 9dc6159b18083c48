package main

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

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
