package inspect_test

import (
	"testing"

	"github.com/google/gopacket/layers"

	"sttwall/inspect"
	"sttwall/reason"
)

// claim is what a tunnel header says of a frame, and what comes of it.
type claim struct {
	name    string
	frame   []byte
	offload inspect.Offload
	want    reason.Reason
}

var (
	claimTCP4 = inspect.Offload{Partial: true, IPv4: true, TCP: true, L4Offset: 34, MSSFloor: 536}
	claimTCP6 = inspect.Offload{Partial: true, TCP: true, L4Offset: 54, MSSFloor: 536}
	claimUDP4 = inspect.Offload{Partial: true, IPv4: true, L4Offset: 34, MSSFloor: 536}
	claimUDP6 = inspect.Offload{Partial: true, L4Offset: 54, MSSFloor: 536}
)

func mss(o inspect.Offload, mss uint16) inspect.Offload {
	o.MSS = mss
	return o
}

func offset(o inspect.Offload, l4 uint8) inspect.Offload {
	o.L4Offset = l4
	return o
}

// lies are claims that must not pass.
func lies(t testing.TB) []claim {
	tcp4 := func(n int) []byte { return partial(build(t, ethernet(typeIPv4), ipv4(6), ack(), raw(n)), 34) }
	udp4 := func() []byte { return partial(build(t, ethernet(typeIPv4), ipv4(17), udp(), raw(100)), 34) }
	udp6 := func() []byte { return partial(build(t, ethernet(typeIPv6), ipv6(17), udp(), raw(100)), 54) }
	return []claim{
		{"the other IP version", tcp4(10), claimTCP6, reason.PartialFlags},
		{"IPv4 of an IPv6 packet", udp6(), claimUDP4, reason.PartialFlags},
		{"UDP of a TCP packet", tcp4(10), claimUDP4, reason.PartialFlags},
		{"TCP of a UDP packet", udp4(), claimTCP4, reason.PartialFlags},
		{"TCP of ICMP", build(t, ethernet(typeIPv4), ipv4(1), raw(40)), claimTCP4, reason.PartialFlags},
		{"TCP of ARP", build(t, ethernet(typeARP), arp()), claimTCP4, reason.PartialFlags},
		{"TCP of an ethertype that is not read", build(t, ethernet(typeLLDP), raw(60)), claimTCP4, reason.PartialFlags},
		{"UDP of a tagged packet",
			partial(build(t, ethernet(typeVLAN), vlan(7, typeIPv4), ipv4(17), udp(), raw(8)), 38),
			offset(claimUDP4, 38), reason.PartialFlags},
		{"UDP of a packet in SNAP",
			partial(build(t, length8023(44), snap(typeIPv4), ipv4(17), udp(), raw(8)), 42), offset(claimUDP4, 42), reason.PartialFlags},
		{"UDP of a first fragment",
			partial(build(t, ethernet(typeIPv4), fragment4(17, 0, true), udp(), raw(8)), 34), claimUDP4, reason.PartialFlags},
		{"UDP of a later fragment",
			build(t, ethernet(typeIPv4), fragment4(17, 800, false), raw(16)), claimUDP4, reason.PartialFlags},
		{"UDP of an atomic fragment",
			partial(build(t, ethernet(typeIPv6), ipv6(44), fragment6(17, 0, false), udp(), raw(8)), 62),
			offset(claimUDP6, 62), reason.PartialFlags},
		{"UDP behind no next header", build(t, ethernet(typeIPv6), ipv6(59), udp()), claimUDP6, reason.PartialFlags},

		{"padding behind a TCP packet", pad(tcp4(10), 1), claimTCP4, reason.PartialLength},
		{"padding behind a UDP packet", pad(udp6(), 1), claimUDP6, reason.PartialLength},
		{"a UDP length shorter than the packet", put16(udp4(), 38, 107), claimUDP4, reason.PartialLength},

		{"no L4 offset", tcp4(10), offset(claimTCP4, 0), reason.L4OffsetMismatch},
		{"an L4 offset one byte short", tcp4(10), offset(claimTCP4, 33), reason.L4OffsetMismatch},
		{"an L4 offset into the payload", tcp4(600), offset(claimTCP4, 255), reason.L4OffsetMismatch},
		{"an L4 offset that the checksum field would put on the destination port", udp4(), offset(claimUDP4, 30), reason.L4OffsetMismatch},
		{"an L4 offset that counts IPv4 options that are not there", udp4(), offset(claimUDP4, 38), reason.L4OffsetMismatch},
		{"an L4 offset behind the Ethernet header of another size, with a whole checksum", tcp4(10),
			inspect.Offload{L4Offset: 38}, reason.L4OffsetMismatch},
		{"an L4 offset for ARP, with a whole checksum", build(t, ethernet(typeARP), arp()),
			inspect.Offload{L4Offset: 34}, reason.L4OffsetMismatch},
		{"an L4 offset for a later fragment, with a whole checksum",
			build(t, ethernet(typeIPv4), fragment4(17, 800, false), raw(16)), inspect.Offload{L4Offset: 34}, reason.L4OffsetMismatch},

		{"a checksum that is zero", put16(udp4(), 40, 0), claimUDP4, reason.PartialChecksum},
		{"a checksum that is off by one", put16(tcp4(10), 50, 1+slowPseudoSum(ip4A, ip4B, 6, 30)), claimTCP4, reason.PartialChecksum},
		{"a checksum that is complemented", put16(tcp4(10), 50, ^slowPseudoSum(ip4A, ip4B, 6, 30)), claimTCP4, reason.PartialChecksum},
		{"a checksum for another address", put16(udp6(), 60, slowPseudoSum(ip6A, ip6A, 17, 108)), claimUDP6, reason.PartialChecksum},

		{"an MSS below the floor", tcp4(600), mss(claimTCP4, 535), reason.MSSInvalid},
		{"an MSS of one", tcp4(2), mss(claimTCP4, 1), reason.MSSInvalid},
		{"an MSS on UDP", udp4(), mss(claimUDP4, 1448), reason.MSSInvalid},
	}
}

