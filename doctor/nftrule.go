package doctor

import (
	"bytes"
	"encoding/binary"

	"github.com/google/nftables/expr"
	"github.com/google/nftables/xt"
	"golang.org/x/sys/unix"
)

// registers are nftables' 64 bytes of them: 1 to 4 are 16 bytes each, 8 to 23 four.
type registers struct {
	partly
	port, state [64]bool // bytes that are of STT's port, or of the state of conntrack
}

func newRegisters() *registers { return &registers{partly: nothingKnown(64)} }

func offsetOf(register uint32) int {
	if register >= unix.NFT_REG32_00 {
		return int(register-unix.NFT_REG32_00) * 4 % 64
	}
	return int(register-1) * 16 % 64 // 0 is the verdict's; nobody loads it
}

// load puts a value into a register; state and port say what it is.
func (r *registers) load(register uint32, v partly, port, state bool) {
	at := offsetOf(register)
	n := (len(v.data) + 3) &^ 3
	for i := at; i < min(at+n, 64); i++ {
		r.data[i], r.known[i], r.port[i], r.state[i] = 0, 0xff, port, state
	}
	copy(r.data[at:], v.data)
	copy(r.known[at:], v.known)
}

func (r *registers) forget() { *r = *newRegisters() }

// element is one of a set or map.
type element struct {
	key, keyEnd []byte // keyEnd: nil unless it is a range of concatenated keys
	end         bool   // of the interval before
	act         action // of a map to verdicts
}

// set is a set or a map to verdicts.
type set struct {
	interval bool
	elements []element // sorted by key
}

// find returns the element that holds a key.
func (s *set) find(key []byte) (element, bool) {
	var best element
	found := false
	for _, e := range s.elements {
		switch {
		case e.keyEnd != nil:
			if bytes.Compare(e.key, key) <= 0 && bytes.Compare(key, e.keyEnd) <= 0 {
				return e, true
			}
		case s.interval:
			if len(e.key) == len(key) && bytes.Compare(e.key, key) <= 0 {
				best, found = e, !e.end
			}
		case bytes.Equal(e.key, key):
			return e, true
		}
	}
	return best, found
}

// nftRule judges a rule of nftables by its expressions; nil stands for one that is not
// known here.
type nftRule struct {
	exprs []expr.Any
	sets  func(name string, id uint32) *set // nil: it could not be read
}

func (n nftRule) judge(p *packet) (match tri, aimed bool, acts []action) {
	r := newRegisters()
	match = yes
	network, transport := p.network(), p.transport()
	and := func(t tri) { match = min(match, t) }
	for _, e := range n.exprs {
		switch e := e.(type) {
		case nil:
			and(maybe)
			r.forget()
		case *expr.Counter, *expr.Log, *expr.Dup:
		case *expr.Meta:
			if e.SourceRegister {
				continue
			}
			switch e.Key {
			case expr.MetaKeyL4PROTO:
				r.load(e.Register, allKnown(protocolTCP), false, false)
			case expr.MetaKeyNFPROTO:
				r.load(e.Register, allKnown(nfproto(p.v4)), false, false)
			case expr.MetaKeyPROTOCOL:
				r.load(e.Register, allKnown(ethertype(p.v4)...), false, false)
			case expr.MetaKeyIIFNAME:
				r.load(e.Register, interfaceName(p.iif), false, false)
			case expr.MetaKeyOIFNAME:
				r.load(e.Register, interfaceName(p.oif), false, false)
			default:
				r.load(e.Register, nothingKnown(16), false, false)
			}
		case *expr.Payload:
			if e.OperationType == expr.PayloadWrite {
				continue
			}
			v, isPort := nothingKnown(int(e.Len)), false
			switch e.Base {
			case expr.PayloadBaseLLHeader:
				v = p.frame().slice(int(e.Offset), int(e.Len))
			case expr.PayloadBaseNetworkHeader:
				v = network.slice(int(e.Offset), int(e.Len))
			case expr.PayloadBaseTransportHeader:
				v = transport.slice(int(e.Offset), int(e.Len))
				isPort = e.Offset <= 2 && e.Offset+e.Len >= 4
			}
			r.load(e.DestRegister, v, isPort, false)
		case *expr.Ct:
			if e.SourceRegister {
				continue
			}
			if e.Key == expr.CtKeySTATE {
				r.load(e.Register, p.state(), false, true)
				continue
			}
			and(p.hasConnection())
			r.load(e.Register, nothingKnown(16), false, false)
		case *expr.Immediate:
			r.load(e.Register, allKnown(e.Data...), false, false)
		case *expr.Bitwise:
			from, to := offsetOf(e.SourceRegister), e.DestRegister
			v, port, state := r.slice(from, int(e.Len)), r.port[from], r.state[from]
			if len(e.Mask) != int(e.Len) || len(e.Xor) != int(e.Len) {
				v = nothingKnown(int(e.Len))
			} else {
				if state {
					state = binary.NativeEndian.Uint32(e.Mask)&uint32(ctInvalid) != 0
				}
				for i := range v.data {
					v.data[i] = v.data[i]&e.Mask[i] ^ e.Xor[i]
					v.known[i] |= ^e.Mask[i]
				}
			}
			r.load(to, v, port, state)
		case *expr.Cmp:
			at := offsetOf(e.Register)
			t := compared(r.slice(at, len(e.Data)), e.Op, e.Data)
			aimed = aimed || t == yes && r.port[at] || t != no && r.state[at]
			and(t)
		case *expr.Range:
			at := offsetOf(e.Register)
			t := maybe
			if b, ok := r.slice(at, len(e.FromData)).whole(); ok {
				t = sure(bytes.Compare(e.FromData, b) <= 0 && bytes.Compare(b, e.ToData) <= 0)
				if e.Op == expr.CmpOpNeq {
					t = t.not()
				}
			}
			aimed = aimed || t == yes && r.port[at]
			and(t)
		case *expr.Lookup:
			at := offsetOf(e.SourceRegister)
			t, found := n.lookup(e, r, at)
			aimed = aimed || t == yes && r.port[at]
			if e.IsDestRegSet && e.DestRegister == unix.NFT_REG_VERDICT {
				acts = found
				for _, a := range found {
					if a.kind == untracked {
						aimed = false
					}
				}
			} else if e.IsDestRegSet {
				r.load(e.DestRegister, nothingKnown(16), false, false)
			}
			and(t)
		case *expr.Match:
			t, a := judgeMatch(e, p)
			aimed = aimed || a
			and(t)
		case *expr.Objref:
			if e.Type != unix.NFT_OBJECT_COUNTER {
				and(maybe)
			}
		case *expr.Verdict:
			if a, ok := verdictOf(e.Kind, e.Chain); ok {
				acts = append(acts, a)
			}
		case *expr.Queue:
			acts = append(acts, action{kind: queued, queue: e.Num})
		case *expr.Reject:
			acts = append(acts, action{kind: dropped})
		case *expr.Notrack:
			acts = append(acts, action{kind: untracked})
		case *expr.Target:
			if a, ok := judgeTarget(e); ok {
				acts = append(acts, a)
			}
		default:
			and(maybe)
			r.forget()
		}
		if match == no {
			return no, false, nil
		}
	}
	if len(acts) == 0 {
		acts = []action{{kind: goOn}}
	}
	return match, aimed, acts
}

