package doctor

import (
	"bytes"
	"compress/gzip"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"net/netip"
	"os"
	"os/exec"
	"strings"
	"testing"
	"testing/fstest"
	"time"

	"github.com/cilium/ebpf"
	"github.com/cilium/ebpf/asm"
	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"

	"sttwall/control"
	"sttwall/internal/nstest"
	"sttwall/nfq"
	"sttwall/policy"
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

func installTable(r *rig) {
	r.Helper()
	_, err := nfq.InstallTable(nfq.TableConfig{Ports: []uint16{7471}, FirstQueue: 7471, Queues: 2})
	must(r, err)
}

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
	{name: "nobody listens", id: "STT-D010", want: Broken, says: "nobody listens", make: installTable, byHand: func(r *rig) {
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

// elsewhere are checks whose trouble this kernel cannot make in a namespace, and the tests
// that look at their parts.
var elsewhere = map[string]string{
	"STT-D005": "TestAFlowtableHurtsWhereNothingUntracksSTT",
	"STT-D033": "TestLROIsFoundByTheDriversWord",
	"STT-D042": "TestFOUIsAskedFor",
}

func TestEachTroubleIsFoundAndGoneAfterItsCure(t *testing.T) {
	for _, tt := range troubles {
		t.Run(tt.id+"/"+strings.ReplaceAll(tt.name, " ", "_"), func(t *testing.T) {
			r := newRig(t)
			if before := r.run(); len(before.of(tt.id)) > 0 {
				t.Fatalf("found before it was made:\n%s", before.text())
			}
			tt.make(r)
			report := r.run()
			found := report.of(tt.id)
			if len(found) == 0 {
				t.Fatalf("not found:\n%s", report.text())
			}
			f := found[0]
			if f.Severity != tt.want || !strings.Contains(f.What, tt.says) || len(f.Evidence) == 0 || f.Why == "" || f.Cure == "" {
				t.Errorf("found, but %s, %q, evidence %q", f.Severity, f.What, f.Evidence)
			}
			if len(f.Commands) == 0 && tt.byHand == nil {
				t.Fatal("no command cures it")
			}
			if tt.byHand != nil {
				tt.byHand(r)
			} else {
				for _, f := range found {
					for _, c := range f.Commands {
						line := c.String()
						if tt.moved {
							line = strings.ReplaceAll(line, " /", " "+r.root+"/")
						}
						sh(t, line)
					}
				}
			}
			// A process that was told to end takes its time.
			for end := time.Now().Add(10 * time.Second); ; {
				report := r.run()
				if len(report.of(tt.id)) == 0 {
					break
				}
				if tt.id != "STT-D011" || time.Now().After(end) {
					t.Fatalf("still there after the cure:\n%s", report.text())
				}
			}
		})
	}
}

func TestEveryCheckHasItsTrouble(t *testing.T) {
	tried := make(map[string]bool)
	for _, tt := range troubles {
		tried[tt.id] = true
	}
	for _, c := range Checks() {
		if !tried[c.ID] && elsewhere[c.ID] == "" {
			t.Errorf("%s: no trouble is made for it", c.ID)
		}
		delete(tried, c.ID)
	}
	for id := range tried {
		t.Errorf("%s: no such check", id)
	}
}

// A host on which nothing hurts has no finding, and what is not asked is not passed.
func TestAGoodHostPassesAllChecks(t *testing.T) {
	for _, tt := range []struct {
		name string
		make func(*rig)
	}{
		{"without a table", untouched},
		{"with the firewall's table", func(r *rig) {
			installTable(r)
			listens("7471 1 0 2 256 0 0 0 1\n7472 1 0 2 256 0 0 0 1")(r)
		}},
		{"with rules of others that let STT pass", func(r *rig) {
			installTable(r)
			listens("7471 1 0 2 256 0 0 0 1\n7472 1 0 2 256 0 0 0 1")(r)
			forwardFilter("ct state established,related accept", "ct state invalid drop", "ct state untracked accept")(r)
			sh(r, "iptables-nft -A FORWARD -m conntrack --ctstate INVALID -j DROP", "iptables-nft -A FORWARD -p tcp --dport 80 -j DROP")
		}},
		{"with rules for other interfaces and addresses", forwardFilter("iifname { \"eth0\", \"eth1\" } drop", "ip saddr 10.0.3.0/24 drop", "ip saddr 10.0.0.0/16 ip daddr 10.0.0.0-10.0.2.255 tcp dport 7471 accept")},
		{"with rules about the flags of real TCP", forwardFilter("tcp flags & (syn | rst) != 0 drop", "tcp flags ! ack drop", "meta l4proto tcp accept")},
	} {
		t.Run(strings.ReplaceAll(tt.name, " ", "_"), func(t *testing.T) {
			r := newRig(t)
			tt.make(r)
			dropsOf(r, 0)
			r.config.Kernel = nil
			report := r.run()
			passed, unknown := report.Passed()
			if len(report.Findings) > 0 || unknown > 0 || passed != len(Checks()) || report.Hurts() {
				t.Errorf("%d of %d passed, %d unknown\n%s", passed, len(Checks()), unknown, report.text())
			}
			for _, o := range report.Checks {
				if o.Seen == "" {
					t.Errorf("%s passed, and nothing was seen", o.ID)
				}
			}
		})
	}
}

func TestWhatIsNotAskedIsNotPassed(t *testing.T) {
	r := newRig(t)
	r.config.Rules = ""
	report := r.run()
	passed, unknown := report.Passed()
	if unknown == 0 || passed+unknown != len(Checks()) {
		t.Errorf("%d passed, %d unknown", passed, unknown)
	}
	for _, o := range report.Checks {
		if o.ID == "STT-D012" && o.Unknown == "" {
			t.Error("no rules file, and it is fine")
		}
	}
}

func TestFindingsAreSortedByHowMuchTheyHurt(t *testing.T) {
	r := newRig(t)
	sh(r, "ip link set dev b0 mtu 1400", "sysctl -q -w net.ipv4.ip_forward=0", "ip link add vx0 type vxlan id 1 dstport 4789 dev a0")
	var got []string
	for _, f := range r.run().Findings {
		got = append(got, f.Severity.String())
	}
	if strings.Join(got, " ") != "broken risk hint" {
		t.Errorf("got %q", got)
	}
}

func TestAnUnknownHookIsRefused(t *testing.T) {
	if _, err := Run(t.Context(), Config{Hooks: []string{"postrouting"}}); err == nil || !strings.Contains(err.Error(), "prerouting") {
		t.Errorf("got %v", err)
	}
}

func TestLROIsFoundByTheDriversWord(t *testing.T) {
	f := lroFinding("eth0.7")
	if f.Commands[0].String() != "ethtool -K eth0.7 lro off" || !f.Safe {
		t.Errorf("%+v", f)
	}
	r := newRig(t)
	if out, err := exec.Command("ethtool", "-K", "a0", "lro", "on").CombinedOutput(); err == nil {
		t.Fatalf("veth can do LRO on this kernel: make the trouble in the table\n%s", out)
	}
	flags, err := ethtool("a0", ethtoolGetFlags)
	if err != nil || flags&flagLRO != 0 {
		t.Errorf("%#x, %v", flags, err)
	}
	sh(r, "ethtool -K a0 gro on")
	if gro, err := ethtool("a0", ethtoolGetGRO); err != nil || gro != 1 {
		t.Errorf("GRO %d, %v", gro, err)
	}
	if _, err := ethtool("c0", ethtoolGetGRO); err == nil {
		t.Error("an interface that is not there has offloads")
	}
}

func TestAFlowtableHurtsWhereNothingUntracksSTT(t *testing.T) {
	r := newRig(t)
	look := func() []Finding {
		h := &host{Config: r.config, ctx: t.Context(), settings: policy.Settings{STTPorts: []uint16{7471}}}
		h.Hooks = []string{HookPrerouting}
		s, err := h.rules()
		must(t, err)
		s.flowtables = []string{"table inet fast, flowtable ft"} // which not every kernel has
		_, found, err := offloaded(h)
		must(t, err)
		return found
	}
	found := look()
	if len(found) != 1 {
		t.Fatalf("got %v", found)
	}
	for _, c := range found[0].Commands {
		sh(t, c.String())
	}
	if found := look(); len(found) > 0 {
		t.Errorf("still there: %v", found)
	}
}

func TestFOUIsAskedFor(t *testing.T) {
	nstest.Enter(t)
	if err := exec.Command("ip", "fou", "add", "port", "5555", "ipproto", "4").Run(); err != nil {
		if seen, found, err := fouPorts(new(host)); err != nil || len(found) > 0 || seen != "the kernel has no FOU" {
			t.Errorf("got %q, %v, %v", seen, found, err)
		}
		return
	}
	_, found, err := fouPorts(new(host))
	if err != nil || len(found) != 1 {
		t.Fatalf("got %v, %v", found, err)
	}
	sh(t, found[0].Commands[0].String())
	if _, found, err = fouPorts(new(host)); err != nil || len(found) > 0 {
		t.Errorf("still there: %v, %v", found, err)
	}
}

func TestInterruptsAreThoseOfTheirInterface(t *testing.T) {
	for line, want := range map[string]bool{
		"  5 5 PCI-MSIX 0-edge eth0": true, " 5 PCI-MSI 1-edge eth0-rx-0": true, " 5 IR-PCI-MSI i40e-eth0-TxRx-0": true, " 5 mlx5_comp0@pci:0000:01:00.0-eth0": true,
		" 5 PCI-MSIX 0-edge eth01-rx-0": false, " 5 PCI-MSIX veth0": false, " 5 IO-APIC uhci, eth0": true, "": false,
	} {
		if got := ofInterface(line, "eth0"); got != want {
			t.Errorf("%q: got %v", line, got)
		}
	}
	if mask([]int{0, 1, 33}) != "2,00000003" || mask([]int{3}) != "8" {
		t.Errorf("masks %q, %q", mask([]int{0, 1, 33}), mask([]int{3}))
	}
}

func TestCommandsAreWrittenAsAShellTakesThem(t *testing.T) {
	for _, c := range []Command{{"echo", "a b", "", "it's", "$HOME", "{ x; }", "a=b", "net/ipv4/conf/eth0.7/rp_filter=2"}} {
		out, err := exec.Command("sh", "-c", "printf '%s\\n' "+Command(c[1:]).String()).Output()
		if got := strings.Split(strings.TrimSuffix(string(out), "\n"), "\n"); err != nil || strings.Join(got, "|") != strings.Join(c[1:], "|") {
			t.Errorf("%s: got %q, %v", c, got, err)
		}
	}
}

// sixEndpoints makes the endpoints IPv6 ones.
func sixEndpoints(r *rig) {
	r.Helper()
	sh(r, "ip address add fd00:1::1/64 dev a0 nodad; ip address add fd00:2::1/64 dev b0 nodad", "sysctl -q -w net.ipv6.conf.all.forwarding=1")
	r.rules(`"fd00:1::2", "fd00:2::2"`, "")
}

// without is a file system that lacks a folder, until somebody loads what makes it.
type without struct {
	fs.FS
	folder string
}

func (w without) Open(name string) (fs.File, error) {
	if strings.HasPrefix(name, w.folder) {
		if _, err := fs.Stat(w.FS.(over).upper, "loaded"); err != nil {
			return nil, &fs.PathError{Op: "open", Path: name, Err: fs.ErrNotExist}
		}
	}
	return w.FS.Open(name)
}

func (w without) ReadLink(name string) (string, error) { return w.FS.(over).ReadLink(name) }

func (w without) Lstat(name string) (fs.FileInfo, error) { return w.FS.(over).Lstat(name) }

// How a kernel was built is read from itself, else from beside it.
func TestTheKernelsConfigurationIsQuoted(t *testing.T) {
	root := fstest.MapFS{
		"proc/sys/kernel/osrelease": {Data: []byte("6.1.0\n")},
		"boot/config-6.1.0":         {Data: []byte("CONFIG_NFT_HASH=m\n# CONFIG_NFT_QUEUE is not set\n")},
	}
	h := &host{Config: Config{Root: root}}
	for text, want := range map[string]string{
		"CONFIG_NFT_HASH": "/boot/config-6.1.0: CONFIG_NFT_HASH=m", "CONFIG_NFT_QUEUE": "/boot/config-6.1.0: # CONFIG_NFT_QUEUE is not set", "CONFIG_NFT_CT": "/boot/config-6.1.0: no CONFIG_NFT_CT",
	} {
		if got := h.config(text); got != want {
			t.Errorf("got %q, want %q", got, want)
		}
	}
	if got := h.configs("CONFIG_NFT_HASH, or CONFIG_NFT_CT"); len(got) != 2 {
		t.Errorf("got %q", got)
	}
	var packed bytes.Buffer
	w := gzip.NewWriter(&packed)
	fmt.Fprintln(w, "CONFIG_NFT_CT=y")
	must(t, w.Close())
	root["proc/config.gz"] = &fstest.MapFile{Data: packed.Bytes()}
	if got := h.config("CONFIG_NFT_CT"); got != "/proc/config.gz: CONFIG_NFT_CT=y" {
		t.Errorf("got %q", got)
	}
	delete(root, "proc/config.gz")
	delete(root, "boot/config-6.1.0")
	if got := h.config("CONFIG_NFT_CT"); !strings.Contains(got, "not known") {
		t.Errorf("got %q", got)
	}
}

// The parts of the kernel that are asked for are those of the table that run would make.
func TestWhatTheTableWantsIsAskedFor(t *testing.T) {
	r := newRig(t)
	r.config.Kernel = nil
	for _, tt := range []struct {
		hooks          []string
		more           string
		wanted, absent []string
	}{
		{[]string{HookPrerouting}, "", []string{"notrack", "what came out of IPsec", "the whole table"}, []string{"nftables tables of family bridge", "what is for this host", "rates"}},
		{[]string{HookOutput}, "endpoint_rate = \"1000/s\"", []string{"rates", "the whole table"}, []string{"what came out of IPsec"}},
		{[]string{HookBridge, HookOutput}, "only_stt = true", []string{"nftables tables of family bridge", "what came out of IPsec", "what is for this host", "the whole table"}, []string{"rates"}},
	} {
		r.rules(`"10.0.1.2", "10.0.2.2"`, tt.more)
		h := &host{Config: r.config, ctx: t.Context()}
		h.Hooks = tt.hooks
		h.load()
		if h.refused != nil {
			t.Fatal(h.refused)
		}
		asked := make(map[string]bool)
		for _, p := range h.kernel() {
			asked[p.Name] = true
			if p.Err != nil {
				t.Errorf("%v: %s: %v", tt.hooks, p.Name, p.Err)
			}
		}
		for _, name := range tt.wanted {
			if !asked[name] {
				t.Errorf("%v: %s is not asked for", tt.hooks, name)
			}
		}
		for _, name := range tt.absent {
			if asked[name] {
				t.Errorf("%v: %s is asked for", tt.hooks, name)
			}
		}
	}
}

func dropsOf(r *rig, fragments uint64) {
	r.config.Drops = func(context.Context) ([]control.Drop, error) {
		return []control.Drop{{Reason: "rule_drop", Count: 1000, Where: "firewall"}, {Reason: "outer_fragment", Count: fragments, Where: "table"}}, nil
	}
}

// startProcess starts a process that has these two words as its command line, and does
// nothing: a shell that reads a script of that name.
func startProcess(r *rig, name, argument string) {
	r.Helper()
	dir := r.TempDir()
	must(r, os.WriteFile(dir+"/"+argument, []byte("echo here\nread line\n"), 0o600))
	cmd := exec.Cmd{Path: "/bin/sh", Args: []string{name, argument}, Dir: dir}
	in, err := cmd.StdinPipe()
	must(r, err)
	out, err := cmd.StdoutPipe()
	must(r, err)
	must(r, cmd.Start())
	if _, err := out.Read(make([]byte, 5)); err != nil { // it runs what it is to run
		r.Fatal(err)
	}
	ended := make(chan struct{})
	go func() { _ = cmd.Wait(); close(ended) }()
	r.Cleanup(func() { in.Close(); <-ended })
}

// attachXDP attaches a program that lets everything pass.
func attachXDP(r *rig) {
	r.Helper()
	program, err := ebpf.NewProgram(&ebpf.ProgramSpec{Type: ebpf.XDP, License: "GPL", Instructions: asm.Instructions{asm.Mov.Imm(asm.R0, 2), asm.Return()}})
	if err != nil {
		if nstest.InUserNamespace() {
			r.Skipf("an ordinary user loads no BPF programs: %v", err)
		}
		r.Fatal(err)
	}
	defer program.Close()
	a0, err := netlink.LinkByName("a0")
	must(r, err)
	must(r, netlink.LinkSetXdpFd(a0, program.FD()))
}

// spoof has a packet come in on a0 whose way back is b0, and waits until it is counted.
func spoof(r *rig) {
	r.Helper()
	h := &host{Config: r.config}
	deadline := time.Now().Add(10 * time.Second)
	for {
		sendUDP(r, "a1", "a0", netip.MustParseAddr("10.0.2.9"), netip.MustParseAddr("10.0.1.1"))
		if n, err := h.counter(procNet+"netstat", "IPReversePathFilter"); err != nil || n > 0 {
			must(r, err)
			return
		}
		if time.Now().After(deadline) {
			r.Fatal("the kernel has not dropped it")
		}
	}
}

// sendUDP sends a UDP datagram out of one end of a veth pair to the other.
func sendUDP(r *rig, from, to string, src, dst netip.Addr) {
	r.Helper()
	out, err := netlink.LinkByName(from)
	must(r, err)
	in, err := netlink.LinkByName(to)
	must(r, err)
	p := append(append([]byte{}, in.Attrs().HardwareAddr...), out.Attrs().HardwareAddr...)
	p = append(p, 0x08, 0x00, 0x45, 0, 0, 28, 0, 0, 0, 0, 64, 17, 0, 0)
	p = append(append(p, src.AsSlice()...), dst.AsSlice()...)
	var sum uint32
	for i := 14; i < len(p); i += 2 {
		sum += uint32(p[i])<<8 | uint32(p[i+1])
	}
	for sum > 0xffff {
		sum = sum>>16 + sum&0xffff
	}
	p[24], p[25] = byte(^sum>>8), byte(^sum)
	p = append(p, 0x12, 0x34, 0x12, 0x34, 0, 8, 0, 0)
	fd, err := unix.Socket(unix.AF_PACKET, unix.SOCK_RAW|unix.SOCK_CLOEXEC, 0)
	must(r, err)
	defer unix.Close(fd)
	must(r, unix.Sendto(fd, p, 0, &unix.SockaddrLinklayer{Ifindex: out.Attrs().Index}))
}

// connectSTT makes a connection to the STT port, over loopback.
func connectSTT(r *rig) {
	r.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:7471")
	must(r, err)
	r.Cleanup(func() { l.Close() })
	c, err := net.Dial("tcp", "127.0.0.1:7471")
	must(r, err)
	r.Cleanup(func() { c.Close() })
}
