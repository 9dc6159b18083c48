package endpoint

import (
	"net/netip"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
)

func goodConfig() Config {
	return Config{
		Underlay: "eth0", Local: netip.MustParseAddr("10.0.0.1"),
		Remotes: []Remote{{Addr: netip.MustParseAddr("10.0.0.2")}},
		Ports:   []Port{{Name: "acme0", ContextID: 100}, {Name: "acme1", ContextID: 100, TCI: 42}, {Name: "globex0", ContextID: 200, TCI: 42}},
	}
}

func TestAConfigIsRefusedWithEveryReason(t *testing.T) {
	for _, test := range []struct {
		name   string
		change func(c *Config)
		want   []string // "" nothing
	}{
		{"none for a good one", func(*Config) {}, nil},
		{"no underlay", func(c *Config) { c.Underlay = "" }, []string{"underlay: no interface named"}},
		{"no local address", func(c *Config) { c.Local = netip.Addr{} }, []string{"local address invalid IP"}},
		{"a multicast local address", func(c *Config) { c.Local = netip.MustParseAddr("224.0.0.1") }, []string{"local address 224.0.0.1"}},
		{"another family", func(c *Config) { c.Remotes[0].Addr = netip.MustParseAddr("fd00::1") }, []string{"remote fd00::1: not of the family"}},
		{"the local address as remote", func(c *Config) { c.Remotes[0].Addr = c.Local }, []string{"remote 10.0.0.1: is the local address"}},
		{"a remote named twice", func(c *Config) { c.Remotes = append(c.Remotes, c.Remotes[0]) }, []string{"remote 10.0.0.2: named twice"}},
		{"no remotes", func(c *Config) { c.Remotes = nil }, []string{"0 remotes"}},
		{"no ports", func(c *Config) { c.Ports = nil }, []string{"0 ports"}},
		{"two ports in one network", func(c *Config) { c.Ports[1].TCI = 0 }, []string{`port "acme1": same context id and VLAN id as port "acme0"`}},
		{"two ports in one VLAN, with and without V bit", func(c *Config) { c.Ports[2].ContextID, c.Ports[2].TCI = 100, 0xb02a }, []string{`port "globex0": same context id`}},
		{"an interface used twice", func(c *Config) { c.Ports[1].Peer = "acme0" }, []string{`interface "acme0" is used already`}},
		{"the underlay as port", func(c *Config) { c.Ports[1].Name = "eth0" }, []string{`interface "eth0" is used already`}},
		{"no interface names", func(c *Config) { c.Ports[0].Name, c.Ports[1].Peer = "", "much-too-long-name" }, []string{`port "": no interface name`, `peer "much-too-long-name" is no interface name`}},
		{"a TAP with a peer", func(c *Config) { c.Ports[0].Kind, c.Ports[0].Peer = KindTAP, "x" }, []string{"a TAP has no peer"}},
		{"MTUs out of range", func(c *Config) { c.MTU, c.Ports[0].MTU = 100, 70000 }, []string{"mtu 100: want 256", "mtu 70000: want 68"}},
		{"negative bounds", func(c *Config) { c.MACs, c.ReceiveBuffer = -1, -1 }, []string{"mac addresses: -1", "receive buffer: -1"}},
		{"a service alone", func(c *Config) {
			c.Ports, c.Services = nil, []Service{{ContextID: 1, Handle: func(Outlet, *Arrival) {}}}
		}, nil},
		{"a service with a port's Context ID, and one that does nothing", func(c *Config) { c.Services = []Service{{ContextID: 100}} },
			[]string{`service of Context ID 100: port "acme1" has it already`, "nothing handles its frames"}},
		{"a guard that is no name", func(c *Config) { c.Guard = "a b" }, []string{`guard "a b": want a letter`}},
		{"words that are none", func(c *Config) { c.Segmentation, c.Ports[0].Kind = 7, 7 }, []string{"segmentation 7", "unknown kind 7"}},
		{"sockets that are none", func(c *Config) { c.Sockets = 7 }, []string{"sockets 7: unknown"}},
	} {
		t.Run(test.name, func(t *testing.T) {
			c := goodConfig()
			test.change(&c)
			err := c.Validate()
			if (err == nil) != (test.want == nil) {
				t.Fatalf("got error %v, want %q", err, test.want)
			}
			for _, want := range test.want {
				if !strings.Contains(err.Error(), want) {
					t.Errorf("got error %q, want it to say %q", err, want)
				}
			}
		})
	}
}

