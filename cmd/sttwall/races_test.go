package main

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// watchRaces returns a variable for the environment of programs that a test starts, with
// which the race detector, if they have it, writes to files instead of ending them with
// its own status; the test fails by what is in them.
func watchRaces(t *testing.T) string {
	t.Helper()
	folder := t.TempDir()
	t.Cleanup(func() {
		files, err := filepath.Glob(filepath.Join(folder, "race.*"))
		if err != nil {
			t.Error(err)
		}
		for _, file := range files {
			text, err := os.ReadFile(file)
			if err != nil {
				t.Error(err)
			}
			for _, race := range races(string(text)) {
				t.Error(race)
			}
		}
	})
	return "GORACE=exitcode=0 log_path=" + filepath.Join(folder, "race")
}

// races returns those that a report of the race detector tells of.
func races(report string) (races []string) {
	for _, race := range strings.Split(report, "==================") {
		if strings.Contains(race, "DATA RACE") {
			races = append(races, race)
		}
	}
	return races
}

func TestARaceIsFoundInAReport(t *testing.T) {
	const line = "==================\n"
	report := line + "WARNING: DATA RACE\nRead at 0x1 by goroutine 7:\n  sttwall/tui.(*app).Update()\n" + line +
		line + "WARNING: DATA RACE\nRead at 0x1 by goroutine 7:\n  os.(*File).Fd()\n" + line + "Found 2 data race(s)\n"
	if got := races(report); len(got) != 2 || !strings.Contains(got[0], "Update") || !strings.Contains(got[1], "Fd") {
		t.Errorf("found %q, want two", got)
	}
	if got := races(""); len(got) > 0 {
		t.Errorf("%q is found in nothing", got)
	}
}
