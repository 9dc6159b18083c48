package plain

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
)

// Text writes the policy as rules text, and the files of addresses_from by name.
// The same thing has many spellings; r chooses.
func (p *Policy) Text(r *rand.Rand) (text string, files map[string]string) {
	w := writer{r: r, files: make(map[string]string)}
	var blocks []string
	block := func(s string) { blocks = append(blocks, s) }
	block(w.block("settings", []string{
		attribute("endpoints", `["any"]`),
		w.word("default_action", p.DefaultAction, "drop"),
	}))
	for _, g := range p.Groups {
		block(w.group(g))
	}
	for _, s := range p.Services {
		block(w.service(s))
	}
	if p.Before != nil {
		block(w.block("before_tenants", nil, w.rules(p.Before)...))
	}
	if p.After != nil {
		block(w.block("after_tenants", nil, w.rules(p.After)...))
	}
	// > A rules file holds these blocks, in any order.
	// > Groups and services may
	// > stand behind the rules that use them.
	for _, t := range p.Tenants {
		block(w.tenant(t))
	}
	r.Shuffle(len(blocks), func(i, j int) { blocks[i], blocks[j] = blocks[j], blocks[i] })
	return strings.Join(blocks, "\n"), w.files
}

type writer struct {
	r     *rand.Rand
	files map[string]string
}

func (w *writer) one(of ...string) string { return of[w.r.IntN(len(of))] }

func attribute(name, value string) string { return name + " = " + value }

// block writes the attributes in any order, and behind them the blocks.
func (w *writer) block(header string, attributes []string, blocks ...string) string {
	attributes = slices.DeleteFunc(attributes, func(s string) bool { return s == "" })
	w.r.Shuffle(len(attributes), func(i, j int) { attributes[i], attributes[j] = attributes[j], attributes[i] })
	blocks = slices.DeleteFunc(blocks, func(s string) bool { return s == "" })
	var b strings.Builder
	fmt.Fprintf(&b, "%s {\n", header)
	for _, line := range append(attributes, blocks...) {
		fmt.Fprintf(&b, "%s%s\n", line, w.one("", "", "", " # a comment", " // another", "\n"))
	}
	b.WriteString("}")
	return b.String()
}

// word writes a word in quotes; one that is left out, or that would hold without
// being written, sometimes is and sometimes is not.
func (w *writer) word(name, value, fallback string) string {
	if value == "" || value == fallback && w.r.IntN(2) == 0 {
		return ""
	}
	return attribute(name, fmt.Sprintf("%q", value))
}

func (w *writer) truth(name string, value bool) string {
	switch {
	case !value && w.r.IntN(2) == 0:
		return ""
	case w.r.IntN(20) == 0:
		return attribute(name, fmt.Sprintf("%t ? true : false", value))
	}
	return attribute(name, fmt.Sprint(value))
}

// list writes a list, now and then as an expression that gives it.
func (w *writer) list(name string, items []string) string {
	if items == nil {
		return ""
	}
	// An expression has no "!address_group.NAME", and no numbers among strings.
	plain := !slices.ContainsFunc(items, func(s string) bool { return strings.HasPrefix(s, "!") })
	quoted := !slices.ContainsFunc(items, func(s string) bool { return !strings.HasPrefix(s, `"`) })
	text := "[" + strings.Join(items, w.one(", ", ",", ",\n")) + w.one("", "", ",") + "]"
	switch w.r.IntN(24) {
	case 0:
		if plain {
			n := w.r.IntN(len(items))
			text = fmt.Sprintf("concat([%s], [%s])", strings.Join(items[:n], ", "), strings.Join(items[n:], ", "))
		}
	case 1:
		if quoted {
			text = fmt.Sprintf("[for x in [%s] : x]", strings.Join(items, ", "))
		}
	case 2:
		if quoted {
			text = fmt.Sprintf("[for x in [%s] : \"${x}\" if length([]) == 0]", strings.Join(items, ", "))
		}
	case 3:
		if quoted && !strings.Contains(text, "${") {
			text = fmt.Sprintf("split(\" \", %q)", strings.ReplaceAll(strings.Join(items, " "), `"`, ""))
		}
	case 4:
		if plain {
			text = fmt.Sprintf("flatten([[%s], []])", strings.Join(items, ", "))
		}
	case 5:
		text = "(" + text + ")"
	}
	return attribute(name, text)
}

// texts maps the entries of a list; nil stays nil.
func texts[T any](list []T, text func(T) string) []string {
	if list == nil {
		return nil
	}
	out := make([]string, len(list))
	for i, e := range list {
		out[i] = text(e)
	}
	return out
}

func (w *writer) group(g *Group) string {
	attributes := []string{w.list("addresses", texts(g.Entries, w.address))}
	if g.Lines != nil {
		var b strings.Builder
		for _, l := range g.Lines {
			b.WriteString(w.one("", "", "  ", "# a comment\n", "\n") + w.addressRange(l) + w.one("", " # why", "\r", "\t") + "\n")
		}
		if w.r.IntN(3) == 0 {
			b.WriteString("# the end")
		}
		name := g.Name + ".txt"
		w.files[name] = b.String()
		attributes = append(attributes, attribute("addresses_from", fmt.Sprintf("%q", name)))
	}
	return w.block(fmt.Sprintf("address_group %q", g.Name), attributes)
}

