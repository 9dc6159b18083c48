package doctor

import (
	"slices"

	"github.com/vishvananda/netlink"
)

// stacked are kinds of interfaces whose packets come up through another one, which they
// name; a bridge or bond does not, its members name it.
var stacked = []string{"vlan", "macvlan", "macvtap", "ipvlan", "ipvtap", "macsec"}

// withLower adds the interfaces below: of a VLAN its parent, of a bridge or bond its
// members, and so on.
func (h *host) withLower(list []netlink.Link) ([]netlink.Link, error) {
	all, err := h.links()
	if err != nil {
		return nil, err
	}
	list = slices.Clone(list)
	for i := 0; i < len(list); i++ {
		for _, l := range all {
			if below(l, list[i]) && !slices.ContainsFunc(list, func(k netlink.Link) bool { return k.Attrs().Index == l.Attrs().Index }) {
				list = append(list, l)
			}
		}
	}
	return list, nil
}

// below reports whether what comes in on lower goes up to upper.
func below(lower, upper netlink.Link) bool {
	if slices.Contains([]string{"bridge", "bond", "team", "hsr"}, upper.Type()) && lower.Attrs().MasterIndex == upper.Attrs().Index {
		return true
	}
	return slices.Contains(stacked, upper.Type()) && upper.Attrs().ParentIndex == lower.Attrs().Index
}

// isLower reports whether an interface stands below one of that name, at whatever depth,
// and of which kind that one is.
func (h *host) isLower(l netlink.Link, name string) (kind string, lower bool) {
	all, err := h.links()
	if err != nil {
		return "", false
	}
	at := slices.IndexFunc(all, func(k netlink.Link) bool { return k.Attrs().Name == name })
	if at < 0 {
		return "", false
	}
	under, err := h.withLower(all[at : at+1])
	if err != nil {
		return "", false
	}
	return all[at].Type(), slices.ContainsFunc(under[1:], func(k netlink.Link) bool { return k.Attrs().Index == l.Attrs().Index })
}
