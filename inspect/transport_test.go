package inspect_test

import (
	"fmt"
	"testing"

	"github.com/google/gopacket"
	"github.com/google/gopacket/layers"

	"sttwall/inspect"
	"sttwall/reason"
)

func transportRefusals(t testing.TB) []refusal {
	tcp4 := func() []byte { return build(t, ethernet(typeIPv4), ipv4(6), syn()) }
	udp4 := func() []byte { return build(t, ethernet(typeIPv4), ipv4(17), udp(), raw(8)) }
	return []refusal{
		{name: "a TCP header one byte short", frame: build(t, ethernet(typeIPv4), ipv4(6), raw(19)), want: reason.InnerTruncated},
		{name: "a TCP header one byte short in IPv6", frame: build(t, ethernet(typeIPv6), ipv6(6), raw(19)), want: reason.InnerTruncated},
		{name: "TCP behind the end of the IP packet, in padding",
			frame: put16(tcp4(), 16, 20), want: reason.InnerTruncated},
		{name: "TCP data offset 4", frame: at(tcp4(), 46, 0x40), want: reason.InnerTCPOffset},
		{name: "TCP data offset 0", frame: at(tcp4(), 46, 0), want: reason.InnerTCPOffset},
		{name: "TCP data offset past the end", frame: at(tcp4(), 46, 0x60), want: reason.InnerTCPOffset},
		{name: "TCP data offset past the IP packet, into padding",
			frame: at(pad(tcp4(), 4), 46, 0x60), want: reason.InnerTCPOffset},
		{name: "TCP data offset 4 in a first fragment",
			frame: at(build(t, ethernet(typeIPv4), fragment4(6, 0, true), syn(), raw(4)), 46, 0x40), want: reason.InnerTCPOffset},
		{name: "a segment with SYN and FIN", frame: at(tcp4(), 47, inspect.SYN|inspect.FIN), want: reason.InnerTCPFlags},
		{name: "a UDP header one byte short", frame: build(t, ethernet(typeIPv4), ipv4(17), raw(7)), want: reason.InnerTruncated},
		{name: "UDP length 7", frame: put16(udp4(), 38, 7), want: reason.InnerLength},
		{name: "UDP length 0", frame: put16(udp4(), 38, 0), want: reason.InnerLength},
		{name: "UDP length one byte past the IP packet", frame: put16(udp4(), 38, 17), want: reason.InnerLength},
		{name: "UDP length past the IP packet, into padding", frame: put16(pad(udp4(), 4), 38, 20), want: reason.InnerLength},
		{name: "UDP length 7 in a first fragment",
			frame: put16(build(t, ethernet(typeIPv4), fragment4(17, 0, true), udp(), raw(8)), 38, 7), want: reason.InnerLength},
		{name: "an SCTP header one byte short", frame: build(t, ethernet(typeIPv4), ipv4(132), raw(11)), want: reason.InnerTruncated},
		{name: "an ICMP header one byte short", frame: build(t, ethernet(typeIPv4), ipv4(1), raw(7)), want: reason.InnerTruncated},
		{name: "an ICMPv6 header without its checksum", frame: build(t, ethernet(typeIPv6), ipv6(58), raw(3)), want: reason.InnerTruncated},
		{name: "a first fragment that ends inside the target of a neighbour advertisement",
			frame: build(t, ethernet(typeIPv6), ipv6(44), fragment6(58, 0, true), advertisement(0x20)[:16]), want: reason.InnerFragment},
		{name: "no ICMPv6 header", frame: build(t, ethernet(typeIPv6), ipv6(58)), want: reason.InnerTruncated},
	}
}

// tcp4 and tcp6 are what is read of a TCP packet without options at l4.
func tcp4(l4, end int, flags uint16) inspect.Frame {
	return inspect.Frame{EtherType: 0x0800, IP: 4, Protocol: 6, HasPorts: true, SrcPort: 40000, DstPort: 80,
		HasTCP: true, TCPFlags: flags,
		L3Offset: 14, L4Offset: l4, PayloadOffset: l4 + 20, HeaderBytes: l4 + 20, IPEnd: end}
}

