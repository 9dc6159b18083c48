package doctor

import (
	"cmp"
	"encoding/binary"
	"fmt"
	"net"
	"slices"
	"strings"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"
)

// Filters of tc stand at an interface: at ingress in front of all hooks, at egress behind
// them. A packet meets them in the order of their preference, until one decides.

// deed is what a filter does with a packet that it matches.
type deed uint8

const (
	nothing deed = iota
	discards
	redirects
	rewrites
	anything // a program does, or what is not known here
)

// filterFate is what may become of a packet at a filter.
type filterFate struct {
	deed    deed
	certain bool
	aimed   bool // the filter names STT's port
	to      int  // redirects: index of the interface; 0: the program says
	text    string
}

// filterFates follows a packet through the filters of one side of an interface.
func filterFates(list []netlink.Filter, p *packet) (fates []filterFate) {
	certain := true
	list = slices.Clone(list)
	slices.SortStableFunc(list, func(a, b netlink.Filter) int { return cmp.Compare(a.Attrs().Priority, b.Attrs().Priority) })
	for _, f := range list {
		match, aimed := judgeFilter(f, p)
		if match == no {
			continue
		}
		deeds, ends := deedsOf(f)
		for _, d := range deeds {
			d.certain, d.aimed = certain && match == yes && d.deed != anything, aimed
			d.text = filterText(f, d)
			fates = append(fates, d)
		}
		if match == yes && ends == yes && certain {
			return fates
		}
		if ends != no {
			certain = false
		}
	}
	return fates
}

// judgeFilter says whether a filter matches, and whether it names STT's port.
func judgeFilter(f netlink.Filter, p *packet) (match tri, aimed bool) {
	a := f.Attrs()
	match = yes
	switch a.Protocol {
	case unix.ETH_P_ALL:
	case unix.ETH_P_IP:
		if !p.v4 || p.tagged {
			return no, false
		}
	case unix.ETH_P_IPV6:
		if p.v4 || p.tagged {
			return no, false
		}
	case unix.ETH_P_8021Q, unix.ETH_P_8021AD:
		if !p.tagged {
			return no, false
		}
		match = maybe // it may be the other kind of tag
	default:
		return no, false
	}
	if a.Chain != nil && *a.Chain != 0 {
		match = maybe // another filter leads there
	}
	switch f := f.(type) {
	case *netlink.MatchAll:
	case *netlink.U32:
		const roots = 0x800 // the hash tables that packets begin in are numbered from here on
		if a.Handle>>20 < roots {
			match = maybe
		}
		t, at := judgeU32(f.Sel, p)
		return min(match, t), at
	case *netlink.Flower:
		t, at := judgeFlower(f, p)
		return min(match, t), at
	case *netlink.BpfFilter:
		if !f.DirectAction {
			match = maybe
		}
	default:
		match = maybe
	}
	return match, false
}

// judgeU32 compares words at offsets from the IP header on.
func judgeU32(sel *netlink.TcU32Sel, p *packet) (match tri, aimed bool) {
	if sel == nil {
		return no, false
	}
	network, transport := p.network(), p.transport()
	header := partly{append(network.data, transport.data...), append(network.known, transport.known...)}
	port := int32(len(network.data)) // the word of both ports
	match = yes
	for _, k := range sel.Keys {
		if k.OffMask != 0 {
			match = min(match, maybe)
			continue
		}
		word := nothingKnown(4)
		if k.Off >= 0 {
			word = header.slice(int(k.Off), 4)
		}
		var mask, value [4]byte
		binary.BigEndian.PutUint32(mask[:], k.Mask)
		binary.BigEndian.PutUint32(value[:], k.Val)
		for i, m := range mask {
			word.data[i] &= m
			word.known[i] |= ^m
		}
		t := word.equals(value[:])
		aimed = aimed || t == yes && k.Off == port && mask[2]|mask[3] != 0
		match = min(match, t)
	}
	return match, aimed && match != no
}

// judgeFlower knows some of what flower can ask for, and so is never sure that it matches.
func judgeFlower(f *netlink.Flower, p *packet) (match tri, aimed bool) {
	inside := func(a net.IP, mask net.IPMask, have []byte) bool {
		return a == nil || have == nil || (&net.IPNet{IP: a, Mask: mask}).Contains(have)
	}
	var src, dst []byte
	if p.src.IsValid() {
		src, dst = p.src.AsSlice(), p.dst.AsSlice()
	}
	switch {
	case f.IPProto != nil && *f.IPProto != protocolTCP,
		f.DestPort != 0 && f.DestPort != p.port,
		f.DstPortRangeMin != 0 && (p.port < f.DstPortRangeMin || p.port > f.DstPortRangeMax),
		f.VlanId != 0, !inside(f.SrcIP, f.SrcIPMask, src), !inside(f.DestIP, f.DestIPMask, dst):
		return no, false
	}
	return maybe, f.DestPort != 0 || f.DstPortRangeMin != 0
}

// actionsOf are the actions of a filter whose kind has them in a list.
func actionsOf(f netlink.Filter) []netlink.Action {
	switch f := f.(type) {
	case *netlink.MatchAll:
		return f.Actions
	case *netlink.Flower:
		return f.Actions
	case *netlink.U32:
		return f.Actions
	case *netlink.FwFilter:
		return f.Actions
	}
	return nil
}

// deedsOf says what a filter does, and whether the packet meets no further one then.
func deedsOf(f netlink.Filter) (list []filterFate, ends tri) {
	actions := actionsOf(f)
	if u, ok := f.(*netlink.U32); ok && len(actions) == 0 && u.ClassId != 0 {
		return nil, yes // it passes
	}
	if len(actions) == 0 {
		return []filterFate{{deed: anything}}, maybe
	}
	for _, a := range actions {
		verdict := a.Attrs().Action
		var d filterFate
		switch a := a.(type) {
		case *netlink.MirredAction:
			if a.MirredAction == netlink.TCA_EGRESS_REDIR || a.MirredAction == netlink.TCA_INGRESS_REDIR {
				return append(list, filterFate{deed: redirects, to: a.Ifindex}), yes
			}
		case *netlink.PeditAction, *netlink.VlanAction, *netlink.TunnelKeyAction:
			d.deed = rewrites
		case *netlink.BpfAction:
			d.deed = anything
		case *netlink.PoliceAction:
			if a.ExceedAction == netlink.TC_POLICE_SHOT {
				d.deed = anything
			}
		}
		if d.deed != nothing {
			list = append(list, d)
		}
		if d.deed == anything {
			ends = maybe
			continue
		}
		switch verdict {
		case netlink.TC_ACT_PIPE:
		case netlink.TC_ACT_SHOT, netlink.TC_ACT_STOLEN, netlink.TC_ACT_QUEUED:
			return append(list, filterFate{deed: discards}), yes
		case netlink.TC_ACT_OK:
			return list, max(yes, ends)
		default:
			return list, max(maybe, ends)
		}
	}
	return list, max(maybe, ends)
}

// filterText names a filter as tc does.
func filterText(f netlink.Filter, d filterFate) string {
	a := f.Attrs()
	text := fmt.Sprintf("pref %d %s", a.Priority, f.Type())
	if b, ok := f.(*netlink.BpfFilter); ok {
		text += fmt.Sprintf(" %s, program %d", b.Name, b.Id)
	}
	var kinds []string
	for _, a := range actionsOf(f) {
		kinds = append(kinds, a.Type())
	}
	if len(kinds) > 0 {
		text += ", actions " + strings.Join(kinds, ", ")
	}
	return text
}
