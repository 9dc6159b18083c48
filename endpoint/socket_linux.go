package endpoint

import (
	"encoding/binary"
	"errors"
	"fmt"
	"os"
	"syscall"
	"unsafe"

	"golang.org/x/net/bpf"
	"golang.org/x/sys/unix"
)

// message is struct mmsghdr.
type message struct {
	header unix.Msghdr
	length uint32
}

// medium is what a channel is a descriptor of.
type medium uint8

const (
	packetMedium medium = iota
	tapMedium
	ipMedium
)

// channel is a descriptor that delivers or takes one frame a call, with a
// virtio_net_hdr before it: a TAP or a packet socket. With an IP socket it is an
// IP packet, and nothing before it. It does not block; Go's poller waits for it,
// and closing it wakes who waits.
type channel struct {
	file   *os.File
	raw    syscall.RawConn
	medium medium
	told   uint64 // by lost so far, of an IP socket
}

// newChannel takes fd over, also when it returns an error.
func newChannel(fd int, name string, m medium) (*channel, error) {
	file := os.NewFile(uintptr(fd), name)
	raw, err := file.SyscallConn()
	if err != nil {
		_ = file.Close()
		return nil, fmt.Errorf("%s: %w", name, err)
	}
	return &channel{file: file, raw: raw, medium: m}, nil
}

func (c *channel) close() {
	if c != nil {
		_ = c.file.Close() // nothing is buffered
	}
}

// lost returns how many packets the kernel dropped since the last call because
// the receive buffer was full.
func (c *channel) lost() (n uint64) {
	if c.medium == tapMedium {
		return 0
	}
	_ = c.raw.Control(func(fd uintptr) {
		if c.medium == ipMedium {
			all := ipDrops(fd)
			n, c.told = all-min(all, c.told), all
			return
		}
		if stats, err := unix.GetsockoptTpacketStats(int(fd), unix.SOL_PACKET, unix.PACKET_STATISTICS); err == nil {
			n = uint64(stats.Drops)
		}
	})
	return n
}

// transient reports whether a read or write that ended with err concerns one
// packet or a moment, so that the next one may succeed.
func transient(err error) bool {
	switch {
	case errors.Is(err, unix.ENETDOWN), errors.Is(err, unix.ENOBUFS), errors.Is(err, unix.EINTR), errors.Is(err, unix.EIO),
		errors.Is(err, unix.EINVAL), errors.Is(err, unix.EMSGSIZE), errors.Is(err, unix.ENXIO), errors.Is(err, unix.ENODEV),
		errors.Is(err, unix.ENOMEM):
		return true
	}
	return false
}

// packetSocket describes a packet socket.
type packetSocket struct {
	name    string // of the interface
	index   int
	receive uint16 // ethertype, or 0 to send only
	tags    bool   // tell of VLAN tags that the kernel took off
	all     bool   // frames to other link addresses too
	filter  []bpf.Instruction
	buffer  int // bytes
}

// open returns a non-blocking socket. Its filter is in place before the first
// packet can arrive. The second result is the receive buffer really got.
func (p packetSocket) open() (c *channel, buffer int, err error) {
	fd, err := unix.Socket(unix.AF_PACKET, unix.SOCK_RAW|unix.SOCK_CLOEXEC|unix.SOCK_NONBLOCK, 0)
	if err != nil {
		return nil, 0, fmt.Errorf("packet socket on %s: %w", p.name, err)
	}
	if buffer, err = p.configure(fd); err != nil {
		_ = unix.Close(fd)
		return nil, 0, fmt.Errorf("packet socket on %s: %w", p.name, err)
	}
	c, err = newChannel(fd, "packet:"+p.name, packetMedium)
	return c, buffer, err
}

