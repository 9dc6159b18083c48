package doctor

import (
	"errors"
	"fmt"
	"io/fs"
	"slices"
	"strconv"
	"strings"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"
)

// The checks of this file are about the way of packets through the host: routing,
// bridging, interfaces.

var errNoEndpoints = errors.New("no endpoint is known: --rules names a file whose settings.endpoints lists them")

// reversePath looks for the strict reverse path filter where it has dropped packets, or
// would drop what an endpoint sends.
func reversePath(h *host) (string, []Finding, error) {
	all, err := h.number(conf(true, "all") + "rp_filter")
	if err != nil {
		return "", nil, err
	}
	links, err := h.outward()
	if err != nil {
		return "", nil, err
	}
	dropped, err := h.counter(procNet+"netstat", "IPReversePathFilter")
	if err != nil {
		return "", nil, err
	}
	faces, err := h.facing()
	if err != nil {
		return "", nil, err
	}
	// What must come in on an interface that no route leads back by.
	elsewhere := make(map[string]string)
	for _, b := range h.settings.BoundEndpoints {
		var by []string
		for _, f := range faces {
			if f.prefix == b.Prefix {
				by = append(by, f.name())
			}
		}
		if len(by) > 0 && b.Prefix.Addr().Is4() && !slices.Contains(by, b.Interface) {
			elsewhere[b.Interface] = fmt.Sprintf("endpoint %v comes in on %s, and the route to it leaves by %s", b.Prefix, b.Interface, strings.Join(by, ", "))
			if l, err := netlink.LinkByName(b.Interface); err == nil && !slices.ContainsFunc(links, func(k netlink.Link) bool { return k.Attrs().Index == l.Attrs().Index }) {
				links = append(links, l)
			}
		}
	}
	var found []Finding
	var strict []string
	for _, l := range links {
		name := l.Attrs().Name
		own, err := h.number(conf(true, name) + "rp_filter")
		if err != nil {
			return "", nil, err
		}
		if max(all, own) != 1 {
			continue // the larger of both counts: 0 off, 1 strict, 2 loose
		}
		strict = append(strict, name)
		why, wrong := elsewhere[name]
		if !wrong && dropped == 0 {
			continue
		}
		f := Finding{What: "the strict reverse path filter of " + name + " drops packets whose way back is another",
			Evidence: []string{fmt.Sprintf("net.ipv4.conf.all.rp_filter = %d, net.ipv4.conf.%s.rp_filter = %d", all, name, own)},
			Cure:     "Make it loose: the source must be reachable, by whatever interface. That holds for all that comes in on it, so --fix leaves it to you", Commands: []Command{sysctl("proc/sys/net/ipv4/conf/"+name+"/rp_filter", "2")}}
		if wrong {
			f.Severity = Broken
			f.Evidence = append(f.Evidence, why)
		}
		if dropped > 0 {
			f.Evidence = append(f.Evidence, fmt.Sprintf("/%snetstat: IPReversePathFilter %d", procNet, dropped))
		}
		found = append(found, f)
	}
	return fmt.Sprintf("strict on %d interfaces; dropped %d packets", len(strict), dropped), found, nil
}

// counter reads one of the counters in pairs of lines, names and numbers.
func (h *host) counter(path, name string) (int, error) {
	text, err := h.text(path)
	if err != nil {
		return 0, err
	}
	lines := strings.Split(text, "\n")
	for i := 0; i+1 < len(lines); i += 2 {
		if at := slices.Index(strings.Fields(lines[i]), name); at >= 0 {
			if values := strings.Fields(lines[i+1]); at < len(values) {
				return strconv.Atoi(values[at])
			}
		}
	}
	return 0, fmt.Errorf("%s: no counter %s", path, name)
}

