package main

import (
	"bytes"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"sttwall/internal/lab"
	"sttwall/internal/soak"
)

// Longer ones are run by `sttwall soak --for 2h`.
func TestASoakOfSecondsFindsNothingAndDisturbsInEachWay(t *testing.T) {
	t.Setenv(asProgram, "soak") // what runs in the lab is the program
	variable, value, _ := strings.Cut(watchRaces(t), "=")
	t.Setenv(variable, value) // of all that is started there
	var logs bytes.Buffer
	var samples []soak.Sample
	var end *soak.End
	err := soak.Run(t.Context(), soak.Options{
		Input: soak.Input{For: soak.Least, Seed: 1, Logs: true}, Stderr: &logs,
		Receive: func(told *soak.Told) {
			if told.Sample != nil {
				samples = append(samples, *told.Sample)
			}
			if told.End != nil {
				end = told.End
			}
		},
	})
	if errors.Is(err, lab.ErrUnavailable) && os.Getenv("CI") != "true" {
		t.Skip(err)
	}
	if err != nil || end == nil {
		t.Fatalf("%v, end %v\n%s", err, end, &logs)
	}
	if len(samples) < 3 {
		t.Errorf("%d samples", len(samples))
	}
	for _, s := range samples {
		if s.Resident == 0 || s.Heap == 0 || s.Files == 0 || s.Goroutines == 0 || s.Threads == 0 {
			t.Errorf("not measured: %+v", s)
		}
	}
	for _, c := range soak.Judge(samples, end) {
		if !c.OK {
			t.Errorf("%s: %s\n%s", c.Name, c.Text, &logs)
		}
	}
	for _, name := range []string{"reload", "screen in a terminal", "endpoint added", "endpoint removed", "temporary rule", "temporary rule removed", "client of the screens", "follower of events"} {
		if end.Done[name] == 0 {
			t.Errorf("%s: not done, of %v", name, end.Done)
		}
	}
}

func TestSoakRefusesWhatItDoesNotKnow(t *testing.T) {
	for _, args := range [][]string{{"soak", "--for", "1s"}, {"soak", "--for", "-1h"}, {"soak", "everything"}} {
		if status, _, said := sttwall(args...); status != statusUsage || !strings.Contains(said, "Try 'sttwall soak --help'") {
			t.Errorf("%v: status %d, %s", args, status, said)
		}
	}
}

func TestARunOfASoakIsInItsDocument(t *testing.T) {
	text, err := os.ReadFile("../../docs/soak.md")
	if err != nil {
		t.Fatal(err)
	}
	_, run, _ := strings.Cut(string(text), "<!-- soak -->\n")
	run, _, ended := strings.Cut(run, "<!-- end of soak -->")
	for _, name := range []string{"resident memory", "heap", "open files", "goroutines", "accepted frames", "transfers", "denied packets", "disturbances"} {
		if !ended || !strings.Contains(run, "| "+name+" | ok | ") {
			t.Errorf("docs/soak.md has no run in which %s are as they should be: sttwall soak --for 2h --write docs/soak.md\n%s", name, run)
		}
	}
	long, _, _ := strings.Cut(run, " on ")
	if d, err := time.ParseDuration(long); err != nil || d < 2*time.Hour {
		t.Errorf("docs/soak.md has a run of %q, not of two hours: %v", long, err)
	}
	for name := range soak.Charts(nil, "") {
		if !strings.Contains(string(text), "(pictures/"+name+")") {
			t.Errorf("docs/soak.md does not show %s", name)
		}
		if _, err := os.Stat(filepath.Join("../../docs/pictures", name)); err != nil {
			t.Error(err)
		}
	}
}
