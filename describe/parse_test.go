package describe

import (
	"errors"
	"net/netip"
	"os"
	"regexp"
	"strings"
	"testing"

	"sttwall/inspect"
)

func TestParse(t *testing.T) {
	addr := netip.MustParseAddr
	for _, tt := range []struct {
		text string
		want func(f *inspect.Frame) bool
	}{
		{"tcp 10.9.9.9:40000 > 10.1.0.10:443 syn", func(f *inspect.Frame) bool {
			return f.IP == 4 && f.Src == addr("10.9.9.9") && f.Dst == addr("10.1.0.10") && f.SrcPort == 40000 && f.DstPort == 443 && f.TCPFlags == inspect.SYN
		}},
		{"tcp 10.9.9.9 > 10.1.0.10:443", func(f *inspect.Frame) bool { return f.SrcPort == 40000 && f.TCPFlags == inspect.ACK }},
		{"tcp 10.9.9.9:1 > 10.1.0.10:443 syn,ack seq 5 ack-number 6 win 7 mss 1460 wscale 7 len 100", func(f *inspect.Frame) bool {
			return f.TCPFlags == inspect.SYN|inspect.ACK && f.TCPPayload() == 100
		}},
		{"tcp [2001:db8::1]:1 > [2001:db8::2]:2 fin ack", func(f *inspect.Frame) bool { return f.IP == 6 && f.Src == addr("2001:db8::1") && f.DstPort == 2 }},
		{"udp 10.0.0.1:5000 > 10.0.0.2:53 len 30 dscp 46", func(f *inspect.Frame) bool { return f.Protocol == 17 && f.TOS == 46<<2 }},
		{"sctp 10.0.0.1:1 > 10.0.0.2:2", func(f *inspect.Frame) bool { return f.Protocol == 132 && f.DstPort == 2 }},
		{"icmp 10.0.0.1 > 10.0.0.2 echo-request id 7", func(f *inspect.Frame) bool { return f.HasICMP && f.ICMPType == 8 }},
		{"icmp 10.0.0.1 > 10.0.0.2 destination-unreachable/port-unreachable about (udp 10.0.0.2:53 > 10.0.0.1:9)", func(f *inspect.Frame) bool {
			return f.ICMPType == 3 && f.ICMPCode == 3
		}},
		{"icmpv6 fe80::1 > ff02::1 nd-neighbor-solicit len 16", func(f *inspect.Frame) bool { return f.ICMPType == 135 && f.Dst == addr("ff02::1") }},
		{"icmpv6 2001:db8::1 > 2001:db8::2 packet-too-big about (tcp [2001:db8::2]:1 > [2001:db8::1]:2 ack len 900)", func(f *inspect.Frame) bool { return f.ICMPType == 2 }},
		{"protocol 89 10.0.0.1 > 224.0.0.5", func(f *inspect.Frame) bool { return f.Protocol == 89 }},
		{"arp request 10.0.0.1 > 10.0.0.2", func(f *inspect.Frame) bool {
			return f.EtherType == inspect.EtherTypeARP && f.ARPOperation == 1 && f.Src == addr("10.0.0.1") && f.EthDst == [6]byte{255, 255, 255, 255, 255, 255}
		}},
		{"arp reply 10.0.0.1 > 10.0.0.2", func(f *inspect.Frame) bool { return f.ARPOperation == 2 && f.EthDst == [6]byte{2, 0, 0, 0, 0, 2} }},
		{"ethertype 0x88cc len 46", func(f *inspect.Frame) bool { return f.EtherType == 0x88cc && f.IP == 0 }},
		{"udp 10.0.0.1:1 > 10.0.0.2:2 vlan 10 pcp 5 vlan 20", func(f *inspect.Frame) bool {
			return f.TagCount == 2 && f.Tags[0] == 5<<13|10 && f.Tags[1] == 20
		}},
		{"udp 10.0.0.1:1 > 10.0.0.2:2 mac 02:00:00:00:00:0a > 02:00:00:00:00:0b", func(f *inspect.Frame) bool { return f.EthSrc[5] == 10 && f.EthDst[5] == 11 }},
		{"udp 10.0.0.1:1 > 10.0.0.2:2 frag first", func(f *inspect.Frame) bool { return f.Fragmented && f.Fragment.Offset == 0 && f.HasPorts }},
		{"udp 10.0.0.1:1 > 10.0.0.2:2 frag later", func(f *inspect.Frame) bool { return f.Fragmented && f.Fragment.Offset == laterOffset && !f.HasPorts }},
		{"udp [2001:db8::1]:1 > [2001:db8::2]:2 frag later id 9", func(f *inspect.Frame) bool { return f.Fragmented && f.Fragment.ID == 9 }},
	} {
		t.Run(tt.text, func(t *testing.T) {
			p, err := Parse(tt.text)
			if err != nil {
				t.Fatal(err)
			}
			if !tt.want(&p.Frame) {
				t.Errorf("%+v", p.Frame)
			}
		})
	}
}

