package nfq

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"net/netip"
	"os"
	"runtime"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/nftables"
	"github.com/vishvananda/netlink"
	"github.com/vishvananda/netns"
	"golang.org/x/sys/unix"

	"sttwall/firewall"
	"sttwall/internal/nstest"
)

// patience is how long a test waits for what must come.
const patience = time.Minute

const testPort = 7471

// The firewall's side of the wire and the senders'.
var (
	near4 = netip.MustParseAddr("10.99.0.1")
	far4  = netip.MustParseAddr("10.99.0.2")
	near6 = netip.MustParseAddr("fd00:99::1")
	far6  = netip.MustParseAddr("fd00:99::2")
)

// wire is a veth pair from the test's network namespace, the firewall's, to
// another one.
type wire struct {
	near, far       NetNS
	nearMAC, farMAC []byte
	packetSocket    int // on the far end, with vnet headers
	raw4, raw6      int // what is delivered to the firewall host
}

// newWire makes the test's namespace and the wire in it.
func newWire(t testing.TB) *wire {
	t.Helper()
	w := &wire{near: enterNS(t)}
	w.far = anotherNS(t)
	nearUp, farUp := linkUp(t, w.near, "near"), linkUp(t, w.far, "far")
	must(t, netlink.LinkAdd(&netlink.Veth{
		LinkAttrs: netlink.LinkAttrs{Name: "near"}, PeerName: "far", PeerNamespace: netlink.NsFd(w.far),
	}))
	w.nearMAC = setUp(t, "near", "10.99.0.1/24", "fd00:99::1/64")
	inside(t, w.far, func() error {
		w.farMAC = setUp(t, "far", "10.99.0.2/24", "fd00:99::2/64")
		fd, err := unix.Socket(unix.AF_PACKET, unix.SOCK_RAW|unix.SOCK_CLOEXEC, 0)
		if err != nil {
			return err
		}
		w.packetSocket = fd
		t.Cleanup(func() { unix.Close(fd) })
		link, err := netlink.LinkByName("far")
		if err != nil {
			return err
		}
		return errors.Join(unix.SetsockoptInt(fd, unix.SOL_PACKET, unix.PACKET_VNET_HDR, 1),
			unix.Bind(fd, &unix.SockaddrLinklayer{Ifindex: link.Attrs().Index}))
	})
	nearUp()
	farUp()
	w.raw4 = rawSocket(t, unix.AF_INET)
	w.raw6 = rawSocket(t, unix.AF_INET6)
	w.awaitIPv6(t)
	return w
}

// awaitIPv6 waits until what is sent to the near end's IPv6 address is delivered: the kernel
// makes it the host's some time after the link is up (addrconf_dad_work in
// net/ipv6/addrconf.c), and tells nobody.
func (w *wire) awaitIPv6(t testing.TB) {
	t.Helper()
	const lookAgain = 50 * time.Millisecond
	for id := uint32(1); id <= uint32(patience/lookAgain); id++ {
		w.send(t, outer{src: far6, dst: near6, dport: 9, id: id}.bytes())
		n, err := unix.Poll([]unix.PollFd{{Fd: int32(w.raw6), Events: unix.POLLIN}}, int(lookAgain.Milliseconds()))
		if err != nil && err != unix.EINTR {
			t.Fatal(err)
		}
		if n <= 0 {
			continue
		}
		for got := uint32(0); got != id; { // none is left for others to read
			got, _ = segmentID(receiveRaw(t, w.raw6))
		}
		return
	}
	t.Fatalf("what is sent to %s is not delivered", near6)
}

// anotherNS returns a network namespace of its own, with nothing in it.
func anotherNS(t testing.TB) NetNS {
	t.Helper()
	ready := make(chan NetNS)
	release := make(chan struct{})
	go func() {
		runtime.LockOSThread()
		if err := unix.Unshare(unix.CLONE_NEWNET); err != nil {
			ready <- 0
			return
		}
		f, err := os.Open(fmt.Sprintf("/proc/self/task/%d/ns/net", unix.Gettid()))
		if err != nil {
			ready <- 0
			return
		}
		ready <- NetNS(f.Fd())
		<-release
		f.Close()
	}()
	ns := <-ready
	if ns == 0 {
		nstest.Cannot(t, "no second network namespace can be made here")
	}
	t.Cleanup(func() { close(release) })
	return ns
}