func tcp6(l4, end int, flags uint16) inspect.Frame {
	f := tcp4(l4, end, flags)
	f.EtherType, f.IP = 0x86dd, 6
	return f
}

func transportAcceptances(t testing.TB) []acceptance {
	options := syn()
	options.Options = []layers.TCPOption{
		{OptionType: layers.TCPOptionKindMSS, OptionLength: 4, OptionData: []byte{5, 0xb4}},
		{OptionType: layers.TCPOptionKindSACKPermitted, OptionLength: 2},
		{OptionType: layers.TCPOptionKindNop}, {OptionType: layers.TCPOptionKindNop},
	}
	accurate := syn()
	accurate.NS, accurate.ECE, accurate.CWR = true, true, true
	behind := func(f inspect.Frame, n int) inspect.Frame {
		f.PayloadOffset += n
		f.HeaderBytes += n
		return f
	}
	icmp := func(etherType uint16, ip, protocol, typ, code uint8, l4, header, end int) inspect.Frame {
		return inspect.Frame{EtherType: etherType, IP: ip, Protocol: protocol, HasICMP: true, ICMPType: typ, ICMPCode: code,
			L3Offset: 14, L4Offset: l4, PayloadOffset: l4 + header, HeaderBytes: l4 + header, IPEnd: end}
	}
	withID := func(f inspect.Frame, id uint16) inspect.Frame {
		f.HasICMPID, f.ICMPID = true, id
		return f
	}
	return []acceptance{
		{name: "TCP without payload", frame: build(t, ethernet(typeIPv4), ipv4(6), syn()),
			want: tcp4(34, 54, inspect.SYN)},
		{name: "TCP over IPv6 with payload", frame: build(t, ethernet(typeIPv6), ipv6(6), ack(), raw(5)),
			want: tcp6(54, 79, inspect.ACK)},
		{name: "TCP with options", frame: build(t, ethernet(typeIPv4), ipv4(6), options, raw(5)),
			want: behind(tcp4(34, 67, inspect.SYN), 8)},
		{name: "TCP with all options and no payload",
			frame: at(build(t, ethernet(typeIPv4), ipv4(6), ack(), raw(40)), 46, 0xf0),
			want:  behind(tcp4(34, 94, inspect.ACK), 40)},
		{name: "TCP that asks for accurate ECN", frame: build(t, ethernet(typeIPv4), ipv4(6), accurate),
			want: tcp4(34, 54, inspect.SYN|inspect.ECE|inspect.CWR|inspect.AE)},
		{name: "TCP with reserved bits set", frame: at(build(t, ethernet(typeIPv4), ipv4(6), syn()), 46, 0x5e),
			want: tcp4(34, 54, inspect.SYN)},
		{name: "a first fragment with the TCP header and nothing more",
			frame: at(build(t, ethernet(typeIPv4), fragment4(6, 0, true), syn(), raw(4)), 46, 0x60),
			want: with(behind(tcp4(34, 58, inspect.SYN), 4), func(f *inspect.Frame) {
				f.Fragmented, f.Fragment = true, inspect.Fragment{ID: 0x0102, More: true, Bytes: 24}
			})},
		{name: "UDP without payload", frame: build(t, ethernet(typeIPv4), ipv4(17), udp()), want: udp4(34, 42)},
		{name: "UDP shorter than its IP packet",
			frame: put16(build(t, ethernet(typeIPv6), ipv6(17), udp(), raw(8)), 58, 9), want: udp6(54, 70)},
		{name: "SCTP", frame: build(t, ethernet(typeIPv4), ipv4(132), &layers.SCTP{SrcPort: 5000, DstPort: 6000}, raw(4)),
			want: inspect.Frame{EtherType: 0x0800, IP: 4, Protocol: 132, HasPorts: true, SrcPort: 5000, DstPort: 6000,
				L3Offset: 14, L4Offset: 34, PayloadOffset: 46, HeaderBytes: 46, IPEnd: 50}},
		{name: "an ICMP error", frame: build(t, ethernet(typeIPv4), ipv4(1),
			&layers.ICMPv4{TypeCode: layers.CreateICMPv4TypeCode(3, 4)}, raw(28)),
			want: icmp(0x0800, 4, 1, 3, 4, 34, 8, 70)},
		{name: "a neighbour solicitation", frame: build(t, ethernet(typeIPv6), ipv6(58),
			gopacket.Payload{135, 0, 0, 0, 0, 0, 0, 0}, raw(16)),
			want: icmp(0x86dd, 6, 58, 135, 0, 54, 8, 78)},
		{name: "a neighbour advertisement in answer", frame: build(t, ethernet(typeIPv6), ipv6(58), advertisement(0x60), raw(8)),
			want: with(icmp(0x86dd, 6, 58, 136, 0, 54, 24, 86), func(f *inspect.Frame) {
				f.HasTarget, f.Target, f.Solicited = true, ip6A, true
			})},
		{name: "one that nobody asked for, as a first fragment",
			frame: build(t, ethernet(typeIPv6), ipv6(44), fragment6(58, 0, true), advertisement(0x20)),
			want: with(icmp(0x86dd, 6, 58, 136, 0, 62, 24, 86), func(f *inspect.Frame) {
				f.HasTarget, f.Target = true, ip6A
				f.Fragmented, f.Fragment = true, inspect.Fragment{ID: 0x01020304, More: true, Bytes: 24}
			})},
		{name: "one that ends inside its target names none",
			frame: build(t, ethernet(typeIPv6), ipv6(58), advertisement(0x20)[:23]),
			want:  icmp(0x86dd, 6, 58, 136, 0, 54, 8, 77)},
		{name: "its type in IPv4", frame: build(t, ethernet(typeIPv4), ipv4(58), advertisement(0x20)),
			want: icmp(0x0800, 4, 58, 136, 0, 34, 8, 58)},
		{name: "an echo request", frame: build(t, ethernet(typeIPv4), ipv4(1), gopacket.Payload{8, 0, 0, 0, 0x12, 0x34, 0, 1}, raw(16)),
			want: withID(icmp(0x0800, 4, 1, 8, 0, 34, 8, 58), 0x1234)},
		{name: "a timestamp reply", frame: build(t, ethernet(typeIPv4), ipv4(1), gopacket.Payload{14, 0, 0, 0, 0x12, 0x34, 0, 1}, raw(12)),
			want: withID(icmp(0x0800, 4, 1, 14, 0, 34, 8, 54), 0x1234)},
		{name: "an ICMPv6 echo reply", frame: build(t, ethernet(typeIPv6), ipv6(58), gopacket.Payload{129, 0, 0, 0, 0x12, 0x34, 0, 1}),
			want: withID(icmp(0x86dd, 6, 58, 129, 0, 54, 8, 62), 0x1234)},
		{name: "an ICMPv6 echo request cut off behind its identifier has none",
			frame: build(t, ethernet(typeIPv6), ipv6(58), gopacket.Payload{128, 0, 0, 0, 0x12, 0x34}),
			want:  icmp(0x86dd, 6, 58, 128, 0, 54, 6, 60)},
		{name: "the type of an IPv4 echo request in ICMPv6", frame: build(t, ethernet(typeIPv6), ipv6(58), gopacket.Payload{8, 0, 0, 0, 0x12, 0x34, 0, 1}),
			want: icmp(0x86dd, 6, 58, 8, 0, 54, 8, 62)},
		{name: "an ICMPv6 message without a body", frame: build(t, ethernet(typeIPv6), ipv6(58), gopacket.Payload{200, 1, 0, 0}),
			want: icmp(0x86dd, 6, 58, 200, 1, 54, 4, 58)},
		{name: "a protocol that is not read", frame: build(t, ethernet(typeIPv4), ipv4(47), raw(4)),
			want: inspect.Frame{EtherType: 0x0800, IP: 4, Protocol: 47, L3Offset: 14, L4Offset: 34, PayloadOffset: 34,
				HeaderBytes: 34, IPEnd: 38}},
		{name: "a protocol that is not read, without a byte", frame: build(t, ethernet(typeIPv4), ipv4(47)),
			want: inspect.Frame{EtherType: 0x0800, IP: 4, Protocol: 47, L3Offset: 14, L4Offset: -1, PayloadOffset: 34,
				HeaderBytes: 34, IPEnd: 34}},
		{name: "an authentication header in IPv4 is not walked", frame: build(t, ethernet(typeIPv4), ipv4(51), authentication(6, 24), syn()),
			want: inspect.Frame{EtherType: 0x0800, IP: 4, Protocol: 51, L3Offset: 14, L4Offset: 34, PayloadOffset: 34,
				HeaderBytes: 34, IPEnd: 78}},
		{name: "an IPv6 extension header in IPv4 is not walked", frame: build(t, ethernet(typeIPv4), ipv4(60), extension(6, 8), syn()),
			want: inspect.Frame{EtherType: 0x0800, IP: 4, Protocol: 60, L3Offset: 14, L4Offset: 34, PayloadOffset: 34,
				HeaderBytes: 34, IPEnd: 62}},
	}
}

