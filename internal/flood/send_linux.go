package flood

import (
	"context"
	"fmt"
	"math/rand/v2"
	"net/netip"
	"sync/atomic"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"

	"sttwall/stt"
)

// sender sends packets of one endpoint over a packet socket, some at a time.
type sender struct {
	fd    int
	maker maker
	next  func(*maker)
	rate  int // packets a second; 0 is no limit

	head     []byte // Ethernet
	buffer   []byte // packets one behind the other
	messages [batch]message
	vectors  [batch]unix.Iovec
	starts   [batch + 1]int
	n        int
	full     int // packets that are sent again and again, without a rate
	err      error
	sent     atomic.Uint64
	paused   atomic.Bool
}

// batch is how many packets go in one system call at most.
const batch = 64

// message is struct mmsghdr (sendmmsg(2)).
type message struct {
	header unix.Msghdr
	sent   uint32
	_      [4]byte
}

func (e *end) sender(to netip.Addr, rate int, next func(*maker), seed uint64) (*sender, error) {
	s := &sender{next: next, rate: rate, buffer: make([]byte, 0, batch*(mtu+14)), maker: maker{
		path: stt.Path{Src: e.address, Dst: to, SrcPort: 0x9000, DstPort: stt.Port, TTL: 64, DontFragment: true}, r: rand.New(rand.NewPCG(seed, 9)),
	}}
	s.head = append(append(append(s.head, e.near...), e.mac...), 8, 0)
	s.maker.send = s.add
	return s, inside(e.ns, func() (err error) {
		if s.fd, err = unix.Socket(unix.AF_PACKET, unix.SOCK_RAW|unix.SOCK_CLOEXEC, 0); err != nil {
			return fmt.Errorf("packet socket: %w", err)
		}
		// Straight to the interface, which has no queue anyway (packet(7)).
		if err := unix.SetsockoptInt(s.fd, unix.SOL_PACKET, unix.PACKET_QDISC_BYPASS, 1); err != nil {
			return fmt.Errorf("packet socket: %w", err)
		}
		return unix.Bind(s.fd, &unix.SockaddrLinklayer{Ifindex: e.ifindex})
	})
}

// add takes a packet.
func (s *sender) add(packet []byte) {
	if s.rate == 0 && s.full == batch {
		return
	}
	s.starts[s.n] = len(s.buffer)
	s.buffer = append(append(s.buffer, s.head...), packet...)
	s.n++
	switch {
	case s.rate == 0:
		s.full = s.n
		s.prepare()
	case s.n == batch:
		s.flush()
	}
}

// flush sends what there is. A packet that the kernel does not take is not sent again.
func (s *sender) flush() {
	s.prepare()
	s.transmit(s.n)
	s.n, s.buffer = 0, s.buffer[:0]
}

func (s *sender) prepare() {
	s.starts[s.n] = len(s.buffer)
	for i := range s.n {
		s.vectors[i].Base = &s.buffer[s.starts[i]]
		s.vectors[i].SetLen(s.starts[i+1] - s.starts[i])
		s.messages[i].header = unix.Msghdr{Iov: &s.vectors[i]}
		s.messages[i].header.SetIovlen(1)
	}
}

func (s *sender) transmit(packets int) {
	for at := 0; at < packets; {
		n, _, errno := unix.Syscall6(unix.SYS_SENDMMSG, uintptr(s.fd), uintptr(unsafe.Pointer(&s.messages[at])), uintptr(packets-at), 0, 0, 0)
		switch errno {
		case 0:
			at += int(n)
			s.sent.Add(uint64(n))
		case unix.EINTR:
		case unix.ENOBUFS, unix.EAGAIN:
			at++
		default:
			s.err, at = fmt.Errorf("send: %w", errno), packets
		}
	}
}

// run sends until ctx ends. What is late by more than some milliseconds is left out: it
// would come all at once.
func (s *sender) run(ctx context.Context) error {
	defer unix.Close(s.fd)
	tick := time.NewTicker(time.Millisecond)
	defer tick.Stop()
	began, due := time.Now(), uint64(0)
	for ctx.Err() == nil && s.err == nil {
		if s.rate == 0 {
			// The same packets again and again: they cost the sender least.
			for s.full < batch {
				s.next(&s.maker)
				s.maker.n++
			}
			s.transmit(batch)
			continue
		}
		<-tick.C
		want := uint64(time.Since(began).Seconds() * float64(s.rate))
		if s.paused.Load() {
			due = want
			continue
		}
		if late := uint64(s.rate / 100); want > due+late {
			due = want - late
		}
		for ; due < want && s.err == nil; due++ {
			s.next(&s.maker)
			s.maker.n++
		}
		s.flush()
	}
	return s.err
}
