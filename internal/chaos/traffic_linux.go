package chaos

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"net/netip"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"sttwall/internal/lab"
)

// Ports of the demo's rules: see internal/lab/demo.hcl.
const (
	portEcho     = 7000 // UDP, accepted
	portDenied   = 7001 // UDP, denied by a rule
	portSink     = 7002 // UDP, accepted
	portAnswer   = 7003 // UDP, accepted by the rules of the small flow table
	portTransfer = 5201 // TCP, accepted
	portTelnet   = 8023 // TCP, denied by a rule
	portWeb      = 8080 // TCP, accepted from acme, denied to globex
)

const (
	// transferLength is that of one transfer in bytes, transferRate how many a second.
	transferLength = 4 << 20
	transferRate   = 2 << 20
	chunkLength    = 16 << 10
	// stalled is how long a transfer may stand still; then it is given up and begun anew,
	// and the next one may twice as long, up to stalledMost: on a busy machine none else
	// would ever come to its end.
	stalled     = time.Second
	stalledMost = 8 * stalled
)

// traffic goes through the firewall until it is closed.
type traffic struct {
	lab     *lab.Lab
	ctx     context.Context
	cancel  context.CancelFunc
	running sync.WaitGroup
	closers []io.Closer
	stop    func()              // of the watch
	missed  func() (int, error) // packets that the watch had no room for

	probe     *probe
	transfers transfers
	denied    *denied
	pause     atomic.Int64 // between two forgeries, ns
	begun     atomic.Int64 // datagrams of new flows that have arrived
}

// transfers are counts of the streams over TCP.
type transfers struct {
	verified atomic.Int64 // bytes
	whole    atomic.Int64
	broken   atomic.Int64
	corrupt  atomic.Int64 // chunks
}

func startTraffic(l *lab.Lab, seed uint64) (t *traffic, err error) {
	t = &traffic{lab: l, probe: newProbe()}
	t.denied = newDenied()
	t.ctx, t.cancel = context.WithCancel(context.Background())
	t.pause.Store(int64(10 * time.Millisecond))
	defer func() {
		if err != nil {
			t.close()
		}
	}()
	if t.stop, t.missed, err = l.Watch(lab.EndpointB, lab.Underlay, t.denied.see); err != nil {
		return t, err
	}
	if err := errors.Join(t.listenUDP(lab.AcmeB, portEcho, t.probe.echo), t.listenUDP(lab.AcmeB, portDenied, t.denied.datagram),
		t.listenUDP(lab.AcmeB, portSink, t.sunk), t.listenUDP(lab.AcmeB, portAnswer, answer), t.listenUDP(lab.AcmeA, portAnswer, answer),
		t.listenTCP(lab.AcmeB, portTransfer, t.serve), t.listenTCP(lab.AcmeB, portWeb, echoTCP), t.listenTCP(lab.AcmeB, portTelnet, t.denied.connection),
		t.listenTCP(lab.GlobexB, portWeb, t.denied.connection)); err != nil {
		return t, err
	}
	if err := t.startProbe(); err != nil {
		return t, err
	}
	t.running.Go(func() { t.transferAll(seed, true) })
	t.running.Go(func() { t.transferAll(seed+1, false) })
	t.running.Go(func() { t.forge(rand.New(rand.NewPCG(seed, 1))) })
	t.running.Go(func() { t.deniedDatagrams() })
	t.running.Go(func() { t.deniedConnections(lab.AcmeA, portTelnet) })
	t.running.Go(func() { t.deniedConnections(lab.GlobexA, portWeb) })
	return t, nil
}

func (t *traffic) close() {
	t.cancel()
	for _, c := range t.closers {
		c.Close()
	}
	t.running.Wait()
	if t.stop != nil {
		t.stop()
	}
}

func (t *traffic) listenUDP(place lab.Place, port int, answer func(net.PacketConn, []byte, net.Addr)) error {
	var c net.PacketConn
	if err := t.lab.Do(place, func() (err error) {
		c, err = net.ListenPacket("udp4", fmt.Sprintf(":%d", port))
		return err
	}); err != nil {
		return err
	}
	t.closers = append(t.closers, c)
	roomy(c.(syscall.Conn))
	t.running.Go(func() {
		b := make([]byte, 1<<16)
		for {
			n, from, err := c.ReadFrom(b)
			switch {
			case errors.Is(err, net.ErrClosed):
				return
			case err == nil && answer != nil:
				answer(c, b[:n], from)
			}
		}
	})
	return nil
}

// sunk takes the first datagram of a flow; see bench.newFlows. Forgeries have the same
// port.
func (t *traffic) sunk(_ net.PacketConn, b []byte, _ net.Addr) {
	if filled(b) {
		t.begun.Add(1)
	}
}

// roomy gives a socket room for what waited elsewhere and comes at once: else it is lost
// there, and not by the firewall. Above rmem_max only root may go.
func roomy(c syscall.Conn) {
	const bytes = 16 << 20
	raw, err := c.SyscallConn()
	if err != nil {
		return
	}
	raw.Control(func(fd uintptr) {
		if unix.SetsockoptInt(int(fd), unix.SOL_SOCKET, unix.SO_RCVBUFFORCE, bytes) != nil {
			unix.SetsockoptInt(int(fd), unix.SOL_SOCKET, unix.SO_RCVBUF, bytes)
		}
	})
}

// answer sends a datagram back.
func answer(c net.PacketConn, b []byte, from net.Addr) { c.WriteTo(b, from) }

