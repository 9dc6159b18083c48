package replay_test

import (
	"bytes"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/gopacket"
	"github.com/google/gopacket/layers"

	"sttwall/capture"
	"sttwall/replay"
	"sttwall/stt"
)

// Nothing in the captures comes over IPv6, out of order or in a form that has
// to be encoded anew. Here such frames are made: the inside by gopacket, the
// outside by package stt; tshark judges what becomes of them.

var (
	path4 = stt.Path{
		Src: netip.MustParseAddr("10.47.1.1"), Dst: netip.MustParseAddr("10.47.2.1"),
		SrcPort: 40000, DstPort: stt.Port, TTL: 64, ID: 7, DontFragment: true,
	}
	path6 = stt.Path{
		Src: netip.MustParseAddr("2001:db8::1"), Dst: netip.MustParseAddr("2001:db8::2"),
		SrcPort: 40000, DstPort: stt.Port, TTL: 64, FlowLabel: 0x12345,
	}
)

// innerTCP has gopacket make an inner frame to port 80 with this much payload.
func innerTCP(t testing.TB, size int) []byte {
	t.Helper()
	return innerTCPTo(t, 80, size)
}

func innerTCPTo(t testing.TB, port layers.TCPPort, size int) []byte {
	t.Helper()
	payload := make([]byte, size)
	for i := range payload {
		payload[i] = byte(i * 7)
	}
	ip := &layers.IPv4{
		Version: 4, TTL: 64, Protocol: layers.IPProtocolTCP,
		SrcIP: []byte{192, 168, 100, 1}, DstIP: []byte{192, 168, 100, 2},
	}
	tcp := &layers.TCP{SrcPort: 40001, DstPort: port, Seq: 1, Ack: 1, ACK: true, PSH: true, Window: 1000}
	if err := tcp.SetNetworkLayerForChecksum(ip); err != nil {
		t.Fatal(err)
	}
	b := gopacket.NewSerializeBuffer()
	err := gopacket.SerializeLayers(b, gopacket.SerializeOptions{FixLengths: true, ComputeChecksums: true},
		&layers.Ethernet{SrcMAC: []byte{2, 1, 0, 0, 0, 1}, DstMAC: []byte{2, 2, 0, 0, 0, 1}, EthernetType: layers.EthernetTypeIPv4},
		ip, tcp, gopacket.Payload(payload))
	if err != nil {
		t.Fatal(err)
	}
	return bytes.Clone(b.Bytes())
}

// frame is an STT frame on its way: where, with which ID, and in which pieces.
type frame struct {
	path   stt.Path
	id     uint32
	header stt.FrameHeader
	inner  []byte
	cuts   []int // offsets at which segments begin, the first one 0
	order  []int // of the segments; nil: ascending
	sum    stt.ChecksumMode
	bend   func(packet []byte) // changes a finished packet
}

// packets encodes a frame.
func (f *frame) packets() [][]byte {
	whole := append(stt.AppendFrameHeader(nil, &f.header), f.inner...)
	cuts := append(slices.Clone(f.cuts), len(whole))
	var packets [][]byte
	path := f.path
	for i := range f.cuts {
		p := stt.AppendSegment(nil, &path, &stt.Piece{
			FrameID: f.id, FrameLength: len(whole), Offset: cuts[i],
			Payload: whole[cuts[i]:cuts[i+1]], Checksum: f.sum,
		})
		if f.bend != nil {
			f.bend(p)
			repair(p, f.path.HeaderLen()-stt.SegmentHeaderLen)
		}
		packets = append(packets, p)
		path.ID++
	}
	if f.order == nil {
		return packets
	}
	var ordered [][]byte
	for _, i := range f.order {
		ordered = append(ordered, packets[i])
	}
	return ordered
}

// repair makes the TCP checksum of a bent packet right again.
func repair(packet []byte, ipLen int) {
	var s stt.Segment
	segment := packet[ipLen:]
	segment[16], segment[17] = 0, 0
	s.Decode(packet, len(packet), []uint16{stt.Port})
	sum := stt.PseudoSum(s.Src, s.Dst, 6, len(segment))
	segment[16], segment[17] = byte(sum>>8), byte(sum)
	sum = stt.Checksum(segment)
	segment[16], segment[17] = byte(sum>>8), byte(sum)
}

