package load

import (
	"encoding/binary"
	"errors"
	"fmt"
	"time"

	"github.com/cilium/ebpf"
	"github.com/cilium/ebpf/asm"
	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"
)

// superSender sends super-segments as a TCP sender with segmentation offload would. XDP
// has none, so a packet socket makes them: it takes a packet with a virtio_net_hdr in front
// (PACKET_VNET_HDR, packet(7)) and copies it into pages of up to 32 KiB. That takes 5 us, more
// than some firewalls do. So what the socket sends is a pattern, which goes no further than
// to a program at the loopback interface of the end: it sends as many clones
// of it as are asked for (bpf_clone_redirect, bpf-helpers(7)). A clone has its own headers, and
// shares the pages behind them.
type superSender struct {
	lab     *Lab
	heads   *ebpf.Map
	program *ebpf.Program
	fd      int
	packet  []byte // virtio_net_hdr and Ethernet frame
}

const (
	// superSize is what the receiver cuts by: the payload of a segment in bytes.
	superSize = 1400
	// superHead is how much of a super-segment is not shared, in bytes: the headers,
	// and a time.
	superHead = headLen + stampLen

	// superWindow is how many may be on their way: a receive buffer of 32 MiB takes
	// them, copied whole.
	superWindow = 256
	// superBurst is how many are made of one pattern at most. The source waits for so
	// much room in its window, and if that is small for a half of it.
	superBurst = 64

	loopback = 1 // the index of this interface

	// struct virtio_net_hdr (linux/virtio_net.h), in native byte order.
	vnetLen           = 10
	vnetNeedsChecksum = 1
	vnetTCPv4         = 1
)

// superSender makes one. XDP is off on the firewall's links from then on.
func (l *Lab) superSender(c sourceConfig) (_ sender, err error) {
	if err := l.InFirewall(func() error { return l.listen(false) }); err != nil {
		return nil, err
	}
	s := &superSender{lab: l, fd: -1, packet: vnetFrame(c.frames[0])}
	defer func() {
		if err != nil {
			err = errors.Join(err, s.close())
		}
	}()
	if s.heads, err = newHeads(c.frames[:1]); err != nil {
		return nil, err
	}
	from := l.sides[0]
	if s.program, err = ebpf.NewProgram(&ebpf.ProgramSpec{
		Name: "load_super", Type: ebpf.SchedCLS, License: "GPL", Instructions: superProgram(l.board, s.heads, c, from.end),
	}); err != nil {
		return nil, fmt.Errorf("load: super-segments: %w", err)
	}
	return s, inNamespace(from.ns, func() error {
		lo, err := netlink.LinkByIndex(loopback)
		if err == nil {
			err = netlink.LinkSetUp(lo)
		}
		if err == nil {
			err = attach(s.program, loopback, netlink.HANDLE_MIN_EGRESS)
		}
		if err != nil {
			return fmt.Errorf("load: super-segments: loopback interface: %w", err)
		}
		return s.open()
	})
}

// vnetFrame puts a virtio_net_hdr in front of an Ethernet frame.
func vnetFrame(frame []byte) []byte {
	b := make([]byte, vnetLen, vnetLen+len(frame))
	b[0], b[1] = vnetNeedsChecksum, vnetTCPv4
	binary.NativeEndian.PutUint16(b[2:], superHead) // so much is in the linear part
	binary.NativeEndian.PutUint16(b[4:], superSize)
	binary.NativeEndian.PutUint16(b[6:], atSourcePort) // the checksum is over what begins here
	binary.NativeEndian.PutUint16(b[8:], atOuterSum-atSourcePort)
	return append(b, frame...)
}

// open opens the socket, in the calling thread's namespace.
func (s *superSender) open() (err error) {
	if s.fd, err = unix.Socket(unix.AF_PACKET, unix.SOCK_RAW|unix.SOCK_CLOEXEC, 0); err != nil {
		s.fd = -1
		return fmt.Errorf("load: packet socket: %w", err)
	}
	if err := unix.SetsockoptInt(s.fd, unix.SOL_PACKET, unix.PACKET_VNET_HDR, 1); err != nil {
		return fmt.Errorf("load: packet socket: virtio_net_hdr: %w", err)
	}
	if err := unix.Bind(s.fd, &unix.SockaddrLinklayer{Ifindex: loopback}); err != nil {
		return fmt.Errorf("load: packet socket: bind: %w", err)
	}
	return nil
}

