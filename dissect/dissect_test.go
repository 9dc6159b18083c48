package dissect_test

import (
	"encoding/hex"
	"fmt"
	"slices"
	"strings"
	"testing"

	"sttwall/dissect"
)

// hexFrame is a frame written as hex, with spaces where it helps to read.
type hexFrame struct {
	name          string
	header, inner string
	ovn           bool
	// apart: tshark has a reading of its own, of lengths that contradict each other,
	// of a source route whose last address it takes for the destination, or of what is
	// cut off in a header.
	apart bool
	// notes are all that are there, as "layer: note" or "layer, field: note".
	notes []string
	// values are some that are there, as "layer, field: value".
	values []string
	layers string // their names
}

func (c *hexFrame) frame() (header, inner []byte) { return unhex(c.header), unhex(c.inner) }

func unhex(text string) []byte {
	b, err := hex.DecodeString(strings.ReplaceAll(text, " ", ""))
	if err != nil {
		panic(err)
	}
	return b
}

const (
	ether4  = "020000000002 020000000001 0800 "
	ether6  = "020000000002 020000000001 86dd "
	partial = "00 0e 22 00 0000 0000 0000000000000064 0000"
	// tcp40 is IPv4 with a TCP SYN, 40 bytes; its TCP checksum is the sum of the
	// pseudo-header.
	tcp40 = "4500 0028 0001 0000 40 06 66cd 0a000001 0a000002 " +
		"9c40 01bb 00000001 00000000 5002 ffff 141d 0000"
	plain = "00 00 00 00 0000 0000 0000000000000064 0000"
)

