package lab

import (
	"testing"
)

func TestNothingDeniedComesOutOfTheRealQueues(t *testing.T) {
	if !Inside(t) {
		return
	}
	if err := runEvasion(t.Context(), evasionConfig{Networks: 6}, evasionWays(), func(r evasionResult) {
		for _, why := range r.Findings {
			t.Errorf("%s: %s", r.Way, why)
		}
		t.Logf("%+v", r)
	}); err != nil {
		t.Error(err)
	}
}
