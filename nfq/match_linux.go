package nfq

import (
	"encoding/binary"
	"fmt"
	"slices"
	"unsafe"

	"github.com/google/nftables"
	"github.com/google/nftables/binaryutil"
	"github.com/google/nftables/expr"
	"github.com/google/nftables/xt"
	"golang.org/x/sys/unix"
)

// part is a piece of a rule, as text of the nft command and as the kernel's
// expressions.
type part struct {
	text  string
	exprs []expr.Any
}

// Where the ports stand in a transport header, bytes.
const (
	offsetSourcePort = 0
	offsetDestPort   = 2
)

// version is what tells IPv4 and IPv6 apart in a rule.
type version struct {
	name                     string
	set                      string // of endpoints
	family                   byte
	source, destination, len uint32 // of the addresses in the IP header, bytes
}

func v4() version { return version{"ip", setEndpoints4, unix.NFPROTO_IPV4, 12, 16, 4} }
func v6() version { return version{"ip6", setEndpoints6, unix.NFPROTO_IPV6, 8, 24, 16} }

// side is the end of a packet's way whose address is meant.
type side bool

const (
	source      side = false
	destination side = true
)

// wanted says whether a match wants a value in a set or out of it.
type wanted bool

const (
	in    wanted = true
	notIn wanted = false
)

func compare(op expr.CmpOp, data ...byte) expr.Any {
	return &expr.Cmp{Op: op, Register: 1, Data: data}
}

func protocol(op expr.CmpOp, number byte) []expr.Any {
	return []expr.Any{&expr.Meta{Key: expr.MetaKeyL4PROTO, Register: 1}, compare(op, number)}
}

func family(number byte) []expr.Any {
	return []expr.Any{&expr.Meta{Key: expr.MetaKeyNFPROTO, Register: 1}, compare(expr.CmpOpEq, number)}
}

func port(offset uint32) expr.Any {
	return &expr.Payload{DestRegister: 1, Base: expr.PayloadBaseTransportHeader, Offset: offset, Len: 2}
}

// sttPort matches TCP to one of the STT ports, or to none of them. A port that
// cannot be read matches neither.
func sttPort(w wanted) part {
	text := "tcp dport @" + setPorts
	if w == notIn {
		text = "tcp dport != @" + setPorts
	}
	return part{text, append(protocol(expr.CmpOpEq, unix.IPPROTO_TCP),
		port(offsetDestPort), &expr.Lookup{SourceRegister: 1, SetName: setPorts, Invert: w == notIn})}
}

// notTCP matches packets whose protocol can be read and is another one.
func notTCP() part {
	return part{"meta l4proto != 6", protocol(expr.CmpOpNeq, unix.IPPROTO_TCP)}
}

func ipv4TCP() part {
	return part{"ip protocol 6", append(family(unix.NFPROTO_IPV4),
		&expr.Payload{DestRegister: 1, Base: expr.PayloadBaseNetworkHeader, Offset: 9, Len: 1}, compare(expr.CmpOpEq, unix.IPPROTO_TCP))}
}

// ipv4Fragment matches IPv4 packets with any of the bits of mask in the word of
// flags (0x2000 more fragments) and fragment offset.
func ipv4Fragment(text string, mask uint16) part {
	return part{"ip frag-off & " + text + " != 0", append(family(unix.NFPROTO_IPV4),
		&expr.Payload{DestRegister: 1, Base: expr.PayloadBaseNetworkHeader, Offset: 6, Len: 2},
		masked(mask), compare(expr.CmpOpNeq, 0, 0))}
}

func masked(mask uint16) expr.Any {
	return &expr.Bitwise{SourceRegister: 1, DestRegister: 1, Len: 2, Mask: binary.BigEndian.AppendUint16(nil, mask), Xor: []byte{0, 0}}
}

// ipv6Fragment matches IPv6 packets with a fragment header.
func ipv6Fragment() part {
	return part{"exthdr frag exists", append(family(unix.NFPROTO_IPV6),
		&expr.Exthdr{DestRegister: 1, Type: unix.IPPROTO_FRAGMENT, Len: 1, Flags: unix.NFT_EXTHDR_F_PRESENT, Op: expr.ExthdrOpIpv6},
		compare(expr.CmpOpEq, 1))}
}

