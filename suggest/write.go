package suggest

import (
	"fmt"
	"io"
	"strconv"
	"strings"

	"github.com/hashicorp/hcl/v2/hclwrite"
)

const (
	lineWidth = 100     // of lists
	maxText   = 2 << 20 // what the rules language has room for in one rule
)

// WriteHCL writes the suggestion in the rules language, formatted as hclwrite
// does, with the evidence in comments. Without a policy it is a whole file; with
// one, what belongs into the file of that, and the comments say where. The error
// is the writer's, or says that a rules file could not hold it; then nothing is
// written.
func (s *Suggestion) WriteHCL(w io.Writer) error {
	var b strings.Builder
	if !s.existing && len(s.tenants) > 0 {
		endpoints := []string{`"any"`}
		if len(s.endpoints) > 0 {
			endpoints = nil
			for _, a := range s.endpoints {
				endpoints = append(endpoints, strconv.Quote(a.String()))
			}
		}
		b.WriteString("settings {\n")
		attribute(&b, "endpoints", endpoints)
		b.WriteString("}\n\n")
	}
	for i := range s.groups {
		fmt.Fprintf(&b, "address_group %q {\n", s.groups[i].name)
		attribute(&b, "addresses", quoted(s.groups[i].ranges))
		b.WriteString("}\n\n")
	}
	for i := range s.services {
		s.services[i].write(&b)
	}
	for _, t := range s.tenants {
		t.write(&b)
	}
	text := strings.TrimRight(b.String(), "\n")
	if text == "" {
		text = "# Nothing was seen that needs a rule."
	}
	formatted := []byte(text + "\n")
	if len(formatted) <= maxText {
		formatted = hclwrite.Format(formatted)
	}
	if n := len(formatted); n > maxText {
		return fmt.Errorf("a suggestion of %d bytes, more than the %d that a rule may have, and than anybody reads: ask for one tenant, for fewer rules, or for CIDRs and ranges", n, maxText)
	}
	_, err := w.Write(formatted)
	return err
}

func (s *service) write(b *strings.Builder) {
	fmt.Fprintf(b, "service %q {\n  protocol = %q\n", s.name, protocolName(s.matches[0].Protocol))
	var ports []string
	for _, m := range s.matches {
		if m.First == m.Last {
			ports = append(ports, strconv.Itoa(int(m.First)))
		} else {
			ports = append(ports, fmt.Sprintf("\"%d-%d\"", m.First, m.Last))
		}
	}
	attribute(b, "ports", ports)
	b.WriteString("}\n\n")
}

func (t *tenant) write(b *strings.Builder) {
	block := !t.known && (len(t.rules) > 0 || t.quiet)
	switch {
	case len(t.rules) == 0 && t.quiet:
		t.header(b)
		b.WriteString("\n# ARP and neighbour discovery were seen: they need a tenant, and no rule.\n")
	case len(t.rules) == 0:
		fmt.Fprintf(b, "# No rule is suggested for tenant %q.\n", t.name)
	case t.known:
		fmt.Fprintf(b, "# Paste these rules at the end of the block of tenant %q.\n\n", t.name)
	default:
		t.header(b)
	}
	for i := range t.rules {
		if block || i > 0 {
			b.WriteByte('\n')
		}
		t.rules[i].write(b)
	}
	if len(t.apart) > 0 && (block || len(t.rules) > 0) {
		b.WriteByte('\n')
	}
	for _, line := range t.apart {
		fmt.Fprintf(b, "# %s\n", line)
	}
	if block {
		b.WriteString("}\n")
	}
	b.WriteByte('\n')
}

// header begins the block of a tenant that is new.
func (t *tenant) header(b *strings.Builder) {
	var ids []string
	for _, n := range t.networks {
		if t.ovn || n < decimalBelow {
			ids = append(ids, strconv.FormatUint(n, 10))
		} else {
			ids = append(ids, fmt.Sprintf("\"0x%016x\"", n))
		}
	}
	fmt.Fprintf(b, "tenant %q {\n", t.name)
	if t.ovn {
		b.WriteString("  context_layout = \"ovn\"\n")
		attribute(b, "datapaths", ids)
	} else {
		attribute(b, "context_ids", ids)
	}
	b.WriteString("  default_action = \"drop\"\n")
}

func (r *rule) write(b *strings.Builder) {
	if r.flows > 0 {
		fmt.Fprintf(b, "# Seen: %s, %s.\n", count(r.from, "source", "sources"), count(r.to, "destination", "destinations"))
	}
	if r.guessed > 0 {
		fmt.Fprintf(b, "# %s begun before: who serves is a guess from the ports.\n", count(r.guessed, "flow had", "flows had"))
	}
	fmt.Fprintf(b, "rule %q {\n  action = \"accept\"\n", r.name)
	r.source.write(b, "source")
	r.destination.write(b, "destination")
	var services []string
	for _, e := range r.services {
		if e.service != "" {
			services = append(services, "service."+e.service)
		} else {
			services = append(services, strconv.Quote(e.match.String()))
		}
	}
	attribute(b, "services", services)
	b.WriteString("}\n")
}

func (l *list) write(b *strings.Builder, name string) {
	var entries []string
	for _, g := range l.groups {
		entries = append(entries, "address_group."+g)
	}
	if entries = append(entries, quoted(l.ranges)...); len(entries) > 0 {
		attribute(b, name, entries)
	}
}

// attribute writes a list, over several lines if one is too short.
func attribute(b *strings.Builder, name string, entries []string) {
	line := strings.Join(entries, ", ")
	if len(line)+len(name) <= lineWidth {
		fmt.Fprintf(b, "%s = [%s]\n", name, line)
		return
	}
	fmt.Fprintf(b, "%s = [", name)
	column := lineWidth
	for _, e := range entries {
		if column+len(e)+2 > lineWidth {
			b.WriteByte('\n')
			column = 0
		} else {
			b.WriteByte(' ')
		}
		b.WriteString(e + ",")
		column += len(e) + 2
	}
	b.WriteString("\n]\n")
}

func quoted(ranges []Range) []string {
	out := make([]string, len(ranges))
	for i, r := range ranges {
		out[i] = strconv.Quote(r.String())
	}
	return out
}

func count(n int, one, more string) string {
	if n == 1 {
		more = one
	}
	return fmt.Sprintf("%d %s", n, more)
}