func TestParseReadsOuterEndpoints(t *testing.T) {
	p, err := Parse("udp 10.0.0.1:1 > 10.0.0.2:2 from 10.47.0.1 to 2001:db8::9")
	if err != nil || p.From != netip.MustParseAddr("10.47.0.1") || p.To != netip.MustParseAddr("2001:db8::9") {
		t.Errorf("%+v, %v", p, err)
	}
}

func TestMistakesNameTheirColumn(t *testing.T) {
	for _, tt := range []struct{ text, want string }{
		{"", "column 1: expected a packet such as"},
		{"tpc 10.0.0.1:1 > 10.0.0.2:2", `column 1: expected a packet such as "tcp`},
		{"tcp", "column 4: expected an address and port"},
		{"tcp 10.0.0.1:1", `column 15: expected ">" and a destination`},
		{"tcp 10.0.0.1:1 10.0.0.2:2", `column 16: expected ">" between`},
		{"tcp 10.0.0.1:1 > 10.0.0.2", "column 18: expected an address and port such as 10.0.0.1:443 or [2001:db8::1]:443; this has no port"},
		{"tcp 10.0.0.1:1 > 2001:db8::1:2", "column 18: expected an address and port"},
		{"tcp 10.0.0.1:1 > [2001:db8::1]:2", "column 5: expected two IPv4 or two IPv6"},
		{"tcp 10.0.0.300:1 > 10.0.0.2:2", "column 5: expected an address and port"},
		{"tcp 10.0.0.1:1 > 10.0.0.2:2 sny", "column 29: expected TCP flags"},
		{"udp 10.0.0.1:1 > 10.0.0.2:2 syn", "column 29: expected vlan"},
		{"udp 10.0.0.1:1 > 10.0.0.2:2 len", "column 32: expected a payload"},
		{"udp 10.0.0.1:1 > 10.0.0.2:2 len 9001", "column 33: expected a payload"},
		{"udp 10.0.0.1:1 > 10.0.0.2:2 pcp 1", "column 29: expected vlan before pcp"},
		{"udp 10.0.0.1:1 > 10.0.0.2:2 vlan 1 vlan 2 vlan 3", "column 43: expected at most 2 tags"},
		{"udp 10.0.0.1:1 > 10.0.0.2:2 )", `column 29: expected nothing more`},
		{"icmp 10.0.0.1 > 10.0.0.2", "column 25: expected an ICMP type"},
		{"icmp 10.0.0.1 > 10.0.0.2 pong", "column 26: expected an ICMP type"},
		{"icmp 10.0.0.1 > 10.0.0.2 echo-request/nothing", "column 26: expected an ICMP code"},
		{"icmp 10.0.0.1:7 > 10.0.0.2 echo-request", "column 6: expected an address such as"},
		{"icmp fe80::1 > fe80::2 echo-request", "column 6: expected icmp with IPv4"},
		{"icmp 10.0.0.1 > 10.0.0.2 3 about udp", "column 34: expected a packet in parentheses"},
		{"icmp 10.0.0.1 > 10.0.0.2 3 about (arp request 10.0.0.1 > 10.0.0.2)", "column 34: expected an IP packet"},
		{"icmp 10.0.0.1 > 10.0.0.2 3 about (udp 10.0.0.1:1 > 10.0.0.2:2", `column 62: expected ")"`},
		{"arp who-has 10.0.0.1 > 10.0.0.2", `column 5: expected "request" or "reply"`},
		{"arp request fe80::1 > fe80::2", "column 5: expected IPv4"},
		{"ethertype 88cc", "column 11: expected an ethertype"},
		{"ethertype 0x0800", "column 1: expected a packet that the firewall reads"},
		{"ethertype 0x88cc ttl 3", "column 18: expected an option of every frame"},
		{"udp 10.0.0.1:1 > 10.0.0.2:2 from here", "column 34: expected the outer address"},
		{"udp 10.0.0.1:1 > 10.0.0.2:2 mac 1 > 2", "column 33: expected a MAC"},
		{"udp 10.0.0.1:1 > 10.0.0.2:2 frag middle", `column 34: expected "first"`},
		{strings.Repeat("x", 5000), "column 4097: expected at most"},
	} {
		t.Run(tt.text[:min(len(tt.text), 60)], func(t *testing.T) {
			_, err := Parse(tt.text)
			if err == nil || !strings.HasPrefix(err.Error(), tt.want) {
				t.Errorf("got %v\nwant %s", err, tt.want)
			}
		})
	}
}