// ipv6LaterFragment matches IPv6 fragments with an offset.
func ipv6LaterFragment() part {
	return part{"frag frag-off != 0", append(family(unix.NFPROTO_IPV6),
		&expr.Exthdr{DestRegister: 1, Type: unix.IPPROTO_FRAGMENT, Offset: 2, Len: 2, Op: expr.ExthdrOpIpv6},
		masked(0xfff8), compare(expr.CmpOpNeq, 0, 0))}
}

// endpoint matches packets of one IP version whose address on one side is in
// the set of endpoints, or is not.
func endpoint(v version, s side, w wanted) part {
	field, offset := " saddr ", v.source
	if s == destination {
		field, offset = " daddr ", v.destination
	}
	if w == notIn {
		field += "!= "
	}
	return part{v.name + field + "@" + v.set, append(family(v.family),
		&expr.Payload{DestRegister: 1, Base: expr.PayloadBaseNetworkHeader, Offset: offset, Len: v.len},
		&expr.Lookup{SourceRegister: 1, SetName: v.set, Invert: w == notIn})}
}

func notrack() part { return part{"notrack", []expr.Any{&expr.Notrack{}}} }

func drop() part { return part{"drop", []expr.Any{&expr.Verdict{Kind: expr.VerdictDrop}}} }

func jump(kind expr.VerdictKind, chain string) part {
	text := "return"
	switch kind {
	case expr.VerdictGoto:
		text = "goto " + chain
	case expr.VerdictJump:
		text = "jump " + chain
	}
	return part{text, []expr.Any{&expr.Verdict{Kind: kind, Chain: chain}}}
}

func count(name string) part {
	return part{fmt.Sprintf("counter name %q", name), []expr.Any{&expr.Objref{Type: int(nftables.ObjTypeCounter), Name: name}}}
}

// dropAs drops and counts.
func dropAs(counter string) part {
	c, d := count(counter), drop()
	return part{c.text + " " + d.text, append(c.exprs, d.exprs...)}
}

// ownSet is a lookup in a set that belongs to the rule: install adds the set
// first and completes the lookup.
type ownSet struct {
	expr.Any // the lookup
	lookup   *expr.Lookup
	set      *nftables.Set
	elements []nftables.SetElement
}

func lookUp(l *expr.Lookup, s *nftables.Set, elements []nftables.SetElement) expr.Any {
	s.Anonymous, s.Constant = s.Name == "", s.Name == ""
	return &ownSet{Any: l, lookup: l, set: s, elements: elements}
}

// numbers writes a set of numbers for nft, and for the kernel in network byte order.
func numbers[N uint8 | uint16](list []N) (text string, elements []nftables.SetElement) {
	for _, n := range list {
		text += fmt.Sprintf(", %d", n)
		key := []byte{byte(n)}
		if unsafe.Sizeof(n) == 2 {
			key = binary.BigEndian.AppendUint16(nil, uint16(n))
		}
		elements = append(elements, nftables.SetElement{Key: key})
	}
	return "{ " + text[2:] + " }", elements
}

func tunnelProtocol() part {
	text, elements := numbers(tunnelProtocols())
	return part{"meta l4proto " + text, []expr.Any{
		&expr.Meta{Key: expr.MetaKeyL4PROTO, Register: 1},
		lookUp(&expr.Lookup{SourceRegister: 1}, &nftables.Set{KeyType: nftables.TypeInetProto}, elements),
	}}
}

func tunnelPort() part {
	text, elements := numbers(tunnelPorts())
	return part{"udp dport " + text, append(protocol(expr.CmpOpEq, unix.IPPROTO_UDP), port(offsetDestPort),
		lookUp(&expr.Lookup{SourceRegister: 1}, &nftables.Set{KeyType: nftables.TypeInetService}, elements))}
}

// icmpTypes matches ICMP of these types, which must not be asked of later
// fragments.
func icmpTypes(types []uint8) part {
	text, elements := numbers(types)
	return part{"icmp type " + text, slices.Concat(family(unix.NFPROTO_IPV4), protocol(expr.CmpOpEq, unix.IPPROTO_ICMP), []expr.Any{
		icmpType(), lookUp(&expr.Lookup{SourceRegister: 1}, &nftables.Set{KeyType: nftables.TypeICMPType}, elements),
	})}
}