func (p packetSocket) configure(fd int) (buffer int, err error) {
	if err := unix.SetsockoptInt(fd, unix.SOL_PACKET, unix.PACKET_VNET_HDR, 1); err != nil {
		return 0, fmt.Errorf("virtio_net_hdr: %w", err)
	}
	buffer = forceBuffer(fd, unix.SO_RCVBUFFORCE, unix.SO_RCVBUF, p.buffer)
	forceBuffer(fd, unix.SO_SNDBUFFORCE, unix.SO_SNDBUF, p.buffer)
	// Kernels before 4.20 cannot leave out what we send; the filter and the
	// socket's own origin check do most of it there.
	_ = unix.SetsockoptInt(fd, unix.SOL_PACKET, unix.PACKET_IGNORE_OUTGOING, 1)
	if p.tags {
		if err := unix.SetsockoptInt(fd, unix.SOL_PACKET, unix.PACKET_AUXDATA, 1); err != nil {
			return 0, fmt.Errorf("auxiliary data: %w", err)
		}
	}
	if p.all {
		m := unix.PacketMreq{Ifindex: int32(p.index), Type: unix.PACKET_MR_PROMISC}
		if err := unix.SetsockoptPacketMreq(fd, unix.SOL_PACKET, unix.PACKET_ADD_MEMBERSHIP, &m); err != nil {
			return 0, fmt.Errorf("promiscuous mode: %w", err)
		}
	}
	if p.filter != nil {
		if err := attachFilter(fd, p.filter); err != nil {
			return 0, fmt.Errorf("filter: %w", err)
		}
	}
	address := unix.SockaddrLinklayer{Protocol: networkOrder(p.receive), Ifindex: p.index}
	if err := unix.Bind(fd, &address); err != nil {
		return 0, fmt.Errorf("bind: %w", err)
	}
	return buffer, nil
}

// forceBuffer sets a buffer size above the limits of the system if it may,
// else as near to them as it gets, and returns what came of it in the
// kernel's terms, halved: the kernel counts its own overhead as well.
func forceBuffer(fd, force, ask, size int) int {
	if unix.SetsockoptInt(fd, unix.SOL_SOCKET, force, size) != nil {
		_ = unix.SetsockoptInt(fd, unix.SOL_SOCKET, ask, size)
	}
	got, err := unix.GetsockoptInt(fd, unix.SOL_SOCKET, ask)
	if err != nil {
		return 0
	}
	return got / 2
}

func attachFilter(fd int, program []bpf.Instruction) error {
	raw, err := bpf.Assemble(program)
	if err != nil {
		return err
	}
	filter := make([]unix.SockFilter, len(raw))
	for i, r := range raw {
		filter[i] = unix.SockFilter{Code: r.Op, Jt: r.Jt, Jf: r.Jf, K: r.K}
	}
	return unix.SetsockoptSockFprog(fd, unix.SOL_SOCKET, unix.SO_ATTACH_FILTER,
		&unix.SockFprog{Len: uint16(len(filter)), Filter: &filter[0]})
}

// networkOrder returns v so that its bytes in memory are in network order.
func networkOrder(v uint16) uint16 {
	var b [2]byte
	binary.BigEndian.PutUint16(b[:], v)
	return binary.NativeEndian.Uint16(b[:])
}

// reader receives batches of frames into buffers of its own.
type reader struct {
	*channel
	// front is where in a buffer the frame starts; its virtio_net_hdr is
	// right before. Of an IP socket there is none.
	front   int
	buffers [][]byte
	lengths []int // of virtio_net_hdr and frame

	messages []message
	vectors  []unix.Iovec
	control  [][controlLen]byte
	from     []unix.RawSockaddrInet6 // of an IP socket: who sent them, over IPv6

	n   int
	err error
	try func(fd uintptr) bool
}

// controlLen has room for a cmsghdr and a tpacket_auxdata.
const controlLen = 64

