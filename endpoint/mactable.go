package endpoint

import (
	"maps"
	"sync"
	"sync/atomic"
	"time"
)

// macKey is an inner address. The same address may live behind different
// remotes in two VLANs.
type macKey struct {
	mac  [6]byte
	vlan uint16
}

// macEntry is where a MAC address was last heard.
type macEntry struct {
	remote atomic.Pointer[remote]
	seen   atomic.Int64 // ns
}

// macTable knows behind which remote the MAC addresses of one Context ID are.
// Readers take no lock: the map is replaced when an address comes or goes, and
// its entries are atomic. When it is full no more addresses are learned until
// old ones have aged; one tenant cannot fill another one's table.
type macTable struct {
	limit   int
	entries atomic.Pointer[map[macKey]*macEntry]
	mu      sync.Mutex // who replaces entries
}

func newMACTable(limit int) *macTable {
	t := &macTable{limit: limit}
	t.entries.Store(&map[macKey]*macEntry{})
	return t
}

// find returns the remote behind which k is, or nil.
func (t *macTable) find(k macKey) *remote {
	if e := (*t.entries.Load())[k]; e != nil {
		return e.remote.Load()
	}
	return nil
}

// learn notes that a frame from k came from r at time now, in ns. Group
// addresses are not learned.
func (t *macTable) learn(k macKey, r *remote, now int64) {
	if k.mac[0]&1 != 0 {
		return
	}
	if e := (*t.entries.Load())[k]; e != nil {
		e.seen.Store(now)
		if e.remote.Load() != r {
			e.remote.Store(r)
		}
		return
	}
	if len(*t.entries.Load()) < t.limit {
		t.add(k, r, now)
	}
}

func (t *macTable) add(k macKey, r *remote, now int64) {
	t.mu.Lock()
	defer t.mu.Unlock()
	old := *t.entries.Load()
	if len(old) >= t.limit {
		return
	}
	entries := make(map[macKey]*macEntry, len(old)+1)
	maps.Copy(entries, old)
	e := &macEntry{}
	e.remote.Store(r)
	e.seen.Store(now)
	entries[k] = e
	t.entries.Store(&entries)
}

// expire forgets the addresses that were not heard of for age.
func (t *macTable) expire(now int64, age time.Duration) {
	t.mu.Lock()
	defer t.mu.Unlock()
	entries := maps.Clone(*t.entries.Load())
	before := len(entries)
	maps.DeleteFunc(entries, func(_ macKey, e *macEntry) bool { return now-e.seen.Load() > int64(age) })
	if len(entries) != before {
		t.entries.Store(&entries)
	}
}

// size returns how many addresses are known.
func (t *macTable) size() int { return len(*t.entries.Load()) }
