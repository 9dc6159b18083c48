package nfq

import (
	"encoding/binary"
	"errors"
	"fmt"

	"github.com/google/nftables"
	"github.com/mdlayher/netlink"
	"golang.org/x/sys/unix"

	"sttwall/firewall"
)

// makeShared makes what the workers share, with what Adopt puts into it.
func (c *InlineConfig) makeShared(clock func() int64) (*firewall.Shared, error) {
	for {
		ids, err := firewall.NewFrameIDFilter(firewall.FrameIDConfig{
			Bits: c.FrameIDBits, StartupGuard: c.StartupGuard, Start: clock(),
		})
		if err != nil {
			return nil, err
		}
		s, err := firewall.NewShared(c.Policy, ids)
		if err != nil || c.Adopt == nil || c.Adopt(s, clock) {
			return s, err
		}
		c.Adopt = nil // it has failed: once more, without
	}
}

// TableHandle returns the number that the kernel has given to the table: another one
// each time that a table is made in the namespace. 0 stands for no table.
func TableHandle(ns NetNS) (uint64, error) { return tableHandle(ns, nftables.TableFamilyINet) }

func tableHandle(ns NetNS, family nftables.TableFamily) (uint64, error) {
	conn, err := netlink.Dial(unix.NETLINK_NETFILTER, &netlink.Config{NetNS: int(ns)})
	if err != nil {
		return 0, fmt.Errorf("table %s: look: %w", TableName, refusal(err, ErrNoKernelTables))
	}
	defer conn.Close() // nothing was changed
	name, err := netlink.MarshalAttributes([]netlink.Attribute{{Type: unix.NFTA_TABLE_NAME, Data: append([]byte(TableName), 0)}})
	if err != nil {
		return 0, fmt.Errorf("table %s: look: %w", TableName, err)
	}
	answers, err := conn.Execute(netlink.Message{
		Header: netlink.Header{Type: netlink.HeaderType(unix.NFNL_SUBSYS_NFTABLES<<8 | unix.NFT_MSG_GETTABLE), Flags: netlink.Request},
		Data:   append([]byte{byte(family), 0, 0, 0}, name...), // struct nfgenmsg
	})
	if errors.Is(err, unix.ENOENT) {
		return 0, nil
	}
	if err != nil {
		return 0, fmt.Errorf("table %s: look: %w", TableName, refusal(err, ErrNoKernelTables))
	}
	for _, m := range answers {
		if len(m.Data) < 4 {
			continue
		}
		attributes, err := netlink.UnmarshalAttributes(m.Data[4:])
		if err != nil {
			return 0, fmt.Errorf("table %s: look: %w", TableName, err)
		}
		for _, a := range attributes {
			if a.Type&^(netlink.Nested|netlink.NetByteOrder) == nftaTableHandle && len(a.Data) == 8 {
				return binary.BigEndian.Uint64(a.Data), nil
			}
		}
	}
	return 0, fmt.Errorf("table %s: look: the kernel does not say which it is", TableName)
}

// nftaTableHandle is NFTA_TABLE_HANDLE (include/uapi/linux/netfilter/nf_tables.h),
// 64 bits in network byte order.
const nftaTableHandle = 4
