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

// tunnelKinds are kinds of interfaces that take packets out of other tunnels.
var tunnelKinds = []string{"vxlan", "geneve", "gre", "gretap", "ip6gre", "ip6gretap", "erspan", "ip6erspan", "ipip", "sit", "ip6tnl", "vti", "vti6", "xfrm", "l2tpeth", "gtp", "bareudp"}

// fallbacks come with their modules, and take nothing until somebody configures them.
var fallbacks = []string{"tunl0", "gre0", "gretap0", "erspan0", "sit0", "ip6tnl0", "ip6gre0", "ip_vti0", "ip6_vti0"}

// tunnelInterfaces looks for interfaces beside us that take packets out of tunnels.
func tunnelInterfaces(h *host) (string, []Finding, error) {
	links, err := h.links()
	if err != nil {
		return "", nil, err
	}
	var found []Finding
	for _, l := range links {
		a := l.Attrs()
		if !slices.Contains(tunnelKinds, l.Type()) || slices.Contains(fallbacks, a.Name) && a.Flags&net.FlagUp == 0 {
			continue
		}
		f := Finding{What: fmt.Sprintf("%s takes packets out of a tunnel (%s) that the firewall does not look into", a.Name, l.Type()),
			Evidence: []string{fmt.Sprintf("ip -d link show dev %s: %s", a.Name, l.Type())},
			Cure:     "If nobody needs it, take it away; else see that only your endpoints reach it (settings.endpoints with other_tunnels = \"drop\" stops it between them)",
			Commands: []Command{command("ip link delete dev %s", a.Name)}}
		if len(h.settings.Endpoints) > 0 && !h.settings.OtherTunnels {
			f.Severity = Hint
			f.Evidence = append(f.Evidence, "settings.other_tunnels is drop: not between endpoints")
		}
		found = append(found, f)
	}
	return fmt.Sprintf("none of %d interfaces", len(links)), found, nil
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
	if len(h.settings.Endpoints) > 0 && !h.settings.OtherTunnels {
		f.Severity = Hint
		f.Evidence = append(f.Evidence, "settings.other_tunnels is drop: not between endpoints")
	}
	return "", []Finding{f}, nil
}

// fouPorts looks for foo-over-UDP, which has no port of its own.
func fouPorts(*host) (string, []Finding, error) {
	list, err := netlink.FouList(unix.AF_UNSPEC)
	if errors.Is(err, unix.ENOENT) || errors.Is(err, unix.EOPNOTSUPP) {
		return "the kernel has no FOU", nil, nil
	}
	if err != nil {
		return "", nil, fmt.Errorf("list FOU ports: %w", err)
	}
	var found []Finding
	for _, f := range list {
		found = append(found, Finding{What: fmt.Sprintf("UDP port %d takes packets out of another tunnel (FOU or GUE)", f.Port), Evidence: []string{fmt.Sprintf("ip fou show: port %d", f.Port)},
			Cure: "If nobody needs it, take it away", Commands: []Command{command("ip fou del port %d", f.Port)}})
	}
	return "no port", found, nil
}