// icmpv6Types is icmpTypes for ICMPv6.
func icmpv6Types(types []uint8) part {
	text, elements := numbers(types)
	return part{"icmpv6 type " + text, slices.Concat(family(unix.NFPROTO_IPV6), protocol(expr.CmpOpEq, unix.IPPROTO_ICMPV6), []expr.Any{
		icmpType(), lookUp(&expr.Lookup{SourceRegister: 1}, &nftables.Set{KeyType: nftables.TypeICMP6Type}, elements),
	})}
}

func icmpType() expr.Any {
	return &expr.Payload{DestRegister: 1, Base: expr.PayloadBaseTransportHeader, Len: 1}
}

// forThisHost matches packets to an address of this host: they end here, and pass
// nobody.
func forThisHost() part {
	return part{"fib daddr type local", []expr.Any{
		&expr.Fib{Register: 1, ResultADDRTYPE: true, FlagDADDR: true},
		compare(expr.CmpOpEq, binary.NativeEndian.AppendUint32(nil, unix.RTN_LOCAL)...),
	}}
}

// kindKey is which side of a packet's way a kind of interface is asked of; see
// linux/netfilter/nf_tables.h.
type kindKey uint32

const (
	iifKind kindKey = 26 // NFT_META_IIFKIND
	oifKind kindKey = 27 // NFT_META_OIFKIND
)

// kindOf matches packets that come in on, or leave on, an interface of a kind, as
// `ip link show type` takes it. Interfaces of hardware have none.
func kindOf(key kindKey, kind string) part {
	text := "meta iifkind"
	if key == oifKind {
		text = "meta oifkind"
	}
	padded := make([]byte, 16) // IFNAMSIZ
	copy(padded, kind)
	return part{fmt.Sprintf("%s %q", text, kind), []expr.Any{&expr.Meta{Key: expr.MetaKey(key), Register: 1}, compare(expr.CmpOpEq, padded...)}}
}

// forHost matches packets that came to this host in a frame of its own, and not by
// being looped back where they were sent.
func forHost() part {
	return part{"meta pkttype host", []expr.Any{&expr.Meta{Key: expr.MetaKeyPKTTYPE, Register: 1}, compare(expr.CmpOpEq, unix.PACKET_HOST)}}
}

// noIPsec matches packets that came out of no IPsec. Those that did are seen on a VRF's
// device for the first time: what came in on its member was ESP or AH.
func noIPsec() part {
	const secPath = 25 // NFT_META_SECPATH
	return part{"meta ipsec missing", []expr.Any{&expr.Meta{Key: secPath, Register: 1}, compare(expr.CmpOpEq, 0)}}
}

// secondPass matches packets that pass PREROUTING on a VRF's device, as all do that came in on
// its member, but those that this host has sent itself, and those that IPsec gave back.
func secondPass() []part { return []part{kindOf(iifKind, "vrf"), forHost(), noIPsec()} }

// seenPriority is what packets of STT that this table has seen come in have as priority, so that
// it knows them on the device of a VRF. SRv6 (End.DT4, End.DT46, End.DT6) gives packets to such a
// device that came in as something else. A packet from the wire has 0, and one out of another
// network namespace too. What a program on this host gives it (SO_PRIORITY, with CAP_NET_RAW)
// does not count: that came in no frame. The low bits are 0,
// for which queueing disciplines take what has no class of that name.
const seenPriority = 0x53545430

func setSeen() part {
	return part{fmt.Sprintf("meta priority set %x:%x", seenPriority>>16, seenPriority&0xffff), []expr.Any{
		&expr.Immediate{Register: 1, Data: binary.NativeEndian.AppendUint32(nil, seenPriority)},
		&expr.Meta{Key: expr.MetaKeyPRIORITY, SourceRegister: true, Register: 1},
	}}
}

