package inspect_test

import (
	"testing"

	"github.com/google/gopacket"
	"github.com/google/gopacket/layers"

	"sttwall/inspect"
	"sttwall/reason"
)

func ipv4Refusals(t testing.TB) []refusal {
	whole := func() []byte { return build(t, ethernet(typeIPv4), ipv4(17), udp(), raw(8)) }
	return []refusal{
		{name: "an IPv4 header cut", frame: whole()[:33], want: reason.InnerTruncated},
		{name: "no IPv4 header", frame: whole()[:14], want: reason.InnerTruncated},
		{name: "IPv4 options past the end", frame: at(whole(), 14, 0x4f), want: reason.InnerTruncated},
		{name: "IPv4 with another version", frame: at(whole(), 14, 0x65), want: reason.InnerIPHeader},
		{name: "IPv4 header length 4", frame: at(whole(), 14, 0x44), want: reason.InnerIPHeader},
		{name: "IPv4 header length 0", frame: at(whole(), 14, 0x40), want: reason.InnerIPHeader},
		{name: "IPv4 total length one byte past the end", frame: put16(whole(), 16, 37), want: reason.InnerLength},
		{name: "IPv4 total length of zero", frame: put16(whole(), 16, 0), want: reason.InnerLength},
		{name: "IPv4 total length inside of the header", frame: put16(whole(), 16, 19), want: reason.InnerLength},
		{name: "IPv4 total length inside of the options", frame: at(put16(whole(), 16, 20), 14, 0x46), want: reason.InnerLength},

		{name: "a loose source route with a hop to go", frame: optioned(t, 131, 7, 4, 10, 0, 0, 1, 0), want: reason.InnerSourceRoute},
		{name: "a strict source route with a hop to go", frame: optioned(t, 1, 137, 7, 4, 10, 0, 0, 1), want: reason.InnerSourceRoute},
		{name: "a source route without a pointer", frame: optioned(t, 131, 2, 0, 0), want: reason.InnerSourceRoute},
		{name: "options that cannot be read to the source route behind", frame: optioned(t, 68, 1, 131, 7, 4, 10, 0, 0), want: reason.InnerSourceRoute},
		{name: "an option past the end of the options", frame: optioned(t, 7, 9, 4, 0), want: reason.InnerSourceRoute},

		{name: "a first fragment with half a TCP header",
			frame: build(t, ethernet(typeIPv4), fragment4(6, 0, true), raw(16)), want: reason.InnerFragment},
		{name: "a first fragment that ends inside the TCP options",
			frame: at(build(t, ethernet(typeIPv4), fragment4(6, 0, true), syn(), raw(4)), 46, 0x70), want: reason.InnerFragment},
		{name: "a first fragment without the whole SCTP header",
			frame: build(t, ethernet(typeIPv4), fragment4(132, 0, true), raw(8)), want: reason.InnerFragment},
		{name: "a first fragment without anything",
			frame: build(t, ethernet(typeIPv4), fragment4(17, 0, true)), want: reason.InnerFragment},
		{name: "a last fragment without anything",
			frame: build(t, ethernet(typeIPv4), fragment4(17, 800, false)), want: reason.InnerFragment},
		{name: "a fragment with more to come, not a multiple of eight",
			frame: build(t, ethernet(typeIPv4), fragment4(17, 800, true), raw(12)), want: reason.InnerFragment},
		{name: "a first fragment, not a multiple of eight",
			frame: build(t, ethernet(typeIPv4), fragment4(17, 0, true), udp(), raw(4)), want: reason.InnerFragment},
		{name: "a TCP fragment over the flags",
			frame: build(t, ethernet(typeIPv4), fragment4(6, 8, false), raw(32)), want: reason.InnerFragment},
		{name: "a fragment that makes the packet one byte too long",
			frame: build(t, ethernet(typeIPv4), fragment4(17, 65512, false), raw(4)), want: reason.InnerFragment},
		{name: "a fragment far past the longest packet",
			frame: build(t, ethernet(typeIPv4), fragment4(17, 65528, false), raw(100)), want: reason.InnerFragment},
	}
}

