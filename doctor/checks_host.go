package doctor

import (
	"bytes"
	"compress/gzip"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net"
	"path"
	"slices"
	"strconv"
	"strings"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"

	"sttwall/nfq"
)

// The checks of this file are about the kernel and what else runs on the host.

// refusedRules is what `sttwall check` says.
func refusedRules(h *host) (string, []Finding, error) {
	if h.Rules == "" {
		return "", nil, errors.New("no --rules")
	}
	if len(h.refused) == 0 {
		return h.Rules + " loads, its tests pass", nil, nil
	}
	return "", []Finding{{What: h.Rules + " does not load, or its tests fail", Evidence: firstOf(h.refused, 8),
		Cure: "Correct the file; sttwall check says what is wrong: " + Command{"sttwall", "check", h.Rules}.String()}}, nil
}

func firstOf(list []string, n int) []string {
	if len(list) > n {
		return append(slices.Clone(list[:n]), fmt.Sprintf("and %d lines more", len(list)-n))
	}
	return list
}

// kernelParts asks for each part of the kernel.
func kernelParts(h *host) (string, []Finding, error) {
	parts := h.kernel()
	var found []Finding
	for _, p := range parts {
		switch {
		case errors.Is(p.Err, nfq.ErrNoCapability):
			return "", nil, p.Err
		case p.Err != nil:
			found = append(found, Finding{What: fmt.Sprintf("the kernel has no %s: %s", p.Name, p.For),
				Evidence: append([]string{p.Err.Error()}, h.configs(p.Configs)...),
				Cure:     "Load its module; where there is none, the kernel must be built with " + p.Configs, Commands: []Command{command("modprobe " + p.Module)}, Safe: true})
		}
	}
	return fmt.Sprintf("all %d parts", len(parts)), found, nil
}

func (h *host) kernel() []nfq.KernelPart {
	if h.Kernel != nil {
		return h.Kernel()
	}
	return nfq.ProbeKernel(0)
}

func (h *host) guard() error {
	if h.Guard != nil {
		return h.Guard()
	}
	return nfq.ProbeGuard(0)
}

// configs tells how the kernel was built, as to the options that a text names.
func (h *host) configs(text string) (list []string) {
	for _, word := range strings.FieldsFunc(text, func(r rune) bool { return r == ' ' || r == ',' }) {
		if strings.HasPrefix(word, "CONFIG_") {
			list = append(list, h.config(word))
		}
	}
	return list
}

// config tells how the kernel was built, as to one option.
func (h *host) config(option string) string {
	text, from, err := h.kernelConfig()
	if err != nil {
		return option + ": not known, since the kernel's configuration is not there"
	}
	for line := range strings.Lines(text) {
		line = strings.TrimSpace(line)
		if strings.HasPrefix(line, option+"=") || line == "# "+option+" is not set" {
			return "/" + from + ": " + line
		}
	}
	return "/" + from + ": no " + option
}

// kernelConfig reads it from the kernel itself, or from the file that distributions lay
// beside it.
func (h *host) kernelConfig() (text, from string, err error) {
	const own = "proc/config.gz"
	if packed, err := fs.ReadFile(h.Root, own); err == nil {
		r, err := gzip.NewReader(bytes.NewReader(packed))
		if err != nil {
			return "", "", fmt.Errorf("%s: %w", own, err)
		}
		const most = 4 << 20
		b, err := io.ReadAll(io.LimitReader(r, most))
		return string(b), own, err
	}
	release, err := h.text("proc/sys/kernel/osrelease")
	if err != nil {
		return "", "", err
	}
	from = "boot/config-" + release
	text, err = h.text(from)
	return text, from, err
}

