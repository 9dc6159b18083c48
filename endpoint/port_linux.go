package endpoint

import (
	"errors"
	"fmt"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"
)

const (
	tunDevice = "/dev/net/tun"

	// What TUNSETOFFLOAD is told that we take (linux/if_tun.h).
	tunChecksum = 0x01
	tunTSO4     = 0x02
	tunTSO6     = 0x04
	tunTSOECN   = 0x08
	tunUSO4     = 0x20
	tunUSO6     = 0x40

	// addressesNone is IN6_ADDR_GEN_MODE_NONE.
	addressesNone = 1

	portBatch = 8
)

// port is a tenant-facing interface that is open.
type port struct {
	Port
	*channel
	// tenant is the interface that the tenant's stack uses, "" if not known.
	tenant string
	// made: the veth pair is ours to remove.
	made bool
	// network is the one that the port is in.
	network *network
	// buffer is the receive buffer got, 0 for a TAP.
	buffer int
}

// openPort opens the interface of p, and makes it first if need be, in the
// network namespace of the calling thread.
func openPort(links *netlink.Handle, p Port, buffer int) (*port, error) {
	o := &port{Port: p}
	if err := o.open(links, buffer); err != nil {
		o.close(links)
		return nil, fmt.Errorf("port %s: %w", p.Name, err)
	}
	return o, nil
}

func (o *port) open(links *netlink.Handle, buffer int) error {
	if o.Kind == KindAuto {
		if err := o.choose(links); err != nil {
			return err
		}
	}
	if o.Kind == KindTAP {
		if o.channel == nil {
			if err := o.openTAP(); err != nil {
				return err
			}
		}
		o.tenant = o.Name
		return o.prepare(links, o.Name, true)
	}
	return o.openPacket(links, buffer)
}

// choose decides what a port of KindAuto is.
func (o *port) choose(links *netlink.Handle) error {
	if link, err := links.LinkByName(o.Name); err == nil {
		o.Kind = KindPacket
		if link.Type() == "tuntap" {
			o.Kind = KindTAP
		}
		return nil
	}
	err := o.openTAP()
	switch {
	case err == nil:
		o.Kind = KindTAP
	case o.Peer != "":
		o.Kind = KindPacket
	default:
		return fmt.Errorf("no such interface, and no TAP: %w", err)
	}
	return nil
}

// openTAP makes the TAP and asks it for packets as the stack makes them. UDP
// segmentation is asked for where the kernel has it (6.2).
func (o *port) openTAP() error {
	fd, err := unix.Open(tunDevice, unix.O_RDWR|unix.O_CLOEXEC|unix.O_NONBLOCK, 0)
	if err != nil {
		return fmt.Errorf("%s: %w", tunDevice, err)
	}
	if err := setupTAP(fd, o.Name); err != nil {
		_ = unix.Close(fd)
		return err
	}
	o.channel, err = newChannel(fd, "tap:"+o.Name, tapMedium)
	return err
}

func setupTAP(fd int, name string) error {
	request, err := unix.NewIfreq(name)
	if err != nil {
		return err
	}
	request.SetUint16(unix.IFF_TAP | unix.IFF_NO_PI | unix.IFF_VNET_HDR)
	if err := unix.IoctlIfreq(fd, unix.TUNSETIFF, request); err != nil {
		return fmt.Errorf("make tap: %w", err)
	}
	if err := unix.IoctlSetPointerInt(fd, unix.TUNSETVNETHDRSZ, vnetHeaderLen); err != nil {
		return fmt.Errorf("tap: length of virtio_net_hdr: %w", err)
	}
	const offloads = tunChecksum | tunTSO4 | tunTSO6 | tunTSOECN
	if unix.IoctlSetInt(fd, unix.TUNSETOFFLOAD, offloads|tunUSO4|tunUSO6) == nil {
		return nil
	}
	if err := unix.IoctlSetInt(fd, unix.TUNSETOFFLOAD, offloads); err != nil {
		return fmt.Errorf("tap: offloads: %w", err)
	}
	return nil
}

