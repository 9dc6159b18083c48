package lab

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"

	"sttwall/firewall"
	"sttwall/internal/evasion"
	"sttwall/nfq"
	"sttwall/policy"
	"sttwall/stt"
)

// rigConfig says how a rig takes packets.
type rigConfig struct {
	// Queues is 1 or 2.
	Queues int
	// Part: only [evasion.CopyRange] bytes of each packet are copied at first.
	Part bool
	// Receive has the kernel put together what comes in (GRO).
	Receive bool
	// Position is where the firewall sits.
	Position Position
}

// rig is a lab in which attacks meet real queues: all packets of the scripts of package
// evasion, whoever they say that they are from, enter the firewall host on its side A,
// and what leaves is caught at side B. Workers and queues stay from attack to attack;
// each attack has cores of its own, and a clock that only the rig moves.
//
// Its methods are called from one goroutine.
type rig struct {
	rigConfig
	lab   *Lab
	far   *Capture
	clock atomic.Int64
	cores []*rigCore
	ports []uint16 // a source port for each queue
	// queues are those of the source ports that were asked for.
	queues map[uint16]int
	table  *nfq.Table
	stop   func() error

	open    bool     // cores accept everything
	near    *Capture // what the firewall sends back, to side A in most positions
	mu      sync.Mutex
	answers [][]byte // that the firewalls have sent by themselves in this attack

	markers uint64
}

// The addresses of markers: listed endpoints that no script speaks for.
var (
	markerFrom = netip.MustParseAddr("192.0.2.77")
	markerTo   = netip.MustParseAddr("192.0.2.78")
)

// markerBytes is what all markers carry, with their number behind it.
const markerBytes = "sttwall marker "

// rigClock is when a rig's clock begins, in ns.
const rigClock = int64(time.Hour)

// rigMTU is that of the links of a rig: scripts send frames of many sizes in one packet.
const rigMTU = 65535

func newRig(c rigConfig) (*rig, error) {
	l, err := New(Config{Position: c.Position, Without: Endpoints | Inspection})
	if err != nil {
		return nil, err
	}
	r := &rig{rigConfig: c, lab: l}
	r.clock.Store(rigClock)
	if err := r.build(); err != nil {
		return nil, errors.Join(err, r.Close())
	}
	return r, nil
}

func (r *rig) build() error {
	if err := errors.Join(r.lab.Do(Firewall, r.widen), widen(r.lab, EndpointA, Underlay), widen(r.lab, EndpointB, Underlay)); err != nil {
		return fmt.Errorf("lab: evasion: %w", err)
	}
	if r.Position == BridgeVLAN {
		for _, place := range []Place{switchA, switchB} {
			if err := widen(r.lab, place, accessLink, trunkLink); err != nil {
				return fmt.Errorf("lab: evasion: %w", err)
			}
		}
	}
	var err error
	if r.far, err = r.lab.Capture(EndpointB, Underlay); err != nil {
		return err
	}
	near, link := EndpointA, Underlay
	switch r.Position {
	case BridgeVLAN:
		// The firewall's host has no address in the VLAN, and its answers no tag: they
		// come as far as the switch.
		near, link = Firewall, UnderlayA
	case Output:
		// No question has come in: its host has sent it. The answer goes where the rig's
		// routes lead to the endpoints of scripts.
		near, link = EndpointB, Underlay
	}
	if r.near, err = r.lab.Capture(near, link); err != nil {
		return err
	}
	if err := r.lab.Do(Firewall, r.start); err != nil {
		return fmt.Errorf("lab: evasion: %w", err)
	}
	return r.findPorts()
}

// widen has the firewall's links take large packets, and routes the endpoints of the
// scripts to side B. What leaves there is cut and summed up by the kernel, so that the
// capture shows what a network would carry.
func (r *rig) widen() error {
	var errs []error
	for _, s := range sides() {
		link, err := netlink.LinkByName(s.firewallLink)
		if err != nil {
			return err
		}
		errs = append(errs, netlink.LinkSetMTU(link, rigMTU), setOffload(s.firewallLink, offloadTX, false))
		if s.firewallLink == UnderlayA {
			errs = append(errs, setOffload(s.firewallLink, offloadGRO, r.Receive))
		}
		if r.Position.bridged() {
			continue
		}
		// Nobody asks for the peers: their addresses are known.
		for _, router := range []netip.Addr{s.outer, s.outer6} {
			errs = append(errs, netlink.NeighSet(&netlink.Neigh{
				LinkIndex: link.Attrs().Index, State: netlink.NUD_PERMANENT, IP: net.IP(router.AsSlice()), HardwareAddr: s.underlay,
			}))
		}
		errs = append(errs, r.scriptRoute(link, "192.0.2.0/24", s.outer), r.scriptRoute(link, "2001:db8:47::/64", s.outer6))
	}
	if r.Position.bridged() {
		errs = append(errs, r.widenBridge())
	}
	return errors.Join(errs...)
}

