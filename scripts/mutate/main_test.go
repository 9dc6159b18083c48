package main

import (
	"slices"
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