// forwarding looks whether the host forwards what it is to forward.
func forwarding(h *host) (string, []Finding, error) {
	if len(h.settings.Endpoints) == 0 {
		return "", nil, errNoEndpoints
	}
	if !slices.Contains(h.Hooks, HookPrerouting) {
		return "what is bridged or sent by this host is not forwarded", nil, nil
	}
	faces, err := h.facing()
	if err != nil {
		return "", nil, err
	}
	var found []Finding
	for _, v := range []struct {
		v4   bool
		path string
	}{{true, "proc/sys/net/ipv4/ip_forward"}, {false, "proc/sys/net/ipv6/conf/all/forwarding"}} {
		remote, here := 0, 0
		for _, f := range faces {
			switch {
			case f.endpoint.Is4() != v.v4:
			case f.local:
				here++
			default:
				remote++
			}
		}
		if remote < 2 || here > 0 {
			continue // tunnels end here, or there is nobody to forward between
		}
		on, err := h.number(v.path)
		if err != nil {
			return "", nil, err
		}
		if on == 0 {
			found = append(found, Finding{What: "this host does not forward, and none of the endpoints is on it",
				Evidence: []string{fmt.Sprintf("/%s: 0", v.path), fmt.Sprintf("%d endpoints have a route, none is local", remote)},
				Cure:     "Switch forwarding on, if this host is to route between them", Commands: []Command{sysctl(v.path, "1")}})
		}
	}
	return "forwards, or tunnels end here", found, nil
}

// bridgeNetfilter looks whether bridged packets meet the rules of IP.
func bridgeNetfilter(h *host) (string, []Finding, error) {
	if !slices.Contains(h.Hooks, HookBridge) {
		return "no bridge is asked for", nil, nil
	}
	const folder = "proc/sys/net/bridge/"
	s, err := h.rules()
	if err != nil {
		return "", nil, err
	}
	runs := slices.ContainsFunc(s.chains, func(c *chain) bool { return c.ours() })
	var found []Finding
	for _, name := range []string{"bridge-nf-call-iptables", "bridge-nf-call-ip6tables", "bridge-nf-filter-vlan-tagged"} {
		on, err := h.number(folder + name)
		if errors.Is(err, fs.ErrNotExist) {
			return "", []Finding{{What: "bridged packets meet no rules of IP here: the kernel has no br_netfilter", Evidence: []string{"/" + folder + ": not there", h.config("CONFIG_BRIDGE_NETFILTER")},
				Cure: "Load br_netfilter; from then on the rules of IP hold for all that bridges of this host forward, so --fix leaves it to you", Commands: []Command{command("modprobe br_netfilter")}}}, nil
		}
		if err != nil {
			return "", nil, err
		}
		if on != 0 {
			continue
		}
		if runs {
			found = append(found, Finding{What: "bridged STT passes beside the table: " + name + " is off", Evidence: []string{fmt.Sprintf("/%s%s: 0", folder, name)},
				Cure: "Switch it on", Commands: []Command{sysctl(folder+name, "1")}, Safe: true})
			continue
		}
		if err := h.writable(folder + name); err != nil {
			found = append(found, Finding{What: "run --hook bridge cannot switch " + name + " on, and does not start", Evidence: []string{fmt.Sprintf("/%s%s: 0, and to be written: %v", folder, name, err)},
				Cure: "Give the container a /proc/sys that can be written, or set it from outside, in this network namespace, before run", Commands: []Command{sysctl(folder+name, "1")}})
		}
	}
	if !runs {
		return "br_netfilter is there; run switches it on", found, nil
	}
	return "bridged packets meet the rules of IP", found, nil
}

// writable reports why a setting cannot be written.
func (h *host) writable(path string) error {
	if h.Writable != nil {
		return h.Writable(path)
	}
	return unix.Access("/"+path, unix.W_OK)
}

// largestOnQueue is what a message of NFQUEUE can carry of a packet.
const largestOnQueue = 65531

