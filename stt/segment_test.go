package stt

import (
	"bytes"
	"encoding/binary"
	"math/rand/v2"
	"net/netip"
	"strconv"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	"github.com/google/gopacket"
	"github.com/google/gopacket/layers"

	"sttwall/internal/checksum"
	"sttwall/reason"
)

var (
	ports = []uint16{Port}
	path4 = Path{
		Src: netip.MustParseAddr("192.0.2.1"), Dst: netip.MustParseAddr("192.0.2.2"),
		SrcPort: 40000, DstPort: Port, TTL: 64, TOS: 0x2a, ID: 0xbeef, DontFragment: true,
	}
	path6 = Path{
		Src: netip.MustParseAddr("2001:db8::1"), Dst: netip.MustParseAddr("2001:db8::2"),
		SrcPort: 0, DstPort: Port, TTL: 63, TOS: 0xb8, FlowLabel: 0xabcde,
	}
)

// onePacket returns a segment with 100 bytes of payload in the middle of a frame.
func onePacket(p Path) []byte {
	return AppendSegment(nil, &p, &Piece{
		FrameID: 0x01020304, FrameLength: 1000, Offset: 300, Payload: bytes.Repeat([]byte{0x5a}, 100),
	})
}

// edited returns a canonical packet with changes made to it.
func edited(p Path, edit func(b []byte) []byte) []byte {
	b := edit(onePacket(p))
	if p.Src.Is4() && len(b) >= ipv4HeaderLen && b[0] == 0x45 {
		binary.BigEndian.PutUint16(b[10:], 0)
		binary.BigEndian.PutUint16(b[10:], Checksum(b[:ipv4HeaderLen]))
	}
	return b
}

func TestDecodeSaysWhyAPacketIsRefused(t *testing.T) {
	set := func(at int, v ...byte) func([]byte) []byte {
		return func(b []byte) []byte { copy(b[at:], v); return b }
	}
	// An extension header of the given type in front of what was there.
	extend := func(kind byte) func([]byte) []byte {
		return func(b []byte) []byte {
			ext := []byte{b[6], 0, 1, 4, 0, 0, 0, 0}
			if kind == 44 {
				ext = []byte{b[6], 0, 0, 0, 0, 0, 0, 1}
			}
			b[6] = kind
			out := append(bytes.Clone(b[:40]), append(ext, b[40:]...)...)
			binary.BigEndian.PutUint16(out[4:], uint16(len(out)-40))
			return out
		}
	}
	options := func(b []byte) []byte {
		out := append(bytes.Clone(b[:20]), append([]byte{1, 1, 1, 0}, b[20:]...)...)
		out[0] = 0x46
		binary.BigEndian.PutUint16(out[2:], uint16(len(out)))
		binary.BigEndian.PutUint16(out[10:], 0)
		binary.BigEndian.PutUint16(out[10:], Checksum(out[:24]))
		return out
	}
	cut := func(n int) func([]byte) []byte { return func(b []byte) []byte { return b[:n] } }
	tests := []struct {
		name string
		path Path
		edit func([]byte) []byte
		want reason.Reason
	}{
		{"a canonical IPv4 segment is taken", path4, set(0), reason.None},
		{"a canonical IPv6 segment is taken", path6, set(0), reason.None},
		{"no PSH and no ACK are taken, to be normalised", path4, set(33, 0), reason.None},
		{"another port is not STT", path4, set(22, 0, 80), reason.NotSTT},
		{"the source port does not make it STT", path4, set(20, Port>>8, Port&0xff, 0, 80), reason.NotSTT},
		{"UDP is not STT", path4, set(9, 17), reason.NotSTT},
		{"ICMPv6 is not STT", path6, set(6, 58), reason.NotSTT},
		{"IP version 5 is not STT", path4, set(0, 0x55), reason.NotSTT},
		{"an empty packet is malformed", path4, cut(0), reason.OuterMalformed},
		{"a cut IPv4 header is malformed", path4, cut(19), reason.OuterMalformed},
		{"a cut IPv6 header is malformed", path6, cut(39), reason.OuterMalformed},
		{"an IHL below 5 is malformed", path4, set(0, 0x44), reason.OuterMalformed},
		{"a total length past the end is malformed", path4, set(2, 0xff, 0xff), reason.OuterMalformed},
		{"a total length inside the header is malformed", path4, set(2, 0, 19), reason.OuterMalformed},
		{"an IPv6 length past the end is malformed", path6, set(4, 0xff, 0xff), reason.OuterMalformed},
		{"a jumbogram is malformed", path6, set(4, 0, 0), reason.OuterMalformed},
		{"IPv4 options are refused", path4, options, reason.OuterOptions},
		{"a hop-by-hop header is refused", path6, extend(0), reason.OuterOptions},
		{"a routing header is refused", path6, extend(43), reason.OuterOptions},
		{"a destination options header is refused", path6, extend(60), reason.OuterOptions},
		{"a first fragment is refused", path4, set(6, 0x20), reason.OuterFragment},
		{"a later fragment is refused whatever it holds", path4, set(6, 0x00, 0x10), reason.OuterFragment},
		{"an IPv6 fragment is refused", path6, extend(44), reason.OuterFragment},
		{"a packet that ends in the segment header is malformed", path4, func(b []byte) []byte {
			binary.BigEndian.PutUint16(b[2:], 39)
			return b[:39]
		}, reason.SegmentMalformed},
		{"a packet that ends before the port is malformed", path4, func(b []byte) []byte {
			binary.BigEndian.PutUint16(b[2:], 22)
			return b[:22]
		}, reason.SegmentMalformed},
		{"a data offset of 6 is malformed", path4, set(32, 0x60), reason.SegmentMalformed},
		{"a data offset of 4 is malformed", path4, set(32, 0x40), reason.SegmentMalformed},
		{"FIN is refused", path4, set(33, FlagACK|FlagFIN), reason.SegmentFlags},
		{"SYN is refused", path4, set(33, FlagSYN), reason.SegmentFlags},
		{"RST is refused", path6, set(53, FlagRST), reason.SegmentFlags},
		{"URG is refused", path4, set(33, FlagACK|FlagURG), reason.SegmentFlags},
		{"ECE is refused", path4, set(33, FlagACK|FlagECE), reason.SegmentFlags},
		{"CWR is refused", path4, set(33, FlagACK|FlagCWR), reason.SegmentFlags},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			b := edited(tt.path, tt.edit)
			var s Segment
			if got := s.Decode(b, len(b), ports); got != tt.want {
				t.Errorf("got %v, want %v", got, tt.want)
			}
		})
	}
}

