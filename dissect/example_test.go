package dissect_test

import (
	"fmt"

	"sttwall/dissect"
)

func Example() {
	frame := &dissect.Frame{
		// The sender says that the TCP header is at byte 54.
		Header: []byte{0, 0x0e, 54, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 100, 0, 0},
		Data: []byte{
			2, 0, 0, 0, 0, 2, 2, 0, 0, 0, 0, 1, 8, 0,
			0x45, 0, 0, 40, 0, 1, 0, 0, 64, 6, 0x66, 0xcd, 10, 0, 0, 1, 10, 0, 0, 2,
			0x9c, 0x40, 1, 0xbb, 0, 0, 0, 1, 0, 0, 0, 0, 0x50, 2, 0xff, 0xff, 0x14, 0x1d, 0, 0,
		},
	}
	for _, layer := range dissect.Dissect(frame) {
		fmt.Printf("%s: %s\n", layer.Name, layer.Summary)
		for _, field := range layer.Fields {
			if field.Note != "" {
				fmt.Printf("  %s = %s (byte %d): %s\n", field.Name, field.Value, field.Offset, field.Note)
			}
		}
	}
	// Output:
	// STT frame header: context ID 0x64, checksum partial, IPv4, TCP
	//   L4 offset = 54 (byte 2): L4 offset says 54, the TCP header is at 34
	// Ethernet: 02:00:00:00:00:01 > 02:00:00:00:00:02
	// IPv4: 10.0.0.1 > 10.0.0.2, TTL 64
	// TCP: 40000 > 443, syn, seq 1
}
