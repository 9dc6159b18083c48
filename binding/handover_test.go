package binding

import (
	"bytes"
	"errors"
	"slices"
	"testing"
)

func handed(t testing.TB, table *Table, now int64) (list [][]byte) {
	t.Helper()
	if err := table.Export(now, func(record []byte) error {
		list = append(list, slices.Clone(record))
		return nil
	}); err != nil {
		t.Fatal(err)
	}
	return list
}

func sameTenant(tenant int32) (int32, bool) { return tenant, true }

// bound is a table with n addresses, some of which have moved.
func bound(t testing.TB, n int) *Table {
	t.Helper()
	table := newTable(t, Config{MaxBindings: 3000})
	for i := range n {
		table.claim(int64(i), addressClaim(i), outer(i%7), false)
		if i%3 == 0 {
			table.claim(second+int64(i), addressClaim(i), outer(100), true)
		}
	}
	return table
}

func TestBindingsAreTheSameInAnotherTable(t *testing.T) {
	from := bound(t, 500)
	now, elapsed, clock := 10*second, 3*second, 5000*second
	list := handed(t, from, now)
	to := newTable(t, Config{MaxBindings: 20000})
	done, err := to.Import(&Importing{Now: clock, Elapsed: elapsed, Tenant: sameTenant}, bytes.Join(list, nil))
	if err != nil || done != (Imported{Bindings: 500}) {
		t.Fatalf("%+v, %v", done, err)
	}
	recount(t, to)
	want, got := make(map[Claim]Binding), make(map[Claim]Binding)
	from.Sweep(now, func(b *Binding) { want[b.Claim] = *b })
	to.Sweep(clock, func(b *Binding) { got[b.Claim] = *b })
	for c, w := range want {
		w.Since += clock - elapsed - now
		w.Last += clock - elapsed - now
		if got[c] != w {
			t.Fatalf("got %+v, want %+v", got[c], w)
		}
	}
	if standing, _ := to.claim(clock, addressClaim(1), outer(2), false); standing != Moves { // silent for 13 s
		t.Errorf("another endpoint: %v", standing)
	}
	if standing, _ := to.claim(clock, addressClaim(1), outer(1), false); standing != Elsewhere {
		t.Errorf("the first one, then: %v", standing)
	}
}

func TestBindingsOfTenantsThatAreGoneAndOldOnesStayBehind(t *testing.T) {
	from := bound(t, 10)
	list := bytes.Join(handed(t, from, 2*second), nil)
	for _, tt := range []struct {
		config  Config
		elapsed int64
		tenant  func(int32) (int32, bool)
		want    Imported
	}{
		{Config{MaxBindings: 100, MaxPerEndpoint: 100}, 0, func(int32) (int32, bool) { return 0, false }, Imported{Tenantless: 10}},
		{Config{MaxBindings: 100, MaxPerEndpoint: 100}, 0, func(int32) (int32, bool) { return 5, true }, Imported{Bindings: 10}},
		{Config{MaxBindings: 100, MaxPerEndpoint: 100}, 600 * second, sameTenant, Imported{Over: 10}},
		{Config{MaxBindings: 3, MaxPerEndpoint: 3}, 0, sameTenant, Imported{Bindings: 3, NoRoom: 7}},
		{Config{MaxBindings: 100, MaxPerEndpoint: 1}, 0, sameTenant, Imported{Bindings: 6, NoRoom: 4}}, // five endpoints, and the one to which four have moved
	} {
		to := newTable(t, tt.config)
		done, err := to.Import(&Importing{Now: 1000 * second, Elapsed: tt.elapsed, Tenant: tt.tenant}, list)
		if err != nil || done != tt.want {
			t.Errorf("%+v after %d s: got %+v, %v; want %+v", tt.config, tt.elapsed/second, done, err, tt.want)
		}
		recount(t, to)
	}
}

func TestWhatIsNoBindingIsRefused(t *testing.T) {
	one := handed(t, bound(t, 1), 2*second)[0]
	change := func(at int, to byte) []byte {
		b := slices.Clone(one)
		b[at] = to
		return b
	}
	for name, tt := range map[string]struct {
		list []byte
		want error
	}{
		"cut off":                  {one[:Handed-1], errHandedShort},
		"twice":                    {append(slices.Clone(one), one...), errHandedTwice},
		"a kind that is none":      {change(32, byte(Kinds)), errHanded},
		"not quite IPv4":           {change(33, 2), errHanded},
		"an IPv4 address of IPv6":  {change(0, 0xfd), errHanded},
		"an endpoint that is none": {change(keyLen+16, 2), errHanded},
		"an IPv4 endpoint of IPv6": {change(keyLen, 0xfd), errHanded},
		"an age beyond all":        {change(keyLen+16+1+4+7, 0x7f), errHanded},
		"a life beyond all":        {change(Handed-1, 0x7f), errHanded},
	} {
		to := newTable(t, Config{MaxBindings: 100})
		if _, err := to.Import(&Importing{Now: 2 * second, Tenant: sameTenant}, tt.list); !errors.Is(err, tt.want) {
			t.Errorf("%s: got %v, want %v", name, err, tt.want)
		}
		recount(t, to)
	}
}

// FuzzImport has tables take any bytes for bindings: what they take is what they then
// hand over, and counts are right.
func FuzzImport(f *testing.F) {
	list := handed(f, bound(f, 20), 2*second)
	f.Add(bytes.Join(list, nil), uint16(0))
	f.Add(list[0], uint16(7))
	f.Fuzz(func(t *testing.T, list []byte, elapsed uint16) {
		now := int64(1e18)
		table := newTable(t, Config{MaxBindings: 16, MaxPerEndpoint: 9})
		done, _ := table.Import(&Importing{Now: now, Elapsed: int64(elapsed) * second / 100, Tenant: sameTenant}, list)
		recount(t, table)
		copied := handed(t, table, now)
		if len(copied) != done.Bindings || table.Stats().Bindings != done.Bindings {
			t.Fatalf("%+v, but %d are handed over", done, len(copied))
		}
		again := newTable(t, Config{MaxBindings: 16, MaxPerEndpoint: 9})
		if _, err := again.Import(&Importing{Now: now, Tenant: sameTenant}, bytes.Join(copied, nil)); err != nil {
			t.Fatalf("what a table has taken another one does not: %v", err)
		}
		twice := handed(t, again, now)
		slices.SortFunc(copied, bytes.Compare)
		slices.SortFunc(twice, bytes.Compare)
		if !slices.EqualFunc(copied, twice, bytes.Equal) {
			t.Fatal("what is handed over twice is another thing")
		}
		table.claim(now, addressClaim(1), outer(1), true)
		recount(t, table)
	})
}
