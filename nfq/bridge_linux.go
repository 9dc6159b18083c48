package nfq

import (
	"errors"
	"fmt"

	"github.com/google/nftables"
	"github.com/google/nftables/expr"
	"github.com/google/nftables/userdata"
	"golang.org/x/sys/unix"
)

// A bridge forwards frames, and NFQUEUE is not to be had in nftables' bridge family.
// br_netfilter shows the IP packets in frames, with one VLAN tag or none, to the hooks of
// IP (net/bridge/br_netfilter_hooks.c, br_nf_pre_routing), where our table inet sttwall
// finds them. Frames in which IP lies deeper it passes by. A second table of ours, of
// family bridge, drops them; it stands before br_netfilter in the bridge's hook.
const (
	chainHidden = "encapsulated"
	chainBefore = "before" // see remember
)

// priorityHidden is just before br_netfilter (NF_BR_PRI_BRNF is 0).
const priorityHidden = nftables.ChainPriority(-1)

// hiddenTypes are Ethernet types of what can carry IP packets or frames of others past
// br_netfilter: tags and headers that a switch or a host behind this bridge takes off as
// its ordinary work, whether or not Linux knows them. The kernel takes the first VLAN tag out of a frame before a bridge sees it,
// so that 802.1Q and 802.1ad stand for a second one here.
func hiddenTypes() []uint16 {
	return []uint16{
		unix.ETH_P_8021Q, unix.ETH_P_8021AD, 0x9100, 0x9200, 0x9300, // second tags, and how they were written before 802.1ad
		unix.ETH_P_PPP_SES,                     // PPPoE
		unix.ETH_P_MPLS_UC, unix.ETH_P_MPLS_MC, // MPLS
		unix.ETH_P_MACSEC, // encrypted
		unix.ETH_P_8021AH, // MAC in MAC
		0x22f3,            // TRILL
		unix.ETH_P_NSH,    // service chains
		0x893f, 0x8926,    // E-tag of 802.1BR, VN-tag
		0x8909,                                 // Cisco's metadata: security groups of TrustSec
		0x8903,                                 // Cisco's FabricPath
		0x22e9,                                 // CN-tag of 802.1Q, for congestion
		unix.ETH_P_HSR, unix.ETH_P_PRP, 0xf1c1, // redundancy, the last one the R-tag of 802.1CB
		unix.ETH_P_BATMAN,
	}
}

// hiddenLLC are the first bytes of 802.3 frames with IP in them: SNAP as RFC 1042 and as
// 802.1H write it, and the SAP that IP had before (RFC 948).
func hiddenLLC() [][]byte {
	return [][]byte{{0xaa, 0xaa, 0x03, 0, 0, 0}, {0xaa, 0xaa, 0x03, 0, 0, 0xf8}, {0x06, 0x06}}
}

func bridgeTable() *nftables.Table {
	return &nftables.Table{Name: TableName, Family: nftables.TableFamilyBridge}
}

// bridgeRules are those of the table of family bridge. What may pass in tunnels between
// endpoints may pass in these too.
func (c TableConfig) bridgeRules() (list []rule) {
	if c.PassOtherTunnels && !c.OnlySTT {
		return nil
	}
	text, elements := numbers(hiddenTypes())
	list = append(list, rule{chainHidden, "may hide STT", []part{{"meta protocol " + text, []expr.Any{
		&expr.Meta{Key: expr.MetaKeyPROTOCOL, Register: 1},
		lookUp(&expr.Lookup{SourceRegister: 1}, &nftables.Set{KeyType: nftables.TypeEtherType}, elements),
	}}, dropAs(counterHidden)}})
	for _, start := range hiddenLLC() {
		list = append(list, rule{chainHidden, "IP in 802.3", []part{frame8023(start), dropAs(counterHidden)}})
	}
	return list
}

// frame8023 matches 802.3 frames that begin so behind their length.
func frame8023(start []byte) part {
	const eth8022 = 0x0004 // ETH_P_802_2
	return part{fmt.Sprintf("meta protocol %#04x @nh,0,%d %#x", eth8022, 8*len(start), start), []expr.Any{
		&expr.Meta{Key: expr.MetaKeyPROTOCOL, Register: 1}, compare(expr.CmpOpEq, 0, eth8022),
		&expr.Payload{DestRegister: 1, Base: expr.PayloadBaseNetworkHeader, Len: uint32(len(start))}, compare(expr.CmpOpEq, start...),
	}}
}

// bridging is what a table with [HookBridge] needs besides itself.
type bridging struct {
	ns       NetNS
	settings *brNetfilter // nil without HookBridge
	before   brSettings   // to be put back when the table goes
	there    bool         // a table of family bridge was there before
}

// bridging gets br_netfilter ready for a table that is to be installed: first it shows
// bridged packets to the hooks of IP, then the table is put there.
func (c TableConfig) bridging() (b bridging, err error) {
	b.ns = c.NetNS
	b.before, b.there, err = settingsBefore(c.NetNS)
	if err != nil || !c.Hooks.Has(HookBridge) {
		return b, err
	}
	if err := tryTable(c.NetNS, nftables.TableFamilyBridge, nil); err != nil {
		return b, refusal(err, ErrNoKernelBridge)
	}
	if b.settings, err = openBrNetfilter(c.NetNS); err != nil {
		return b, err
	}
	if !b.there || b.before == nil {
		if b.before, err = b.settings.now(); err != nil {
			return b, err
		}
	}
	return b, b.show()
}

