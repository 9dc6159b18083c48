package nfq

import (
	"net/netip"
	"slices"
	"strings"
	"testing"

	"sttwall/policy"
)

// A set of addresses that is of another interface now is another set: for a moment the
// kernel has what was in it, beside the new rules.
func TestASetOfAnotherInterfaceDoesNotStay(t *testing.T) {
	bound := func(interfaces ...string) TableConfig {
		p := netip.MustParsePrefix("10.0.0.0/8")
		c := TableConfig{Ports: []uint16{7471}, Queues: 1, Endpoints: []netip.Prefix{p}}
		for _, name := range interfaces {
			c.Bound = append(c.Bound, policy.BoundEndpoint{Prefix: p, Interface: name})
		}
		return c
	}
	before := bound("eth1").namedSets()
	for _, c := range []struct {
		after TableConfig
		stays bool
	}{{bound("eth1"), true}, {bound("eth1", "eth2"), true}, {bound("eth0", "eth1"), false}} {
		s := find(c.after.namedSets(), onSet(0, true))
		if s == nil {
			t.Fatal("it has no set")
		}
		if got := s.stays(before); got != c.stays {
			t.Errorf("%v: got %v, want %v", c.after.Bound, got, c.stays)
		}
		if s := find(c.after.namedSets(), setEndpoints4); !s.stays(before) {
			t.Errorf("%v: the endpoints do not stay", c.after.Bound)
		}
	}
}

// What a reload makes of the sets is what an installation would.
func TestInterfacesChangeInAReload(t *testing.T) {
	needCommand(t, "nft")
	enterNS(t)
	in, err := StartInline(InlineConfig{Policy: settingsPolicy(t, `endpoints = ["10.0.0.0/8 on eth1"]`), Queue: Config{NetNS: currentNS(t)}, Queues: 2, FrameIDBits: 10})
	must(t, err)
	defer in.closeQueues()
	listed := func() string { // in an order of its own: sets are listed as they came
		blocks := strings.Split(strings.TrimSuffix(run(t, "nft", "list", "table", "inet", "sttwall"), "\n}"), "\n\n")
		slices.Sort(blocks)
		return strings.Join(blocks, "\n\n")
	}
	for _, settings := range []string{`endpoints = ["10.0.0.0/8 on eth1", "10.1.0.0/16 on eth0"]`, `endpoints = ["10.1.0.0/16 on eth0"]`, ``} {
		_, err := in.Reload(settingsPolicy(t, settings))
		must(t, err)
		got := listed()
		table, err := InstallTable(in.Table().config)
		must(t, err)
		if want := listed(); got != want {
			t.Errorf("%s: got %s\nwant %s", settings, got, want)
		}
		in.table.Store(table)
	}
}
