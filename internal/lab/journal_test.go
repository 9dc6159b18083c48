package lab

import (
	"context"
	"errors"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestWaitSeesWhatWasThereAndWhatComes(t *testing.T) {
	var j journal[int]
	j.add(1, 1)
	if got, err := j.wait(t.Context(), "1", func(n int) bool { return n == 1 }); got != 1 || err != nil {
		t.Errorf("got %d, %v", got, err)
	}
	waiting := make(chan struct{})
	go func() {
		<-waiting
		for n := range 100 {
			j.add(n, 1)
		}
	}()
	first := true
	got, err := j.wait(t.Context(), "99", func(n int) bool {
		if first {
			first = false
			close(waiting)
		}
		return n == 99
	})
	if got != 99 || err != nil {
		t.Errorf("got %d, %v", got, err)
	}
}

func TestWaitEndsWithItsContext(t *testing.T) {
	var j journal[int]
	ctx, cancel := context.WithCancelCause(t.Context())
	why := errors.New("why")
	cancel(why)
	if _, err := j.wait(ctx, "nothing", func(int) bool { return true }); !errors.Is(err, why) {
		t.Errorf("got %v, want %v", err, why)
	}
}

func TestAFullJournalKeepsWhatItHasAndCountsTheRest(t *testing.T) {
	j := journal[string]{bound: 10}
	for _, s := range []string{"four", "fours", "more", "1"} {
		j.add(s, len(s))
	}
	if diff := cmp.Diff([]string{"four", "fours", "1"}, j.all()); diff != "" {
		t.Error(diff)
	}
	if j.lost != 1 {
		t.Errorf("lost %d, want 1", j.lost)
	}
}
