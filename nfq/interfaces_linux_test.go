package nfq

import (
	"math/rand/v2"
	"net/netip"
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/vishvananda/netlink"

	"sttwall/policy"
)

// The spans that the table is made of say of every address what the longest prefix
// says.
func TestTheLongestPrefixDecidesAboutTheInterface(t *testing.T) {
	seed := rand.Uint64()
	t.Logf("seed %d", seed)
	rng := rand.New(rand.NewPCG(seed, 0))
	address := func() netip.Addr {
		b := [16]byte{0: byte(rng.IntN(2) * 255), 15: byte(rng.IntN(256))}
		if rng.IntN(2) == 0 {
			return netip.AddrFrom4([4]byte{byte(rng.IntN(2) * 255), 0, 0, byte(rng.IntN(256))})
		}
		return netip.AddrFrom16(b)
	}
	names := []string{"a", "b", "c"}
	for range 300 {
		var c TableConfig
		for range rng.IntN(10) {
			a := address()
			p := netip.PrefixFrom(a, rng.IntN(a.BitLen()+1)).Masked()
			if slices.Contains(c.Endpoints, p) {
				continue
			}
			c.Endpoints = append(c.Endpoints, p)
			for _, name := range names {
				if rng.IntN(4) == 0 {
					c.Bound = append(c.Bound, policy.BoundEndpoint{Prefix: p, Interface: name})
				}
			}
		}
		for range 100 {
			a := address()
			longest := -1
			var want []string
			for _, p := range c.Endpoints {
				if !p.Contains(a) || p.Bits() < longest {
					continue
				}
				longest, want = p.Bits(), nil
				for _, b := range c.Bound {
					if b.Prefix == p {
						want = append(want, b.Interface)
					}
				}
			}
			in := func(list []span) bool {
				return slices.ContainsFunc(list, func(s span) bool { return s.lo.Compare(a) <= 0 && a.Compare(s.hi) <= 0 })
			}
			if got := in(c.spans(a.Is4(), func(on []string) bool { return on != nil })); got != (want != nil) {
				t.Fatalf("%v of %+v: bound %v, want %v", a, c, got, want)
			}
			for _, name := range names {
				if got := in(c.spans(a.Is4(), func(on []string) bool { return slices.Contains(on, name) })); got != slices.Contains(want, name) {
					t.Fatalf("%v of %+v on %s: got %v, want %v", a, c, name, got, want)
				}
			}
		}
	}
}

// An interface counts by the name that it has when a packet comes.
func TestAnInterfaceIsFollowedByName(t *testing.T) {
	w := newWire(t)
	got := collect(t, w, 40)
	install := func(name string) {
		t.Helper()
		_, err := InstallTable(TableConfig{
			Ports: []uint16{testPort}, FirstQueue: 40, Queues: 1, Endpoints: prefixes("10.99.0.0/24"),
			Bound: []policy.BoundEndpoint{{Prefix: netip.MustParsePrefix("10.99.0.0/24"), Interface: name}},
		})
		must(t, err)
	}
	install("uplink") // there is none yet
	w.send(t, outer{id: 1}.bytes())
	w.delivered(t)
	link, err := netlink.LinkByName("near")
	must(t, err)
	must(t, netlink.LinkSetName(link, "uplink"))
	w.send(t, outer{id: 2}.bytes())
	if diff := cmp.Diff(got(), []uint32{2}); diff != "" {
		t.Errorf("queued (-got +want):\n%s", diff)
	}
}
