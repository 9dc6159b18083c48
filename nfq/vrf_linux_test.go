package nfq

import (
	"errors"
	"net/netip"
	"os"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/nftables"
	"github.com/google/nftables/expr"
	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"
)

// On a kernel without VRFs the parts of the rules are tried on another kind of interface.
func TestAPacketIsKnownByTheKindOfItsInterface(t *testing.T) {
	w := newWire(t)
	conn, err := connect(w.near)
	must(t, err)
	table := conn.AddTable(&nftables.Table{Name: "kinds", Family: nftables.TableFamilyINet})
	chain := &nftables.Chain{Name: "in", Table: table}
	base{nftables.ChainHookPrerouting, 0, ""}.set(chain)
	conn.AddChain(chain)
	counted := map[string][]part{
		"veth": {kindOf(iifKind, "veth")}, "vet": {kindOf(iifKind, "vet")}, "host": {kindOf(iifKind, "veth"), forHost()}, "vrf": {kindOf(iifKind, "vrf")},
		"loopback": {fromLoopback()}, "leaves": {leaves()}, "plain": {noIPsec()},
	}
	for name, parts := range counted {
		conn.AddObj(&nftables.CounterObj{Table: table, Name: name})
		exprs, err := resolve(conn, table, append(parts, count(name)), false)
		must(t, err)
		stt := sttPortIs(testPort)
		conn.AddRule(&nftables.Rule{Table: table, Chain: chain, Exprs: append(stt, exprs...)})
	}
	must(t, conn.Flush())
	all := slices.Clone(w.nearMAC)
	w.send(t, outer{id: 1}.bytes())
	copy(w.nearMAC, []byte{0xff, 0xff, 0xff, 0xff, 0xff, 0xff})
	w.send(t, outer{id: 2}.bytes())
	copy(w.nearMAC, all)
	w.delivered(t)
	got := make(map[string]uint64)
	objects, err := conn.GetObjects(table)
	must(t, err)
	for _, o := range objects {
		c := o.(*nftables.CounterObj)
		got[c.Name] = c.Packets
	}
	if diff := cmp.Diff(got, map[string]uint64{"veth": 2, "vet": 0, "host": 1, "vrf": 0, "loopback": 0, "leaves": 0, "plain": 2}); diff != "" {
		t.Errorf("packets (-got +want):\n%s", diff)
	}
}

func sttPortIs(n uint16) []expr.Any {
	return append(protocol(expr.CmpOpEq, unix.IPPROTO_TCP), port(offsetDestPort), compare(expr.CmpOpEq, byte(n>>8), byte(n)))
}