// linkHeader returns one for IP packets of this family.
func linkHeader(link capture.LinkType, packet []byte) []byte {
	etherType := []byte{0x08, 0x00}
	if packet[0]>>4 == 6 {
		etherType = []byte{0x86, 0xdd}
	}
	switch link {
	case capture.LinkEthernet:
		return append([]byte{2, 0, 0, 0, 0, 2, 2, 0, 0, 0, 0, 1}, etherType...)
	case capture.LinkLinuxSLL:
		return append([]byte{0, 4, 0, 1, 0, 6, 2, 0, 0, 0, 0, 1, 0, 0}, etherType...)
	case capture.LinkLinuxSLL2:
		return append(etherType, 0, 0, 0, 0, 0, 2, 0, 1, 4, 6, 2, 0, 0, 0, 0, 1, 0, 0)
	case capture.LinkNull:
		return []byte{map[bool]byte{true: 30, false: 2}[packet[0]>>4 == 6], 0, 0, 0}
	}
	return nil
}

// records puts packets behind link headers, one microsecond apart.
func records(link capture.LinkType, packets ...[]byte) []capture.Record {
	var all []capture.Record
	for i, p := range packets {
		all = append(all, capture.Record{
			Time: start + int64(i)*1000, Link: link, Header: linkHeader(link, p), Packet: p,
		})
	}
	return all
}

// start is when captures made by hand begin, in ns.
const start = 1_795_433_121_000_000_000

// record writes packets into a capture on Ethernet and returns its path.
func record(t testing.TB, packets ...[]byte) string {
	t.Helper()
	return recordAll(t, records(capture.LinkEthernet, packets...)...)
}

func recordAll(t testing.TB, records ...capture.Record) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "in.pcapng")
	f, err := os.Create(path)
	if err != nil {
		t.Fatal(err)
	}
	w, err := capture.NewWriter(f, "test")
	if err != nil {
		t.Fatal(err)
	}
	for i := range records {
		if err := w.Write(&records[i]); err != nil {
			t.Fatal(err)
		}
	}
	if err := w.Flush(); err != nil {
		t.Fatal(err)
	}
	if err := f.Close(); err != nil {
		t.Fatal(err)
	}
	return path
}