// linkUp returns a function that waits until a link carries packets: until
// then the kernel loses them without an error.
func linkUp(t testing.TB, ns NetNS, name string) (wait func()) {
	t.Helper()
	updates, done := make(chan netlink.LinkUpdate), make(chan struct{})
	must(t, netlink.LinkSubscribeAt(netns.NsHandle(ns), updates, done))
	return func() {
		t.Helper()
		defer func() {
			close(done)
			for range updates {
			}
		}()
		timeout := time.After(patience)
		for {
			select {
			case u := <-updates:
				if u.Attrs().Name == name && u.Attrs().OperState == netlink.OperUp {
					return
				}
			case <-timeout:
				t.Fatalf("link %s does not come up", name)
			}
		}
	}
}

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func setUp(t testing.TB, name string, addresses ...string) []byte {
	t.Helper()
	link, err := netlink.LinkByName(name)
	must(t, err)
	for _, a := range addresses {
		addr, err := netlink.ParseAddr(a)
		must(t, err)
		if addr.IP.To4() == nil {
			addr.Flags = unix.IFA_F_NODAD
		}
		must(t, netlink.AddrAdd(link, addr))
	}
	must(t, netlink.LinkSetUp(link))
	return link.Attrs().HardwareAddr
}

// rawSocket sees each TCP packet that is delivered to this host.
func rawSocket(t testing.TB, family int) int {
	t.Helper()
	fd, err := unix.Socket(family, unix.SOCK_RAW|unix.SOCK_CLOEXEC, unix.IPPROTO_TCP)
	must(t, err)
	t.Cleanup(func() { unix.Close(fd) })
	_ = unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_RCVBUF, 4<<20)
	tv := unix.NsecToTimeval(int64(patience))
	must(t, unix.SetsockoptTimeval(fd, unix.SOL_SOCKET, unix.SO_RCVTIMEO, &tv))
	return fd
}

// offload is what a sender leaves to the hardware (struct virtio_net_hdr).
type offload struct {
	checksum bool
	gsoSize  int
}

// send puts IP packets on the wire, all from one processor so that they stay in
// order.
func (w *wire) send(t testing.TB, packets ...[]byte) { w.sendOffload(t, offload{}, packets...) }

func (w *wire) sendOffload(t testing.TB, o offload, packets ...[]byte) {
	t.Helper()
	must(t, w.write(o, packets...))
}

func (w *wire) write(o offload, packets ...[]byte) error {
	var frames [][]byte
	for _, p := range packets {
		frames = append(frames, w.ethernet(o, p))
	}
	return writeInOrder(w.packetSocket, frames...)
}

// writeInOrder writes frames, all from one processor: each has a backlog of its own, and
// what lies in one may be overtaken by what is sent from another.
func writeInOrder(socket int, frames ...[]byte) error {
	done := make(chan error, 1)
	go func() {
		runtime.LockOSThread() // pinned, and never unlocked
		if err := pin(CPU(allowedCPU())); err != nil {
			done <- err
			return
		}
		for _, f := range frames {
			if _, err := unix.Write(socket, f); err != nil {
				done <- err
				return
			}
		}
		done <- nil
	}()
	return <-done
}

// allowedCPU is a processor that this process may run on.
func allowedCPU() int {
	var set unix.CPUSet
	if err := unix.SchedGetaffinity(0, &set); err == nil {
		for cpu := range 1024 {
			if set.IsSet(cpu) {
				return cpu
			}
		}
	}
	return 0
}

func (w *wire) ethernet(o offload, packet []byte) []byte {
	vnet := make([]byte, 10)
	etherType, ipLen, gsoType := uint16(unix.ETH_P_IP), 20, byte(1)
	if packet[0]>>4 == 6 {
		etherType, ipLen, gsoType = unix.ETH_P_IPV6, 40, 4
	}
	if o.checksum {
		vnet[0] = 1 // VIRTIO_NET_HDR_F_NEEDS_CSUM
		binary.NativeEndian.PutUint16(vnet[6:], uint16(14+ipLen))
		binary.NativeEndian.PutUint16(vnet[8:], 16)
	}
	if o.gsoSize > 0 {
		vnet[1] = gsoType
		binary.NativeEndian.PutUint16(vnet[2:], uint16(14+ipLen+20))
		binary.NativeEndian.PutUint16(vnet[4:], uint16(o.gsoSize))
	}
	return slices.Concat(vnet, w.nearMAC, w.farMAC, binary.BigEndian.AppendUint16(nil, etherType), packet)
}

