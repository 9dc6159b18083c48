package firewall

import (
	"hash/maphash"
	"net/netip"
)

// Who may have a share of reassembly of his own. Where settings.endpoints is a list, that
// is everybody in it: others do not get as far. Where it is empty anybody can forge any
// number of sources, each of which would have a share. Then only those have one of whom
// a frame of several packets has lately become whole and was accepted; all others share
// one. A forger can become known too, but he can push out nobody who is: a place is free
// when its source has had no such frame for a minute, and there are few of them.
//
// A frame in one packet needs no reassembly, and makes nobody known.

const (
	knownSets, knownWays = 64, 4 // 256 sources
	knownFor             = int64(60e9)
)

// knownSources are the sources that one worker knows.
type knownSources struct {
	seed maphash.Seed
	sets [knownSets][knownWays]knownSource
}

type knownSource struct {
	addr netip.Addr
	last int64 // ns, when its last frame was accepted
}

func (k *knownSources) set(a netip.Addr) *[knownWays]knownSource {
	return &k.sets[maphash.Comparable(k.seed, a)%knownSets]
}

// has reports whether a source is known.
func (k *knownSources) has(now int64, a netip.Addr) bool {
	for _, s := range k.set(a) {
		if s.addr == a {
			return now-s.last < knownFor
		}
	}
	return false
}

// met says that a frame of a source was accepted. Where all places are taken, it is not
// known.
func (k *knownSources) met(now int64, a netip.Addr) {
	set := k.set(a)
	free := -1
	for i := range set {
		s := &set[i]
		switch {
		case s.addr == a:
			s.last = now
			return
		case !s.addr.IsValid() || now-s.last >= knownFor:
			free = i
		}
	}
	if free >= 0 {
		set[free] = knownSource{a, now}
	}
}

// hasShare is what reassembly asks when a frame begins.
func (f *Firewall) hasShare(a netip.Addr) bool {
	return f.standing.endpoints != nil || f.known.has(f.now, a)
}
