package doctor

import (
	"errors"
	"fmt"
	"slices"

	"github.com/cilium/ebpf"
	"github.com/cilium/ebpf/link"
	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"
)

// side is one of the two at which an interface has filters.
type side struct {
	name   string // as tc calls it
	attach ebpf.AttachType
	parent uint32
	before bool // the firewall
}

var sides = []side{
	{"ingress", ebpf.AttachTCXIngress, netlink.HANDLE_MIN_INGRESS, true},
	{"egress", ebpf.AttachTCXEgress, netlink.HANDLE_MIN_EGRESS, false},
}

// trafficControl looks for filters of tc, and BPF programs in their place, that take STT
// away before the firewall sees it, or behind.
func trafficControl(h *host) (string, []Finding, error) {
	links, err := h.outward()
	if err != nil {
		return "", nil, err
	}
	if links, err = h.withLower(links); err != nil {
		return "", nil, err
	}
	samples, err := h.samples()
	if err != nil {
		return "", nil, err
	}
	var found []Finding
	var hidden error
	filters := 0
	for _, l := range links {
		for _, s := range sides {
			list, err := filtersOf(l, s)
			if err != nil {
				return "", found, err
			}
			filters += len(list)
			found = append(found, h.filtered(l, s, list, samples)...)
			programs, err := h.tcx(l.Attrs().Index, s.attach)
			if err != nil {
				hidden = fmt.Errorf("BPF programs of tc on %s: %w", l.Attrs().Name, err)
			}
			for _, id := range programs {
				f := programFinding(l, s)
				f.Evidence = []string{fmt.Sprintf("bpftool net show dev %s: tcx/%s, program %d", l.Attrs().Name, s.name, id)}
				found = append(found, f)
			}
		}
	}
	return fmt.Sprintf("%s on %s, none takes STT", counted(filters, "filter"), names(links)), found, hidden
}

// filtersOf lists the filters of one side.
func filtersOf(l netlink.Link, s side) ([]netlink.Filter, error) {
	disciplines, err := netlink.QdiscList(l)
	if errors.Is(err, unix.EOPNOTSUPP) {
		return nil, nil // a kernel without traffic control
	}
	if err != nil {
		return nil, fmt.Errorf("interface %s: list queueing disciplines: %w", l.Attrs().Name, err)
	}
	for _, q := range disciplines {
		if kind := q.Type(); kind == "clsact" || kind == "ingress" && s.before {
			list, err := netlink.FilterList(l, s.parent)
			if err != nil {
				return nil, fmt.Errorf("interface %s: list filters of tc: %w", l.Attrs().Name, err)
			}
			return list, nil
		}
	}
	return nil, nil
}

// filtered makes findings of filters: of each deed one.
func (h *host) filtered(l netlink.Link, s side, list []netlink.Filter, samples []packet) (found []Finding) {
	name := l.Attrs().Name
	told := make(map[string]bool)
	for _, p := range samples {
		at := p.oif
		if s.before {
			at = p.iif
		}
		if at != "" && at != name {
			upper, lower := h.isLower(l, at)
			if !lower {
				continue
			}
			p.tagged = upper == "vlan"
		}
		for _, fate := range filterFates(list, &p) {
			if fate.deed != anything && !fate.certain && !fate.aimed || told[fate.text] {
				continue
			}
			told[fate.text] = true
			f := programFinding(l, s)
			if fate.deed != anything {
				f = h.filterFinding(l, s, fate, list)
			}
			f.Evidence = []string{fmt.Sprintf("tc filter show dev %s %s: %s", name, s.name, fate.text), "for a packet " + p.text()}
			found = append(found, f)
		}
	}
	return found
}

// filterFinding is about a filter that takes STT.
func (h *host) filterFinding(l netlink.Link, s side, fate filterFate, list []netlink.Filter) Finding {
	name := l.Attrs().Name
	f := Finding{Severity: Risk, Cure: "Let STT pass in front of that filter; the firewall still sees it"}
	which := "STT before the firewall sees it"
	if !s.before {
		which = "STT that the firewall has accepted"
		f.Cure = "Let STT pass in front of that filter; the firewall has judged it"
	}
	some := ""
	if !fate.certain {
		some = "some of the "
	}
	switch fate.deed {
	case discards:
		f.What = fmt.Sprintf("a tc filter at %s of %s drops %s%s", s.name, name, some, which)
	case redirects:
		to := fmt.Sprintf("interface %d", fate.to)
		if other, err := netlink.LinkByIndex(fate.to); err == nil {
			to = other.Attrs().Name
		}
		f.What = fmt.Sprintf("a tc filter at %s of %s sends %s%s on to %s", s.name, name, some, which, to)
		if s.before {
			f.What += ", uninspected"
		}
	case rewrites:
		f.What = fmt.Sprintf("a tc filter at %s of %s rewrites %s%s", s.name, name, some, which)
	}
	if fate.certain && fate.deed != rewrites {
		f.Severity = Broken
	}
	f.Commands = h.passFilter(name, s, list)
	return f
}

// passFilter are commands that let STT pass in front of all filters that are there; none
// where no place is left there.
func (h *host) passFilter(name string, s side, list []netlink.Filter) (commands []Command) {
	first := slices.MinFunc(list, func(a, b netlink.Filter) int { return int(a.Attrs().Priority) - int(b.Attrs().Priority) }).Attrs().Priority
	ports := len(h.settings.STTPorts)
	if int(first) <= 2*ports {
		return nil
	}
	pref := int(first) - 2*ports
	for _, port := range h.settings.STTPorts {
		commands = append(commands,
			command("tc filter add dev %s %s pref %d protocol ip u32 match ip protocol 6 0xff match ip dport %d 0xffff flowid :1", name, s.name, pref, port),
			command("tc filter add dev %s %s pref %d protocol ipv6 u32 match ip6 protocol 6 0xff match ip6 dport %d 0xffff flowid :1", name, s.name, pref+1, port))
		pref += 2
	}
	return commands
}

// programFinding is about a program, which cannot be followed.
func programFinding(l netlink.Link, s side) Finding {
	f := Finding{Severity: Risk, What: fmt.Sprintf("a BPF program of tc at ingress of %s sees packets before all hooks, and may redirect, drop or rewrite STT", l.Attrs().Name),
		Cure: "Ask whose it is (Cilium, Calico and others attach some); where it takes STT, have it leave STT alone, or take it off"}
	if !s.before {
		f.Severity, f.What = Hint, fmt.Sprintf("a BPF program of tc at egress of %s sees what the firewall has accepted, and may redirect, drop or rewrite it", l.Attrs().Name)
	}
	return f
}

// tcx are the programs that stand at an interface without a filter (Linux 6.6 and later).
func (h *host) tcx(index int, at ebpf.AttachType) ([]uint32, error) {
	if h.TCX != nil {
		return h.TCX(index)
	}
	answer, err := link.QueryPrograms(link.QueryOptions{Target: index, Attach: at})
	switch {
	case errors.Is(err, unix.EINVAL), errors.Is(err, ebpf.ErrNotSupported):
		return nil, nil // the kernel has none
	case err != nil:
		return nil, err
	}
	var ids []uint32
	for _, p := range answer.Programs {
		ids = append(ids, uint32(p.ID))
	}
	return ids, nil
}
