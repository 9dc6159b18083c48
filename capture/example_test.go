package capture_test

import (
	"fmt"
	"io"

	"sttwall/capture"
)

// Read a capture packet by packet. A damaged file gives its packets up to the
// damage, and then an error that names it.
func ExampleReader() {
	r, err := capture.Open("testdata/editcap-ethernet.pcapng", nil)
	if err != nil {
		fmt.Println(err)
		return
	}
	defer r.Close()
	var p capture.Packet
	for {
		err := r.Next(&p)
		if err == io.EOF {
			break
		}
		if err != nil {
			fmt.Println(err)
			return
		}
		fmt.Printf("packet %d: %v, %d bytes of link header, tags %v, %d bytes of IP\n",
			p.Number, p.Link, p.HeaderLen, p.Tags, p.IPLength())
	}
	// Output:
	// packet 1: ETHERNET, 18 bytes of link header, tags [0], 128 bytes of IP
	// packet 2: ETHERNET, 14 bytes of link header, tags [], 1500 bytes of IP
}
