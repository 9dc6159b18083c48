package lab

import (
	"errors"
	"fmt"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"
)

const (
	vrfDevice = "vrf-under"
	vrfTable  = 47
)

// addVRF makes the VRF that the firewall's interfaces are in, in the calling thread's
// namespace. Their routes then stand in its table alone.
func addVRF() error {
	vrf := &netlink.Vrf{LinkAttrs: netlink.NewLinkAttrs(), Table: vrfTable}
	vrf.Name = vrfDevice
	err := netlink.LinkAdd(vrf)
	if errors.Is(err, unix.EOPNOTSUPP) {
		return fmt.Errorf("link %s: add: %w: this kernel has no VRF (CONFIG_NET_VRF)", vrfDevice, err)
	}
	if err != nil {
		return fmt.Errorf("link %s: add: %w", vrfDevice, err)
	}
	return raise(vrfDevice)
}