func TestDecodeRefusesAWrongIPv4HeaderChecksum(t *testing.T) {
	b := onePacket(path4)
	b[8]--
	var s Segment
	if got := s.Decode(b, len(b), ports); got != reason.OuterIPChecksum {
		t.Errorf("got %v, want %v", got, reason.OuterIPChecksum)
	}
}

func TestDecodeFindsSTTBehindAnyPrefixOfExtensionHeadersOrRefuses(t *testing.T) {
	// A chain longer than the walk is refused, not taken for something else.
	b := onePacket(path6)
	out := bytes.Clone(b[:40])
	out[6] = 60
	for range 2 * maxExtensions {
		out = append(out, 60, 0, 1, 4, 0, 0, 0, 0)
	}
	out = append(out, b[40:]...)
	binary.BigEndian.PutUint16(out[4:], uint16(len(out)-40))
	var s Segment
	if got := s.Decode(out, len(out), ports); got != reason.OuterOptions {
		t.Errorf("got %v, want %v", got, reason.OuterOptions)
	}
}

func TestAShortCopyIsToldFromAShortPacket(t *testing.T) {
	for _, p := range []Path{path4, path6} {
		b := onePacket(p)
		headers := p.HeaderLen()
		for n := range len(b) {
			var s Segment
			got := s.Decode(b[:n], len(b), ports)
			want := reason.CopyTooShort
			if n >= headers {
				want = reason.None
			}
			if got != want {
				t.Errorf("%v, copy of %d bytes: got %v, want %v", p.Src, n, got, want)
			}
			if got == reason.None && (s.Whole() || s.PayloadLen != 100 || len(s.Payload) != n-headers) {
				t.Errorf("copy of %d bytes: whole %v, payload %d of %d", n, s.Whole(), len(s.Payload), s.PayloadLen)
			}
			if s.ChecksumGood(b[:n]) {
				t.Errorf("copy of %d bytes: checksum called good", n)
			}
		}
	}
}

func TestLinkPaddingIsNoPayload(t *testing.T) {
	b := append(onePacket(path4), 0, 0, 0, 0)
	var s Segment
	if got := s.Decode(b, len(b), ports); got != reason.None || s.PayloadLen != 100 || !s.Whole() || !s.ChecksumGood(b) {
		t.Errorf("got %v, payload %d, whole %v", got, s.PayloadLen, s.Whole())
	}
}

