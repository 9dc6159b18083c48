package doctor

import (
	"net/netip"
	"strings"
	"testing"

	"github.com/cilium/ebpf"
	"github.com/cilium/ebpf/asm"
	"github.com/cilium/ebpf/link"
	"github.com/vishvananda/netlink"
	"github.com/vishvananda/netlink/nl"
	"golang.org/x/sys/unix"

	"sttwall/internal/nstest"
)

// Filters that let STT pass, or are about something else, hurt nobody.
func TestFiltersThatLetSTTPassAreNoTrouble(t *testing.T) {
	for name, lines := range map[string][]string{
		"another port":                    {"filter add dev a0 ingress protocol ip u32 match ip dport 80 0xffff action mirred egress redirect dev b0"},
		"another protocol":                {"filter add dev a0 ingress protocol all u32 match ip protocol 17 0xff action mirred egress redirect dev b0"},
		"another address":                 {"filter add dev a0 ingress protocol ip u32 match ip src 10.0.9.0/24 action mirred egress redirect dev b0"},
		"ARP":                             {"filter add dev a0 ingress protocol arp u32 match u32 0 0 action mirred egress redirect dev b0"},
		"tagged packets":                  {"filter add dev a0 ingress protocol 802.1Q u32 match u32 0 0 action mirred egress redirect dev b0"},
		"a copy":                          {"filter add dev a0 ingress protocol ip u32 match u32 0 0 action mirred egress mirror dev b0"},
		"egress where STT comes in":       {"filter add dev a0 egress protocol ip u32 match ip src 10.0.1.2/32 action mirred egress redirect dev b0"},
		"one in front lets it pass":       {"filter add dev a0 ingress pref 1 protocol ip u32 match ip protocol 6 0xff flowid :1", "filter add dev a0 ingress pref 2 protocol ip u32 match u32 0 0 action mirred egress redirect dev b0"},
		"it depends on what is not known": {"filter add dev a0 ingress protocol ip u32 match ip sport 4711 0xffff action mirred egress redirect dev b0"},
	} {
		t.Run(strings.ReplaceAll(name, " ", "_"), func(t *testing.T) {
			r := newRig(t)
			sh(r, "tc qdisc add dev a0 clsact")
			for _, line := range lines {
				sh(r, "tc "+line)
			}
			report := r.run()
			if found := report.of("STT-D007"); len(found) > 0 {
				t.Errorf("got %+v", found)
			}
		})
	}
}

// Not every kernel has all filters and actions: these are judged as netlink reads them.
func TestDeedsOfFilters(t *testing.T) {
	tcp := nl.IPProto(unix.IPPROTO_TCP)
	udp := nl.IPProto(unix.IPPROTO_UDP)
	act := func(a netlink.TcAct) *netlink.GenericAction {
		return &netlink.GenericAction{ActionAttrs: netlink.ActionAttrs{Action: a}}
	}
	attrs := netlink.FilterAttrs{Protocol: unix.ETH_P_ALL, Priority: 5}
	p := &packet{v4: true, src: netip.MustParseAddr("10.0.1.2"), dst: netip.MustParseAddr("10.0.2.2"), port: 7471}
	for _, tt := range []struct {
		name    string
		filter  netlink.Filter
		deed    deed
		certain bool
		aimed   bool
	}{
		{"all dropped", &netlink.MatchAll{FilterAttrs: attrs, Actions: []netlink.Action{act(netlink.TC_ACT_SHOT)}}, discards, true, false},
		{"all passed", &netlink.MatchAll{FilterAttrs: attrs, Actions: []netlink.Action{act(netlink.TC_ACT_OK)}}, nothing, false, false},
		{"all rewritten", &netlink.MatchAll{FilterAttrs: attrs, Actions: []netlink.Action{&netlink.PeditAction{ActionAttrs: netlink.ActionAttrs{Action: netlink.TC_ACT_PIPE}}, act(netlink.TC_ACT_OK)}}, rewrites, true, false},
		{"flower drops the port", &netlink.Flower{FilterAttrs: attrs, IPProto: &tcp, DestPort: 7471, Actions: []netlink.Action{act(netlink.TC_ACT_SHOT)}}, discards, false, true},
		{"flower drops a range", &netlink.Flower{FilterAttrs: attrs, IPProto: &tcp, DstPortRangeMin: 7000, DstPortRangeMax: 8000, Actions: []netlink.Action{act(netlink.TC_ACT_SHOT)}}, discards, false, true},
		{"flower drops UDP", &netlink.Flower{FilterAttrs: attrs, IPProto: &udp, Actions: []netlink.Action{act(netlink.TC_ACT_SHOT)}}, nothing, false, false},
		{"flower drops another port", &netlink.Flower{FilterAttrs: attrs, IPProto: &tcp, DestPort: 80, Actions: []netlink.Action{act(netlink.TC_ACT_SHOT)}}, nothing, false, false},
		{"a rate is held", &netlink.MatchAll{FilterAttrs: attrs, Actions: []netlink.Action{&netlink.PoliceAction{ExceedAction: netlink.TC_POLICE_SHOT}}}, anything, false, false},
		{"an action that is not known", &netlink.MatchAll{FilterAttrs: attrs}, anything, false, false},
		{"a kind that is not known", &netlink.GenericFilter{FilterAttrs: attrs, FilterType: "basic"}, anything, false, false},
	} {
		var got filterFate
		if fates := filterFates([]netlink.Filter{tt.filter}, p); len(fates) > 0 {
			got = fates[0]
		}
		if got.deed != tt.deed || got.certain != tt.certain || got.aimed != tt.aimed {
			t.Errorf("%s: got %+v", tt.name, got)
		}
	}
}

