package lab

import (
	"fmt"
	"net"
	"strings"

	"sttwall/nfq"
)

// Position is where in the network the firewall sits. The scenario of the demo is
// the same in all of them.
type Position uint8

const (
	// Routed: the firewall's host routes between the networks of the two endpoints;
	// the queue is in PREROUTING.
	Routed Position = iota
	// Output: what either endpoint sends leaves from the firewall's host itself, through
	// its OUTPUT hook, and the queue is there. See buildOutput.
	Output
	// Bridge: the endpoints are in one network, through a bridge on the firewall's host
	// that hands its packets to netfilter (br_netfilter).
	Bridge
	// BridgeVLAN: likewise, and all packets on the bridge have an 802.1Q tag. Who adds
	// it and takes it off is told at tagger.
	BridgeVLAN
	// VRF: as Routed, with the firewall's interfaces in a VRF. Not every kernel has it
	// (CONFIG_NET_VRF).
	VRF
	// Host: the firewall's host is endpoint B itself; the queue is in PREROUTING for what
	// comes in and in OUTPUT for what it sends. See buildHost.
	Host

	positionEnd
)

var positionNames = [positionEnd]string{"routed", "output", "bridge", "bridge-vlan", "vrf", "host"}

// Positions returns all of them.
func Positions() []Position {
	var list []Position
	for p := range positionEnd {
		list = append(list, p)
	}
	return list
}

// String returns "routed", "output", "bridge", "bridge-vlan", "vrf" or "host".
func (p Position) String() string {
	if p >= positionEnd {
		return fmt.Sprintf("Position(%d)", uint8(p))
	}
	return positionNames[p]
}

// MarshalText implements encoding.TextMarshaler.
func (p Position) MarshalText() ([]byte, error) { return []byte(p.String()), nil }

// UnmarshalText implements encoding.TextUnmarshaler.
func (p *Position) UnmarshalText(text []byte) error {
	for i, name := range positionNames {
		if name == string(text) {
			*p = Position(i)
			return nil
		}
	}
	return fmt.Errorf("no such place: %q: want one of %s", text, strings.Join(positionNames[:], ", "))
}

// bridged reports whether the endpoints are in one network.
func (p Position) bridged() bool { return p == Bridge || p == BridgeVLAN }

// hooks returns where the firewall takes STT out.
func (p Position) hooks() nfq.Hooks {
	switch {
	case p == Output:
		return nfq.HooksOf(nfq.HookOutput)
	case p.bridged():
		return nfq.HooksOf(nfq.HookBridge)
	case p == Host:
		return nfq.HooksOf(nfq.HookPrerouting, nfq.HookOutput)
	}
	return nfq.HooksOf(nfq.HookPrerouting)
}

// underlay returns the interface of an endpoint towards the firewall, or on its host that to
// the other endpoint.
func (p Position) underlay(of *side) string {
	if p == Host && of.endpoint == EndpointB {
		return UnderlayA
	}
	return Underlay
}

// nextHop returns where an endpoint's packets go on the link.
func (p Position) nextHop(near, far *side) net.HardwareAddr {
	if p.bridged() {
		return far.underlay
	}
	return near.firewallFacing
}