// widenBridge has the bridge take large packets too, and routes what the firewall itself
// says to the endpoints of the scripts out of it, to side A.
func (r *rig) widenBridge() error {
	bridge, err := netlink.LinkByName(bridgeDevice)
	if err != nil {
		return fmt.Errorf("link %s: %w", bridgeDevice, err)
	}
	errs := []error{netlink.LinkSetMTU(bridge, rigMTU)}
	near := sides()[0]
	for _, ip := range []netip.Addr{near.outer, near.outer6} {
		errs = append(errs, netlink.NeighSet(&netlink.Neigh{
			LinkIndex: bridge.Attrs().Index, State: netlink.NUD_PERMANENT, IP: net.IP(ip.AsSlice()), HardwareAddr: near.underlay,
		}))
	}
	return errors.Join(append(errs, r.scriptRoute(bridge, "192.0.2.0/24", near.outer), r.scriptRoute(bridge, "2001:db8:47::/64", near.outer6))...)
}

// scriptRoute routes the endpoints of the scripts over a link. That to side B is the
// better one; answers name the link that they leave through.
func (r *rig) scriptRoute(link netlink.Link, to string, gateway netip.Addr) error {
	prefix := netip.MustParsePrefix(to)
	priority := 20
	if link.Attrs().Name == UnderlayB {
		priority = 10
	}
	table := unix.RT_TABLE_MAIN
	if r.Position == VRF {
		table = vrfTable
	}
	if err := netlink.RouteAdd(&netlink.Route{
		Table: table, LinkIndex: link.Attrs().Index, Gw: net.IP(gateway.AsSlice()), Priority: priority,
		Dst: &net.IPNet{IP: prefix.Addr().AsSlice(), Mask: net.CIDRMask(prefix.Bits(), prefix.Addr().BitLen())},
	}); err != nil {
		return fmt.Errorf("link %s: add route to %s: %w", link.Attrs().Name, to, err)
	}
	return nil
}

// widen has links of a place take large packets.
func widen(l *Lab, place Place, links ...string) error {
	return l.Do(place, func() error {
		for _, name := range links {
			link, err := netlink.LinkByName(name)
			if err == nil {
				err = netlink.LinkSetMTU(link, rigMTU)
			}
			if err != nil {
				return fmt.Errorf("%s: link %s: mtu: %w", place, name, err)
			}
		}
		return nil
	})
}

// start opens the queues and has workers wait at them, and installs the table.
func (r *rig) start() error {
	rules, diags := policy.Load("evasion.hcl", []byte(evasion.Rules))
	if diags.HasErrors() {
		return diags
	}
	cpus, err := allowedCPUs()
	if err != nil {
		return err
	}
	var workers []*nfq.Worker
	var queues []nfq.Queue
	hooks, own := r.Position.hooks(), nfq.Own{}
	if hooks.Has(nfq.HookOutput) {
		own = nfq.NewOwn()
	}
	injector, err := nfq.NewInjector(0, own)
	if err != nil {
		return err
	}
	fail := func(err error) error {
		injector.Close()
		for _, q := range queues {
			q.Close() // what led here is the error that counts
		}
		return err
	}
	for i := range r.Queues {
		config := nfq.Config{Number: uint16(i)}
		if r.Part {
			config.CopyRange = evasion.CopyRange
		}
		queue, err := nfq.Open(config)
		if err != nil {
			return fail(err)
		}
		queues = append(queues, queue)
		core := &rigCore{parts: map[uint64][]byte{}}
		r.cores = append(r.cores, core)
		worker, err := nfq.NewWorker(nfq.WorkerConfig{
			Queue: queue, Core: core, Clock: r.clock.Load, Affinity: nfq.CPU(cpus[i%len(cpus)]),
			Send: func(packet []byte, device int) {
				r.mu.Lock()
				defer r.mu.Unlock()
				r.answers = append(r.answers, bytes.Clone(packet))
				injector.Send(packet, device)
			},
		})
		if err != nil {
			return fail(err)
		}
		workers = append(workers, worker)
	}
	settings := rules.Settings()
	if r.table, err = nfq.InstallTable(nfq.TableConfig{Hooks: hooks, Own: own, Ports: settings.STTPorts, Endpoints: settings.Endpoints, Queues: r.Queues}); err != nil {
		return fail(err)
	}
	ctx, cancel := context.WithCancel(r.lab.ctx)
	var running sync.WaitGroup
	for i, w := range workers {
		running.Go(func() {
			if err := w.Run(ctx); err != nil {
				r.lab.failures.add(fmt.Errorf("lab: evasion: queue %d: %w", i, err), 0)
			}
		})
	}
	r.stop = func() error {
		cancel()
		running.Wait()
		injector.Close()
		return r.lab.Do(Firewall, r.table.Remove)
	}
	return nil
}

