package doctor

import (
	"errors"
	"fmt"
	"os"
	"strings"

	"golang.org/x/sys/unix"

	"sttwall/nfq"
)

// trouble is a state of a host that a check finds.
type trouble struct {
	name string
	id   string
	want Severity
	says string // a part of what is wrong
	// make makes it.
	make func(*rig)
	// byHand is what an operator does where no command does it; nil: the commands do.
	byHand func(*rig)
	// moved: its commands name files of the host, which are those of the rig here.
	moved bool
}

func nft(lines ...string) func(*rig) {
	return func(r *rig) {
		r.Helper()
		for _, l := range lines {
			sh(r, "nft '"+l+"'")
		}
	}
}

// forwardFilter is a ruleset as many hosts have it.
func forwardFilter(rules ...string) func(*rig) {
	lines := []string{"add table inet filter", "add chain inet filter forward { type filter hook forward priority 0; policy drop; }"}
	for _, r := range rules {
		lines = append(lines, "add rule inet filter forward "+r)
	}
	return nft(lines...)
}

func installTable(r *rig, hooks ...nfq.Hook) {
	r.Helper()
	_, err := nfq.InstallTable(nfq.TableConfig{Ports: []uint16{7471}, FirstQueue: 7471, Queues: 2, Hooks: nfq.HooksOf(hooks...)})
	must(r, err)
}

func bridgeTable(r *rig) { installTable(r, nfq.HookBridge) }

// listens writes the kernel's list of queues with one line.
func listens(line string) func(*rig) {
	return func(r *rig) { r.write("proc/thread-self/net/netfilter/nfnetlink_queue", line+"\n") }
}

func untouched(*rig) {}

