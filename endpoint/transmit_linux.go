package endpoint

import (
	"encoding/binary"
	"net/netip"
	"sync/atomic"
	"unsafe"

	"golang.org/x/sys/unix"

	"sttwall/stt"
)

const (
	// linkHeaderLen is what goes before an outer IP packet on the underlay's
	// packet socket. On an IP socket nothing does: the kernel finds the way.
	linkHeaderLen = vnetHeaderLen + etherHeaderLen

	// transmitBatch is how many packets leave with one system call.
	transmitBatch = 64
)

// sequence is what all ports of an endpoint draw numbers from.
type sequence struct {
	frameID atomic.Uint32 // of the last frame
	ipID    atomic.Uint32 // of the last packet; its low 16 bits
}

// transmitter sends the frames of one port. One goroutine at a time.
type transmitter struct {
	cfg      *Config
	network  *network
	underlay *channel
	counters *counters
	sequence *sequence

	messages []message
	vectors  [][2]unix.Iovec
	links    [][linkHeaderLen]byte
	to       []unix.RawSockaddrInet6 // of an IP socket; over IPv4 the first part of each
	queued   int

	// sent is how many of the queued ones are gone; err why it stopped.
	sent int
	err  error
	try  func(fd uintptr) bool
	// refused is why the underlay did not take a packet of the last flush.
	refused error

	// arena holds the packets of frames that are cut here, until they are sent.
	arena []byte
	queue func(packet []byte)
	link  linkHeader // of the frame that is being queued
	fatal error
}

// linkHeader is what goes before a packet.
type linkHeader struct {
	vnet vnetHeader
	hop  *hop
	ip   uint16     // ethertype
	to   netip.Addr // of an IP socket: the remote
}

func newTransmitter(cfg *Config, n *network, underlay *channel, c *counters, s *sequence) *transmitter {
	t := &transmitter{
		cfg: cfg, network: n, underlay: underlay, counters: c, sequence: s,
		messages: make([]message, transmitBatch), vectors: make([][2]unix.Iovec, transmitBatch),
		links: make([][linkHeaderLen]byte, transmitBatch),
	}
	if cfg.Segmentation == SegmentMTU {
		t.arena = make([]byte, 0, 1<<18)
	}
	for i := range t.messages {
		t.vectors[i][0].Base = &t.links[i][0]
		t.vectors[i][0].SetLen(linkHeaderLen)
		t.messages[i].header.Iov = &t.vectors[i][0]
		t.messages[i].header.SetIovlen(2)
	}
	if underlay.medium == ipMedium {
		t.to = make([]unix.RawSockaddrInet6, transmitBatch)
		for i := range t.messages {
			t.messages[i].header.Iov = &t.vectors[i][1]
			t.messages[i].header.SetIovlen(1)
		}
	}
	t.try = t.sendNow
	t.queue = t.enqueue
	return t
}

// emit sends a frame to the remote behind which its destination is, or to all.
func (t *transmitter) emit(o *outgoing) {
	n := t.network
	k := macKey{mac: [6]byte(o.buf[o.start:]), vlan: o.header.TCI & 0x0fff}
	if k.mac[0]&1 == 0 {
		if r := n.macs.find(k); r != nil {
			t.send(o, r)
			if o.reused {
				t.flush()
			}
			return
		}
	}
	if len(n.remotes) == 0 {
		t.counters.drop(DropNoRemote)
	}
	for i, r := range n.remotes {
		t.send(o, r)
		if o.reused || i+1 < len(n.remotes) {
			// The headers before the frame are written anew for the next one.
			t.flush()
		}
	}
}

// send queues the packets of a frame to r.
func (t *transmitter) send(o *outgoing, r *remote) {
	h := r.hop.Load()
	if h == nil {
		t.counters.drop(DropNoNextHop)
		return
	}
	path := stt.Path{
		Src: t.cfg.Local, Dst: r.addr, SrcPort: o.srcPort, DstPort: t.cfg.STTPort,
		TTL: t.cfg.TTL, TOS: o.ecn, DontFragment: true,
	}
	start := o.start - stt.FrameHeaderLen
	stt.AppendFrameHeader(o.buf[start:start], &o.header)
	frame := o.buf[start:o.end]
	size := h.mtu - path.HeaderLen()
	packets := uint32((len(frame) + size - 1) / size)
	path.ID = uint16(t.sequence.ipID.Add(packets) - packets + 1)
	id := t.sequence.frameID.Add(1)

	t.counters.framesOut.Add(1)
	t.counters.bytesOut.Add(uint64(o.end - o.start))
	t.prepare(h, r.addr)
	if t.cfg.Segmentation == SegmentMTU {
		t.sendSegments(&path, id, frame, h.mtu)
		return
	}
	t.offload(&path, packets > 1, size)
	// The headers go right before the frame, so that it stays where it is.
	at := start - path.HeaderLen()
	t.enqueue(stt.AppendSegment(o.buf[at:at], &path, &stt.Piece{
		FrameID: id, FrameLength: len(frame), Payload: frame, Checksum: stt.ChecksumPartial,
	}))
}

