package policy

import (
	"encoding/binary"
	"net/netip"

	"sttwall/policy/classify"
)

// decideIP4 is DecideByRule for what nearly all packets are: of IPv4, no later
// fragments, and decided by a rule that asks for nothing but addresses, protocol and
// ports and has no limit. Where it is not sure it has done nothing.
func (p *Policy) decideIP4(t *tenant, k *Packet, d *Decision) (decided, sure bool) {
	f := k.Frame
	if f.Fragmented && f.Fragment.Offset != 0 {
		return false, false
	}
	dstPort, srcPort := uint32(classify.Absent), uint32(classify.Absent)
	switch {
	case f.HasPorts:
		dstPort, srcPort = uint32(f.DstPort), uint32(f.SrcPort)
	case f.HasICMP:
		dstPort = uint32(f.ICMPType)<<8 | uint32(f.ICMPCode)
	}
	key := classify.Key4{Dst: word4(&f.Dst), Src: word4(&f.Src), Carried: classify.Carried(uint32(f.Protocol), dstPort), SrcPort: srcPort}
	// Neighbour discovery, which passes before the tenant's rules, is no IPv4.
	list, i := &t.rules, classify.None
	if p.first.any() || p.before.any() {
		list, i = p.ahead(key)
	}
	if i == classify.None && t.rules.any() {
		list, i = &t.rules, t.rules.matcher.First4(key)
	}
	if i == classify.None && p.after.any() {
		list, i = &p.after, p.after.matcher.First4(key)
	}
	if i < 0 {
		return false, i == classify.None
	}
	index := list.start + int32(i)
	r := &p.verdicts[index]
	if r.bucket >= 0 {
		return false, false
	}
	d.by(r, index)
	if r.action == Accept { // nearly always
		d.Action = Accept
	} else {
		d.act(r, t)
	}
	return true, true
}

// ahead looks into the lists before the tenant's.
func (p *Policy) ahead(key classify.Key4) (list *ruleList, i int) {
	list, i = &p.first, classify.None
	if p.first.any() {
		i = p.first.matcher.First4(key)
	}
	if i == classify.None && p.before.any() {
		list, i = &p.before, p.before.matcher.First4(key)
	}
	return list, i
}

// word4 returns an IPv4 address as a number. It is written and read in the same width:
// a processor waits where it has to put a value together.
func word4(a *netip.Addr) uint32 {
	b := a.As4()
	return binary.BigEndian.Uint32(b[:])
}
