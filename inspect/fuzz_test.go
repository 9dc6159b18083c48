package inspect_test

import (
	"bytes"
	"encoding/binary"
	"net/netip"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/gopacket"
	"github.com/google/gopacket/layers"

	"sttwall/inspect"
	"sttwall/reason"
)

// maxFrame is the longest inner frame that a tunnel carries.
const maxFrame = 65535 - 18

func FuzzDecode(f *testing.F) {
	for _, c := range loadCaptured(f) {
		f.Add(c.bytes, uint16(c.Length-len(c.bytes)), c.TCI, c.TCI != 0, uint16(len(c.bytes)/2))
	}
	for _, c := range acceptances(f) {
		f.Add(c.frame, uint16(0), uint16(42), bool(c.tagged), uint16(len(c.frame)))
	}
	for _, c := range refusals(f) {
		f.Add(c.frame, uint16(0), uint16(42), bool(c.tagged), uint16(20))
	}
	f.Fuzz(func(t *testing.T, data []byte, more, tci uint16, hasTag bool, cut uint16) {
		length := len(data) + int(more)
		if length > maxFrame {
			t.Skip("longer than a tunnel carries")
		}
		tagged := inspect.Tagged(hasTag)
		var whole inspect.Frame
		r := whole.Decode(data, length, tci, tagged)
		if !r.Known() {
			t.Fatalf("reason %d is not declared", r)
		}

		// Decoding into a used Frame gives the same.
		again := inspect.Frame{HasTCP: true, TagCount: 3, Atomic: true, IPEnd: 7}
		if got := again.Decode(data, length, tci, tagged); got != r || again != whole {
			t.Fatalf("second time: got %v, want %v\n%s", got, r, cmp.Diff(whole, again, sameAddr))
		}
		// A shorter copy gives the same, or says that it is too short.
		var part inspect.Frame
		n := min(int(cut), len(data))
		got := part.Decode(data[:n], length, tci, tagged)
		if got != r && got != reason.CopyTooShort {
			t.Fatalf("copy of %d bytes: got %v, want %v", n, got, r)
		}
		if r != reason.None {
			return
		}
		if (got == reason.None) != (n >= whole.HeaderBytes) {
			t.Fatalf("copy of %d bytes, headers of %d: got %v", n, whole.HeaderBytes, got)
		}
		if got == reason.None && part != whole {
			t.Fatalf("copy of %d bytes is another frame\n%s", n, cmp.Diff(whole, part, sameAddr))
		}
		// No byte behind the headers has a say.
		other := bytes.Clone(data)
		for i := whole.HeaderBytes; i < len(other); i++ {
			other[i] ^= 0xff
		}
		if got := again.Decode(other, length, tci, tagged); got != r || again != whole {
			t.Fatalf("other bytes behind the headers: got %v, want %v\n%s", got, r, cmp.Diff(whole, again, sameAddr))
		}
		// Nor has padding.
		if whole.IP != 0 && !whole.SNAP {
			if got := again.Decode(data, whole.IPEnd, tci, tagged); got != r || again != whole {
				t.Fatalf("without padding: got %v, want %v\n%s", got, r, cmp.Diff(whole, again, sameAddr))
			}
		}
		checkOffsets(t, &whole, len(data), length)
		if len(data) == length {
			checkAgainstGopacket(t, &whole, data)
		}
	})
}