// receiveBuffer looks whether a queue's socket gets the buffer that it wants.
func receiveBuffer(h *host) (string, []Finding, error) {
	want := h.ReceiveBuffer
	if want == 0 {
		want = nfq.DefaultReceiveBuffer
	}
	force := h.ForceBuffer
	if force == nil {
		force = forceBuffer
	}
	if err := force(want); err == nil {
		return fmt.Sprintf("%d bytes can be forced", want), nil, nil
	}
	const file = "proc/sys/net/core/rmem_max"
	most, err := h.number(file)
	if err != nil {
		return "", nil, err
	}
	if most >= want {
		return fmt.Sprintf("net.core.rmem_max is %d", most), nil, nil
	}
	return "", []Finding{{What: fmt.Sprintf("a queue's receive buffer gets %d bytes of the %d that it wants", most, want),
		Evidence: []string{fmt.Sprintf("/%s: %d", file, most), "SO_RCVBUFFORCE is refused: no CAP_NET_ADMIN in the first user namespace"},
		Cure:     "Raise the bound, or run with that right", Commands: []Command{sysctl(file, strconv.Itoa(want))}, Safe: true}}, nil
}

func forceBuffer(bytes int) error {
	fd, err := unix.Socket(unix.AF_NETLINK, unix.SOCK_RAW|unix.SOCK_CLOEXEC, unix.NETLINK_NETFILTER)
	if err != nil {
		return err
	}
	defer unix.Close(fd)
	return unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_RCVBUFFORCE, bytes)
}

// queueLosses reads what the kernel has lost at its queues since they were opened.
func queueLosses(h *host) (string, []Finding, error) {
	file := procNet + "netfilter/nfnetlink_queue"
	text, err := h.text(file)
	if err != nil {
		return "", nil, err
	}
	var found []Finding
	n := 0
	for line := range strings.Lines(text) {
		f := strings.Fields(line)
		if len(f) < 7 {
			continue
		}
		number, err := strconv.Atoi(f[0])
		if err != nil || number < int(h.Queue) || number >= int(h.Queue)+256 {
			continue // of others
		}
		n++
		var commands []string
		switch {
		case f[5] != "0":
			commands = append(commands, "more --queues, or a larger --queue-length")
		case f[6] != "0":
			commands = append(commands, "more --queues, or a larger --receive-buffer")
		default:
			continue
		}
		found = append(found, Finding{What: fmt.Sprintf("queue %s has lost packets", f[0]),
			Evidence: []string{fmt.Sprintf("/%s: queue %s: %s lost since the queue was full, %s since the receive buffer was, %s wait", file, f[0], f[5], f[6], f[2])},
			Cure:     "Start sttwall run with " + strings.Join(commands, "; ") + "; docs/overload.md"})
	}
	return fmt.Sprintf("%d queues, none has lost any", n), found, nil
}

// backlog looks for packets that were lost before any hook.
func backlog(h *host) (string, []Finding, error) {
	const file = "proc/net/softnet_stat" // the same in all namespaces
	text, err := h.text(file)
	if err != nil {
		return "", nil, err
	}
	var lost uint64
	for line := range strings.Lines(text) {
		if f := strings.Fields(line); len(f) > 1 {
			n, err := strconv.ParseUint(f[1], 16, 64)
			if err != nil {
				return "", nil, fmt.Errorf("%s: %w", file, err)
			}
			lost += n
		}
	}
	if lost == 0 {
		return "none lost", nil, nil
	}
	const setting = "proc/sys/net/core/netdev_max_backlog"
	length, err := h.number(setting)
	if err != nil {
		return "", nil, err
	}
	if length >= fineBacklog {
		return fmt.Sprintf("%d lost, netdev_max_backlog is %d", lost, length), nil, nil
	}
	return "", []Finding{{What: "packets were lost before the firewall, since a processor's backlog was full",
		Evidence: []string{fmt.Sprintf("/%s: second column, all processors: %d", file, lost), fmt.Sprintf("/%s: %d", setting, length)},
		Cure:     "Lengthen the backlog", Commands: []Command{sysctl(setting, strconv.Itoa(fineBacklog))}, Safe: true}}, nil
}