// flood sends one packet again and again until end is called, which waits for the last.
func (w *wire) flood(t testing.TB, packet []byte) (end func()) {
	t.Helper()
	sending, stop := context.WithCancel(t.Context())
	var sender sync.WaitGroup
	sender.Go(func() {
		frame := w.ethernet(offload{}, packet)
		for sending.Err() == nil {
			if _, err := unix.Write(w.packetSocket, frame); err != nil {
				t.Error(err)
				return
			}
		}
	})
	end = func() { stop(); sender.Wait() }
	t.Cleanup(end)
	return end
}

// countAround counts packets that nft's match fits before and behind all of our chains in
// PREROUTING.
func countAround(t testing.TB, ns NetNS, match string) (counted func() (came, passed uint64)) {
	t.Helper()
	run(t, "nft", strings.ReplaceAll(`add table inet around
		add counter inet around came
		add chain inet around pre { type filter hook prerouting priority -400; }
		add rule inet around pre MATCH counter name came
		add counter inet around passed
		add chain inet around post { type filter hook prerouting priority -200; }
		add rule inet around post MATCH counter name passed`, "MATCH", match))
	return func() (came, passed uint64) {
		t.Helper()
		objects, err := (&nftables.Conn{NetNS: int(ns)}).GetObjects(&nftables.Table{Name: "around", Family: nftables.TableFamilyINet})
		must(t, err)
		for _, o := range objects {
			switch c := o.(*nftables.CounterObj); c.Name {
			case "came":
				came = c.Packets
			case "passed":
				passed = c.Packets
			}
		}
		return came, passed
	}
}

// receive returns the next TCP packet delivered to the firewall host, from its
// TCP header on.
func receiveRaw(t testing.TB, fd int) []byte {
	t.Helper()
	buf := make([]byte, 1<<17)
	n, _, err := unix.Recvfrom(fd, buf, 0)
	if err != nil {
		t.Fatalf("waiting for a packet to be delivered: %v", err)
	}
	buf = buf[:n]
	if buf[0]>>4 == 4 && len(buf) >= 40 && buf[9] == unix.IPPROTO_TCP {
		buf = buf[20:] // IPv4 raw sockets show the IP header, IPv6 ones do not
	}
	return buf
}

// delivered sends a last packet that no rule touches and returns the frame IDs
// of all STT packets delivered before it. Only right when all verdicts are given.
func (w *wire) delivered(t testing.TB) []uint32 {
	t.Helper()
	var ids []uint32
	for _, s := range []struct {
		fd       int
		src, dst netip.Addr
	}{{w.raw4, far4, near4}, {w.raw6, far6, near6}} {
		w.send(t, outer{src: s.src, dst: s.dst, dport: 9, id: 0xffffffff}.bytes())
		for {
			id, port := segmentID(receiveRaw(t, s.fd))
			if port == 9 && id == 0xffffffff {
				break
			}
			ids = append(ids, id)
		}
	}
	return ids
}

// segmentID reads frame ID (the acknowledgment number) and destination port.
func segmentID(tcp []byte) (id uint32, port uint16) {
	if len(tcp) < 20 {
		return 0, 0
	}
	return binary.BigEndian.Uint32(tcp[8:]), binary.BigEndian.Uint16(tcp[2:])
}

// outer describes one packet. The zero values of the fields give a whole
// packet with a right checksum from far4 to the STT port of near4.
type outer struct {
	src, dst     netip.Addr
	sport, dport uint16
	id           uint32
	payload      []byte
	protocol     byte // TCP if 0; else payload stands right behind the IP header
	partial      bool // the pseudo-header sum alone in the checksum field

	fragment   bool // IP fragment at offset (bytes)
	offset     int
	more       bool
	extensions []byte // IPv6 headers between the fragment header and the rest
	extension  byte   // type of the first of them
}

func (o outer) bytes() []byte {
	if !o.src.IsValid() {
		o.src, o.dst = far4, near4
	}
	if o.dport == 0 {
		o.dport = testPort
	}
	if o.sport == 0 {
		o.sport = 50000
	}
	body := o.payload
	next := o.protocol
	if next == 0 {
		next = unix.IPPROTO_TCP
		if !o.fragment || o.offset == 0 {
			body = o.tcp()
		}
	}
	if o.src.Is4() {
		return o.ipv4(next, body)
	}
	return o.ipv6(next, body)
}