func seen() part {
	return part{fmt.Sprintf("meta priority %x:%x", seenPriority>>16, seenPriority&0xffff), []expr.Any{
		&expr.Meta{Key: expr.MetaKeyPRIORITY, Register: 1}, compare(expr.CmpOpEq, binary.NativeEndian.AppendUint32(nil, seenPriority)...),
	}}
}

// fromLoopback matches packets that this host has sent to itself.
func fromLoopback() part {
	return part{"meta iiftype loopback", []expr.Any{&expr.Meta{Key: expr.MetaKeyIIFTYPE, Register: 1},
		compare(expr.CmpOpEq, binary.NativeEndian.AppendUint16(nil, unix.ARPHRD_LOOPBACK)...)}}
}

// leaves matches packets that are on their way out, as none is in PREROUTING.
func leaves() part {
	return part{"oif != 0", []expr.Any{&expr.Meta{Key: expr.MetaKeyOIF, Register: 1}, compare(expr.CmpOpNeq, 0, 0, 0, 0)}}
}

// sentBy matches packets of an [Injector].
func sentBy(o Own) part {
	return part{fmt.Sprintf("meta priority %x:%x meta skuid %d", o.Priority>>16, o.Priority&0xffff, o.User), []expr.Any{
		&expr.Meta{Key: expr.MetaKeyPRIORITY, Register: 1}, compare(expr.CmpOpEq, binary.NativeEndian.AppendUint32(nil, o.Priority)...),
		&expr.Meta{Key: expr.MetaKeySKUID, Register: 1}, compare(expr.CmpOpEq, binary.NativeEndian.AppendUint32(nil, o.User)...),
	}}
}

// spread sends a packet to one of n queue chains by a hash of its source port. The kernel's map has a name, since the
// library says of the keys of nameless ones that they are in network byte order,
// and nft would list them so.
func spread(n int, seed uint32) part {
	text, elements := "", []nftables.SetElement(nil)
	for i := range n {
		text += fmt.Sprintf(", %d : goto %s", i, chainQueue(i))
		elements = append(elements, nftables.SetElement{
			Key:         binary.NativeEndian.AppendUint32(nil, uint32(i)),
			VerdictData: &expr.Verdict{Kind: expr.VerdictGoto, Chain: chainQueue(i)},
		})
	}
	secret := ""
	if seed != 0 {
		secret = fmt.Sprintf("seed %#x ", seed)
	}
	return part{fmt.Sprintf("jhash tcp sport mod %d %svmap { %s }", n, secret, text[2:]), append(protocol(expr.CmpOpEq, unix.IPPROTO_TCP),
		port(offsetSourcePort),
		&expr.Hash{SourceRegister: 1, DestRegister: 1, Length: 2, Modulus: uint32(n), Seed: seed, Type: expr.HashTypeJenkins},
		lookUp(&expr.Lookup{SourceRegister: 1, IsDestRegSet: true},
			&nftables.Set{
				Name: mapQueues, IsMap: true, KeyType: nftables.TypeInteger, KeyByteOrder: binaryutil.NativeEndian,
				DataType: nftables.TypeVerdict,
			}, elements))}
}

// queue hands a packet to a queue; with bypass it goes on where nobody listens.
func queue(t Target, number uint16, bypass bool) part {
	text := fmt.Sprintf("queue num %d", number)
	if bypass {
		text = fmt.Sprintf("queue flags bypass to %d", number)
	}
	switch t {
	case TargetXTables:
		// struct xt_NFQ_info_v3: queue number, number of queues, flags, each in
		// the machine's byte order, padded to a multiple of 8.
		info := make(xt.Unknown, 0, 8)
		info = binary.NativeEndian.AppendUint16(info, number)
		info = binary.NativeEndian.AppendUint16(info, 1)
		var flags uint16
		if bypass {
			flags = 1 // NFQ_FLAG_BYPASS
		}
		info = binary.NativeEndian.AppendUint16(info, flags)
		info = binary.NativeEndian.AppendUint16(info, 0)
		return part{text, []expr.Any{&expr.Target{Name: "NFQUEUE", Rev: 3, Info: &info}}}
	case targetDrop:
		return drop()
	}
	q := &expr.Queue{Num: number, Total: 1}
	if bypass {
		q.Flag = expr.QueueFlagBypass
	}
	return part{text, []expr.Any{q}}
}