func (w *writer) not(negated bool) string {
	if negated {
		return "!"
	}
	return ""
}

func (w *writer) address(a Address) string {
	switch {
	case a.Any:
		return `"any"`
	case a.Group != nil:
		return w.not(a.Not) + w.reference("address_group", a.Group.Name)
	}
	return fmt.Sprintf("%q", w.not(a.Not)+w.addressRange(a.Range))
}

func (w *writer) reference(kind, name string) string {
	if w.r.IntN(4) == 0 {
		return fmt.Sprintf("%s[%q]", kind, name)
	}
	return kind + "." + name
}

func (w *writer) tenant(t *Tenant) string {
	layout, mode, neighbors := "plain", "enforce", "pass"
	if t.OVN {
		layout = "ovn"
	}
	if t.Audit {
		mode = "audit"
	}
	if t.NeighborsByRule {
		neighbors = "rules"
	}
	return w.block(fmt.Sprintf("tenant %q", t.Name), []string{
		w.list("context_ids", texts(t.Claims, w.claim)),
		w.word("context_layout", layout, "plain"),
		w.list("datapaths", texts(t.Datapaths, w.number)),
		w.list("endpoints", texts(t.Endpoints, w.endpoint)),
		w.word("default_action", t.DefaultAction, ""),
		w.word("mode", mode, "enforce"),
		w.word("neighbor_discovery", neighbors, "pass"),
	}, append(w.rules(t.Rules), w.antiSpoof(t))...)
}

func (w *writer) rules(rules []*Rule) []string { return texts(rules, w.rule) }

func (w *writer) rule(r *Rule) string {
	state := "stateful"
	if r.Stateless {
		state = "stateless"
	}
	blocks := texts(r.Times, w.window)
	if r.Limit != nil {
		blocks = append(blocks, w.limit(r.Limit))
	}
	if r.Set != (Set{}) {
		blocks = append(blocks, w.set(r.Set))
	}
	return w.block(fmt.Sprintf("rule %q", r.Name), []string{
		w.word("action", r.Action, ""),
		w.list("source", texts(r.Source, w.address)),
		w.list("destination", texts(r.Destination, w.address)),
		w.list("services", texts(r.Services, w.serviceEntry)),
		w.list("source_mac", texts(r.SourceMAC, w.mac)),
		w.list("destination_mac", texts(r.DestinationMAC, w.mac)),
		w.list("vlan", texts(r.VLAN, w.number)),
		w.list("pcp", texts(r.PCP, w.number)),
		w.list("ethertype", texts(r.EtherType, w.etherType)),
		w.list("arp_operation", texts(r.ARPOperation, w.arpOperation)),
		w.list("tcp_flags", texts(r.TCPFlags, w.flag)),
		w.list("fragment", texts(r.Fragment, func(s string) string { return fmt.Sprintf("%q", s) })),
		w.list("from_endpoint", texts(r.FromEndpoint, w.endpoint)),
		w.list("to_endpoint", texts(r.ToEndpoint, w.endpoint)),
		w.list("datapath", texts(r.Datapath, w.number)),
		w.list("ingress_port", texts(r.IngressPort, w.number)),
		w.list("egress_port", texts(r.Port, w.number)),
		w.word("state", state, "stateful"),
		w.word("mode", r.Mode, ""),
		w.truth("log", r.Log),
	}, blocks...)
}

func (w *writer) limit(l *Limit) string {
	unit := map[int64][]string{
		1e9: {"s", "second"}, 60e9: {"m", "minute"}, 3600e9: {"h", "hour"}, 24 * 3600e9: {"d", "day"},
	}[l.Per]
	over := "next"
	if l.Drop {
		over = "drop"
	}
	burst := ""
	if l.Burst > 0 {
		burst = attribute("burst", fmt.Sprint(l.Burst))
	}
	return w.block("limit", []string{
		attribute("rate", fmt.Sprintf("\"%d/%s\"", l.Events, w.one(unit...))), burst, w.word("over", over, "next"),
	})
}

// dscpNames are the code points of RFC 2474, 2597, 3246, 5865 and 8622 that have
// a name.
var dscpNames = map[uint8]string{0: "cs0", 1: "lephb", 8: "cs1", 10: "af11", 18: "af21", 28: "af32", 38: "af43", 44: "va", 46: "ef", 56: "cs7"}

func (w *writer) set(s Set) string {
	var attributes []string
	if s.HasDSCP {
		text := fmt.Sprint(s.DSCP)
		if name := dscpNames[s.DSCP]; name != "" && w.r.IntN(2) == 0 {
			text = fmt.Sprintf("%q", name)
		}
		attributes = append(attributes, attribute("dscp", text))
	}
	if s.MSSMax > 0 {
		attributes = append(attributes, attribute("mss_max", fmt.Sprint(s.MSSMax)))
	}
	return w.block("set", attributes)
}
