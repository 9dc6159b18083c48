package doctor

import (
	"context"
	"fmt"
	"io/fs"
	"net"
	"net/netip"
	"strconv"
	"strings"

	"github.com/vishvananda/netlink"

	"sttwall/policy"
	"sttwall/ruletest"
)

// host is what checks read. What costs is read once.
type host struct {
	Config
	ctx      context.Context
	settings policy.Settings
	refused  []string // what the loader says of a rules file that it refuses, or whose tests fail

	ruleset once[*ruleset]
	list    once[[]netlink.Link]
	faces   once[[]face]
}

// once keeps an answer and its error.
type once[T any] struct {
	done  bool
	value T
	err   error
}

func (o *once[T]) get(f func() (T, error)) (T, error) {
	if !o.done {
		o.value, o.err = f()
		o.done = true
	}
	return o.value, o.err
}

// load reads the rules file, as `check` does.
func (h *host) load() {
	if h.Rules == "" {
		return
	}
	rules, diagnostics, files := policy.LoadFile(h.Rules)
	if diagnostics.HasErrors() {
		var said strings.Builder
		if err := policy.WriteDiagnostics(&said, diagnostics, policy.Printout{Files: files}); err != nil {
			said.WriteString(err.Error())
		}
		h.refused = strings.Split(strings.TrimSpace(said.String()), "\n")
		return
	}
	h.settings = rules.Settings()
	failures, err := ruletest.Run(rules)
	if err != nil {
		h.refused = []string{err.Error()}
	}
	for _, f := range failures {
		h.refused = append(h.refused, fmt.Sprint(f))
	}
}

// text reads a file below the root, without the line feed at its end.
func (h *host) text(path string) (string, error) {
	b, err := fs.ReadFile(h.Root, path)
	return strings.TrimSpace(string(b)), err
}

// number reads a file that holds one number.
func (h *host) number(path string) (int, error) {
	text, err := h.text(path)
	if err != nil {
		return 0, err
	}
	n, err := strconv.Atoi(text)
	if err != nil {
		return 0, fmt.Errorf("%s: %q is no number", path, text)
	}
	return n, nil
}

// procNet is the folder of the calling thread's network namespace.
const procNet = "proc/thread-self/net/"

// conf is the folder of an interface's sysctls.
func conf(v4 bool, name string) string {
	if v4 {
		return "proc/sys/net/ipv4/conf/" + name + "/"
	}
	return "proc/sys/net/ipv6/conf/" + name + "/"
}

func (h *host) links() ([]netlink.Link, error) {
	return h.list.get(func() ([]netlink.Link, error) {
		list, err := netlink.LinkList()
		if err != nil {
			return nil, fmt.Errorf("list interfaces: %w", err)
		}
		return list, nil
	})
}

// face is an interface on which endpoints are reached, and one of them.
type face struct {
	link     netlink.Link
	endpoint netip.Addr
	prefix   netip.Prefix // of settings.endpoints
	local    bool         // the endpoint is this host
	mtu      int          // of the route, or of the interface where it says none
}

func (f face) name() string { return f.link.Attrs().Name }

// facing looks up the way to one address of each of settings.endpoints, up to mostRoutes.
func (h *host) facing() ([]face, error) {
	return h.faces.get(func() (list []face, err error) {
		for i, p := range h.settings.Endpoints {
			if i == mostRoutes {
				break
			}
			a := sample(p)
			routes, err := netlink.RouteGet(net.IP(a.AsSlice()))
			if err != nil || len(routes) == 0 {
				continue // no way there
			}
			f := face{endpoint: a, prefix: p, mtu: routes[0].MTU, local: routes[0].Type == unixRTNLocal}
			if f.link, err = netlink.LinkByIndex(routes[0].LinkIndex); err != nil {
				return nil, fmt.Errorf("interface %d, by which %v is reached: %w", routes[0].LinkIndex, a, err)
			}
			if f.mtu == 0 {
				f.mtu = f.link.Attrs().MTU
			}
			list = append(list, f)
		}
		return list, nil
	})
}

const (
	mostRoutes   = 256
	unixRTNLocal = 2 // RTN_LOCAL
)

// sample is an address of a prefix: the first that a host can have.
func sample(p netip.Prefix) netip.Addr {
	a := p.Masked().Addr()
	if p.IsSingleIP() || p.Bits() >= a.BitLen()-1 {
		return a
	}
	return a.Next()
}

// outward are the interfaces that STT may come in on: those that face endpoints, or all
// that are up and no loopback where no endpoint is known.
func (h *host) outward() (list []netlink.Link, err error) {
	faces, err := h.facing()
	if err != nil {
		return nil, err
	}
	seen := make(map[int]bool)
	for _, f := range faces {
		if a := f.link.Attrs(); !f.local && !seen[a.Index] {
			seen[a.Index] = true
			list = append(list, f.link)
		}
	}
	if len(list) > 0 {
		return list, nil
	}
	all, err := h.links()
	if err != nil {
		return nil, err
	}
	for _, l := range all {
		if a := l.Attrs(); a.Flags&net.FlagUp != 0 && a.Flags&net.FlagLoopback == 0 {
			list = append(list, l)
		}
	}
	return list, nil
}

func names(list []netlink.Link) string {
	var words []string
	for _, l := range list {
		words = append(words, l.Attrs().Name)
	}
	if len(words) == 0 {
		return "no interface"
	}
	return strings.Join(words, ", ")
}
