package lab

import (
	"context"
	"fmt"
	"slices"
	"sync"
)

// journal collects what happens, in order, and lets others wait for it. The
// zero value has no bound; one goroutine adds, any number read.
type journal[T any] struct {
	mu      sync.Mutex
	entries []T
	cleared int // entries that were there before them
	size    int // of all that was added, as add's callers count it
	bound   int // of size; 0: none. What comes above it is counted, not kept
	lost    int
	changed chan struct{} // closed and replaced when entries grow; nil until somebody waits
}

// add appends an entry that counts size towards the bound.
func (j *journal[T]) add(entry T, size int) {
	j.mu.Lock()
	defer j.mu.Unlock()
	if j.bound > 0 && j.size+size > j.bound {
		j.lost++
		return
	}
	j.size += size
	j.entries = append(j.entries, entry)
	if j.changed != nil {
		close(j.changed)
		j.changed = nil
	}
}

// clear forgets the entries, not the losses.
func (j *journal[T]) clear() {
	j.mu.Lock()
	defer j.mu.Unlock()
	j.cleared += len(j.entries)
	j.entries, j.size = nil, 0
}

// all returns what is there now. The entries are shared.
func (j *journal[T]) all() []T {
	j.mu.Lock()
	defer j.mu.Unlock()
	return slices.Clip(j.entries)
}

// wait returns the first entry that matches, of those that are there and
// those that come until ctx ends.
func (j *journal[T]) wait(ctx context.Context, what string, match func(T) bool) (T, error) {
	for seen := 0; ; {
		j.mu.Lock()
		seen = max(seen, j.cleared)
		entries := j.entries[seen-j.cleared:]
		if len(entries) == 0 && j.changed == nil {
			j.changed = make(chan struct{})
		}
		changed := j.changed
		j.mu.Unlock()
		for _, entry := range entries {
			if match(entry) {
				return entry, nil
			}
		}
		if seen += len(entries); len(entries) > 0 {
			continue
		}
		select {
		case <-changed:
		case <-ctx.Done():
			var none T
			return none, fmt.Errorf("waiting for %s: %w", what, context.Cause(ctx))
		}
	}
}
