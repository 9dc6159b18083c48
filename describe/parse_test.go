package describe

import (
	"bytes"
	"errors"
	"flag"
	"fmt"
	"net/netip"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"sttwall/inspect"
	"sttwall/internal/messages"
	"sttwall/reason"
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
		{"icmpv6 fe80::1 > ff02::1 nd-neighbor-advert target 2001:db8::7", func(f *inspect.Frame) bool {
			return f.HasTarget && f.Target == addr("2001:db8::7") && !f.Solicited
		}},
		{"icmpv6 fe80::1 > fe80::2 nd-neighbor-advert solicited target fe80::1", func(f *inspect.Frame) bool { return f.HasTarget && f.Solicited }},
		{"icmpv6 2001:db8::1 > 2001:db8::2 packet-too-big about (tcp [2001:db8::2]:1 > [2001:db8::1]:2 ack len 900)", func(f *inspect.Frame) bool { return f.ICMPType == 2 }},
		{"protocol 89 10.0.0.1 > 224.0.0.5", func(f *inspect.Frame) bool { return f.Protocol == 89 }},
		{"arp request 10.0.0.1 > 10.0.0.2", func(f *inspect.Frame) bool {
			return f.EtherType == inspect.EtherTypeARP && f.ARPOperation == 1 && f.Src == addr("10.0.0.1") && f.EthDst == [6]byte{255, 255, 255, 255, 255, 255}
		}},
		{"arp request 10.0.0.1 > 10.0.0.2 mac 02:00:00:00:00:0a > 02:00:00:00:00:0b", func(f *inspect.Frame) bool {
			return f.ARPOperation == 1 && f.EthSrc[5] == 10 && f.EthDst == [6]byte{2, 0, 0, 0, 0, 11}
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

var update = flag.Bool("update", false, "write testdata/*.want anew")

// testdata/mistakes.txt has one wrong description a line, mistakes.want what is
// said of each.
func TestMistakesNameTheirColumnAndWhatWasExpected(t *testing.T) {
	var got strings.Builder
	for line := range strings.Lines(read(t, "testdata/mistakes.txt")) {
		line = strings.TrimSuffix(line, "\n")
		if _, err := Parse(line); err != nil {
			fmt.Fprintf(&got, "%s\n  %v\n", line, err)
		} else {
			t.Errorf("%s: no error", line)
		}
	}
	if *update {
		if err := os.WriteFile("testdata/mistakes.want", []byte(got.String()), 0o644); err != nil {
			t.Fatal(err)
		}
		return
	}
	if diff := cmp.Diff(read(t, "testdata/mistakes.want"), got.String()); diff != "" {
		t.Errorf("-want +got; run with -update if it is meant:\n%s", diff)
	}
}

func TestTooLongAndEmptyDescriptions(t *testing.T) {
	for text, want := range map[string]string{
		strings.Repeat("x", MaxText+1): "column 4097: expected at most 4096 characters",
		"":                             "column 1: expected " + forms,
	} {
		if _, err := Parse(text); err == nil || err.Error() != want {
			t.Errorf("got %v, want %s", err, want)
		}
	}
}

// Every message, and every thing that one says was expected, is in the golden
// files, so that somebody has read it.
func TestEveryMessageIsShown(t *testing.T) {
	paths, err := filepath.Glob("*.go")
	if err != nil {
		t.Fatal(err)
	}
	shown, seen := read(t, "testdata/mistakes.want")+read(t, "testdata/patterns.want"), 0
	for _, path := range paths {
		if strings.HasSuffix(path, "_test.go") {
			continue
		}
		found, err := messages.In(path, regexp.MustCompile(`^(expected|an?|">"|the|"request") `))
		if err != nil {
			t.Fatal(err)
		}
		for _, m := range found {
			seen++
			if !m.Pattern().MatchString(shown) && m.Text != "expected at most %d characters" {
				t.Errorf("%s: nothing shows %q", m.At, m.Text)
			}
		}
	}
	if seen < 85 {
		t.Errorf("only %d messages", seen)
	}
}

func read(t testing.TB, path string) string {
	t.Helper()
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
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
// inside the text. The same words with other spaces between them are the same
// packet.
func FuzzParse(f *testing.F) {
	for _, s := range []string{
		"tcp 10.9.9.9:40000 > 10.1.0.10:443 syn", "udp [2001:db8::1]:1 > [2001:db8::2]:2 frag first vlan 3 pcp 2",
		"icmp 10.0.0.1 > 10.0.0.2 3/4 about (tcp 10.0.0.2:1 > 10.0.0.1:2 len 100)", "arp reply 10.0.0.1 > 10.0.0.2",
		"ethertype 0x88cc mac 02:00:00:00:00:01 > ff:ff:ff:ff:ff:ff", "protocol 50 fe80::1 > fe80::2 dscp 3 ttl 1", "((",
		"icmpv6 fe80::1 > ff02::1 nd-neighbor-advert target fe80::1 solicited frag first",
	} {
		f.Add(s)
	}
	for line := range strings.Lines(read(f, "testdata/mistakes.txt")) {
		f.Add(strings.TrimSuffix(line, "\n"))
	}
	for _, b := range regexp.MustCompile("(?s)```packet\n(.*?)```").FindAllStringSubmatch(read(f, "../docs/packets.md"), -1) {
		for line := range strings.Lines(b[1]) {
			f.Add(strings.TrimSuffix(line, "\n"))
		}
	}
	// What the tests of rules files send.
	paths, err := filepath.Glob("../testdata/rules/tests/*.hcl")
	if err != nil || len(paths) == 0 {
		f.Fatalf("no rules files: %v", err)
	}
	for _, path := range paths {
		for _, m := range regexp.MustCompile(`packet += "(.*)"`).FindAllStringSubmatch(read(f, path), -1) {
			f.Add(m[1])
		}
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
		var f inspect.Frame
		if why := f.Decode(p.Data, len(p.Data), 0, inspect.NoTag); why != reason.None || f != p.Frame {
			t.Fatalf("%s: read %+v, given %+v", why, f, p.Frame)
		}
		again, err := Parse("  " + strings.ReplaceAll(text, " ", "  ") + " ")
		if len(text) > MaxText/3 {
			return // with more spaces it may be too long
		}
		if err != nil || !bytes.Equal(again.Data, p.Data) || again.From != p.From || again.To != p.To {
			t.Fatalf("with more spaces: %v, %+v, and before %+v", err, again, p)
		}
	})
}
