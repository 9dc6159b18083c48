package suggest

import (
	"fmt"
	"slices"
	"strings"
)

const (
	longestName = 64 // of the rules language
	// room is left behind a name for a number that tells it from another one.
	room = 8
)

// names gives out names, each once.
type names map[string]bool

// fresh returns the first of the candidates that is free, or the first with a
// number behind it. A candidate that is too long is cut.
func (n names) fresh(candidates ...string) string {
	for _, c := range candidates {
		if c = c[:min(len(c), longestName)]; !n[c] {
			n[c] = true
			return c
		}
	}
	for i := 2; ; i++ {
		c := candidates[0]
		if c = fmt.Sprintf("%s-%d", c[:min(len(c), longestName-room)], i); !n[c] {
			n[c] = true
			return c
		}
	}
}

// networkName names a network that nobody claims.
func networkName(network uint64, ovn bool) string {
	switch {
	case ovn:
		return fmt.Sprintf("datapath-%d", network)
	case network < decimalBelow:
		return fmt.Sprintf("context-%d", network)
	}
	return fmt.Sprintf("context-0x%016x", network)
}

// decimalBelow: context IDs are written in decimal as far as people read them
// so.
const decimalBelow = 1 << 24

// labels names a list of services: by first, and by another one that has a
// name, if there is no more than one.
func labels(services []Match, first string) string {
	all := []string{first}
	for _, m := range services {
		if l := m.label(); !slices.Contains(all, l) && (!m.HasPorts || m.isKnown()) {
			all = append(all, l)
		}
	}
	if len(all) > 2 {
		all = all[:1]
	}
	return strings.Join(all, "-")
}
