package policy

import (
	"net/netip"
	"slices"
	"strings"

	"github.com/hashicorp/hcl/v2/hclsyntax"
)

// BoundEndpoint is one of [Settings.Endpoints] whose STT must come in on an interface.
// Of several endpoints that hold an address the one with the longest prefix decides;
// with several interfaces for it each will do.
type BoundEndpoint struct {
	Prefix    netip.Prefix
	Interface string // its name
}

// maxInterfaces bounds what is looked through for a packet.
const maxInterfaces = 64

// interfacesOf takes the interfaces out of settings.endpoints: "10.47.0.0/16 on eth1".
func (l *loader) interfacesOf(items []value) (bound []BoundEndpoint) {
	free := make(map[netip.Prefix]bool)
	var names []string
	for i := range items {
		v := &items[i]
		if v.kind != kindString {
			continue
		}
		address, name, named := strings.Cut(v.text, " on ")
		v.text = address
		r, problem := parseAddresses(address)
		if problem != "" || r.form == formRange {
			continue // the list's reader says so
		}
		prefix := netip.PrefixFrom(r.lo, r.bits)
		isBound := func(b BoundEndpoint) bool { return b.Prefix == prefix }
		switch {
		case named && !validInterface(name):
			l.errorf(v.at, "Invalid interface", `Expected the name of an interface behind "on", 1 to 15 characters without spaces, "/", ":", "+" and "*"; this is %q.`, clip(name))
			continue
		case named && free[prefix], !named && slices.ContainsFunc(bound, isBound):
			l.errorf(v.at, "Contradicting endpoints", "Expected %s with an interface or without one; it is in the list both ways.", address)
			continue
		case !named:
			free[prefix] = true
			continue
		}
		if !slices.Contains(names, name) {
			if len(names) == maxInterfaces {
				l.errorf(v.at, "Too many interfaces", "Expected at most %d interfaces.", maxInterfaces)
				return bound
			}
			names = append(names, name)
		}
		bound = append(bound, BoundEndpoint{prefix, name})
	}
	return bound
}

// validInterface is what the kernel takes for a name (net/core/dev.c,
// dev_valid_name), of printable ASCII.
func validInterface(name string) bool {
	const longest = 15
	return name != "" && len(name) <= longest && name != "." && name != ".." &&
		!strings.ContainsFunc(name, func(r rune) bool { return r <= ' ' || r > '~' || strings.ContainsRune(`/:"\*+`, r) })
}

// endpoints compiles settings.endpoints.
func (l *loader) endpoints(a *hclsyntax.Attribute) ([]netip.Prefix, []BoundEndpoint) {
	items := l.list(a, endpointExample, anyEndpoint)
	bound := l.interfacesOf(items)
	return l.prefixList(items), bound
}