func ipv6Refusals(t testing.TB) []refusal {
	whole := func() []byte { return build(t, ethernet(typeIPv6), ipv6(17), udp(), raw(8)) }
	chain := func(ls ...gopacket.SerializableLayer) []byte {
		first := ls[0].(*layers.IPv6)
		return build(t, append([]gopacket.SerializableLayer{ethernet(typeIPv6), first}, ls[1:]...)...)
	}
	nine := []gopacket.SerializableLayer{ipv6(60)}
	for range 8 {
		nine = append(nine, extension(60, 8))
	}
	nine = append(nine, extension(17, 8), udp())
	return []refusal{
		{name: "an IPv6 header cut", frame: whole()[:53], want: reason.InnerTruncated},
		{name: "IPv6 with another version", frame: at(whole(), 14, 0x40), want: reason.InnerIPHeader},
		{name: "IPv6 payload length one byte past the end", frame: put16(whole(), 18, 17), want: reason.InnerLength},
		{name: "a jumbogram",
			frame: put16(chain(ipv6(0), gopacket.Payload{17, 0, 0xc2, 4, 0, 1, 0, 0}, udp()), 18, 0), want: reason.InnerLength},

		{name: "nine extension headers", frame: chain(nine...), want: reason.InnerExtension},
		{name: "hop-by-hop options behind another header",
			frame: chain(ipv6(60), extension(0, 8), extension(17, 8), udp()), want: reason.InnerExtension},
		{name: "hop-by-hop options twice",
			frame: chain(ipv6(0), extension(0, 8), extension(17, 8), udp()), want: reason.InnerExtension},
		{name: "a routing header with a segment left", frame: chain(ipv6(43), routing(17, 24, 1), udp()), want: reason.InnerSourceRoute},
		{name: "an extension header cut", frame: chain(ipv6(60), raw(7)), want: reason.InnerExtension},
		{name: "an extension header past the end", frame: at(chain(ipv6(60), extension(17, 16)), 55, 2), want: reason.InnerExtension},
		{name: "an extension header one byte past the end", frame: chain(ipv6(60), extension(59, 16)[:15]), want: reason.InnerExtension},
		{name: "an authentication header shorter than its fixed part",
			frame: at(chain(ipv6(51), authentication(17, 24), udp()), 55, 0), want: reason.InnerExtension},
		{name: "an authentication header past the end",
			frame: at(chain(ipv6(51), authentication(17, 24)), 55, 5), want: reason.InnerExtension},
		{name: "a fragment header cut", frame: chain(ipv6(44), raw(4)), want: reason.InnerExtension},
		{name: "two fragment headers",
			frame: chain(ipv6(44), fragment6(44, 0, true), fragment6(17, 0, true), udp()), want: reason.InnerExtension},
		{name: "a fragment header behind an atomic one",
			frame: chain(ipv6(44), fragment6(44, 0, false), fragment6(17, 0, true), udp()), want: reason.InnerExtension},

		{name: "a first fragment that ends inside the extension headers",
			frame: chain(ipv6(44), fragment6(60, 0, true), extension(60, 8), extension(17, 16)[:8]), want: reason.InnerFragment},
		{name: "a first fragment that ends before the upper-layer header",
			frame: chain(ipv6(44), fragment6(60, 0, true), extension(6, 8)), want: reason.InnerFragment},
		{name: "an IPv6 TCP fragment over the flags",
			frame: chain(ipv6(44), fragment6(6, 8, false), raw(32)), want: reason.InnerFragment},
		{name: "an IPv6 fragment with more to come, not a multiple of eight",
			frame: chain(ipv6(44), fragment6(17, 800, true), raw(12)), want: reason.InnerFragment},
		{name: "an IPv6 fragment that makes the packet one byte too long",
			frame: chain(ipv6(44), fragment6(17, 65528, false), raw(8)), want: reason.InnerFragment},
		{name: "an IPv6 fragment that makes the packet too long with the headers before it",
			frame: chain(ipv6(60), extension(44, 8), fragment6(17, 65520, false), raw(8)), want: reason.InnerFragment},
		{name: "an IPv6 fragment of nothing",
			frame: chain(ipv6(44), fragment6(17, 800, false)), want: reason.InnerFragment},
	}
}

// udp4 and udp6 are what is read of a UDP packet whose header is at l4.
func udp4(l4, end int) inspect.Frame {
	return inspect.Frame{EtherType: 0x0800, IP: 4, Protocol: 17, HasPorts: true, SrcPort: 40000, DstPort: 53,
		L3Offset: 14, L4Offset: l4, PayloadOffset: l4 + 8, HeaderBytes: l4 + 8, IPEnd: end}
}