// Close ends the rig, and says what has failed in it.
func (r *rig) Close() error {
	var errs []error
	if r.stop != nil {
		errs = append(errs, r.stop())
	}
	for _, c := range []*Capture{r.far, r.near} {
		if c != nil {
			errs = append(errs, c.Close())
		}
	}
	return errors.Join(append(errs, r.lab.Failure(), r.lab.Close())...)
}

// allowedCPUs are the processors that this thread may run on.
func allowedCPUs() ([]int, error) {
	var set unix.CPUSet
	if err := unix.SchedGetaffinity(0, &set); err != nil {
		return nil, fmt.Errorf("processors: %w", err)
	}
	var list []int
	for i := range len(set) * 64 {
		if set.IsSet(i) {
			list = append(list, i)
		}
	}
	return list, nil
}

// onOneCPU runs f on a thread that stays on one processor: packets that are sent there
// one after the other arrive in that order.
func onOneCPU(f func() error) error {
	return onThread(func() error {
		cpus, err := allowedCPUs()
		if err != nil {
			return err
		}
		var set unix.CPUSet
		set.Set(cpus[0])
		if err := unix.SchedSetaffinity(0, &set); err != nil {
			return fmt.Errorf("processor %d: %w", cpus[0], err)
		}
		return f()
	})
}

// findPorts finds a source port for each queue. Which one takes which is another with
// each table.
func (r *rig) findPorts() error {
	r.queues = map[uint16]int{}
	r.ports = make([]uint16, r.Queues)
	for port, found := uint16(usualPort), 0; found < r.Queues; port++ {
		if port == usualPort+100 {
			return errors.New("lab: evasion: source ports do not reach all queues")
		}
		i, err := r.queueOf(port)
		if err != nil {
			return err
		}
		if r.ports[i] == 0 {
			r.ports[i] = port
			found++
		}
	}
	return nil
}

// usualPort is the source port of most packets of scripts.
const usualPort = 40000

// other returns a source port of another queue than that of most packets; 0 if there is
// one queue.
func (r *rig) other() uint16 {
	if r.Queues == 1 {
		return 0
	}
	return r.ports[1-r.queues[usualPort]]
}

// queueOf returns the queue of a source port: a marker tells.
func (r *rig) queueOf(port uint16) (int, error) {
	if i, known := r.queues[port]; known {
		return i, nil
	}
	before := make([]uint64, r.Queues)
	for i, c := range r.cores {
		before[i] = c.marked.Load()
	}
	if err := r.mark(stt.Port, port); err != nil {
		return 0, err
	}
	for i, c := range r.cores {
		if c.marked.Load() != before[i] {
			r.queues[port] = i
			return i, nil
		}
	}
	return 0, fmt.Errorf("lab: evasion: source port %d reaches no queue", port)
}

// mark sends a marker to a port and waits until it is at the far side.
func (r *rig) mark(port, source uint16) error {
	marker, err := r.sendMarker(port, source)
	if err != nil {
		return err
	}
	return r.waitMarker(marker)
}

func (r *rig) sendMarker(port, source uint16) (marker []byte, err error) {
	r.markers++
	marker = fmt.Appendf(nil, "%s%08x.", markerBytes, r.markers)
	path := stt.Path{Src: markerFrom, Dst: markerTo, SrcPort: source, DstPort: port, TTL: 64}
	packet := stt.AppendSegment(nil, &path, &stt.Piece{FrameID: uint32(r.markers), FrameLength: len(marker), Payload: marker})
	return marker, r.lab.Inject(EndpointA, packet, Offload{})
}

func (r *rig) waitMarker(marker []byte) error {
	ctx, cancel := context.WithTimeout(context.Background(), waitBound)
	defer cancel()
	if _, err := r.far.WaitFor(ctx, "a marker", marker); err != nil {
		return errors.Join(err, r.lab.Failure())
	}
	return nil
}

