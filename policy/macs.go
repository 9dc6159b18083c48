package policy

import (
	"net"
	"strings"
)

const lastMAC = 1<<48 - 1

// parseMACs reads one MAC address, the addresses that share its first bits, or
// "broadcast" or "multicast" (which holds broadcast too).
func parseMACs(s string) (spans, bool) {
	switch s {
	case "broadcast":
		return spans{{lastMAC, lastMAC}}, true
	case "multicast":
		// The lowest bit of the first byte says so: every second value of it.
		out := make(spans, 0, 128)
		for first := uint64(1); first < 256; first += 2 {
			out = append(out, span{first << 40, first<<40 + (1<<40 - 1)})
		}
		return out, true
	}
	address, length, hasLength := strings.Cut(s, "/")
	m, ok := parseMAC(address)
	if !ok {
		return nil, false
	}
	n := macNumber(m)
	if !hasLength {
		return spans{{n, n}}, true
	}
	bits, ok := parseDecimal(length, 48)
	free := uint64(1)<<(48-bits) - 1
	if !ok || n&free != 0 {
		return nil, false
	}
	return spans{{n, n | free}}, true
}

func parseMAC(s string) (m [6]byte, ok bool) {
	a, err := net.ParseMAC(s)
	if err != nil || len(a) != len(m) {
		return m, false
	}
	return [6]byte(a), true
}