func (s *superSender) close() error {
	var errs []error
	if s.fd >= 0 {
		errs = append(errs, unix.Close(s.fd))
	}
	if s.program != nil {
		errs = append(errs, s.program.Close())
	}
	return errors.Join(append(errs, s.heads.Close())...)
}

// run sends a burst whenever the window has room for one; see [sender].
func (s *superSender) run(stop <-chan struct{}, begun func()) error {
	begun()
	b := s.lab.board
	sent, limit, full := b.word(boardSent), b.word(boardLimit), b.word(boardFull)
	window := min(b.word(boardWindow).Load(), superWindow)
	burst := max(1, min(superBurst, window/2))
	gap, due := time.Duration(b.word(boardGap).Load()), time.Duration(b.word(boardDue).Load())
	if gap > 0 {
		burst = 1
	}
	for {
		select {
		case <-stop:
			return nil
		default:
		}
		// What is not to be sent now is looked at again: nothing else has this CPU.
		end, already := limit.Load(), sent.Load()
		if already >= end {
			continue
		}
		next := min(burst, end-already)
		if already+next > s.lab.seen()+window {
			full.Add(1)
			continue
		}
		if gap > 0 {
			now := monotonic()
			if now < due {
				continue
			}
			if now-due > standstill { // those that were due do not come all at once
				due = now
			}
			due += gap
		}
		b.half(boardBurst).Store(uint32(next))
		if err := s.send(); err != nil {
			return err
		}
	}
}

// send has a burst sent, as large as the board says.
func (s *superSender) send() error {
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

// superProgram writes the program, for super-segments that leave through the interface end.
// R6 to R9 are those of sourceProgram; the context and how many are made are on the stack.
func superProgram(b *board, heads *ebpf.Map, c sourceConfig, end int) asm.Instructions {
	const context, made = -16, -24
	p := asm.Instructions{
		asm.StoreMem(asm.RFP, context, asm.R1, asm.DWord),
		asm.Mov.Imm(asm.R1, 0),
		asm.StoreMem(asm.RFP, made, asm.R1, asm.DWord),

		asm.LoadMapValue(asm.R9, b.bpf.FD(), 0).WithSymbol("next"),
		asm.LoadMem(asm.R1, asm.RFP, made, asm.DWord),
		asm.LoadMem(asm.R2, asm.R9, boardBurst, asm.Word),
		asm.JGE.Reg(asm.R1, asm.R2, "drop"),
		asm.JGE.Imm(asm.R1, superBurst, "drop"),
		asm.Add.Imm(asm.R1, 1),
		asm.StoreMem(asm.RFP, made, asm.R1, asm.DWord),

		// The kernel gives the pattern a head of its own after each clone.
		asm.LoadMem(asm.R1, asm.RFP, context, asm.DWord),
		asm.LoadMem(asm.R6, asm.R1, skbData, asm.Word),
		asm.LoadMem(asm.R2, asm.R1, skbDataEnd, asm.Word),
		asm.Mov.Reg(asm.R3, asm.R6),
		asm.Add.Imm(asm.R3, superHead),
		asm.JGT.Reg(asm.R3, asm.R2, "drop"),
		asm.Mov.Imm(asm.R1, 0),
		asm.StoreMem(asm.RFP, -4, asm.R1, asm.Word),
	}
	p = append(p, writeHead(heads)...)
	p = append(p, mend(c)...)
	if c.stamp {
		p = append(p, writeTime(headLen)...)
	}
	return append(p,
		asm.LoadMem(asm.R1, asm.R9, boardSent, asm.DWord),
		asm.Add.Imm(asm.R1, 1),
		asm.StoreMem(asm.R9, boardSent, asm.R1, asm.DWord),

		asm.LoadMem(asm.R1, asm.RFP, context, asm.DWord),
		asm.Mov.Imm(asm.R2, int32(end)),
		asm.Mov.Imm(asm.R3, 0), // to leave there
		asm.FnCloneRedirect.Call(),
		asm.Ja.Label("next"),
		asm.Mov.Imm(asm.R0, 4).WithSymbol("drop"), // TC_ACT_STOLEN: to the socket it is sent
		asm.Return(),
	)
}
