package nfq

import (
	"errors"
	"fmt"
	"slices"
	"sync/atomic"

	"github.com/google/nftables"
	"github.com/google/nftables/expr"
	"github.com/mdlayher/netlink"
	"golang.org/x/sys/unix"
)

// elementsPerMessage keeps a message of set elements below the 64 KiB that a
// netlink attribute can be long. Even: the two elements of an interval stay
// together.
const elementsPerMessage = 1000

// Table is an installed table. It stays in the kernel when the program ends or
// crashes; only Remove or [RemoveTable] takes it away.
type Table struct {
	config TableConfig
	target Target
	print  tablePrint
	bridge bridging
	// bridgeLeft is why br_netfilter is still as the table before this one wanted it; nil:
	// it is not. What it was like before stays in the kernel, for whoever tries next.
	bridgeLeft error
	seen       atomic.Pointer[TableCounters] // read last; nil: never
}

// InstallTable puts the table in, in the place of one that an earlier run left:
// in one transaction, so that no packet meets a moment without a table. A second one takes
// out what stops between endpoints until the sets are filled (filling_linux.go). Errors:
// [ErrNoCapability], [ErrNoKernelTables], [ErrNoKernelTarget], and with [HookBridge]
// [ErrNoKernelBridge] and [ErrNoBridgeNetfilter].
func InstallTable(c TableConfig) (*Table, error) {
	if err := c.Validate(); err != nil {
		return nil, err
	}
	target, err := probeTarget(c.NetNS)
	if err != nil {
		return nil, fmt.Errorf("table %s: %w", TableName, err)
	}
	return installTable(c, target)
}

func installTable(c TableConfig, target Target) (*Table, error) {
	bridge, err := c.bridging()
	if err != nil {
		bridge.undo()
		return nil, fmt.Errorf("table %s: %w", TableName, err)
	}
	t, err := c.filled(func(c TableConfig) (*Table, error) {
		return putTable(c, target, bridge, TableCounters{}, bridge.replaceTable, nil)
	})
	if err != nil {
		bridge.undo()
		return nil, err
	}
	if bridge.there && bridge.settings == nil {
		// Without it bridges show this table more than they must: no reason not to start.
		t.bridge.there, t.bridgeLeft = false, putBack(c.NetNS, bridge.before)
	}
	return t, nil
}

// putTable makes the table in one transaction, whose first part begin gives, and
// has its counters go on from where they were. Where other programs change rules
// at the same moment it does so again: what is in the kernel must be known to be
// what was put there.
func putTable(c TableConfig, target Target, bridge bridging, counted TableCounters, begin func(*nftables.Conn) *nftables.Table, there *TableConfig) (*Table, error) {
	const attempts = 5
	for range attempts {
		before, err := generationOf(c.NetNS)
		if err != nil {
			return nil, fmt.Errorf("table %s: install: %w", TableName, err)
		}
		conn, err := connect(c.NetNS)
		if err != nil {
			return nil, fmt.Errorf("table %s: install: %w", TableName, err)
		}
		err = c.addAll(conn, begin(conn), target, counted, there)
		if err == nil && bridge.settings != nil {
			err = c.addBridge(conn, bridge.before, counted)
		}
		if err != nil {
			return nil, fmt.Errorf("table %s: install: %w", TableName, err)
		}
		if err := conn.Flush(); err != nil {
			return nil, fmt.Errorf("table %s: install: %w", TableName, explainFlush(err))
		}
		begin, there = bridge.replaceTable, nil // another time, whatever is there now
		print, generation, err := readTable(c.NetNS, bridge.settings != nil)
		if err == nil && generation == before+1 {
			return &Table{config: c, target: target, print: print, bridge: bridge}, nil
		}
		if err != nil && !errors.Is(err, ErrTableGone) {
			return nil, err
		}
	}
	return nil, fmt.Errorf("table %s: install: other programs change nftables rules all the time", TableName)
}

