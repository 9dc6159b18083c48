package nfq

import (
	"encoding/binary"
	"net/netip"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"

	"sttwall/firewall"
	"sttwall/policy"
)

// hostBridge is a host that bridges between two others.
type hostBridge struct {
	host        NetNS
	left, right int // packet sockets at the others' ends
	mac         []byte
}

// newHostBridge makes the test's namespace a host with the bridge br0, which has the
// addresses near4 and near6.
func newHostBridge(t *testing.T) *hostBridge {
	t.Helper()
	b := &hostBridge{host: enterNS(t)}
	must(t, netlink.LinkAdd(&netlink.Bridge{LinkAttrs: netlink.LinkAttrs{Name: "br0"}}))
	b.mac = setUp(t, "br0", "10.99.0.1/24", "fd00:99::1/64")
	br, err := netlink.LinkByName("br0")
	must(t, err)
	for _, side := range []struct {
		port, end string
		socket    *int
	}{{"port1", "left", &b.left}, {"port2", "right", &b.right}} {
		far := anotherNS(t)
		portUp, endUp := linkUp(t, b.host, side.port), linkUp(t, far, side.end)
		must(t, netlink.LinkAdd(&netlink.Veth{LinkAttrs: netlink.LinkAttrs{Name: side.port}, PeerName: side.end, PeerNamespace: netlink.NsFd(far)}))
		port, err := netlink.LinkByName(side.port)
		must(t, err)
		must(t, netlink.LinkSetMaster(port, br))
		must(t, netlink.LinkSetUp(port))
		inside(t, far, func() error {
			setUp(t, side.end)
			*side.socket = packetSocket(t, side.end)
			return nil
		})
		portUp()
		endUp()
	}
	return b
}

// packetSocket sends and receives whole frames on an interface.
func packetSocket(t *testing.T, name string) int {
	t.Helper()
	link, err := netlink.LinkByName(name)
	must(t, err)
	all := int(binary.NativeEndian.Uint16([]byte{0, unix.ETH_P_ALL}))
	fd, err := unix.Socket(unix.AF_PACKET, unix.SOCK_RAW|unix.SOCK_CLOEXEC, all)
	must(t, err)
	t.Cleanup(func() { unix.Close(fd) })
	must(t, unix.SetsockoptInt(fd, unix.SOL_PACKET, unix.PACKET_IGNORE_OUTGOING, 1))
	must(t, unix.Bind(fd, &unix.SockaddrLinklayer{Ifindex: link.Attrs().Index, Protocol: uint16(all)}))
	tv := unix.NsecToTimeval(int64(patience))
	must(t, unix.SetsockoptTimeval(fd, unix.SOL_SOCKET, unix.SO_RCVTIMEO, &tv))
	return fd
}

// The others on the bridge.
var (
	leftMAC  = []byte{0x02, 0, 0, 0, 0, 0x11}
	rightMAC = []byte{0x02, 0, 0, 0, 0, 0x22}
)

// framed puts an IP packet into a frame; behind the addresses stand the tags, or what else
// there is in front of the packet's type.
func framed(dst []byte, packet []byte, before ...byte) []byte {
	kind := uint16(unix.ETH_P_IP)
	if packet[0]>>4 == 6 {
		kind = unix.ETH_P_IPV6
	}
	return slices.Concat(dst, leftMAC, before, binary.BigEndian.AppendUint16(nil, kind), packet)
}

func (b *hostBridge) send(t *testing.T, frames ...[]byte) {
	t.Helper()
	must(t, writeInOrder(b.left, frames...))
}

// forwarded sends a last frame that no rule touches, and returns the frame IDs of STT and
// whatever else reached the right before it, by the last bytes of each.
func (b *hostBridge) forwarded(t *testing.T) (ids []uint32) {
	t.Helper()
	const last = 0xffffffff
	b.send(t, framed(rightMAC, marked(outer{dport: 9}, last)))
	buf := make([]byte, 1<<16)
	for {
		n, err := unix.Read(b.right, buf)
		if err != nil {
			t.Fatalf("waiting for frames on the right: %v", err)
		}
		if n < 18 || !slices.Equal(buf[:6], rightMAC) {
			continue // the kernel's own
		}
		id := binary.BigEndian.Uint32(buf[n-4 : n])
		if id == last {
			return ids
		}
		ids = append(ids, id)
	}
}

// marked is a packet whose frame ID stands in its last bytes too.
func marked(o outer, id uint32) []byte {
	o.id, o.payload = id, append(o.payload, binary.BigEndian.AppendUint32(nil, id)...)
	return o.bytes()
}