var made = []hexFrame{
	{
		name: "a good frame has no notes", header: partial, inner: ether4 + tcp40,
		layers: "STT frame header, Ethernet, IPv4, TCP",
		values: []string{
			"STT frame header, flags: 0x0e checksum partial, IPv4, TCP", "STT frame header, context ID: 0x0000000000000064 (100)",
			"Ethernet, ethertype: 0x0800 IPv4", "IPv4, source: 10.0.0.1", "TCP, destination port: 443", "TCP, flags: 0x002 syn",
			"TCP, checksum: 0x141d partial: the receiver finishes it",
		},
	},
	{
		name: "a lie about the L4 offset", header: "00 0e 36 00 0000 0000 0000000000000064 0000", inner: ether4 + tcp40,
		notes: []string{"STT frame header, L4 offset: L4 offset says 54, the TCP header is at 34"},
	},
	{
		name: "no L4 offset with checksum partial", header: "00 0e 00 00 0000 0000 0000000000000064 0000", inner: ether4 + tcp40,
		notes: []string{"STT frame header, L4 offset: 0 with checksum partial"},
	},
	{
		name: "flags that contradict the packet", header: "01 f3 22 01 0001 002a 0000000000000064 0001", inner: ether4 + tcp40,
		notes: []string{
			"STT frame header, version: not 0: such frames are dropped",
			"STT frame header, flags: reserved bits are set; verified and partial at once: receivers differ about it; " +
				"says IPv6, the inner packet is IPv4; says UDP, the inner packet is TCP",
			"STT frame header, reserved: not 0; receivers do not look",
			"STT frame header, MSS: below 536: the receiver would cut the frame into very many packets",
			"STT frame header, V: clear beside a VLAN tag that is not 0: Open vSwitch on Linux takes the tag, the Windows one does not",
			"STT frame header, padding: not 0; receivers do not look",
		},
		values: []string{"STT frame header, VLAN ID: 42"},
	},
	{
		name: "the ovn layout", header: "00 00 00 00 0000 3005 8000 0700 0900 000c 0000", inner: ether4 + tcp40, ovn: true,
		values: []string{
			"STT frame header, priority: 1", "STT frame header, V: 1 a tag is present", "STT frame header, reserved: 0x100",
			"STT frame header, ingress port: 7", "STT frame header, egress port: 9", "STT frame header, datapath: 12",
		},
		notes: []string{"STT frame header, reserved: not 0: such frames are dropped in the ovn layout", "TCP, checksum: wrong"},
	},
	{
		name: "flags without checksum partial", header: "00 0c 00 00 05a8 0000 0000000000000064 0000", inner: ether4 + tcp40,
		notes: []string{
			"STT frame header, flags: IPv4 and TCP mean nothing without checksum partial",
			"STT frame header, MSS: means nothing without checksum partial", "TCP, checksum: wrong",
		},
	},
	{
		name: "a short frame header", header: "000e22", inner: ether4 + tcp40,
		notes: []string{"STT frame header: cut off: 3 of 18 bytes were kept"},
	},
	{
		name: "two tags and one too many", header: plain,
		inner: "020000000002 020000000001 88a8 6064 8100 1005 8100 0007 0806" +
			"0001 0800 06 04 0001 020000000001 0a000001 000000000000 0a000002",
		layers: "STT frame header, Ethernet, 802.1ad tag, 802.1Q tag, 802.1Q tag, ARP",
		notes:  []string{"802.1Q tag: more than two tags: such frames are dropped"},
		values: []string{"802.1ad tag, priority: 3", "802.1ad tag, VLAN ID: 100", "802.1Q tag, drop eligible: 1", "ARP, operation: 1 request"},
	},
	{
		name: "SNAP, with the bytes behind its length", header: plain,
		inner:  "020000000002 020000000001 0030 aaaa03 000000 0800" + tcp40 + "00000000",
		layers: "STT frame header, Ethernet, LLC, IPv4, TCP, trailer",
		notes:  []string{"TCP, checksum: wrong"},
		values: []string{"Ethernet, length: 48", "LLC, ethertype: 0x0800 IPv4", "trailer, data: 4 bytes, all zero"},
	},
	{
		name: "IPv4 options", apart: true, header: plain,
		inner: ether4 + "4700 001c 0001 0000 40 fd 0000 0a000001 0a000002 01 8307040a000009 " + "",
		notes: []string{"IPv4, header checksum: wrong"},
		values: []string{
			"IPv4, header length: 28 bytes", "IPv4, option: no operation", "IPv4, option: loose source route 040a000009",
		},
	},
	{
		name: "a router alert", header: plain,
		inner:  ether4 + "4600 001c 0001 0000 01 02 0000 0a000001 e0000016 9404 0000 22001234",
		notes:  []string{"IPv4, header checksum: wrong"},
		values: []string{"IPv4, option: router alert 0000"},
	},
	{
		name: "an IPv6 chain and a fragment", header: plain,
		inner: ether6 + "60000000 0020 00 40 fd000000000000000000000000000001 fd000000000000000000000000000002" +
			"2c 00 0502 0000 0100" + "11 00 0001 00000007" + "1f90 0035 0030 0000 6162636465666768",
		layers: "STT frame header, Ethernet, IPv6, hop-by-hop options, fragment header, UDP, payload",
		values: []string{
			"hop-by-hop options, option: router alert 0000", "hop-by-hop options, option: PadN", "fragment header, fragment offset: 0",
			"fragment header, more fragments: 1", "UDP, length: 48", `payload, data: 8 bytes, begins "abcdefgh"`,
		},
	},
	{
		name: "an ICMP error quotes a packet", apart: true, header: plain,
		inner: ether4 + "4500 0038 0001 0000 40 01 66c2 0a000001 0a000002" + "03 03 5f00 0000 0000" +
			"4500 05dc 0001 0000 40 06 6117 0a000002 0a000003 01bb 9c40 00000001",
		layers: "STT frame header, Ethernet, IPv4, ICMP, quoted IPv4, quoted TCP",
		values: []string{"ICMP, code: 3 port-unreachable", "quoted IPv4, total length: 1500", "quoted TCP, source port: 443"},
	},
	{
		name: "a neighbour solicitation", header: plain,
		inner: ether6 + "60000000 0020 3a ff fd000000000000000000000000000001 ff0200000000000000000001ff000002" +
			"87 00 0000 00000000 fd000000000000000000000000000002 0101 020000000001",
		notes:  []string{"ICMPv6, checksum: wrong"},
		values: []string{"ICMPv6, type: 135 neighbour-solicitation", "ICMPv6, option: source link-layer address 02:00:00:00:00:01"},
	},
	{
		name: "SCTP", header: plain, inner: ether4 + "4500 0024 0001 0000 40 84 6653 0a000001 0a000002 8e3c 0b59 00000001 00000000 03000010",
		layers: "STT frame header, Ethernet, IPv4, SCTP, chunks",
		values: []string{"SCTP, destination port: 2905"},
	},
	{
		name: "TCP that nobody sends, with options", header: plain,
		inner: ether4 + "4500 0038 0001 0000 40 06 66bd 0a000001 0a000002" +
			"9c40 01bb 00000001 00000000 9007 ffff 0000 0000 020405b4 0402 01 0303 07 00 0000000000",
		notes: []string{"TCP, flags: no TCP sends these together", "TCP, checksum: wrong"},
		values: []string{
			"TCP, flags: 0x007 fin, syn, rst", "TCP, option: maximum segment size 1460", "TCP, option: SACK permitted", "TCP, option: window scale 7",
			"TCP, option: end of list",
		},
	},
	{
		name: "lengths that are no lengths", apart: true, header: plain,
		inner: ether4 + "4300 0010 0001 2001 40 11 0000 0a000001 0a000002 0000",
		notes: []string{
			"IPv4, header length: less than 20: no such packet passes", "IPv4, total length: less than the header has",
		},
	},
	{
		name: "a frame shorter than its packet says", apart: true, header: plain,
		inner: ether4 + "4500 0100 0001 0000 40 11 65ea 0a000001 0a000002 0035 0035 00ec 0000",
		notes: []string{"IPv4, total length: the frame has 228 bytes less", "UDP, length: the packet has 8"},
	},
	{name: "a runt", apart: true, header: plain, inner: "0200000000", notes: []string{"Ethernet: the frame ends in it"}},
}

