package main

import (
	"fmt"
	"net/netip"

	"github.com/google/gopacket"
	gplayers "github.com/google/gopacket/layers"

	"sttwall/reason"
	"sttwall/stt"
)

var sttPorts = []uint16{stt.Port}

// outerPackets are packets that carry a whole frame each.
func outerPackets() map[string][]byte {
	frame := func(size int) []byte {
		f := stt.AppendFrameHeader(nil, &stt.FrameHeader{ContextID: 1})
		return append(f, tcpFrame4.bytes(size-len(f))...)
	}
	path4 := stt.Path{Src: netip.MustParseAddr("192.0.2.1"), Dst: netip.MustParseAddr("192.0.2.2"), SrcPort: 51234, DstPort: stt.Port, TTL: 64}
	path6 := path4
	path6.Src, path6.Dst = netip.MustParseAddr("2001:db8::1"), netip.MustParseAddr("2001:db8::2")
	out := make(map[string][]byte)
	for _, size := range []int{150, 1500} {
		for name, p := range map[string]*stt.Path{"ipv4": &path4, "ipv6": &path6} {
			f := frame(size - p.HeaderLen())
			out[fmt.Sprintf("%s/packet=%d", name, size)] = stt.AppendSegment(nil, p, &stt.Piece{FrameID: 1, FrameLength: len(f), Payload: f})
		}
	}
	return out
}

// decodeContests: the outer headers of a packet. gopacket takes the IP header and
// the TCP header that STT looks like; the frame header it does not know. sttwall
// reads that too, and checks all that one packet shows by itself, the checksum of
// the IP header included.
func decodeContests(*place) ([]*contest, error) {
	var out []*contest
	packets := outerPackets()
	for _, job := range sortedKeys(packets) {
		packet := packets[job]
		out = append(out, &contest{job: job, units: 1, contestants: []contestant{
			{variant: ours, run: func(n int) error {
				var s stt.Segment
				var h stt.FrameHeader
				for range n {
					if s.Decode(packet, len(packet), sttPorts) != reason.None || !h.Decode(s.Payload) {
						return errRefused
					}
				}
				return nil
			}},
			{variant: "gopacket", run: func(n int) error {
				var d gopacketOuter
				for range n {
					if err := d.decode(packet); err != nil {
						return err
					}
				}
				return nil
			}},
		}})
	}
	return out, nil
}

// gopacketOuter has the layers that gopacket decodes into.
type gopacketOuter struct {
	ip4 gplayers.IPv4
	ip6 gplayers.IPv6
	tcp gplayers.TCP
}

// decode needs the recover: a TCP option that is cut off panics in this version.
func (d *gopacketOuter) decode(packet []byte) (err error) {
	defer func() {
		if r := recover(); r != nil {
			err = fmt.Errorf("panic: %v", r)
		}
	}()
	payload := packet
	if packet[0]>>4 == 4 {
		if err := d.ip4.DecodeFromBytes(packet, gopacket.NilDecodeFeedback); err != nil {
			return err
		}
		payload = d.ip4.Payload
	} else {
		if err := d.ip6.DecodeFromBytes(packet, gopacket.NilDecodeFeedback); err != nil {
			return err
		}
		payload = d.ip6.Payload
	}
	return d.tcp.DecodeFromBytes(payload, gopacket.NilDecodeFeedback)
}