// prepare sets the link header of packets to h, with nothing left to be done, and where
// they go to.
func (t *transmitter) prepare(h *hop, to netip.Addr) {
	t.link = linkHeader{hop: h, ip: etherTypeIPv4, to: to}
	if t.cfg.Local.Is6() {
		t.link.ip = etherTypeIPv6
	}
}

// offload leaves the checksum, and if large the cutting into payloads of size
// bytes, to the kernel or the network card.
func (t *transmitter) offload(path *stt.Path, large bool, size int) {
	ipLen := path.HeaderLen() - stt.SegmentHeaderLen
	t.link.vnet = vnetHeader{
		flags: vnetNeedsChecksum, checksumStart: uint16(etherHeaderLen + ipLen), checksumOffset: checksumAtTCP,
	}
	if large {
		t.link.vnet.gsoType, t.link.vnet.gsoSize = gsoTCPv4, uint16(size)
		if t.cfg.Local.Is6() {
			t.link.vnet.gsoType = gsoTCPv6
		}
		t.link.vnet.headerLen = uint16(etherHeaderLen + path.HeaderLen())
	}
}

// sendSegments cuts a frame for the MTU and computes all checksums.
func (t *transmitter) sendSegments(path *stt.Path, id uint32, frame []byte, mtu int) {
	segments := len(frame)/(mtu-path.HeaderLen()) + 1
	if cap(t.arena)-len(t.arena) < len(frame)+segments*path.HeaderLen() {
		t.flush()
	}
	var err error
	if t.arena, err = stt.AppendSegments(t.arena, path, id, frame, mtu, stt.ChecksumFull, t.queue); err != nil {
		t.counters.drop(DropTooLong)
	}
}

// enqueue queues one packet; it must stay as it is until flush.
func (t *transmitter) enqueue(packet []byte) {
	if t.queued == len(t.messages) {
		t.sendQueued()
	}
	i := t.queued
	t.vectors[i][1].Base = &packet[0]
	t.vectors[i][1].SetLen(len(packet))
	t.queued++
	if t.to != nil {
		t.address(i)
		return
	}
	link := t.links[i][:]
	t.link.vnet.put(link)
	copy(link[vnetHeaderLen:], t.link.hop.to[:])
	copy(link[vnetHeaderLen+6:], t.link.hop.from[:])
	binary.BigEndian.PutUint16(link[vnetHeaderLen+12:], t.link.ip)
}

// address has the i-th message go to the remote, by an IP socket.
func (t *transmitter) address(i int) {
	h := &t.messages[i].header
	h.Name = (*byte)(unsafe.Pointer(&t.to[i]))
	if t.link.to.Is6() {
		t.to[i] = unix.RawSockaddrInet6{Family: unix.AF_INET6, Addr: t.link.to.As16()}
		h.Namelen = unix.SizeofSockaddrInet6
		return
	}
	*(*unix.RawSockaddrInet4)(unsafe.Pointer(&t.to[i])) = unix.RawSockaddrInet4{Family: unix.AF_INET, Addr: t.link.to.As4()}
	h.Namelen = unix.SizeofSockaddrInet4
}

// flush sends what is queued; buffers may then be used again.
func (t *transmitter) flush() {
	t.sendQueued()
	t.arena = t.arena[:0]
}

// sendQueued waits while the underlay's queue is full: the tenant's queue fills
// up meanwhile, and its stack notices. A packet that is refused is dropped.
func (t *transmitter) sendQueued() {
	t.refused = nil
	for t.sent = 0; t.sent < t.queued; {
		t.err = nil
		if err := t.underlay.raw.Write(t.try); err != nil {
			t.fatal = err
			break
		}
		if t.err != nil {
			t.counters.drop(DropSend)
			t.refused = t.err
			t.sent++ // the first one that was not taken
		}
	}
	t.queued = 0
}

// sendNow returns false if the socket takes no more at the moment.
func (t *transmitter) sendNow(fd uintptr) bool {
	for t.sent < t.queued {
		n, _, errno := unix.Syscall6(unix.SYS_SENDMMSG, fd, uintptr(unsafe.Pointer(&t.messages[t.sent])),
			uintptr(t.queued-t.sent), unix.MSG_DONTWAIT, 0, 0)
		switch errno {
		case 0:
			t.sent += int(n)
			t.counters.packetsOut.Add(uint64(n))
		case unix.EINTR:
		case unix.EAGAIN:
			return false
		default:
			t.err = errno
			return true
		}
	}
	return true
}
