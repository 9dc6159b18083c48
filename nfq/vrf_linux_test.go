package nfq

import (
	"errors"
	"slices"
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

			in4, in6 := marked(outer{}, 1), marked(outer{src: far6, dst: near6}, 2)
			out4, out6 := marked(outer{src: near4, dst: far4}, 3), marked(outer{src: near6, dst: far6}, 4)
			self := marked(outer{src: near4, dst: near4}, 5)
			w.send(t, in4, in6)
			device := near.Attrs().Index
			sender.Send(out4, device)
			sender.Send(out6, device)
			sender.Send(self, vrf.Attrs().Index)
			var want []uint32
			last := func(p []byte) { sender.Send(marked(outer{src: near4, dst: far4}, 0xfffffffe), device) }
			if hooks.Has(HookPrerouting) {
				want = append(want, 1, 2, 5)
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
			if diff := cmp.Diff(ids, []uint32{1, 2, 5}); diff != "" {
				t.Errorf("delivered here (-got +want):\n%s", diff)
			}
			if a, b := nextSTT(t, far[true]), nextSTT(t, far[false]); a != 3 || b != 4 {
				t.Errorf("delivered there: got %d and %d, want 3 and 4", a, b)
			}
		})
	}
}
