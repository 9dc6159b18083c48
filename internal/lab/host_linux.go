package lab

import (
	"errors"
	"fmt"
	"net"
	"net/netip"

	"github.com/google/nftables"
	"github.com/google/nftables/expr"
	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"

	"sttwall/stt"
)

const (
	// hostTable is the lab's own table of position Host.
	hostTable = "lab-host"
	// arrivalTable is the routing table by which endpoints of scripts are at home on the
	// firewall's host, for what comes in from side A.
	arrivalTable = 48
)

// scriptNetworks hold the endpoints of the scripts of package evasion.
var scriptNetworks = []string{"192.0.2.0/24", "2001:db8:47::/64"}

// buildHost makes the firewall's host endpoint B: it has that one's addresses on the link to
// side A. Its endpoint works through IP sockets, as the kernel's own would, and so behind
// PREROUTING and through OUTPUT.
func (l *Lab) buildHost() error {
	a, b := sides()[0], sides()[1]
	if err := l.buildSide(&a); err != nil {
		return fmt.Errorf("lab: %s: %w", a.endpoint, err)
	}
	if err := l.Do(Firewall, func() error {
		return errors.Join(address(a.firewallLink, b.outer, 32), address(a.firewallLink, b.outer6, 128), awaitAddress(b.outer6), refuseResets())
	}); err != nil {
		return fmt.Errorf("lab: %s: %w", b.endpoint, err)
	}
	return nil
}

// refuseResets keeps the TCP stack of the calling thread's namespace from answering STT
// that nobody listens to, or that is not for the endpoint.
func refuseResets() error {
	const sourcePort, flags = 0, 13
	conn, err := nftables.New()
	if err != nil {
		return fmt.Errorf("nftables: %w", err)
	}
	table := conn.AddTable(&nftables.Table{Family: nftables.TableFamilyINet, Name: hostTable})
	chain := conn.AddChain(&nftables.Chain{
		Name: "output", Table: table, Type: nftables.ChainTypeFilter,
		Hooknum: nftables.ChainHookOutput, Priority: nftables.ChainPriorityRaw,
	})
	conn.AddRule(&nftables.Rule{Table: table, Chain: chain, Exprs: []expr.Any{
		&expr.Meta{Key: expr.MetaKeyL4PROTO, Register: 1},
		&expr.Cmp{Op: expr.CmpOpEq, Register: 1, Data: []byte{unix.IPPROTO_TCP}},
		&expr.Payload{DestRegister: 1, Base: expr.PayloadBaseTransportHeader, Offset: flags, Len: 1},
		&expr.Bitwise{SourceRegister: 1, DestRegister: 1, Len: 1, Mask: []byte{stt.FlagRST}, Xor: []byte{0}},
		&expr.Cmp{Op: expr.CmpOpNeq, Register: 1, Data: []byte{0}},
		&expr.Verdict{Kind: expr.VerdictDrop},
	}})
	if err := conn.Flush(); err != nil {
		return fmt.Errorf("nftables: keep resets in the host: %w", err)
	}
	return nil
}

// receiveScripts has what comes in from side A for the endpoints of scripts delivered on the
// host, in the calling thread's namespace. For all else they are where their routes say.
func receiveScripts() error {
	lo, err := netlink.LinkByName("lo")
	if err != nil {
		return fmt.Errorf("link lo: %w", err)
	}
	for _, text := range scriptNetworks {
		prefix := netip.MustParsePrefix(text)
		to := &net.IPNet{IP: prefix.Addr().AsSlice(), Mask: net.CIDRMask(prefix.Bits(), prefix.Addr().BitLen())}
		if err := netlink.RouteAdd(&netlink.Route{
			Table: arrivalTable, Type: unix.RTN_LOCAL, Scope: netlink.SCOPE_HOST, LinkIndex: lo.Attrs().Index, Dst: to,
		}); err != nil {
			return fmt.Errorf("local route to %s: add: %w", text, err)
		}
		if err := netlink.RuleAdd(arrivalRule(prefix)); err != nil {
			return fmt.Errorf("routing rule for %s (CONFIG_IP_MULTIPLE_TABLES, CONFIG_IPV6_MULTIPLE_TABLES): %w", text, err)
		}
	}
	return nil
}

func arrivalRule(prefix netip.Prefix) *netlink.Rule {
	rule := netlink.NewRule()
	rule.IifName, rule.Table, rule.Priority = UnderlayA, arrivalTable, arrivalTable
	rule.Family = unix.AF_INET
	if prefix.Addr().Is6() {
		rule.Family = unix.AF_INET6
	}
	return rule
}

// removeHost removes what the lab has in the firewall's namespace for position Host, if it
// is there, but for links.
func removeHost() error {
	var errs []error
	for _, text := range scriptNetworks {
		prefix := netip.MustParsePrefix(text)
		rule := arrivalRule(prefix)
		rules, err := netlink.RuleListFiltered(rule.Family, rule, netlink.RT_FILTER_TABLE)
		if err != nil {
			errs = append(errs, fmt.Errorf("routing rules: %w", err))
		}
		for range rules {
			errs = append(errs, netlink.RuleDel(rule))
		}
		routes, err := netlink.RouteListFiltered(rule.Family, &netlink.Route{Table: arrivalTable, Type: unix.RTN_LOCAL}, netlink.RT_FILTER_TABLE|netlink.RT_FILTER_TYPE)
		if err != nil {
			errs = append(errs, fmt.Errorf("local routes: %w", err))
		}
		for i := range routes {
			errs = append(errs, netlink.RouteDel(&routes[i]))
		}
	}
	return errors.Join(errs...)
}
