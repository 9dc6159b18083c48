package lab

import (
	"errors"
	"fmt"
	"net/netip"

	"github.com/vishvananda/netlink"
)

const (
	bridgeDevice = "br-under"

	// Prefixes of the one network of both endpoints: 10.47.0.0/16, fd47::/16.
	bridgedBits, bridgedBits6 = 16, 16
)

// The bridge's own addresses, from which the firewall's host manages itself and answers.
var (
	bridgeAddress  = netip.MustParseAddr("10.47.0.254")
	bridgeAddress6 = netip.MustParseAddr("fd47::fe")
)

// buildBridge makes one network of both endpoints, with the firewall's bridge in its
// middle, and with position BridgeVLAN a switch between each endpoint and the bridge.
func (l *Lab) buildBridge(p Position) error {
	if err := l.Do(Firewall, addBridge); err != nil {
		return fmt.Errorf("lab: %s: %w", Firewall, err)
	}
	for i, s := range sides() {
		facing := s.endpoint // whose link the port of the bridge has
		if p == BridgeVLAN {
			facing = [2]Place{switchA, switchB}[i]
		}
		if err := l.buildPort(&s, facing); err != nil {
			return fmt.Errorf("lab: %s: %w", s.endpoint, err)
		}
	}
	return nil
}

// addBridge makes the bridge in the calling thread's namespace. That what it forwards goes
// through the hooks of netfilter is for the firewall to see to.
func addBridge() error {
	noSnooping := false
	bridge := &netlink.Bridge{LinkAttrs: netlink.NewLinkAttrs(), MulticastSnooping: &noSnooping}
	bridge.Name, bridge.MTU = bridgeDevice, underlayMTU
	if err := netlink.LinkAdd(bridge); err != nil {
		return fmt.Errorf("link %s: add: %w", bridgeDevice, err)
	}
	return errors.Join(address(bridgeDevice, bridgeAddress, bridgedBits), address(bridgeDevice, bridgeAddress6, bridgedBits6), raise(bridgeDevice), awaitAddress(bridgeAddress6))
}

// buildPort makes a port of the bridge and gives the endpoint its addresses. facing is
// the namespace with the other end of the port's link: the endpoint, or its switch.
func (l *Lab) buildPort(s *side, facing Place) error {
	peer := linkEnd{l.namespaces[facing], Underlay, s.underlay}
	if facing != s.endpoint {
		peer = linkEnd{l.namespaces[facing], trunkLink, nil}
	}
	if err := l.Do(Firewall, func() error {
		if err := addPair(linkEnd{name: s.firewallLink, mac: s.firewallFacing}, peer); err != nil {
			return err
		}
		return errors.Join(enslave(s.firewallLink, bridgeDevice), raise(s.firewallLink))
	}); err != nil {
		return err
	}
	if facing != s.endpoint {
		if err := l.Do(facing, func() error {
			return errors.Join(addPair(linkEnd{name: accessLink}, linkEnd{l.namespaces[s.endpoint], Underlay, s.underlay}), raise(accessLink), raise(trunkLink))
		}); err != nil {
			return err
		}
		if err := l.startTagger(facing); err != nil {
			return err
		}
	}
	return l.Do(s.endpoint, func() error {
		return errors.Join(address(Underlay, s.outer, bridgedBits), address(Underlay, s.outer6, bridgedBits6), raise(Underlay), awaitAddress(s.outer6), refuseSTT())
	})
}
