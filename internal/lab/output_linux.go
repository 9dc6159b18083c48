package lab

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"net/netip"

	"github.com/google/nftables"
	"github.com/google/nftables/expr"
	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"
)

// outputTable is the lab's own table of position Output, in the families ip and ip6.
const outputTable = "lab-output"

// buildOutput has what an endpoint sends leave from the firewall's host as its own: the
// kernel of that host gives the packet out, and takes it through its OUTPUT hook.
//
// The senders that people run are in the kernel (Open vSwitch calls ip_local_out), and this
// package's endpoints are not: their packet sockets go around all hooks, and a raw socket
// cannot send super-segments. So each endpoint keeps its namespace, and hands its packets
// to the host over its link; there a rule gives each to ip_local_out, as the tunnel's driver
// would (the statement dup; net/ipv4/netfilter/nf_dup_ipv4.c), and drops what came. The
// way there costs one hop of the TTL, and dup sets DF. What is for an endpoint comes
// into its namespace by the same rule, for the other one has sent it.
func (l *Lab) buildOutput() error {
	return l.Do(Firewall, func() error {
		conn, err := nftables.New()
		if err != nil {
			return fmt.Errorf("nftables: %w", err)
		}
		both := sides()
		for i := range both {
			near, far := &both[i], &both[1-i]
			out, err := netlink.LinkByName(far.firewallLink)
			if err != nil {
				return fmt.Errorf("link %s: %w", far.firewallLink, err)
			}
			for _, f := range []struct {
				family nftables.TableFamily
				to     netip.Addr
			}{{nftables.TableFamilyIPv4, far.outer}, {nftables.TableFamilyIPv6, far.outer6}} {
				table := conn.AddTable(&nftables.Table{Family: f.family, Name: outputTable})
				chain := conn.AddChain(&nftables.Chain{
					Name: "forward", Table: table, Type: nftables.ChainTypeFilter,
					Hooknum: nftables.ChainHookForward, Priority: nftables.ChainPriorityFilter,
				})
				conn.AddRule(&nftables.Rule{Table: table, Chain: chain, Exprs: []expr.Any{
					&expr.Meta{Key: expr.MetaKeyIIFNAME, Register: 1},
					&expr.Cmp{Op: expr.CmpOpEq, Register: 1, Data: append([]byte(near.firewallLink), make([]byte, unix.IFNAMSIZ-len(near.firewallLink))...)},
					&expr.Immediate{Register: 1, Data: f.to.AsSlice()},
					&expr.Immediate{Register: 2, Data: binary.NativeEndian.AppendUint32(nil, uint32(out.Attrs().Index))},
					&expr.Dup{RegAddr: 1, RegDev: 2, IsRegDevSet: true},
					&expr.Verdict{Kind: expr.VerdictDrop},
				}})
			}
		}
		if err := conn.Flush(); err != nil {
			return fmt.Errorf("nftables: send from the firewall's host (CONFIG_NFT_DUP_IPV4, CONFIG_NFT_DUP_IPV6): %w", err)
		}
		return nil
	})
}

// keepWhole returns a copy of an IP packet with DF set, as dup does it; a header checksum
// that was wrong stays wrong.
func keepWhole(packet []byte) []byte {
	const fragment, checksum, dontFragment = 6, 10, 0x4000
	b := bytes.Clone(packet)
	if len(b) < 20 || b[0]>>4 == 6 || binary.BigEndian.Uint16(b[fragment:])&dontFragment != 0 {
		return b
	}
	binary.BigEndian.PutUint16(b[fragment:], binary.BigEndian.Uint16(b[fragment:])|dontFragment)
	addToSum(b[checksum:], dontFragment)
	return b
}

// addToSum changes an Internet checksum for a packet whose words have become larger by
// that much in all (RFC 1624).
func addToSum(checksum []byte, by uint16) {
	sum := uint32(^binary.BigEndian.Uint16(checksum)) + uint32(by)
	binary.BigEndian.PutUint16(checksum, ^uint16(sum+sum>>16))
}

// sameButOptions reports whether two IPv4 packets are the same but for the options, which
// the kernel writes into where it takes packets to the hook, and the checksum.
func sameButOptions(sent, seen []byte) bool {
	const checksum = 10
	if len(sent) != len(seen) || len(sent) < 20 || sent[0]>>4 != 4 {
		return false
	}
	header := int(sent[0]&15) * 4
	return header > 20 && header <= len(sent) && bytes.Equal(sent[:checksum], seen[:checksum]) &&
		bytes.Equal(sent[checksum+2:20], seen[checksum+2:20]) && bytes.Equal(sent[header:], seen[header:])
}

// routersWord says why a packet with these headers does not get as far as the hook of
// position Output; "" if it should. They could stand in what a host sends, not in what
// comes to one.
func routersWord(packet []byte) string {
	const hopByHop, routing, destination = 0, 43, 60
	switch {
	case packet[0]>>4 == 4 && packet[0]&15 > 5:
		return "an option that is not forwarded"
	case packet[0]>>4 == 6 && (packet[6] == hopByHop || packet[6] == routing || packet[6] == destination):
		return "an extension header that is not forwarded"
	}
	return ""
}

// removeTables removes the lab's own tables from the firewall's namespace, if they are there.
func removeTables() error {
	conn, err := nftables.New()
	if err != nil {
		return fmt.Errorf("nftables: %w", err)
	}
	tables, err := conn.ListTables()
	if err != nil {
		return fmt.Errorf("nftables: list: %w", err)
	}
	for _, t := range tables {
		if t.Name == outputTable || t.Name == hostTable {
			conn.DelTable(t)
		}
	}
	if err := conn.Flush(); err != nil {
		return fmt.Errorf("nftables: remove the lab's tables: %w", err)
	}
	return nil
}
