package main

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// knownRace is in the trace of a race that is not ours: when the live screen ends, Bubble
// Tea (v2.1.1, Program.shutdown) closes its reader of keys half a second after it was
// cancelled, whether it has noticed or not. The program is at its end then.
const knownRace = "github.com/muesli/cancelreader.(*epollCancelReader).Close()"

// watchRaces returns a variable for the environment of programs that a test starts, with
// which the race detector, if they have it, writes to files instead of ending them with
// its own status; the test fails by what is in them, but for what is known.
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
			for _, race := range unknownRaces(string(text)) {
				t.Error(race)
			}
		}
	})
	return "GORACE=exitcode=0 log_path=" + filepath.Join(folder, "race")
}

// unknownRaces returns those of a report of the race detector that must not be.
func unknownRaces(report string) (races []string) {
	for _, race := range strings.Split(report, "==================") {
		if strings.Contains(race, "DATA RACE") && !strings.Contains(race, knownRace) {
			races = append(races, race)
		}
	}
	return races
}

func TestARaceThatIsNotKnownIsFound(t *testing.T) {
	const (
		line  = "==================\n"
		ours  = line + "WARNING: DATA RACE\nRead at 0x1 by goroutine 7:\n  sttwall/tui.(*app).Update()\n" + line
		known = line + "WARNING: DATA RACE\nRead at 0x1 by goroutine 7:\n  os.(*File).Fd()\nPrevious write at 0x1 by main goroutine:\n  " + knownRace + "\n" + line
	)
	if got := unknownRaces(known + "Found 1 data race(s)\n"); len(got) > 0 {
		t.Errorf("%q is found", got)
	}
	if got := unknownRaces(known + ours + "Found 2 data race(s)\n"); len(got) != 1 || !strings.Contains(got[0], "Update") {
		t.Errorf("found %q, want the race of Update", got)
	}
}
