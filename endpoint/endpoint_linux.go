package endpoint

import (
	"context"
	"errors"
	"fmt"
	"hash/maphash"
	"math/rand/v2"
	"net/netip"
	"sync"
	"sync/atomic"
	"time"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"

	"sttwall/stt"
)

// Endpoint is a running or ready tunnel endpoint.
type Endpoint struct {
	cfg      Config
	links    *netlink.Handle
	guard    *guard
	in, out  *channel // of the underlay
	ports    []*port
	networks map[uint64]*network
	resolver *resolver
	receiver *receiver
	counters counters
	sequence sequence
	direct   *direct
	seed     maphash.Seed
	started  time.Time

	taken    atomic.Bool // by Run, or by a Close before it
	closing  sync.Once
	closed   chan struct{}
	closeErr error
}

// PortInfo is a port as it was opened.
type PortInfo struct {
	// Port is as configured, with Kind decided.
	Port
	// Tenant is the interface for the tenant's stack: the TAP, or the other
	// end of the veth pair, "" if that is not known. The caller may move it to
	// another namespace.
	Tenant string
}

// New opens an endpoint in the network namespace of the calling thread: the
// guard against the host's own stack, the sockets on the underlay, and the
// ports. It leaves nothing behind when it returns an error.
//
// The caller needs CAP_NET_ADMIN and CAP_NET_RAW in the user namespace that
// owns the network namespace, and /dev/net/tun for TAPs. If the namespace is
// not that of the process, the goroutine must be locked to its thread.
func New(cfg Config) (*Endpoint, error) {
	cfg = cfg.withDefaults()
	if err := cfg.Validate(); err != nil {
		return nil, err
	}
	e := &Endpoint{cfg: cfg, seed: maphash.MakeSeed(), started: time.Now(), closed: make(chan struct{})}
	e.sequence.frameID.Store(rand.Uint32())
	e.sequence.ipID.Store(rand.Uint32())
	if err := e.open(); err != nil {
		return nil, errors.Join(err, e.Close())
	}
	return e, nil
}

func (e *Endpoint) open() (err error) {
	if e.links, err = netlink.NewHandle(unix.NETLINK_ROUTE); err != nil {
		return fmt.Errorf("netlink: %w", err)
	}
	index, err := e.checkUnderlay()
	if err != nil {
		return fmt.Errorf("underlay %s: %w", e.cfg.Underlay, err)
	}
	for _, p := range e.cfg.Ports {
		o, err := openPort(e.links, p, e.cfg.ReceiveBuffer)
		if err != nil {
			return err
		}
		e.ports = append(e.ports, o)
		e.checkBuffer(o.Name, o.buffer)
	}
	var packetPorts []string
	for _, p := range e.ports {
		if p.Kind == KindPacket {
			packetPorts = append(packetPorts, p.Name)
		}
	}
	if e.guard, err = newGuard(&e.cfg, packetPorts); err != nil {
		return err
	}
	if err := e.openUnderlay(index); err != nil {
		return err
	}

	remotes := newRemotes(e.cfg.Remotes)
	e.direct = newDirect(&e.cfg, e.out, remotes, &e.counters, &e.sequence)
	e.networks = newNetworks(e.ports, remotes, e.cfg.MACs)
	if e.receiver, err = newReceiver(&e.cfg, e.in, e.networks, remotes, &e.counters, e.now); err != nil {
		return err
	}
	if len(e.cfg.Services) > 0 {
		e.receiver.services = newServices(e)
	}
	e.resolver, err = newResolver(e.links, &e.cfg, index, remotes)
	return err
}

// openUnderlay opens the sockets of the underlay.
func (e *Endpoint) openUnderlay(index int) (err error) {
	var buffer int
	if e.cfg.Sockets == SocketsIP {
		socket := ipSocket{name: e.cfg.Underlay, local: e.cfg.Local, buffer: e.cfg.ReceiveBuffer}
		if e.out, _, err = socket.open(); err != nil {
			return err
		}
		socket.port = e.cfg.STTPort
		if e.in, buffer, err = socket.open(); err != nil {
			return err
		}
		e.checkBuffer(e.cfg.Underlay, buffer)
		return nil
	}
	etherType := uint16(etherTypeIPv4)
	if e.cfg.Local.Is6() {
		etherType = etherTypeIPv6
	}
	socket := packetSocket{name: e.cfg.Underlay, index: index, buffer: e.cfg.ReceiveBuffer}
	if e.out, _, err = socket.open(); err != nil {
		return err
	}
	socket.receive, socket.filter = etherType, underlayFilter(e.cfg.Local, e.cfg.STTPort)
	if e.in, buffer, err = socket.open(); err != nil {
		return err
	}
	e.checkBuffer(e.cfg.Underlay, buffer)
	return nil
}

