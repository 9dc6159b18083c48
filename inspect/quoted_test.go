package inspect_test

import (
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/gopacket"
	"github.com/google/gopacket/layers"

	"sttwall/inspect"
	"sttwall/reason"
)

// quoting is a test of one ICMP error.
type quoting struct {
	name  string
	frame []byte
	why   reason.Reason
	want  inspect.Quoted // only if why is none
}

// error4 is an ICMPv4 error that quotes the layers; error6 an ICMPv6 one.
func error4(t testing.TB, kind uint8, quoted ...gopacket.SerializableLayer) []byte {
	return build(t, append([]gopacket.SerializableLayer{ethernet(typeIPv4), ipv4(1), gopacket.Payload{kind, 1, 0, 0, 0, 0, 5, 0xdc}}, quoted...)...)
}

func error6(t testing.TB, kind uint8, quoted ...gopacket.SerializableLayer) []byte {
	return build(t, append([]gopacket.SerializableLayer{ethernet(typeIPv6), ipv6(58), gopacket.Payload{kind, 0, 0, 0, 0, 0, 5, 0xdc}}, quoted...)...)
}

func quotings(t testing.TB) []quoting {
	sequence := func() *layers.TCP {
		h := ack()
		h.Seq = 0x01020304
		return h
	}
	later := func(end int) inspect.Quoted {
		return inspect.Quoted{Fragment: true, HeaderBytes: end}
	}
	v4 := func(protocol uint8, q inspect.Quoted) inspect.Quoted {
		q.IP, q.Protocol, q.Src, q.Dst = 4, protocol, ip4A, ip4B
		return q
	}
	v6 := func(protocol uint8, q inspect.Quoted) inspect.Quoted {
		q.IP, q.Protocol, q.Src, q.Dst = 6, protocol, ip6A, ip6B
		return q
	}
	tcp := inspect.Quoted{HasPorts: true, SrcPort: 40000, DstPort: 80, Sequence: 0x01020304}
	behind := func(q inspect.Quoted, headerBytes int) inspect.Quoted {
		q.HeaderBytes = headerBytes
		return q
	}
	eight := error4(t, 3, ipv4(6), sequence())
	eight = put16(eight[:14+20+8+20+8], 16, 20+8+20+8)
	return []quoting{
		{name: "unreachable, with a whole TCP header", frame: error4(t, 3, ipv4(6), sequence(), raw(20)), want: v4(6, behind(tcp, 70))},
		{name: "unreachable, with eight bytes of TCP", frame: eight, want: v4(6, behind(tcp, 70))},
		{name: "time exceeded about UDP", frame: error4(t, 11, ipv4(17), udp(), raw(4)),
			want: v4(17, inspect.Quoted{HasPorts: true, SrcPort: 40000, DstPort: 53, HeaderBytes: 70})},
		{name: "a parameter problem of an echo request", frame: error4(t, 12, ipv4(1), gopacket.Payload{8, 0, 0, 0, 0x12, 0x34, 0, 1}),
			want: v4(1, inspect.Quoted{HasICMP: true, ICMPType: 8, HasICMPID: true, ICMPID: 0x1234, HeaderBytes: 70})},
		{name: "an error about an error has no identifier", frame: error4(t, 3, ipv4(1), gopacket.Payload{3, 0, 0, 0, 0x12, 0x34, 0, 1}),
			want: v4(1, inspect.Quoted{HasICMP: true, ICMPType: 3, HeaderBytes: 70})},
		{name: "a protocol without ports", frame: error4(t, 3, ipv4(47), raw(8)), want: v4(47, inspect.Quoted{HeaderBytes: 62})},
		{name: "a later fragment", frame: error4(t, 11, fragment4(17, 800, true), raw(8)), want: v4(17, later(62))},
		{name: "a first fragment", frame: error4(t, 11, fragment4(6, 0, true), sequence()), want: v4(6, behind(tcp, 70))},
		{name: "a quoted total length that is wrong", frame: put16(error4(t, 3, ipv4(6), sequence()), 44, 0xffff), want: v4(6, behind(tcp, 70))},
		{name: "packet too big", frame: error6(t, 2, ipv6(6), sequence()), want: v6(6, behind(tcp, 110))},
		{name: "IPv6 extension headers", frame: error6(t, 1, ipv6(0), extension(60, 8), extension(6, 16), sequence()), want: v6(6, behind(tcp, 134))},
		{name: "an IPv6 routing header that has segments left", frame: error6(t, 3, ipv6(43), routing(6, 24, 1), sequence()), want: v6(6, behind(tcp, 134))},
		{name: "an authentication header", frame: error6(t, 1, ipv6(51), authentication(6, 24), sequence()), want: v6(6, behind(tcp, 134))},
		{name: "an atomic IPv6 fragment", frame: error6(t, 4, ipv6(44), fragment6(6, 0, false), sequence()), want: v6(6, behind(tcp, 118))},
		{name: "a later IPv6 fragment", frame: error6(t, 3, ipv6(44), fragment6(17, 800, true), raw(8)), want: v6(17, later(110))},

		{name: "an echo request quotes nothing", frame: error4(t, 8, ipv4(6), sequence()), why: reason.InnerIPHeader},
		{name: "source quench is no error any more", frame: error4(t, 4, ipv4(6), sequence()), why: reason.InnerIPHeader},
		{name: "a redirect is no error", frame: error4(t, 5, ipv4(6), sequence()), why: reason.InnerIPHeader},
		{name: "a neighbour solicitation quotes nothing", frame: error6(t, 135, ipv6(6), sequence()), why: reason.InnerIPHeader},
		{name: "no ICMP at all", frame: build(t, ethernet(typeIPv4), ipv4(6), syn()), why: reason.InnerIPHeader},
		{name: "an ICMPv6 error without a body", frame: build(t, ethernet(typeIPv6), ipv6(58), gopacket.Payload{1, 0, 0, 0}), why: reason.InnerIPHeader},
		{name: "nothing quoted", frame: error4(t, 3), why: reason.InnerTruncated},
		{name: "an IPv6 packet in an IPv4 error", frame: error4(t, 3, ipv6(6), sequence()), why: reason.InnerIPHeader},
		{name: "an IPv4 packet in an IPv6 error", frame: error6(t, 1, ipv4(6), sequence(), raw(20)), why: reason.InnerIPHeader},
		{name: "a quoted header length of 16", frame: at(error4(t, 3, ipv4(6), sequence()), 42, 0x44), why: reason.InnerIPHeader},
		{name: "a quoted header longer than the error", frame: at(error4(t, 3, ipv4(6), raw(8)), 42, 0x4f), why: reason.InnerTruncated},
		{name: "seven bytes of TCP", frame: error4(t, 3, ipv4(6), raw(7)), why: reason.InnerTruncated},
		{name: "an IPv6 chain that is cut off", frame: error6(t, 1, ipv6(60), extension(6, 16)[:12]), why: reason.InnerTruncated},
		{name: "an authentication header of 8 bytes", frame: error6(t, 1, ipv6(51), authentication(6, 8), sequence()), why: reason.InnerExtension},
		{name: "more extension headers than there is a use for", frame: error6(t, 1, ipv6(60),
			extension(60, 8), extension(60, 8), extension(60, 8), extension(60, 8), extension(60, 8),
			extension(60, 8), extension(60, 8), extension(60, 8), extension(6, 8), sequence()), why: reason.InnerExtension},
	}
}

