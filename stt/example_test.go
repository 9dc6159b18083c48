package stt_test

import (
	"fmt"
	"net/netip"

	"github.com/google/gopacket"
	"github.com/google/gopacket/layers"

	"sttwall/stt"
)

func packet() []byte {
	inner := []byte("\x02\x00\x00\x00\x00\x02\x02\x00\x00\x00\x00\x01\x88\xb5hello")
	frame := stt.AppendFrameHeader(nil, &stt.FrameHeader{ContextID: 100})
	frame = append(frame, inner...)
	path := stt.Path{
		Src: netip.MustParseAddr("192.0.2.1"), Dst: netip.MustParseAddr("192.0.2.2"),
		SrcPort: 40000, DstPort: stt.Port, TTL: 64, DontFragment: true,
	}
	return stt.AppendSegment(nil, &path, &stt.Piece{FrameID: 1, FrameLength: len(frame), Payload: frame})
}

// A packet is decoded into a value that can be used again.
func ExampleSegment_Decode() {
	var segment stt.Segment
	var header stt.FrameHeader

	b := packet()
	if r := segment.Decode(b, len(b), []uint16{stt.Port}); r != 0 {
		fmt.Println("refused:", r)
		return
	}
	if segment.WholeFrame() && header.Decode(segment.Payload) {
		fmt.Printf("%v > %v frame %d of %d bytes, context %d\n",
			segment.Src, segment.Dst, segment.FrameID, segment.FrameLength, header.ContextID)
	}
	// Output: 192.0.2.1 > 192.0.2.2 frame 1 of 37 bytes, context 100
}

// Any gopacket program can decode STT: it hands the IP payload to the layer.
func ExampleLayer() {
	outer := gopacket.NewPacket(packet(), layers.LayerTypeIPv4, gopacket.Default)
	tunnel := gopacket.NewPacket(outer.NetworkLayer().LayerPayload(), stt.LayerTypeSTT, gopacket.Default)

	layer := tunnel.Layer(stt.LayerTypeSTT).(*stt.Layer)
	ethernet := tunnel.Layer(layers.LayerTypeEthernet).(*layers.Ethernet)
	fmt.Printf("context %d: %v > %v\n", layer.Frame.ContextID, ethernet.SrcMAC, ethernet.DstMAC)
	// Output: context 100: 02:00:00:00:00:01 > 02:00:00:00:00:02
}
