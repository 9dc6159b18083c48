package doctor

import (
	"bytes"
	"cmp"
	"encoding/binary"
	"errors"
	"fmt"
	"os/exec"
	"slices"
	"strings"

	"github.com/google/nftables"
	"github.com/google/nftables/expr"
	"github.com/mdlayher/netlink"
	"golang.org/x/sys/unix"

	"sttwall/nfq"
)

// rules reads all of nftables' rules, and those of iptables-legacy where there are some.
func (h *host) rules() (*ruleset, error) {
	return h.ruleset.get(func() (*ruleset, error) {
		var s ruleset
		if err := s.readNFT(); err != nil {
			return nil, err
		}
		for _, v := range []struct {
			names, program string
			v4             bool
		}{{"ip_tables_names", "iptables-legacy-save", true}, {"ip6_tables_names", "ip6tables-legacy-save", false}} {
			tables, err := h.text(procNet + v.names)
			if err != nil || tables == "" {
				continue // the kernel has none of it, or no table is used
			}
			out, err := exec.CommandContext(h.ctx, v.program).Output()
			if err != nil {
				s.unread = append(s.unread, fmt.Sprintf("tables %s of iptables: %s: %v", strings.Join(strings.Fields(tables), ", "), v.program, err))
				continue
			}
			s.parseSaved(string(out), v.v4)
		}
		return &s, nil
	})
}

// others are the base chains of a hook that are not of sttwall's table.
func (s *ruleset) others(hook string, v4 bool) []*chain {
	return slices.DeleteFunc(s.at(hook, v4), func(c *chain) bool { return c.ours() })
}

func (c *chain) ours() bool { return c.family == "inet" && c.table == nfq.TableName && !c.legacy }

// where names a chain.
func (c *chain) where() string {
	if c.legacy {
		return fmt.Sprintf("%s, table %s, chain %s", map[string]string{"ip": "iptables-legacy", "ip6": "ip6tables-legacy"}[c.family], c.table, c.name)
	}
	return fmt.Sprintf("table %s %s, chain %s", c.family, c.table, c.name)
}

// accept are commands that let STT to a port pass through a base chain.
func (c *chain) accept(ports []uint16) (list []Command) {
	if c.legacy {
		program := map[string]string{"ip": "iptables-legacy", "ip6": "ip6tables-legacy"}[c.family]
		for _, p := range ports {
			list = append(list, command("%s -t %s -I %s -p tcp --dport %d -j ACCEPT", program, c.table, c.name, p))
		}
		return list
	}
	for _, p := range ports {
		list = append(list, command("nft insert rule %s %s %s tcp dport %d accept", c.family, c.table, c.name, p))
	}
	return list
}

var familyNames = map[nftables.TableFamily]string{
	nftables.TableFamilyINet: "inet", nftables.TableFamilyIPv4: "ip", nftables.TableFamilyIPv6: "ip6",
	nftables.TableFamilyNetdev: "netdev", nftables.TableFamilyBridge: "bridge", nftables.TableFamilyARP: "arp",
}

// hookName is the hook of a base chain; "" where it is none that IP packets meet.
func hookName(family string, number uint32) string {
	if family == "netdev" {
		return map[uint32]string{0: "ingress", 1: "egress"}[number]
	}
	return map[uint32]string{0: HookPrerouting, 1: "input", 2: "forward", 3: HookOutput, 4: "postrouting", 5: "ingress"}[number]
}

func (s *ruleset) readNFT() error {
	conn, err := nftables.New()
	if err != nil {
		return fmt.Errorf("nftables: %w", err)
	}
	chains, err := conn.ListChains()
	if err != nil {
		return fmt.Errorf("nftables: list chains: %w", err)
	}
	tables := make(map[string]bool)
	for _, c := range chains {
		read := &chain{family: familyNames[c.Table.Family], table: c.Table.Name, name: c.Name, nat: c.Type == nftables.ChainTypeNAT}
		if c.Hooknum != nil {
			read.hook = hookName(read.family, uint32(*c.Hooknum))
		}
		if c.Priority != nil {
			read.priority = int(*c.Priority)
		}
		read.policyDrop = c.Policy != nil && *c.Policy == nftables.ChainPolicyDrop
		s.chains = append(s.chains, read)
		if key := read.family + " " + read.table; !tables[key] {
			tables[key] = true
			flows, err := conn.ListFlowtables(c.Table)
			if err != nil && !errors.Is(err, unix.EOPNOTSUPP) && !errors.Is(err, unix.EINVAL) {
				return fmt.Errorf("nftables: list flowtables of table %s: %w", key, err)
			}
			for _, f := range flows {
				s.flowtables = append(s.flowtables, fmt.Sprintf("table %s, flowtable %s", key, f.Name))
			}
		}
	}
	if err := s.readDevices(); err != nil {
		return err
	}
	return s.readNFTRules(&setReader{conn: conn, read: make(map[string]*set)})
}

