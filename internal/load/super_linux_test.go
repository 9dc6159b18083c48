package load

import (
	"encoding/binary"
	"errors"
	"fmt"
	"testing"

	"golang.org/x/sys/unix"
)

// superTap collects the packets that come in at the right end, each behind its
// virtio_net_hdr: how the kernel would have a network card cut it, and where it has left the
// checksum to it. It returns a function that waits for so many, and one that says how many
// came in all.
func superTap(t *testing.T, l *Lab) (take func(n int) [][]byte, all func() int) {
	t.Helper()
	fd := -1
	if err := inNamespace(l.sides[1].ns, func() (err error) {
		if fd, err = unix.Socket(unix.AF_PACKET, unix.SOCK_RAW|unix.SOCK_CLOEXEC, 0); err != nil {
			return err
		}
		const all = unix.ETH_P_ALL<<8&0xff00 | unix.ETH_P_ALL>>8
		return errors.Join(
			unix.SetsockoptInt(fd, unix.SOL_PACKET, unix.PACKET_VNET_HDR, 1),
			unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_RCVBUFFORCE, 64<<20),
			unix.SetsockoptTimeval(fd, unix.SOL_SOCKET, unix.SO_RCVTIMEO, &unix.Timeval{Sec: 10}),
			unix.Bind(fd, &unix.SockaddrLinklayer{Protocol: all, Ifindex: l.sides[1].end}))
	}); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := unix.Close(fd); err != nil {
			t.Error(err)
		}
	})
	take = func(n int) (list [][]byte) {
		for len(list) < n {
			b := make([]byte, 1<<17)
			length, _, err := unix.Recvfrom(fd, b, 0)
			if err != nil {
				t.Fatalf("after %d of %d packets: %v", len(list), n, err)
			}
			list = append(list, b[:length])
		}
		return list
	}
	return take, func() int {
		s, err := unix.GetsockoptTpacketStats(fd, unix.SOL_PACKET, unix.PACKET_STATISTICS)
		if err != nil {
			t.Fatal(err)
		}
		return int(s.Packets)
	}
}

// What reaches the far end is what a sender with segmentation offload has sent: each frame in
// one packet, to be cut by 1,400 bytes of payload, with a checksum to be finished; each with
// an ID of its own, from the port and client of its flow.
func TestASuperSegmentArrivesWholeToBeCutLater(t *testing.T) {
	const first, count = 1<<portBits - 70, 150 // the client changes on the way
	for _, inner := range []Inner{TCP, UDP} {
		for _, window := range []int{1, 5, DefaultWindow} {
			t.Run(fmt.Sprintf("%v/window=%d", map[Inner]string{TCP: "tcp", UDP: "udp"}[inner], window), func(t *testing.T) {
				l := newTestLab(t, LabConfig{Window: window})
				traffic := Traffic{Packet: GSO64K, Inner: inner, Flows: 1 << (portBits + 1)}
				l.countWhole(traffic)
				s, err := l.sender(traffic, stepData, false)
				if err != nil {
					t.Fatal(err)
				}
				take, all := superTap(t, l)
				if err := l.openStep(t.Context(), s, first, first+count); err != nil {
					t.Fatal(err)
				}
				if err := s.close(); err != nil {
					t.Fatal(err)
				}
				list := take(count)
				if more := all(); more != count {
					t.Errorf("%d packets, want %d", more, count)
				}
				got := reader{ends: l.config.Ends, traffic: traffic, step: stepData}
				for i, b := range list {
					h := b[:vnetLen]
					list[i] = b[vnetLen:]
					if h[0]&vnetNeedsChecksum == 0 || h[1] != vnetTCPv4 || binary.NativeEndian.Uint16(h[4:]) != superSize ||
						binary.NativeEndian.Uint16(h[6:]) != atSourcePort || binary.NativeEndian.Uint16(h[8:]) != atOuterSum-atSourcePort || len(list[i]) != etherLen+traffic.PacketLen() {
						t.Fatalf("packet %d of %d bytes: virtio_net_hdr %x", i, len(list[i]), h)
					}
					if err := got.add(list[i]); err != nil {
						t.Fatalf("packet %d: %v", i, err)
					}
					finish(list[i])
				}
				for i, f := range got.done {
					flow := first + i
					if want := l.config.Ends.ClientOf(flow).String(); f.id != uint32(i) || f.port != tunnelPort|uint16(flow&(1<<portBits-1)) || f.clientAt != want {
						t.Errorf("packet %d: frame %d from port %d, of %s; want %s", i, f.id, f.port, f.clientAt, want)
					}
				}
				judge(t, list, count)
			})
		}
	}
}