// lookup returns whether the key is in the set, and which verdicts a map gives.
func (n nftRule) lookup(e *expr.Lookup, r *registers, at int) (tri, []action) {
	s := n.sets(e.SetName, e.SetID)
	if s == nil {
		return maybe, nil
	}
	length := 0
	if len(s.elements) > 0 {
		length = len(s.elements[0].key)
	}
	v := r.slice(at, length)
	if key, ok := v.whole(); ok {
		found, in := s.find(key)
		if e.Invert {
			in = !in
		}
		return sure(in), []action{found.act}
	}
	var acts []action
	for _, el := range s.elements {
		if el.end || v.equals(el.key) == no && el.keyEnd == nil && !s.interval {
			continue
		}
		a := el.act
		a.aimed = r.state[at] && len(el.key) == 4 && binary.NativeEndian.Uint32(el.key)&uint32(ctInvalid) != 0
		acts = append(acts, a)
	}
	switch {
	case len(acts) == 0 && !e.Invert:
		return no, nil
	case len(acts) == 0:
		return yes, nil
	}
	return maybe, acts
}

func compared(v partly, op expr.CmpOp, with []byte) tri {
	switch op {
	case expr.CmpOpEq:
		return v.equals(with)
	case expr.CmpOpNeq:
		return v.equals(with).not()
	}
	b, ok := v.whole()
	if !ok {
		return maybe
	}
	c := bytes.Compare(b, with)
	switch op {
	case expr.CmpOpLt:
		return sure(c < 0)
	case expr.CmpOpLte:
		return sure(c <= 0)
	case expr.CmpOpGt:
		return sure(c > 0)
	}
	return sure(c >= 0)
}

// verdictOf is what a verdict does; false: nothing, the next rule has its turn.
func verdictOf(k expr.VerdictKind, chain string) (action, bool) {
	switch k {
	case expr.VerdictAccept:
		return action{kind: accepted}, true
	case expr.VerdictDrop:
		return action{kind: dropped}, true
	case expr.VerdictReturn:
		return action{kind: returns}, true
	case expr.VerdictJump:
		return action{kind: jumps, chain: chain}, true
	case expr.VerdictGoto:
		return action{kind: goes, chain: chain}, true
	case expr.VerdictStolen, expr.VerdictQueue:
		return action{kind: taken}, true
	}
	return action{}, false
}

