package inspect_test

import (
	"encoding/hex"
	"fmt"

	"sttwall/inspect"
	"sttwall/reason"
)

// A TCP SYN of a tenant on VLAN 42, as it comes out of a tunnel whose header
// says that the receiver has to finish the checksum.
func Example() {
	frame, _ := hex.DecodeString("020200000064" + "020100000064" + "0800" +
		"4500002800004000400600000a0100010a010002" +
		"9c4000500000000000000000500203e8141f0000")

	var f inspect.Frame
	if r := f.Decode(frame, len(frame), 0x102a, inspect.HasTag); r != reason.None {
		fmt.Println("drop:", r)
		return
	}
	fmt.Printf("VLAN %d: %v:%d > %v:%d, SYN %v\n", f.Tags[0]&0xfff, f.Src, f.SrcPort, f.Dst, f.DstPort,
		f.TCPFlags&inspect.SYN != 0)

	claim := inspect.Offload{Partial: true, IPv4: true, TCP: true, L4Offset: 34, MSSFloor: 536}
	fmt.Println("as claimed:", f.Verify(frame, len(frame), claim))

	// A lie: the receiver would write its checksum over the destination port.
	claim.L4Offset = 20
	fmt.Println("as claimed:", f.Verify(frame, len(frame), claim))

	// Output:
	// VLAN 42: 10.1.0.1:40000 > 10.1.0.2:80, SYN true
	// as claimed: none
	// as claimed: l4_offset_mismatch
}