// openPacket opens a packet socket on one end of a veth pair, which it makes
// if it is not there.
func (o *port) openPacket(links *netlink.Handle, buffer int) error {
	link, err := links.LinkByName(o.Name)
	if errors.As(err, new(netlink.LinkNotFoundError)) && o.Peer != "" {
		attributes := netlink.NewLinkAttrs()
		attributes.Name = o.Name
		if err := links.LinkAdd(&netlink.Veth{LinkAttrs: attributes, PeerName: o.Peer}); err != nil {
			return fmt.Errorf("make veth pair with %s: %w", o.Peer, err)
		}
		o.made = true
		if err := o.prepare(links, o.Peer, true); err != nil {
			return err
		}
		link, err = links.LinkByName(o.Name)
	}
	if err != nil {
		return err
	}
	o.tenant = o.Peer
	if err := o.quiet(links, link); err != nil {
		return err
	}
	if err := o.prepare(links, o.Name, false); err != nil {
		return err
	}
	o.channel, o.buffer, err = packetSocket{
		name: o.Name, index: link.Attrs().Index, receive: unix.ETH_P_ALL, tags: true, all: true, buffer: buffer,
	}.open()
	return err
}

// quiet keeps the host's own stack from speaking on the endpoint's end: no
// ARP, no IPv6 addresses. What it still would, the guard stops.
func (o *port) quiet(links *netlink.Handle, link netlink.Link) error {
	if err := links.LinkSetARPOff(link); err != nil {
		return fmt.Errorf("switch arp off: %w", err)
	}
	// A host without IPv6 has nothing to switch off.
	if err := links.LinkSetIP6AddrGenMode(link, addressesNone); err != nil && !errors.Is(err, unix.EAFNOSUPPORT) {
		return fmt.Errorf("switch ipv6 addresses off: %w", err)
	}
	return nil
}

// prepare sets the MTU and brings the interface up; if the tenant's stack
// sends on it, it also bounds the packets.
func (o *port) prepare(links *netlink.Handle, name string, sends bool) error {
	link, err := links.LinkByName(name)
	if err != nil {
		return err
	}
	if o.MTU != 0 {
		if err := links.LinkSetMTU(link, o.MTU); err != nil {
			return fmt.Errorf("mtu %d: %w", o.MTU, err)
		}
	}
	if sends {
		if err := limitGSO(links, link); err != nil {
			return err
		}
	}
	if err := links.LinkSetUp(link); err != nil {
		return fmt.Errorf("bring %s up: %w", name, err)
	}
	return nil
}

// LimitGSO bounds the packets that a tenant's stack sends on the interface,
// in the network namespace of the calling thread, so that each of them fits
// one outer packet. [New] does it for the interfaces that it makes. Where
// nobody did, the endpoint cuts larger packets itself.
func LimitGSO(name string) error {
	links, err := netlink.NewHandle(unix.NETLINK_ROUTE)
	if err != nil {
		return fmt.Errorf("netlink: %w", err)
	}
	defer links.Close()
	link, err := links.LinkByName(name)
	if err != nil {
		return fmt.Errorf("interface %s: %w", name, err)
	}
	return limitGSO(links, link)
}

func limitGSO(links *netlink.Handle, link netlink.Link) error {
	if err := links.LinkSetGSOMaxSize(link, tenantGSOMax); err != nil {
		return fmt.Errorf("gso_max_size of %s: %w", link.Attrs().Name, err)
	}
	// Before 6.3 there is one limit for both families, and this attribute is
	// not known.
	err := links.LinkSetGSOIPv4MaxSize(link, tenantGSOMax)
	if err != nil && !errors.Is(err, unix.EINVAL) && !errors.Is(err, unix.EOPNOTSUPP) {
		return fmt.Errorf("gso_ipv4_max_size of %s: %w", link.Attrs().Name, err)
	}
	return nil
}

// close closes the port and removes what it made.
func (o *port) close(links *netlink.Handle) {
	o.channel.close()
	if !o.made {
		return
	}
	if link, err := links.LinkByName(o.Name); err == nil {
		_ = links.LinkDel(link) // gone with its peer's namespace, perhaps
	}
}