func TestInAVRFEachPacketIsInspectedOnce(t *testing.T) {
	for _, hooks := range []Hooks{HooksOf(HookPrerouting), HooksOf(HookOutput), HooksOf(HookPrerouting, HookOutput)} {
		t.Run(hooks.String(), func(t *testing.T) {
			w := newWire(t)
			// The table that goes into the kernel has the rules in any case.
			_, err := InstallTable(TableConfig{Ports: []uint16{testPort}, FirstQueue: 40, Queues: 1, Hooks: hooks})
			must(t, err)
			vrf := &netlink.Vrf{LinkAttrs: netlink.LinkAttrs{Name: "blue"}, Table: 10}
			if err := netlink.LinkAdd(vrf); errors.Is(err, unix.EOPNOTSUPP) {
				t.Logf("this kernel has no VRF (CONFIG_NET_VRF): only that it takes the rules is seen")
				return
			} else {
				must(t, err)
			}
			must(t, netlink.LinkSetUp(vrf))
			near, err := netlink.LinkByName("near")
			must(t, err)
			must(t, netlink.LinkSetMaster(near, vrf))
			ip6, err := netlink.ParseAddr("fd00:99::1/64") // went when it became a member
			must(t, err)
			ip6.Flags = unix.IFA_F_NODAD
			must(t, netlink.AddrReplace(near, ip6))
			q, err := Open(Config{Number: 40})
			must(t, err)
			defer q.Close()
			far := make(map[bool]int)
			inside(t, w.far, func() error {
				far[true], far[false] = rawSocket(t, unix.AF_INET), rawSocket(t, unix.AF_INET6)
				return nil
			})
			own := NewOwn()
			sender, err := NewInjector(w.near, Own{})
			must(t, err)
			defer sender.Close()
			answers, err := NewInjector(w.near, own)
			must(t, err)
			defer answers.Close()
			forger, err := NewInjector(w.near, Own{Priority: seenPriority})
			must(t, err)
			defer forger.Close()

			in4, in6 := marked(outer{}, 1), marked(outer{src: far6, dst: near6}, 2)
			out4, out6 := marked(outer{src: near4, dst: far4}, 3), marked(outer{src: near6, dst: far6}, 4)
			self := marked(outer{src: near4, dst: near4}, 5)
			w.send(t, in4, in6)
			device := near.Attrs().Index
			sender.Send(out4, device)
			sender.Send(out6, device)
			sender.Send(self, vrf.Attrs().Index)
			forger.Send(marked(outer{src: near4, dst: near4}, 6), vrf.Attrs().Index)
			var want []uint32
			last := func(p []byte) { sender.Send(marked(outer{src: near4, dst: far4}, 0xfffffffe), device) }
			if hooks.Has(HookPrerouting) {
				want = append(want, 1, 2, 5, 6)
				last = func(p []byte) { w.send(t, p) }
			}
			if hooks.Has(HookOutput) {
				want = append(want, 3, 4)
			}
			got := inspected(t, q, last)
			slices.Sort(got)
			slices.Sort(want)
			if diff := cmp.Diff(got, want); diff != "" {
				t.Errorf("inspected (-got +want):\n%s", diff)
			}
			ids := w.delivered(t)
			ids = slices.DeleteFunc(ids, func(id uint32) bool { return id == 0 }) // RST of the other's TCP
			slices.Sort(ids)
			if diff := cmp.Diff(ids, []uint32{1, 2, 5, 6}); diff != "" {
				t.Errorf("delivered here (-got +want):\n%s", diff)
			}
			if a, b := nextSTT(t, far[true]), nextSTT(t, far[false]); a != 3 || b != 4 {
				t.Errorf("delivered there: got %d and %d, want 3 and 4", a, b)
			}
		})
	}
}

