package inspect_test

import (
	"bytes"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/gopacket"
	"github.com/google/gopacket/layers"

	"sttwall/inspect"
	"sttwall/reason"
)

const (
	typeIPv4 = layers.EthernetTypeIPv4
	typeIPv6 = layers.EthernetTypeIPv6
	typeARP  = layers.EthernetTypeARP
	typeVLAN = layers.EthernetTypeDot1Q
	typeQinQ = layers.EthernetTypeQinQ
	typeVMAN = layers.EthernetType(0x9100)
	typeLLDP = layers.EthernetType(0x88cc)
)

// length8023 is an Ethernet header with an 802.3 length.
func length8023(n uint16) *layers.Ethernet {
	return &layers.Ethernet{SrcMAC: macA[:], DstMAC: macB[:], EthernetType: layers.EthernetTypeLLC, Length: n}
}

// snap is LLC and SNAP headers with the OUI of encapsulated Ethernet.
func snap(t layers.EthernetType) gopacket.Payload {
	return gopacket.Payload{0xaa, 0xaa, 3, 0, 0, 0, byte(t >> 8), byte(t)}
}

// refusal is a frame that must not pass.
type refusal struct {
	name   string
	frame  []byte
	tagged inspect.Tagged
	want   reason.Reason
}

func ethernetRefusals(t testing.TB) []refusal {
	whole := func() []byte { return build(t, ethernet(typeIPv4), ipv4(17), udp(), raw(8)) }
	return []refusal{
		{name: "nothing at all", frame: nil, want: reason.InnerTruncated},
		{name: "an Ethernet header cut in the ethertype", frame: whole()[:13], want: reason.InnerTruncated},
		{name: "a tag cut in its TCI", frame: build(t, ethernet(typeVLAN), raw(1))[:15], want: reason.InnerTruncated},
		{name: "a tag cut in the ethertype behind it", frame: build(t, ethernet(typeVLAN), raw(3))[:17], want: reason.InnerTruncated},
		{name: "three tags in the frame",
			frame: build(t, ethernet(typeQinQ), vlan(1, typeVLAN), vlan(2, typeVLAN), vlan(3, typeIPv4), ipv4(17), udp()),
			want:  reason.InnerVLANDepth},
		{name: "two tags in the frame and the tunnel's",
			frame:  build(t, ethernet(typeQinQ), vlan(1, typeVLAN), vlan(2, typeIPv4), ipv4(17), udp()),
			tagged: inspect.HasTag, want: reason.InnerVLANDepth},
		{name: "a tag behind one with a priority alone",
			frame: build(t, ethernet(typeVLAN), vlan(0, typeVLAN), vlan(2, typeIPv4), ipv4(17), udp()),
			want:  reason.InnerVLANDepth},
		{name: "spanning tree in LLC",
			frame: build(t, length8023(38), gopacket.Payload{0x42, 0x42, 3}, raw(35)), want: reason.InnerLLC},
		{name: "SNAP with another OUI",
			frame: build(t, length8023(36), gopacket.Payload{0xaa, 0xaa, 3, 0, 0, 0x0c, 0x20, 0}, raw(28)), want: reason.InnerLLC},
		{name: "SNAP with a control field of numbered frames",
			frame: build(t, length8023(36), gopacket.Payload{0xaa, 0xaa, 0, 0, 0, 0, 8, 0}, raw(28)), want: reason.InnerLLC},
		{name: "SNAP with a length for ethertype",
			frame: build(t, length8023(36), snap(0x0100), raw(28)), want: reason.InnerLLC},
		{name: "SNAP with a VLAN tag inside",
			frame: build(t, length8023(40), snap(typeVLAN), raw(32)), want: reason.InnerLLC},
		{name: "an 802.3 length too short for SNAP",
			frame: build(t, length8023(7), snap(typeIPv4), raw(28)), want: reason.InnerLLC},
		{name: "an 802.3 length of zero", frame: at(whole(), 12, 0, 0), want: reason.InnerLLC},
		{name: "a number that is neither length nor ethertype", frame: at(whole(), 12, 0x05, 0xff), want: reason.InnerLLC},
		{name: "an 802.3 length past the end",
			frame: build(t, length8023(44), snap(typeIPv4), ipv4(17), udp(), raw(7)), want: reason.InnerLength},
		{name: "an IP packet past the 802.3 length, in a frame that holds it",
			frame: build(t, length8023(43), snap(typeIPv4), ipv4(17), udp(), raw(8)), want: reason.InnerLength},
		{name: "ARP one byte short", frame: build(t, ethernet(typeARP), arp())[:41], want: reason.InnerARP},
		{name: "ARP for another hardware", frame: at(build(t, ethernet(typeARP), arp()), 15, 6), want: reason.InnerARP},
		{name: "ARP for another protocol", frame: at(build(t, ethernet(typeARP), arp()), 16, 0x86, 0xdd), want: reason.InnerARP},
		{name: "ARP with long hardware addresses", frame: at(build(t, ethernet(typeARP), arp()), 18, 8), want: reason.InnerARP},
		{name: "ARP with IPv6 addresses", frame: at(build(t, ethernet(typeARP), arp()), 19, 16), want: reason.InnerARP},
	}
}

