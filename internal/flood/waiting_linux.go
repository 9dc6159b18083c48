package flood

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"sttwall/stt"
)

// Waiting says what packets that wait for a verdict take of the kernel's memory.
type Waiting struct {
	QueueLength      int
	Packets, Dropped int   // in the queues, and those that they have dropped
	Memory           int64 // bytes by which the host's available memory went down
}

// Wait stops a firewall whose queues have a length, has endpoint C send super-segments of
// 64,000 bytes until the queues take no more, and looks at the host's memory.
func Wait(ctx context.Context, length int, flags ...string) (w *Waiting, err error) {
	n, err := newNetwork()
	if err != nil {
		return nil, err
	}
	defer n.close()
	folder, err := os.MkdirTemp("", "sttwall-flood-")
	if err != nil {
		return nil, err
	}
	defer os.RemoveAll(folder)
	if err := os.WriteFile(filepath.Join(folder, "rules.hcl"), rules(nil), 0o644); err != nil {
		return nil, err
	}
	fw, err := start(n.firewall, folder, append([]string{"--queue-length", fmt.Sprint(length), "--max-held", fmt.Sprint(min(8192, length/2))}, flags...), nil)
	if err != nil {
		return nil, err
	}
	defer fw.end()
	defer fw.cmd.Process.Signal(unix.SIGCONT)
	if err := fw.cmd.Process.Signal(unix.SIGSTOP); err != nil {
		return nil, err
	}
	before, err := available()
	if err != nil {
		return nil, err
	}
	w = &Waiting{QueueLength: length}
	if err := n.ends[2].sendSuper(ctx, func() (bool, error) {
		var err error
		w.Packets, w.Dropped, err = n.queues()
		return w.Dropped < 64, err
	}); err != nil {
		return nil, err
	}
	after, err := available()
	w.Memory = before - after
	return w, err
}

// sendSuper sends super-segments as long as more says so, of all source ports in turn.
func (e *end) sendSuper(ctx context.Context, more func() (bool, error)) error {
	fd := -1
	if err := inside(e.ns, func() (err error) {
		if fd, err = unix.Socket(unix.AF_PACKET, unix.SOCK_RAW|unix.SOCK_CLOEXEC, 0); err != nil {
			return fmt.Errorf("packet socket: %w", err)
		}
		return errors.Join(unix.SetsockoptInt(fd, unix.SOL_PACKET, unix.PACKET_VNET_HDR, 1), unix.Bind(fd, &unix.SockaddrLinklayer{Ifindex: e.ifindex}))
	}); err != nil {
		return err
	}
	defer unix.Close(fd)
	const length, headers = 64_000, 14 + 20 + 20
	// struct virtio_net_hdr: the checksum is to be finished, and the packet to be cut.
	packet := []byte{1, 1}
	for _, v := range []uint16{headers, mtu - 40, 14 + 20, 16} {
		packet = binary.NativeEndian.AppendUint16(packet, v)
	}
	packet = append(append(append(packet, e.near...), e.mac...), 8, 0)
	path := stt.Path{Src: e.address, Dst: outerD, SrcPort: 1, DstPort: stt.Port, TTL: 64, DontFragment: true}
	payload := make([]byte, length)
	at := len(packet)
	packet = stt.AppendSegment(packet, &path, &stt.Piece{FrameID: 1, FrameLength: length, Payload: payload, Checksum: stt.ChecksumPartial})
	for i := 0; ; i++ {
		binary.BigEndian.PutUint16(packet[at+20:], uint16(i))
		if _, err := unix.Write(fd, packet); err != nil && err != unix.ENOBUFS && err != unix.EINTR {
			return fmt.Errorf("send a super-segment: %w", err)
		}
		if i%64 != 0 {
			continue
		}
		if on, err := more(); !on || err != nil {
			return err
		}
		if err := ctx.Err(); err != nil {
			return err
		}
	}
}

// queues sums up the firewall's queues (nfnetlink_queue.c, seq_show): packets that wait, and
// that were dropped for want of places or of receive buffer.
func (n *network) queues() (waiting, dropped int, err error) {
	err = inside(n.firewall, func() error {
		text, err := os.ReadFile("/proc/thread-self/net/netfilter/nfnetlink_queue")
		if err != nil {
			return err
		}
		for line := range strings.Lines(string(text)) {
			var number, port, total, mode, size, full, user int
			if _, err := fmt.Sscan(line, &number, &port, &total, &mode, &size, &full, &user); err != nil {
				return fmt.Errorf("nfnetlink_queue: %q: %w", line, err)
			}
			waiting, dropped = waiting+total, dropped+full+user
		}
		return nil
	})
	return waiting, dropped, err
}

// available is how much memory the host has left, in bytes.
func available() (int64, error) {
	time.Sleep(200 * time.Millisecond) // what was freed is counted late
	text, err := os.ReadFile("/proc/meminfo")
	if err != nil {
		return 0, err
	}
	for line := range strings.Lines(string(text)) {
		var kib int64
		if n, _ := fmt.Sscanf(line, "MemAvailable: %d kB", &kib); n == 1 {
			return kib << 10, nil
		}
	}
	return 0, errors.New("/proc/meminfo: no MemAvailable")
}
