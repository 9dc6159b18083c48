package control

import (
	"testing"
	"time"
)

func TestProcessorTimeIsThatOfTheWork(t *testing.T) {
	done := make(chan struct{})
	waited := processorTime(func() {
		timer := time.AfterFunc(50*time.Millisecond, func() { close(done) })
		defer timer.Stop()
		<-done
	})
	var worked time.Duration
	n := 0
	for began := time.Now(); worked < 20*time.Millisecond; n++ { // however slow it is
		worked += processorTime(func() {
			for i := range 1_000_000 {
				n += i & 1
			}
		})
		if time.Since(began) > time.Minute {
			t.Fatalf("work takes %v", worked)
		}
	}
	if waited >= 50*time.Millisecond {
		t.Errorf("waiting takes %v of a processor", waited)
	}
}
