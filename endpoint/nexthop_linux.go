package endpoint

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/netip"
	"time"

	mdnetlink "github.com/mdlayher/netlink"
	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"
)

// retryAfter is how often a next hop that does not answer is asked again, and
// how late a change is seen whose event was lost.
const retryAfter = time.Second

// resolver keeps the hops of all remotes up to date: route and neighbour as
// the kernel has them, asked again when the kernel says that one changed. It
// asks the kernel to find the neighbour; it sends nothing itself.
type resolver struct {
	links   *netlink.Handle
	events  *mdnetlink.Conn
	log     *slog.Logger
	index   int // of the underlay
	name    string
	local   netip.Addr
	mtu     int // configured, or 0
	remotes []*remote

	wake  chan struct{} // something changed
	ready chan struct{} // closed when all remotes have had a hop
	last  map[*remote]string
}

// newResolver subscribes in the network namespace of the calling thread, then
// looks for the first time.
func newResolver(links *netlink.Handle, cfg *Config, index int, remotes []*remote) (*resolver, error) {
	family := unix.RTMGRP_IPV4_ROUTE
	if cfg.Local.Is6() {
		family = unix.RTMGRP_IPV6_ROUTE
	}
	events, err := mdnetlink.Dial(unix.NETLINK_ROUTE, &mdnetlink.Config{
		Groups: uint32(unix.RTMGRP_NEIGH | unix.RTMGRP_LINK | family),
	})
	if err != nil {
		return nil, fmt.Errorf("subscribe to neighbours and routes: %w", err)
	}
	r := &resolver{
		links: links, events: events, log: cfg.Logger, index: index, name: cfg.Underlay,
		local: cfg.Local, mtu: cfg.MTU, remotes: remotes,
		wake: make(chan struct{}, 1), ready: make(chan struct{}), last: map[*remote]string{},
	}
	r.resolve()
	return r, nil
}

// listen turns events into wake-ups until the subscription is closed.
func (r *resolver) listen() {
	for {
		messages, err := r.events.Receive()
		if err != nil && !errors.Is(err, unix.ENOBUFS) {
			return
		}
		if err == nil && !r.concerned(messages) {
			continue
		}
		select {
		case r.wake <- struct{}{}:
		default: // woken already
		}
	}
}

// concerned reports whether one of the events may change a hop. All routes
// may; links and neighbours begin with their interface's index.
func (r *resolver) concerned(messages []mdnetlink.Message) bool {
	for _, m := range messages {
		switch m.Header.Type {
		case unix.RTM_NEWROUTE, unix.RTM_DELROUTE:
			return true
		case unix.RTM_NEWLINK, unix.RTM_DELLINK, unix.RTM_NEWNEIGH, unix.RTM_DELNEIGH:
			// struct ifinfomsg and struct ndmsg have it at the same place.
			if len(m.Data) >= 8 && int(int32(binary.NativeEndian.Uint32(m.Data[4:]))) == r.index {
				return true
			}
		}
	}
	return false
}

// run resolves whenever something changed, until done is closed.
func (r *resolver) run(done <-chan struct{}) {
	retry := time.NewTicker(retryAfter)
	defer retry.Stop()
	for {
		select {
		case <-done:
			return
		case <-r.wake:
		case <-retry.C:
		}
		r.resolve()
	}
}

// resolve looks every remote up.
func (r *resolver) resolve() {
	link, err := r.links.LinkByIndex(r.index)
	var neighbours []netlink.Neigh
	if err == nil {
		family := netlink.FAMILY_V4
		if r.local.Is6() {
			family = netlink.FAMILY_V6
		}
		neighbours, err = whole(func() ([]netlink.Neigh, error) { return r.links.NeighList(r.index, family) })
	}
	if err != nil && !errors.As(err, new(netlink.LinkNotFoundError)) {
		r.log.Warn("neighbours cannot be read; next hops stay as they are", "interface", r.name, "error", err)
		return
	}
	all := true
	for _, remote := range r.remotes {
		var h *hop
		state := err
		if err == nil {
			h, state = r.lookUp(remote, link, neighbours)
		}
		r.set(remote, h, state)
		all = all && h != nil
	}
	if all {
		select {
		case <-r.ready:
		default:
			close(r.ready)
		}
	}
}

