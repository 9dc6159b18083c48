package lab

import (
	"encoding/binary"
	"errors"
	"fmt"
	"os"
	"unsafe"

	"golang.org/x/sys/unix"
)

// The switches of position BridgeVLAN, one between each endpoint and the bridge, and
// their links: to the endpoint without a tag, to the bridge with one.
const (
	switchA    Place = "switch-a"
	switchB    Place = "switch-b"
	accessLink       = "access"
	trunkLink        = "trunk"

	// underlayVLAN is the VLAN of the underlay.
	underlayVLAN = 47
	vlanTagLen   = 4
)

// tagger is a switch with an access and a trunk port: it adds the tag of VLAN
// underlayVLAN to what comes in on the one, and lets nothing but that VLAN from the other.
// It is a program, because the VLANs of Linux are not in every kernel that has the rest
// (CONFIG_VLAN_8021Q), and in front of the bridge, because that is to see tagged packets as
// a network card hands them over. Super-segments stay whole.
type tagger struct{ access, trunk *packetSocket }

// startTagger starts one between the links of a switch.
func (l *Lab) startTagger(place Place) error {
	t := &tagger{}
	if err := l.Do(place, func() (err error) {
		if t.access, err = openSwitchPort(accessLink); err != nil {
			return err
		}
		l.closers = append(l.closers, t.access.file)
		if t.trunk, err = openSwitchPort(trunkLink); err != nil {
			return err
		}
		l.closers = append(l.closers, t.trunk.file)
		return nil
	}); err != nil {
		return fmt.Errorf("%s: %w", place, err)
	}
	for way, forward := range map[string]func() error{"tagging": t.tag, "untagging": t.untag} {
		go func() {
			if err := forward(); err != nil && !errors.Is(err, os.ErrClosed) {
				l.failures.add(fmt.Errorf("lab: %s: %s: %w", place, way, err), 0)
			}
		}()
	}
	return nil
}

// openSwitchPort opens a packet socket in the calling thread's namespace that sees what
// comes in, with its offloads and its VLAN.
func openSwitchPort(name string) (*packetSocket, error) {
	socket, err := openPacketSocket(name, unix.ETH_P_ALL)
	if err != nil {
		return nil, err
	}
	const ignoreOutgoing = 23 // PACKET_IGNORE_OUTGOING, linux/if_packet.h
	var failure error
	if err := socket.conn.Control(func(fd uintptr) {
		for _, option := range []int{unix.PACKET_VNET_HDR, unix.PACKET_AUXDATA, ignoreOutgoing} {
			failure = errors.Join(failure, unix.SetsockoptInt(int(fd), unix.SOL_PACKET, option, 1))
		}
	}); err != nil || failure != nil {
		socket.file.Close()
		return nil, fmt.Errorf("packet socket on %s: options: %w", name, errors.Join(err, failure))
	}
	return socket, nil
}

// tag sends what comes in on the access port out of the trunk.
func (t *tagger) tag() error {
	const macs = 12
	in, out := make([]byte, 1<<17), make([]byte, 0, 1<<17)
	for {
		n, vlan, err := t.access.receiveVLAN(in)
		if err != nil {
			return err
		}
		if vlan != 0 || n < vnetHeaderLen+etherHeaderLen {
			continue
		}
		out = append(out[:0], in[:vnetHeaderLen+macs]...)
		out = binary.BigEndian.AppendUint16(out, unix.ETH_P_8021Q)
		out = binary.BigEndian.AppendUint16(out, underlayVLAN)
		out = append(out, in[vnetHeaderLen+macs:n]...)
		// What is behind the tag stands further back: hdr_len of a super-segment, and
		// csum_start, of struct virtio_net_hdr.
		if out[1] != 0 {
			shift(out[2:])
		}
		if out[0]&vnetNeedsChecksum != 0 {
			shift(out[6:])
		}
		if err := t.trunk.send(out); err != nil && !passing(err) {
			return err
		}
	}
}

// untag sends what comes in on the trunk, and is of the VLAN, out of the access port. The
// kernel has taken the tag off.
func (t *tagger) untag() error {
	b := make([]byte, 1<<17)
	for {
		n, vlan, err := t.trunk.receiveVLAN(b)
		if err != nil {
			return err
		}
		if vlan != underlayVLAN {
			continue
		}
		if err := t.access.send(b[:n]); err != nil && !passing(err) {
			return err
		}
	}
}

func shift(field []byte) {
	binary.NativeEndian.PutUint16(field, binary.NativeEndian.Uint16(field)+vlanTagLen)
}

// passing reports whether a packet that was not sent is lost as on a busy network: no
// memory for it, no carrier, larger than the link takes.
func passing(err error) bool {
	return errors.Is(err, unix.ENOBUFS) || errors.Is(err, unix.ENETDOWN) || errors.Is(err, unix.ENXIO) || errors.Is(err, unix.EMSGSIZE)
}

// receiveVLAN waits for a packet of a socket with PACKET_AUXDATA and returns its length
// and the ID of its VLAN, 0 without a tag.
func (s *packetSocket) receiveVLAN(b []byte) (n int, vlan uint16, err error) {
	var control [64]byte
	var controlLen, flags int
	if waitErr := s.conn.Read(func(fd uintptr) bool {
		n, controlLen, flags, _, err = unix.Recvmsg(int(fd), b, control[:], 0)
		return err != unix.EAGAIN && err != unix.EINTR
	}); waitErr != nil {
		return 0, 0, waitErr
	}
	if err != nil {
		return 0, 0, err
	}
	if flags&unix.MSG_TRUNC != 0 {
		return 0, 0, fmt.Errorf("a packet of more than %d bytes", len(b))
	}
	messages, err := unix.ParseSocketControlMessage(control[:controlLen])
	for _, m := range messages {
		if m.Header.Level != unix.SOL_PACKET || m.Header.Type != unix.PACKET_AUXDATA || len(m.Data) < int(unsafe.Sizeof(unix.TpacketAuxdata{})) {
			continue
		}
		aux := (*unix.TpacketAuxdata)(unsafe.Pointer(&m.Data[0]))
		if aux.Status&unix.TP_STATUS_VLAN_VALID != 0 {
			vlan = aux.Vlan_tci & 0x0fff
		}
	}
	return n, vlan, err
}