func newReader(c *channel, batch, front, size int) *reader {
	r := &reader{
		channel: c, front: front,
		buffers: make([][]byte, batch), lengths: make([]int, batch),
		messages: make([]message, batch), vectors: make([]unix.Iovec, batch),
		control: make([][controlLen]byte, batch),
	}
	lead := vnetHeaderLen
	if c.medium == ipMedium {
		lead = 0
		r.from = make([]unix.RawSockaddrInet6, batch)
	}
	for i := range r.buffers {
		// One more than fits tells a frame that was cut off from one that was not.
		r.buffers[i] = make([]byte, front+size+1)
		r.vectors[i].Base = &r.buffers[i][front-lead]
		r.vectors[i].SetLen(lead + size + 1)
	}
	r.try = r.receiveNow
	return r
}

// receive waits for frames and returns how many there are: at least one, or an
// error. They stay valid until the next call.
func (r *reader) receive() (int, error) {
	r.n, r.err = 0, nil
	if err := r.raw.Read(r.try); err != nil {
		return 0, err
	}
	return r.n, r.err
}

// receiveNow returns false if there is nothing yet.
func (r *reader) receiveNow(fd uintptr) bool {
	if r.medium == tapMedium {
		return r.readTAP(int(fd))
	}
	for i := range r.messages {
		h := &r.messages[i].header
		*h = unix.Msghdr{Iov: &r.vectors[i], Control: &r.control[i][0]}
		h.SetIovlen(1)
		h.SetControllen(controlLen)
		if r.from != nil {
			h.Name, h.Namelen = (*byte)(unsafe.Pointer(&r.from[i])), unix.SizeofSockaddrInet6
		}
	}
	for {
		n, _, errno := unix.Syscall6(unix.SYS_RECVMMSG, fd, uintptr(unsafe.Pointer(&r.messages[0])),
			uintptr(len(r.messages)), unix.MSG_DONTWAIT, 0, 0)
		switch errno {
		case 0:
			r.n = int(n)
			for i := range r.n {
				r.lengths[i] = int(r.messages[i].length)
			}
			return true
		case unix.EINTR:
		case unix.EAGAIN:
			return false
		default:
			r.err = errno
			return true
		}
	}
}

func (r *reader) readTAP(fd int) bool {
	for r.n < len(r.buffers) {
		length, err := unix.Read(fd, r.buffers[r.n][r.front-vnetHeaderLen:])
		switch {
		case err == nil:
			r.lengths[r.n] = length
			r.n++
		case err == unix.EINTR:
		case err == unix.EAGAIN, r.n > 0:
			return r.n > 0
		default:
			r.err = err
			return true
		}
	}
	return true
}

// frame returns the i-th frame: it is buf[r.front:end]. ok is false if it was
// longer than its buffer or has no virtio_net_hdr.
func (r *reader) frame(i int) (buf []byte, end int, v vnetHeader, ok bool) {
	buf, end = r.buffers[i], r.front-vnetHeaderLen+r.lengths[i]
	if end < r.front || end >= len(buf) {
		return nil, 0, v, false
	}
	v.decode(buf[r.front-vnetHeaderLen:])
	return buf, end, v, true
}

// tag returns the VLAN tag that the kernel took off the i-th frame.
func (r *reader) tag(i int) vlanTag {
	h := &r.messages[i].header
	if r.medium != packetMedium || int(h.Controllen) < unix.SizeofCmsghdr+int(unsafe.Sizeof(unix.TpacketAuxdata{})) {
		return vlanTag{}
	}
	c := (*unix.Cmsghdr)(unsafe.Pointer(&r.control[i][0]))
	if c.Level != unix.SOL_PACKET || c.Type != unix.PACKET_AUXDATA {
		return vlanTag{}
	}
	aux := (*unix.TpacketAuxdata)(unsafe.Pointer(&r.control[i][unix.CmsgLen(0)]))
	if aux.Status&unix.TP_STATUS_VLAN_VALID == 0 {
		return vlanTag{}
	}
	tag := vlanTag{present: true, etherType: etherTypeVLAN, tci: aux.Vlan_tci}
	if aux.Status&unix.TP_STATUS_VLAN_TPID_VALID != 0 {
		tag.etherType = aux.Vlan_tpid
	}
	return tag
}