func TestTsharkFindsFramesThatWereMadeByHand(t *testing.T) {
	small, large := innerTCP(t, 100), innerTCP(t, 4000)
	plain := stt.FrameHeader{ContextID: 0x0102030405060708}
	partial := bytes.Clone(large)
	sum, _ := pseudoSum(partial, 34)
	partial[50], partial[51] = byte(sum>>8), byte(sum)
	rules := acceptAll(t)
	var (
		all     []capture.Record
		want    []dissected
		packets int
	)
	for i, test := range []struct {
		name      string
		link      capture.LinkType
		frame     frame
		header    stt.FrameHeader // as it leaves
		packets   int             // that leave
		rewritten int
	}{
		{"IPv6 outside, in one packet", capture.LinkEthernet,
			frame{path: path6, inner: small, header: plain, cuts: []int{0}}, plain, 1, 0},
		{"IPv6 outside, segments out of order", capture.LinkEthernet,
			frame{path: path6, inner: large, header: plain, cuts: []int{0, 1000, 2000, 3000}, order: []int{2, 0, 3, 1}}, plain, 4, 0},
		{"IPv4 outside, segments in reverse", capture.LinkEthernet,
			frame{path: path4, inner: large, header: plain, cuts: []int{0, 1400, 2800}, order: []int{2, 1, 0}}, plain, 3, 0},
		{"IPv6 outside, one super-segment whose checksum is not finished", capture.LinkEthernet,
			frame{path: path6, inner: large, header: plain, cuts: []int{0}, sum: stt.ChecksumPartial}, plain, 1, 0},
		{"fields without a meaning are set", capture.LinkEthernet,
			frame{path: path4, inner: small, cuts: []int{0}, header: stt.FrameHeader{
				Flags: 0xf0 | stt.FlagIPv4 | stt.FlagTCP, L4Offset: 34, Reserved: 1, MSS: 1400, TCI: 42, ContextID: 100, Padding: 5,
			}}, stt.FrameHeader{TCI: 0x102a, ContextID: 100}, 1, 1},
		{"the same over IPv6, not finished", capture.LinkEthernet,
			frame{path: path6, inner: large, cuts: []int{0}, sum: stt.ChecksumPartial, header: stt.FrameHeader{
				Reserved: 1, TCI: 42, ContextID: 100, Padding: 5,
			}}, stt.FrameHeader{TCI: 0x102a, ContextID: 100}, 1, 1},
		{"a partial inner checksum, with a tag without V, in segments", capture.LinkEthernet,
			frame{path: path6, inner: partial, cuts: []int{0, 1448, 2896}, header: stt.FrameHeader{
				Flags: stt.FlagChecksumPartial | stt.FlagIPv4 | stt.FlagTCP, L4Offset: 34, MSS: 1400, TCI: 0xa02b, ContextID: 200,
			}}, stt.FrameHeader{Flags: 0x0e, L4Offset: 34, MSS: 1400, TCI: 0xb02b, ContextID: 200}, 3, 1},
		{"window, urgent pointer and reserved bits of the segment header", capture.LinkEthernet,
			frame{path: path4, inner: large, header: plain, cuts: []int{0, 2000}, bend: func(b []byte) {
				b[20+12] |= 0x02
				b[20+14], b[20+15], b[20+19] = 1, 2, 3
			}}, plain, 2, 1},
		{"a first segment that is too small", capture.LinkEthernet,
			frame{path: path4, inner: large, header: plain, cuts: []int{0, 20, 1500, 3000, 3500}}, plain, 3, 1},
		{"raw IP", capture.LinkRaw, frame{path: path4, inner: large, header: plain, cuts: []int{0, 2000}}, plain, 2, 0},
		{"raw IPv6, encoded anew", capture.LinkRaw, frame{path: path6, inner: small, cuts: []int{0},
			header: stt.FrameHeader{Padding: 1, ContextID: 9}}, stt.FrameHeader{ContextID: 9}, 1, 1},
		{"IPv4 alone", capture.LinkIPv4, frame{path: path4, inner: small, header: plain, cuts: []int{0}}, plain, 1, 0},
		{"IPv6 alone", capture.LinkIPv6, frame{path: path6, inner: small, header: plain, cuts: []int{0}}, plain, 1, 0},
		{"Linux cooked", capture.LinkLinuxSLL, frame{path: path4, inner: large, header: plain, cuts: []int{0, 2000}}, plain, 2, 0},
		{"Linux cooked v2 with IPv6", capture.LinkLinuxSLL2, frame{path: path6, inner: large, header: plain, cuts: []int{0, 2000}}, plain, 2, 0},
		{"loopback with IPv6", capture.LinkNull, frame{path: path6, inner: small, header: plain, cuts: []int{0}}, plain, 1, 0},
	} {
		test.frame.id = 0xcafe0000 + uint32(i)
		in := records(test.link, test.frame.packets()...)
		lines, summary := run(t, replay.Config{Policy: rules, Inputs: []string{recordAll(t, in...)}, Hash: true})
		if lines[0]["verdict"] != "accept" || summary.Left != test.packets || summary.Rewritten != test.rewritten {
			t.Errorf("%s: got %d packets out, %d frames encoded anew, %v; want %d and %d", test.name,
				summary.Left, summary.Rewritten, lines[0], test.packets, test.rewritten)
			continue
		}
		all = append(all, in...)
		packets += test.packets
		h := test.header
		want = append(want, dissected{
			Src: test.frame.path.Src.String(), Dst: test.frame.path.Dst.String(), SrcPort: 40000,
			FrameID: uint64(test.frame.id), FrameLength: uint64(len(test.frame.inner) + stt.FrameHeaderLen),
			Flags: uint64(h.Flags), L4Offset: uint64(h.L4Offset), MSS: uint64(h.MSS), TCI: uint64(h.TCI),
			ContextID: h.ContextID, Inner: lines[0]["inner_sha256"].(string),
		})
	}

	// All in one file, with an interface for each link type.
	left := filepath.Join(t.TempDir(), "left.pcapng")
	out, err := os.Create(left)
	if err != nil {
		t.Fatal(err)
	}
	run(t, replay.Config{Policy: rules, Inputs: []string{recordAll(t, all...)}, Write: out})
	if err := out.Close(); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(want, dissect(t, left)); diff != "" {
		t.Errorf("frames (-want +tshark):\n%s", diff)
	}
	checkOuterChecksums(t, left, packets)
}
