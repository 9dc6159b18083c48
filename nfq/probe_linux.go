package nfq

import (
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
	// Configs names the options that the kernel must be built with.
	Configs string
	// Module has it where it is not built in.
	Module string
	// For says what does not work without.
	For string
	// Err is nil where it is there. It wraps [ErrNoCapability] where that could not be
	// found out.
	Err error
}

// ProbeKernel finds out by trying what of the kernel that the firewall wants is there.
// What it adds to nftables is deleted in the same transaction; no packet meets it. The
// kernel loads modules for it where it can.
func ProbeKernel(ns NetNS) []KernelPart {
	tables := KernelPart{Name: "nftables tables of family inet", Configs: "CONFIG_NF_TABLES and CONFIG_NF_TABLES_INET", Module: "nf_tables",
		For: "the firewall does not start", Err: refusal(tryTable(ns, nftables.TableFamilyINet, nil), ErrNoKernelTables)}
	list := []KernelPart{tables}
	probe := func(p KernelPart, try func() error) {
		if p.Err = tables.Err; p.Err == nil {
			p.Err = try()
		}
		list = append(list, p)
	}
	rule := func(exprs []expr.Any) func() error {
		return func() error { return tryTable(ns, nftables.TableFamilyINet, exprs) }
	}
	probe(KernelPart{Name: "a queue target", Configs: "CONFIG_NFT_QUEUE, or CONFIG_NFT_COMPAT with CONFIG_NETFILTER_XT_TARGET_NFQUEUE", Module: "nft_queue",
		For: "the firewall does not start"}, func() error {
		_, err := probeTarget(ns)
		return err
	})
	probe(KernelPart{Name: "NFQUEUE", Configs: "CONFIG_NETFILTER_NETLINK_QUEUE", Module: "nfnetlink_queue",
		For: "the firewall does not start"}, func() error { return askForQueues(ns) })
	probe(KernelPart{Name: "notrack", Configs: "CONFIG_NFT_CT", Module: "nft_ct",
		For: "the firewall does not start"}, rule(notrack().exprs))
	probe(KernelPart{Name: "a hash of the source port", Configs: "CONFIG_NFT_HASH", Module: "nft_hash",
		For: "the firewall does not start with more than one queue"}, rule([]expr.Any{port(offsetSourcePort),
		&expr.Hash{SourceRegister: 1, DestRegister: 2, Length: 2, Modulus: 2, Type: expr.HashTypeJenkins}}))
	probe(KernelPart{Name: "what is for this host", Configs: "CONFIG_NFT_FIB_INET", Module: "nft_fib_inet",
		For: "the firewall does not start with settings.only_stt"}, func() error {
		return tryInHook(ns, forThisHost().exprs)
	})
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

// tryInHook is tryTable with the rule in a chain of the hook that ours is in: some
// expressions are refused elsewhere.
func tryInHook(ns NetNS, exprs []expr.Any) error {
	conn, err := connect(ns)
	if err != nil {
		return err
	}
	table := conn.AddTable(&nftables.Table{Name: TableName + "_probe", Family: nftables.TableFamilyINet})
	chain := &nftables.Chain{Name: "probe", Table: table}
	base{nftables.ChainHookPrerouting, *nftables.ChainPriorityRaw, ""}.set(chain)
	conn.AddRule(&nftables.Rule{Table: table, Chain: conn.AddChain(chain), Exprs: exprs})
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
