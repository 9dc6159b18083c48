package nfq

import (
	"slices"
	"testing"

	"sttwall/policy"
)

// passesWhileInstalled sends one packet again and again, which each table has to stop, puts
// tables in round by round, and returns how many packets came and how many went past them.
func passesWhileInstalled(t *testing.T, packet []byte, match string, install func(*testing.T, NetNS)) (came, passed uint64) {
	t.Helper()
	needCommand(t, "nft")
	w := newWire(t)
	install(t, w.near)
	around := countAround(t, w.near, match)
	end := w.flood(t, packet)
	const rounds = 5
	for range rounds {
		install(t, w.near)
	}
	end()
	came, passed = around()
	if came < 100*rounds {
		t.Errorf("only %d packets came", came)
	}
	t.Logf("%d packets came", came)
	return came, passed
}

// stopping are tables that stop other tunnels between the wire's ends, and fragments that may be STT.
func stopping() []TableConfig {
	var list []TableConfig
	for _, endpoints := range [][]string{
		{"10.0.0.0/8", "fd00::/16"},
		{"0.0.0.0/0", "::/0"},
		{"10.0.0.0/9", "10.128.0.0/9", "192.0.2.0/24", "2001:db8::/32", "fc00::/7", "192.0.2.77/32"},
	} {
		c := TableConfig{Ports: []uint16{testPort}, FirstQueue: 40, Queues: 2, Endpoints: prefixes(endpoints...)}
		list = append(list, c)
		c.OnlySTT = true
		list = append(list, c)
	}
	return list
}

// What two tables stop is stopped too while one takes the place of the other.
func TestAnInstallLetsNothingPassThatIsStopped(t *testing.T) {
	over6 := outer{src: far6, dst: near6}
	for _, c := range []struct {
		name, match string
		packet      outer
	}{
		{"a tunnel", "udp dport 4789", udp(outer{}, 4789)},
		{"a tunnel over IPv6", "udp dport 4789", udp(over6, 4789)},
		{"a fragment", "ip frag-off & 0x1fff != 0", later(outer{})},
		{"a fragment of IPv6", "exthdr frag exists", later(over6)},
	} {
		t.Run(c.name, func(t *testing.T) {
			came, passed := passesWhileInstalled(t, c.packet.bytes(), c.match, func(t *testing.T, ns NetNS) {
				for _, c := range stopping() {
					c.NetNS = ns
					_, err := InstallTable(c)
					must(t, err)
				}
			})
			if passed > 0 {
				t.Errorf("%d of %d passed", passed, came)
			}
		})
	}
}

// So it is where the table is as it was but for a set more, and is put in anew.
func TestARestoreLetsNothingPassThatIsStopped(t *testing.T) {
	var table *Table
	came, passed := passesWhileInstalled(t, udp(outer{}, 4789).bytes(), "udp dport 4789", func(t *testing.T, ns NetNS) {
		for _, c := range stopping() {
			c.NetNS = ns
			var err error
			if table == nil {
				table, err = InstallTable(c)
			} else {
				table, err = table.restore(c)
			}
			must(t, err)
		}
	})
	if passed > 0 {
		t.Errorf("%d of %d passed", passed, came)
	}
}

// What is there until the sets are filled stops between endpoints what the table stops, and
// nothing else: here they are never filled.
func TestWithoutItsSetsATableStopsTheSameBetweenEndpoints(t *testing.T) {
	w := newWire(t)
	needCommand(t, "nft")
	tried := 0
	for _, c := range tableCases() {
		if c.queued || !c.config.restricted() {
			continue
		}
		tried++
		t.Run(c.name, func(t *testing.T) {
			if c.config.Ports == nil {
				c.config.Ports = []uint16{testPort}
			}
			c.config.NetNS, c.config.FirstQueue, c.config.Queues = w.near, 40, 1
			c.config.filling = true
			bridge, err := c.config.bridging()
			must(t, err)
			table, err := putTable(c.config, targetDrop, bridge, TableCounters{}, bridge.replaceTable, nil)
			must(t, err)
			inside(t, w.near, func() error {
				for _, set := range []string{setEndpoints4, setEndpoints6} {
					run(t, "nft", "flush", "set", "inet", TableName, set)
				}
				return nil
			})
			c.packet.id = 1
			w.send(t, c.packet.bytes())
			if delivered := slices.Contains(w.delivered(t), 1); delivered != c.passed {
				t.Errorf("passed: got %v, want %v", delivered, c.passed)
			}
			counters, err := table.Counters()
			must(t, err)
			between := func(c TableCounters) TableCounters {
				return TableCounters{OuterFragment: c.OuterFragment, OtherTunnel: c.OtherTunnel, NotSTT: c.NotSTT}
			}
			if got, want := between(counters), between(c.counters); got != want {
				t.Errorf("counters: got %+v, want %+v", got, want)
			}
		})
	}
	if tried < 20 {
		t.Errorf("only %d cases", tried)
	}
}

// Nothing of it stays.
func TestATableKeepsNothingOfItsFilling(t *testing.T) {
	enterNS(t)
	needCommand(t, "nft")
	for _, c := range append(stopping(), TableConfig{Ports: []uint16{testPort}, Queues: 1}) {
		table, err := InstallTable(c)
		must(t, err)
		plain, err := putTable(c, table.target, table.bridge, TableCounters{}, table.bridge.replaceTable, nil)
		must(t, err)
		if table.print != plain.print {
			t.Errorf("%v, only STT %v: another table than one that was put in at once", c.Endpoints, c.OnlySTT)
		}
	}
}

// Sets are filled in their order: no endpoint is found before the interface is known that it
// is bound to.
func TestSetsOfBoundEndpointsAreFilledFirst(t *testing.T) {
	all := prefixes("10.0.0.0/8", "fd00::/16", "192.0.2.0/24")
	c := TableConfig{Endpoints: all, Bound: []policy.BoundEndpoint{{Prefix: all[0], Interface: "eth1"}, {Prefix: all[1], Interface: "eth2"}}}
	list := c.namedSets()
	place := func(name string) int {
		return slices.IndexFunc(list, func(s namedSet) bool { return s.name == name })
	}
	endpoints := min(place(setEndpoints4), place(setEndpoints6))
	for _, s := range c.boundSets() {
		if at := place(s.name); at < 0 || at > endpoints {
			t.Errorf("%s stands at %d, endpoints at %d", s.name, at, endpoints)
		}
	}
}