func (t *traffic) listenTCP(place lab.Place, port int, serve func(net.Conn)) error {
	var l net.Listener
	if err := t.lab.Do(place, func() (err error) {
		l, err = net.Listen("tcp4", fmt.Sprintf(":%d", port))
		return err
	}); err != nil {
		return err
	}
	t.closers = append(t.closers, l)
	t.running.Go(func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			t.running.Go(func() {
				defer c.Close()
				defer context.AfterFunc(t.ctx, func() { c.Close() })()
				serve(c)
			})
		}
	})
	return nil
}

func (t *traffic) dial(place lab.Place, network string, port int, bound time.Duration) (c net.Conn, err error) {
	ctx, cancel := context.WithTimeout(t.ctx, bound)
	defer cancel()
	err = t.lab.Do(place, func() (err error) {
		c, err = new(net.Dialer).DialContext(ctx, network, netip.AddrPortFrom(lab.InnerB, uint16(port)).String())
		return err
	})
	return c, err
}

// wait reports whether the traffic goes on after d.
func (t *traffic) wait(d time.Duration) bool {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return true
	case <-t.ctx.Done():
		return false
	}
}

// transferAll makes one transfer after the other.
func (t *traffic) transferAll(seed uint64, up bool) {
	bound := stalled
	for t.wait(20 * time.Millisecond) {
		seed += 2
		if err := t.transfer(seed, up, bound); err == nil {
			t.transfers.whole.Add(1)
			bound = stalled
		} else {
			t.transfers.broken.Add(1)
			bound = min(2*bound, stalledMost)
		}
	}
}

func (t *traffic) transfer(seed uint64, up bool, bound time.Duration) error {
	c, err := t.dial(lab.AcmeA, "tcp4", portTransfer, bound)
	if err != nil {
		return err
	}
	defer c.Close()
	defer context.AfterFunc(t.ctx, func() { c.Close() })()
	c.(*net.TCPConn).SetLinger(0) // what stalled shall not go on in the kernel
	request := binary.BigEndian.AppendUint64(nil, seed)
	if up {
		request = append(request, 1)
	} else {
		request = append(request, 0)
	}
	c.SetDeadline(time.Now().Add(bound))
	if _, err := c.Write(request); err != nil {
		return err
	}
	if up {
		if err := t.send(c, seed, bound); err != nil {
			return err
		}
		c.SetReadDeadline(time.Now().Add(bound))
		_, err := io.ReadFull(c, make([]byte, 1)) // the other side has all of it
		return err
	}
	return t.receive(c, seed, bound)
}

// serve is the other side of a transfer; it is the client that gives up.
func (t *traffic) serve(c net.Conn) {
	request := make([]byte, 9)
	c.SetDeadline(time.Now().Add(stalledMost))
	if _, err := io.ReadFull(c, request); err != nil {
		return
	}
	seed := binary.BigEndian.Uint64(request)
	if request[8] == 0 {
		if t.send(c, seed, stalledMost) == nil {
			c.Read(make([]byte, 1)) // until the client has closed
		}
		return
	}
	if t.receive(c, seed, stalledMost) == nil {
		c.SetWriteDeadline(time.Now().Add(stalledMost))
		c.Write([]byte{1})
		c.Read(make([]byte, 1))
	}
}

func stream(seed uint64) *rand.ChaCha8 {
	var key [32]byte
	binary.BigEndian.PutUint64(key[:], seed)
	return rand.NewChaCha8(key)
}

func (t *traffic) send(c net.Conn, seed uint64, bound time.Duration) error {
	data, chunk := stream(seed), make([]byte, chunkLength)
	for range transferLength / chunkLength {
		data.Read(chunk)
		c.SetWriteDeadline(time.Now().Add(bound))
		if _, err := c.Write(chunk); err != nil {
			return err
		}
		if !t.wait(chunkLength * time.Second / transferRate) {
			return t.ctx.Err()
		}
	}
	return nil
}

var errCorrupt = errors.New("other bytes came than were sent")

func (t *traffic) receive(c net.Conn, seed uint64, bound time.Duration) error {
	data, chunk, want := stream(seed), make([]byte, chunkLength), make([]byte, chunkLength)
	for range transferLength / chunkLength {
		data.Read(want)
		c.SetReadDeadline(time.Now().Add(bound))
		n, err := io.ReadFull(c, chunk)
		if !bytes.Equal(chunk[:n], want[:n]) {
			t.transfers.corrupt.Add(1)
			return errCorrupt
		}
		t.transfers.verified.Add(int64(n))
		if err != nil {
			return err
		}
	}
	return nil
}

// forge sends one forgery after the other, of all sorts in turn.
func (t *traffic) forge(r *rand.Rand) {
	all := lab.Forgeries()
	for i := 0; t.wait(time.Duration(t.pause.Load())); i++ {
		sort := i % len(all)
		packets, err := all[sort].Packets(r, t.denied.mark(sort))
		if err != nil {
			continue
		}
		for _, p := range packets {
			if t.lab.Inject(lab.EndpointA, p, lab.Offload{}) == nil {
				t.denied.sent[sort].Add(1)
			}
		}
	}
}

// deniedDatagrams sends datagrams through a tenant's own stack.
func (t *traffic) deniedDatagrams() {
	sort := t.denied.datagrams()
	for t.wait(50 * time.Millisecond) {
		c, err := t.dial(lab.AcmeA, "udp4", portDenied, stalled)
		if err != nil {
			continue
		}
		if _, err := c.Write(t.denied.mark(sort)); err == nil {
			t.denied.sent[sort].Add(1)
		}
		c.Close()
	}
}

// deniedConnections tries to connect where the rules forbid it.
func (t *traffic) deniedConnections(place lab.Place, port int) {
	sort := t.denied.connections()
	for t.wait(100 * time.Millisecond) {
		t.denied.sent[sort].Add(1)
		if c, err := t.dial(place, "tcp4", port, 300*time.Millisecond); err == nil {
			c.Close()
		}
	}
}