func TestEncodedSegmentsDecodeToWhatWasEncoded(t *testing.T) {
	for _, p := range []Path{path4, path6} {
		for _, mode := range []ChecksumMode{ChecksumFull, ChecksumPartial} {
			payload := bytes.Repeat([]byte{1, 2, 3}, 77)
			piece := Piece{FrameID: 0xdeadbeef, FrameLength: 231, Payload: payload, Checksum: mode}
			b := AppendSegment(nil, &p, &piece)
			var s Segment
			if r := s.Decode(b, len(b), ports); r != reason.None {
				t.Fatalf("decode: %v", r)
			}
			if diff := cmp.Diff(PathOf(&s), p, cmpopts.EquateComparable(netip.Addr{})); diff != "" {
				t.Errorf("path (-got +want):\n%s", diff)
			}
			if s.FrameID != piece.FrameID || int(s.FrameLength) != 231 || s.Offset != 0 || !bytes.Equal(s.Payload, payload) {
				t.Errorf("segment: %+v", s)
			}
			if !s.Canonical() || s.Flags != FlagACK|FlagPSH || !s.WholeFrame() {
				t.Errorf("not canonical: %+v", s)
			}
			if got, want := s.ChecksumGood(b), mode == ChecksumFull; got != want {
				t.Errorf("checksum good: got %v, want %v", got, want)
			}
			if got, want := s.ChecksumIsPseudo(), mode == ChecksumPartial; got != want {
				t.Errorf("checksum pseudo: got %v, want %v", got, want)
			}
		}
	}
}

func TestChecksumsAgreeWithGopacket(t *testing.T) {
	const seed = 7
	rng := rand.New(rand.NewPCG(seed, seed))
	for i := range 300 {
		p := []Path{path4, path6}[i%2]
		payload := make([]byte, 1+rng.IntN(3000))
		for j := range payload {
			payload[j] = byte(rng.Uint32())
		}
		b := AppendSegment(nil, &p, &Piece{FrameID: rng.Uint32(), FrameLength: 65535, Offset: rng.IntN(60000), Payload: payload})

		var first gopacket.Decoder = layers.LayerTypeIPv4
		if !p.Src.Is4() {
			first = layers.LayerTypeIPv6
		}
		packet := gopacket.NewPacket(b, first, gopacket.Default)
		tcp, ok := packet.Layer(layers.LayerTypeTCP).(*layers.TCP)
		if !ok {
			t.Fatalf("gopacket sees no TCP: %v", packet)
		}
		had := tcp.Checksum
		if err := tcp.SetNetworkLayerForChecksum(packet.NetworkLayer()); err != nil {
			t.Fatal(err)
		}
		buf := gopacket.NewSerializeBuffer()
		err := gopacket.SerializeLayers(buf, gopacket.SerializeOptions{ComputeChecksums: true}, tcp, gopacket.Payload(tcp.Payload))
		if err != nil {
			t.Fatal(err)
		}
		if want := binary.BigEndian.Uint16(buf.Bytes()[16:]); had != want {
			t.Fatalf("seed %d, packet %d: checksum %#04x, gopacket says %#04x", seed, i, had, want)
		}
	}
}

// TestASumThatIsKnownNeedNotBeComputed: the same bytes are written with it, and
// what verifies a packet finds it.
func TestASumThatIsKnownNeedNotBeComputed(t *testing.T) {
	rng := rand.New(rand.NewPCG(8, 8))
	for _, p := range []Path{path4, path6} {
		for n := FrameHeaderLen; n < 200; n++ {
			payload := make([]byte, n)
			for i := range payload {
				payload[i] = byte(rng.Uint32())
			}
			piece := Piece{FrameID: rng.Uint32(), FrameLength: n + 7, Payload: payload}
			for _, header := range []*FrameHeader{nil, {ContextID: rng.Uint64(), MSS: 1400}} {
				piece.Header = header
				piece.Sum, piece.HasSum = 0, false
				want := AppendSegment(nil, &p, &piece)
				piece.Sum, piece.HasSum = checksum.Sum(payload), true
				if got := AppendSegment(nil, &p, &piece); !bytes.Equal(got, want) {
					t.Fatalf("%v, %d bytes, header %v:\ngot  %x\nwant %x", p.Src, n, header != nil, got, want)
				}
				var s Segment
				if r := s.Decode(want, len(want), ports); r != reason.None {
					t.Fatal(r)
				}
				if sum, good := s.Verify(want); !good || sum != checksum.Sum(s.Payload) {
					t.Fatalf("%v, %d bytes: got a sum of %#x, good %v, want %#x", p.Src, n, sum, good, checksum.Sum(s.Payload))
				}
			}
		}
	}
}

