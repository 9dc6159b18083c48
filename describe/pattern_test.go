package describe

import (
	"errors"
	"fmt"
	"net/netip"
	"os"
	"regexp"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestParsePattern(t *testing.T) {
	addr := netip.MustParseAddr
	host := func(column int, text string) Hosts {
		return Hosts{Column: column, Addresses: text, Lo: addr(text), Hi: addr(text)}
	}
	for _, tt := range []struct {
		text string
		want Pattern
	}{
		{"any > any", Pattern{Protocol: "any", Source: Hosts{Column: 1}, Destination: Hosts{Column: 7}}},
		{"any any > any", Pattern{Protocol: "any", Source: Hosts{Column: 5}, Destination: Hosts{Column: 11}}},
		{"10.1.9.9>any", Pattern{Protocol: "any", Source: host(1, "10.1.9.9"), Destination: Hosts{Column: 10}}},
		{"10.1.9.9<>any", Pattern{Protocol: "any", Source: host(1, "10.1.9.9"), Destination: Hosts{Column: 11}, BothWays: true}},
		{"tenant:acme tcp 10.1.9.9 > any:443", Pattern{Tenant: "acme", ScopeColumn: 1, Protocol: "tcp", Source: host(17, "10.1.9.9"),
			Destination: Hosts{Column: 28, HasPorts: true, LoPort: 443, HiPort: 443}}},
		{"context:0xff udp any:1024-65535 > [2001:db8::1]:53", Pattern{HasContext: true, Context: 255, ScopeColumn: 1, Protocol: "udp",
			Source:      Hosts{Column: 18, HasPorts: true, LoPort: 1024, HiPort: 65535},
			Destination: Hosts{Column: 35, Addresses: "2001:db8::1", Lo: addr("2001:db8::1"), Hi: addr("2001:db8::1"), HasPorts: true, LoPort: 53, HiPort: 53}}},
		{"context:18446744073709551615 sctp any > any", Pattern{HasContext: true, Context: 1<<64 - 1, ScopeColumn: 1, Protocol: "sctp",
			Source: Hosts{Column: 35}, Destination: Hosts{Column: 41}}},
		{"tcp 10.0.0.0/8:1 > 10.1.0.1-10.1.0.9:2-3 syn,!ack", Pattern{Protocol: "tcp", TCPFlags: []string{"syn", "!ack"},
			Source:      Hosts{Column: 5, Addresses: "10.0.0.0/8", Lo: addr("10.0.0.0"), Hi: addr("10.255.255.255"), HasPorts: true, LoPort: 1, HiPort: 1},
			Destination: Hosts{Column: 20, Addresses: "10.1.0.1-10.1.0.9", Lo: addr("10.1.0.1"), Hi: addr("10.1.0.9"), HasPorts: true, LoPort: 2, HiPort: 3}}},
		{"web-1 > address_group.tcp", Pattern{Protocol: "any", Source: Hosts{Column: 1, Group: "web-1"}, Destination: Hosts{Column: 9, Group: "tcp"}}},
		{"tcp web:80 > fe80:443", Pattern{Protocol: "tcp", Source: Hosts{Column: 5, Group: "web", HasPorts: true, LoPort: 80, HiPort: 80},
			Destination: Hosts{Column: 14, Group: "fe80", HasPorts: true, LoPort: 443, HiPort: 443}}},
		{"2001:db8::/64 > [2001:db8::1-2001:db8::9]", Pattern{Protocol: "any",
			Source:      Hosts{Column: 1, Addresses: "2001:db8::/64", Lo: addr("2001:db8::"), Hi: addr("2001:db8::ffff:ffff:ffff:ffff")},
			Destination: Hosts{Column: 17, Addresses: "2001:db8::1-2001:db8::9", Lo: addr("2001:db8::1"), Hi: addr("2001:db8::9")}}},
		{"icmp any > any destination-unreachable/port-unreachable vlan 10-20", Pattern{Protocol: "icmp", Source: Hosts{Column: 6}, Destination: Hosts{Column: 12},
			ICMPType: 3, ICMPCode: 3, VLAN: "10-20"}},
		{"icmpv6 any > any 0 frag whole", Pattern{Protocol: "icmpv6", Source: Hosts{Column: 8}, Destination: Hosts{Column: 14}, ICMPType: 0, ICMPCode: -1, Fragment: "whole"}},
		{"icmp any > any", Pattern{Protocol: "icmp", Source: Hosts{Column: 6}, Destination: Hosts{Column: 12}}},
		{"protocol 89 any > 224.0.0.5", Pattern{Protocol: "protocol", Number: 89, Source: Hosts{Column: 13}, Destination: host(19, "224.0.0.5")}},
		{"arp request any > 10.0.0.1", Pattern{Protocol: "arp", ARPOperation: "request", Source: Hosts{Column: 13}, Destination: host(19, "10.0.0.1")}},
		{"arp request > any", Pattern{Protocol: "arp", Source: Hosts{Column: 5, Group: "request"}, Destination: Hosts{Column: 15}}},
		{"ethertype 0x88cc", Pattern{Protocol: "ethertype", Number: 0x88cc}},
		{"ethertype 35020 any > any mac 02:00:00:00:00:0A > any", Pattern{Protocol: "ethertype", Number: 0x88cc,
			Source: Hosts{Column: 17}, Destination: Hosts{Column: 23}, SourceMAC: "02:00:00:00:00:0a"}},
		{" udp\tany  > any from 10.47.0.0/16 to fd47::1 vlan none frag later mac any > ff:ff:ff:ff:ff:ff", Pattern{Protocol: "udp",
			Source: Hosts{Column: 6}, Destination: Hosts{Column: 13}, From: netip.MustParsePrefix("10.47.0.0/16"), To: netip.MustParsePrefix("fd47::1/128"),
			VLAN: "none", Fragment: "later", DestinationMAC: "ff:ff:ff:ff:ff:ff"}},
	} {
		t.Run(tt.text, func(t *testing.T) {
			got, err := ParsePattern(tt.text)
			if err != nil {
				t.Fatal(err)
			}
			tt.want.Text = strings.Join(strings.Fields(tt.text), " ")
			if !strings.HasPrefix(tt.want.Protocol, "icmp") || tt.want.ICMPType == 0 && tt.want.ICMPCode == 0 {
				tt.want.ICMPType, tt.want.ICMPCode = -1, -1
			}
			if diff := cmp.Diff(tt.want, *got, cmp.Comparer(func(a, b netip.Addr) bool { return a == b }), cmp.Comparer(func(a, b netip.Prefix) bool { return a == b })); diff != "" {
				t.Error("-want +got\n" + diff)
			}
		})
	}
}

func TestTheReverseOfAPatternIsThePacketsTheOtherWay(t *testing.T) {
	a, err := ParsePattern("tcp 10.0.0.1:1 <> any:2 mac 02:00:00:00:00:0a > any from 10.47.0.1 syn")
	if err != nil {
		t.Fatal(err)
	}
	b := a.Reverse()
	if b.Source != a.Destination || b.Destination != a.Source || b.DestinationMAC != a.SourceMAC || b.SourceMAC != "" || b.To != a.From || b.From.IsValid() || b.TCPFlags[0] != "syn" {
		t.Errorf("%+v", b)
	}
	if diff := cmp.Diff(*a, *b.Reverse(), cmp.Comparer(func(a, b netip.Addr) bool { return a == b }), cmp.Comparer(func(a, b netip.Prefix) bool { return a == b })); diff != "" {
		t.Error("twice is not the same: " + diff)
	}
}

// testdata/patterns.txt has one wrong pattern a line, patterns.want what is said
// of each.
func TestMistakesInPatternsNameTheirColumnAndWhatWasExpected(t *testing.T) {
	var got strings.Builder
	for line := range strings.Lines(read(t, "testdata/patterns.txt")) {
		line = strings.TrimSuffix(line, "\n")
		if _, err := ParsePattern(line); err != nil {
			fmt.Fprintf(&got, "%s\n  %v\n", line, err)
		} else {
			t.Errorf("%s: no error", line)
		}
	}
	if *update {
		if err := os.WriteFile("testdata/patterns.want", []byte(got.String()), 0o644); err != nil {
			t.Fatal(err)
		}
		return
	}
	if diff := cmp.Diff(read(t, "testdata/patterns.want"), got.String()); diff != "" {
		t.Errorf("-want +got; run with -update if it is meant:\n%s", diff)
	}
}

func TestTooLongAndEmptyPatterns(t *testing.T) {
	for text, want := range map[string]string{
		strings.Repeat("x", MaxPattern+1): "column 1025: expected at most 1024 characters",
		"":                                "column 1: expected " + patternForms,
	} {
		if _, err := ParsePattern(text); err == nil || err.Error() != want {
			t.Errorf("got %v, want %s", err, want)
		}
	}
}

func TestTheReferenceShowsPatterns(t *testing.T) {
	text, err := os.ReadFile("../docs/packets.md")
	if err != nil {
		t.Fatal(err)
	}
	blocks := regexp.MustCompile("(?s)```pattern\n(.*?)```").FindAllSubmatch(text, -1)
	if len(blocks) == 0 {
		t.Fatal("no patterns in docs/packets.md")
	}
	for _, b := range blocks {
		for line := range strings.Lines(strings.TrimSpace(string(b[1]))) {
			if _, err := ParsePattern(strings.TrimSpace(line)); err != nil {
				t.Errorf("%s: %v", line, err)
			}
		}
	}
}

// FuzzParsePattern: any text is a pattern that says again what it says, or an
// error with a place inside the text.
func FuzzParsePattern(f *testing.F) {
	for _, s := range []string{
		"tenant:acme tcp 10.1.9.9 > any:443 syn,!ack", "context:0x64 udp [2001:db8::/64]:1-2 <> web:53 frag first vlan 3-4",
		"icmp 10.0.0.1-10.0.0.9 > any 3/4", "arp reply 10.0.0.1 > 10.0.0.2", "ethertype 0x88cc mac 02:00:00:00:00:01 > ff:ff:ff:ff:ff:ff",
		"protocol 50 fe80::1 > any from 10.47.0.0/16 to fd47::1", "[<>]",
	} {
		f.Add(s)
	}
	for line := range strings.Lines(read(f, "testdata/patterns.txt")) {
		f.Add(strings.TrimSuffix(line, "\n"))
	}
	f.Fuzz(func(t *testing.T, text string) {
		p, err := ParsePattern(text)
		if err != nil {
			var e *Error
			if !errors.As(err, &e) || e.Column < 1 || e.Column > len(text)+1 || e.Message == "" {
				t.Fatalf("%#v", err)
			}
			return
		}
		again, err := ParsePattern(p.Text)
		if err != nil || again.Text != p.Text || again.Source.Addresses != p.Source.Addresses || again.Destination.Ports() != p.Destination.Ports() {
			t.Fatalf("%q, then %+v, %v", p.Text, again, err)
		}
	})
}
