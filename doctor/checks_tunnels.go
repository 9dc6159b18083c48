package doctor

import (
	"errors"
	"fmt"
	"io/fs"
	"net"
	"slices"
	"strconv"
	"strings"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"

	"sttwall/nfq"
)

// The checks of this file are about other tunnels beside the firewall.

// tunnelKinds are kinds of interfaces that take packets out of other tunnels, as
// `ip link show type` takes them. What comes out of MACsec meets the hooks as what comes
// out of a cable does.
var tunnelKinds = []string{
	"vxlan", "geneve", "gre", "gretap", "ip6gre", "ip6gretap", "erspan", "ip6erspan", "ipip", "sit", "ip6tnl", "vti", "vti6", "xfrm",
	"l2tpeth", "gtp", "bareudp", "amt", "batadv", "wireguard", "ovpn",
}

// fallbacks come with their modules, and take nothing until somebody configures them.
var fallbacks = []string{"tunl0", "gre0", "gretap0", "erspan0", "sit0", "ip6tnl0", "ip6gre0", "ip_vti0", "ip6_vti0"}

// tunnelKind is the kind of a tunnel's interface; "" is none. L2TP's have no kind, but a
// type of device.
func (h *host) tunnelKind(l netlink.Link) string {
	a := l.Attrs()
	kind := l.Type()
	if text, err := h.text("sys/class/net/" + a.Name + "/uevent"); err == nil && slices.Contains(strings.Fields(text), "DEVTYPE=l2tpeth") {
		kind = "l2tpeth"
	}
	if !slices.Contains(tunnelKinds, kind) || slices.Contains(fallbacks, a.Name) && a.Flags&net.FlagUp == 0 {
		return ""
	}
	return kind
}

// knownToTable reports whether the table drops a tunnel between endpoints: those at other
// UDP ports it does not know (docs/table.md).
func knownToTable(l netlink.Link, kind string) bool {
	switch l := l.(type) {
	case *netlink.Vxlan:
		return slices.Contains(nfq.TunnelPorts(), uint16(l.Port))
	case *netlink.Geneve:
		return slices.Contains(nfq.TunnelPorts(), l.Dport)
	case *netlink.BareUDP:
		return slices.Contains(nfq.TunnelPorts(), l.Port)
	}
	return !slices.Contains([]string{"wireguard", "ovpn", "amt", "batadv"}, kind)
}

// tunnelInterfaces looks for interfaces beside us that take packets out of tunnels.
func tunnelInterfaces(h *host) (string, []Finding, error) {
	links, err := h.links()
	if err != nil {
		return "", nil, err
	}
	var found []Finding
	for _, l := range links {
		name := l.Attrs().Name
		kind := h.tunnelKind(l)
		if kind == "" {
			continue
		}
		f := Finding{What: fmt.Sprintf("%s takes packets out of a tunnel (%s) that the firewall does not look into", name, kind),
			Evidence: []string{fmt.Sprintf("ip -d link show dev %s: %s", name, kind)},
			Cure:     "If nobody needs it, take it away; else see that only your endpoints reach it (settings.endpoints with other_tunnels = \"drop\" stops it between them)",
			Commands: []Command{command("ip link delete dev %s", name)}}
		known := knownToTable(l, kind)
		if !known {
			f.Cure = "If nobody needs it, take it away; else see who reaches it: the table does not know this tunnel by a port or protocol, settings.only_stt alone stops it between endpoints"
		}
		f.between(h, known)
		found = append(found, f)
	}
	return fmt.Sprintf("none of %d interfaces", len(links)), found, nil
}

// between makes a finding a hint where the table stops that tunnel between endpoints.
func (f *Finding) between(h *host, known bool) {
	switch {
	case len(h.settings.Endpoints) == 0:
	case h.settings.OnlySTT:
		f.Severity = Hint
		f.Evidence = append(f.Evidence, "settings.only_stt: not between endpoints")
	case known && !h.settings.OtherTunnels:
		f.Severity = Hint
		f.Evidence = append(f.Evidence, "settings.other_tunnels is drop: not between endpoints")
	}
}

// tunnelSockets looks for UDP ports of tunnels that are open here, be it by a program or
// by the kernel.
func tunnelSockets(h *host) (string, []Finding, error) {
	var open []uint16
	var evidence []string
	looked := 0
	for _, name := range []string{"udp", "udp6"} {
		text, err := h.text(procNet + name)
		if errors.Is(err, fs.ErrNotExist) {
			continue // no IPv6
		}
		if err != nil {
			return "", nil, err
		}
		for line := range strings.Lines(text) {
			f := strings.Fields(line)
			if len(f) < 2 {
				continue
			}
			_, hex, ok := strings.Cut(f[1], ":")
			port, err := strconv.ParseUint(hex, 16, 16)
			if !ok || err != nil {
				continue
			}
			looked++
			if p := uint16(port); slices.Contains(nfq.TunnelPorts(), p) && !slices.Contains(open, p) {
				open = append(open, p)
				evidence = append(evidence, fmt.Sprintf("/%s%s: port %d", procNet, name, p))
			}
		}
	}
	if len(open) == 0 {
		return fmt.Sprintf("none of %d open ports", looked), nil, nil
	}
	var commands []Command
	var ports []string
	slices.Sort(open)
	for _, p := range open {
		ports = append(ports, strconv.Itoa(int(p)))
		commands = append(commands, command("ss -lunp sport = :%d", p))
	}
	f := Finding{What: "UDP ports of other tunnels are open here: " + strings.Join(ports, ", "), Evidence: evidence,
		Cure: "See whose they are (" + commands[0].String() + "); close those that nobody needs, and let only your endpoints reach the others"}
	f.between(h, true)
	return "", []Finding{f}, nil
}

// fouPorts looks for foo-over-UDP, which has no port of its own.
func fouPorts(h *host) (string, []Finding, error) {
	list, err := netlink.FouList(unix.AF_UNSPEC)
	if errors.Is(err, unix.ENOENT) || errors.Is(err, unix.EOPNOTSUPP) {
		return "the kernel has no FOU", nil, nil
	}
	if err != nil {
		return "", nil, fmt.Errorf("list FOU ports: %w", err)
	}
	var found []Finding
	for _, f := range list {
		one := Finding{What: fmt.Sprintf("UDP port %d takes packets out of another tunnel (FOU or GUE)", f.Port), Evidence: []string{fmt.Sprintf("ip fou show: port %d", f.Port)},
			Cure: "If nobody needs it, take it away", Commands: []Command{command("ip fou del port %d", f.Port)}}
		one.between(h, slices.Contains(nfq.TunnelPorts(), uint16(f.Port)))
		found = append(found, one)
	}
	return "no port", found, nil
}