// inspected takes the packets that a queue has got up to one that is sent for it, accepts
// them, and returns their frame IDs.
func inspected(t *testing.T, q Queue, send func(packet []byte)) (ids []uint32) {
	t.Helper()
	const last = 0xfffffffe
	send(marked(outer{}, last))
	for {
		p := take(t, q, 1)[0]
		id := frameID(p)
		if id == last {
			must(t, q.SetVerdicts([]firewall.Verdict{{ID: p.ID}}))
			return ids
		}
		must(t, q.SetVerdicts(accept(p)))
		ids = append(ids, id)
	}
}

func TestABridgeIsInspected(t *testing.T) {
	b := newHostBridge(t)
	table, err := InstallTable(TableConfig{Ports: []uint16{testPort}, FirstQueue: 40, Queues: 1, Hooks: HooksOf(HookBridge)})
	must(t, err)
	q, err := Open(Config{Number: 40})
	must(t, err)
	defer q.Close()
	tag := []byte{0x81, 0, 0, 100}
	provider := []byte{0x88, 0xa8, 0, 7}
	ipv6 := outer{src: far6, dst: near6}
	b.send(t,
		framed(rightMAC, marked(outer{}, 1)),
		framed(rightMAC, marked(ipv6, 2)),
		framed(rightMAC, marked(outer{}, 3), tag...),
		framed(rightMAC, marked(ipv6, 4), tag...),
		framed(rightMAC, marked(outer{}, 5), 0x81, 0, 0xe0, 0), // a priority tag
		framed(rightMAC, marked(outer{}, 6), provider...),
		framed(rightMAC, marked(outer{dport: 80}, 7), tag...),
		// Routed, since it is for the bridge itself: seen once.
		framed(b.mac, marked(outer{}, 8)),
	)
	got := inspected(t, q, func(p []byte) { b.send(t, framed(rightMAC, p)) })
	if diff := cmp.Diff(got, []uint32{1, 2, 3, 4, 5, 6, 8}); diff != "" {
		t.Errorf("inspected (-got +want):\n%s", diff)
	}
	ids := b.forwarded(t)
	slices.Sort(ids)
	if diff := cmp.Diff(ids, []uint32{1, 2, 3, 4, 5, 6, 7}); diff != "" {
		t.Errorf("forwarded (-got +want):\n%s", diff)
	}
	counted, err := table.Counters()
	must(t, err)
	if counted.Queued != 8 || counted.Encapsulated != 0 {
		t.Errorf("got %+v, want 8 queued", counted)
	}
}

// nextSTT returns the frame ID of the next packet to the STT port.
func nextSTT(t *testing.T, fd int) uint32 {
	t.Helper()
	for {
		if id, port := segmentID(receiveRaw(t, fd)); port == testPort {
			return id
		}
	}
}

func TestWhatThisHostSendsIsInspected(t *testing.T) {
	w := newWire(t)
	_, err := InstallTable(TableConfig{
		Ports: []uint16{testPort}, FirstQueue: 40, Queues: 1, Hooks: HooksOf(HookOutput), Endpoints: prefixes("10.99.0.0/24", "fd00:99::/64"),
	})
	must(t, err)
	q, err := Open(Config{Number: 40})
	must(t, err)
	defer q.Close()
	var far int
	inside(t, w.far, func() error {
		far = rawSocket(t, unix.AF_INET)
		return nil
	})
	sender, err := NewInjector(w.near, Own{})
	must(t, err)
	defer sender.Close()
	out := outer{src: near4, dst: far4}
	out6 := outer{src: near6, dst: far6}
	w.send(t, outer{id: 9}.bytes()) // comes in: not a matter of this hook
	sender.Send(marked(out, 1), 0)
	sender.Send(marked(out6, 2), 0)
	got := inspected(t, q, func([]byte) { sender.Send(marked(out, 0xfffffffe), 0) })
	if diff := cmp.Diff(got, []uint32{1, 2}); diff != "" {
		t.Errorf("inspected (-got +want):\n%s", diff)
	}
	if id := nextSTT(t, far); id != 1 {
		t.Errorf("the other host got packet %d first, want 1", id)
	}
	answers := func(id uint32) bool { return id == 0 } // RST of its TCP
	if diff := cmp.Diff(slices.DeleteFunc(w.delivered(t), answers), []uint32{9}); diff != "" {
		t.Errorf("what came in (-got +want):\n%s", diff)
	}
}