// readDevices asks at which interfaces chains stand, which the library leaves out.
func (s *ruleset) readDevices() error {
	answers, err := dumpNFT(unix.NFT_MSG_GETCHAIN)
	if err != nil {
		return fmt.Errorf("nftables: list chains: %w", err)
	}
	for _, m := range answers {
		if len(m.Data) < 4 {
			continue
		}
		at := chain{family: familyNames[nftables.TableFamily(m.Data[0])]}
		var name string
		var devices []string
		attributes, err := netlink.NewAttributeDecoder(m.Data[4:])
		if err != nil {
			return fmt.Errorf("nftables: read a chain: %w", err)
		}
		attributes.ByteOrder = networkOrder
		for attributes.Next() {
			switch attributes.Type() {
			case unix.NFTA_CHAIN_TABLE:
				at.table = attributes.String()
			case unix.NFTA_CHAIN_NAME:
				name = attributes.String()
			case unix.NFTA_CHAIN_HOOK:
				attributes.Nested(func(hook *netlink.AttributeDecoder) error {
					devices = readHookDevices(hook)
					return nil
				})
			}
		}
		if err := attributes.Err(); err != nil {
			return fmt.Errorf("nftables: read a chain of table %s: %w", at.table, err)
		}
		if c := s.find(&at, name); c != nil {
			c.devices = devices
		}
	}
	return nil
}

// readHookDevices reads names and prefixes of interfaces.
func readHookDevices(hook *netlink.AttributeDecoder) (devices []string) {
	const (
		list         = 4 // NFTA_HOOK_DEVS
		devicePrefix = 2 // NFTA_DEVICE_PREFIX
	)
	add := func(name string) {
		if !slices.Contains(devices, name) {
			devices = append(devices, name)
		}
	}
	for hook.Next() {
		switch hook.Type() {
		case unix.NFTA_HOOK_DEV:
			add(hook.String())
		case list:
			hook.Nested(func(one *netlink.AttributeDecoder) error {
				for one.Next() {
					if one.Type() == devicePrefix {
						add(one.String() + "*")
					} else {
						add(one.String())
					}
				}
				return nil
			})
		}
	}
	return devices
}

// dumpNFT asks for all objects of a kind. The library is left aside, since it passes over
// what it does not know.
func dumpNFT(kind int) ([]netlink.Message, error) {
	conn, err := netlink.Dial(unix.NETLINK_NETFILTER, nil)
	if err != nil {
		return nil, err
	}
	defer conn.Close() // nothing was changed
	return conn.Execute(netlink.Message{
		Header: netlink.Header{Type: netlink.HeaderType(unix.NFNL_SUBSYS_NFTABLES<<8 | kind), Flags: netlink.Request | netlink.Dump},
		Data:   []byte{unix.AF_UNSPEC, 0, 0, 0}, // struct nfgenmsg
	})
}

// networkOrder is that of numbers in nftables messages.
var networkOrder = binary.BigEndian

// readNFTRules asks for all rules at once.
func (s *ruleset) readNFTRules(sets *setReader) error {
	answers, err := dumpNFT(unix.NFT_MSG_GETRULE)
	if err != nil {
		return fmt.Errorf("nftables: list rules: %w", err)
	}
	listed := make(map[string][]string)
	for _, m := range answers {
		if len(m.Data) < 4 {
			continue
		}
		family := nftables.TableFamily(m.Data[0])
		attributes, err := netlink.NewAttributeDecoder(m.Data[4:])
		if err != nil {
			return fmt.Errorf("nftables: read a rule: %w", err)
		}
		attributes.ByteOrder = networkOrder
		at := chain{family: familyNames[family]}
		var (
			name   string
			handle uint64
			exprs  []expr.Any
		)
		for attributes.Next() {
			switch attributes.Type() {
			case unix.NFTA_RULE_TABLE:
				at.table = attributes.String()
			case unix.NFTA_RULE_CHAIN:
				name = attributes.String()
			case unix.NFTA_RULE_HANDLE:
				handle = attributes.Uint64()
			case unix.NFTA_RULE_EXPRESSIONS:
				attributes.Nested(func(list *netlink.AttributeDecoder) error {
					for list.Next() {
						list.Nested(func(one *netlink.AttributeDecoder) error {
							exprs = append(exprs, readExpression(byte(family), one))
							return nil
						})
					}
					return nil
				})
			}
		}
		if err := attributes.Err(); err != nil {
			return fmt.Errorf("nftables: read a rule of table %s: %w", at.table, err)
		}
		c := s.find(&at, name)
		if c == nil {
			continue // made between the two lists
		}
		n := nftRule{exprs: exprs, sets: sets.of(family, at.table)}
		c.rules = append(c.rules, rule{judge: n.judge, text: func() string { return ruleText(c, handle, listed) }})
	}
	return nil
}

