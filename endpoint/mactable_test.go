package endpoint

import (
	"sync"
	"testing"
	"time"
)

func key(n int, vlan uint16) macKey {
	return macKey{mac: [6]byte{2, 0, 0, byte(n >> 16), byte(n >> 8), byte(n)}, vlan: vlan}
}

func TestAnAddressIsWhereItWasHeardLast(t *testing.T) {
	table, a, b := newMACTable(8), &remote{}, &remote{}
	table.learn(key(1, 0), a, 0)
	table.learn(key(1, 5), b, 0)
	if table.find(key(1, 0)) != a || table.find(key(1, 5)) != b || table.find(key(2, 0)) != nil {
		t.Error("addresses are not where they were heard")
	}
	table.learn(key(1, 0), b, 1)
	if table.find(key(1, 0)) != b {
		t.Error("an address that moved is still where it was")
	}
	group := macKey{mac: [6]byte{3}}
	table.learn(group, a, 1)
	if table.find(group) != nil {
		t.Error("a group address was learned")
	}
}

func TestAFullTableKeepsWhatItKnows(t *testing.T) {
	table, r := newMACTable(100), &remote{}
	for n := range 1000 {
		table.learn(key(n, 0), r, int64(n))
	}
	if table.size() != 100 || table.find(key(99, 0)) != r || table.find(key(100, 0)) != nil {
		t.Errorf("%d addresses, want the first 100", table.size())
	}
}

func TestAddressesAgeUnlessTheyAreHeardAgain(t *testing.T) {
	table, r := newMACTable(2), &remote{}
	table.learn(key(1, 0), r, 0)
	table.learn(key(2, 0), r, 0)
	table.learn(key(1, 0), r, int64(time.Second))
	table.expire(int64(time.Second)+1, time.Second)
	if table.find(key(1, 0)) != r || table.find(key(2, 0)) != nil {
		t.Error("the address that was heard again is gone, or the other is not")
	}
	table.learn(key(3, 0), r, int64(time.Second))
	if table.find(key(3, 0)) != r {
		t.Error("no room after ageing")
	}
}

func TestReadersAndWritersOfATableMayMeet(t *testing.T) {
	table, r := newMACTable(64), &remote{}
	var wg sync.WaitGroup
	for start := range 3 {
		wg.Go(func() {
			for n := range 500 {
				table.learn(key(n+start, 0), r, int64(n))
				if got := table.find(key(n, 0)); got != nil && got != r {
					t.Errorf("found %p, want %p", got, r)
				}
				table.expire(int64(n), 100)
			}
		})
	}
	wg.Wait()
	if table.size() > 64 {
		t.Errorf("%d addresses, want at most 64", table.size())
	}
}

func TestKnownAddressesAreFoundAndHeardWithoutAllocation(t *testing.T) {
	table, r := newMACTable(8), &remote{}
	table.learn(key(1, 0), r, 0)
	if n := testing.AllocsPerRun(100, func() { table.find(key(1, 0)); table.learn(key(1, 0), r, 5) }); n != 0 {
		t.Errorf("%v allocations, want none", n)
	}
}