// fineBacklog holds a burst of some milliseconds at a million packets a second.
const fineBacklog = 10000

// trackedSTT looks for STT in the table of connections, and whether that is full.
func trackedSTT(h *host) (string, []Finding, error) {
	count, err := h.number("proc/sys/net/netfilter/nf_conntrack_count")
	if errors.Is(err, fs.ErrNotExist) {
		return "no connection tracking", nil, nil
	}
	if err != nil {
		return "", nil, err
	}
	most, err := h.number("proc/sys/net/netfilter/nf_conntrack_max")
	if err != nil {
		return "", nil, err
	}
	var found []Finding
	if most > 0 && count*10 > most*9 {
		found = append(found, Finding{Severity: Risk, What: fmt.Sprintf("the table of connections is nearly full: %d of %d", count, most),
			Evidence: []string{fmt.Sprintf("net.netfilter.nf_conntrack_count = %d, nf_conntrack_max = %d", count, most)},
			Cure:     "Make it larger; each entry takes about 320 bytes", Commands: []Command{sysctl("proc/sys/net/netfilter/nf_conntrack_max", strconv.Itoa(most*4))}, Safe: true})
	}
	s, err := h.rules()
	if err != nil {
		return "", found, err
	}
	if h.untracks(s) {
		return "a rule keeps STT from connection tracking", found, nil
	}
	stt, err := h.trackedConnections()
	if err != nil {
		return "", found, err
	}
	if stt == 0 {
		return fmt.Sprintf("%d connections, none of STT", count), found, nil
	}
	found = append(found, Finding{What: fmt.Sprintf("connection tracking has %d entries for STT of %d, and each new source port makes one", stt, count),
		Evidence: []string{"/" + procNet + "nf_conntrack", fmt.Sprintf("net.netfilter.nf_conntrack_max = %d", most), h.config("CONFIG_NF_CT_NETLINK") + " (conntrack -D deletes entries where it is set)"},
		Cure:     "Start sttwall, whose table has a notrack rule; or, with --no-nft, add one. The entries go by themselves", Commands: h.untrack()})
	return "", found, nil
}

// trackedConnections counts entries whose first direction goes to an STT port.
func (h *host) trackedConnections() (n int, err error) {
	text, err := h.text(procNet + "nf_conntrack")
	if err != nil {
		return 0, err
	}
	for line := range strings.Lines(text) {
		if !strings.Contains(line, " tcp ") {
			continue
		}
		_, rest, ok := strings.Cut(line, " dport=")
		port, _, _ := strings.Cut(rest, " ")
		if p, err := strconv.ParseUint(port, 10, 16); ok && err == nil && slices.Contains(h.settings.STTPorts, uint16(p)) {
			n++
		}
	}
	return n, nil
}

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