// superSegments looks for interfaces on which packets larger than NFQUEUE carries are put
// together or sent.
func superSegments(h *host) (string, []Finding, error) {
	links, err := h.outward()
	if err != nil {
		return "", nil, err
	}
	const usual = 65536 // what the kernel begins with: in fact 65,535, the longest IPv4 packet
	var found []Finding
	for _, l := range links {
		a := l.Attrs()
		var commands []Command
		var evidence []string
		for _, s := range []struct {
			name  string
			value uint32
		}{{"gso_max_size", a.GSOMaxSize}, {"gro_max_size", a.GROMaxSize}, {"gso_ipv4_max_size", a.GSOIPv4MaxSize}, {"gro_ipv4_max_size", a.GROIPv4MaxSize}} {
			if s.value <= usual {
				continue
			}
			evidence = append(evidence, fmt.Sprintf("%s of %s is %d", s.name, a.Name, s.value))
			commands = append(commands, command("ip link set dev %s %s 65000", a.Name, s.name))
		}
		if len(commands) > 0 {
			found = append(found, Finding{What: fmt.Sprintf("%s takes or sends packets larger than the %d bytes that NFQUEUE carries", a.Name, largestOnQueue),
				Evidence: evidence, Cure: "Keep super-segments below 64 KiB", Commands: commands, Safe: true})
		}
	}
	return "at most 64 KiB on " + names(links), found, nil
}

// largeReceive looks for LRO, which forwarding must not meet.
func largeReceive(h *host) (string, []Finding, error) {
	links, err := h.outward()
	if err != nil {
		return "", nil, err
	}
	if links, err = h.withLower(links); err != nil {
		return "", nil, err
	}
	var found []Finding
	for _, l := range links {
		name := l.Attrs().Name
		flags, err := ethtool(name, ethtoolGetFlags)
		if err != nil {
			return "", nil, err
		}
		if flags&flagLRO == 0 {
			continue
		}
		found = append(found, lroFinding(name))
	}
	return "off on " + names(links), found, nil
}

func lroFinding(name string) Finding {
	return Finding{What: "LRO is on at " + name, Evidence: []string{"ethtool -k " + name + ": large-receive-offload: on"},
		Cure: "Switch it off; GRO may stay", Commands: []Command{command("ethtool -K %s lro off", name)}, Safe: true}
}

// guardMissing looks whether super-segments of small pieces reach receivers on Windows.
func guardMissing(h *host) (string, []Finding, error) {
	if h.Rules == "" {
		return "", nil, errors.New("no --rules: not known whether receivers on Windows are to be protected")
	}
	if h.settings.Receivers != 0 { // policy.ReceiversAny
		return "settings.receivers is " + h.settings.Receivers.String(), nil, nil
	}
	missing := h.guard()
	if missing == nil {
		return "the table can drop them", nil, nil
	}
	links, err := h.outward()
	if err != nil {
		return "", nil, err
	}
	var commands []Command
	var on []string
	for _, l := range links {
		name := l.Attrs().Name
		gro, err := ethtool(name, ethtoolGetGRO)
		if err != nil {
			return "", nil, err
		}
		if gro != 0 {
			on = append(on, name)
			commands = append(commands, command("ethtool -K %s gro off", name))
		}
	}
	if len(on) == 0 {
		return "no guard, and GRO is off on " + names(links), nil, nil
	}
	return "", []Finding{{What: "super-segments of small pieces can reach receivers on Windows", Evidence: []string{missing.Error(), "generic-receive-offload is on: " + strings.Join(on, ", "), "settings.receivers is any"},
		Cure: "Give sttwall CAP_BPF at its start; or switch GRO off and run with --gso-guard=off; or set settings.receivers to \"linux\" if no receiver is Windows", Commands: commands}}, nil
}