// whole asks for a list until it is not changed while it is read.
func whole[T any](list func() ([]T, error)) (all []T, err error) {
	for range 8 {
		if all, err = list(); !errors.Is(err, netlink.ErrDumpInterrupted) {
			break
		}
	}
	return all, err
}

// set publishes the hop of a remote, nil if there is none and why.
func (r *resolver) set(remote *remote, h *hop, why error) {
	old := remote.hop.Load()
	if h == nil || old == nil || *h != *old {
		remote.hop.Store(h)
	}
	state := ""
	switch {
	case h != nil:
		state = fmt.Sprintf("%v, mtu %d", net.HardwareAddr(h.to[:]), h.mtu)
	case why != nil:
		state = why.Error()
	}
	// A search that has just begun says nothing yet: it ends with an address,
	// or with failure.
	if r.last[remote] == state || old == nil && errors.Is(why, errSearching) {
		return
	}
	r.last[remote] = state
	if h == nil {
		r.log.Warn("remote endpoint not reachable", "remote", remote.addr, "why", state)
	} else {
		r.log.Info("remote endpoint reachable", "remote", remote.addr, "next_hop", state)
	}
}

// errSearching: the kernel has asked for the neighbour.
var errSearching = errors.New("next hop has not answered yet")

// lookUp finds the hop of a remote as the kernel knows it.
func (r *resolver) lookUp(remote *remote, link netlink.Link, neighbours []netlink.Neigh) (*hop, error) {
	attributes := link.Attrs()
	// Without naming the underlay: with it the kernel takes an address that it
	// has no route to for a neighbour.
	routes, err := r.links.RouteGetWithOptions(remote.addr.AsSlice(), &netlink.RouteGetOptions{SrcAddr: r.local.AsSlice()})
	if err != nil {
		return nil, fmt.Errorf("route: %w", err)
	}
	if len(routes) == 0 || routes[0].LinkIndex != r.index || routes[0].Type == unix.RTN_LOCAL {
		return nil, fmt.Errorf("route does not lead through %s", r.name)
	}
	if len(attributes.HardwareAddr) != 6 {
		return nil, fmt.Errorf("%s is not an Ethernet interface any more", r.name)
	}
	h := &hop{mtu: attributes.MTU, from: [6]byte(attributes.HardwareAddr)}
	for _, limit := range []int{r.mtu, routes[0].MTU} {
		if limit > 0 {
			h.mtu = min(h.mtu, limit)
		}
	}
	if least := leastMTU(r.local); h.mtu < least {
		return nil, fmt.Errorf("mtu %d is below %d", h.mtu, least)
	}
	gateway := remote.addr
	if gw, ok := netip.AddrFromSlice(routes[0].Gw); ok {
		gateway = gw.Unmap()
	}
	if (gateway.Is4()) != r.local.Is4() {
		return nil, fmt.Errorf("next hop %s: not of the family of %s", gateway, r.local)
	}
	const usable = netlink.NUD_REACHABLE | netlink.NUD_STALE | netlink.NUD_DELAY | netlink.NUD_PROBE |
		netlink.NUD_PERMANENT | netlink.NUD_NOARP
	state := 0
	for _, n := range neighbours {
		if !bytes.Equal(n.IP, gateway.AsSlice()) {
			continue
		}
		if state = n.State; len(n.HardwareAddr) == len(h.to) {
			h.to = [6]byte(n.HardwareAddr)
		} else {
			state &^= usable
		}
	}
	if state == netlink.NUD_STALE || state&usable == 0 {
		if err := r.prod(gateway); err != nil {
			return nil, fmt.Errorf("ask for %s: %w", gateway, err)
		}
	}
	switch {
	case state == netlink.NUD_FAILED:
		return nil, fmt.Errorf("next hop %s does not answer", gateway)
	case state&usable == 0:
		return nil, fmt.Errorf("%s: %w", gateway, errSearching)
	}
	return h, nil
}

// prod makes the kernel look for a neighbour, or make sure of it, as if a
// packet had been sent there. The answer comes as an event.
func (r *resolver) prod(gateway netip.Addr) error {
	return r.links.NeighSet(&netlink.Neigh{LinkIndex: r.index, IP: gateway.AsSlice(), Flags: netlink.NTF_USE})
}

func (r *resolver) close() {
	_ = r.events.Close()
}
