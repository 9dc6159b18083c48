package load

import (
	"encoding/binary"
	"errors"
	"fmt"

	"golang.org/x/sys/unix"
)

// super sends super-segments as a TCP sender with segmentation offload would: a packet
// socket takes them with a virtio_net_hdr in front (PACKET_VNET_HDR,
// packet(7)). The kernel copies each once, into pages of up to 32 KiB. A ring in shared
// memory (PACKET_TX_RING) is slower: what another namespace receives from it is copied
// after all, page by page.
type super struct {
	fd     int
	packet []byte // virtio_net_hdr and frame
	head   []byte // of flow 0 and frame ID 0
}

const (
	// superSize is what the receiver cuts by: the payload of a segment in bytes.
	superSize = 1400

	// superWindow is how many may be on their way; the send buffer has room for them
	// with what the kernel adds to each.
	superWindow    = 128
	superSendBytes = superWindow * (128 << 10)

	// struct virtio_net_hdr (linux/virtio_net.h), in native byte order.
	vnetLen           = 10
	vnetNeedsChecksum = 1
	vnetTCPv4         = 1
)

// newSuper opens a sender on an interface in the calling thread's namespace. frame is an
// Ethernet frame of flow 0 and frame ID 0.
func newSuper(ifindex int, frame []byte) (_ *super, err error) {
	fd, err := unix.Socket(unix.AF_PACKET, unix.SOCK_RAW|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return nil, fmt.Errorf("load: packet socket: %w", err)
	}
	s := &super{fd: fd, head: frame[:headLen]}
	defer func() {
		if err != nil {
			err = errors.Join(err, s.close())
		}
	}()
	for _, o := range []struct{ level, option, value int }{
		{unix.SOL_PACKET, unix.PACKET_VNET_HDR, 1}, {unix.SOL_SOCKET, unix.SO_SNDBUFFORCE, superSendBytes},
	} {
		if err := unix.SetsockoptInt(fd, o.level, o.option, o.value); err != nil {
			return nil, fmt.Errorf("load: packet socket: option %d: %w", o.option, err)
		}
	}
	if err := unix.Bind(fd, &unix.SockaddrLinklayer{Ifindex: ifindex}); err != nil {
		return nil, fmt.Errorf("load: packet socket: bind: %w", err)
	}
	vnet := make([]byte, vnetLen, vnetLen+len(frame))
	vnet[0], vnet[1] = vnetNeedsChecksum, vnetTCPv4
	binary.NativeEndian.PutUint16(vnet[2:], headLen) // so much is in the linear part
	binary.NativeEndian.PutUint16(vnet[4:], superSize)
	binary.NativeEndian.PutUint16(vnet[6:], atSourcePort) // the checksum is over what begins here
	binary.NativeEndian.PutUint16(vnet[8:], atOuterSum-atSourcePort)
	s.packet = append(vnet, frame...)
	return s, nil
}

// send sends one. It waits where the send buffer is full.
func (s *super) send(m mark) error {
	head := s.packet[vnetLen:][:headLen]
	copy(head, s.head)
	m.write(head)
	for {
		_, err := unix.Write(s.fd, s.packet)
		if err == nil {
			return nil
		}
		if err != unix.EINTR {
			return fmt.Errorf("load: send a super-segment: %w", err)
		}
	}
}

func (s *super) close() error { return unix.Close(s.fd) }

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
	window = min(window, superWindow)
	frame, flow, full := b.half(boardFrame), b.half(boardFlow), b.word(boardFull)
	for {
		select {
		case <-stop:
			return nil
		default:
		}
		if sent.Load() >= limit.Load() || sent.Load()-s.lab.seen() >= window {
			full.Add(1)
			continue // looks again: nothing else has this CPU
		}
		sent.Add(1)
		if err := s.super.send(mark{
			frame: frame.Load(), flow: flow.Load(), clientLow: s.lab.config.Ends.clientLow(), inner: s.inner, outerPartial: true, innerPartial: true,
		}); err != nil {
			return err
		}
		frame.Add(1)
		flow.Store((flow.Load() + 1) % s.flows)
	}
}