// checkUnderlay returns the index of the underlay if it can be one.
func (e *Endpoint) checkUnderlay() (int, error) {
	link, err := e.links.LinkByName(e.cfg.Underlay)
	if err != nil {
		return 0, err
	}
	attributes := link.Attrs()
	switch {
	case len(attributes.HardwareAddr) != 6:
		return 0, errors.New("not an Ethernet interface")
	case e.cfg.MTU > attributes.MTU:
		return 0, fmt.Errorf("mtu %d of the path is above the interface's %d", e.cfg.MTU, attributes.MTU)
	case e.cfg.Local.Is6() && attributes.MTU < minMTU6, attributes.MTU < minMTU:
		return 0, fmt.Errorf("mtu %d is too small", attributes.MTU)
	}
	addresses, err := whole(func() ([]netlink.Addr, error) { return e.links.AddrList(link, netlink.FAMILY_ALL) })
	if err != nil {
		return 0, fmt.Errorf("list addresses: %w", err)
	}
	for _, a := range addresses {
		if addr, ok := netip.AddrFromSlice(a.IP); ok && addr.Unmap() == e.cfg.Local {
			return attributes.Index, nil
		}
	}
	return 0, fmt.Errorf("has no address %s", e.cfg.Local)
}

// checkBuffer says so if the kernel gave less than was asked for. 0 is a TAP.
func (e *Endpoint) checkBuffer(name string, got int) {
	if got != 0 && got < e.cfg.ReceiveBuffer {
		e.cfg.Logger.Warn("receive buffer is smaller than asked for: bursts are lost sooner; raise net.core.rmem_max",
			"interface", name, "want", e.cfg.ReceiveBuffer, "got", got)
	}
}

// now is the endpoint's clock, in ns; it never goes back.
func (e *Endpoint) now() int64 { return int64(time.Since(e.started)) }

// Ports returns the ports as they were opened, in the order of Config.Ports.
func (e *Endpoint) Ports() []PortInfo {
	infos := make([]PortInfo, len(e.ports))
	for i, p := range e.ports {
		infos[i] = PortInfo{Port: p.Port, Tenant: p.tenant}
	}
	return infos
}

// Ready is closed when every remote has had a next hop. Frames for a remote
// that has none are dropped.
func (e *Endpoint) Ready() <-chan struct{} { return e.resolver.ready }

// Counters reads the counters.
func (e *Endpoint) Counters() Counters {
	lost := e.in.lost()
	for _, p := range e.ports {
		lost += p.lost()
	}
	e.counters.socketLost.Add(lost)
	return e.counters.read()
}

// Run carries frames until ctx is done or the endpoint is closed, which is no
// error, or until a socket fails. Then it closes the endpoint. It is for one
// call.
func (e *Endpoint) Run(ctx context.Context) error {
	if !e.taken.CompareAndSwap(false, true) {
		return errors.New("run endpoint: it ran before, or is closed")
	}
	var wg sync.WaitGroup
	failed := make(chan error, len(e.ports)+1)
	wg.Go(func() { failed <- e.receiver.run() })
	for _, p := range e.ports {
		wg.Go(func() { failed <- e.carry(p) })
	}
	wg.Go(e.resolver.listen)
	wg.Go(func() { e.resolver.run(e.closed) })
	wg.Go(e.age)

	var err error
	select {
	case <-ctx.Done():
	case <-e.closed:
	case err = <-failed:
		select {
		case <-e.closed: // that is why it failed
			err = nil
		default:
		}
	}
	err = errors.Join(err, e.Close())
	wg.Wait()
	e.links.Close()
	return err
}

// carry takes frames from a port to the underlay until a socket is closed.
func (e *Endpoint) carry(p *port) error {
	t := newTransmitter(&e.cfg, p.network, e.out, &e.counters, &e.sequence)
	c := newEncapsulator(&p.Port, maxInner(e.cfg.Local), e.seed, t.emit)
	r := newReader(p.channel, portBatch, headroom, maxRead)
	for {
		n, err := r.receive()
		if err != nil && !transient(err) {
			return fmt.Errorf("receive from port %s: %w", p.Name, err)
		}
		for i := range n {
			buf, end, v, ok := r.frame(i)
			if !ok {
				e.counters.drop(DropTenantMalformed)
				continue
			}
			e.counters.drop(c.encapsulate(buf, headroom, end, v, r.tag(i)))
		}
		t.flush()
		if t.fatal != nil {
			return fmt.Errorf("send to underlay: %w", t.fatal)
		}
	}
}

// maxInner returns the longest inner frame that fits one outer packet.
func maxInner(local netip.Addr) int {
	path := stt.Path{Src: local}
	return maxQueuePayload - path.HeaderLen() - stt.FrameHeaderLen
}

// age forgets old MAC addresses until the endpoint is closed.
func (e *Endpoint) age() {
	tick := time.NewTicker(max(e.cfg.MACAge/4, time.Second))
	defer tick.Stop()
	for {
		select {
		case <-e.closed:
			return
		case <-tick.C:
		}
		for _, n := range e.networks {
			n.macs.expire(e.now(), e.cfg.MACAge)
		}
	}
}

// Close ends Run, and removes all that New made: sockets, TAPs, veth pairs,
// the guard. It may be called more than once, from any goroutine.
func (e *Endpoint) Close() error {
	e.closing.Do(func() {
		close(e.closed)
		e.in.close()
		e.out.close()
		for _, p := range e.ports {
			p.close(e.links)
		}
		if e.resolver != nil {
			e.resolver.close()
		}
		if e.guard != nil {
			e.closeErr = e.guard.remove()
		}
		// Else Run does it when nobody uses it any more.
		if e.taken.CompareAndSwap(false, true) && e.links != nil {
			e.links.Close()
		}
	})
	return e.closeErr
}
