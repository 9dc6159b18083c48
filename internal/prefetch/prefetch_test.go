package prefetch

import (
	"testing"
	"unsafe"
)

// Whatever is asked for, nothing faults, changes or is allocated.
func TestToAskForMemoryDoesNothingElse(t *testing.T) {
	lines := make([]byte, 3*64)
	for i := range lines {
		lines[i] = byte(i)
	}
	allocs := testing.AllocsPerRun(10, func() {
		for i := range lines {
			Line(unsafe.Pointer(&lines[i]))
			TwoLines(unsafe.Pointer(&lines[i]))
			ThreeLines(unsafe.Pointer(&lines[i])) // behind the slice too
		}
		Line(nil)
		TwoLines(nil)
		ThreeLines(nil)
	})
	if allocs != 0 {
		t.Errorf("%v allocations", allocs)
	}
	for i, b := range lines {
		if b != byte(i) {
			t.Fatalf("byte %d is %d", i, b)
		}
	}
}
