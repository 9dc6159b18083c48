package tui

import "testing"

func TestFlowsAtThreeSizes(t *testing.T) {
	for _, size := range sizes {
		t.Run(size.name, func(t *testing.T) {
			d := drive(t, newFake(), size.width, size.height)
			d.press("2")
			d.tick()
			d.golden("flows-" + size.name)
			d.press("j", "enter")
			d.tick()
			d.golden("flow-" + size.name)
		})
	}
}
