package conntrack

import (
	"math/rand/v2"
	"net/netip"
	"testing"
	"time"

	"sttwall/inspect"
)

func TestRowsAreTheFlows(t *testing.T) {
	seed := uint64(time.Now().UnixNano())
	t.Logf("seed %d", seed)
	r := rand.New(rand.NewPCG(seed, 1))
	table := newTable(t, 200)
	now := int64(0)
	for range 2000 {
		now += int64(r.IntN(2)) * second / 4
		var out Result
		p := randomPacket(r)
		if table.Track(now, 1, p, &out); out.State == StateNew {
			table.Create(now, 1, p, &Creation{Rule: int32(r.IntN(9)), Mark: uint32(r.IntN(9))}, &out)
		}
	}
	rows := 0
	table.Rows(now, Cursor{}, func(row *Row) bool {
		rows++
		var f, is Flow
		var origin, first inspect.Frame
		row.Show(&f)
		row.Origin(&origin)
		if !table.Look(row.Handle(), &is) || f != is {
			t.Fatalf("got %+v, want %+v", f, is)
		}
		if _, _, _, ok := table.Origin(row.Handle(), &first); !ok || origin != first {
			t.Fatalf("got %+v, want %+v", origin, first)
		}
		packets, bytes := row.Counts()
		created, last, expires := row.Times()
		generation, rule, mark := row.Judged()
		ends := row.Ends()
		got := Flow{
			Handle: row.Handle(), Key: row.Key(), Status: row.Status(), Rule: rule, Mark: mark, Generation: generation,
			From: netip.AddrFrom16(ends[0]).Unmap(), To: netip.AddrFrom16(ends[1]).Unmap(),
			Contexts: [2]uint64{row.Context(), f.Contexts[1]}, HasReply: f.HasReply, Packets: packets, Bytes: bytes,
			Created: created, Last: last, Expires: expires, Next: f.Next,
		}
		if got != f || row.Tenant() != f.Key.Tenant || row.Protocol() != f.Key.Protocol {
			t.Fatalf("got %+v, tenant %d, protocol %d, want %+v", got, row.Tenant(), row.Protocol(), f)
		}
		shard, index, version := row.Handle().Place()
		if int(shard) >= table.Shards() || int(index) >= table.Places(int(shard)) || version == 0 {
			t.Fatalf("%v is in no place", row.Handle())
		}
		return true
	})
	if rows < 10 {
		t.Errorf("%d rows", rows)
	}
	half := 0
	for tenant := range int32(2) {
		_, n := table.TenantStats(tenant)
		half += n
	}
	if got := table.HalfOpen(); got != half {
		t.Errorf("%d half-open flows, want %d", got, half)
	}
	if table.MaxFlows() != 200 {
		t.Error(table.MaxFlows())
	}
}

func TestAHandleIsReadAsItWasWritten(t *testing.T) {
	table := fill(t, 300)
	handles := map[string]bool{}
	table.Rows(1, Cursor{}, func(row *Row) bool {
		h, err := ParseHandle(row.Handle().String())
		if err != nil || h != row.Handle() || h.Compare(row.Handle()) != 0 {
			t.Fatalf("%v, %v, want %v", h, err, row.Handle())
		}
		handles[h.String()] = true
		return true
	})
	if len(handles) != 300 {
		t.Errorf("%d names of 300 flows", len(handles))
	}
	for _, text := range []string{"", "1", "1-2", "1-2-3-4", "1-2-x", "-1-2-3", "1-2-4294967296", " 1-2-3", "+1-2-3", "1-2-3\x1b[2J"} {
		if h, err := ParseHandle(text); err == nil {
			t.Errorf("%q is %v", text, h)
		}
	}
	// Whatever somebody writes names no flow but one that there is.
	for name := range handles {
		h, _ := ParseHandle(name)
		for _, other := range []Handle{{h.shard, h.index, h.version + 1}, {h.shard + 1<<16, h.index, h.version}, {h.shard, h.index + 1<<20, h.version}, {h.shard, h.index, 0}} {
			if table.Look(other, new(Flow)) {
				t.Fatalf("%v is a flow", other)
			}
		}
		table.End(h)
		for version := range h.version + 3 {
			if table.Look(Handle{h.shard, h.index, version}, new(Flow)) {
				t.Fatalf("%v has ended, and version %d of it is a flow", h, version)
			}
		}
	}
	a, b := Handle{1, 2, 3}, Handle{1, 2, 5}
	if a.Compare(b) >= 0 || (Handle{1, 3, 1}).Compare(b) <= 0 || (Handle{0, 9, 9}).Compare(a) >= 0 {
		t.Error("handles are not in order")
	}
}