// update puts another configuration into the table, which must be as it was
// installed: its base chains and counters stay, so that no packet that waits in a
// queue is lost (the kernel empties all queues when a hook goes:
// net/netfilter/nf_queue.c, nf_queue_nf_hook_drop). So does the map to the queues.
func (t *Table) update(c TableConfig) (*Table, error) {
	c.second = c.secondAfter(t.config)
	if c.Queues != t.config.Queues || c.addNewSets(t.config) != nil {
		return t.replace(c)
	}
	next, err := putTable(c, t.target, t.bridge, TableCounters{}, func(conn *nftables.Conn) *nftables.Table {
		table := ourTable()
		conn.FlushTable(table)
		if t.bridge.settings != nil {
			conn.FlushTable(bridgeTable())
		}
		for _, s := range t.config.without(c) {
			conn.DelSet(s.set)
		}
		chains := c.chains()
		for _, name := range t.config.chains() {
			if !slices.Contains(chains, name) {
				conn.DelChain(&nftables.Chain{Table: table, Name: name})
			}
		}
		return table
	}, &t.config)
	if err != nil {
		return t.replace(c)
	}
	next.seen.Store(t.seen.Load())
	return next, nil
}

// restore puts the table in anew, as replace does, and lets nothing pass while its sets are
// filled.
func (t *Table) restore(c TableConfig) (*Table, error) { return c.filled(t.replace) }

// replace puts the table in anew, whatever is there now, and has its counters go on.
func (t *Table) replace(c TableConfig) (*Table, error) {
	var counted TableCounters
	if seen := t.seen.Load(); seen != nil {
		counted = *seen
	}
	if t.bridge.settings != nil {
		if err := t.bridge.show(); err != nil {
			return nil, fmt.Errorf("table %s: %w", TableName, err)
		}
	}
	next, err := putTable(c, t.target, t.bridge, counted, t.bridge.replaceTable, nil)
	if err == nil {
		next.seen.Store(&counted)
	}
	return next, err
}

// check returns an error that wraps [ErrTableGone] or [ErrTableChanged] unless the
// table is as it was installed.
func (t *Table) check() (generation uint32, err error) {
	print, generation, err := readTable(t.config.NetNS, t.bridge.settings != nil)
	if err == nil && print != t.print {
		err = fmt.Errorf("table %s: %w", TableName, ErrTableChanged)
	}
	if err == nil {
		err = t.shown()
	}
	return generation, err
}

// shown returns an error that wraps [ErrBridgePasses] where bridged packets are to be
// shown to the table, and are not.
func (t *Table) shown() error {
	if t.bridge.settings == nil {
		return nil
	}
	return t.bridge.settings.check()
}

// RemoveTable removes the table of this or an earlier run; one that is not
// there is no error. What br_netfilter was like before [HookBridge], it is again.
func RemoveTable(ns NetNS) error {
	before, bridged, err := takeAway(ns)
	if err != nil {
		return fmt.Errorf("table %s: remove: %w", TableName, refusal(err, ErrNoKernelTables))
	}
	if !bridged {
		return nil
	}
	return putBack(ns, before)
}

// takeAway removes the table, but for what [putBack] needs.
func takeAway(ns NetNS) (before brSettings, bridged bool, err error) {
	before, bridged, err = settingsBefore(ns)
	var conn *nftables.Conn
	if err == nil {
		conn, err = connect(ns)
	}
	if err == nil {
		// Added first, so that deleting it finds it.
		conn.DelTable(conn.AddTable(ourTable()))
		if bridged {
			leaveMemory(conn, before)
		}
		err = conn.Flush()
	}
	return before, bridged, err
}

// Target is how the table hands packets to the queues on this kernel.
func (t *Table) Target() Target { return t.target }

// Remove takes the table away: from then on STT passes uninspected.
func (t *Table) Remove() error { return RemoveTable(t.config.NetNS) }

