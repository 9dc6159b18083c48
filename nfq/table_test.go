package nfq

import (
	"math/rand/v2"
	"net/netip"
	"slices"
	"strings"
	"testing"
)

func TestTableConfigIsRefused(t *testing.T) {
	good := TableConfig{Ports: []uint16{7471}, Queues: 1}
	for _, c := range []struct {
		name   string
		change func(*TableConfig)
		want   string
	}{
		{"without a port", func(c *TableConfig) { c.Ports = nil }, "no STT port"},
		{"with port 0", func(c *TableConfig) { c.Ports = []uint16{7471, 0} }, "port 0 is no port"},
		{"with too many ports", func(c *TableConfig) { c.Ports = slices.Repeat([]uint16{1}, 65) }, "65 STT ports: at most 64"},
		{"without a queue", func(c *TableConfig) { c.Queues = 0 }, "0 queues: 1 to 256"},
		{"with too many queues", func(c *TableConfig) { c.Queues = 257 }, "257 queues: 1 to 256"},
		{"with queues behind the last number", func(c *TableConfig) { c.FirstQueue, c.Queues = 65535, 2 }, "the last number is 65535"},
		{"with only STT between endpoints that are not listed", func(c *TableConfig) { c.OnlySTT = true }, "none is listed"},
		{"with an endpoint that is none", func(c *TableConfig) { c.Endpoints = make([]netip.Prefix, 1) }, "is no prefix"},
		{"with an IPv4 endpoint in IPv6 form", func(c *TableConfig) { c.Endpoints = prefixes("::ffff:10.0.0.0/104") }, "write it as IPv4"},
		{"with too many endpoints", func(c *TableConfig) { c.Endpoints = make([]netip.Prefix, 65537) }, "65537 endpoints: at most 65536"},
	} {
		t.Run(c.name, func(t *testing.T) {
			config := good
			c.change(&config)
			if err := config.Validate(); err == nil || !strings.Contains(err.Error(), c.want) {
				t.Errorf("got %v, want an error with %q", err, c.want)
			}
			if _, err := InstallTable(config); err == nil {
				t.Error("install: got no error")
			}
		})
	}
	if err := good.Validate(); err != nil {
		t.Errorf("a good one: got %v", err)
	}
}

// The endpoints that are left, and the intervals made of them, hold the same
// addresses as the endpoints that were listed.
func TestEndpointsKeepTheirMeaning(t *testing.T) {
	seed := rand.Uint64()
	t.Logf("seed %d", seed)
	rng := rand.New(rand.NewPCG(seed, 0))
	address := func() netip.Addr {
		if rng.IntN(2) == 0 {
			return netip.AddrFrom4([4]byte{byte(rng.IntN(2) * 255), byte(rng.IntN(4) * 85), 0, byte(rng.IntN(256))})
		}
		b := [16]byte{0: byte(rng.IntN(2) * 255), 15: byte(rng.IntN(256))}
		return netip.AddrFrom16(b)
	}
	for range 300 {
		var c TableConfig
		for range rng.IntN(12) {
			a := address()
			c.Endpoints = append(c.Endpoints, netip.PrefixFrom(a, rng.IntN(a.BitLen()+1)))
		}
		for range 100 {
			a := address()
			contains := func(p netip.Prefix) bool { return p.Contains(a) }
			want := slices.ContainsFunc(c.Endpoints, contains)
			kept := c.endpoints(a.Is4())
			if got := slices.ContainsFunc(kept, contains); got != want {
				t.Fatalf("%v in %v, kept of %v: got %v, want %v", a, kept, c.Endpoints, got, want)
			}
			in := false
			for _, e := range c.intervals(a.Is4()) {
				if bound, _ := netip.AddrFromSlice(e.Key); bound.Compare(a) <= 0 {
					in = !e.IntervalEnd
				}
			}
			if in != want {
				t.Fatalf("%v in the intervals of %v: got %v, want %v", a, c.Endpoints, in, want)
			}
		}
		for i, p := range c.endpoints(true) {
			for j, q := range c.endpoints(true) {
				if i != j && p.Overlaps(q) {
					t.Fatalf("%v and %v overlap, kept of %v", p, q, c.Endpoints)
				}
			}
		}
	}
}