// advertisement is a neighbour advertisement for ip6A: R, S and O are the top
// three bits of flags.
func advertisement(flags byte) gopacket.Payload {
	return append(gopacket.Payload{136, 0, 0, 0, flags, 0, 0, 0}, ip6A.AsSlice()...)
}

// TestTCPFlagsThatStacksSend tries all 512 combinations against the table that
// Linux uses (tcp_valid_flags in nf_conntrack_proto_tcp.c), without its opinion
// of URG: there it allows only SYN, SYN+ACK, RST, RST+ACK, FIN+ACK and ACK.
func TestTCPFlagsThatStacksSend(t *testing.T) {
	valid := map[uint16]bool{
		inspect.SYN: true, inspect.SYN | inspect.ACK: true, inspect.RST: true,
		inspect.RST | inspect.ACK: true, inspect.FIN | inspect.ACK: true, inspect.ACK: true,
	}
	frame := build(t, ethernet(typeIPv4), ipv4(6), syn())
	for flags := range uint16(512) {
		frame[46] = 0x50 | byte(flags>>8)
		frame[47] = byte(flags)
		var f inspect.Frame
		got := f.Decode(frame, len(frame), 0, inspect.NoTag)
		want := reason.InnerTCPFlags
		if valid[flags&^(inspect.PSH|inspect.URG|inspect.ECE|inspect.CWR|inspect.AE)] {
			want = reason.None
		}
		if got != want || f.TCPFlags != flags {
			t.Errorf("flags %#03x: got %v and flags %#03x, want %v", flags, got, f.TCPFlags, want)
		}
	}
}