func TestQuotedPacketsAreReadAsFarAsTheyGo(t *testing.T) {
	for _, c := range quotings(t) {
		t.Run(c.name, func(t *testing.T) {
			var f inspect.Frame
			if r := f.Decode(c.frame, len(c.frame), 0, inspect.NoTag); r != reason.None {
				t.Fatalf("Decode of the error: %v", r)
			}
			q := inspect.Quoted{HasPorts: true, Fragment: true, ICMPID: 9} // used before
			if got := q.Decode(c.frame, &f); got != c.why {
				t.Fatalf("got %v, want %v", got, c.why)
			}
			if c.why == reason.None && q != c.want {
				t.Errorf("-want +got\n%s", cmp.Diff(c.want, q, sameAddr))
			}
		})
	}
}

func TestQuotedDoesNotAllocate(t *testing.T) {
	for _, c := range quotings(t) {
		var f inspect.Frame
		var q inspect.Quoted
		f.Decode(c.frame, len(c.frame), 0, inspect.NoTag)
		if n := testing.AllocsPerRun(100, func() { q.Decode(c.frame, &f) }); n != 0 {
			t.Errorf("%s: %v allocations, want 0", c.name, n)
		}
	}
}

// FuzzQuoted: a shorter copy gives the same or says that it is too short, and
// bytes behind HeaderBytes have no say.
func FuzzQuoted(f *testing.F) {
	for _, c := range quotings(f) {
		f.Add(c.frame, uint16(60))
	}
	f.Fuzz(func(t *testing.T, data []byte, cut uint16) {
		var frame inspect.Frame
		if frame.Decode(data, len(data), 0, inspect.NoTag) != reason.None {
			return
		}
		var whole, part inspect.Quoted
		why := whole.Decode(data, &frame)
		if why == reason.CopyTooShort {
			t.Fatal("the copy is whole")
		}
		n := max(min(int(cut), len(data)), frame.HeaderBytes)
		got := part.Decode(data[:n], &frame)
		if got != why && got != reason.CopyTooShort {
			t.Fatalf("copy of %d bytes: got %v, want %v", n, got, why)
		}
		if why != reason.None {
			return
		}
		if whole.HeaderBytes < frame.HeaderBytes || whole.HeaderBytes > frame.IPEnd {
			t.Fatalf("headers of %d bytes in a packet that ends at %d", whole.HeaderBytes, frame.IPEnd)
		}
		if (got == reason.None) != (n >= whole.HeaderBytes) {
			t.Fatalf("copy of %d bytes, headers of %d: got %v", n, whole.HeaderBytes, got)
		}
		other := append([]byte(nil), data...)
		for i := whole.HeaderBytes; i < len(other); i++ {
			other[i] ^= 0xff
		}
		if got := part.Decode(other, &frame); got != why || part != whole {
			t.Fatalf("other bytes behind the headers: got %v\n%s", got, cmp.Diff(whole, part, sameAddr))
		}
	})
}
