package tap_test

import (
	"fmt"
	"log"

	"sttwall/firewall"
	"sttwall/tap"
)

func ExampleTaps() {
	var taps tap.Taps // its Observe is a firewall.Config.Observer
	drops, err := taps.Open(tap.Config{Snap: 64, Wants: func(e *firewall.FrameEvent) bool { return e.Verdict == firewall.Drop }})
	if err != nil {
		log.Fatal(err)
	}
	defer drops.Close()
	taps.Observe(&firewall.FrameEvent{FrameID: 1, HasHeader: true, Verdict: firewall.Accept})
	taps.Observe(&firewall.FrameEvent{FrameID: 2, HasHeader: true, InnerData: make([]byte, 100)})

	var f tap.Frame
	for drops.Take(&f) {
		fmt.Printf("frame %d: %d bytes of %d\n", f.Event.FrameID, len(f.Data), f.Length)
	}
	fmt.Println("lost:", drops.Lost())
	// Output:
	// frame 2: 64 bytes of 100
	// lost: 0
}