// bridgeWay has the endpoint of a0 be behind a bridge with the port c0 instead.
func bridgeWay(r *rig) {
	r.Helper()
	sh(r, "ip link add c0 type veth peer name c1", "ip link set c0 up; ip link set c1 up", "ip link add br0 type bridge", "ip link set c0 master br0", "ip link set br0 up",
		"ip address del 10.0.1.1/24 dev a0", "ip address add 10.0.1.1/24 dev br0")
}

// Not every kernel has VLANs; what comes up through another interface is known by what
// netlink says of both.
func TestInterfacesBelowAreFound(t *testing.T) {
	attrs := func(name string, index, parent, master int) netlink.LinkAttrs {
		return netlink.LinkAttrs{Name: name, Index: index, ParentIndex: parent, MasterIndex: master}
	}
	h := new(host)
	h.list.done = true
	h.list.value = []netlink.Link{
		&netlink.Vlan{LinkAttrs: attrs("bond0.5", 1, 2, 0)}, &netlink.Bond{LinkAttrs: attrs("bond0", 2, 0, 0)}, &netlink.Device{LinkAttrs: attrs("eth0", 3, 0, 2)},
		&netlink.Device{LinkAttrs: attrs("eth1", 4, 0, 2)}, &netlink.Device{LinkAttrs: attrs("eth2", 5, 0, 0)}, &netlink.Veth{LinkAttrs: attrs("veth0", 6, 5, 0)},
	}
	for at, want := range map[int]string{0: "bond0.5, bond0, eth0, eth1", 4: "eth2", 5: "veth0"} {
		list, err := h.withLower(h.list.value[at : at+1])
		if got := names(list); err != nil || got != want {
			t.Errorf("got %s, %v, want %s", got, err, want)
		}
	}
	if kind, lower := h.isLower(h.list.value[3], "bond0.5"); kind != "vlan" || !lower {
		t.Errorf("eth1 below bond0.5: %q, %v", kind, lower)
	}
	if _, lower := h.isLower(h.list.value[4], "bond0.5"); lower {
		t.Error("eth2 is below bond0.5")
	}
}

// Where a packet still has its tag, filters for untagged ones do not match.
func TestFiltersForTaggedPackets(t *testing.T) {
	for _, tt := range []struct {
		protocol uint16
		tagged   bool
		want     tri
	}{
		{unix.ETH_P_IP, false, yes}, {unix.ETH_P_IP, true, no}, {unix.ETH_P_8021Q, false, no}, {unix.ETH_P_8021Q, true, maybe}, {unix.ETH_P_8021AD, true, maybe},
		{unix.ETH_P_ALL, true, yes}, {unix.ETH_P_ALL, false, yes}, {unix.ETH_P_IPV6, false, no},
	} {
		f := &netlink.MatchAll{FilterAttrs: netlink.FilterAttrs{Protocol: tt.protocol}}
		if got, _ := judgeFilter(f, &packet{v4: true, tagged: tt.tagged}); got != tt.want {
			t.Errorf("protocol %#x, tagged %v: got %v", tt.protocol, tt.tagged, got)
		}
	}
}

func classifier(r *rig) *ebpf.Program {
	r.Helper()
	program, err := ebpf.NewProgram(&ebpf.ProgramSpec{Type: ebpf.SchedCLS, License: "GPL", Instructions: asm.Instructions{asm.Mov.Imm(asm.R0, -1), asm.Return()}})
	if err != nil {
		if nstest.InUserNamespace() {
			r.Skipf("an ordinary user loads no BPF programs: %v", err)
		}
		r.Fatal(err)
	}
	return program
}

// attachClassifier has a program that lets everything pass be a filter.
func attachClassifier(r *rig) {
	r.Helper()
	program := classifier(r)
	defer program.Close()
	sh(r, "tc qdisc add dev a0 clsact")
	a0, err := netlink.LinkByName("a0")
	must(r, err)
	must(r, netlink.FilterAdd(&netlink.BpfFilter{FilterAttrs: netlink.FilterAttrs{LinkIndex: a0.Attrs().Index, Parent: netlink.HANDLE_MIN_INGRESS, Handle: 1, Protocol: unix.ETH_P_ALL, Priority: 1},
		Fd: program.FD(), Name: "passes", DirectAction: true}))
}

func attachTCX(r *rig) {
	r.Helper()
	program := classifier(r)
	defer program.Close()
	a0, err := netlink.LinkByName("a0")
	must(r, err)
	there, err := link.AttachTCX(link.TCXOptions{Interface: a0.Attrs().Index, Program: program, Attach: ebpf.AttachTCXIngress})
	must(r, err)
	r.undo = func() { must(r, there.Close()) }
}
