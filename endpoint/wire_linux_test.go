package endpoint

import (
	"bytes"
	"encoding/binary"
	"errors"
	"net/netip"
	"os"
	"testing"
	"time"

	"github.com/vishvananda/netlink"
	"golang.org/x/net/bpf"
	"golang.org/x/sys/unix"

	"sttwall/stt"
)

// wire sends and receives raw frames on an interface, with their
// virtio_net_hdr.
type wire struct {
	*reader
	mac   [6]byte
	index int
}

// received is a frame as it came, and the tag that the kernel took off.
type received struct {
	Frame []byte
	V     vnetHeader
	Tag   vlanTag
}

func newWire(t testing.TB, ns namespace, name string, filter ...bpf.Instruction) *wire {
	t.Helper()
	w := &wire{}
	ns.must(t, func() error {
		link, err := netlink.LinkByName(name)
		if err != nil {
			return err
		}
		w.mac, w.index = [6]byte(link.Attrs().HardwareAddr), link.Attrs().Index
		c, _, err := packetSocket{
			name: name, index: w.index, receive: unix.ETH_P_ALL, tags: true, all: true, filter: filter, buffer: 1 << 20,
		}.open()
		if err != nil {
			return err
		}
		w.reader = newReader(c, 1, headroom, maxRead)
		return nil
	})
	t.Cleanup(w.close)
	return w
}

func (w *wire) send(t testing.TB, v vnetHeader, frame []byte) {
	t.Helper()
	b := make([]byte, vnetHeaderLen, vnetHeaderLen+len(frame))
	v.put(b)
	if _, err := w.file.Write(append(b, frame...)); err != nil {
		t.Fatalf("send frame: %v", err)
	}
}

// next waits for a frame that wanted likes; it skips what else the stacks say.
func (w *wire) next(t testing.TB, wanted func(r received) bool) received {
	t.Helper()
	if err := w.file.SetReadDeadline(time.Now().Add(patience)); err != nil {
		t.Fatal(err)
	}
	for {
		r, err := w.one()
		if err != nil {
			t.Fatalf("wait for a frame: %v", err)
		}
		if wanted(r) {
			return r
		}
	}
}

// rest returns what has arrived by now and wanted likes.
func (w *wire) rest(t testing.TB, wanted func(r received) bool) (all []received) {
	t.Helper()
	for {
		var got bool
		if err := w.raw.Control(func(fd uintptr) { got = w.receiveNow(fd) }); err != nil {
			t.Fatal(err)
		}
		if !got {
			return all
		}
		if r := w.current(); wanted(r) {
			all = append(all, r)
		}
	}
}

func (w *wire) one() (received, error) {
	for {
		_, err := w.receive()
		if err == nil {
			return w.current(), nil
		}
		if errors.Is(err, os.ErrDeadlineExceeded) || !transient(err) {
			return received{}, err
		}
	}
}

func (w *wire) current() received {
	buf, end, v, _ := w.frame(0)
	return received{bytes.Clone(buf[headroom:end]), v, w.tag(0)}
}

// outerFrame puts an Ethernet header before an outer packet.
func (w *wire) outerFrame(to [6]byte, packet []byte) []byte {
	etherType := uint16(etherTypeIPv4)
	if packet[0]>>4 == 6 {
		etherType = etherTypeIPv6
	}
	b := append(append([]byte{}, to[:]...), w.mac[:]...)
	return append(binary.BigEndian.AppendUint16(b, etherType), packet...)
}

// outerPackets encodes an STT frame into packets as a real sender would.
func outerPackets(t testing.TB, src, dst string, id uint32, h stt.FrameHeader, inner []byte, mtu int) (packets [][]byte) {
	t.Helper()
	path := stt.Path{
		Src: netip.MustParseAddr(src), Dst: netip.MustParseAddr(dst), SrcPort: 40000, DstPort: stt.Port, TTL: 64, DontFragment: true,
	}
	frame := append(stt.AppendFrameHeader(nil, &h), inner...)
	_, err := stt.AppendSegments(nil, &path, id, frame, mtu, stt.ChecksumFull, func(packet []byte) {
		packets = append(packets, bytes.Clone(packet))
	})
	if err != nil {
		t.Fatal(err)
	}
	return packets
}

// mended returns an IPv4 packet with right checksums.
func mended(packet []byte) []byte {
	packet[10], packet[11] = 0, 0
	binary.BigEndian.PutUint16(packet[10:], stt.Checksum(packet[:20]))
	src, dst := netip.AddrFrom4([4]byte(packet[12:16])), netip.AddrFrom4([4]byte(packet[16:20]))
	binary.BigEndian.PutUint16(packet[36:], stt.PseudoSum(src, dst, protocolTCP, len(packet)-20))
	binary.BigEndian.PutUint16(packet[36:], stt.Checksum(packet[20:]))
	return packet
}
