package lab

import (
	"errors"
	"fmt"
	"time"

	"github.com/vishvananda/netlink"

	"sttwall/endpoint"
)

// startEndpoints starts an STT endpoint on each side and gives the hosts
// behind it their links.
func (l *Lab) startEndpoints(c Config) error {
	both := sides()
	for i := range both {
		if err := l.startEndpoint(c, &both[i], &both[1-i]); err != nil {
			return fmt.Errorf("lab: %s: %w", both[i].endpoint, err)
		}
	}
	for place, e := range l.endpoints {
		select {
		case <-e.Ready():
		case <-time.After(waitBound):
			return errors.Join(fmt.Errorf("lab: %s: no way to the other endpoint within %v", place, waitBound), l.Failure())
		}
	}
	return nil
}

func (l *Lab) startEndpoint(c Config, near, far *side) error {
	local, remote := near.outer, far.outer
	if c.OuterIPv6 {
		local, remote = near.outer6, far.outer6
	}
	config := endpoint.Config{
		Underlay: c.Position.underlay(near), Local: local, Remotes: []endpoint.Remote{{Addr: remote}},
		Segmentation: c.Segmentation,
	}
	if c.Position == Host && near.endpoint == EndpointB {
		config.Sockets = endpoint.SocketsIP
	}
	tenants := []tenant{acme, globex}
	if c.Third {
		tenants = append(tenants, initech)
	}
	for _, t := range tenants {
		port := endpoint.Port{Name: t.name, ContextID: t.context, Kind: c.HostLinks, MTU: hostLinkMTU}
		if c.HostLinks != endpoint.KindTAP {
			port.Peer = t.name + "-host"
		}
		config.Ports = append(config.Ports, port)
	}
	var e *endpoint.Endpoint
	if err := l.Do(near.endpoint, func() (err error) {
		e, err = endpoint.New(config)
		return err
	}); err != nil {
		return err
	}
	l.endpoints[near.endpoint] = e
	for _, port := range e.Ports() {
		host := near.hosts[port.ContextID]
		if err := l.Do(near.endpoint, func() error { return handOver(port.Tenant, l.namespaces[host]) }); err != nil {
			return err
		}
		if err := l.Do(host, func() error { return configureHost(near) }); err != nil {
			return fmt.Errorf("%s: %w", host, err)
		}
	}
	l.start(string(near.endpoint), e.Run)
	return nil
}

// handOver moves a link into a host's namespace and names it as the host does.
func handOver(name string, host *namespace) error {
	link, err := netlink.LinkByName(name)
	if err != nil {
		return fmt.Errorf("link %s: %w", name, err)
	}
	// A link that is up cannot be renamed.
	if err := netlink.LinkSetDown(link); err != nil {
		return fmt.Errorf("link %s: down: %w", name, err)
	}
	if err := netlink.LinkSetNsFd(link, host.fd); err != nil {
		return fmt.Errorf("link %s: move to %s: %w", name, host.name, err)
	}
	return host.do(func() error {
		link, err := netlink.LinkByName(name)
		if err == nil {
			err = netlink.LinkSetName(link, HostInterface)
		}
		if err != nil {
			return fmt.Errorf("link %s: rename in %s: %w", name, host.name, err)
		}
		return nil
	})
}