// ruleText is the rule as nft lists it, or its handle where nft is not installed.
func ruleText(c *chain, handle uint64, listed map[string][]string) string {
	if listed[c.where()] == nil {
		out, err := exec.Command("nft", "-a", "list", "chain", c.family, c.table, c.name).Output()
		if err != nil {
			out = nil
		}
		listed[c.where()] = strings.Split(string(out), "\n")
	}
	suffix := fmt.Sprintf("# handle %d", handle)
	for _, line := range listed[c.where()] {
		if strings.HasSuffix(line, suffix) {
			return strings.TrimSpace(line)
		}
	}
	return "rule " + suffix[2:]
}

// readExpression returns nil for what is not known here.
func readExpression(family byte, d *netlink.AttributeDecoder) expr.Any {
	var (
		name string
		data []byte
	)
	for d.Next() {
		switch d.Type() {
		case unix.NFTA_EXPR_NAME:
			name = d.String()
		case unix.NFTA_EXPR_DATA:
			data = d.Bytes()
		}
	}
	var e expr.Any
	switch name {
	case "notrack":
		return &expr.Notrack{}
	case "counter":
		return &expr.Counter{}
	case "log":
		return &expr.Log{}
	case "dup":
		return &expr.Dup{}
	case "fwd":
		return &expr.Verdict{Kind: expr.VerdictStolen}
	case "reject":
		return &expr.Reject{}
	case "meta":
		e = &expr.Meta{}
	case "payload":
		e = &expr.Payload{}
	case "ct":
		e = &expr.Ct{}
	case "immediate":
		e = &expr.Immediate{}
	case "bitwise":
		e = &expr.Bitwise{}
	case "cmp":
		e = &expr.Cmp{}
	case "range":
		e = &expr.Range{}
	case "lookup":
		e = &expr.Lookup{}
	case "match":
		e = &expr.Match{}
	case "target":
		e = &expr.Target{}
	case "objref":
		e = &expr.Objref{}
	case "queue":
		e = &expr.Queue{}
	default:
		return nil
	}
	if expr.Unmarshal(family, data, e) != nil {
		return nil
	}
	if i, ok := e.(*expr.Immediate); ok && i.Register == unix.NFT_REG_VERDICT {
		v := &expr.Verdict{}
		if expr.Unmarshal(family, data, v) != nil {
			return nil
		}
		return v
	}
	if q, ok := e.(*expr.Queue); ok && q.Total == 0 {
		return nil // the number is in a register
	}
	return e
}

// setReader reads sets when a rule asks for one, each once.
type setReader struct {
	conn *nftables.Conn
	read map[string]*set
}

func (r *setReader) of(family nftables.TableFamily, table string) func(string, uint32) *set {
	return func(name string, _ uint32) *set {
		key := familyNames[family] + " " + table + " " + name
		s, ok := r.read[key]
		if !ok {
			s = r.get(&nftables.Table{Family: family, Name: table}, name)
			r.read[key] = s
		}
		return s
	}
}

func (r *setReader) get(table *nftables.Table, name string) *set {
	found, err := r.conn.GetSetByName(table, name)
	if err != nil {
		return nil
	}
	elements, err := r.conn.GetSetElements(found)
	if err != nil {
		return nil
	}
	s := &set{interval: found.Interval}
	for _, e := range elements {
		el := element{key: e.Key, end: e.IntervalEnd, act: action{kind: goOn}}
		if len(e.KeyEnd) > 0 {
			el.keyEnd = e.KeyEnd
		}
		if found.IsMap {
			el.act = verdictIn(e.Val)
		}
		s.elements = append(s.elements, el)
	}
	slices.SortStableFunc(s.elements, func(a, b element) int {
		return cmp.Or(bytes.Compare(a.key, b.key), ends(b)-ends(a)) // what ends there comes before what begins
	})
	return s
}

// verdictIn reads what a map to verdicts gives (NFTA_VERDICT_CODE and _CHAIN), which the
// library hands on as it came. Of another map it is nothing.
func verdictIn(data []byte) action {
	d, err := netlink.NewAttributeDecoder(data)
	if err != nil {
		return action{}
	}
	d.ByteOrder = networkOrder
	var v expr.Verdict
	known := false
	for d.Next() {
		switch d.Type() {
		case unix.NFTA_VERDICT_CODE:
			known = len(d.Bytes()) == 4
			if known {
				v.Kind = expr.VerdictKind(int32(networkOrder.Uint32(d.Bytes())))
			}
		case unix.NFTA_VERDICT_CHAIN:
			v.Chain = d.String()
		}
	}
	if a, ok := verdictOf(v.Kind, v.Chain); ok && known && d.Err() == nil {
		return a
	}
	return action{}
}

func ends(e element) int {
	if e.end {
		return 1
	}
	return 0
}
