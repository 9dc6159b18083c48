package binding

import (
	"encoding/binary"
	"net/netip"
	"testing"
)

// A panic while a shard is locked leaves it free, with the bindings that it has.
func TestAPanicUnderTheLockOfAShardKeepsTheBindings(t *testing.T) {
	table, err := New(Config{MaxBindings: 1000})
	if err != nil {
		t.Fatal(err)
	}
	endpoints := []netip.Addr{netip.MustParseAddr("192.0.2.1"), netip.MustParseAddr("192.0.2.2")}
	sighting := func(i int) *Sighting {
		c := &Claim{kind: MAC}
		binary.BigEndian.PutUint32(c.value[:], uint32(i))
		return &Sighting{Claim: c, From: endpoints[i%2], Expiry: 1e9, MoveAfter: 1e9}
	}
	const bindings = 300
	for i := range bindings {
		g := sighting(i)
		table.Commit(1, g, table.Check(1, g), nil)
	}
	s := &table.shards[0]
	s.remove(3)           // one is free
	s.accounts.heap = nil // damaged
	func() {
		defer func() {
			if recover() == nil {
				t.Error("nothing panicked")
			}
		}()
		g := sighting(bindings + 1) // of the endpoint that is not at the top
		table.Commit(1, g, table.Check(1, g), nil)
	}()
	if !s.mu.TryLock() {
		t.Fatal("the shard is locked")
	}
	s.mu.Unlock()
	here := 0
	for i := range bindings {
		if table.Check(1, sighting(i)).Standing == Here {
			here++
		}
	}
	if n := table.Stats().Bindings; here != bindings-1 || n < here || n > here+1 {
		t.Errorf("%d bindings are found of %d, want %d", here, n, bindings-1)
	}
	for i := range 700 { // and it goes on, up to the share of each
		g := sighting(i)
		table.Commit(1, g, table.Check(1, g), nil)
	}
	if n := table.Stats().Bindings; n != 500 {
		t.Errorf("%d bindings, want two shares of 250", n)
	}
}