func udp6(l4, end int) inspect.Frame {
	f := udp4(l4, end)
	f.EtherType, f.IP = 0x86dd, 6
	return f
}

// later is what is read of a fragment that is not the first.
func later(etherType uint16, ip, protocol uint8, payload, end int, g inspect.Fragment) inspect.Frame {
	return inspect.Frame{EtherType: etherType, IP: ip, Protocol: protocol, Fragmented: true, Fragment: g,
		L3Offset: 14, L4Offset: -1, PayloadOffset: payload, HeaderBytes: payload, IPEnd: end}
}

func with(f inspect.Frame, change func(*inspect.Frame)) inspect.Frame {
	change(&f)
	return f
}

// optioned is an IPv4 packet with these option bytes, a multiple of four.
func optioned(t testing.TB, options ...byte) []byte {
	b := build(t, ethernet(typeIPv4), ipv4(17), udp(), raw(8))
	b = append(append(append([]byte(nil), b[:34]...), options...), b[34:]...)
	b[14] += byte(len(options) / 4)
	return put16(b, 16, uint16(len(b)-14))
}

func ipv4Acceptances(t testing.TB) []acceptance {
	options := ipv4(17)
	options.Options = []layers.IPv4Option{{OptionType: 131, OptionLength: 7, OptionData: []byte{8, 10, 0, 0, 1}}}
	dscp := ipv4(17)
	dscp.TOS = 0xb9
	long := fragment4(17, 0, true)
	long.Flags |= layers.IPv4DontFragment
	return []acceptance{
		{name: "IPv4 with a source route that is done",
			frame: build(t, ethernet(typeIPv4), options, udp(), raw(8)), want: udp4(42, 58)},
		{name: "IPv4 with other options, and what looks like a source route behind their end",
			frame: optioned(t, 148, 4, 0, 0, 1, 0, 131, 7), want: udp4(42, 58)},
		{name: "IPv4 with DSCP and ECN", frame: build(t, ethernet(typeIPv4), dscp, udp(), raw(8)),
			want: with(udp4(34, 50), func(f *inspect.Frame) { f.TOS = 0xb9 })},
		{name: "IPv4 with the reserved flag and DF",
			frame: put16(build(t, ethernet(typeIPv4), ipv4(17), udp(), raw(8)), 20, 0xc000), want: udp4(34, 50)},
		{name: "a first fragment with DF and the whole header",
			frame: build(t, ethernet(typeIPv4), long, udp(), raw(8)),
			want: with(udp4(34, 50), func(f *inspect.Frame) {
				f.Fragmented, f.Fragment = true, inspect.Fragment{ID: 0x0102, More: true, Bytes: 16}
			})},
		{name: "a first fragment of a datagram that is longer",
			frame: put16(build(t, ethernet(typeIPv4), fragment4(17, 0, true), udp(), raw(8)), 38, 4000),
			want: with(udp4(34, 50), func(f *inspect.Frame) {
				f.Fragmented, f.Fragment = true, inspect.Fragment{ID: 0x0102, More: true, Bytes: 16}
			})},
		{name: "a later fragment with more to come",
			frame: build(t, ethernet(typeIPv4), fragment4(17, 1480, true), raw(16)),
			want:  later(0x0800, 4, 17, 34, 50, inspect.Fragment{ID: 0x0102, Offset: 1480, More: true, Bytes: 16})},
		{name: "a last fragment of the longest packet",
			frame: build(t, ethernet(typeIPv4), fragment4(17, 65512, false), raw(3)),
			want:  later(0x0800, 4, 17, 34, 37, inspect.Fragment{ID: 0x0102, Offset: 65512, Bytes: 3})},
		{name: "a TCP fragment behind the flags",
			frame: build(t, ethernet(typeIPv4), fragment4(6, 16, false), raw(5)),
			want:  later(0x0800, 4, 6, 34, 39, inspect.Fragment{ID: 0x0102, Offset: 16, Bytes: 5})},
		{name: "a UDP fragment right behind the header",
			frame: build(t, ethernet(typeIPv4), fragment4(17, 8, false), raw(5)),
			want:  later(0x0800, 4, 17, 34, 39, inspect.Fragment{ID: 0x0102, Offset: 8, Bytes: 5})},
	}
}

