package suggest

import (
	"cmp"
	"fmt"
	"net/netip"
	"slices"
	"strings"

	"sttwall/inspect"
)

// why says why a flow got no rule.
type why uint8

// The reasons, in the order in which they are written.
const (
	// scan: its source tried many targets that never answered; that includes the
	// few short flows of it that were answered.
	scan why = iota
	noAnswer
	// overMaxRules: there was no room for its rule.
	overMaxRules
)

var whyTexts = [...]string{scan: "a scan", noAnswer: "never answered", overMaxRules: "more rules than were asked for"}

const (
	// scanTargets is how many targets that never answered make a source a
	// scanner, if they are more than those that did.
	scanTargets = 16
	// probePackets is the most that a scanner needs to find a port open: SYN,
	// SYN-ACK, ACK, RST.
	probePackets = 4

	apartShown  = 20 // lines of flows set apart, a tenant and reason
	apartListed = 4  // services in such a line
)

// unanswered reports whether a flow is an attempt and no more.
func (f *Flow) unanswered() bool {
	m := f.Service
	k, known := m.known()
	switch {
	case f.Replied, manyTo(f.Dst), m.anywhere(), k.oneWay:
		return false
	case m.HasICMP:
		return isQuery(m)
	case m.HasPorts && m.Protocol == inspect.ProtocolUDP && !known, !m.HasPorts && !known:
		return f.Packets == 1 // others may be meant to go one way
	}
	return !f.Guessed
}

// isQuery reports whether somebody should answer the ICMP message.
func isQuery(m Match) bool {
	for answer, request := range echoes {
		if answer[0] == m.Protocol && request == m.ICMPType {
			return true
		}
	}
	return false
}

// sort sets flows apart, and returns those that need a rule.
func (w *workshop) sort() (wanted []Flow) {
	flows := w.flows
	silent, balance := map[netip.Addr]int{}, map[netip.Addr]int{}
	for i := range flows {
		if flows[i].unanswered() {
			silent[flows[i].Src]++
			balance[flows[i].Src]++
		} else {
			balance[flows[i].Src]--
		}
	}
	for i := range flows {
		f := &flows[i]
		scans := silent[f.Src] >= scanTargets && balance[f.Src] > 0
		switch attempt := f.unanswered(); {
		case scans && f.Src.IsValid() && (attempt || f.Packets <= probePackets):
			w.setApart(scan, f)
		case attempt:
			w.setApart(noAnswer, f)
		default:
			wanted = append(wanted, *f)
		}
	}
	return wanted
}

// apart is flows that got no rule, of one source for one reason.
type apart struct {
	why      why
	src      netip.Addr
	dsts     map[netip.Addr]bool
	services map[Match]bool
}

func (w *workshop) setApart(y why, flows ...*Flow) {
	for _, f := range flows {
		i := slices.IndexFunc(w.apart[f.Src], func(a *apart) bool { return a.why == y })
		if i < 0 {
			i = len(w.apart[f.Src])
			w.apart[f.Src] = append(w.apart[f.Src], &apart{y, f.Src, map[netip.Addr]bool{}, map[Match]bool{}})
		}
		a := w.apart[f.Src][i]
		a.dsts[f.Dst], a.services[f.Service] = true, true
		w.out.Apart++
	}
}

// apartLines says what was set apart and why, a line a source and reason.
func (w *workshop) apartLines() (lines []string) {
	var all []*apart
	for _, of := range w.apart {
		all = append(all, of...)
	}
	slices.SortFunc(all, func(a, b *apart) int { return cmp.Or(cmp.Compare(a.why, b.why), a.src.Compare(b.src)) })
	n := map[why]int{}
	for i, a := range all {
		if n[a.why]++; n[a.why] <= apartShown {
			lines = append(lines, "not suggested: "+a.String())
		}
		if last := i == len(all)-1 || all[i+1].why != a.why; last && n[a.why] > apartShown {
			lines = append(lines, fmt.Sprintf("not suggested: %s more: %s", count(n[a.why]-apartShown, "source", "sources"), whyTexts[a.why]))
		}
	}
	return lines
}

func (a *apart) String() string {
	var b strings.Builder
	if a.src.IsValid() {
		fmt.Fprintf(&b, "%s > ", a.src)
		if dsts := setOf(a.dsts); len(dsts) == 1 {
			fmt.Fprintf(&b, "%s: ", dsts[0])
		} else {
			fmt.Fprintf(&b, "%s: ", count(len(dsts), "host", "hosts"))
		}
	}
	services := sortedMatches(a.services)
	for i, m := range services {
		if i == apartListed {
			fmt.Fprintf(&b, "and %d more, ", len(services)-i)
			break
		}
		fmt.Fprintf(&b, "%s, ", m)
	}
	b.WriteString(whyTexts[a.why])
	return b.String()
}

func sortedMatches[V any](m map[Match]V) []Match {
	out := make([]Match, 0, len(m))
	for s := range m {
		out = append(out, s)
	}
	slices.SortFunc(out, compareMatches)
	return out
}