// checkOffsets: the offsets of an accepted frame stand in order and inside.
func checkOffsets(t *testing.T, f *inspect.Frame, copied, length int) {
	t.Helper()
	ok := f.L3Offset >= 14 && f.L3Offset <= f.PayloadOffset && f.PayloadOffset == f.HeaderBytes &&
		f.HeaderBytes <= copied && f.TagCount <= inspect.MaxTags
	if f.IP != 0 {
		ok = ok && f.PayloadOffset <= f.IPEnd && f.IPEnd <= length && f.Src.IsValid() && f.Dst.IsValid()
	} else {
		ok = ok && f.IPEnd == 0 && f.L4Offset == -1 && !f.HasPorts
	}
	if f.L4Offset != -1 {
		ok = ok && f.L4Offset > f.L3Offset && f.L4Offset <= f.PayloadOffset && f.L4Offset < f.IPEnd
	}
	if f.HasPorts || f.HasICMP {
		ok = ok && f.L4Offset != -1
	}
	if f.HasICMPID {
		ok = ok && f.HasICMP && f.HeaderBytes >= f.L4Offset+8
	} else {
		ok = ok && f.ICMPID == 0
	}
	if f.Fragmented {
		ok = ok && !f.Atomic && (f.Fragment.Offset == 0 || f.L4Offset == -1) && f.Fragment.Bytes > 0
	}
	if !ok {
		t.Fatalf("offsets out of place in %d of %d bytes: %+v", copied, length, *f)
	}
}

// checkAgainstGopacket: where gopacket sees addresses and ports, they are ours.
// It reads on where we stop (tunnels in tunnels, extension headers in IPv4) and
// stops where we read on (first fragments), so only what both see counts.
func checkAgainstGopacket(t *testing.T, f *inspect.Frame, data []byte) {
	t.Helper()
	// NewPacket recovers from the panics of its decoders.
	p := gopacket.NewPacket(data, layers.LayerTypeEthernet, gopacket.DecodeOptions{NoCopy: true})
	var src, dst netip.Addr
	var ports [2]uint16
	version, found := 0, false
walk:
	for _, l := range p.Layers() {
		switch l := l.(type) {
		case *layers.Ethernet, *layers.Dot1Q, *layers.LLC, *layers.SNAP:
			if version != 0 {
				break walk
			}
		case *layers.IPv4:
			if version != 0 {
				break walk
			}
			version = 4
			src, _ = netip.AddrFromSlice(l.SrcIP)
			dst, _ = netip.AddrFromSlice(l.DstIP)
		case *layers.IPv6:
			if version != 0 {
				break walk
			}
			version = 6
			src, _ = netip.AddrFromSlice(l.SrcIP)
			dst, _ = netip.AddrFromSlice(l.DstIP)
		case *layers.IPv6HopByHop, *layers.IPv6Routing, *layers.IPv6Destination, *layers.IPSecAH:
			if version == 4 {
				break walk
			}
		case *layers.TCP:
			ports, found = [2]uint16{uint16(l.SrcPort), uint16(l.DstPort)}, len(l.Contents) > 0
			break walk
		case *layers.UDP:
			ports, found = [2]uint16{uint16(l.SrcPort), uint16(l.DstPort)}, len(l.Contents) > 0
			break walk
		case *layers.SCTP:
			ports, found = [2]uint16{uint16(l.SrcPort), uint16(l.DstPort)}, len(l.Contents) > 0
			break walk
		default:
			break walk
		}
	}
	if version != 0 && (int(f.IP) != version || f.Src != src || f.Dst != dst) {
		t.Fatalf("IP: got %d %v %v, gopacket sees %d %v %v", f.IP, f.Src, f.Dst, version, src, dst)
	}
	if version != 0 && found && (!f.HasPorts || f.SrcPort != ports[0] || f.DstPort != ports[1]) {
		t.Fatalf("ports: got %v %d %d, gopacket sees %v", f.HasPorts, f.SrcPort, f.DstPort, ports)
	}
}