func TestClaimsThatAreLies(t *testing.T) {
	for _, c := range lies(t) {
		t.Run(c.name, func(t *testing.T) { checkClaim(t, c) })
	}
}

func TestClaimsThatHold(t *testing.T) {
	options := ipv4(6)
	options.Options = []layers.IPv4Option{{OptionType: 7, OptionLength: 8, OptionData: make([]byte, 6)}}
	carry := ipv4(6)
	carry.SrcIP, carry.DstIP = []byte{255, 255, 255, 255}, []byte{0, 0, 255, 231}
	large := partial(build(t, ethernet(typeIPv4), ipv4(6), ack(), raw(60000)), 34)
	for _, c := range []claim{
		{"TCP over IPv4", partial(build(t, ethernet(typeIPv4), ipv4(6), syn()), 34), claimTCP4, reason.None},
		{"TCP over IPv4 with options", partial(build(t, ethernet(typeIPv4), options, syn()), 42), offset(claimTCP4, 42), reason.None},
		{"TCP over IPv6", partial(build(t, ethernet(typeIPv6), ipv6(6), ack(), raw(9)), 54), claimTCP6, reason.None},
		{"TCP behind IPv6 destination options",
			partial(build(t, ethernet(typeIPv6), ipv6(60), extension(6, 8), syn()), 62), offset(claimTCP6, 62), reason.None},
		{"UDP over IPv4", partial(build(t, ethernet(typeIPv4), ipv4(17), udp(), raw(9)), 34), claimUDP4, reason.None},
		{"UDP over IPv6", partial(build(t, ethernet(typeIPv6), ipv6(17), udp()), 54), claimUDP6, reason.None},
		{"a pseudo-header sum that carries twice", partial(build(t, ethernet(typeIPv4), carry, syn()), 34), claimTCP4, reason.None},
		{"large TCP with an MSS", large, mss(claimTCP4, 1448), reason.None},
		{"large TCP with the smallest MSS", large, mss(claimTCP4, 536), reason.None},
		{"large TCP without an MSS", large, claimTCP4, reason.None},
		{"large TCP where there is no floor", large, mss(offsetFloor(claimTCP4, 0), 1), reason.None},
		{"an MSS of the TCP payload means nothing, however small",
			partial(build(t, ethernet(typeIPv4), ipv4(6), ack(), raw(100)), 34), mss(claimTCP4, 100), reason.None},
		{"an MSS above the TCP payload means nothing",
			partial(build(t, ethernet(typeIPv4), ipv4(6), syn()), 34), mss(claimTCP4, 1), reason.None},

		{"a whole checksum and nothing claimed", large, inspect.Offload{}, reason.None},
		{"a whole checksum and the exact L4 offset", large, inspect.Offload{L4Offset: 34}, reason.None},
		{"a whole checksum behind tags, and the exact L4 offset",
			build(t, ethernet(typeQinQ), vlan(1, typeVLAN), vlan(2, typeIPv6), ipv6(17), udp()), inspect.Offload{L4Offset: 62}, reason.None},
		{"flags and MSS without partial mean nothing",
			build(t, ethernet(typeIPv6), ipv6(17), udp()), inspect.Offload{IPv4: true, TCP: true, MSS: 1, MSSFloor: 536}, reason.None},
		{"padding without partial", pad(build(t, ethernet(typeIPv6), ipv6(17), udp()), 9), inspect.Offload{}, reason.None},
	} {
		t.Run(c.name, func(t *testing.T) { checkClaim(t, c) })
	}
}

