package nfq

import (
	"encoding/binary"
	"errors"
	"fmt"

	"github.com/google/nftables"
	"github.com/google/nftables/binaryutil"
	"github.com/google/nftables/expr"
	"github.com/google/nftables/userdata"
	"github.com/mdlayher/netlink"
	"golang.org/x/sys/unix"

	"sttwall/reason"
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
}

// InstallTable puts the table in, in the place of one that an earlier run left:
// in one transaction, so that no packet meets a moment without a table. Errors:
// [ErrNoCapability], [ErrNoKernelTables], [ErrNoKernelTarget].
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
	conn, err := connect(c.NetNS)
	if err != nil {
		return nil, fmt.Errorf("table %s: install: %w", TableName, err)
	}
	table := replaceTable(conn)
	if err := c.addAll(conn, table, target); err != nil {
		return nil, fmt.Errorf("table %s: install: %w", TableName, err)
	}
	if err := conn.Flush(); err != nil {
		return nil, fmt.Errorf("table %s: install: %w", TableName, explainFlush(err))
	}
	return &Table{config: c, target: target}, nil
}

// RemoveTable removes the table of this or an earlier run; one that is not
// there is no error.
func RemoveTable(ns NetNS) error {
	conn, err := connect(ns)
	if err == nil {
		// Added first, so that deleting it finds it.
		conn.DelTable(conn.AddTable(ourTable()))
		err = conn.Flush()
	}
	if err != nil {
		return fmt.Errorf("table %s: remove: %w", TableName, refusal(err, ErrNoKernelTables))
	}
	return nil
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
		switch counter.Name {
		case counterQueued:
			c.Queued = counter.Packets
		case reason.OuterFragment.String():
			c.OuterFragment = counter.Packets
		case reason.EndpointUnknown.String():
			c.EndpointUnknown = counter.Packets
		case counterTunnel:
			c.OtherTunnel = counter.Packets
		case counterSmallGSO:
			c.GSOTooSmall = counter.Packets
		case counterNotSTT:
			c.NotSTT = counter.Packets
		}
	}
	if !found {
		return c, fmt.Errorf("table %s: read counters: %w", TableName, ErrTableGone)
	}
	return c, nil
}

func ourTable() *nftables.Table {
	return &nftables.Table{Name: TableName, Family: nftables.TableFamilyINet}
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
// that conn collects.
func replaceTable(conn *nftables.Conn) *nftables.Table {
	conn.DelTable(conn.AddTable(ourTable()))
	return conn.AddTable(ourTable())
}

// addAll adds sets, counters, chains and rules to the transaction.
func (c TableConfig) addAll(conn *nftables.Conn, table *nftables.Table, target Target) error {
	if err := c.addSets(conn, table); err != nil {
		return err
	}
	for _, name := range c.counters() {
		conn.AddObj(&nftables.CounterObj{Table: table, Name: name})
	}
	chains := make(map[string]*nftables.Chain)
	for _, name := range c.chains() {
		chain := &nftables.Chain{Name: name, Table: table}
		switch name {
		case chainUntracked:
			base(chain, *nftables.ChainPriorityRaw)
		case chainGuard:
			base(chain, *nftables.ChainPriorityRaw+1)
		}
		chains[name] = conn.AddChain(chain)
	}
	for _, r := range c.rules(target) {
		exprs, err := resolve(conn, table, r.parts)
		if err != nil {
			return fmt.Errorf("chain %s: %w", r.chain, err)
		}
		var comment []byte
		if r.comment != "" {
			comment = userdata.AppendString(nil, userdata.TypeComment, r.comment)
		}
		conn.AddRule(&nftables.Rule{Table: table, Chain: chains[r.chain], Exprs: exprs, UserData: comment})
	}
	return nil
}

func base(chain *nftables.Chain, priority nftables.ChainPriority) {
	accept := nftables.ChainPolicyAccept
	chain.Type = nftables.ChainTypeFilter
	chain.Hooknum = nftables.ChainHookPrerouting
	chain.Priority = nftables.ChainPriorityRef(priority)
	chain.Policy = &accept
}

// resolve returns the expressions of a rule; the sets inside it are added first.
func resolve(conn *nftables.Conn, table *nftables.Table, parts []part) ([]expr.Any, error) {
	var exprs []expr.Any
	for _, p := range parts {
		for _, e := range p.exprs {
			if s, ok := e.(*ownSet); ok {
				s.set.Table = table
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

// addSets adds the ports and, if there are any, the endpoints.
func (c TableConfig) addSets(conn *nftables.Conn, table *nftables.Table) error {
	ports := &nftables.Set{Table: table, Name: setPorts, KeyType: nftables.TypeInetService, KeyByteOrder: binaryutil.BigEndian}
	var elements []nftables.SetElement
	for _, p := range c.ports() {
		elements = append(elements, nftables.SetElement{Key: binary.BigEndian.AppendUint16(nil, p)})
	}
	if err := conn.AddSet(ports, elements); err != nil {
		return fmt.Errorf("set %s: %w", setPorts, err)
	}
	if len(c.Endpoints) == 0 {
		return nil
	}
	for _, s := range []*nftables.Set{
		{Name: setEndpoints4, KeyType: nftables.TypeIPAddr},
		{Name: setEndpoints6, KeyType: nftables.TypeIP6Addr},
	} {
		s.Table, s.Interval, s.KeyByteOrder = table, true, binaryutil.BigEndian
		if err := conn.AddSet(s, nil); err != nil {
			return fmt.Errorf("set %s: %w", s.Name, err)
		}
		elements := c.intervals(s.Name == setEndpoints4)
		for len(elements) > 0 {
			n := min(len(elements), elementsPerMessage)
			if err := conn.SetAddElements(s, elements[:n]); err != nil {
				return fmt.Errorf("set %s: %w", s.Name, err)
			}
			elements = elements[n:]
		}
	}
	return nil
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
		return fmt.Errorf("the kernel refused a part of it (it needs CONFIG_NFT_CT for notrack, with several queues CONFIG_NFT_HASH, and for only_stt CONFIG_NFT_FIB_INET): %w", err)
	}
	return err
}
