package analyze

import (
	"hash/maphash"
	"slices"
	"sort"

	"sttwall/policy/space"
)

// fingerprint is equal for rules that match and decide alike, whatever their
// names; the fingerprints of two lists are compared if they have one seed.
type fingerprint uint64

func fingerprints(l *List, seed maphash.Seed) []fingerprint {
	var h maphash.Hash
	h.SetSeed(seed)
	out := make([]fingerprint, len(l.Rules))
	for i := range l.Rules {
		r := &l.Rules[i]
		h.Reset()
		text(&h, r.Effect)
		text(&h, r.Condition)
		flags := byte(r.Action) << 1
		if r.Partial {
			flags |= 1
		}
		h.WriteByte(flags)
		for j := range r.Products {
			h.WriteByte(1)
			for f := range space.Fields {
				s := r.Products[j][f]
				if s.IsEverything() {
					continue
				}
				h.WriteByte(2 + byte(f))
				for _, r := range f.Ranges(s) {
					maphash.WriteComparable(&h, r)
				}
			}
		}
		out[i] = fingerprint(h.Sum64())
	}
	return out
}

// text writes a string so that it cannot run into the next one.
func text(h *maphash.Hash, s string) {
	maphash.WriteComparable(h, len(s))
	h.WriteString(s)
}

// sameRule reports whether rules match and decide alike, as far as can be known.
func sameRule(a, b *Rule) bool {
	return a.Verdict == b.Verdict && a.Partial == b.Partial && a.Condition == b.Condition &&
		(!a.Partial || a.Condition != "") && sameProducts(a.Products, b.Products)
}

func sameProducts(a, b []space.Product) bool {
	return slices.EqualFunc(a, b, func(p, q space.Product) bool { return p.Equal(&q) })
}

// align pairs rules that are in both lists, in the same order. partner[i] is the
// new rule of old rule i, or -1. It need not find the most pairs.
func align(old, new *List, oldPrints, newPrints []fingerprint) (partner, partnerOfNew []int) {
	partner, partnerOfNew = fill(len(old.Rules)), fill(len(new.Rules))
	pair := func(i, j int) bool {
		if oldPrints[i] != newPrints[j] || !sameRule(&old.Rules[i], &new.Rules[j]) {
			return false
		}
		partner[i], partnerOfNew[j] = j, i
		return true
	}
	start, oldEnd, newEnd := 0, len(old.Rules), len(new.Rules)
	for start < oldEnd && start < newEnd && pair(start, start) {
		start++
	}
	for oldEnd > start && newEnd > start && pair(oldEnd-1, newEnd-1) {
		oldEnd--
		newEnd--
	}
	// In between: each old rule's first free twin, of those the longest run that
	// is in order (patience sorting).
	places := map[fingerprint][]int{}
	for j := start; j < newEnd; j++ {
		places[newPrints[j]] = append(places[newPrints[j]], j)
	}
	type match struct{ old, new, before int }
	var matches []match
	var piles []int // index of the last match of the best run of each length
	for i := start; i < oldEnd; i++ {
		free := places[oldPrints[i]]
		if len(free) == 0 {
			continue
		}
		j := free[0]
		places[oldPrints[i]] = free[1:]
		n := sort.Search(len(piles), func(k int) bool { return matches[piles[k]].new >= j })
		m := match{i, j, -1}
		if n > 0 {
			m.before = piles[n-1]
		}
		matches = append(matches, m)
		if n == len(piles) {
			piles = append(piles, 0)
		}
		piles[n] = len(matches) - 1
	}
	if len(piles) > 0 {
		for k := piles[len(piles)-1]; k >= 0; k = matches[k].before {
			pair(matches[k].old, matches[k].new)
		}
	}
	return partner, partnerOfNew
}

func fill(n int) []int {
	out := make([]int, n)
	for i := range out {
		out[i] = -1
	}
	return out
}