// refusals are all frames in tests that must not pass.
func refusals(t testing.TB) []refusal {
	all := ethernetRefusals(t)
	all = append(all, ipv4Refusals(t)...)
	all = append(all, ipv6Refusals(t)...)
	return append(all, transportRefusals(t)...)
}

func TestRefusedFrames(t *testing.T) {
	for _, c := range refusals(t) {
		t.Run(c.name, func(t *testing.T) {
			var f inspect.Frame
			if got := f.Decode(c.frame, len(c.frame), 42, c.tagged); got != c.want {
				t.Errorf("Decode: got %v, want %v\nframe %x", got, c.want, c.frame)
			}
			if f.L4Offset != -1 && f.L4Offset >= len(c.frame) {
				t.Errorf("L4Offset %d is outside of the frame", f.L4Offset)
			}
		})
	}
}

// acceptance is a frame that passes, and what must be read from it. The MACs,
// and addresses where there is IP, are filled in by the test.
type acceptance struct {
	name   string
	frame  []byte
	tagged inspect.Tagged
	want   inspect.Frame
}

func ethernetAcceptances(t testing.TB) []acceptance {
	port := func(f inspect.Frame) inspect.Frame {
		f.EtherType, f.IP, f.Protocol = 0x0800, 4, 17
		f.HasPorts, f.SrcPort, f.DstPort = true, 40000, 53
		f.L4Offset = f.L3Offset + 20
		f.PayloadOffset, f.HeaderBytes = f.L3Offset+28, f.L3Offset+28
		f.IPEnd = f.L3Offset + 36
		return f
	}
	return []acceptance{
		{name: "no tag",
			frame: build(t, ethernet(typeIPv4), ipv4(17), udp(), raw(8)),
			want:  port(inspect.Frame{L3Offset: 14})},
		{name: "the tunnel's tag",
			frame: build(t, ethernet(typeIPv4), ipv4(17), udp(), raw(8)), tagged: inspect.HasTag,
			want: port(inspect.Frame{L3Offset: 14, Tags: [3]uint16{42}, TagCount: 1})},
		{name: "the tunnel's tag is outside of one in the frame",
			frame: build(t, ethernet(typeVLAN), vlan(7, typeIPv4), ipv4(17), udp(), raw(8)), tagged: inspect.HasTag,
			want: port(inspect.Frame{L3Offset: 18, Tags: [3]uint16{42, 7}, TagCount: 2})},
		{name: "a service tag and a customer tag",
			frame: build(t, ethernet(typeQinQ), vlan(100, typeVLAN), vlan(7, typeIPv4), ipv4(17), udp(), raw(8)),
			want:  port(inspect.Frame{L3Offset: 22, Tags: [3]uint16{100, 7}, TagCount: 2})},
		{name: "a service tag of the old kind, with priority",
			frame: build(t, ethernet(typeVMAN), &layers.Dot1Q{Priority: 5, VLANIdentifier: 7, Type: typeIPv4}, ipv4(17), udp(), raw(8)),
			want:  port(inspect.Frame{L3Offset: 18, Tags: [3]uint16{0xa007}, TagCount: 1})},
		{name: "IPv4 in SNAP",
			frame: build(t, length8023(44), snap(typeIPv4), ipv4(17), udp(), raw(8)),
			want:  port(inspect.Frame{L3Offset: 22, SNAP: true})},
		{name: "IPv4 in SNAP behind a tag, with padding",
			frame: pad(build(t, ethernet(typeVLAN), vlan(7, 44), snap(typeIPv4), ipv4(17), udp(), raw(8)), 10),
			want:  port(inspect.Frame{L3Offset: 26, SNAP: true, Tags: [3]uint16{7}, TagCount: 1})},
		{name: "padding up to the shortest Ethernet frame",
			frame: pad(build(t, ethernet(typeIPv4), ipv4(17), udp(), raw(8)), 10),
			want:  port(inspect.Frame{L3Offset: 14})},
		{name: "ARP",
			frame: build(t, ethernet(typeARP), arp()),
			want: inspect.Frame{EtherType: 0x0806, Src: ip4A, Dst: ip4B, ARPOperation: 1, ARPSender: macA,
				L3Offset: 14, L4Offset: -1, PayloadOffset: 42, HeaderBytes: 42}},
		{name: "an ethertype that is not read",
			frame: build(t, ethernet(typeLLDP), raw(20)),
			want:  inspect.Frame{EtherType: 0x88cc, L3Offset: 14, L4Offset: -1, PayloadOffset: 14, HeaderBytes: 14}},
		{name: "an ethertype alone",
			frame: build(t, ethernet(typeLLDP))[:14],
			want:  inspect.Frame{EtherType: 0x88cc, L3Offset: 14, L4Offset: -1, PayloadOffset: 14, HeaderBytes: 14}},
	}
}