func offsetFloor(o inspect.Offload, floor uint16) inspect.Offload {
	o.MSSFloor = floor
	return o
}

// checkClaim verifies with the whole frame and with the headers alone.
func checkClaim(t *testing.T, c claim) {
	t.Helper()
	var f inspect.Frame
	if r := f.Decode(c.frame, len(c.frame), 0, inspect.NoTag); r != reason.None {
		t.Fatalf("Decode: %v", r)
	}
	before := f
	if got := f.Verify(c.frame, len(c.frame), c.offload); got != c.want {
		t.Errorf("Verify: got %v, want %v", got, c.want)
	}
	if got := f.Verify(c.frame[:f.HeaderBytes], len(c.frame), c.offload); got != c.want {
		t.Errorf("Verify with the headers alone: got %v, want %v", got, c.want)
	}
	if f != before {
		t.Error("Verify changed the frame")
	}
}

func TestVerifyOfACopyWithoutTheHeaders(t *testing.T) {
	frame := partial(build(t, ethernet(typeIPv4), ipv4(6), syn()), 34)
	var f inspect.Frame
	if r := f.Decode(frame, len(frame), 0, inspect.NoTag); r != reason.None {
		t.Fatalf("Decode: %v", r)
	}
	for n := range frame {
		if got := f.Verify(frame[:n], len(frame), claimTCP4); got != reason.CopyTooShort {
			t.Errorf("%d bytes: got %v, want %v", n, got, reason.CopyTooShort)
		}
	}
}

// A caller that ignores Decode's answer gets no acceptance out of Verify where
// there is no header to speak of.
func TestAPartialChecksumNeedsAHeader(t *testing.T) {
	for _, c := range refusals(t) {
		var f inspect.Frame
		f.Decode(c.frame, len(c.frame), 0, c.tagged)
		for _, o := range []inspect.Offload{claimTCP4, claimTCP6, claimUDP4, claimUDP6} {
			if got := f.Verify(c.frame, len(c.frame), o); f.L4Offset < 0 && got != reason.PartialFlags {
				t.Errorf("%s: got %v, want %v", c.name, got, reason.PartialFlags)
			}
		}
	}
}