func TestFieldsAndWhatIsWrongWithThem(t *testing.T) {
	for _, c := range made {
		t.Run(c.name, func(t *testing.T) {
			header, inner := c.frame()
			var names, notes, values []string
			layers := dissect.Dissect(&dissect.Frame{Header: header, Data: inner, OVN: c.ovn})
			checkOrder(t, layers, len(header), len(inner))
			for _, l := range layers {
				names = append(names, l.Name)
				if l.Note != "" {
					notes = append(notes, l.Name+": "+l.Note)
				}
				for _, f := range l.Fields {
					values = append(values, fmt.Sprintf("%s, %s: %s", l.Name, f.Name, f.Value))
					if f.Note != "" {
						notes = append(notes, fmt.Sprintf("%s, %s: %s", l.Name, f.Name, f.Note))
					}
				}
			}
			if got := strings.Join(names, ", "); c.layers != "" && got != c.layers {
				t.Errorf("layers: got %s, want %s", got, c.layers)
			}
			if !slices.Equal(notes, c.notes) {
				t.Errorf("notes: got\n%s\nwant\n%s", strings.Join(notes, "\n"), strings.Join(c.notes, "\n"))
			}
			for _, v := range c.values {
				if !slices.Contains(values, v) {
					t.Errorf("no %q in\n%s", v, strings.Join(values, "\n"))
				}
			}
		})
	}
}

func TestOptionsBeyondTheBoundAreOneField(t *testing.T) {
	// A hop-by-hop header of 2,048 bytes, all of them Pad1.
	inner := unhex(ether6 + "60000000 0800 00 40" + strings.Repeat("00", 32) + "3bff")
	inner = append(inner, make([]byte, 2046)...)
	layers := dissect.Dissect(&dissect.Frame{Data: inner})
	checkOrder(t, layers, 0, len(inner))
	l := layers[len(layers)-1]
	last := l.Fields[len(l.Fields)-1]
	if l.Name != "hop-by-hop options" || last.Name != "more options" || last.Offset+last.Length != len(inner) || len(l.Fields) > 80 {
		t.Errorf("%s has %d fields, the last one %+v", l.Name, len(l.Fields), last)
	}
}

func BenchmarkDissect(b *testing.B) {
	for _, c := range made[:1] {
		header, inner := c.frame()
		f := &dissect.Frame{Header: header, Data: inner}
		b.Run(fmt.Sprintf("frame=%d", len(inner)), func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				dissect.Dissect(f)
			}
		})
	}
}