// judgeMatch judges a match of xtables, as iptables-nft uses them.
func judgeMatch(m *expr.Match, p *packet) (t tri, aimed bool) {
	switch info := m.Info.(type) {
	case *xt.Comment:
		return yes, false
	case *xt.Udp:
		return no, false
	case *xt.Tcp:
		if info.FlagsMask != 0 || info.SrcPorts != [2]uint16{0, 65535} || info.InvFlags&^xt.TcpInvDestPorts != 0 || info.Option != 0 {
			return maybe, false
		}
		in := info.DstPorts[0] <= p.port && p.port <= info.DstPorts[1]
		every := info.DstPorts == [2]uint16{0, 65535}
		if info.InvFlags&xt.TcpInvDestPorts != 0 {
			in = !in
		}
		return sure(in), in && !every
	case *xt.ConntrackMtinfo3:
		return judgeState(info.MatchFlags, info.InvertFlags, info.StateMask, p)
	case *xt.ConntrackMtinfo2:
		return judgeState(info.MatchFlags, info.InvertFlags, info.StateMask, p)
	case *xt.Unknown:
		if m.Name == "ip" {
			return judgeEbtablesIP(*info, p)
		}
	}
	return maybe, false
}

// judgeEbtablesIP judges what ebtables asks of IPv4 (struct ebt_ip_info of
// linux/netfilter_bridge/ebt_ip.h): addresses and their masks, DSCP, protocol, ports.
func judgeEbtablesIP(info []byte, p *packet) (t tri, aimed bool) {
	const (
		source, destination, tos, protocol, sport, dport = 1, 2, 4, 8, 16, 32
		length                                           = 28
	)
	if len(info) < length {
		return maybe, false
	}
	if !p.v4 {
		return no, false
	}
	asked, inverted := info[18], info[19]
	t = yes
	and := func(bit byte, one tri) {
		if asked&bit == 0 {
			return
		}
		if inverted&bit != 0 {
			one = one.not()
		}
		t = min(t, one)
	}
	masked := func(at int, value, mask []byte) tri {
		have := p.network().slice(at, 4)
		for i, m := range mask {
			have.data[i] &= m
			have.known[i] |= ^m
		}
		return have.equals(value)
	}
	and(source, masked(12, info[0:4], info[8:12]))
	and(destination, masked(16, info[4:8], info[12:16]))
	and(tos, maybe)
	and(protocol, sure(info[17] == protocolTCP))
	and(sport, maybe)
	from, to := binary.NativeEndian.Uint16(info[24:]), binary.NativeEndian.Uint16(info[26:])
	in := from <= p.port && p.port <= to
	and(dport, sure(in))
	if asked&^byte(source|destination|tos|protocol|sport|dport) != 0 {
		t = min(t, maybe)
	}
	return t, t != no && asked&dport != 0 && inverted&dport == 0
}

// judgeState judges xt_conntrack's --ctstate (linux/netfilter/xt_conntrack.h); what else it
// can ask for is not known.
func judgeState(match, invert, mask uint16, p *packet) (t tri, aimed bool) {
	const state = 1 // XT_CONNTRACK_STATE
	if match != state {
		return maybe, false
	}
	var wanted tracking
	for bit, s := range map[uint16]tracking{1 << 0: ctInvalid, 1 << 1: ctEstablished, 1 << 2: ctRelated, 1 << 3: ctNew, 1 << 8: ctUntracked} {
		if mask&bit != 0 {
			wanted |= s
		}
	}
	return p.inState(wanted, invert&state != 0)
}

// inState judges a list of states.
func (p *packet) inState(wanted tracking, invert bool) (t tri, aimed bool) {
	switch {
	case p.ct&^wanted == 0:
		t = yes
	case p.ct&wanted != 0:
		t = maybe
	}
	if invert {
		t = t.not()
	}
	return t, wanted&ctInvalid != 0 && !invert
}

// judgeTarget says what a target of xtables does; false: nothing that matters here.
func judgeTarget(t *expr.Target) (action, bool) {
	var info []byte
	if u, ok := t.Info.(*xt.Unknown); ok {
		info = *u
	}
	switch t.Name {
	case "NFQUEUE":
		a := action{kind: queued}
		if len(info) >= 2 {
			a.queue = binary.NativeEndian.Uint16(info)
		}
		return a, true
	case "REJECT", "DROP":
		return action{kind: dropped}, true
	case "NOTRACK":
		return action{kind: untracked}, true
	case "CT":
		const notrack = 1 // XT_CT_NOTRACK, first in struct xt_ct_target_info
		if len(info) >= 2 && binary.NativeEndian.Uint16(info)&notrack != 0 {
			return action{kind: untracked}, true
		}
	}
	return action{}, false
}

func nfproto(v4 bool) byte {
	if v4 {
		return unix.NFPROTO_IPV4
	}
	return unix.NFPROTO_IPV6
}

func ethertype(v4 bool) []byte {
	if v4 {
		return []byte{0x08, 0x00}
	}
	return []byte{0x86, 0xdd}
}

func interfaceName(name string) partly {
	v := nothingKnown(unix.IFNAMSIZ)
	if name != "" {
		v.put(0, append([]byte(name), make([]byte, unix.IFNAMSIZ-len(name))...)...)
	}
	return v
}