// settle waits until all that was sent has been decided, as far as it can be at this
// time, and what of it left has arrived: a marker follows it through each queue, and one
// around them.
func (r *rig) settle() error {
	var markers [][]byte
	for _, to := range append([]uint16{0}, r.ports...) {
		port := uint16(stt.Port)
		if to == 0 {
			port = stt.Port + 1
		}
		marker, err := r.sendMarker(port, to)
		if err != nil {
			return err
		}
		markers = append(markers, marker)
	}
	for _, m := range markers {
		if err := r.waitMarker(m); err != nil {
			return err
		}
	}
	return nil
}

// rigCore is the core of a worker that stays, while the firewalls come and go.
type rigCore struct {
	mu     sync.Mutex
	now    *firewall.Firewall // nil: between two attacks
	seen   [][]byte           // of each packet what was copied first
	open   bool               // all packets are accepted
	ends   bool               // the next marker drops what is held
	marked atomic.Uint64      // markers

	// Packets of which a part was copied, by ID, until the attack is over; those of them
	// that were asked for whole and have not come; and the markers that wait for these.
	parts   map[uint64][]byte
	asked   [][]byte
	waiting []uint64
}

// load puts a firewall to the queue; nil takes the last one away.
func (c *rigCore) load(f *firewall.Firewall) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.now, c.seen, c.ends = f, nil, false
	c.parts, c.asked = map[uint64][]byte{}, nil
}

func (c *rigCore) accepting(all bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.open = all
}

func isMarker(packet []byte) bool {
	return len(packet) >= 20 && packet[0]>>4 == 4 && bytes.Equal(packet[12:16], markerFrom.AsSlice())
}

// ProcessBatch implements [nfq.Core]. Markers pass whatever the rules are, when all that
// came before them is decided: also what was asked for whole, which comes behind them.
func (c *rigCore) ProcessBatch(now int64, packets []firewall.Packet, out *firewall.Verdicts) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for len(packets) > 0 {
		n := slices.IndexFunc(packets, func(p firewall.Packet) bool { return isMarker(p.Data) })
		if n < 0 {
			n = len(packets)
		}
		if n > 0 {
			c.decide(now, packets[:n], out)
		}
		if n < len(packets) {
			c.waiting = append(c.waiting, packets[n].ID)
			n++
		}
		packets = packets[n:]
		c.pass(out)
	}
}

// decide has packets of scripts decided.
func (c *rigCore) decide(now int64, packets []firewall.Packet, out *firewall.Verdicts) {
	for _, p := range packets {
		b := bytes.Clone(p.Data)
		c.seen = append(c.seen, b)
		if p.More {
			c.parts[p.ID] = b
		} else if i := slices.IndexFunc(c.asked, func(part []byte) bool { return bytes.HasPrefix(b, part) }); i >= 0 {
			c.asked = slices.Delete(c.asked, i, i+1)
		}
	}
	if c.open || c.now == nil {
		for _, p := range packets {
			v := firewall.Verdict{ID: p.ID}
			if c.open {
				v.Action = firewall.Accept
			}
			out.List = append(out.List, v)
		}
		return
	}
	before := len(out.List)
	c.now.ProcessBatch(now, packets, out)
	for _, v := range out.List[before:] {
		if v.Action == firewall.Again {
			c.asked = append(c.asked, c.parts[v.ID])
		}
	}
}

// pass lets the markers pass that need not wait.
func (c *rigCore) pass(out *firewall.Verdicts) {
	if len(c.asked) > 0 {
		return
	}
	for _, id := range c.waiting {
		if c.ends && c.now != nil {
			c.now.Flush(out)
		}
		c.marked.Add(1)
		out.List = append(out.List, firewall.Verdict{ID: id, Action: firewall.Accept})
	}
	c.waiting = c.waiting[:0]
}

// Expire implements [nfq.Core].
func (c *rigCore) Expire(now int64, out *firewall.Verdicts) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.now != nil {
		c.now.Expire(now, out)
	}
}

// NextDeadline implements [nfq.Core].
func (c *rigCore) NextDeadline() (int64, bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.now == nil {
		return 0, false
	}
	return c.now.NextDeadline()
}

// Flush implements [nfq.Core].
func (c *rigCore) Flush(out *firewall.Verdicts) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.now != nil {
		c.now.Flush(out)
	}
}

// Rest implements [nfq.Core].
func (c *rigCore) Rest() {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.now != nil {
		c.now.Rest()
	}
}
