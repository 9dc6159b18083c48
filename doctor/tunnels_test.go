package doctor

import (
	"net"
	"net/netip"
	"testing"
	"testing/fstest"

	"github.com/vishvananda/netlink"

	"sttwall/policy"
)

// Few kernels have all kinds of tunnels. Each kind is known by what rtnetlink calls it.
func TestKindsOfTunnelsAreKnownByTheirNames(t *testing.T) {
	attrs := netlink.LinkAttrs{Name: "t0", Flags: net.FlagUp}
	kind := func(name string) netlink.Link { return &netlink.GenericLink{LinkAttrs: attrs, LinkType: name} }
	for _, tt := range []struct {
		link netlink.Link
		want Severity // 0: nothing is found
	}{
		{&netlink.Wireguard{LinkAttrs: attrs}, Risk}, // no port of its own: the table does not know it
		{kind("ovpn"), Risk}, {kind("amt"), Risk}, {kind("batadv"), Risk},
		{&netlink.Vxlan{LinkAttrs: attrs, Port: 4789}, Hint}, {&netlink.Vxlan{LinkAttrs: attrs, Port: 8472}, Hint}, {&netlink.Vxlan{LinkAttrs: attrs, Port: 5000}, Risk},
		{&netlink.Geneve{LinkAttrs: attrs, Dport: 6081}, Hint}, {&netlink.Geneve{LinkAttrs: attrs, Dport: 6082}, Risk},
		{&netlink.BareUDP{LinkAttrs: attrs, Port: 6635}, Hint}, {&netlink.BareUDP{LinkAttrs: attrs, Port: 7000}, Risk},
		{&netlink.Gretun{LinkAttrs: attrs}, Hint}, {&netlink.Gretap{LinkAttrs: attrs}, Hint}, {kind("erspan"), Hint}, {kind("ip6erspan"), Hint},
		{&netlink.Iptun{LinkAttrs: attrs}, Hint}, {&netlink.Sittun{LinkAttrs: attrs}, Hint}, {&netlink.Ip6tnl{LinkAttrs: attrs}, Hint}, {&netlink.Vti{LinkAttrs: attrs}, Hint},
		{&netlink.Xfrmi{LinkAttrs: attrs}, Hint}, {&netlink.GTP{LinkAttrs: attrs}, Hint},
		{&netlink.Device{LinkAttrs: netlink.LinkAttrs{Name: "l2tpeth0"}}, Hint}, // no kind; a type of device
		{&netlink.Iptun{LinkAttrs: netlink.LinkAttrs{Name: "tunl0"}}, 0}, {&netlink.Iptun{LinkAttrs: netlink.LinkAttrs{Name: "tunl0", Flags: net.FlagUp}}, Hint},
		{&netlink.Device{LinkAttrs: attrs}, 0}, {&netlink.Vlan{LinkAttrs: attrs}, 0}, {&netlink.Veth{LinkAttrs: attrs}, 0}, {&netlink.Tuntap{LinkAttrs: attrs}, 0}, {kind("macsec"), 0},
	} {
		h := &host{Config: Config{Root: fstest.MapFS{"sys/class/net/l2tpeth0/uevent": {Data: []byte("DEVTYPE=l2tpeth\nINTERFACE=l2tpeth0\n")}}},
			settings: policy.Settings{Endpoints: []netip.Prefix{netip.MustParsePrefix("10.0.1.2/32")}}}
		h.list.done, h.list.value = true, []netlink.Link{tt.link}
		_, found, err := tunnelInterfaces(h)
		var got Severity
		if len(found) > 0 {
			got = max(found[0].Severity, Hint)
			if found[0].Severity == 0 {
				got = Risk // that of the check
			}
		}
		if err != nil || got != tt.want {
			t.Errorf("%s at %+v: got %v, %v", tt.link.Type(), tt.link, got, err)
		}
	}
}
