package lab

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"net/netip"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"sttwall/stt"
)

// Ports of the services in a tenant. What the rules make of them is in
// demo.hcl.
const (
	portWeb    = 8080 // TCP: sends back what it gets
	portTelnet = 8023 // TCP: likewise
	portBulk   = 5201 // TCP: takes and gives bulk data
	portEcho   = 7000 // UDP: sends back what it gets
	portSyslog = 7001 // UDP: likewise
	portSink   = 7002 // UDP: only takes
)

// services are what runs on a tenant's host on side B: plain sockets over the
// kernel's stack.
type services struct {
	ctx     context.Context // ends with the services
	cancel  context.CancelFunc
	sunk    journal[[]byte] // datagrams that came to portSink
	closers []io.Closer
	running sync.WaitGroup
}

// serve starts the services in the calling thread's namespace.
func serve() (*services, error) {
	s := &services{}
	s.ctx, s.cancel = context.WithCancel(context.Background())
	for port, handle := range map[uint16]func(net.Conn) error{portWeb: echoTCP, portTelnet: echoTCP, portBulk: bulkTCP} {
		listener, err := net.Listen("tcp", fmt.Sprintf(":%d", port))
		if err != nil {
			return nil, errors.Join(err, s.Close())
		}
		s.closers = append(s.closers, listener)
		s.running.Go(func() {
			for {
				c, err := listener.Accept()
				if err != nil {
					return
				}
				s.running.Go(func() {
					defer c.Close()
					defer context.AfterFunc(s.ctx, func() { c.Close() })()
					handle(c) // its errors are the client's to notice
				})
			}
		})
	}
	for port, echo := range map[uint16]bool{portEcho: true, portSyslog: true, portSink: false} {
		c, err := net.ListenPacket("udp", fmt.Sprintf(":%d", port))
		if err != nil {
			return nil, errors.Join(err, s.Close())
		}
		s.closers = append(s.closers, c)
		s.running.Go(func() {
			b := make([]byte, 1<<16)
			for {
				n, from, err := c.ReadFrom(b)
				if errors.Is(err, net.ErrClosed) {
					return
				}
				if err != nil {
					continue // an ICMP error that an answer met
				}
				if echo {
					c.WriteTo(b[:n], from)
				} else {
					s.sunk.add(slices.Clone(b[:n]), n)
				}
			}
		})
	}
	return s, nil
}

// Close ends the services and their connections.
func (s *services) Close() error {
	s.cancel()
	var errs []error
	for _, c := range s.closers {
		errs = append(errs, c.Close())
	}
	s.running.Wait()
	return errors.Join(errs...)
}

func echoTCP(c net.Conn) error {
	_, err := io.Copy(c, c)
	return err
}

// bulkTCP serves one transfer: 8 bytes of seed and 8 of length, the highest
// bit of which asks for a download; then the data one way, and the SHA-256 of
// it from the one who got it.
func bulkTCP(c net.Conn) error {
	var h [16]byte
	if _, err := io.ReadFull(c, h[:]); err != nil {
		return err
	}
	seed, length := binary.BigEndian.Uint64(h[:]), binary.BigEndian.Uint64(h[8:])
	if length>>63 != 0 {
		_, err := sendBulk(c, seed, int64(length&^(1<<63)))
		return err
	}
	sum, err := receiveBulk(c, int64(length))
	if err != nil {
		return err
	}
	_, err = c.Write(sum)
	return err
}

// sendBulk sends pseudo-random bytes and returns their SHA-256.
func sendBulk(w io.Writer, seed uint64, length int64) ([]byte, error) {
	var key [32]byte
	binary.BigEndian.PutUint64(key[:], seed)
	hash := sha256.New()
	_, err := io.CopyBuffer(io.MultiWriter(w, hash), io.LimitReader(rand.NewChaCha8(key), length), make([]byte, 1<<18))
	return hash.Sum(nil), err
}

func receiveBulk(r io.Reader, length int64) ([]byte, error) {
	hash := sha256.New()
	_, err := io.CopyBuffer(struct{ io.Writer }{hash}, io.LimitReader(r, length), make([]byte, 1<<18))
	return hash.Sum(nil), err
}

// flow is what a client socket is to be.
type flow struct {
	place   Place
	network string         // as in net.Dial
	from    netip.AddrPort // the zero value: any
	to      netip.AddrPort
}

// dial connects in the namespace of the flow's place.
func (l *Lab) dial(ctx context.Context, f flow) (c net.Conn, err error) {
	err = l.Do(f.place, func() error {
		var d net.Dialer
		switch {
		case !f.from.IsValid():
		case f.network == "tcp":
			d.LocalAddr = net.TCPAddrFromAddrPort(f.from)
		default:
			d.LocalAddr = net.UDPAddrFromAddrPort(f.from)
		}
		c, err = d.DialContext(ctx, f.network, f.to.String())
		return err
	})
	if err != nil {
		return nil, because(ctx, err)
	}
	return c, nil
}