func acceptances(t testing.TB) []acceptance {
	all := ethernetAcceptances(t)
	all = append(all, ipv4Acceptances(t)...)
	all = append(all, ipv6Acceptances(t)...)
	return append(all, transportAcceptances(t)...)
}

func TestAcceptedFrames(t *testing.T) {
	for _, c := range acceptances(t) {
		t.Run(c.name, func(t *testing.T) {
			want := c.want
			want.EthSrc, want.EthDst = macA, macB
			switch want.IP {
			case 4:
				want.Src, want.Dst = ip4A, ip4B
			case 6:
				want.Src, want.Dst = ip6A, ip6B
			}
			// What a frame before left behind must not shine through.
			f := inspect.Frame{TagCount: 3, SNAP: true, HasTCP: true, Atomic: true, ARPOperation: 9, HasTarget: true, Solicited: true}
			if got := f.Decode(c.frame, len(c.frame), 42, c.tagged); got != reason.None {
				t.Fatalf("Decode: got %v, want none\nframe %x", got, c.frame)
			}
			if diff := cmp.Diff(want, f, sameAddr); diff != "" {
				t.Errorf("frame %x\n-want +got\n%s", c.frame, diff)
			}
		})
	}
}

func TestEveryShorterCopyIsTooShortOrDecodesTheSame(t *testing.T) {
	type row struct {
		name   string
		frame  []byte
		tagged inspect.Tagged
	}
	var rows []row
	for _, c := range acceptances(t) {
		rows = append(rows, row{c.name, c.frame, c.tagged})
	}
	for _, c := range refusals(t) {
		rows = append(rows, row{c.name, c.frame, c.tagged})
	}
	for _, c := range rows {
		var whole, part inspect.Frame
		r := whole.Decode(c.frame, len(c.frame), 42, c.tagged)
		for n := range c.frame {
			got := part.Decode(c.frame[:n], len(c.frame), 42, c.tagged)
			if got == reason.CopyTooShort && (r != reason.None || n < whole.HeaderBytes) {
				continue
			}
			if got != r {
				t.Errorf("%s: %d of %d bytes copied: got %v, want %v", c.name, n, len(c.frame), got, r)
			} else if r == reason.None && part != whole {
				t.Errorf("%s: %d of %d bytes copied: another frame\n%s", c.name, n, len(c.frame), cmp.Diff(whole, part, sameAddr))
			}
			if r == reason.None && n < whole.HeaderBytes {
				t.Errorf("%s: accepted with %d bytes, but HeaderBytes is %d", c.name, n, whole.HeaderBytes)
			}
		}
	}
}