func (o outer) tcp() []byte {
	b := make([]byte, 20, 20+len(o.payload))
	binary.BigEndian.PutUint16(b, o.sport)
	binary.BigEndian.PutUint16(b[2:], o.dport)
	binary.BigEndian.PutUint32(b[4:], uint32(len(o.payload))<<16)
	binary.BigEndian.PutUint32(b[8:], o.id)
	b[12], b[13] = 5<<4, 0x18
	binary.BigEndian.PutUint16(b[14:], 65535)
	b = append(b, o.payload...)
	pseudo := slices.Concat(o.src.AsSlice(), o.dst.AsSlice(), []byte{0, unix.IPPROTO_TCP}, binary.BigEndian.AppendUint16(nil, uint16(len(b))))
	if o.partial {
		binary.BigEndian.PutUint16(b[16:], ^checksum(pseudo))
	} else {
		binary.BigEndian.PutUint16(b[16:], checksum(append(pseudo, b...)))
	}
	return b
}

func (o outer) ipv4(next byte, body []byte) []byte {
	b := make([]byte, 20, 20+len(body))
	b[0] = 4<<4 | 5
	binary.BigEndian.PutUint16(b[2:], uint16(20+len(body)))
	binary.BigEndian.PutUint16(b[4:], uint16(o.id))
	frag := uint16(o.offset / 8)
	if o.more {
		frag |= 0x2000
	}
	binary.BigEndian.PutUint16(b[6:], frag)
	b[8], b[9] = 64, next
	copy(b[12:], o.src.AsSlice())
	copy(b[16:], o.dst.AsSlice())
	binary.BigEndian.PutUint16(b[10:], checksum(b))
	return append(b, body...)
}

func (o outer) ipv6(next byte, body []byte) []byte {
	if o.extensions != nil {
		ext := slices.Clone(o.extensions)
		ext[0] = next
		body, next = append(ext, body...), o.extension
	}
	if o.fragment {
		frag := []byte{next, 0, 0, 0, 0, 0, 0, 0}
		word := uint16(o.offset)
		if o.more {
			word |= 1
		}
		binary.BigEndian.PutUint16(frag[2:], word)
		binary.BigEndian.PutUint32(frag[4:], o.id)
		body, next = append(frag, body...), unix.IPPROTO_FRAGMENT
	}
	b := make([]byte, 40, 40+len(body))
	b[0] = 6 << 4
	binary.BigEndian.PutUint16(b[4:], uint16(len(body)))
	b[6], b[7] = next, 64
	copy(b[8:], o.src.AsSlice())
	copy(b[24:], o.dst.AsSlice())
	return append(b, body...)
}

// checksum is the Internet checksum (RFC 1071).
func checksum(b []byte) uint16 {
	var sum uint32
	for ; len(b) > 1; b = b[2:] {
		sum += uint32(b[0])<<8 | uint32(b[1])
	}
	if len(b) == 1 {
		sum += uint32(b[0]) << 8
	}
	for sum>>16 != 0 {
		sum = sum&0xffff + sum>>16
	}
	return ^uint16(sum)
}

// take receives n packets from a queue; their data is copied.
func take(t testing.TB, q Queue, n int) []firewall.Packet {
	t.Helper()
	var got []firewall.Packet
	batch := make([]firewall.Packet, 16)
	for len(got) < n {
		m, err := q.Receive(batch[:min(len(batch), n-len(got))], patience)
		if err != nil {
			t.Fatal(err)
		}
		if m == 0 {
			t.Fatalf("got %d packets from the queue, want %d", len(got), n)
		}
		for _, p := range batch[:m] {
			p.Data = slices.Clone(p.Data)
			got = append(got, p)
		}
	}
	return got
}

// frameID of a packet from the queue.
func frameID(p firewall.Packet) uint32 {
	ipLen := 20
	if p.Data[0]>>4 == 6 {
		ipLen = 40
	}
	id, _ := segmentID(p.Data[ipLen:])
	return id
}

func accept(packets ...firewall.Packet) []firewall.Verdict {
	var list []firewall.Verdict
	for _, p := range packets {
		list = append(list, firewall.Verdict{ID: p.ID, Action: firewall.Accept})
	}
	return list
}