func TestWhatThisHostSendsItselfIsInspectedOnce(t *testing.T) {
	w := newWire(t)
	own := NewOwn()
	table, err := InstallTable(TableConfig{
		Ports: []uint16{testPort}, FirstQueue: 40, Queues: 1, Hooks: HooksOf(HookPrerouting, HookOutput), Own: own, Endpoints: prefixes("10.99.0.0/24"),
		Bound: []policy.BoundEndpoint{{Prefix: netip.MustParsePrefix("10.99.0.0/24"), Interface: "near"}},
	})
	must(t, err)
	q, err := Open(Config{Number: 40})
	must(t, err)
	defer q.Close()
	sender, err := NewInjector(w.near, Own{})
	must(t, err)
	defer sender.Close()
	answers, err := NewInjector(w.near, own)
	must(t, err)
	defer answers.Close()
	self := outer{src: near4, dst: near4}
	w.send(t, outer{id: 1}.bytes())
	sender.Send(marked(self, 2), 0)                                                     // out, and in through loopback
	sender.Send(marked(outer{src: near4, dst: far4}, 3), 0)                             // an endpoint on near, that is here
	answers.Send(marked(outer{src: far4, dst: near4}, 4), 0)                            // what the firewall answers to an endpoint here
	answers.Send(marked(outer{src: near4, dst: far4}, 5), 0)                            // and to one elsewhere
	sender.Send(marked(outer{src: netip.MustParseAddr("192.0.2.1"), dst: near4}, 6), 0) // no endpoint
	got := inspected(t, q, func(p []byte) { w.send(t, p) })
	slices.Sort(got)
	if diff := cmp.Diff(got, []uint32{1, 2, 3}); diff != "" {
		t.Errorf("inspected (-got +want):\n%s", diff)
	}
	ids := slices.DeleteFunc(w.delivered(t), func(id uint32) bool { return id == 0 })
	slices.Sort(ids)
	if diff := cmp.Diff(ids, []uint32{1, 2, 4}); diff != "" {
		t.Errorf("delivered here (-got +want):\n%s", diff)
	}
	counted, err := table.Counters()
	must(t, err)
	if diff := cmp.Diff(counted, TableCounters{Queued: 4, EndpointUnknown: 1}); diff != "" {
		t.Errorf("counters (-got +want):\n%s", diff)
	}
}

// With only_stt, what this host sends besides tunnels is its own matter.
func TestOnlySTTIsNotAskedOfWhatThisHostSends(t *testing.T) {
	w := newWire(t)
	table, err := InstallTable(TableConfig{
		Ports: []uint16{testPort}, FirstQueue: 40, Queues: 1, Hooks: HooksOf(HookOutput), Endpoints: prefixes("10.99.0.0/24"), OnlySTT: true,
	})
	must(t, err)
	var far int
	inside(t, w.far, func() error {
		far = rawSocket(t, unix.AF_INET)
		return nil
	})
	sender, err := NewInjector(w.near, Own{})
	must(t, err)
	defer sender.Close()
	sender.Send(udp(outer{src: near4, dst: far4}, 4789).bytes(), 0)
	sender.Send(later(outer{src: near4, dst: far4, payload: make([]byte, 8)}).bytes(), 0)
	sender.Send(marked(outer{src: near4, dst: far4, dport: 22}, 7), 0)
	for {
		if id, port := segmentID(receiveRaw(t, far)); port == 22 && id == 7 {
			break
		}
	}
	counted, err := table.Counters()
	must(t, err)
	if diff := cmp.Diff(counted, TableCounters{OtherTunnel: 1, OuterFragment: 1}); diff != "" {
		t.Errorf("counters (-got +want):\n%s", diff)
	}
}

func TestHooksAreReadAsTheyAreWritten(t *testing.T) {
	for h := range Hook(hooks) {
		if got, err := ParseHook(h.String()); err != nil || got != h {
			t.Errorf("%v: got %v, %v", h, got, err)
		}
	}
	if _, err := ParseHook("forward"); err == nil {
		t.Error("forward: got no error")
	}
	for set, want := range map[Hooks]string{0: "prerouting", HooksOf(HookBridge, HookOutput): "output,bridge", HooksOf(HookPrerouting): "prerouting"} {
		if got := set.String(); got != want {
			t.Errorf("got %q, want %q", got, want)
		}
	}
	if err := (TableConfig{Ports: []uint16{1}, Queues: 1, Hooks: 1 << hooks}).Validate(); err == nil {
		t.Error("a hook that is none: got no error")
	}
	if _, err := AppendIPTables(nil, TableConfig{Ports: []uint16{1}, Queues: 1, Hooks: HooksOf(HookBridge)}, IPv4); err == nil {
		t.Error("bridges for iptables: got no error")
	}
	_, err := StartInline(InlineConfig{Policy: inlinePolicy(t), Queues: 1, Table: TableForeign, Hooks: HooksOf(HookOutput)})
	if err == nil || !strings.Contains(err.Error(), "output") {
		t.Errorf("somebody else's table: got %v", err)
	}
}
