package nfq

import (
	"encoding/binary"
	"fmt"
	"slices"
	"strings"

	"github.com/google/nftables"
	"github.com/google/nftables/binaryutil"
)

// namedSet is a set of the table with its elements.
type namedSet struct {
	set      *nftables.Set
	elements []nftables.SetElement
	made     string // with another one it is another set
}

// namedSets are the table's sets, but for the map to the queues, which [spread] makes.
func (c TableConfig) namedSets() []namedSet {
	ports := namedSet{set: &nftables.Set{Name: setPorts, KeyType: nftables.TypeInetService}}
	for _, p := range c.ports() {
		ports.elements = append(ports.elements, nftables.SetElement{Key: binary.BigEndian.AppendUint16(nil, p)})
	}
	list := []namedSet{ports}
	if c.restricted() {
		list = append(list,
			namedSet{&nftables.Set{Name: setEndpoints4, KeyType: nftables.TypeIPAddr, Interval: true}, c.intervals(true), ""},
			namedSet{&nftables.Set{Name: setEndpoints6, KeyType: nftables.TypeIP6Addr, Interval: true}, c.intervals(false), ""})
		for _, s := range c.boundSets() {
			_, kind := s.kind()
			// Addresses of another interface must not be there for a moment.
			list = append(list, namedSet{&nftables.Set{Name: s.name, KeyType: kind, Interval: true}, s.elements(), s.on})
		}
	}
	list = append(list, c.rateSets()...)
	for _, s := range list {
		s.set.Table, s.set.KeyByteOrder = c.table(), binaryutil.BigEndian
	}
	return list
}

// find returns the set of that name, nil if there is none.
func find(list []namedSet, name string) *namedSet {
	for i := range list {
		if list[i].set.Name == name {
			return &list[i]
		}
	}
	return nil
}

// stays reports whether a set of another configuration is kept, with other elements.
func (s *namedSet) stays(in []namedSet) bool {
	other := find(in, s.set.Name)
	return other != nil && other.made == s.made
}

// add adds a set with its elements, in messages that are not too long.
func (s *namedSet) add(conn *nftables.Conn) error {
	if err := conn.AddSet(s.set, nil); err != nil {
		return fmt.Errorf("set %s: %w", s.set.Name, err)
	}
	return s.inMessages(s.elements, conn.SetAddElements)
}

// follow has the set, which is there with the elements of before, hold those of s. What is
// in both is not touched: packets find it at any time.
func (s *namedSet) follow(conn *nftables.Conn, before *namedSet) error {
	gone, come := differ(before.elements, s.elements)
	if err := s.inMessages(gone, conn.SetDeleteElements); err != nil {
		return err
	}
	return s.inMessages(come, conn.SetAddElements)
}

func (s *namedSet) inMessages(elements []nftables.SetElement, send func(*nftables.Set, []nftables.SetElement) error) error {
	for part := range slices.Chunk(elements, elementsPerMessage) {
		if err := send(s.set, part); err != nil {
			return fmt.Errorf("set %s: %w", s.set.Name, err)
		}
	}
	return nil
}

// differ returns what is in one list alone; an interval is both of its ends.
func differ(before, after []nftables.SetElement) (gone, come []nftables.SetElement) {
	one, other := spansOf(before), spansOf(after)
	without := func(list, others [][]nftables.SetElement) (rest []nftables.SetElement) {
		known := make(map[string]bool, len(others))
		for _, span := range others {
			known[keyOf(span)] = true
		}
		for _, span := range list {
			if !known[keyOf(span)] {
				rest = append(rest, span...)
			}
		}
		return rest
	}
	return without(one, other), without(other, one)
}

// spansOf takes elements apart into those without an interval, and intervals.
func spansOf(elements []nftables.SetElement) (spans [][]nftables.SetElement) {
	for i, e := range elements {
		if !e.IntervalEnd {
			spans = append(spans, elements[i:i+1])
			continue
		}
		last := len(spans) - 1
		spans[last] = elements[i-1 : i+1]
	}
	return spans
}

func keyOf(span []nftables.SetElement) string {
	var b strings.Builder
	for _, e := range span {
		b.Write(e.Key)
	}
	return b.String()
}

// addSets adds the sets to the transaction. Those that the table has by another
// configuration, if that is not nil, stay where they can, and their elements change.
func (c TableConfig) addSets(conn *nftables.Conn, there *TableConfig) error {
	var before []namedSet
	if there != nil {
		before = there.namedSets()
	}
	for _, s := range c.namedSets() {
		var err error
		switch {
		case s.stays(before):
			err = s.follow(conn, find(before, s.set.Name))
		case there != nil && find(before, s.set.Name) == nil:
			// It is there already: see [Table.update].
		default:
			err = s.add(conn)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// dropSets deletes sets that another configuration has no more, or made otherwise.
func (c TableConfig) dropSets(conn *nftables.Conn, next TableConfig) {
	after := next.namedSets()
	for _, s := range c.namedSets() {
		if !s.stays(after) {
			conn.DelSet(s.set)
		}
	}
}

// addNewSets adds the sets that another configuration did not have, in a transaction of
// their own.
func (c TableConfig) addNewSets(there TableConfig) error {
	before := there.namedSets()
	list := slices.DeleteFunc(c.namedSets(), func(s namedSet) bool { return find(before, s.set.Name) != nil })
	if len(list) == 0 {
		return nil
	}
	conn, err := connect(c.NetNS)
	if err != nil {
		return err
	}
	for _, s := range list {
		if err := s.add(conn); err != nil {
			return err
		}
	}
	return conn.Flush()
}