// SRv6 gives what it takes out of its packets to the device of a VRF; no member of the VRF has
// seen it. It comes here in IPv6 that is no STT.
func TestSTTThatSRv6PutsIntoAVRFIsDropped(t *testing.T) {
	needCommand(t, "ip")
	for _, c := range []struct {
		action string
		inner  outer
	}{
		{"End.DT4", outer{src: netip.MustParseAddr("10.98.0.2"), dst: netip.MustParseAddr("10.98.0.1")}},
		{"End.DT46", outer{src: netip.MustParseAddr("10.98.0.2"), dst: netip.MustParseAddr("10.98.0.1")}},
		{"End.DT46", outer{src: netip.MustParseAddr("fd00:98::2"), dst: netip.MustParseAddr("fd00:98::1")}},
		{"End.DT6", outer{src: netip.MustParseAddr("fd00:98::2"), dst: netip.MustParseAddr("fd00:98::1")}},
	} {
		t.Run(c.action+" "+c.inner.dst.String(), func(t *testing.T) {
			w := newWire(t)
			sid := netip.MustParseAddr("fd00:97::1")
			needVRF(t)
			for _, name := range []string{"net/vrf/strict_mode", "net/ipv6/conf/all/forwarding", "net/ipv4/conf/all/forwarding"} {
				must(t, os.WriteFile("/proc/sys/"+name, []byte("1"), 0))
			}
			run(t, "ip", "link", "set", "blue", "up")
			run(t, "ip", "address", "add", "10.98.0.1/24", "dev", "blue")
			run(t, "ip", "address", "add", "fd00:98::1/64", "dev", "blue", "nodad")
			if out, err := try("ip", "-6", "route", "add", sid.String(), "encap", "seg6local", "action", c.action, "vrftable", "10", "dev", "near"); err != nil {
				t.Skipf("this kernel has no SRv6 (CONFIG_IPV6_SEG6_LWTUNNEL), or not %s: %s", c.action, out)
			}
			protocol := byte(unix.IPPROTO_IPIP)
			if c.inner.dst.Is6() {
				protocol = unix.IPPROTO_IPV6
			}
			carried := func(o outer, id uint32) []byte {
				o.src, o.dst = c.inner.src, c.inner.dst
				return outer{src: far6, dst: sid, protocol: protocol, payload: marked(o, id)}.bytes()
			}
			w.send(t, carried(outer{}, 1))
			if got := w.delivered(t); !slices.Contains(got, 1) {
				t.Fatalf("without a table %d are delivered, and 1 is not", got)
			}
			for _, hooks := range []Hooks{HooksOf(HookPrerouting), HooksOf(HookPrerouting, HookOutput)} {
				// No listener: what came to a queue would be dropped too, and counted as queued.
				table, err := InstallTable(TableConfig{Ports: []uint16{testPort}, FirstQueue: 40, Queues: 1, Hooks: hooks})
				must(t, err)
				w.send(t, carried(outer{}, 2), carried(outer{dport: 99}, 3))
				got := w.delivered(t)
				if slices.Contains(got, 2) || !slices.Contains(got, 3) {
					t.Errorf("%s: %d are delivered; want 3, which is no STT, and not 2", hooks, got)
				}
				counted, err := table.Counters()
				must(t, err)
				if diff := cmp.Diff(counted, TableCounters{OtherTunnel: 1}); diff != "" {
					t.Errorf("%s: counters (-got +want):\n%s", hooks, diff)
				}
				must(t, RemoveTable(0))
			}
		})
	}
}

func TestSTTThatComesInIsKnownToHaveBeenSeen(t *testing.T) {
	w := newWire(t)
	config := TableConfig{Ports: []uint16{testPort}, FirstQueue: 40, Queues: 1, Hooks: HooksOf(HookPrerouting)}
	_, err := InstallTable(config)
	must(t, err)
	q, err := Open(Config{Number: 40})
	must(t, err)
	defer q.Close()
	conn, err := connect(w.near)
	must(t, err)
	table := conn.AddTable(&nftables.Table{Name: "later", Family: nftables.TableFamilyINet})
	conn.AddObj(&nftables.CounterObj{Table: table, Name: "seen"})
	chain := &nftables.Chain{Name: "in", Table: table}
	base{nftables.ChainHookPrerouting, 0, ""}.set(chain)
	conn.AddChain(chain)
	exprs, err := resolve(conn, table, []part{seen(), count("seen")}, false)
	must(t, err)
	conn.AddRule(&nftables.Rule{Table: table, Chain: chain, Exprs: exprs})
	must(t, conn.Flush())
	w.send(t, marked(outer{}, 1), marked(outer{dport: 99}, 2), marked(outer{src: far6, dst: near6}, 3))
	if diff := cmp.Diff(inspected(t, q, func(p []byte) { w.send(t, p) }), []uint32{1, 3}); diff != "" {
		t.Errorf("inspected (-got +want):\n%s", diff)
	}
	w.delivered(t)
	objects, err := conn.GetObjects(table)
	must(t, err)
	if n := objects[0].(*nftables.CounterObj).Packets; n != 2 {
		t.Errorf("%d packets are known, want 2", n)
	}
}

// needVRF makes the VRF blue, or skips the test.
func needVRF(t *testing.T) {
	t.Helper()
	if out, err := try("ip", "link", "add", "blue", "type", "vrf", "table", "10"); err != nil {
		if strings.Contains(out, "Unknown device type") || strings.Contains(out, "not supported") {
			t.Skip("this kernel has no VRF (CONFIG_NET_VRF)")
		}
		t.Fatal(out)
	}
}