// exchange connects, sends message and waits until it comes back.
func (l *Lab) exchange(ctx context.Context, f flow, message []byte) error {
	c, err := l.dial(ctx, f)
	if err != nil {
		return err
	}
	defer c.Close()
	defer context.AfterFunc(ctx, func() { c.Close() })()
	if _, err := c.Write(message); err != nil {
		return err
	}
	answer := make([]byte, len(message))
	if _, err := io.ReadFull(c, answer); err != nil {
		return fmt.Errorf("no answer: %w", because(ctx, err))
	}
	if !bytes.Equal(answer, message) {
		return fmt.Errorf("answer %q to %q", answer, message)
	}
	return nil
}

// sendUDP sends one datagram and expects nothing.
func (l *Lab) sendUDP(ctx context.Context, f flow, message []byte) error {
	f.network = "udp"
	c, err := l.dial(ctx, f)
	if err != nil {
		return err
	}
	defer c.Close()
	_, err = c.Write(message)
	return err
}

// direction of a bulk transfer, as the client sees it.
type direction uint8

const (
	upload direction = iota
	download
)

// transfer moves length bytes over TCP between a client and the bulk service,
// and returns how long that took. The error tells of unequal sums.
func (l *Lab) transfer(ctx context.Context, f flow, d direction, length int64) (time.Duration, error) {
	c, err := l.dial(ctx, f)
	if err != nil {
		return 0, err
	}
	defer c.Close()
	ctx, stop := context.WithCancelCause(ctx)
	defer stop(nil)
	var passed atomic.Int64
	stalled := time.AfterFunc(stallBound, func() {
		stop(fmt.Errorf("no byte within %v, after %.1f of %.0f MB", stallBound, float64(passed.Load())/1e6, float64(length)/1e6))
	})
	defer stalled.Stop()
	defer context.AfterFunc(ctx, func() { c.Close() })()
	conn := moving{c, func(n int) { passed.Add(int64(n)); stalled.Reset(stallBound) }}
	seed, ask := uint64(length)^0x5747, uint64(length)
	if d == download {
		ask |= 1 << 63
	}
	start := time.Now()
	if _, err := conn.Write(binary.BigEndian.AppendUint64(binary.BigEndian.AppendUint64(nil, seed), ask)); err != nil {
		return 0, err
	}
	var here, there []byte
	if d == download {
		if here, err = receiveBulk(conn, length); err == nil {
			there, err = sendBulk(io.Discard, seed, length)
		}
	} else {
		if here, err = sendBulk(conn, seed, length); err == nil {
			there = make([]byte, sha256.Size)
			_, err = io.ReadFull(conn, there)
		}
	}
	took := time.Since(start)
	switch {
	case err != nil:
		return 0, fmt.Errorf("transfer: %w", because(ctx, err))
	case !bytes.Equal(here, there):
		return 0, fmt.Errorf("transfer: SHA-256 %x is not %x", here, there)
	}
	return took, nil
}

// moving tells of bytes that it has read or written.
type moving struct {
	net.Conn
	moved func(n int)
}

func (m moving) Read(b []byte) (int, error) {
	n, err := m.Conn.Read(b)
	if n > 0 {
		m.moved(n)
	}
	return n, err
}

func (m moving) Write(b []byte) (int, error) {
	n, err := m.Conn.Write(b)
	if n > 0 {
		m.moved(n)
	}
	return n, err
}

// because returns why ctx ended, if that is what led to err, else err.
func because(ctx context.Context, err error) error {
	if ctx.Err() != nil {
		return context.Cause(ctx)
	}
	return err
}

// ping sends an echo request with message from a host through a raw socket
// and waits for the kernel of the other to answer.
func (l *Lab) ping(ctx context.Context, f flow, message []byte) error {
	to := f.to.Addr()
	network, request, reply := "ip4:icmp", byte(8), byte(0)
	if to.Is6() {
		network, request, reply = "ip6:ipv6-icmp", 128, 129
	}
	var c *net.IPConn
	if err := l.Do(f.place, func() (err error) {
		c, err = net.DialIP(network, nil, &net.IPAddr{IP: to.AsSlice()})
		return err
	}); err != nil {
		return err
	}
	defer c.Close()
	defer context.AfterFunc(ctx, func() { c.Close() })()
	packet := append([]byte{request, 0, 0, 0, 0x57, 0x47, 0, 1}, message...)
	if to.Is4() { // the kernel sums ICMPv6 itself
		binary.BigEndian.PutUint16(packet[2:], stt.Checksum(packet))
	}
	if _, err := c.Write(packet); err != nil {
		return err
	}
	b := make([]byte, 1<<16)
	for {
		n, _, err := c.ReadFromIP(b) // takes the IPv4 header off, as Read does not
		if err != nil {
			return fmt.Errorf("no answer: %w", because(ctx, err))
		}
		if n >= 8 && b[0] == reply && bytes.Equal(b[8:n], message) {
			return nil
		}
	}
}