func TestBytesBeyondTheLengthAreNotRead(t *testing.T) {
	frame := build(t, ethernet(typeIPv4), ipv4(6), syn())
	for n := range frame {
		var f inspect.Frame
		if got := f.Decode(frame, n, 0, inspect.NoTag); got == reason.None || got == reason.CopyTooShort {
			t.Errorf("frame of %d bytes in a buffer of %d: got %v, want a refusal", n, len(frame), got)
		}
	}
	var f inspect.Frame
	if got := f.Decode(frame, -1, 0, inspect.NoTag); got != reason.InnerTruncated {
		t.Errorf("length -1: got %v, want %v", got, reason.InnerTruncated)
	}
}

func TestARefusedTagIsStillReported(t *testing.T) {
	frame := build(t, ethernet(typeQinQ), vlan(1, typeVLAN), vlan(2, typeVLAN), vlan(3, typeIPv4), ipv4(17), udp())
	var f inspect.Frame
	if got := f.Decode(frame, len(frame), 0, inspect.NoTag); got != reason.InnerVLANDepth {
		t.Fatalf("Decode: got %v, want %v", got, reason.InnerVLANDepth)
	}
	if got, want := f.Tags, [3]uint16{1, 2, 3}; got != want || f.TagCount != 3 {
		t.Errorf("got %d tags %v, want 3 %v", f.TagCount, got, want)
	}
}

// TestEveryReasonHasAFrame keeps the tables complete.
func TestEveryReasonHasAFrame(t *testing.T) {
	seen := map[reason.Reason]bool{}
	var f inspect.Frame
	for _, c := range refusals(t) {
		before := bytes.Clone(c.frame)
		seen[f.Decode(c.frame, len(c.frame), 42, c.tagged)] = true
		if !bytes.Equal(before, c.frame) {
			t.Errorf("%s: Decode changed the frame", c.name)
		}
	}
	for _, c := range lies(t) {
		if r := f.Decode(c.frame, len(c.frame), 42, inspect.NoTag); r != reason.None {
			t.Fatalf("%s: Decode: %v", c.name, r)
		}
		seen[f.Verify(c.frame, len(c.frame), c.offload)] = true
	}
	for r := reason.L4OffsetMismatch; r <= reason.InnerARP; r++ {
		if !seen[r] {
			t.Errorf("no frame provokes %v", r)
		}
	}
}

func TestATagBehindOneWithoutAVLANIDIsRefused(t *testing.T) {
	frame := build(t, ethernet(typeVLAN), vlan(43, typeIPv4), ipv4(17), udp(), raw(8))
	for tci, want := range map[uint16]reason.Reason{
		0x1000: reason.InnerVLANDepth, 0x2000: reason.InnerVLANDepth, 0xf000: reason.InnerVLANDepth,
		0x1001: reason.None, 0x0fff: reason.None,
	} {
		var f inspect.Frame
		if got := f.Decode(frame, len(frame), tci, inspect.HasTag); got != want {
			t.Errorf("behind TCI %#04x: got %v, want %v", tci, got, want)
		}
	}
}