// secondFirewall looks for processes that run `sttwall run` in this network namespace.
func secondFirewall(h *host) (string, []Finding, error) {
	links, ok := h.Root.(fs.ReadLinkFS)
	if !ok {
		return "", nil, errors.New("links cannot be read")
	}
	own, err := links.ReadLink("proc/thread-self/ns/net")
	if err != nil {
		return "", nil, err
	}
	processes, err := fs.ReadDir(h.Root, "proc")
	if err != nil {
		return "", nil, err
	}
	var pids, hidden []string
	for _, p := range processes {
		if _, err := strconv.Atoi(p.Name()); err != nil {
			continue
		}
		line, err := fs.ReadFile(h.Root, path.Join("proc", p.Name(), "cmdline"))
		if err != nil {
			continue // it has ended, or is a thread of the kernel
		}
		words := strings.Split(string(line), "\x00")
		if path.Base(words[0]) != "sttwall" || len(words) < 2 || words[1] != "run" {
			continue
		}
		there, err := links.ReadLink(path.Join("proc", p.Name(), "ns/net"))
		switch {
		case err != nil:
			hidden = append(hidden, p.Name())
		case there == own:
			pids = append(pids, p.Name())
		}
	}
	switch {
	case len(pids) >= 2:
		commands := make([]Command, 0, len(pids)-1)
		slices.SortFunc(pids, func(a, b string) int { return len(a)*100 - len(b)*100 + strings.Compare(a, b) })
		for _, pid := range pids[1:] {
			commands = append(commands, command("kill "+pid))
		}
		return "", []Finding{{What: fmt.Sprintf("%d firewalls run in this network namespace", len(pids)), Evidence: []string{"/proc: processes " + strings.Join(pids, ", ")},
			Cure: "End all but one, unless one is taking over from the other just now (--take-over)", Commands: commands}}, nil
	case len(hidden) > 0:
		return "", nil, fmt.Errorf("not allowed: in which network namespace process %s is", strings.Join(hidden, ", "))
	}
	return fmt.Sprintf("%d runs here", len(pids)), nil, nil
}

// clock looks whether the time is kept.
func clock(h *host) (string, []Finding, error) {
	ask := h.Clock
	if ask == nil {
		ask = kernelClock
	}
	synchronised, err := ask()
	if err != nil {
		return "", nil, fmt.Errorf("adjtimex: %w", err)
	}
	if synchronised {
		return "synchronised", nil, nil
	}
	return "", []Finding{{What: "the clock of this host is not synchronised", Evidence: []string{"adjtimex(2): STA_UNSYNC"},
		Cure: "Have a time service run (systemd-timesyncd, chrony, ntpd)", Commands: []Command{command("timedatectl set-ntp true")}}}, nil
}

func kernelClock() (bool, error) {
	var t unix.Timex
	_, err := unix.Adjtimex(&t)
	const unsynchronised = 0x40 // STA_UNSYNC
	return t.Status&unsynchronised == 0, err
}

// running is what a running firewall has dropped for reasons that are the host's.
var running = map[string]struct{ what, cure string }{
	"copy_too_short":      {"packets were larger than NFQUEUE carries", "Lower the senders' gso_max_size to 65000"},
	"outer_fragment":      {"endpoints send fragments", "Raise the MTU between the endpoints, or lower their tunnel MTU"},
	"outer_ip_checksum":   {"IP headers are damaged on the way", "Look at what is between this host and the endpoint"},
	"segment_too_small":   {"first segments are too small to decide on", "Raise the MTU of the path"},
	"mss_invalid":         {"frames ask for segments below settings.mss_floor", "Lower settings.mss_floor if the path really needs it"},
	"source_port_changed": {"source ports change within a frame: a NAT is on the way", "Take STT out of that NAT"},
	"frame_timeout":       {"segments are lost before the firewall", "Look at losses of the interfaces and queues"},
	"queue_full":          {"the kernel's queues were full", "More --queues, or a larger --queue-length"},
	"receive_buffer_full": {"the receive buffers of the queues were full", "More --queues, or a larger --receive-buffer"},
	"reassembly_full":     {"reassembly was full", "Raise --reassembly-memory and --max-held, or look at losses on the path"},
}

// seenByRunning asks the running firewall.
func seenByRunning(h *host) (string, []Finding, error) {
	if h.Drops == nil {
		return "", nil, errors.New("no --control")
	}
	drops, err := h.Drops(h.ctx)
	if err != nil {
		return "", nil, err
	}
	var found []Finding
	for _, d := range drops {
		known, ok := running[d.Reason]
		if !ok || d.Count == 0 {
			continue
		}
		found = append(found, Finding{What: known.what, Evidence: []string{fmt.Sprintf("sttwall drops: %s %d (%s)", d.Reason, d.Count, d.Where)}, Cure: known.cure})
	}
	return "it has dropped nothing for the host's sake", found, nil
}