// Every example of the reference is a packet.
func TestTheReferenceShowsPackets(t *testing.T) {
	text, err := os.ReadFile("../docs/packets.md")
	if err != nil {
		t.Fatal(err)
	}
	blocks := regexp.MustCompile("(?s)```packet\n(.*?)```").FindAllSubmatch(text, -1)
	if len(blocks) == 0 {
		t.Fatal("no packets in docs/packets.md")
	}
	for _, b := range blocks {
		for _, line := range strings.Split(strings.TrimSpace(string(b[1])), "\n") {
			if _, err := Parse(line); err != nil {
				t.Errorf("%s: %v", line, err)
			}
		}
	}
	for _, names := range []map[string]uint8{icmpTypes[1], icmpTypes[58]} {
		for name := range names {
			if _, err := Parse("icmp 10.0.0.1 > 10.0.0.2 " + name); err != nil {
				if _, err := Parse("icmpv6 fe80::1 > fe80::2 " + name); err != nil {
					t.Errorf("%s: %v", name, err)
				}
			}
		}
	}
}

// FuzzParse: any text is a packet that inspect reads, or an error with a place
// inside the text.
func FuzzParse(f *testing.F) {
	for _, s := range []string{
		"tcp 10.9.9.9:40000 > 10.1.0.10:443 syn", "udp [2001:db8::1]:1 > [2001:db8::2]:2 frag first vlan 3 pcp 2",
		"icmp 10.0.0.1 > 10.0.0.2 3/4 about (tcp 10.0.0.2:1 > 10.0.0.1:2 len 100)", "arp reply 10.0.0.1 > 10.0.0.2",
		"ethertype 0x88cc mac 02:00:00:00:00:01 > ff:ff:ff:ff:ff:ff", "protocol 50 fe80::1 > fe80::2 dscp 3 ttl 1", "((",
	} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, text string) {
		p, err := Parse(text)
		if err != nil {
			var e *Error
			if !errors.As(err, &e) || e.Column < 1 || e.Column > len(text)+1 || e.Message == "" {
				t.Fatalf("%#v", err)
			}
			return
		}
		if p.Frame.HeaderBytes > len(p.Data) {
			t.Fatalf("%d bytes of headers in %d bytes", p.Frame.HeaderBytes, len(p.Data))
		}
	})
}