func TestTCPPayloadAndChecksumOffset(t *testing.T) {
	for _, c := range []struct {
		name              string
		frame             []byte
		payload, checksum int
	}{
		{"TCP", pad(build(t, ethernet(typeIPv4), ipv4(6), ack(), raw(100)), 6), 100, 50},
		{"TCP without payload", build(t, ethernet(typeIPv6), ipv6(6), ack()), 0, 70},
		{"UDP", build(t, ethernet(typeIPv6), ipv6(17), udp(), raw(100)), 0, 60},
		{"ICMP", build(t, ethernet(typeIPv4), ipv4(1), raw(100)), 0, -1},
		{"a later fragment", build(t, ethernet(typeIPv4), fragment4(6, 800, false), raw(100)), 0, -1},
		{"ARP", build(t, ethernet(typeARP), arp()), 0, -1},
	} {
		t.Run(c.name, func(t *testing.T) {
			var f inspect.Frame
			if r := f.Decode(c.frame, len(c.frame), 0, inspect.NoTag); r != reason.None {
				t.Fatalf("Decode: %v", r)
			}
			got := fmt.Sprint(f.TCPPayload(), f.ChecksumOffset())
			if want := fmt.Sprint(c.payload, c.checksum); got != want {
				t.Errorf("TCPPayload, ChecksumOffset: got %s, want %s", got, want)
			}
		})
	}
}
