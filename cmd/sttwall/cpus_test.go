package main

import (
	"runtime"
	"slices"
	"strings"
	"testing"
)

func TestAListOfProcessorsIsReadAsTasksetReadsIt(t *testing.T) {
	for text, want := range map[string][]int{
		"": nil, "0": {0}, "3,1": {3, 1}, "2,4-7": {2, 4, 5, 6, 7}, " 1 , 5-5 ": {1, 5}, "1023": {1023},
	} {
		if got, err := cpuList(text); err != nil || !slices.Equal(got, want) {
			t.Errorf("%q: got %v, %v, want %v", text, got, err, want)
		}
	}
	for _, text := range []string{",", "1,", "a", "-1", "3-1", "1-", "1,1", "0-3,2", "1024", "0-65535", "1.5", "0x1"} {
		if got, err := cpuList(text); err == nil {
			t.Errorf("%q: got %v, want an error", text, got)
		}
	}
}

func TestAProcessorThatIsNotThereIsRefusedBeforeAnythingIsTouched(t *testing.T) {
	rules := rulesFile(t, "settings {\n  endpoints = [\"any\"]\n}\n")
	status, _, errs := sttwall("run", "--rules", rules, "--control", "", "--state", "", "--cpus", "one")
	if status != 2 || !strings.Contains(errs, "--cpus one: want numbers") {
		t.Errorf("a word: got %d, %q", status, errs)
	}
	status, _, errs = sttwall("run", "--rules", rules, "--control", "", "--state", "", "--no-nft", "--cpus", "1023")
	if status != 1 || !strings.Contains(errs, "processor 1023: this process may run on") {
		t.Errorf("one that is not there: got %d, %q", status, errs)
	}
}

// Each worker has room beside all others, unless the environment says otherwise.
func TestWorkersHaveRoomOfTheirOwn(t *testing.T) {
	t.Setenv("GOMAXPROCS", "")
	before := runtime.GOMAXPROCS(0)
	undo := roomForWorkers(3)
	if got := runtime.GOMAXPROCS(0); got != before+3 {
		t.Errorf("got %d, want %d", got, before+3)
	}
	undo()
	if got := runtime.GOMAXPROCS(0); got != before {
		t.Errorf("afterwards: got %d, want %d", got, before)
	}
	t.Setenv("GOMAXPROCS", "1")
	defer roomForWorkers(3)()
	if got := runtime.GOMAXPROCS(0); got != before {
		t.Errorf("with GOMAXPROCS set: got %d, want %d", got, before)
	}
}
