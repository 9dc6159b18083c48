package main

import (
	"bytes"
	"errors"
	"os"
	"strings"
	"testing"

	"sttwall/internal/chaos"
	"sttwall/internal/lab"
)

// The other faults take minutes: `sttwall chaos` tries them all.
func TestNothingPassesWhileTheFirewallIsKilled(t *testing.T) {
	t.Setenv(asProgram, "chaos") // what runs in the lab is the program
	var logs bytes.Buffer
	rows := map[chaos.Case]chaos.Row{}
	var summary chaos.Summary
	ok, err := chaos.Run(t.Context(), chaos.Options{
		Input:  chaos.Input{Faults: []string{"kill"}, Seed: 1, Logs: true},
		Stderr: &logs,
		Receive: func(told *chaos.Told) {
			if told.Row != nil {
				rows[told.Row.Open] = *told.Row
			}
			if told.Summary != nil {
				summary = *told.Summary
			}
		},
	})
	if errors.Is(err, lab.ErrUnavailable) && os.Getenv("CI") != "true" {
		t.Skip(err)
	}
	if err != nil {
		t.Fatalf("%v\n%s", err, &logs)
	}
	for _, open := range []chaos.Case{chaos.NoCase, chaos.Absent, chaos.Overload} {
		r, tried := rows[open]
		switch {
		case !tried:
			t.Errorf("with %q opened it was not tried", open)
		case r.Wrong != "" || r.Denied != 0 || r.Corrupt != 0:
			t.Errorf("with %q opened: %d denied packets, %d other bytes; %s", open, r.Denied, r.Corrupt, r.Wrong)
		case (r.DeniedOpen > 0) != (open == chaos.Absent):
			t.Errorf("with %q opened %d denied packets passed", open, r.DeniedOpen)
		case r.Sent == 0 || r.Asked == 0 || r.Verified == 0:
			t.Errorf("with %q opened there was no traffic: %+v", open, r)
		}
	}
	if !ok || summary.Missed != 0 {
		t.Errorf("%v, and the capture has missed %d packets\n%s", ok, summary.Missed, &logs)
	}
}

func TestChaosRefusesWhatItDoesNotKnow(t *testing.T) {
	for _, args := range [][]string{{"chaos", "--fault", "rain"}, {"chaos", "--for", "-1s"}, {"chaos", "everything"}} {
		if status, _, said := sttwall(args...); status != statusUsage || !strings.Contains(said, "Try 'sttwall chaos --help'") {
			t.Errorf("%v: status %d, %s", args, status, said)
		}
	}
}
