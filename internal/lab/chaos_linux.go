package lab

import (
	"encoding/binary"
	"errors"
	"fmt"
	"math/rand/v2"
	"net/netip"
	"slices"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"

	"sttwall/stt"
)

// Forgery is a sort of packets that somebody at endpoint A can make, and that must
// never leave towards endpoint B with the rules of the demo.
type Forgery struct {
	Name string
	make func(f *forge) ([][]byte, error)
}

// Packets returns one attempt, from the outer IP header on, with mark in the payload of
// at least one of them. mark is 64 bytes at most.
func (f *Forgery) Packets(r *rand.Rand, mark []byte) ([][]byte, error) {
	return f.make(&forge{r, mark})
}

// forge is what a forgery is made of.
type forge struct {
	r    *rand.Rand
	mark []byte
}

func (f *forge) frame(context uint64, inner []byte) *crafted {
	return &crafted{
		path: stt.Path{
			Src: OuterA, Dst: OuterB, SrcPort: uint16(49152 + f.r.IntN(16384)), DstPort: stt.Port, TTL: 64, DontFragment: true,
		},
		id: f.r.Uint32(), header: stt.FrameHeader{ContextID: context}, inner: inner, mtu: underlayMTU,
	}
}

func (f *forge) udp(port uint16, size int) []byte {
	payload := append(slices.Clone(f.mark), make([]byte, size)...)
	return innerUDP(netip.AddrPortFrom(InnerA, 7998), netip.AddrPortFrom(InnerB, port), payload)
}

// NoFlow is the name of the sort that the rules would accept, if it began a flow.
const NoFlow = "TCP of no flow"

// Forgeries are those sorts.
func Forgeries() []Forgery {
	allowed := func(f *forge) *crafted { return f.frame(ContextAcme, f.udp(portSink, 0)) }
	changed := func(change func(c *crafted)) func(f *forge) ([][]byte, error) {
		return func(f *forge) ([][]byte, error) {
			c := allowed(f)
			change(c)
			return c.packets()
		}
	}
	altered := func(change func(ip, tcp []byte)) func(f *forge) ([][]byte, error) {
		return func(f *forge) ([][]byte, error) {
			packets, err := allowed(f).packets()
			for i := range packets {
				packets[i] = alter(packets[i], change)
			}
			return packets, err
		}
	}
	return []Forgery{
		{"denied by a rule", func(f *forge) ([][]byte, error) { return f.frame(ContextAcme, f.udp(portSyslog, 0)).packets() }},
		{"denied by the default", func(f *forge) ([][]byte, error) { return f.frame(ContextGlobex, f.udp(portSink, 0)).packets() }},
		{"denied, in several packets", func(f *forge) ([][]byte, error) { return f.frame(ContextAcme, f.udp(portSyslog, 4000)).packets() }},
		{"unknown Context ID", changed(func(c *crafted) { c.header.ContextID = 300 })},
		{NoFlow, func(f *forge) ([][]byte, error) {
			inner := innerTCP(netip.AddrPortFrom(InnerA, 40666), netip.AddrPortFrom(InnerB, portWeb), f.mark)
			return f.frame(ContextAcme, inner).packets()
		}},
		{"wrong L4 offset", changed(func(c *crafted) { c.header.L4Offset = etherHeaderLen + 40 })},
		{"both checksum flags", changed(func(c *crafted) { c.header.Flags = stt.FlagChecksumPartial | stt.FlagChecksumVerified })},
		{"version 1", changed(func(c *crafted) { c.header.Version = 1 })},
		{"endpoint that is not listed", changed(func(c *crafted) { c.path.Src = netip.MustParseAddr("10.47.1.66") })},
		{"SYN on the STT port", altered(func(_, tcp []byte) { tcp[13] = stt.FlagSYN })},
		{"first outer fragment", altered(func(ip, _ []byte) { binary.BigEndian.PutUint16(ip[6:], 0x2000) })},
		{"overlapping segments", func(f *forge) ([][]byte, error) {
			c := f.frame(ContextAcme, f.udp(portSink, 4000))
			end := len(c.frame())
			return [][]byte{c.piece(0, 1000), c.piece(900, 2000), c.piece(2000, end)}, nil
		}},
		{"never whole", func(f *forge) ([][]byte, error) {
			c := f.frame(ContextAcme, f.udp(portSink, 2500))
			return [][]byte{c.piece(0, 1400)}, nil
		}},
		{"VXLAN between the endpoints", func(f *forge) ([][]byte, error) {
			const vxlan = 4789
			frame := innerUDP(netip.AddrPortFrom(OuterA, 50000), netip.AddrPortFrom(OuterB, vxlan), f.mark)
			ip := frame[etherHeaderLen:]
			return [][]byte{ip[:binary.BigEndian.Uint16(ip[2:])]}, nil
		}},
	}
}

// Unfinished returns the packets of a frame of acme's with length bytes, but the last,
// which never comes: they are held for as long as the firewall waits.
func Unfinished(r *rand.Rand, length int) ([][]byte, error) {
	f := forge{r: r}
	packets, err := f.frame(ContextAcme, f.udp(portSink, length)).packets()
	return packets[:max(0, len(packets)-1)], err
}

// PlainUDP returns a packet without a tunnel from endpoint A to endpoint B's network,
// as other traffic that the firewall's host forwards.
func PlainUDP(src, dst netip.AddrPort) []byte {
	ip := innerUDP(src, dst, []byte("other traffic"))[etherHeaderLen:]
	return ip[:binary.BigEndian.Uint16(ip[2:])]
}

// Watch has see called with each packet on an interface, from its Ethernet header on,
// until stop is called, which waits for it. The packet is borrowed. lost is how many
// packets there was no room for so far.
func (l *Lab) Watch(place Place, iface string, see func(packet []byte, outgoing bool)) (stop func(), lost func() (int, error), err error) {
	var socket *packetSocket
	if err := l.Do(place, func() (err error) {
		socket, err = openPacketSocket(iface, unix.ETH_P_ALL)
		return err
	}); err != nil {
		return nil, nil, err
	}
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		buffer := make([]byte, 1<<17)
		for {
			n, outgoing, err := socket.receive(buffer)
			switch {
			case errors.Is(err, unix.ENETDOWN): // said once; it may come up again
			case err != nil: // closed
				return
			default:
				see(buffer[:min(n, len(buffer))], outgoing)
			}
		}
	}()
	return func() {
		socket.file.Close()
		<-ended
	}, socket.dropped, nil
}

// SetUnderlay changes one of the firewall's interfaces: its MTU, if that is not 0, and
// whether it is up.
func (l *Lab) SetUnderlay(name string, mtu int, up bool) error {
	return l.Do(Firewall, func() error {
		link, err := netlink.LinkByName(name)
		if err != nil {
			return fmt.Errorf("link %s: %w", name, err)
		}
		if mtu != 0 {
			if err := netlink.LinkSetMTU(link, mtu); err != nil {
				return fmt.Errorf("link %s: mtu %d: %w", name, mtu, err)
			}
		}
		if !up {
			return netlink.LinkSetDown(link)
		}
		return netlink.LinkSetUp(link)
	})
}

// Sysctl sets one of a place's; name as in net/ipv4/ip_forward.
func (l *Lab) Sysctl(place Place, name, value string) error {
	return l.Do(place, func() error { return writeSysctl(name, value) })
}
