package nfq

import (
	"slices"
	"strings"
	"testing"
)

func TestWorkersAreOnTheProcessorsThatWereChosen(t *testing.T) {
	all, err := workerCPUs(nil)
	if err != nil || len(all) == 0 {
		t.Fatalf("got %v, %v, want at least one", all, err)
	}
	last := int(all[len(all)-1]) - 1
	got, err := workerCPUs([]int{last, int(all[0]) - 1})
	if want := []Affinity{CPU(last), all[0]}; err != nil || !slices.Equal(got, want) {
		t.Errorf("got %v, %v, want %v", got, err, want)
	}
	for _, n := range []int{-1, 1023} {
		if got, err := workerCPUs([]int{last, n}); err == nil || !strings.Contains(err.Error(), "may run on") {
			t.Errorf("processor %d: got %v, %v", n, got, err)
		}
	}
}
