package main

import (
	"log/slog"
	"net"
	"slices"

	"sttwall/policy"
)

// warnInterfaces says which interfaces of endpoints do not exist, and where nobody
// here looks at them. foreign: the table is left to others.
func warnInterfaces(log *slog.Logger, bound []policy.BoundEndpoint, foreign bool) {
	if len(bound) == 0 {
		return
	}
	if foreign {
		log.Warn("endpoints are bound to interfaces, which only the table looks at: with --no-nft the rules that are loaded here must (see 'sttwall nft')")
	}
	there, err := net.Interfaces()
	if err != nil {
		log.Warn("not known whether the interfaces exist that endpoints are bound to", "why", err)
		return
	}
	var missing []string
	for _, b := range bound {
		if !slices.ContainsFunc(there, func(i net.Interface) bool { return i.Name == b.Interface }) && !slices.Contains(missing, b.Interface) {
			missing = append(missing, b.Interface)
			log.Warn("there is no interface of that name: until there is, nothing passes from the endpoints that are bound to it", "interface", b.Interface)
		}
	}
}