func ipv6Acceptances(t testing.TB) []acceptance {
	class := ipv6(17)
	class.TrafficClass = 0xb9
	class.FlowLabel = 0xfffff
	eight := []gopacket.SerializableLayer{ethernet(typeIPv6), ipv6(0), extension(60, 8)}
	for range 6 {
		eight = append(eight, extension(60, 8))
	}
	eight = append(eight, extension(17, 8), udp(), raw(8))
	return []acceptance{
		{name: "IPv6 with traffic class and flow label", frame: build(t, ethernet(typeIPv6), class, udp(), raw(8)),
			want: with(udp6(54, 70), func(f *inspect.Frame) { f.TOS = 0xb9 })},
		{name: "IPv6 with padding behind",
			frame: pad(build(t, ethernet(typeIPv6), ipv6(17), udp(), raw(8)), 3), want: udp6(54, 70)},
		{name: "hop-by-hop, routing, destination and authentication headers",
			frame: build(t, ethernet(typeIPv6), ipv6(0), extension(43, 8), routing(60, 24, 0), extension(51, 16),
				authentication(17, 24), udp(), raw(8)), want: udp6(126, 142)},
		{name: "eight extension headers", frame: build(t, eight...), want: udp6(118, 134)},
		{name: "an atomic fragment", frame: build(t, ethernet(typeIPv6), ipv6(44), fragment6(17, 0, false), udp(), raw(8)),
			want: with(udp6(62, 78), func(f *inspect.Frame) { f.Atomic = true })},
		{name: "a first IPv6 fragment, with options behind the fragment header",
			frame: build(t, ethernet(typeIPv6), ipv6(44), fragment6(60, 0, true), extension(17, 8), udp(), raw(8)),
			want: with(udp6(70, 86), func(f *inspect.Frame) {
				f.Fragmented, f.Fragment = true, inspect.Fragment{ID: 0x01020304, More: true, Bytes: 24}
			})},
		{name: "a later IPv6 fragment behind hop-by-hop options",
			frame: build(t, ethernet(typeIPv6), ipv6(0), extension(44, 8), fragment6(17, 1448, true), raw(16)),
			want:  later(0x86dd, 6, 17, 70, 86, inspect.Fragment{ID: 0x01020304, Offset: 1448, More: true, Bytes: 16})},
		{name: "a later IPv6 fragment of a packet with options inside is not walked",
			frame: build(t, ethernet(typeIPv6), ipv6(44), fragment6(60, 1448, false), raw(16)),
			want:  later(0x86dd, 6, 60, 62, 78, inspect.Fragment{ID: 0x01020304, Offset: 1448, Bytes: 16})},
		{name: "a last IPv6 fragment of the longest packet",
			frame: build(t, ethernet(typeIPv6), ipv6(44), fragment6(17, 65528, false), raw(7)),
			want:  later(0x86dd, 6, 17, 62, 69, inspect.Fragment{ID: 0x01020304, Offset: 65528, Bytes: 7})},
		{name: "no next header", frame: build(t, ethernet(typeIPv6), ipv6(59), raw(8)),
			want: inspect.Frame{EtherType: 0x86dd, IP: 6, Protocol: 59, L3Offset: 14, L4Offset: -1,
				PayloadOffset: 54, HeaderBytes: 54, IPEnd: 62}},
		{name: "an IPv6 header alone", frame: build(t, ethernet(typeIPv6), ipv6(59)),
			want: inspect.Frame{EtherType: 0x86dd, IP: 6, Protocol: 59, L3Offset: 14, L4Offset: -1,
				PayloadOffset: 54, HeaderBytes: 54, IPEnd: 54}},
		{name: "ESP behind destination options", frame: build(t, ethernet(typeIPv6), ipv6(60), extension(50, 8), raw(24)),
			want: inspect.Frame{EtherType: 0x86dd, IP: 6, Protocol: 50, L3Offset: 14, L4Offset: -1,
				PayloadOffset: 62, HeaderBytes: 62, IPEnd: 86}},
	}
}

func TestMappedAddressesStayIPv6(t *testing.T) {
	ip := ipv6(17)
	ip.SrcIP = append(make([]byte, 10), 0xff, 0xff, 10, 0, 0, 1)
	frame := build(t, ethernet(typeIPv6), ip, udp())
	var f inspect.Frame
	if r := f.Decode(frame, len(frame), 0, inspect.NoTag); r != reason.None {
		t.Fatalf("Decode: %v", r)
	}
	if got, want := f.Src.String(), "::ffff:10.0.0.1"; got != want || !f.Src.Is4In6() {
		t.Errorf("Src: got %s, want %s as IPv6", got, want)
	}
}
