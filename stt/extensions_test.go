package stt

import (
	"bytes"
	"encoding/binary"
	"testing"

	"github.com/google/gopacket"
	"github.com/google/gopacket/layers"

	"sttwall/reason"
)

// chained returns an IPv6 packet to the STT port, or that of port, with these headers in
// front of what behind says.
func chained(port uint16, headers [][]byte, behind byte) []byte {
	b := onePacket(path6)
	binary.BigEndian.PutUint16(b[ipv6HeaderLen+2:], port)
	out := bytes.Clone(b[:ipv6HeaderLen])
	next := &out[6]
	for _, h := range headers {
		*next = h[0]
		at := len(out)
		out = append(out, h[1:]...)
		next = &out[at]
	}
	*next = behind
	out = append(out, b[ipv6HeaderLen:]...)
	binary.BigEndian.PutUint16(out[4:], uint16(len(out)-ipv6HeaderLen))
	return out
}

// Headers with their number in front.
func option(kind byte) []byte { return []byte{kind, 0, 0, 1, 4, 0, 0, 0, 0} }

func authentication() []byte { return append([]byte{51, 0, 4}, make([]byte, 22)...) } // 24 bytes: (4 + 2) words

func fragmentHeader(place uint16) []byte {
	return []byte{44, 0, 0, byte(place >> 8), byte(place), 0, 0, 0, 1}
}

func TestWhatHidesBehindExtensionHeaders(t *testing.T) {
	for _, c := range []struct {
		name    string
		port    uint16
		headers [][]byte
		behind  byte
		want    reason.Reason
	}{
		{"STT behind an authentication header, which counts in other units", Port, [][]byte{authentication()}, 6, reason.OuterOptions},
		{"STT behind all of them", Port, [][]byte{option(0), option(60), option(43), authentication(), option(135), option(139), option(140)}, 6, reason.OuterOptions},
		{"TCP to another port", 80, [][]byte{option(0), authentication()}, 6, reason.NotSTT},
		{"UDP to the number of the port", Port, [][]byte{option(0)}, 17, reason.NotSTT},
		{"a fragment behind an option", Port, [][]byte{option(60), fragmentHeader(1)}, 6, reason.OuterFragment},
		{"an atomic fragment", Port, [][]byte{fragmentHeader(0)}, 6, reason.OuterFragment},
		{"a first fragment that hides its protocol", Port, [][]byte{fragmentHeader(1), option(60)}, 6, reason.OuterFragment},
		{"a first fragment that hides it behind a second fragment header", Port, [][]byte{fragmentHeader(1), fragmentHeader(1)}, 6, reason.OuterFragment},
		{"a first fragment of UDP", Port, [][]byte{fragmentHeader(1)}, 17, reason.NotSTT},
		{"a later fragment, of whatever", Port, [][]byte{fragmentHeader(8)}, 17, reason.OuterFragment},
	} {
		t.Run(c.name, func(t *testing.T) {
			b := chained(c.port, c.headers, c.behind)
			var s Segment
			if got := s.Decode(b, len(b), ports); got != c.want {
				t.Fatalf("got %v, want %v", got, c.want)
			}
			// Cut anywhere it is never taken, nor for something else: a copy that is
			// too short may have the rest, a packet that ends there is refused.
			chain := len(b) - len(onePacket(path6)) + ipv6HeaderLen
			for n := ipv6HeaderLen; n < chain; n++ {
				if got := s.Decode(b[:n], len(b), ports); got != reason.CopyTooShort && got != c.want {
					t.Errorf("copy of %d bytes: got %v", n, got)
				}
				if got := s.Decode(b[:n], n, ports); got == reason.None || got == reason.NotSTT && c.want != reason.NotSTT || got == reason.CopyTooShort {
					t.Errorf("%d bytes in all: got %v", n, got)
				}
			}
		})
	}
}

func TestAPacketThatEndsBeforeThePortBehindExtensionHeadersIsRefused(t *testing.T) {
	b := chained(Port, [][]byte{option(60)}, 6)
	for n := range 4 {
		n += ipv6HeaderLen + 8
		var s Segment
		if got := s.Decode(b[:n], n, ports); got != reason.OuterOptions {
			t.Errorf("%d bytes in all: got %v, want %v", n, got, reason.OuterOptions)
		}
	}
}

func TestAnOuterAddressSaysItsDSCPAndCongestion(t *testing.T) {
	for tos, want := range map[uint8]bool{0xb8: false, 0xbb: true, 0x03: true, 0x02: false} {
		if o := (Outer{TOS: tos}); o.CongestionExperienced() != want || o.DSCP() != tos>>2 {
			t.Errorf("TOS %#x: DSCP %d, congestion experienced %v", tos, o.DSCP(), o.CongestionExperienced())
		}
	}
}

func TestTheLayerRefusesWhatItCannotWrite(t *testing.T) {
	large := gopacket.NewSerializeBuffer()
	if _, err := large.PrependBytes(MaxFrameLen - FrameHeaderLen + 1); err != nil {
		t.Fatal(err)
	}
	if err := (&Layer{Whole: true}).SerializeTo(large, gopacket.SerializeOptions{FixLengths: true}); err == nil {
		t.Error("a frame of 65,536 bytes: no error")
	}
	if err := (&Layer{}).SerializeTo(gopacket.NewSerializeBuffer(), gopacket.SerializeOptions{ComputeChecksums: true}); err == nil {
		t.Error("a checksum without addresses: no error")
	}
	if err := new(Layer).SetNetworkLayerForChecksum(new(layers.IPv4)); err == nil {
		t.Error("addresses of no bytes: no error")
	}
	packet := gopacket.NewPacket(make([]byte, SegmentHeaderLen-1), LayerTypeSTT, gopacket.Default)
	if packet.ErrorLayer() == nil || !packet.Metadata().Truncated {
		t.Errorf("half a header: %v", packet)
	}
}