// show has br_netfilter show bridged packets to the hooks of IP. What it was like before
// is in the kernel by then: whoever comes after a crash can put it back.
func (b bridging) show() error {
	conn, err := connect(b.ns)
	if err == nil {
		remember(conn, b.before)
		err = conn.Flush()
	}
	if err != nil {
		return fmt.Errorf("table bridge %s: install: %w", TableName, err)
	}
	return b.settings.set(neededSettings())
}

// undo puts back what bridging has changed, where no table came of it.
func (b bridging) undo() {
	if b.settings != nil && !b.there {
		putBack(b.ns, b.before) // what led here is the error that counts
	}
	b.settings.close()
}

// remember has the transaction leave in the table of family bridge what br_netfilter was
// like before it, for whoever removes it: it can be another program than the one that has
// installed it.
func remember(conn *nftables.Conn, before brSettings) {
	table := conn.AddTable(bridgeTable())
	memory := conn.AddChain(&nftables.Chain{Name: chainBefore, Table: table})
	conn.FlushChain(memory)
	conn.AddRule(&nftables.Rule{Table: table, Chain: memory, Exprs: jump(expr.VerdictReturn, "").exprs,
		UserData: userdata.AppendString(nil, userdata.TypeComment, before.String())})
}

// leaveMemory has the transaction leave of the table of family bridge nothing else, until
// [putBack].
func leaveMemory(conn *nftables.Conn, before brSettings) {
	conn.DelTable(conn.AddTable(bridgeTable()))
	remember(conn, before)
}

// putBack has br_netfilter be as it was before the table of family bridge, and then
// deletes what is left of that. Where br_netfilter is gone, so are its settings.
func putBack(ns NetNS, before brSettings) error {
	if len(before) > 0 {
		settings, err := openBrNetfilter(ns)
		if err == nil {
			err = settings.set(before)
			settings.close()
		}
		if err != nil && !errors.Is(err, ErrNoBridgeNetfilter) {
			return err
		}
	}
	conn, err := connect(ns)
	if err == nil {
		conn.DelTable(conn.AddTable(bridgeTable()))
		err = conn.Flush()
	}
	if err != nil {
		return fmt.Errorf("table bridge %s: remove: %w", TableName, err)
	}
	return nil
}

// addBridge adds the table of family bridge to the transaction; what is there already
// of base chains and counters stays as it is.
func (c TableConfig) addBridge(conn *nftables.Conn, before brSettings, counted TableCounters) error {
	table := conn.AddTable(bridgeTable())
	conn.AddObj(&nftables.CounterObj{Table: table, Name: counterHidden, Packets: counted.Encapsulated})
	hidden := &nftables.Chain{Name: chainHidden, Table: table}
	base{nftables.ChainHookPrerouting, priorityHidden, ""}.set(hidden)
	conn.AddChain(hidden)
	for _, r := range c.bridgeRules() {
		exprs, err := resolve(conn, table, r.parts, false)
		if err != nil {
			return fmt.Errorf("chain %s: %w", r.chain, err)
		}
		conn.AddRule(&nftables.Rule{Table: table, Chain: hidden, Exprs: exprs, UserData: commentOf(r)})
	}
	remember(conn, before)
	return nil
}

func commentOf(r rule) []byte {
	if r.comment == "" {
		return nil
	}
	return userdata.AppendString(nil, userdata.TypeComment, r.comment)
}

// settingsBefore returns what br_netfilter was like before the table of family bridge
// was installed; false where there is none.
func settingsBefore(ns NetNS) (before brSettings, there bool, err error) {
	handle, err := tableHandle(ns, nftables.TableFamilyBridge)
	if handle == 0 || errors.Is(err, unix.EOPNOTSUPP) || errors.Is(err, unix.EAFNOSUPPORT) {
		return nil, false, nil
	}
	if err != nil {
		return nil, false, err
	}
	conn, err := connect(ns)
	if err != nil {
		return nil, true, fmt.Errorf("table bridge %s: read: %w", TableName, err)
	}
	rules, err := conn.GetRules(bridgeTable(), &nftables.Chain{Name: chainBefore, Table: bridgeTable()})
	if err != nil && !errors.Is(err, unix.ENOENT) {
		return nil, true, fmt.Errorf("table bridge %s: read: %w", TableName, err)
	}
	for _, r := range rules {
		if text, ok := userdata.GetString(r.UserData, userdata.TypeComment); ok {
			before = parseBrSettings(text)
		}
	}
	return before, true, nil
}

// appendBridge appends the table of family bridge for nft.
func (c TableConfig) appendBridge(dst []byte) []byte {
	dst = append(dst, `
# Bridged frames in which STT could pass unseen. For the others br_netfilter must show
# bridged packets to the table above:
`...)
	for _, s := range neededSettings() {
		dst = fmt.Appendf(dst, "#   sysctl -w %s\n", s)
	}
	dst = fmt.Appendf(dst, "table bridge %[1]s\ndelete table bridge %[1]s\n\ntable bridge %[1]s {\n\tcounter %s {\n\t}\n\n", TableName, counterHidden)
	dst = fmt.Appendf(dst, "\tchain %s {\n\t\ttype filter hook prerouting priority %d; policy accept;\n", chainHidden, priorityHidden)
	for _, r := range c.bridgeRules() {
		dst = appendRule(dst, r)
	}
	return append(dst, "\t}\n}\n"...)
}
