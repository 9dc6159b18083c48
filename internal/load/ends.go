package load

import (
	"encoding/binary"
	"fmt"
	"net/netip"

	"sttwall/stt"
)

// Ends says who talks to whom, so that a given firewall lets it pass. All addresses are
// IPv4. What is zero is as [DefaultEnds] has it.
type Ends struct {
	// Left and Right are the tunnel endpoints; clients are behind the left one. Port
	// is the destination port of the tunnel.
	Left, Right netip.Addr
	Port        uint16
	// ContextID is that of frames to the right. Back is that of frames to the left;
	// zero means the same.
	ContextID, Back uint64
	// Client is the client of the first 16,384 flows; those of the next ones have the
	// addresses behind it. Source ports begin at 32,768 with each of them.
	Client, Server       netip.Addr
	ServerPort           uint16
	ClientMAC, ServerMAC [6]byte
}

// DefaultEnds are those of a lab that is not told otherwise.
func DefaultEnds() Ends {
	return Ends{
		Left: netip.AddrFrom4([4]byte{10, 48, 1, 1}), Right: netip.AddrFrom4([4]byte{10, 48, 2, 1}), Port: stt.Port,
		ContextID: ContextID, Back: ContextID,
		Client: netip.AddrFrom4([4]byte{10, 10, 0, 1}), Server: netip.AddrFrom4([4]byte{10, 20, 0, 1}), ServerPort: ServerPort,
		ClientMAC: [6]byte{0x02, 0, 0, 0, 0, 0x0a}, ServerMAC: [6]byte{0x02, 0, 0, 0, 0, 0x0b},
	}
}

// withDefaults fills in what is zero, and reports what cannot be sent.
func (e Ends) withDefaults() (Ends, error) {
	d := DefaultEnds()
	if e.ContextID == 0 && e.Back == 0 {
		e.ContextID = d.ContextID
	}
	if e.Back == 0 {
		e.Back = e.ContextID
	}
	for _, a := range []struct {
		name  string
		value *netip.Addr
		or    netip.Addr
	}{{"left tunnel endpoint", &e.Left, d.Left}, {"right tunnel endpoint", &e.Right, d.Right}, {"client", &e.Client, d.Client}, {"server", &e.Server, d.Server}} {
		if !a.value.IsValid() {
			*a.value = a.or
		}
		if !a.value.Is4() {
			return e, fmt.Errorf("load: %s %s: want an IPv4 address", a.name, *a.value)
		}
	}
	if e.Left == e.Right {
		return e, fmt.Errorf("load: both tunnel endpoints are %s", e.Left)
	}
	for _, p := range []struct {
		value *uint16
		or    uint16
	}{{&e.Port, d.Port}, {&e.ServerPort, d.ServerPort}} {
		if *p.value == 0 {
			*p.value = p.or
		}
	}
	if e.ClientMAC == ([6]byte{}) {
		e.ClientMAC = d.ClientMAC
	}
	if e.ServerMAC == ([6]byte{}) {
		e.ServerMAC = d.ServerMAC
	}
	return e, nil
}

// clientLow is what the client's address ends in.
func (e Ends) clientLow() uint16 {
	a := e.Client.As4()
	return binary.BigEndian.Uint16(a[2:])
}

// checkFlows reports whether so many flows have clients: of the address the lower half
// alone is counted on.
func (e Ends) checkFlows(flows int) error {
	if most := (0x10000 - int(e.clientLow())) << portBits; flows > most {
		return fmt.Errorf("traffic: %d flows from client %s on: at most %d, or the address would go over", flows, e.Client, most)
	}
	return nil
}

// ClientOf is the inner source of a flow, from 0 on; it is not valid if there is none.
func (e Ends) ClientOf(flow int) netip.AddrPort {
	a := e.Client.As4()
	low := int(e.clientLow()) + flow>>portBits
	if low > 0xffff {
		return netip.AddrPort{}
	}
	binary.BigEndian.PutUint16(a[2:], uint16(low))
	return netip.AddrPortFrom(netip.AddrFrom4(a), clientPort|uint16(flow&(1<<portBits-1)))
}