// Counters reads what the table counted since it was installed.
func (t *Table) Counters() (TableCounters, error) {
	var c TableCounters
	conn, err := connect(t.config.NetNS)
	if err != nil {
		return c, fmt.Errorf("table %s: read counters: %w", TableName, err)
	}
	objects, err := conn.GetObjects(ourTable())
	if err == nil && t.bridge.settings != nil {
		var more []nftables.Obj
		more, err = conn.GetObjects(bridgeTable())
		objects = append(objects, more...)
	}
	if errors.Is(err, unix.ENOENT) {
		err = ErrTableGone
	}
	if err != nil {
		return c, fmt.Errorf("table %s: read counters: %w", TableName, err)
	}
	found := false
	for _, o := range objects {
		counter, ok := o.(*nftables.CounterObj)
		if !ok || counter.Table == nil || counter.Table.Name != TableName {
			continue
		}
		found = true
		if field := c.field(counter.Name); field != nil {
			*field = counter.Packets
		}
	}
	if !found {
		return c, fmt.Errorf("table %s: read counters: %w", TableName, ErrTableGone)
	}
	seen := c
	t.seen.Store(&seen)
	return c, nil
}

func ourTable() *nftables.Table {
	return &nftables.Table{Name: TableName, Family: nftables.TableFamilyINet}
}

// table is where what the configuration says is put.
func (c TableConfig) table() *nftables.Table {
	table := ourTable()
	if c.aside {
		table.Name += "_probe"
	}
	return table
}

// connect opens nothing yet: the library dials for each request, in the given
// namespace or that of the calling thread. A table with many endpoints is one
// datagram of several MiB, and its answers come all at once.
func connect(ns NetNS) (*nftables.Conn, error) {
	return nftables.New(nftables.WithNetNSFd(int(ns)), nftables.WithSockOptions(func(c *netlink.Conn) error {
		raw, err := c.SyscallConn()
		if err != nil {
			return err
		}
		return control(raw, func(fd int) error {
			const size = 16 << 20
			if _, err := setBuffer(fd, unix.SO_SNDBUFFORCE, unix.SO_SNDBUF, size); err != nil {
				return err
			}
			_, err := setBuffer(fd, unix.SO_RCVBUFFORCE, unix.SO_RCVBUF, size)
			return err
		})
	}))
}

// replaceTable deletes a table of ours and adds a new one, in the transaction
// that conn collects. Of the one of family bridge it leaves at most the memory.
func (b bridging) replaceTable(conn *nftables.Conn) *nftables.Table {
	conn.DelTable(conn.AddTable(ourTable()))
	switch {
	case b.settings != nil:
		conn.DelTable(conn.AddTable(bridgeTable()))
	case b.there:
		leaveMemory(conn, b.before)
	}
	return conn.AddTable(ourTable())
}

// addAll adds sets, counters, chains and rules to the transaction; what is there
// already of base chains and counters stays as it is. Where the table is already there by
// another configuration, that is not nil, and all sets are there: see [Table.update].
func (c TableConfig) addAll(conn *nftables.Conn, table *nftables.Table, target Target, counted TableCounters, there *TableConfig) error {
	if there == nil {
		if err := addSets(conn, c.namedSets()); err != nil {
			return err
		}
	}
	for _, name := range c.counters() {
		conn.AddObj(&nftables.CounterObj{Table: table, Name: name, Packets: *counted.field(name)})
	}
	chains := make(map[string]*nftables.Chain)
	for _, name := range c.chains() {
		chain := &nftables.Chain{Name: name, Table: table}
		if at, isBase := baseOf(name); isBase && !c.aside {
			at.set(chain)
		}
		chains[name] = conn.AddChain(chain)
	}
	rules := c.rules(target)
	c.second.apply(rules)
	for _, r := range rules {
		exprs, err := resolve(conn, table, r.parts, there != nil)
		if err != nil {
			return fmt.Errorf("chain %s: %w", r.chain, err)
		}
		conn.AddRule(&nftables.Rule{Table: table, Chain: chains[r.chain], Exprs: exprs, UserData: commentOf(r)})
	}
	return nil
}

// base is where the kernel begins with a chain.
type base struct {
	hook     *nftables.ChainHook
	priority nftables.ChainPriority
	text     string // for nft
}

// baseOf returns where a chain stands in the kernel's hooks; false if another chain
// leads to it.
func baseOf(chain string) (base, bool) {
	raw := *nftables.ChainPriorityRaw
	switch chain {
	case chainUntracked:
		return base{nftables.ChainHookPrerouting, raw, "prerouting priority raw"}, true
	case chainGuard:
		return base{nftables.ChainHookPrerouting, raw + 1, "prerouting priority raw + 1"}, true
	case chainUntrackedOut:
		return base{nftables.ChainHookOutput, raw, "output priority raw"}, true
	case chainGuardOut:
		return base{nftables.ChainHookOutput, raw + 1, "output priority raw + 1"}, true
	}
	return base{}, false
}

