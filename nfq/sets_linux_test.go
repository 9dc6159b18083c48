package nfq

import (
	"encoding/binary"
	"net/netip"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/mdlayher/netlink"
	"golang.org/x/sys/unix"

	"sttwall/policy"
)

// A set of addresses that is of another interface now is another set.
func TestASetKeepsItsNameWhereItIsTheSame(t *testing.T) {
	table := func(endpoint string, interfaces ...string) TableConfig {
		p := netip.MustParsePrefix(endpoint)
		c := TableConfig{Ports: []uint16{7471}, Queues: 1, Endpoints: []netip.Prefix{p}}
		for _, name := range interfaces {
			c.Bound = append(c.Bound, policy.BoundEndpoint{Prefix: p, Interface: name})
		}
		return c
	}
	there := table("10.0.0.0/8", "eth1")
	for _, c := range []struct {
		name        string
		after       TableConfig
		endpoint    string // names of sets in the kernel
		first, port string
	}{
		{"the same", table("10.0.0.0/8", "eth1"), "endpoints4", "on_0_4", "stt_ports"},
		{"one interface more", table("10.0.0.0/8", "eth1", "eth2"), "endpoints4", "on_0_4", "stt_ports"},
		{"another interface is the first", table("10.0.0.0/8", "eth0", "eth1"), "endpoints4", "on_0_4_b", "stt_ports"},
		{"other endpoints", table("10.0.0.0/9", "eth1"), "endpoints4_b", "on_0_4_b", "stt_ports"},
		{"other endpoints without an end", table("128.0.0.0/1", "eth1"), "endpoints4_b", "on_0_4_b", "stt_ports"},
		{"another port", func() TableConfig { c := table("10.0.0.0/8", "eth1"); c.Ports = []uint16{7472}; return c }(), "endpoints4", "on_0_4", "stt_ports_b"},
	} {
		t.Run(c.name, func(t *testing.T) {
			c.after.second = c.after.secondAfter(there)
			names := func(in TableConfig) (list [3]string) {
				for i, name := range []string{setEndpoints4, onSet(0, true), setPorts} {
					list[i] = find(in.namedSets(), name).set.Name
				}
				return list
			}
			if got, want := names(c.after), [3]string{c.endpoint, c.first, c.port}; got != want {
				t.Errorf("got %v, want %v", got, want)
			}
			back := there
			back.second = back.secondAfter(c.after)
			if got, want := names(back), names(there); got != want {
				t.Errorf("and back: got %v, want %v", got, want)
			}
		})
	}
}

// changedSets are settings each of which changes sets of those before it.
func changedSets() []string {
	return []string{
		`endpoints = ["10.0.0.0/8"]`,
		`endpoints = ["10.0.0.0/7"]`,
		`endpoints = ["10.0.0.0/8", "2001:db8::/32"]`,
		`endpoints = ["10.0.0.0/8", "2001:db8::/31"]
		stt_ports = [7471, 7472]
		endpoint_rate = "1000/s"`,
		`endpoints = ["10.0.0.0/8"]
		endpoint_rate = "2000/s"`,
		`endpoints = ["10.0.0.0/8 on eth1"]`,
		`endpoints = ["10.0.0.0/8 on eth1", "10.1.0.0/16 on eth0"]`,
		`endpoints = ["10.1.0.0/16 on eth0"]`,
		``,
		`endpoints = ["10.0.0.0/9"]`,
	}
}

// startOnly starts a firewall in a namespace of the test's, which takes no packets.
func startOnly(t *testing.T, settings string) *Inline {
	t.Helper()
	in, err := StartInline(InlineConfig{Policy: settingsPolicy(t, settings), Queue: Config{NetNS: enterNS(t)}, Queues: 2, FrameIDBits: 10})
	must(t, err)
	t.Cleanup(in.closeQueues)
	return in
}

// What the kernel tells of each reload: sets are filled where they are made, before there
// are rules that ask them.
func TestNoSetThatRulesAskIsChanged(t *testing.T) {
	in := startOnly(t, changedSets()[0])
	conn, err := netlink.Dial(unix.NETLINK_NETFILTER, &netlink.Config{NetNS: int(in.config.Queue.NetNS)})
	must(t, err)
	defer conn.Close()
	must(t, conn.JoinGroup(unix.NFNLGRP_NFTABLES))
	for _, settings := range append(changedSets()[1:], changedSets()...) {
		_, err := in.Reload(settingsPolicy(t, settings))
		must(t, err)
		last, err := generationOf(in.config.Queue.NetNS)
		must(t, err)
		var changed, made []string // in a transaction
		rules, transactions := false, 0
		for ended := false; !ended; {
			messages, err := conn.Receive()
			must(t, err)
			for _, m := range messages {
				name := func(attribute uint16) string { return strings.TrimRight(string(attributeOf(m, attribute)), "\x00") }
				switch m.Header.Type & 0xff {
				case unix.NFT_MSG_NEWSET:
					made = append(made, name(unix.NFTA_SET_NAME))
				case unix.NFT_MSG_NEWSETELEM, unix.NFT_MSG_DELSETELEM:
					changed = append(changed, name(unix.NFTA_SET_ELEM_LIST_SET))
				case unix.NFT_MSG_NEWRULE:
					rules = true
				case unix.NFT_MSG_NEWGEN:
					changed = slices.DeleteFunc(changed, func(s string) bool { return !rules && slices.Contains(made, s) || strings.HasPrefix(s, "__set") })
					if len(changed) > 0 {
						t.Errorf("%s: sets %v are changed with rules in force (in its transaction: %v)", settings, changed, rules)
					}
					changed, made, rules = nil, nil, false
					transactions++
					ended = binary.BigEndian.Uint32(attributeOf(m, unix.NFTA_GEN_ID)) == last
				}
			}
		}
		if transactions == 0 || transactions > 2 {
			t.Errorf("%s: %d transactions", settings, transactions)
		}
	}
}

// What a reload makes of the sets is what an installation would, but for names.
func TestSetsChangeInAReload(t *testing.T) {
	needCommand(t, "nft")
	in := startOnly(t, changedSets()[0])
	second := regexp.MustCompile(`_b\b`)
	listed := func() string { // in an order of its own: sets are listed as they came
		blocks := strings.Split(strings.TrimSuffix(run(t, "nft", "list", "table", "inet", "sttwall"), "}\n"), "\n\n")
		for i := range blocks {
			blocks[i] = strings.TrimSpace(blocks[i])
		}
		slices.Sort(blocks)
		return second.ReplaceAllString(strings.Join(blocks, "\n\n"), "")
	}
	configs, lists := make(map[string]TableConfig), make(map[string]string)
	for range 2 {
		for _, settings := range changedSets() {
			p := settingsPolicy(t, settings)
			_, err := in.Reload(p)
			must(t, err)
			table := in.Table()
			if _, err := table.check(); err != nil {
				t.Errorf("%s: %v", settings, err)
			}
			config := in.config.TableConfig(p.Settings())
			config.Guard = table.config.Guard
			if !config.equal(table.config) {
				t.Errorf("%s: with second names %v it counts as another table", settings, table.config.second)
			}
			got := listed()
			if before, again := lists[settings]; again && got != before {
				t.Errorf("%s, again (-got +want):\n%s", settings, cmp.Diff(got, before))
			}
			configs[settings], lists[settings] = table.config, got
		}
	}
	for settings, config := range configs {
		_, err := InstallTable(config)
		must(t, err)
		if want := listed(); lists[settings] != want {
			t.Errorf("%s (-got +want):\n%s", settings, cmp.Diff(lists[settings], want))
		}
	}
}
