package load

import (
	"encoding/binary"
	"errors"
	"fmt"
	"sync/atomic"
	"unsafe"

	"golang.org/x/sys/unix"
)

// super sends super-segments as a TCP sender with segmentation offload would: packet
// sockets take them with a virtio_net_hdr in front (PACKET_VNET_HDR), and from a ring
// in shared memory (PACKET_TX_RING) without copying more than the head
// (Documentation/networking/packet_mmap.rst). The pages of the ring become those of the
// packets; nothing but the heads in it ever changes.
type super struct {
	fd   int
	ring []byte
	next int // slot
	head []byte
	used int // bytes of a slot
}

const (
	// superSize is what the receiver cuts by: the payload of a segment in bytes.
	superSize = 1400

	superSlots = 128
	slotLen    = 1 << 16
	blockLen   = 1 << 20

	// Of struct tpacket2_hdr (linux/if_packet.h): the offsets of tp_status and tp_len,
	// and where the data of a slot begins.
	slotStatus = 0
	slotSize   = 4
	slotData   = 32

	// struct virtio_net_hdr (linux/virtio_net.h), in native byte order.
	vnetLen           = 10
	vnetNeedsChecksum = 1
	vnetTCPv4         = 1
)

// newSuper opens a sender on an interface in the calling thread's namespace. frame is an
// Ethernet frame of flow 0 and frame ID 0.
func newSuper(ifindex int, frame []byte) (_ *super, err error) {
	if vnetLen+len(frame) > slotLen-slotData {
		return nil, fmt.Errorf("load: super-segment of %d bytes: at most %d", len(frame), slotLen-slotData-vnetLen)
	}
	fd, err := unix.Socket(unix.AF_PACKET, unix.SOCK_RAW|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return nil, fmt.Errorf("load: packet socket: %w", err)
	}
	s := &super{fd: fd, head: frame[:headLen], used: vnetLen + len(frame)}
	defer func() {
		if err != nil {
			err = errors.Join(err, s.close())
		}
	}()
	for _, o := range []struct{ option, value int }{{unix.PACKET_VERSION, unix.TPACKET_V2}, {unix.PACKET_VNET_HDR, 1}} {
		if err := unix.SetsockoptInt(fd, unix.SOL_PACKET, o.option, o.value); err != nil {
			return nil, fmt.Errorf("load: packet socket: option %d: %w", o.option, err)
		}
	}
	if err := unix.SetsockoptTpacketReq(fd, unix.SOL_PACKET, unix.PACKET_TX_RING, &unix.TpacketReq{
		Block_size: blockLen, Block_nr: superSlots * slotLen / blockLen, Frame_size: slotLen, Frame_nr: superSlots,
	}); err != nil {
		return nil, fmt.Errorf("load: packet socket: ring: %w", err)
	}
	if err := unix.Bind(fd, &unix.SockaddrLinklayer{Ifindex: ifindex}); err != nil {
		return nil, fmt.Errorf("load: packet socket: bind: %w", err)
	}
	if s.ring, err = unix.Mmap(fd, 0, superSlots*slotLen, unix.PROT_READ|unix.PROT_WRITE, unix.MAP_SHARED); err != nil {
		return nil, fmt.Errorf("load: packet socket: map the ring: %w", err)
	}
	for slot := range superSlots {
		b := s.ring[slot*slotLen:][:slotLen]
		binary.NativeEndian.PutUint32(b[slotSize:], uint32(s.used))
		vnet := b[slotData:]
		vnet[0], vnet[1] = vnetNeedsChecksum, vnetTCPv4
		binary.NativeEndian.PutUint16(vnet[2:], headLen) // so much is copied
		binary.NativeEndian.PutUint16(vnet[4:], superSize)
		binary.NativeEndian.PutUint16(vnet[6:], atSourcePort) // the checksum is over what begins here
		binary.NativeEndian.PutUint16(vnet[8:], atOuterSum-atSourcePort)
		copy(vnet[vnetLen:], frame)
	}
	return s, nil
}

// put fills the next slot; false if it is not free yet.
func (s *super) put(m mark) bool {
	b := s.ring[s.next*slotLen:][:slotLen]
	status := (*atomic.Uint32)(unsafe.Pointer(&b[slotStatus]))
	if status.Load() != unix.TP_STATUS_AVAILABLE {
		return false
	}
	head := b[slotData+vnetLen:][:headLen]
	copy(head, s.head)
	m.write(head)
	status.Store(unix.TP_STATUS_SEND_REQUEST)
	s.next = (s.next + 1) % superSlots
	return true
}

// send has the kernel send what was put.
func (s *super) send() error {
	_, _, errno := unix.Syscall6(unix.SYS_SENDTO, uintptr(s.fd), 0, 0, unix.MSG_DONTWAIT, 0, 0)
	if errno != 0 && errno != unix.EAGAIN && errno != unix.EINTR {
		return fmt.Errorf("load: send super-segments: %w", errno)
	}
	return nil
}

func (s *super) close() error {
	var errs []error
	if s.ring != nil {
		errs = append(errs, unix.Munmap(s.ring))
	}
	return errors.Join(append(errs, unix.Close(s.fd))...)
}

// superSender is a sender of the lab: its loop stands where the program does that makes
// other packets.
type superSender struct {
	lab   *Lab
	flows uint32
	inner Inner
	super *super
}

// superSender makes one. XDP is off on the firewall's links from then on.
func (l *Lab) superSender(t Traffic, frame []byte) (sender, error) {
	if err := l.InFirewall(func() error { return l.listen(false) }); err != nil {
		return nil, err
	}
	s := &superSender{lab: l, flows: uint32(max(t.Flows, 1)), inner: t.Inner}
	if err := inNamespace(l.sides[0].ns, func() (err error) {
		s.super, err = newSuper(l.sides[0].end, frame)
		return err
	}); err != nil {
		return nil, err
	}
	return s, nil
}

func (s *superSender) close() error { return s.super.close() }

// run sends as many as the window allows, some at a time; see [sender].
func (s *superSender) run(stop <-chan struct{}, begun func()) error {
	begun()
	b := s.lab.board
	sent, limit, window := b.word(boardSent), b.word(boardLimit), b.word(boardWindow).Load()
	window = min(window, superSlots)
	batch := min(uint64(s.lab.config.Batch), window)
	frame, flow, full := b.half(boardFrame), b.half(boardFlow), b.word(boardFull)
	for {
		select {
		case <-stop:
			return nil
		default:
		}
		n := uint64(0)
		for n < batch && sent.Load()+n < limit.Load() && sent.Load()+n-s.lab.seen() < window {
			if !s.super.put(mark{
				frame: frame.Load(), flow: flow.Load(), clientLow: s.lab.config.Ends.clientLow(), inner: s.inner, partial: true,
			}) {
				break
			}
			frame.Add(1)
			flow.Store((flow.Load() + 1) % s.flows)
			n++
		}
		if n == 0 {
			full.Add(1)
			continue // looks again: nothing else has this CPU
		}
		sent.Add(n)
		if err := s.super.send(); err != nil {
			return err
		}
	}
}
