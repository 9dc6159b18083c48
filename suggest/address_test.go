package suggest

import (
	"fmt"
	"math/rand/v2"
	"net/netip"
	"slices"
	"strings"
	"testing"
)

func addresses(texts ...string) set {
	m := map[netip.Addr]bool{}
	for _, t := range texts {
		m[netip.MustParseAddr(t)] = true
	}
	return setOf(m)
}

// every returns addresses whose last number counts up by step.
func every(format string, n, step int) (out []string) {
	for i := range n {
		out = append(out, fmt.Sprintf(format, i*step))
	}
	return out
}

func TestManyAddressesInASubnetBecomeTheSmallestCIDRThatTheyFill(t *testing.T) {
	for _, c := range []struct {
		name string
		in   []string
		want string
	}{
		{"seven are not many", every("10.0.0.%d", 7, 1), ""},
		{"eight in a row", every("10.0.0.%d", 8, 1), "10.0.0.0/29"},
		{"an eighth of a /24", every("10.0.0.%d", 32, 8), "10.0.0.0/24"},
		{"less than an eighth of a /24, of each half and of each quarter", every("10.0.0.%d", 26, 10), ""},
		{"a dense half beside a stray host", append(every("10.0.0.%d", 16, 4), "10.0.0.250"), "10.0.0.0/26"},
		{"two subnets stay two", append(every("10.0.0.%d", 40, 2), every("10.0.1.%d", 40, 6)...), "10.0.0.0/25 10.0.1.0/24"},
		{"a full /23 is two /24", append(every("10.0.0.%d", 256, 1), every("10.0.1.%d", 256, 1)...), "10.0.0.0/24 10.0.1.0/24"},
		{"seven of IPv6", every("2001:db8::%x:1", 7, 99), ""},
		{"eight of IPv6 strewn over their /64", every("2001:db8::%x:1", 8, 99), "2001:db8::/64"},
		{"eight of IPv6 in a row", every("2001:db8::%x", 8, 1), "2001:db8::/125"},
		{"eight of IPv6 in several /64", every("2001:db8:0:%x::1", 8, 1), ""},
		{"the families stay apart", append(every("10.0.0.%d", 4, 1), every("2001:db8::%x", 4, 1)...), ""},
	} {
		if got := join(addresses(c.in...).subnets()); got != c.want {
			t.Errorf("%s: %q, want %q", c.name, got, c.want)
		}
	}
}

func join(ranges []Range) string {
	var texts []string
	for _, r := range ranges {
		texts = append(texts, r.String())
	}
	return strings.Join(texts, " ")
}

func TestRunsOfThreeOrMoreBecomeRanges(t *testing.T) {
	for _, c := range []struct{ in, want string }{
		{"10.0.0.1 10.0.0.2", "10.0.0.1 10.0.0.2"},
		{"10.0.0.1 10.0.0.2 10.0.0.3 10.0.0.9", "10.0.0.1-10.0.0.3 10.0.0.9"},
		{"10.0.0.0 10.0.0.1 10.0.0.2 10.0.0.3", "10.0.0.0/30"},
		{"255.255.255.253 255.255.255.254 255.255.255.255 ::", "255.255.255.253-255.255.255.255 ::"},
		{"0.0.0.0", "0.0.0.0"},
		{"ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff", "ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff"},
		{"::ffff:10.0.0.1 10.0.0.1", "10.0.0.1 ::ffff:10.0.0.1"},
	} {
		if got := join(addresses(strings.Fields(c.in)...).runs()); got != c.want {
			t.Errorf("%s: %q, want %q", c.in, got, c.want)
		}
	}
}

// The model tries all CIDRs of a /24 for the bounds that doc.go names.
func TestSubnetsKeepTheirBoundsForRandomAddresses(t *testing.T) {
	for seed := range uint64(500) {
		r := rand.New(rand.NewPCG(seed, 3))
		var texts []string
		for range 1 + r.IntN(120) {
			texts = append(texts, fmt.Sprintf("10.0.0.%d", r.IntN(1+r.IntN(256))))
		}
		s := addresses(texts...)
		var want []netip.Prefix
		for bits := 24; bits <= 32; bits++ {
			for base := 0; base < 256; base += 1 << (32 - bits) {
				p := netip.PrefixFrom(netip.AddrFrom4([4]byte{10, 0, 0, byte(base)}), bits)
				n, halves := 0, [2]int{}
				for _, a := range s {
					if p.Contains(a) {
						n++
						if bits < 32 {
							halves[a.As4()[3]>>(31-bits)&1]++
						}
					}
				}
				inside := slices.ContainsFunc(want, func(o netip.Prefix) bool { return o.Overlaps(p) })
				smallest := bits == 32 || halves[0] > 0 && halves[1] > 0
				if n >= 8 && n*8 >= 1<<(32-bits) && smallest && !inside {
					want = append(want, p)
				}
			}
		}
		slices.SortFunc(want, netip.Prefix.Compare)
		var texts2 []string
		for _, p := range want {
			texts2 = append(texts2, p.String())
		}
		if got := join(s.subnets()); got != strings.Join(texts2, " ") {
			t.Fatalf("seed %d: %q, want %q, of %v", seed, got, strings.Join(texts2, " "), s)
		}
	}
}

func TestACIDRHasItsFirstAndItsLastAddress(t *testing.T) {
	for _, cidr := range []string{"10.0.0.0/24", "10.0.0.0/31", "0.0.0.0/0", "::/65", "::/0", "2001:db8::1/128", "255.255.255.255/32"} {
		p := netip.MustParsePrefix(cidr)
		r := rangeOf(p)
		if r.String() != strings.TrimSuffix(strings.TrimSuffix(cidr, "/128"), "/32") || r.First != p.Addr() || !p.Contains(r.Last) || p.Contains(r.Last.Next()) {
			t.Errorf("%s became %v to %v", cidr, r.First, r.Last)
		}
	}
}

func TestRangesThatTouchAreJoined(t *testing.T) {
	for _, c := range []struct{ in, want string }{
		{"10.0.0.1 10.0.0.2", "10.0.0.1-10.0.0.2"},
		{"10.0.0.4 10.0.0.0 10.0.0.2 10.0.0.1", "10.0.0.0-10.0.0.2 10.0.0.4"},
		{"255.255.255.255 ::", "255.255.255.255 ::"},
		{"ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff 0.0.0.0", "0.0.0.0 ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff"},
	} {
		var ranges []Range
		for _, a := range strings.Fields(c.in) {
			ranges = append(ranges, Range{netip.MustParseAddr(a), netip.MustParseAddr(a)})
		}
		if got := join(joined(ranges)); got != c.want {
			t.Errorf("%s: %q, want %q", c.in, got, c.want)
		}
	}
}