var troubles = []trouble{
	{name: "a chain before raw drops what is INVALID", id: "STT-D001", want: Broken, says: "drops STT before", make: nft("add table inet early",
		"add chain inet early pre { type filter hook prerouting priority -350; }", "add rule inet early pre ct state invalid drop")},
	{name: "a chain before raw drops the port", id: "STT-D001", want: Broken, says: "drops STT before", make: nft("add table ip early",
		"add chain ip early pre { type filter hook prerouting priority -310; }", "add rule ip early pre tcp dport { 80, 7000-8000 } counter drop")},
	{name: "a chain at ingress drops the port", id: "STT-D001", want: Broken, says: "drops STT before", make: nft("add table netdev early",
		"add chain netdev early in { type filter hook ingress device a0 priority 0; }", "add rule netdev early in tcp dport 7471 drop")},
	{name: "a chain at ingress of family inet drops the port", id: "STT-D001", want: Broken, says: "table inet early, chain in drops STT before", make: nft("add table inet early",
		"add chain inet early in { type filter hook ingress device a0 priority 0; }", "add rule inet early in tcp dport 7471 drop")},
	{name: "a chain at ingress forwards", id: "STT-D001", want: Broken, says: "table netdev early, chain in takes away STT before", make: nft("add table netdev early",
		"add chain netdev early in { type filter hook ingress device a0 priority 0; }", "add rule netdev early in ip protocol tcp fwd to b0")},
	{name: "a table of family bridge drops the port before br_netfilter", id: "STT-D001", want: Broken, says: "table bridge filter, chain pre drops STT before", make: func(r *rig) {
		r.config.Hooks = []string{HookBridge}
		nft("add table bridge filter", "add chain bridge filter pre { type filter hook prerouting priority filter; }", "add rule bridge filter pre ether type ip tcp dport 7471 drop")(r)
	}},
	{name: "a table of family bridge drops the port behind br_netfilter", id: "STT-D002", want: Broken, says: "table bridge filter, chain pre drops STT that", make: func(r *rig) {
		r.config.Hooks = []string{HookBridge}
		nft("add table bridge filter", "add chain bridge filter pre { type filter hook prerouting priority 10; }", "add rule bridge filter pre tcp dport 7471 drop")(r)
	}},
	{name: "ebtables drops the port", id: "STT-D002", want: Broken, says: "table bridge filter, chain FORWARD drops STT that", make: func(r *rig) {
		r.config.Hooks = []string{HookBridge}
		sh(r, "ebtables-nft -A FORWARD -p IPv4 --ip-proto 6 --ip-dport 7000:8000 -j DROP")
	}},
	{name: "a chain at egress drops the port", id: "STT-D002", want: Broken, says: "table netdev late, chain out drops STT that", make: nft("add table netdev late",
		"add chain netdev late out { type filter hook egress device b0 priority 0; }", "add rule netdev late out tcp dport 7471 drop")},
	{name: "a limit before raw drops some", id: "STT-D001", want: Risk, says: "drops some of STT before", make: nft("add table ip early",
		"add chain ip early pre { type filter hook prerouting priority -310; }", "add rule ip early pre tcp dport 7471 limit rate over 10/second drop")},
	{name: "iptables-legacy drops the port in raw", id: "STT-D001", want: Broken, says: "iptables-legacy, table raw", make: func(r *rig) {
		sh(r, "iptables-legacy -t raw -A PREROUTING -p tcp -m multiport --dports 22,7471 -j DROP")
	}},
	{name: "forwarding with the policy drop lets established pass alone", id: "STT-D002", want: Broken, says: "that the firewall has accepted", make: forwardFilter("ct state established,related accept", "iifname \"lo\" accept")},
	{name: "the states are in a map", id: "STT-D002", want: Broken, says: "that the firewall has accepted", make: func(r *rig) {
		nft("add table inet filter", "add chain inet filter tunnels", "add rule inet filter tunnels tcp dport vmap { 22 : accept, 7000-7999 : drop }",
			"add chain inet filter forward { type filter hook forward priority 0; }",
			"add rule inet filter forward ct state vmap { established : accept, related : accept, invalid : drop, untracked : jump tunnels }")(r)
	}},
	{name: "another chain decides by interface", id: "STT-D002", want: Broken, says: "that the firewall has accepted", make: func(r *rig) {
		forwardFilter("tcp dport 22 accept", `iifname "b0" accept`)(r)
		nft("add chain inet filter from_a", "add rule inet filter from_a ip daddr 10.0.2.0/24 reject", `add rule inet filter forward iifname "a*" goto from_a`)(r)
	}},
	{name: "iptables-nft drops as Docker does", id: "STT-D002", want: Broken, says: "table ip filter, chain FORWARD", make: func(r *rig) {
		sh(r, "iptables-nft -P FORWARD DROP", "iptables-nft -A FORWARD -i docker0 -j ACCEPT", "iptables-nft -A FORWARD -m conntrack --ctstate ESTABLISHED,RELATED -j ACCEPT",
			"iptables-nft -A FORWARD -p udp -j ACCEPT")
	}},
	{name: "iptables-legacy does so", id: "STT-D002", want: Broken, says: "iptables-legacy, table filter", make: func(r *rig) {
		sh(r, "iptables-legacy -P FORWARD DROP", "iptables-legacy -A FORWARD -m conntrack --ctstate ESTABLISHED,RELATED -j ACCEPT", "iptables-legacy -N OTHER",
			"iptables-legacy -A FORWARD -p tcp -j OTHER", "iptables-legacy -A OTHER -i eth7 -j ACCEPT")
	}},
	{name: "what is INVALID is dropped, and nothing untracks STT", id: "STT-D003", want: Risk, says: "as INVALID", make: nft("add table inet filter",
		"add chain inet filter forward { type filter hook forward priority 0; }", "add rule inet filter forward ct state invalid drop")},
	{name: "a map drops what is INVALID", id: "STT-D003", want: Risk, says: "as INVALID", make: nft("add table inet filter",
		"add chain inet filter forward { type filter hook forward priority 0; }", "add rule inet filter forward ct state vmap { established : accept, invalid : drop }")},
	{name: "iptables drops what is INVALID", id: "STT-D003", want: Risk, says: "as INVALID", make: func(r *rig) {
		sh(r, "iptables-nft -A FORWARD -m conntrack --ctstate INVALID -j DROP")
	}},
	{name: "an IPS takes what is forwarded", id: "STT-D004", want: Risk, says: "queue 3", make: func(r *rig) {
		sh(r, "iptables-nft -t mangle -A FORWARD -j NFQUEUE --queue-num 3")
	}},
	{name: "an XDP program is attached", id: "STT-D006", want: Risk, says: "XDP program on a0", make: attachXDP},
	{name: "the port is accepted in front of the queue", id: "STT-D008", want: Broken, says: "table ip raw, chain PREROUTING lets STT pass before", make: func(r *rig) {
		sh(r, "iptables-nft -t raw -A PREROUTING -p tcp --dport 7471 -j ACCEPT", "iptables-nft -t raw -A PREROUTING -p tcp --dport 7471 -j NFQUEUE --queue-num 7471")
	}, byHand: func(r *rig) { sh(r, "iptables-nft -t raw -D PREROUTING 1") }},
	{name: "some of the port is accepted in front of the queue", id: "STT-D008", want: Risk, says: "iptables-legacy, table raw, chain PREROUTING lets STT pass before", make: func(r *rig) {
		sh(r, "iptables-legacy -t raw -A PREROUTING -p tcp --dport 7471 -m length --length 0:100 -j ACCEPT", "iptables-legacy -t raw -A PREROUTING -p tcp --dport 7471 -j NFQUEUE --queue-balance 7471:7472")
	}, byHand: func(r *rig) { sh(r, "iptables-legacy -t raw -D PREROUTING 1") }},
	{name: "sttwall listens and no rule leads to it", id: "STT-D008", want: Broken, says: "no rule hands STT to its queues", make: func(r *rig) { listener(r, "7471") },
		byHand: func(r *rig) {
			sh(r, "iptables-nft -t raw -A PREROUTING -p tcp --dport 7471 -j NFQUEUE --queue-num 7471")
		}},
	{name: "a filter redirects the port", id: "STT-D007", want: Broken, says: "at ingress of a0 sends STT before the firewall sees it on to b0, uninspected", make: func(r *rig) {
		sh(r, "tc qdisc add dev a0 clsact", "tc filter add dev a0 ingress protocol ip u32 match ip protocol 6 0xff match ip dport 7471 0xffff action mirred egress redirect dev b0")
	}},
	{name: "a filter redirects everything", id: "STT-D007", want: Broken, says: "at ingress of a0 sends STT before the firewall sees it on to b0, uninspected", make: func(r *rig) {
		sh(r, "tc qdisc add dev a0 ingress", "tc filter add dev a0 parent ffff: protocol all u32 match u32 0 0 action mirred egress redirect dev b0")
	}},
	{name: "a filter redirects what is sent", id: "STT-D007", want: Broken, says: "at egress of b0 sends STT that the firewall has accepted on to a0", make: func(r *rig) {
		sh(r, "tc qdisc add dev b0 clsact", "tc filter add dev b0 egress protocol ip u32 match ip src 10.0.1.0/24 action mirred egress redirect dev a0")
	}},
	{name: "a filter at a port of the bridge redirects", id: "STT-D007", want: Broken, says: "at ingress of c0 sends STT before", make: func(r *rig) {
		bridgeWay(r)
		sh(r, "tc qdisc add dev c0 clsact", "tc filter add dev c0 ingress protocol ip u32 match ip protocol 6 0xff action mirred egress redirect dev b0")
	}},
	{name: "a filter is a program", id: "STT-D007", want: Risk, says: "a BPF program of tc at ingress of a0", make: attachClassifier, byHand: func(r *rig) { sh(r, "tc qdisc del dev a0 clsact") }},
	{name: "a program stands without a filter", id: "STT-D007", want: Risk, says: "a BPF program of tc at ingress of a0", make: attachTCX, byHand: func(r *rig) { r.undo() }},
	{name: "nobody listens", id: "STT-D010", want: Broken, says: "nobody listens", make: func(r *rig) { installTable(r) }, byHand: func(r *rig) {
		listens("7471 1 0 2 256 0 0 0 1\n7472 1 0 2 256 0 0 0 1")(r)
	}},
	{name: "the table of the boot is left", id: "STT-D010", want: Broken, says: "until sttwall runs", make: func(r *rig) {
		_, err := nfq.InstallBootTable(nfq.TableConfig{Ports: []uint16{7471}})
		must(r, err)
	}, byHand: func(r *rig) { must(r, nfq.RemoveTable(0)) }},
	{name: "two firewalls run", id: "STT-D011", want: Broken, says: "2 firewalls", make: func(r *rig) {
		installTable(r)
		listener(r, "7471", "7472")
		listener(r, "8000")
	}},
	{name: "the rules do not load", id: "STT-D012", want: Broken, says: "does not load", make: func(r *rig) { r.rules(`"10.0.1.300"`, "") },
		byHand: func(r *rig) { r.rules(`"10.0.1.2", "10.0.2.2"`, "") }},
	{name: "an interface is named that is not there", id: "STT-D013", want: Broken, says: "no interface c0", make: func(r *rig) { r.rules(`"10.0.1.2 on c0"`, "") },
		byHand: func(r *rig) { sh(r, "ip link add c0 type veth peer name c1") }},
	{name: "a queue was full", id: "STT-D014", want: Risk, says: "queue 7472 has lost", make: listens("7472 1 5 2 256 17 0 99 1"), byHand: listens("7472 1 5 2 256 0 0 99 1")},
	{name: "the firewall has dropped fragments", id: "STT-D015", want: Risk, says: "fragments", make: func(r *rig) { dropsOf(r, 7) }, byHand: func(r *rig) { dropsOf(r, 0) }},
	{name: "the kernel has no hash", id: "STT-D020", want: Broken, says: "lacks a hash", make: func(r *rig) {
		r.write("proc/config.gz", "")
		r.stand("modprobe", `[ "$1" = nft_hash ] && touch "$ROOT/loaded"`)
		r.config.Kernel = func() []nfq.KernelPart {
			part := nfq.KernelPart{Name: "a hash", Configs: "CONFIG_NFT_HASH", Module: "nft_hash", For: "does not start"}
			if _, err := os.Stat(r.root + "/loaded"); err != nil {
				part.Err = errors.New("no such file")
			}
			return []nfq.KernelPart{part}
		}
	}},
	{name: "the kernel knows nothing of IPsec", id: "STT-D020", want: Broken, says: "lacks what came out of IPsec", make: func(r *rig) {
		r.write("proc/config.gz", "")
		r.config.Kernel = func() []nfq.KernelPart {
			return []nfq.KernelPart{{Name: "what came out of IPsec", Configs: "CONFIG_XFRM", For: "does not start", Err: unix.EOPNOTSUPP}}
		}
	}, byHand: func(r *rig) { r.config.Kernel = func() []nfq.KernelPart { return nil } }},
	{name: "the kernel has no tables for bridges", id: "STT-D020", want: Broken, says: "lacks nftables tables of family bridge", make: func(r *rig) {
		r.config.Hooks = []string{HookBridge}
		r.config.Kernel = func() []nfq.KernelPart {
			return []nfq.KernelPart{{Name: "nftables tables of family bridge", Configs: "CONFIG_NF_TABLES_BRIDGE", For: "does not start", Err: nfq.ErrNoKernelBridge}}
		}
	}, byHand: func(r *rig) {
		r.config.Hooks = []string{HookPrerouting}
		r.config.Kernel = func() []nfq.KernelPart { return nil }
	}},
	{name: "there is no guard, and GRO is on", id: "STT-D021", want: Risk, says: "small pieces", make: func(r *rig) {
		r.rules(`"10.0.1.2", "10.0.2.2"`, `receivers = "any"`)
		text, err := os.ReadFile(r.config.Rules)
		must(r, err)
		must(r, os.WriteFile(r.config.Rules, []byte(strings.Replace(string(text), "receivers = \"linux\"\n", "", 1)), 0o600))
		r.config.Guard = func() error { return errors.New("no CAP_BPF") }
		sh(r, "ethtool -K a0 gro on", "ethtool -K b0 gro on")
	}},
	{name: "bridged packets pass beside", id: "STT-D022", want: Broken, says: "beside the table", make: func(r *rig) {
		installTable(r)
		listens("7471 1 0 2 256 0 0 0 1\n7472 1 0 2 256 0 0 0 1")(r)
		r.config.Hooks = []string{HookBridge}
		sh(r, "sysctl -q -w net.bridge.bridge-nf-call-iptables=0 net.bridge.bridge-nf-call-ip6tables=0 net.bridge.bridge-nf-filter-vlan-tagged=1")
	}},
	{name: "tagged packets pass beside", id: "STT-D022", want: Broken, says: "bridge-nf-filter-vlan-tagged is off", make: func(r *rig) {
		installTable(r)
		listens("7471 1 0 2 256 0 0 0 1\n7472 1 0 2 256 0 0 0 1")(r)
		r.config.Hooks = []string{HookBridge}
		sh(r, "sysctl -q -w net.bridge.bridge-nf-call-iptables=1 net.bridge.bridge-nf-call-ip6tables=1 net.bridge.bridge-nf-filter-vlan-tagged=0")
	}},
	{name: "br_netfilter cannot be switched on", id: "STT-D022", want: Broken, says: "cannot switch bridge-nf-call-iptables on, and does not start", make: func(r *rig) {
		r.config.Hooks = []string{HookBridge}
		r.config.Writable = func(string) error { return unix.EROFS }
		sh(r, "sysctl -q -w net.bridge.bridge-nf-call-iptables=0 net.bridge.bridge-nf-call-ip6tables=1 net.bridge.bridge-nf-filter-vlan-tagged=1")
	}},
	{name: "the kernel has no br_netfilter", id: "STT-D022", want: Broken, says: "no br_netfilter", make: func(r *rig) {
		r.config.Hooks = []string{HookPrerouting, HookBridge}
		r.config.Root = without{r.config.Root, "proc/sys/net/bridge/"}
		r.stand("modprobe", `[ "$1" = br_netfilter ] && mkdir -p "$ROOT/proc/sys/net/bridge" && touch "$ROOT/loaded"`)
	}},
	{name: "IPv6 is dropped behind us", id: "STT-D002", want: Broken, says: "table ip6 filter, chain FORWARD", make: func(r *rig) {
		sixEndpoints(r)
		sh(r, "ip6tables-nft -P FORWARD DROP", "ip6tables-nft -A FORWARD -p ipv6-icmp -j ACCEPT")
	}},
	{name: "IPv6 is not forwarded", id: "STT-D031", want: Broken, says: "does not forward", make: func(r *rig) {
		sixEndpoints(r)
		sh(r, "sysctl -q -w net.ipv6.conf.all.forwarding=0")
	}},
	{name: "the tunnel ends here and input is closed", id: "STT-D002", want: Broken, says: "chain input", make: func(r *rig) {
		r.rules(`"10.0.1.1", "10.0.2.2"`, "")
		nft("add table inet filter", "add chain inet filter input { type filter hook input priority 0; policy drop; }", "add rule inet filter input tcp dport 22 accept")(r)
	}},
	{name: "another program takes what this host sends", id: "STT-D004", want: Risk, says: "queue 9", make: func(r *rig) {
		r.config.Hooks = []string{HookOutput}
		sh(r, "iptables-legacy -t mangle -A OUTPUT -p tcp -j NFQUEUE --queue-balance 9:10")
	}},
	{name: "the reverse path filter is strict where the way back is another", id: "STT-D030", want: Broken, says: "filter of b0", make: func(r *rig) {
		r.rules(`"10.0.1.2 on b0"`, "")
		sh(r, "sysctl -q -w net.ipv4.conf.b0.rp_filter=1")
	}},
	{name: "the reverse path filter has dropped packets", id: "STT-D030", want: Risk, says: "filter of a0", make: func(r *rig) {
		sh(r, "sysctl -q -w net.ipv4.conf.a0.rp_filter=1")
		spoof(r)
	}},
	{name: "the host does not forward", id: "STT-D031", want: Broken, says: "does not forward", make: func(r *rig) { sh(r, "sysctl -q -w net.ipv4.ip_forward=0") }},
	{name: "BIG TCP is on", id: "STT-D032", want: Risk, says: "a0 takes or sends", make: func(r *rig) {
		sh(r, "ip link set dev a0 gro_max_size 180000", "ip link set dev a0 gso_max_size 150000")
	}},
	{name: "ways have different MTUs", id: "STT-D034", want: Risk, says: "segments of 1500 bytes", make: func(r *rig) { sh(r, "ip link set dev b0 mtu 1400") }},
	{name: "three ways have two MTUs", id: "STT-D034", want: Risk, says: "segments of 1500 bytes", make: func(r *rig) {
		sh(r, "ip link add c0 type veth peer name c1", "ip link set c0 up; ip link set c1 up", "ip address add 10.0.3.1/24 dev c0", "ip link set dev c0 mtu 1400")
		r.rules(`"10.0.1.2", "10.0.2.2", "10.0.2.3", "10.0.3.2"`, "")
	}},
	{name: "what this host sends is dropped as INVALID", id: "STT-D003", want: Risk, says: "as INVALID", make: func(r *rig) {
		r.config.Hooks = []string{HookOutput}
		nft("add table inet filter", "add chain inet filter out { type filter hook output priority 0; }", "add rule inet filter out ct state invalid drop")(r)
	}},
	{name: "the floor is above what the path leaves", id: "STT-D035", want: Risk, says: "settings.mss_floor", make: func(r *rig) {
		sh(r, "ip link set dev a0 mtu 1300", "ip link set dev b0 mtu 1300")
		r.rules(`"10.0.1.2", "10.0.2.2"`, "mss_floor = 1157")
	}, byHand: func(r *rig) { r.rules(`"10.0.1.2", "10.0.2.2"`, "mss_floor = 1156") }},
	{name: "receive buffers are bounded", id: "STT-D036", want: Risk, says: "212992 bytes of", make: func(r *rig) {
		r.config.ForceBuffer = func(int) error { return errors.New("not permitted") }
		r.write("proc/sys/net/core/rmem_max", "212992\n")
		r.standForSysctl()
	}},
	{name: "a backlog was full", id: "STT-D037", want: Risk, says: "backlog", make: func(r *rig) {
		r.write("proc/net/softnet_stat", "00000001 00000000 0\n00000001 000000ff 0\n")
		r.write("proc/sys/net/core/netdev_max_backlog", "1000\n")
		r.standForSysctl()
	}},
	{name: "connection tracking follows STT", id: "STT-D038", want: Hint, says: "entries for STT", make: func(r *rig) {
		nft("add table inet nat", "add chain inet nat out { type filter hook output priority 0; }", "add rule inet nat out ct state new counter")(r)
		connectSTT(r)
	}},
	{name: "the table of connections is nearly full", id: "STT-D038", want: Risk, says: "nearly full", make: func(r *rig) {
		r.write("proc/sys/net/netfilter/nf_conntrack_count", "61000\n")
		r.standForSysctl()
	}},
	{name: "a VXLAN interface is there", id: "STT-D040", want: Hint, says: "vx0 takes", make: func(r *rig) { sh(r, "ip link add vx0 type vxlan id 1 dstport 4789 dev a0") }},
	{name: "a VXLAN interface has a port that the table does not know", id: "STT-D040", want: Risk, says: "vx0 takes", make: func(r *rig) { sh(r, "ip link add vx0 type vxlan id 1 dstport 4000 dev a0") }},
	{name: "a VXLAN interface has such a port, and STT alone may pass", id: "STT-D040", want: Hint, says: "vx0 takes", make: func(r *rig) {
		r.rules(`"10.0.1.2", "10.0.2.2"`, "only_stt = true")
		sh(r, "ip link add vx0 type vxlan id 1 dstport 4000 dev a0")
	}},
	{name: "a VXLAN interface is there and tunnels pass", id: "STT-D040", want: Risk, says: "vx0 takes", make: func(r *rig) {
		r.rules(`"10.0.1.2", "10.0.2.2"`, `other_tunnels = "pass"`)
		sh(r, "ip link add vx0 type vxlan id 1 dstport 4789 dev a0")
	}},
	{name: "the kernel listens for VXLAN", id: "STT-D041", want: Hint, says: "open here: 4789", make: func(r *rig) {
		sh(r, "ip link add vx0 type vxlan id 1 dstport 4789 dev a0", "ip link set vx0 up")
	}, byHand: func(r *rig) { sh(r, "ss -lunp sport = :4789 | grep -q 4789", "ip link del vx0") }},
	{name: "the clock is not synchronised", id: "STT-D050", want: Hint, says: "clock", make: func(r *rig) {
		r.stand("timedatectl", `[ "$*" = "set-ntp true" ] && touch "$ROOT/synchronised"`)
		r.config.Clock = func() (bool, error) {
			_, err := os.Stat(r.root + "/synchronised")
			return err == nil, nil
		}
	}},
	{name: "a processor is not online", id: "STT-D051", want: Broken, says: "not online: 7", make: func(r *rig) { r.config.CPUs = []int{1, 7} },
		byHand: func(r *rig) { r.write("sys/devices/system/cpu/online", "0-7\n") }},
	{name: "one processor takes all", id: "STT-D052", want: Hint, says: "all packets of a0", moved: true, make: func(r *rig) {
		r.write("sys/class/net/a0/device/vendor", "x")
		for i := range 2 {
			r.write(fmt.Sprintf("sys/class/net/a0/queues/rx-%d/rps_cpus", i), "0,00000000\n")
			r.write(fmt.Sprintf("proc/irq/3%d/effective_affinity_list", i), "2\n")
		}
		r.write("proc/interrupts", "  CPU0 CPU1\n 30: 5 5 PCI-MSIX 0-edge a0-rx-0\n 31: 5 5 PCI-MSIX 1-edge a0-rx-1\n 32: 1 1 PCI-MSIX a01-rx-0\n")
	}},
	{name: "a worker is where the interrupts are", id: "STT-D054", want: Hint, says: "nothing to do: 2", make: func(r *rig) {
		r.config.CPUs = []int{2, 3}
		r.write("proc/irq/30/effective_affinity_list", "2\n")
		r.write("proc/interrupts", "  CPU0 CPU1\n 30: 5 5 PCI-MSIX 0-edge mlx5_comp0@pci:0000:01:00.0-a0\n")
	}, byHand: func(r *rig) { r.config.CPUs = []int{0, 3} }},
	{name: "an ordinary user can make no namespaces", id: "STT-D053", want: Hint, says: "no namespaces", make: func(r *rig) {
		r.config.Ordinary = true
		r.write("proc/sys/kernel/unprivileged_userns_clone", "0\n")
		r.standForSysctl()
	}},
}
