package binding

import (
	"encoding/binary"
	"errors"
	"hash/maphash"
)

// A binding that is handed over to another table, all numbers little endian:
//
//	34 bytes   key
//	17 bytes   endpoint, and whether it is IPv4
//	 4 bytes   how often it has moved
//	 8 bytes   age of the last claim, ns
//	 8 bytes   age of the binding, ns
//	 8 bytes   how long after its last claim it is remembered, ns
const (
	// Handed is how many bytes a binding takes.
	Handed = keyLen + 17 + 4 + 3*8
	// maxAge is the largest age in ns that is taken for one: a hundred years.
	maxAge = 100 * 365 * 86400 * 1_000_000_000
)

// Export shows all bindings that are remembered at now to emit, in the form that
// [Table.Import] takes. It ends at the first error of emit, which borrows the record
// and may not call the table.
func (t *Table) Export(now int64, emit func(record []byte) error) error {
	record := make([]byte, 0, Handed)
	for n := range t.shards {
		if err := t.shards[n].export(now, record, emit); err != nil {
			return err
		}
	}
	return nil
}

func (s *shard) export(now int64, record []byte, emit func([]byte) error) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	for i := range s.used {
		e := s.at(i)
		if !e.live() || e.over(now) {
			continue
		}
		le := binary.LittleEndian
		b := append(record, e.key[:]...)
		b = append(b, e.endpoint.address[:]...)
		b = append(b, 0)
		if e.endpoint.is4 {
			b[len(b)-1] = 1
		}
		b = le.AppendUint32(b, e.moves)
		b = le.AppendUint64(b, uint64(max(0, now-e.last)))
		b = le.AppendUint64(b, uint64(max(0, now-e.since)))
		b = le.AppendUint64(b, uint64(e.life))
		if err := emit(b); err != nil {
			return err
		}
	}
	return nil
}

// Importing says how bindings become those of another table.
type Importing struct {
	// Now is the time on the table's clock, in ns; Elapsed is how long ago it was that
	// the bindings were exported, in ns.
	Now, Elapsed int64
	// Tenant returns the number in this table of a tenant by the one that it had, or
	// false for a tenant that there is no more.
	Tenant func(int32) (int32, bool)
}

// Imported counts bindings.
type Imported struct {
	Bindings   int // in the table now
	Over       int // whose time has passed meanwhile
	Tenantless int // of tenants that there are no more
	NoRoom     int // that the table, or the share of their endpoint, has no room for
}

// Add adds o.
func (m *Imported) Add(o Imported) {
	m.Bindings += o.Bindings
	m.Over += o.Over
	m.Tenantless += o.Tenantless
	m.NoRoom += o.NoRoom
}

var (
	errHandedShort = errors.New("a binding is cut off")
	errHanded      = errors.New("a binding is none")
	errHandedTwice = errors.New("a binding is there twice")
)

// Import takes bindings that [Table.Export] has shown, one behind the other in list.
// After an error, about a list that no table has written, some may be in the table.
func (t *Table) Import(c *Importing, list []byte) (done Imported, err error) {
	for ; len(list) > 0 && err == nil; list = list[Handed:] {
		if len(list) < Handed {
			return done, errHandedShort
		}
		err = t.importOne(c, list[:Handed], &done)
	}
	return done, err
}

func (t *Table) importOne(c *Importing, b []byte, done *Imported) error {
	le := binary.LittleEndian
	k := key(b)
	at := endpoint{address: [16]byte(b[keyLen:]), is4: b[keyLen+16] == 1}
	b = b[keyLen+16:]
	moves, age, since, life := le.Uint32(b[1:]), le.Uint64(b[5:]), le.Uint64(b[13:]), le.Uint64(b[21:])
	old, claim := k.claim()
	switch {
	case b[0] > 1, k[33] > 1, claim.kind >= Kinds, keyOf(old, &claim) != k,
		age > maxAge, since > maxAge, life == 0, life > maxAge,
		at.is4 && !at.addr().Is4(), claim.is4 && !claim.Address().Is4():
		return errHanded
	}
	tenant, ok := c.Tenant(old)
	if !ok {
		done.Tenantless++
		return nil
	}
	k = keyOf(tenant, &claim)
	last := c.Now - c.Elapsed - int64(age)
	if c.Now-last >= int64(life) {
		done.Over++
		return nil
	}
	h := maphash.Bytes(t.seed, k[:])
	s := &t.shards[uint32(h)&t.mask]
	s.mu.Lock()
	defer s.mu.Unlock()
	if _, found := s.find(&k, h); found {
		return errHandedTwice
	}
	if s.accounts.full(at) || s.count >= s.capacity {
		done.NoRoom++
		return nil
	}
	e, i := s.insert(&k, h)
	e.endpoint, e.moves, e.last, e.since, e.life = at, moves, last, c.Now-c.Elapsed-int64(since), int64(life)
	s.enlist(i)
	done.Bindings++
	return nil
}
