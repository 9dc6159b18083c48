package capture

import (
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestLinkHeadersAreWalked(t *testing.T) {
	macs := make([]byte, 12)
	ethernet := func(rest ...byte) []byte { return append(macs[:12:12], rest...) }
	sll := func(rest ...byte) []byte { return append(make([]byte, 14), rest...) }
	sll2 := func(protocol ...byte) []byte {
		return append(protocol[:2:2], append(make([]byte, 18), protocol[2:]...)...)
	}
	type result struct {
		IP     bool
		Header int
		Tags   []uint16
	}
	for _, test := range []struct {
		name string
		link LinkType
		data []byte
		want result
	}{
		{"Ethernet with IPv4", LinkEthernet, ethernet(0x08, 0x00, 0x45), result{true, 14, nil}},
		{"Ethernet with IPv6", LinkEthernet, ethernet(0x86, 0xdd, 0x60), result{true, 14, nil}},
		{"Ethernet with ARP", LinkEthernet, ethernet(0x08, 0x06, 0), result{}},
		{"Ethernet with an 802.3 length", LinkEthernet, ethernet(0x00, 0x40, 0xaa, 0xaa, 3), result{}},
		{"a priority tag", LinkEthernet, ethernet(0x81, 0, 0, 0, 0x08, 0x00, 0x45), result{true, 18, []uint16{0}}},
		{"a service tag and a customer tag", LinkEthernet, ethernet(0x88, 0xa8, 0x20, 7, 0x81, 0, 0, 42, 0x86, 0xdd, 0x60), result{true, 22, []uint16{0x2007, 42}}},
		{"two tags of the older kind", LinkEthernet, ethernet(0x91, 0, 0, 7, 0x91, 0, 0, 42, 0x08, 0), result{true, 22, []uint16{7, 42}}},
		{"a tag before ARP", LinkEthernet, ethernet(0x81, 0, 0, 9, 0x08, 0x06), result{false, 0, []uint16{9}}},
		{"five tags", LinkEthernet, ethernet(0x81, 0, 0, 1, 0x81, 0, 0, 2, 0x81, 0, 0, 3, 0x81, 0, 0, 4, 0x81, 0, 0, 5, 0x08, 0), result{false, 0, []uint16{1, 2, 3, 4}}},
		{"a header cut off", LinkEthernet, ethernet(0x08), result{}},
		{"a tag cut off", LinkEthernet, ethernet(0x81, 0, 0, 1, 0x08), result{}},
		{"no packet behind the header", LinkEthernet, ethernet(0x08, 0), result{true, 14, nil}},
		{"cooked with IPv4", LinkLinuxSLL, sll(0x08, 0, 0x45), result{true, 16, nil}},
		{"cooked with a tag", LinkLinuxSLL, sll(0x81, 0, 0x10, 42, 0x86, 0xdd, 0x60), result{true, 20, []uint16{0x102a}}},
		{"cooked with ARP", LinkLinuxSLL, sll(0x08, 0x06, 0), result{}},
		{"cooked v2 with IPv6", LinkLinuxSLL2, sll2(0x86, 0xdd, 0x60), result{true, 20, nil}},
		{"cooked v2 with a tag", LinkLinuxSLL2, sll2(0x81, 0, 0, 42, 0x08, 0, 0x45), result{true, 24, []uint16{42}}},
		{"cooked v2 cut off", LinkLinuxSLL2, sll2(0x08, 0)[:19], result{}},
		{"raw IPv4", LinkRaw, []byte{0x45}, result{true, 0, nil}},
		{"raw IPv6", LinkRawBSD, []byte{0x60}, result{true, 0, nil}},
		{"raw of neither", LinkRawOpenBSD, []byte{0x50}, result{}},
		{"raw and empty", LinkRaw, nil, result{}},
		{"IPv4 alone", LinkIPv4, []byte{0x45}, result{true, 0, nil}},
		{"IPv6 alone", LinkIPv6, []byte{0x60}, result{true, 0, nil}},
		{"loopback of a little-endian machine", LinkNull, []byte{2, 0, 0, 0, 0x45}, result{true, 4, nil}},
		{"loopback of a big-endian machine", LinkNull, []byte{0, 0, 0, 30, 0x60}, result{true, 4, nil}},
		{"loopback with IPv6 of FreeBSD", LinkNull, []byte{28, 0, 0, 0, 0x60}, result{true, 4, nil}},
		{"loopback in network byte order", LinkLoop, []byte{0, 0, 0, 24, 0x60}, result{true, 4, nil}},
		{"loopback with something else", LinkNull, []byte{7, 0, 0, 0, 0x60}, result{}},
		{"loopback cut off", LinkNull, []byte{2, 0, 0}, result{}},
		{"a link type that is not known", 127, ethernet(0x08, 0, 0x45), result{}},
		{"one whose low byte is Ethernet's", 257, ethernet(0x08, 0, 0x45), result{}},
	} {
		t.Run(test.name, func(t *testing.T) {
			p := Packet{Link: test.link, Data: test.data, WireLen: len(test.data) + 10}
			p.walk()
			got := result{p.IP, p.HeaderLen, p.Tags}
			if diff := cmp.Diff(test.want, got); diff != "" {
				t.Errorf("(-want +got):\n%s", diff)
			}
			if p.IP && (len(p.Header())+len(p.IPPacket()) != len(p.Data) || p.IPLength() != len(p.IPPacket())+10) {
				t.Errorf("parts of %d and %d bytes, %d on the wire, of %d", len(p.Header()), len(p.IPPacket()), p.IPLength(), len(p.Data))
			}
		})
	}
}
