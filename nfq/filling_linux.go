package nfq

import (
	"fmt"
	"net/netip"
	"slices"

	"github.com/google/nftables"
	"github.com/google/nftables/expr"

	"sttwall/reason"
)

// A new table has its rules in force a moment before its sets of intervals are filled (see
// sets_linux.go), and what is dropped between endpoints passes in that moment: sets by
// another name help only where the table stays, and a table that takes the place of another
// one does not. So it begins with the endpoints twice: once more by the lengths of
// their prefixes, in sets without intervals, which are in force together with the rules.
// Chains that ask these take the place of rules that ask whether both ends are endpoints, until
// the sets are filled; then they go.
//
// For what is not found among endpoints STT is dropped, with no help from here. Sets are
// filled in the order in which they were added: those of bound endpoints before those of
// all, so that no endpoint is found without the interface that it is bound to.

// filled puts a table in with what it needs until its sets are filled, and takes that away
// again. Where the kernel has no room for both, or whatever else it says, the table is put in
// without.
func (c TableConfig) filled(put func(TableConfig) (*Table, error)) (*Table, error) {
	if !c.restricted() {
		return put(c)
	}
	c.filling = true
	t, err := put(c)
	c.filling = false
	if err != nil {
		return put(c)
	}
	return t.update(c)
}

func (v version) isV4() bool { return v.len == 4 }

// lengths returns those of the endpoints' prefixes, each once, ascending.
func (c TableConfig) lengths(v4 bool) (list []int) {
	for _, p := range c.endpoints(v4) {
		list = append(list, p.Bits())
	}
	slices.Sort(list)
	return slices.Compact(list)
}

func fillingSet(v4 bool, bits int) string {
	return fmt.Sprintf("filling%s_%d", versionDigit(v4), bits)
}

// fillingSets are the endpoints, a set for each length of prefixes.
func (c TableConfig) fillingSets() (list []namedSet) {
	for _, v4 := range []bool{true, false} {
		kind := nftables.TypeIPAddr
		if !v4 {
			kind = nftables.TypeIP6Addr
		}
		for _, bits := range c.lengths(v4) {
			s := namedSet{set: &nftables.Set{Name: fillingSet(v4, bits), KeyType: kind}}
			for _, p := range c.endpoints(v4) {
				if p.Bits() == bits {
					s.elements = append(s.elements, nftables.SetElement{Key: p.Addr().AsSlice()})
				}
			}
			list = append(list, s)
		}
	}
	return list
}

// fillingChains are the chains behind one for what passes between endpoints: by source, by
// destination, and for packets between two.
func fillingChains(between string) (from, to, both string) {
	return between + "_from", between + "_to", between + "_both"
}

// fillingLeadOn leads from a base chain, in the place of rules that ask the sets of the table:
// none may be asked before and another time behind the moment that it is filled.
func fillingLeadOn(base, between string) rule {
	from, _, _ := fillingChains(between)
	return rule{base, "", []part{jump(expr.VerdictGoto, from)}}
}

// fillingRules lead to what the table drops between endpoints with its sets filled.
func (c TableConfig) fillingRules() (list []rule) {
	for _, between := range c.betweens() {
		from, to, both := fillingChains(between)
		for _, v := range []version{v4(), v6()} {
			for _, bits := range c.lengths(v.isV4()) {
				list = append(list,
					rule{from, "", []part{endpointBy(v, source, bits), jump(expr.VerdictGoto, to)}},
					rule{to, "", []part{endpointBy(v, destination, bits), jump(expr.VerdictGoto, both)}})
			}
		}
		list = append(list,
			rule{both, "", []part{ipv6Fragment(), notTCP(), jump(expr.VerdictGoto, between)}},
			rule{both, "may be a fragment of STT", []part{ipv6LaterFragment(), dropAs(reason.OuterFragment.String())}},
			rule{both, "", []part{jump(expr.VerdictGoto, between)}})
	}
	return list
}

// endpointBy matches packets whose address on one side is in an endpoint with a prefix of
// that length.
func endpointBy(v version, s side, bits int) part {
	field, offset := " saddr & ", v.source
	if s == destination {
		field, offset = " daddr & ", v.destination
	}
	mask, _ := netip.AddrFromSlice(slices.Repeat([]byte{0xff}, int(v.len)))
	network, _ := mask.Prefix(bits) // bits are those of an address of this version
	set := fillingSet(v.isV4(), bits)
	return part{v.name + field + network.Addr().String() + " @" + set, append(family(v.family),
		&expr.Payload{DestRegister: 1, Base: expr.PayloadBaseNetworkHeader, Offset: offset, Len: v.len},
		&expr.Bitwise{SourceRegister: 1, DestRegister: 1, Len: v.len, Mask: network.Addr().AsSlice(), Xor: make([]byte, v.len)},
		&expr.Lookup{SourceRegister: 1, SetName: set})}
}
