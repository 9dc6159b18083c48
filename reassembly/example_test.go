package reassembly_test

import (
	"fmt"
	"log"
	"net/netip"

	"sttwall/reassembly"
)

// printer says what became of packets that are dropped.
type printer struct{}

func (printer) Dropped(d *reassembly.Dropped) {
	for _, p := range d.Packets {
		fmt.Printf("packet %d dropped: %v\n", p.ID, d.Reason)
	}
}

func Example() {
	r, err := reassembly.New(reassembly.Config{Memory: 16 << 20}, printer{})
	if err != nil {
		log.Fatal(err)
	}
	frame := []byte("an 18-byte header, then an inner Ethernet frame")
	segment := func(id uint64, frameID uint32, from, to int) *reassembly.Segment {
		return &reassembly.Segment{
			Src: netip.MustParseAddr("192.0.2.1"), Dst: netip.MustParseAddr("192.0.2.2"),
			SrcPort: 49152, DstPort: 7471, FrameID: frameID,
			FrameLength: len(frame), Offset: from, Payload: frame[from:to],
			Packet: reassembly.Packet{ID: id},
		}
	}

	var now int64 // ns
	for _, s := range []*reassembly.Segment{
		segment(1, 100, 30, len(frame)),
		segment(2, 101, 0, 30),
		segment(3, 100, 0, 30),
		segment(4, 101, 20, 40), // overlaps packet 2
	} {
		now += 1000
		if f := r.Add(now, s); f != nil {
			fmt.Printf("frame %d: %q in packets", f.FrameID, f.Data)
			for _, p := range f.Packets {
				fmt.Print(" ", p.ID)
			}
			fmt.Println()
			f.Release()
		}
	}
	// Output:
	// frame 100: "an 18-byte header, then an inner Ethernet frame" in packets 3 1
	// packet 2 dropped: segment_overlap
	// packet 4 dropped: segment_overlap
}