func TestTheWayOfASegmentAllocatesNothing(t *testing.T) {
	packets := map[string][]byte{"IPv4": onePacket(path4), "IPv6": onePacket(path6)}
	for name, b := range packets {
		t.Run(name, func(t *testing.T) {
			var s Segment
			dst := make([]byte, 0, 2000)
			got := testing.AllocsPerRun(100, func() {
				if s.Decode(b, len(b), ports) != reason.None || !s.ChecksumGood(b) {
					t.Fatal("refused")
				}
				p := PathOf(&s)
				dst = AppendSegment(dst[:0], &p, &Piece{FrameID: s.FrameID, FrameLength: int(s.FrameLength), Offset: int(s.Offset), Payload: s.Payload})
			})
			if got != 0 {
				t.Errorf("got %v allocations, want 0", got)
			}
		})
	}
}

// FuzzSegment holds that what is taken can be written again and reads the
// same, that nothing panics, and that a shorter copy of a packet says the
// same of it or that it is too short.
func FuzzSegment(f *testing.F) {
	f.Add(onePacket(path4), 40)
	f.Add(onePacket(path6), 60)
	f.Add([]byte{0x45}, 0)
	f.Add([]byte{0x60, 0, 0, 0, 0, 8, 44, 1}, 3)
	f.Fuzz(func(t *testing.T, b []byte, cut int) {
		var s, again Segment
		r := s.Decode(b, len(b), ports)
		if cut >= 0 && cut < len(b) {
			short := again.Decode(b[:cut], len(b), ports)
			if short != r && short != reason.CopyTooShort {
				t.Fatalf("whole: %v, copy of %d: %v", r, cut, short)
			}
		}
		if r != reason.None {
			return
		}
		if s.PayloadLen != len(s.Payload) || s.TotalLen > len(b) || s.PayloadLen < 0 {
			t.Fatalf("lengths: %+v of %d bytes", s, len(b))
		}
		p := PathOf(&s)
		out := AppendSegment(nil, &p, &Piece{FrameID: s.FrameID, FrameLength: int(s.FrameLength), Offset: int(s.Offset), Payload: s.Payload})
		if r := again.Decode(out, len(out), ports); r != reason.None {
			t.Fatalf("what was written is refused: %v", r)
		}
		if !again.Canonical() || !again.ChecksumGood(out) {
			t.Fatalf("what was written is not canonical: %+v", again)
		}
		if PathOf(&again) != p || again.FrameID != s.FrameID || again.Offset != s.Offset ||
			again.FrameLength != s.FrameLength || !bytes.Equal(again.Payload, s.Payload) {
			t.Fatalf("got %+v, want %+v", again, s)
		}
	})
}

func BenchmarkSegment(b *testing.B) {
	for _, size := range []int{150, 1500, 65000} {
		payload := make([]byte, size-40)
		packet := AppendSegment(nil, &path4, &Piece{FrameLength: len(payload), Payload: payload})
		b.Run("decode/frame="+strconv.Itoa(size), func(b *testing.B) {
			b.ReportAllocs()
			b.SetBytes(int64(len(packet)))
			var s Segment
			for b.Loop() {
				if s.Decode(packet, len(packet), ports) != reason.None {
					b.Fatal("refused")
				}
			}
		})
		b.Run("verify/frame="+strconv.Itoa(size), func(b *testing.B) {
			b.ReportAllocs()
			b.SetBytes(int64(len(packet)))
			var s Segment
			s.Decode(packet, len(packet), ports)
			for b.Loop() {
				if !s.ChecksumGood(packet) {
					b.Fatal("bad")
				}
			}
		})
		b.Run("encode/frame="+strconv.Itoa(size), func(b *testing.B) {
			b.ReportAllocs()
			b.SetBytes(int64(len(packet)))
			dst := make([]byte, 0, 70000)
			for b.Loop() {
				dst = AppendSegment(dst[:0], &path4, &Piece{FrameLength: len(payload), Payload: payload})
			}
		})
	}
}
