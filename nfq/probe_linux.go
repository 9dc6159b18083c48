package nfq

import (
	"fmt"

	"github.com/google/nftables"
	"github.com/google/nftables/expr"
	"github.com/mdlayher/netlink"
	"golang.org/x/sys/unix"

	"sttwall/internal/gsoguard"
)

// KernelPart is something that the firewall wants of the kernel.
type KernelPart struct {
	// Name says in a word or two what it is.
	Name string
	// Configs names the options that the kernel must be built with; "": not known.
	Configs string
	// Module has it where it is not built in; "": it is in no module of its own.
	Module string
	// For says what does not work without.
	For string
	// Err is nil where it is there. It wraps [ErrNoCapability] where that could not be
	// found out.
	Err error

	exprs []expr.Any // what is tried of it, where that is a rule
}

const noStart = "the firewall does not start"

// ProbeKernel finds out by trying what of the kernel the table of this configuration
// wants, and whether it is there; the last one is the table as a whole. Configuration
// that [TableConfig.Validate] refuses has no such last one.
//
// What it adds to nftables is deleted in the same transaction, and stands in no hook: no
// packet meets it, and none that waits in a queue is lost. The kernel loads modules for it
// where it can.
func ProbeKernel(c TableConfig) []KernelPart {
	ns := c.NetNS
	tables := KernelPart{Name: "nftables tables of family inet", Configs: "CONFIG_NF_TABLES and CONFIG_NF_TABLES_INET", Module: "nf_tables",
		For: noStart, Err: refusal(tryTable(ns, nftables.TableFamilyINet, nil), ErrNoKernelTables)}
	list := []KernelPart{tables}
	missing := tables.Err != nil
	probe := func(p KernelPart, try func() error) {
		if p.Err = tables.Err; p.Err == nil {
			p.Err = try()
		}
		missing = missing || p.Err != nil
		list = append(list, p)
	}
	var target Target
	probe(KernelPart{Name: "a queue target", Configs: "CONFIG_NFT_QUEUE, or CONFIG_NFT_COMPAT with CONFIG_NETFILTER_XT_TARGET_NFQUEUE", Module: "nft_queue",
		For: noStart}, func() (err error) {
		target, err = probeTarget(ns)
		return err
	})
	probe(KernelPart{Name: "NFQUEUE", Configs: "CONFIG_NETFILTER_NETLINK_QUEUE", Module: "nfnetlink_queue",
		For: noStart}, func() error { return askForQueues(ns) })
	for _, p := range c.kernelParts() {
		probe(p, func() error { return tryTable(ns, nftables.TableFamilyINet, p.exprs) })
	}
	if c.Hooks.Has(HookBridge) {
		probe(KernelPart{Name: "nftables tables of family bridge", Configs: "CONFIG_NF_TABLES_BRIDGE",
			For: noStart + " with --hook bridge"}, func() error { return refusal(c.tryBridgeTable(), ErrNoKernelBridge) })
	}
	if c.Validate() == nil && !missing {
		probe(KernelPart{Name: "the whole table", For: noStart}, func() error { return c.tryAside(target) })
	}
	return list
}

// kernelParts are what the rules of the table want besides what nf_tables always has, and
// how a rule asks for each.
func (c TableConfig) kernelParts() []KernelPart {
	list := []KernelPart{
		{Name: "notrack", Configs: "CONFIG_NFT_CT", Module: "nft_ct", For: noStart, exprs: notrack().exprs},
		{Name: "kinds of interfaces", Configs: "CONFIG_NF_TABLES of Linux 5.1 or later", For: noStart, exprs: kindOf(iifKind, "vrf").exprs},
	}
	if c.Queues > 1 {
		list = append(list, KernelPart{Name: "a hash of the source port", Configs: "CONFIG_NFT_HASH", Module: "nft_hash", For: noStart + " with more than one queue",
			exprs: []expr.Any{port(offsetSourcePort), &expr.Hash{SourceRegister: 1, DestRegister: 2, Length: 2, Modulus: 2, Type: expr.HashTypeJenkins}}})
	}
	if c.Hooks.incoming() {
		// Asked for whether or not IPsec carries STT here: the kernel refuses the table
		// without (nft_meta.c, NFT_META_SECPATH).
		list = append(list, KernelPart{Name: "what came out of IPsec", Configs: "CONFIG_XFRM", For: noStart + " with --hook prerouting or bridge",
			exprs: noIPsec().exprs})
	}
	if c.OnlySTT {
		list = append(list, KernelPart{Name: "what is for this host", Configs: "CONFIG_NFT_FIB_INET", Module: "nft_fib_inet", For: noStart + " with settings.only_stt",
			exprs: forThisHost().exprs})
	}
	if c.limited() {
		list = append(list, KernelPart{Name: "rates", Configs: "CONFIG_NFT_LIMIT", Module: "nft_limit", For: noStart + " with settings.endpoint_rate",
			exprs: []expr.Any{&expr.Limit{Type: expr.LimitTypePkts, Rate: 1, Unit: expr.LimitTimeSecond, Burst: 1}}})
	}
	return list
}

// ProbeGuard reports why super-segments of small pieces cannot be dropped by the table
// here; nil where they can. See [GuardAuto].
func ProbeGuard(ns NetNS) error {
	g, err := gsoguard.Load()
	if err != nil {
		return err
	}
	defer closeGuard(g)
	return probeGuard(ns, g)
}

// tryAside has the kernel take the whole table, under another name and in no hook, and
// deletes it again. The kernel empties all queues of the namespace when a chain in a hook
// goes, with what waits there for a running firewall (see [Table.update]).
func (c TableConfig) tryAside(target Target) error {
	c.aside = true
	conn, err := connect(c.NetNS)
	if err != nil {
		return err
	}
	table := conn.AddTable(c.table())
	if err := c.addAll(conn, table, target, TableCounters{}, nil); err != nil {
		return err
	}
	conn.DelTable(table)
	if err := conn.Flush(); err != nil {
		return fmt.Errorf("the kernel takes each part of the table, and not all of it: %w", err)
	}
	return nil
}

// tryBridgeTable is tryAside for the table of family bridge.
func (c TableConfig) tryBridgeTable() error {
	conn, err := connect(c.NetNS)
	if err != nil {
		return err
	}
	table := conn.AddTable(&nftables.Table{Name: TableName + "_probe", Family: nftables.TableFamilyBridge})
	chain := conn.AddChain(&nftables.Chain{Name: "probe", Table: table})
	conn.AddObj(&nftables.CounterObj{Table: table, Name: counterHidden})
	for _, r := range c.bridgeRules() {
		exprs, err := resolve(conn, table, r.parts, false)
		if err != nil {
			return err
		}
		conn.AddRule(&nftables.Rule{Table: table, Chain: chain, Exprs: exprs})
	}
	conn.DelTable(table)
	return conn.Flush()
}

// askForQueues says the harmless thing that all drivers say first.
func askForQueues(ns NetNS) error {
	conn, err := netlink.Dial(unix.NETLINK_NETFILTER, &netlink.Config{NetNS: int(ns)})
	if err != nil {
		return refusal(err, ErrNoKernelQueue)
	}
	defer conn.Close() // nothing was changed
	return probeQueue(conn)
}

// TunnelPorts are the UDP destination ports by which the table knows other tunnels.
func TunnelPorts() []uint16 { return tunnelPorts() }
