package nfq

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"maps"
	"slices"

	"github.com/google/nftables"
	"github.com/google/nftables/binaryutil"
	"github.com/google/nftables/expr"
)

// A set that rules ask is never changed: packets can find nothing in a set of intervals
// from the moment that its transaction is in force until all of it is carried out
// (nft_set_commit_update in net/netfilter/nf_tables_api.c), some 0.1 ms, and where an
// interval takes the place of one that overlaps it, kernels that walk a tree in lookups
// (net/netfilter/nft_set_rbtree.c) can miss both. What a reload changes is another set,
// under another name, filled before the transaction that has rules ask it. So each packet
// meets the rules and the sets of before, or those of after.

// namedSet is a set of the table with its elements.
type namedSet struct {
	name     string // by which rules are written; see [secondNames]
	set      *nftables.Set
	elements []nftables.SetElement
	made     string // with another one it is another set
}

// of returns the name of a set in the kernel.
func (n secondNames) of(name string) string {
	if n[name] {
		return name + "_b"
	}
	return name
}

// apply has rules ask sets by their names in the kernel.
func (n secondNames) apply(rules []rule) {
	for _, r := range rules {
		for _, p := range r.parts {
			for _, e := range p.exprs {
				switch e := e.(type) {
				case *expr.Lookup:
					e.SetName = n.of(e.SetName)
				case *expr.Dynset:
					e.SetName = n.of(e.SetName)
				}
			}
		}
	}
}

// namedSets are the table's sets, but for the map to the queues, which [spread] makes.
func (c TableConfig) namedSets() []namedSet {
	ports := namedSet{set: &nftables.Set{Name: setPorts, KeyType: nftables.TypeInetService}}
	for _, p := range c.ports() {
		ports.elements = append(ports.elements, nftables.SetElement{Key: binary.BigEndian.AppendUint16(nil, p)})
	}
	list := []namedSet{ports}
	if c.restricted() {
		for _, s := range c.boundSets() { // before the others: see filling_linux.go
			_, kind := s.kind()
			list = append(list, namedSet{set: &nftables.Set{Name: s.name, KeyType: kind, Interval: true}, elements: s.elements(), made: s.on})
		}
		list = append(list,
			namedSet{set: &nftables.Set{Name: setEndpoints4, KeyType: nftables.TypeIPAddr, Interval: true}, elements: c.intervals(true)},
			namedSet{set: &nftables.Set{Name: setEndpoints6, KeyType: nftables.TypeIP6Addr, Interval: true}, elements: c.intervals(false)})
		if c.filling {
			list = append(list, c.fillingSets()...)
		}
	}
	list = append(list, c.rateSets()...)
	for i := range list {
		s := &list[i]
		s.name = s.set.Name
		s.set.Name, s.set.Table, s.set.KeyByteOrder = c.second.of(s.name), c.table(), binaryutil.BigEndian
	}
	return list
}

// same reports whether two sets with one name are the same for packets.
func (s *namedSet) same(other *namedSet) bool {
	return s.made == other.made && slices.EqualFunc(s.elements, other.elements, func(a, b nftables.SetElement) bool {
		return bytes.Equal(a.Key, b.Key) && a.IntervalEnd == b.IntervalEnd
	})
}

// find returns the set of that name in rules, nil if there is none.
func find(list []namedSet, name string) *namedSet {
	i := slices.IndexFunc(list, func(s namedSet) bool { return s.name == name })
	if i < 0 {
		return nil
	}
	return &list[i]
}

// secondAfter returns which sets stand under their second name in a table that takes the
// place of another one: those that are the same keep their name, and of two others each
// has one of its own.
func (c TableConfig) secondAfter(there TableConfig) secondNames {
	before, second := there.namedSets(), maps.Clone(there.second)
	for _, s := range c.namedSets() {
		if old := find(before, s.name); old != nil && !s.same(old) {
			if second == nil {
				second = make(secondNames)
			}
			second[s.name] = !second[s.name]
		}
	}
	return second
}

// without returns the sets whose name in the kernel no set of another configuration has.
func (c TableConfig) without(other TableConfig) []namedSet {
	others := other.namedSets()
	return slices.DeleteFunc(c.namedSets(), func(s namedSet) bool {
		return slices.ContainsFunc(others, func(o namedSet) bool { return o.set.Name == s.set.Name })
	})
}

// addSets adds sets with their elements, in messages that are not too long.
func addSets(conn *nftables.Conn, list []namedSet) error {
	for _, s := range list {
		if err := conn.AddSet(s.set, nil); err != nil {
			return fmt.Errorf("set %s: %w", s.set.Name, err)
		}
		for part := range slices.Chunk(s.elements, elementsPerMessage) {
			if err := conn.SetAddElements(s.set, part); err != nil {
				return fmt.Errorf("set %s: %w", s.set.Name, err)
			}
		}
	}
	return nil
}

// addNewSets adds the sets that another configuration has not, in a transaction of their
// own.
func (c TableConfig) addNewSets(there TableConfig) error {
	list := c.without(there)
	if len(list) == 0 {
		return nil
	}
	conn, err := connect(c.NetNS)
	if err != nil {
		return err
	}
	if err := addSets(conn, list); err != nil {
		return err
	}
	return conn.Flush()
}