// pathMTU looks for ways of different MTU: what comes in on the larger does not leave by
// the smaller.
func pathMTU(h *host) (string, []Finding, error) {
	if len(h.settings.Endpoints) == 0 {
		return "", nil, errNoEndpoints
	}
	faces, err := h.facing()
	if err != nil {
		return "", nil, err
	}
	faces = slices.DeleteFunc(slices.Clone(faces), func(f face) bool { return f.local })
	if len(faces) == 0 {
		return "", nil, errors.New("there is no route to an endpoint on another host")
	}
	small, large := faces[0], faces[0]
	for _, f := range faces {
		if f.mtu < small.mtu {
			small = f
		}
		if f.mtu > large.mtu {
			large = f
		}
	}
	if small.mtu != large.mtu {
		what := Finding{What: fmt.Sprintf("segments of %d bytes from %v do not fit the way to %v", large.mtu, large.endpoint, small.endpoint),
			Evidence: []string{fmt.Sprintf("ip route get %v: dev %s, MTU %d", large.endpoint, large.name(), large.mtu), fmt.Sprintf("ip route get %v: dev %s, MTU %d", small.endpoint, small.name(), small.mtu)},
			Cure:     "Give both ways one MTU, here and on the endpoints; the command lowers the larger ones here alone"}
		seen := map[string]bool{small.name(): true}
		for _, f := range faces {
			if name := f.name(); f.mtu > small.mtu && f.mtu == f.link.Attrs().MTU && !seen[name] {
				seen[name] = true
				what.Commands = append(what.Commands, command("ip link set dev %s mtu %d", name, small.mtu))
			}
		}
		return "", []Finding{what}, nil
	}
	return fmt.Sprintf("%d bytes to all %d endpoints that have a route", small.mtu, len(faces)), nil, nil
}

// mssFloor looks whether honest frames can ask for less than settings.mss_floor.
func mssFloor(h *host) (string, []Finding, error) {
	if len(h.settings.Endpoints) == 0 {
		return "", nil, errNoEndpoints
	}
	faces, err := h.facing()
	if err != nil {
		return "", nil, err
	}
	// The MSS in a frame is that of the tenant's connection, over a tunnel whose MTU is
	// that of the path less the outer IP and TCP-like header, the frame header and
	// Ethernet; of it the inner IPv6 and TCP header with timestamps.
	const inner = 40 + 32
	floor := int(h.settings.MSSFloor)
	for _, f := range faces {
		outer := 20
		if !f.endpoint.Is4() {
			outer = 40
		}
		most := f.mtu - outer - 20 - 18 - 14 - inner
		if !f.local && most < floor {
			return "", []Finding{{What: fmt.Sprintf("settings.mss_floor %d is more than the %d bytes that connections over the way to %v can have", floor, most, f.endpoint),
				Evidence: []string{fmt.Sprintf("ip route get %v: dev %s, MTU %d", f.endpoint, f.name(), f.mtu), fmt.Sprintf("%s: settings.mss_floor is %d", h.Rules, floor)},
				Cure:     fmt.Sprintf("Raise the MTU of that way, or write mss_floor = %d in settings", max(most, 1))}}, nil
		}
	}
	return fmt.Sprintf("the floor is %d", floor), nil, nil
}

// xdpPrograms looks for programs that packets meet before all hooks.
func xdpPrograms(h *host) (string, []Finding, error) {
	links, err := h.outward()
	if err != nil {
		return "", nil, err
	}
	if links, err = h.withLower(links); err != nil {
		return "", nil, err
	}
	var found []Finding
	for _, l := range links {
		a := l.Attrs()
		if a.Xdp == nil || !a.Xdp.Attached {
			continue
		}
		found = append(found, Finding{What: "an XDP program on " + a.Name + " sees packets before all hooks, and may send them on beside the firewall",
			Evidence: []string{fmt.Sprintf("ip link show dev %s: program %d", a.Name, a.Xdp.ProgId)},
			Cure:     "Ask whose it is; where it forwards STT by itself, take it off", Commands: []Command{command("ip link set dev %s xdp off", a.Name)}})
	}
	return "none on " + names(links), found, nil
}
