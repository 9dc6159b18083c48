package endpoint

import (
	"fmt"
	"net/netip"

	"github.com/google/nftables"
	"github.com/google/nftables/binaryutil"
	"github.com/google/nftables/expr"
	"golang.org/x/sys/unix"

	"sttwall/stt"
)

// guard is the endpoint's nftables table. It keeps the host's own stack from
//
//   - answering segments with TCP resets: to it they are TCP to a closed port. The
//     packet sockets have seen them before PREROUTING, where they are dropped; IP sockets
//     get them after INPUT together with the stack, and so the resets are dropped, in OUTPUT;
//   - taking part in tenants' networks through the endpoint's ends of veth pairs.
type guard struct {
	conn  *nftables.Conn
	table *nftables.Table
}

// guardName is the table's name: stable, so that the next start replaces the
// table of a run that was killed, and one for each underlay and port.
func guardName(underlay string, port uint16) string {
	name := []byte(underlay)
	for i, c := range name {
		if (c < '0' || c > '9') && (c < 'a' || c > 'z') && (c < 'A' || c > 'Z') {
			name[i] = '_'
		}
	}
	return fmt.Sprintf("sttwall_endpoint_%s_%d", name, port)
}

// newGuard installs the table in the network namespace of the calling thread,
// in one transaction.
func newGuard(cfg *Config, packetPorts []string) (*guard, error) {
	conn, err := nftables.New(nftables.AsLasting())
	if err != nil {
		return nil, fmt.Errorf("nftables: %w", err)
	}
	name := cfg.Guard
	if name == "" {
		name = guardName(cfg.Underlay, cfg.STTPort)
	}
	g := &guard{conn: conn, table: &nftables.Table{Family: nftables.TableFamilyINet, Name: name}}
	// Adding comes first because deleting what is not there is an error.
	conn.AddTable(g.table)
	conn.DelTable(g.table)
	conn.AddTable(g.table)
	in := conn.AddChain(&nftables.Chain{
		Name: "prerouting", Table: g.table, Type: nftables.ChainTypeFilter,
		Hooknum: nftables.ChainHookPrerouting, Priority: nftables.ChainPriorityRaw,
	})
	out := conn.AddChain(&nftables.Chain{
		Name: "output", Table: g.table, Type: nftables.ChainTypeFilter,
		Hooknum: nftables.ChainHookOutput, Priority: nftables.ChainPriorityRaw,
	})
	if cfg.Sockets == SocketsIP {
		g.drop(out, isReset(cfg.Local, cfg.STTPort))
	} else {
		g.drop(in, append(isInterface(expr.MetaKeyIIFNAME, cfg.Underlay), isSTT(cfg.Local, cfg.STTPort)...))
	}
	for _, name := range packetPorts {
		g.drop(in, isInterface(expr.MetaKeyIIFNAME, name))
		g.drop(out, isInterface(expr.MetaKeyOIFNAME, name))
	}
	if err := conn.Flush(); err != nil {
		_ = conn.CloseLasting()
		return nil, fmt.Errorf("nftables table %s: %w", g.table.Name, err)
	}
	return g, nil
}

func (g *guard) drop(chain *nftables.Chain, match []expr.Any) {
	g.conn.AddRule(&nftables.Rule{
		Table: g.table, Chain: chain,
		Exprs: append(match, &expr.Counter{}, &expr.Verdict{Kind: expr.VerdictDrop}),
	})
}

func isInterface(key expr.MetaKey, name string) []expr.Any {
	padded := make([]byte, unix.IFNAMSIZ)
	copy(padded, name)
	return []expr.Any{
		&expr.Meta{Key: key, Register: 1},
		&expr.Cmp{Op: expr.CmpOpEq, Register: 1, Data: padded},
	}
}

// isSTT matches TCP to address and port. A fragment that does not hold the
// port passes, and is never completed: the first one is dropped.
func isSTT(address netip.Addr, port uint16) []expr.Any {
	at := uint32(16)
	if address.Is6() {
		at = 24
	}
	return isTCP(address, at, port, 2)
}

// isReset matches TCP resets from address and port. The endpoint's own packets have that
// flag never.
func isReset(address netip.Addr, port uint16) []expr.Any {
	at := uint32(12)
	if address.Is6() {
		at = 8
	}
	return append(isTCP(address, at, port, 0),
		&expr.Payload{DestRegister: 1, Base: expr.PayloadBaseTransportHeader, Offset: 13, Len: 1},
		&expr.Bitwise{SourceRegister: 1, DestRegister: 1, Len: 1, Mask: []byte{stt.FlagRST}, Xor: []byte{0}},
		&expr.Cmp{Op: expr.CmpOpNeq, Register: 1, Data: []byte{0}},
	)
}

// isTCP matches TCP with an address at a place of the IP header, and a port at one of
// the TCP header.
func isTCP(address netip.Addr, at uint32, port uint16, portAt uint32) []expr.Any {
	family := byte(unix.NFPROTO_IPV4)
	if address.Is6() {
		family = unix.NFPROTO_IPV6
	}
	bytes := address.AsSlice()
	return []expr.Any{
		&expr.Meta{Key: expr.MetaKeyNFPROTO, Register: 1},
		&expr.Cmp{Op: expr.CmpOpEq, Register: 1, Data: []byte{family}},
		&expr.Payload{DestRegister: 1, Base: expr.PayloadBaseNetworkHeader, Offset: at, Len: uint32(len(bytes))},
		&expr.Cmp{Op: expr.CmpOpEq, Register: 1, Data: bytes},
		&expr.Meta{Key: expr.MetaKeyL4PROTO, Register: 1},
		&expr.Cmp{Op: expr.CmpOpEq, Register: 1, Data: []byte{protocolTCP}},
		&expr.Payload{DestRegister: 1, Base: expr.PayloadBaseTransportHeader, Offset: portAt, Len: 2},
		&expr.Cmp{Op: expr.CmpOpEq, Register: 1, Data: binaryutil.BigEndian.PutUint16(port)},
	}
}

// remove takes the table away.
func (g *guard) remove() error {
	g.conn.DelTable(g.table)
	err := g.conn.Flush()
	if closeErr := g.conn.CloseLasting(); err == nil {
		err = closeErr
	}
	if err != nil {
		return fmt.Errorf("remove nftables table %s: %w", g.table.Name, err)
	}
	return nil
}
