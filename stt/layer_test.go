package stt

import (
	"bytes"
	"testing"

	"github.com/google/gopacket"
	"github.com/google/gopacket/layers"

	"sttwall/reason"
)

func innerFrame(t testing.TB) []byte {
	t.Helper()
	b := gopacket.NewSerializeBuffer()
	ip := &layers.IPv4{Version: 4, TTL: 64, Protocol: layers.IPProtocolUDP, SrcIP: []byte{10, 0, 0, 1}, DstIP: []byte{10, 0, 0, 2}}
	udp := &layers.UDP{SrcPort: 1000, DstPort: 2000}
	if err := udp.SetNetworkLayerForChecksum(ip); err != nil {
		t.Fatal(err)
	}
	err := gopacket.SerializeLayers(b, gopacket.SerializeOptions{FixLengths: true, ComputeChecksums: true},
		&layers.Ethernet{SrcMAC: []byte{2, 0, 0, 0, 0, 1}, DstMAC: []byte{2, 0, 0, 0, 0, 2}, EthernetType: layers.EthernetTypeIPv4},
		ip, udp, gopacket.Payload("hello"))
	if err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

func TestGopacketWritesWhatWeReadAndReadsWhatWeWrite(t *testing.T) {
	inner := innerFrame(t)
	layer := &Layer{
		SrcPort: 999, DstPort: Port, FrameID: 77, Flags: FlagACK | FlagPSH, Window: 65535,
		Whole: true, Frame: FrameHeader{ContextID: 100, TCI: 0x102a},
	}
	ip := &layers.IPv4{Version: 4, TTL: 64, Protocol: layers.IPProtocolTCP, SrcIP: []byte{192, 0, 2, 1}, DstIP: []byte{192, 0, 2, 2}}
	if err := layer.SetNetworkLayerForChecksum(ip); err != nil {
		t.Fatal(err)
	}
	buf := gopacket.NewSerializeBuffer()
	err := gopacket.SerializeLayers(buf, gopacket.SerializeOptions{FixLengths: true, ComputeChecksums: true}, ip, layer, gopacket.Payload(inner))
	if err != nil {
		t.Fatal(err)
	}
	var s Segment
	if r := s.Decode(buf.Bytes(), len(buf.Bytes()), ports); r != reason.None || !s.WholeFrame() || !s.ChecksumGood(buf.Bytes()) {
		t.Fatalf("decode: %v, %+v", r, s)
	}
	var h FrameHeader
	if !h.Decode(s.Payload) || h != layer.Frame || !bytes.Equal(s.Payload[FrameHeaderLen:], inner) {
		t.Errorf("frame header %+v", h)
	}

	packet := gopacket.NewPacket(buf.Bytes()[20:], LayerTypeSTT, gopacket.Default)
	if packet.ErrorLayer() != nil {
		t.Fatal(packet.ErrorLayer().Error())
	}
	got, ok := packet.Layer(LayerTypeSTT).(*Layer)
	if !ok || !got.Whole || got.Frame != layer.Frame || got.FrameID != 77 {
		t.Errorf("layer: %+v", got)
	}
	if udp, ok := packet.Layer(layers.LayerTypeUDP).(*layers.UDP); !ok || string(udp.Payload) != "hello" {
		t.Errorf("inner UDP not found in %v", packet)
	}
}

func TestAPartOfAFrameIsAFragmentToGopacket(t *testing.T) {
	b := onePacket(path4)[20:]
	packet := gopacket.NewPacket(b, LayerTypeSTT, gopacket.Default)
	got := packet.Layer(LayerTypeSTT).(*Layer)
	if got.Whole || got.Offset != 300 || len(got.LayerPayload()) != 100 || packet.Layer(gopacket.LayerTypeFragment) == nil {
		t.Errorf("layer %+v in %v", got, packet)
	}
}

func TestDecodingLayerParserTakesTheLayer(t *testing.T) {
	inner := innerFrame(t)
	frame := append(AppendFrameHeader(nil, &FrameHeader{ContextID: 5}), inner...)
	b := AppendSegment(nil, &path4, &Piece{FrameLength: len(frame), Payload: frame})[20:]
	var layer Layer
	var eth layers.Ethernet
	parser := gopacket.NewDecodingLayerParser(LayerTypeSTT)
	parser.SetDecodingLayerContainer(gopacket.DecodingLayerSparse(nil))
	parser.AddDecodingLayer(&layer)
	parser.AddDecodingLayer(&eth)
	parser.IgnoreUnsupported = true
	var decoded []gopacket.LayerType
	if err := parser.DecodeLayers(b, &decoded); err != nil || len(decoded) != 2 || layer.Frame.ContextID != 5 {
		t.Errorf("decoded %v, %v", decoded, err)
	}
}

// FuzzLayer holds that hostile bytes are an error at worst, and that what is
// decoded serializes to the same bytes.
func FuzzLayer(f *testing.F) {
	f.Add(onePacket(path4)[20:])
	f.Add([]byte{1, 2, 3})
	f.Fuzz(func(t *testing.T, b []byte) {
		var l Layer
		if err := l.DecodeFromBytes(b, gopacket.NilDecodeFeedback); err != nil {
			return
		}
		if b[12]>>4 != 5 {
			return // written as 5, whatever it was
		}
		buf := gopacket.NewSerializeBuffer()
		payload := gopacket.Payload(l.Payload)
		if err := gopacket.SerializeLayers(buf, gopacket.SerializeOptions{}, &l, payload); err != nil {
			t.Fatal(err)
		}
		if !bytes.Equal(buf.Bytes(), b) {
			t.Fatalf("got %x, want %x", buf.Bytes(), b)
		}
	})
}
