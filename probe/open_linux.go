package probe

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/netip"
	"time"

	"github.com/vishvananda/netlink"

	"sttwall/endpoint"
)

// Route returns the interface and the address with which this host sends to remote, by
// the routes of the calling thread's network namespace.
func Route(remote netip.Addr) (underlay string, local netip.Addr, err error) {
	routes, err := netlink.RouteGet(remote.AsSlice())
	if err != nil || len(routes) == 0 {
		return "", local, fmt.Errorf("route to %v: %w", remote, errors.Join(err, errNoRoute(len(routes))))
	}
	link, err := netlink.LinkByIndex(routes[0].LinkIndex)
	if err != nil {
		return "", local, fmt.Errorf("route to %v: %w", remote, err)
	}
	local, ok := netip.AddrFromSlice(routes[0].Src)
	if !ok {
		return "", local, fmt.Errorf("route to %v: it has no source address; --local names one", remote)
	}
	return link.Attrs().Name, local.Unmap(), nil
}

func errNoRoute(routes int) error {
	if routes == 0 {
		return errors.New("there is none")
	}
	return nil
}

// Host is what the asking side needs of this host.
type Host struct {
	// Underlay and Local are as in [endpoint.Config]; both are needed.
	Underlay string
	Local    netip.Addr
	// STTPort, MTU and Segmentation likewise; zero means what it means there.
	STTPort      uint16
	MTU          int
	Segmentation endpoint.Segmentation
	// Logger is told of the way to the remote; nil discards.
	Logger *slog.Logger
}

// guardName is a table of the prober's own: beside it an endpoint of this host goes on.
const guardName = "sttwall_probe"

// Ask opens an endpoint in the network namespace of the calling thread, asks through it,
// and closes it. The rights are those that [endpoint.New] needs.
func Ask(ctx context.Context, h Host, c Config) (r *Report, err error) {
	p, err := NewProber(c)
	if err != nil {
		return nil, err
	}
	e, err := endpoint.New(endpoint.Config{
		Underlay: h.Underlay, Local: h.Local, Remotes: []endpoint.Remote{{Addr: c.Remote}}, STTPort: h.STTPort, MTU: h.MTU,
		Segmentation: h.Segmentation, Services: []endpoint.Service{p.Service()}, Guard: guardName, Logger: h.Logger,
		ReassemblyTimeout: time.Second,
	})
	if err != nil {
		return nil, err
	}
	running, stop := context.WithCancel(ctx)
	ended := make(chan error, 1)
	go func() { ended <- e.Run(running) }()
	defer func() {
		stop()
		err = errors.Join(err, <-ended)
	}()
	wait := time.NewTimer(hellos * c.Timeout)
	defer wait.Stop()
	select {
	case <-e.Ready():
	case <-wait.C:
		return nil, fmt.Errorf("%v: no next hop has answered within %v: is the way through %s right, and is somebody there?", c.Remote, hellos*c.Timeout, h.Underlay)
	case <-ctx.Done():
		return nil, ctx.Err()
	}
	return p.Run(ctx, e)
}
