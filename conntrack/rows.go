package conntrack

import (
	"encoding/binary"

	"sttwall/inspect"
)

// Cursor is a place in the table: behind the flows that a [Table.Walk] has shown.
// The zero value is in front of all.
type Cursor struct{ Shard, Index uint32 }

// Row is a flow as [Table.Rows] comes by it: a copy, of which only that is decoded
// for which it is asked.
type Row struct {
	entry   entry
	record  record
	handle  Handle
	expires int64
}

// Handle returns the flow.
func (r *Row) Handle() Handle { return r.handle }

// Tenant returns the caller's number for the tenant.
func (r *Row) Tenant() int32 { return int32(binary.BigEndian.Uint32(r.entry.name[36:])) }

// Protocol returns the inner IP protocol.
func (r *Row) Protocol() uint8 { return r.entry.name[44] }

// Key returns the key as in the first packet.
func (r *Row) Key() Key { return r.entry.key() }

// Status returns the state by name, as [Flow.Status].
func (r *Row) Status() string { return statusNames[r.entry.status] }

// Context returns the context ID last seen in the direction of the first packet.
func (r *Row) Context() uint64 { return r.entry.contexts[0] }

// Counts returns what went in each direction; see [Flow].
func (r *Row) Counts() (packets [2]uint32, bytes [2]uint64) {
	return r.entry.packets, r.entry.bytes
}

// Times returns when the flow began, when a packet last kept it alive, and when it
// is forgotten if none comes; see [Flow].
func (r *Row) Times() (created, last, expires int64) {
	return int64(r.record.created) * 1e9, r.entry.last, r.expires
}

// Ends returns the outer endpoints of the side that began and of the other, IPv4
// mapped.
func (r *Row) Ends() *[2][16]byte { return &r.entry.from }

// Judged returns by which rules the flow passes: their generation, the rule, the
// mark.
func (r *Row) Judged() (generation uint32, rule int32, mark uint32) {
	return r.entry.generation, r.entry.rule, r.entry.mark
}

// Show fills f with the flow.
func (r *Row) Show(f *Flow) {
	r.entry.show(&r.record, f)
	f.Handle, f.Expires = r.handle, r.expires
}

// Origin fills f with the first packet; see [Table.Origin].
func (r *Row) Origin(f *inspect.Frame) { r.entry.origin(&r.record, f) }

// Rows shows flows to visit, from a place on and until visit returns false, and
// returns the place behind the last one that it has shown; more is false if all
// were seen. A flow that lives throughout is shown exactly once, however many
// calls it takes to see all. A shard is locked for [sweepStep] entries at a time,
// and not while visit runs: it may take its time. The row is borrowed until visit
// returns. Any cursor is a valid one.
func (t *Table) Rows(now int64, from Cursor, visit func(*Row) bool) (next Cursor, more bool) {
	var seen [sweepStep]Row
	// Copied under the lock, shown without it.
	step := func(n, from uint32) (count int, more bool) {
		s := &t.shards[n]
		s.mu.Lock()
		defer s.mu.Unlock()
		for i := from; i < s.used && i-from < sweepStep; i++ {
			e := s.at(i)
			if !e.live() {
				continue
			}
			expires := e.expires(&t.config.Timeouts)
			if now >= expires {
				continue
			}
			r := &seen[count]
			r.entry, r.record, r.handle, r.expires = *e, *s.record(i), Handle{n, i, e.version}, expires
			count++
		}
		return count, from < s.used && s.used-from > sweepStep
	}
	for n := from.Shard; n < uint32(len(t.shards)); n++ {
		i := uint32(0)
		if n == from.Shard {
			i = from.Index
		}
		for more := true; more; i += sweepStep {
			var count int
			count, more = step(n, i)
			for k := range count {
				if !visit(&seen[k]) {
					return Cursor{n, seen[k].handle.index + 1}, true
				}
			}
		}
	}
	return Cursor{Shard: uint32(len(t.shards))}, false
}

// Walk shows flows to visit as [Table.Rows] does, decoded.
func (t *Table) Walk(now int64, from Cursor, visit func(f *Flow, origin *inspect.Frame) bool) (next Cursor, more bool) {
	var (
		flow   Flow
		origin inspect.Frame
	)
	return t.Rows(now, from, func(r *Row) bool {
		r.Show(&flow)
		r.Origin(&origin)
		return visit(&flow, &origin)
	})
}

// Shards returns how many shards there are.
func (t *Table) Shards() int { return len(t.shards) }

// Places returns how many places of a shard were ever taken. It only grows.
func (t *Table) Places(shard int) int {
	s := &t.shards[shard]
	s.mu.Lock()
	defer s.mu.Unlock()
	return int(s.used)
}