func (b base) set(chain *nftables.Chain) {
	accept := nftables.ChainPolicyAccept
	chain.Type = nftables.ChainTypeFilter
	chain.Hooknum = b.hook
	chain.Priority = nftables.ChainPriorityRef(b.priority)
	chain.Policy = &accept
}

// resolve returns the expressions of a rule; the sets inside it are added first, but for
// one with a name that is there already.
func resolve(conn *nftables.Conn, table *nftables.Table, parts []part, there bool) ([]expr.Any, error) {
	var exprs []expr.Any
	for _, p := range parts {
		for _, e := range p.exprs {
			if s, ok := e.(*ownSet); ok {
				s.set.Table = table
				if there && s.set.Name != "" {
					s.lookup.SetName = s.set.Name
					exprs = append(exprs, s.lookup)
					continue
				}
				if err := conn.AddSet(s.set, s.elements); err != nil {
					return nil, err
				}
				s.lookup.SetName, s.lookup.SetID = s.set.Name, s.set.ID
				e = s.lookup
			}
			exprs = append(exprs, e)
		}
	}
	return exprs, nil
}

// intervals returns the endpoints as the kernel wants them: where each begins,
// and the first address behind it, unless there is none.
func (c TableConfig) intervals(v4 bool) []nftables.SetElement {
	var list []nftables.SetElement
	for _, p := range c.endpoints(v4) {
		list = append(list, nftables.SetElement{Key: p.Addr().AsSlice()})
		if end, ok := afterLast(p); ok {
			list = append(list, nftables.SetElement{Key: end.AsSlice(), IntervalEnd: true})
		}
	}
	return list
}

// probeTarget finds out by trying how this kernel's tables queue packets. What
// it adds is deleted in the same transaction; no packet ever meets it.
func probeTarget(ns NetNS) (Target, error) {
	if err := tryTable(ns, nftables.TableFamilyINet, nil); err != nil {
		return 0, refusal(err, ErrNoKernelTables)
	}
	native := queue(TargetNative, 0, false).exprs
	if tryTable(ns, nftables.TableFamilyINet, native) == nil {
		return TargetNative, nil
	}
	xtables := queue(TargetXTables, 0, false).exprs
	err := tryTable(ns, nftables.TableFamilyINet, xtables)
	if err == nil {
		return TargetXTables, nil
	}
	// The kernel knows under which name to load the module in the ip family
	// alone ("ipt_NFQUEUE"); loaded, it is found in inet too.
	if tryTable(ns, nftables.TableFamilyIPv4, xtables) == nil {
		if err = tryTable(ns, nftables.TableFamilyINet, xtables); err == nil {
			return TargetXTables, nil
		}
	}
	return 0, fmt.Errorf("%w: %w", ErrNoKernelTarget, err)
}

// tryTable adds a table with one rule and deletes it again.
func tryTable(ns NetNS, family nftables.TableFamily, exprs []expr.Any) error {
	conn, err := connect(ns)
	if err != nil {
		return err
	}
	table := conn.AddTable(&nftables.Table{Name: TableName + "_probe", Family: family})
	if exprs != nil {
		chain := conn.AddChain(&nftables.Chain{Name: "probe", Table: table})
		conn.AddRule(&nftables.Rule{Table: table, Chain: chain, Exprs: exprs})
	}
	conn.DelTable(table)
	return conn.Flush()
}

// explainFlush says more than the kernel does, which answers "no such file" for
// an expression that it was built without.
func explainFlush(err error) error {
	if errors.Is(err, unix.ENOENT) || errors.Is(err, unix.EOPNOTSUPP) {
		return fmt.Errorf("the kernel refused a part of it (it needs CONFIG_XFRM, CONFIG_NFT_CT for notrack, with several queues CONFIG_NFT_HASH, and for only_stt CONFIG_NFT_FIB_INET): %w", err)
	}
	return err
}
