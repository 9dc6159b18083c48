package policy

import (
	"errors"
	"net/netip"
	"strings"
	"testing"

	"sttwall/inspect"
)

// FuzzAddressFile: a file of addresses_from either loads, and its group is the addresses
// that another parser reads in its lines, no others; or what is wrong has a place in it.
func FuzzAddressFile(f *testing.F) {
	f.Add([]byte("10.1.0.0/24\n10.1.2.3 # one\n\n# none\n2001:db8::/64\n10.0.0.1-10.0.0.9\r\n"))
	f.Add([]byte("\xef\xbb\xbf0.0.0.0/0\n::/0\n255.255.255.255\nffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff\n"))
	f.Add([]byte("10.0.0.1/24\nfe80::1%eth0\n10.0.0.9-10.0.0.1\n10.0.0.1-::1\nweb\n\x00"))
	f.Add([]byte("10.0.0.0/255.0.0.0\n::ffff:10.0.0.1\n010.0.0.1\n1.2.3\n"))
	const rules = `tenant "t" {
  context_ids = [1]
  rule "r" {
    action = "accept"
    source = [address_group.g]
  }
}
address_group "g" {
  addresses_from = "list"
}
`
	f.Fuzz(func(t *testing.T, text []byte) {
		p, diags, files := load("fuzz.hcl", []byte(rules), func(path string) ([]byte, error) {
			if path != "list" {
				return nil, errors.New("another file")
			}
			return text, nil
		})
		if (p == nil) != diags.HasErrors() {
			t.Fatalf("policy %v with diagnostics %v", p, diags)
		}
		for _, d := range diags {
			file := files[d.Subject.Filename]
			if file == nil || d.Subject.End.Byte > len(file.Bytes) || d.Subject.Start.Byte > d.Subject.End.Byte {
				t.Fatalf("diagnostic %+v at %+v of %d bytes", d, d.Subject, len(text))
			}
		}
		if p == nil {
			return
		}
		list, sure := entriesOf(string(text))
		if !sure {
			return
		}
		for _, e := range list {
			for _, a := range []netip.Addr{e[0], e[1], e[0].Prev(), e[1].Next()} {
				if !a.IsValid() || a.Is4In6() {
					continue
				}
				want := false
				for _, e := range list {
					want = want || a.BitLen() == e[0].BitLen() && e[0].Compare(a) <= 0 && a.Compare(e[1]) <= 0
				}
				frame := inspect.Frame{IP: 6, EtherType: inspect.EtherTypeIPv6, Src: a, Dst: a, Protocol: inspect.ProtocolUDP, HasPorts: true}
				if a.Is4() {
					frame.IP, frame.EtherType = 4, inspect.EtherTypeIPv4
				}
				k := Packet{ContextID: 1, Frame: &frame, Peek: true}
				if d := p.Evaluate(&k); (d.Action == Accept) != want {
					t.Fatalf("%v is in the group: %v, want %v\n%q", a, !want, want, text)
				}
			}
		}
	})
}

// entriesOf reads the first and the last address of each line with net/netip. sure is
// false where a line is of a form that this reading does not know.
func entriesOf(text string) (list [][2]netip.Addr, sure bool) {
	for line := range strings.Lines(strings.TrimPrefix(text, "\uFEFF")) {
		line, _, _ = strings.Cut(line, "#")
		line = strings.TrimSpace(line)
		if line == "" {
			continue
		}
		if p, err := netip.ParsePrefix(line); err == nil {
			b := p.Addr().As16()
			for i := p.Bits() + 128 - p.Addr().BitLen(); i < 128; i++ {
				b[i/8] |= 0x80 >> (i % 8)
			}
			last := netip.AddrFrom16(b)
			if p.Addr().Is4() {
				last = last.Unmap()
			}
			list = append(list, [2]netip.Addr{p.Addr(), last})
			continue
		}
		first, last, isRange := strings.Cut(line, "-")
		if !isRange {
			last = first
		}
		a, err1 := netip.ParseAddr(first)
		b, err2 := netip.ParseAddr(last)
		if err1 != nil || err2 != nil {
			return nil, false
		}
		list = append(list, [2]netip.Addr{a, b})
	}
	return list, true
}
