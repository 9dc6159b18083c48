package stt

import (
	"encoding/binary"
	"errors"
	"fmt"
	"net/netip"

	"github.com/google/gopacket"
)

// ethernetLayer is layers.LayerTypeEthernet by its number. Whoever imports gopacket/layers
// pays 7 MB for its tables when the program starts, the firewall too.
const ethernetLayer gopacket.LayerType = 17

// LayerTypeSTT is the gopacket layer type of an STT segment: its TCP-like
// header and, where the packet carries a whole frame, the frame header.
//
// gopacket knows TCP port numbers only through a process-wide map that
// matches source ports too, so nothing is registered there: a program hands
// the payload of the IP layer to this type when the destination port says so.
//
//	stt := gopacket.NewPacket(ip.LayerPayload(), stt.LayerTypeSTT, gopacket.Default)
var LayerTypeSTT = gopacket.RegisterLayerType(1471, gopacket.LayerTypeMetadata{
	Name: "STT", Decoder: gopacket.DecodeFunc(decodeLayer),
})

// Layer is STT as gopacket sees it. It implements [gopacket.Layer],
// [gopacket.DecodingLayer] and [gopacket.SerializableLayer].
//
// The payload is the inner Ethernet frame where the packet carries a whole
// STT frame, else this segment's part of the frame. A program that wants the former
// decoded too imports gopacket/layers.
type Layer struct {
	// Contents are the headers, Payload what is behind them.
	Contents, Payload []byte

	// The segment header; see [Segment].
	SrcPort, DstPort         uint16
	FrameLength, Offset      uint16
	FrameID                  uint32
	Flags, Reserved          uint8
	Window, Checksum, Urgent uint16

	// Whole: the packet carries a whole frame, and Frame is valid.
	Whole bool
	// Frame is the frame header.
	Frame FrameHeader

	src, dst netip.Addr
}

var errNoNetworkLayer = errors.New("stt: checksum wanted, but SetNetworkLayerForChecksum was not called")

// LayerType returns [LayerTypeSTT].
func (l *Layer) LayerType() gopacket.LayerType { return LayerTypeSTT }

// CanDecode returns [LayerTypeSTT].
func (l *Layer) CanDecode() gopacket.LayerClass { return LayerTypeSTT }

// LayerContents returns l.Contents.
func (l *Layer) LayerContents() []byte { return l.Contents }

// LayerPayload returns l.Payload.
func (l *Layer) LayerPayload() []byte { return l.Payload }

// NextLayerType returns Ethernet behind a whole frame, else a fragment.
func (l *Layer) NextLayerType() gopacket.LayerType {
	if l.Whole {
		return ethernetLayer
	}
	return gopacket.LayerTypeFragment
}

// DecodeFromBytes reads a segment that starts with its segment header. It
// resets all of l; Contents and Payload alias data. Headers are read as they
// stand, without judging them: use [Segment.Decode] to judge.
func (l *Layer) DecodeFromBytes(data []byte, df gopacket.DecodeFeedback) error {
	*l = Layer{}
	if len(data) < SegmentHeaderLen {
		df.SetTruncated()
		return fmt.Errorf("stt segment of %d bytes: shorter than its header of %d", len(data), SegmentHeaderLen)
	}
	l.SrcPort = binary.BigEndian.Uint16(data)
	l.DstPort = binary.BigEndian.Uint16(data[2:])
	l.FrameLength = binary.BigEndian.Uint16(data[4:])
	l.Offset = binary.BigEndian.Uint16(data[6:])
	l.FrameID = binary.BigEndian.Uint32(data[8:])
	l.Reserved, l.Flags = data[12]&0x0f, data[13]
	l.Window = binary.BigEndian.Uint16(data[14:])
	l.Checksum = binary.BigEndian.Uint16(data[16:])
	l.Urgent = binary.BigEndian.Uint16(data[18:])

	header := SegmentHeaderLen
	rest := data[SegmentHeaderLen:]
	if l.Offset == 0 && len(rest) == int(l.FrameLength) && l.Frame.Decode(rest) {
		l.Whole = true
		header += FrameHeaderLen
	}
	l.Contents, l.Payload = data[:header], data[header:]
	return nil
}

// SetNetworkLayerForChecksum takes the addresses for the TCP checksum from
// an IPv4 or IPv6 layer.
func (l *Layer) SetNetworkLayerForChecksum(network gopacket.NetworkLayer) error {
	flow := network.NetworkFlow()
	src, ok1 := netip.AddrFromSlice(flow.Src().Raw())
	dst, ok2 := netip.AddrFromSlice(flow.Dst().Raw())
	if !ok1 || !ok2 {
		return fmt.Errorf("stt checksum: no IP addresses in a %s layer", network.LayerType())
	}
	l.src, l.dst = src, dst
	return nil
}

// SerializeTo prepends the headers to what is in b: to the inner Ethernet
// frame if Whole, else to a part of a frame. With FixLengths the frame length
// of a whole frame is set; with ComputeChecksums the TCP checksum.
func (l *Layer) SerializeTo(b gopacket.SerializeBuffer, opts gopacket.SerializeOptions) error {
	if l.Whole {
		if opts.FixLengths {
			total := len(b.Bytes()) + FrameHeaderLen
			if total > MaxFrameLen {
				return fmt.Errorf("stt frame of %d bytes: longer than %d", total, MaxFrameLen)
			}
			l.FrameLength, l.Offset = uint16(total), 0
		}
		header, err := b.PrependBytes(FrameHeaderLen)
		if err != nil {
			return err
		}
		AppendFrameHeader(header[:0], &l.Frame)
	}
	h, err := b.PrependBytes(SegmentHeaderLen)
	if err != nil {
		return err
	}
	binary.BigEndian.PutUint16(h, l.SrcPort)
	binary.BigEndian.PutUint16(h[2:], l.DstPort)
	binary.BigEndian.PutUint16(h[4:], l.FrameLength)
	binary.BigEndian.PutUint16(h[6:], l.Offset)
	binary.BigEndian.PutUint32(h[8:], l.FrameID)
	h[12], h[13] = SegmentHeaderLen/4<<4|l.Reserved&0x0f, l.Flags
	binary.BigEndian.PutUint16(h[14:], l.Window)
	binary.BigEndian.PutUint16(h[18:], l.Urgent)
	if opts.ComputeChecksums {
		if !l.src.IsValid() {
			return errNoNetworkLayer
		}
		binary.BigEndian.PutUint16(h[16:], 0)
		l.Checksum = transportChecksum(l.src, l.dst, b.Bytes())
	}
	binary.BigEndian.PutUint16(h[16:], l.Checksum)
	return nil
}

func decodeLayer(data []byte, p gopacket.PacketBuilder) error {
	l := new(Layer)
	if err := l.DecodeFromBytes(data, p); err != nil {
		return err
	}
	p.AddLayer(l)
	return p.NextDecoder(l.NextLayerType())
}