func TestPortsAndRemotesAreReadFromFlags(t *testing.T) {
	for text, want := range map[string]any{
		"name=acme0,context=100":                                Port{Name: "acme0", ContextID: 100},
		"name=a,context=0x0102030405060708,kind=tap,tci=0xb02b": Port{Name: "a", ContextID: 0x0102030405060708, Kind: KindTAP, TCI: 0xb02b},
		"kind=packet,peer=b,context=1,mtu=1450,name=a,vlan=42":  Port{Name: "a", ContextID: 1, Kind: KindPacket, Peer: "b", MTU: 1450, TCI: 0x102a},
		"name=a":                        `want at least name=INTERFACE,context=ID`,
		"name=a,context":                `"context": want key=value`,
		"name=a,context=x":              `context: strconv.ParseUint: parsing "x"`,
		"name=a,context=1,kind=wire":    `kind: kind "wire": want auto, tap, packet`,
		"name=a,context=1,vlan=4095":    `4095 is no VLAN id`,
		"name=a,context=1,vlan=0":       `0 is no VLAN id`,
		"name=a,context=1,tci=99999":    `value out of range`,
		"name=a,name=b,context=1":       `name: given twice`,
		"name=a,context=1,vlan=1,tci=1": `tci and vlan exclude each other`,
		"name=a,context=1,color=red":    `color: unknown key; want name, context, kind`,
	} {
		got, err := ParsePort(text)
		compare(t, text, got, err, want)
	}
	for text, want := range map[string]any{
		"10.0.0.2":                               Remote{Addr: netip.MustParseAddr("10.0.0.2")},
		"fd00::2":                                Remote{Addr: netip.MustParseAddr("fd00::2")},
		"addr=10.0.0.2,context=100,context=0xc8": Remote{Addr: netip.MustParseAddr("10.0.0.2"), Contexts: []uint64{100, 200}},
		"host":                                   `"host": want key=value`,
		"context=1":                              `want an address`,
		"addr=nobody":                            `addr: ParseAddr("nobody")`,
	} {
		got, err := ParseRemote(text)
		compare(t, text, got, err, want)
	}
	for _, s := range []Segmentation{SegmentGSO, SegmentMTU} {
		got, err := ParseSegmentation(s.String())
		compare(t, s.String(), got, err, s)
	}
	_, err := ParseSegmentation("both")
	compare(t, "both", nil, err, `segmentation "both": want gso, mtu`)
	for _, s := range []Sockets{SocketsPacket, SocketsIP} {
		got, err := ParseSockets(s.String())
		compare(t, s.String(), got, err, s)
	}
	_, err = ParseSockets("raw")
	compare(t, "raw", nil, err, `sockets "raw": want packet, ip`)
}

// compare checks a result against a value, or an error against a text.
func compare(t *testing.T, input string, got any, err error, want any) {
	t.Helper()
	if text, ok := want.(string); ok {
		if err == nil || !strings.Contains(err.Error(), text) {
			t.Errorf("%q: got error %v, want it to say %q", input, err, text)
		}
		return
	}
	if diff := cmp.Diff(want, got, cmpopts.EquateComparable(netip.Addr{})); diff != "" || err != nil {
		t.Errorf("%q: error %v; (-want +got):\n%s", input, err, diff)
	}
}

func TestEveryDropHasAName(t *testing.T) {
	seen := map[string]Drop{}
	for d := range DropCount {
		if other, ok := seen[d.String()]; ok || d.String() == "" {
			t.Errorf("drop %d has the name %q, and so has %d", d, d, other)
		}
		seen[d.String()] = d
	}
	if got := DropCount.String(); got != "unknown" {
		t.Errorf("got %q for no drop, want unknown", got)
	}
}