func FuzzVerify(f *testing.F) {
	for _, c := range loadCaptured(f) {
		f.Add(c.bytes, uint16(c.Length-len(c.bytes)), c.Flags, c.L4Offset, c.MSS, uint16(536), false)
	}
	bits := func(o inspect.Offload) (b uint8) {
		for i, set := range []bool{o.Partial, o.IPv4, o.TCP} {
			if set {
				b |= 2 << i
			}
		}
		return b
	}
	for _, c := range lies(f) {
		f.Add(c.frame, uint16(0), bits(c.offload), c.offload.L4Offset, c.offload.MSS, c.offload.MSSFloor, false)
	}
	for _, c := range acceptances(f) {
		f.Add(c.frame, uint16(0), uint8(2), uint8(0), uint16(100), uint16(8), true)
	}
	f.Fuzz(func(t *testing.T, data []byte, more uint16, flags, l4 uint8, mss, floor uint16, honest bool) {
		length := len(data) + int(more)
		if length > maxFrame {
			t.Skip("longer than a tunnel carries")
		}
		var frame inspect.Frame
		r := frame.Decode(data, length, 0, inspect.NoTag)
		o := inspect.Offload{Partial: flags&2 != 0, IPv4: flags&4 != 0, TCP: flags&8 != 0, L4Offset: l4, MSS: mss, MSSFloor: floor}
		if honest && r == reason.None {
			data, o = makeHonest(data, &frame, o)
		}
		got := frame.Verify(data, length, o)
		if again := frame.Verify(bytes.Clone(data), length, o); again != got {
			t.Fatalf("second time: got %v, want %v", again, got)
		}
		if r != reason.None || got != reason.None || !o.Partial {
			return
		}
		checkReceiver(t, &frame, data, length, o)
	})
}

// makeHonest bends the claims and the checksum towards the truth, since chance
// will not.
func makeHonest(data []byte, f *inspect.Frame, o inspect.Offload) ([]byte, inspect.Offload) {
	field := f.ChecksumOffset()
	if field < 0 || f.L4Offset > 255 {
		return data, o
	}
	data = bytes.Clone(data)
	binary.BigEndian.PutUint16(data[field:], slowPseudoSum(f.Src, f.Dst, f.Protocol, f.IPEnd-f.L4Offset))
	o.Partial, o.IPv4, o.TCP, o.L4Offset = true, f.IP == 4, f.Protocol == 6, uint8(f.L4Offset)
	return data, o
}

// checkReceiver does to an accepted frame what a receiver does that believes
// the tunnel header, and looks whether the decision still holds.
func checkReceiver(t *testing.T, f *inspect.Frame, data []byte, length int, o inspect.Offload) {
	t.Helper()
	l4 := int(o.L4Offset)
	field := l4 + 6
	if o.TCP {
		field = l4 + 16
	}
	if field != f.ChecksumOffset() || field+2 > f.HeaderBytes {
		t.Fatalf("the receiver writes at %d, the checksum field is at %d", field, f.ChecksumOffset())
	}
	var after inspect.Frame
	written := bytes.Clone(data)
	written[field] ^= 0xff
	written[field+1] ^= 0xff
	if r := after.Decode(written, length, 0, inspect.NoTag); r != reason.None || after != *f {
		t.Fatalf("the receiver's checksum makes another frame: %v\n%s", r, cmp.Diff(*f, after, sameAddr))
	}
	if len(data) != length {
		return
	}

	// Finished in the receiver's way, the checksum is that of the packet.
	done := bytes.Clone(data)
	binary.BigEndian.PutUint16(done[field:], ^slowSum(done[l4:]))
	sum := uint32(slowSum(done[l4:])) + uint32(slowPseudoSum(f.Src, f.Dst, f.Protocol, length-l4))
	if sum>>16+sum&0xffff != 0xffff {
		t.Fatalf("the finished checksum is wrong: the sum is %#x", sum)
	}

	// Cut up with the MSS, each packet is one of the same flow.
	if !o.TCP || o.MSS == 0 || int(o.MSS) >= f.TCPPayload() {
		return
	}
	headers := l4 + int(data[l4+12]>>4)*4
	if headers != f.HeaderBytes {
		t.Fatalf("the receiver replicates %d bytes, the headers are %d", headers, f.HeaderBytes)
	}
	packet := bytes.Clone(data[:headers+int(o.MSS)])
	if o.IPv4 {
		binary.BigEndian.PutUint16(packet[16:], uint16(len(packet)-14))
	} else {
		binary.BigEndian.PutUint16(packet[18:], uint16(len(packet)-14-40))
	}
	r := after.Decode(packet, len(packet), 0, inspect.NoTag)
	after.IPEnd = f.IPEnd
	if r != reason.None || after != *f {
		t.Fatalf("the first packet cut is of another flow: %v\n%s", r, cmp.Diff(*f, after, sameAddr))
	}
}
