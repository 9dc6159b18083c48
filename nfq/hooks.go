package nfq

import (
	"fmt"
	"strings"
)

// Hook is a place on a packet's way through a host at which STT is taken out.
type Hook uint8

const (
	// HookPrerouting: what comes in, to be forwarded or for this host itself.
	HookPrerouting Hook = iota
	// HookOutput: what this host sends itself.
	HookOutput
	// HookBridge: what bridges of this host forward, VLAN-tagged too, through
	// br_netfilter. It has what comes in otherwise inspected as well: both meet in the
	// same hook of the kernel.
	HookBridge

	hooks int = iota
)

// String returns what [ParseHook] reads.
func (h Hook) String() string {
	switch h {
	case HookOutput:
		return "output"
	case HookBridge:
		return "bridge"
	}
	return "prerouting"
}

// ParseHook reads "prerouting", "output" or "bridge".
func ParseHook(word string) (Hook, error) {
	for h := range Hook(hooks) {
		if word == h.String() {
			return h, nil
		}
	}
	return 0, fmt.Errorf("hook=%s: want prerouting, output or bridge", word)
}

// Hooks is a set of hooks. The zero value stands for [HookPrerouting] alone.
type Hooks uint8

// HooksOf returns the set of these; of none, that of [HookPrerouting].
func HooksOf(list ...Hook) (set Hooks) {
	for _, h := range list {
		set |= 1 << h
	}
	return set
}

// Has reports whether h is in the set.
func (s Hooks) Has(h Hook) bool {
	if s == 0 {
		return h == HookPrerouting
	}
	return s&(1<<h) != 0
}

// String returns their names, with commas.
func (s Hooks) String() string {
	var names []string
	for h := range Hook(hooks) {
		if s.Has(h) {
			names = append(names, h.String())
		}
	}
	return strings.Join(names, ",")
}

// incoming reports whether what comes in is inspected.
func (s Hooks) incoming() bool { return s.Has(HookPrerouting) || s.Has(HookBridge) }
