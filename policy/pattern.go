package policy

import (
	"fmt"
	"net/netip"
	"strings"

	"sttwall/describe"
)

// patternRule writes a pattern as a rule of the rules language, and before it the
// service block that it needs, if any. Whose packets the pattern is about the
// place of the rule says: a tenant block, or before_tenants. Of a pattern that
// goes both ways it is the one way; see [describe.Pattern.Reverse].
//
// What drops, drops in audit tenants too: who sets such a rule means it.
func patternRule(name string, a Action, t *describe.Pattern) string {
	var b strings.Builder
	services := patternServices(name, t, &b)
	fmt.Fprintf(&b, "rule %q {\n", name)
	put := func(attribute, value string) {
		if value != "" {
			fmt.Fprintf(&b, "  %s = %s\n", attribute, value)
		}
	}
	list := func(attribute, item string) {
		if item != "" {
			put(attribute, fmt.Sprintf("[%q]", item))
		}
	}
	put("action", fmt.Sprintf("%q", a))
	if a != Accept {
		put("mode", `"enforce"`)
	}
	put("source", hostsText(&t.Source))
	put("destination", hostsText(&t.Destination))
	put("services", services)
	list("source_mac", t.SourceMAC)
	list("destination_mac", t.DestinationMAC)
	list("vlan", t.VLAN)
	list("arp_operation", t.ARPOperation)
	if len(t.TCPFlags) > 0 {
		put("tcp_flags", `["`+strings.Join(t.TCPFlags, `", "`)+`"]`)
	}
	list("fragment", t.Fragment)
	list("from_endpoint", endpointText(t.From))
	list("to_endpoint", endpointText(t.To))
	b.WriteString("}\n")
	return b.String()
}

// patternServices returns the services list, "" for any IP packet. Source ports
// need a service block, which goes to b.
func patternServices(name string, t *describe.Pattern, b *strings.Builder) string {
	switch t.Protocol {
	case "any":
		return ""
	case "protocol":
		return fmt.Sprintf(`["protocol/%d"]`, t.Number)
	case "ethertype":
		return fmt.Sprintf(`["ethertype/0x%04x"]`, t.Number)
	}
	text := t.Protocol
	switch {
	case t.Source.HasPorts:
		fmt.Fprintf(b, "service %q {\n  protocol     = %q\n  source_ports = [%q]\n", name, t.Protocol, t.Source.Ports())
		if t.Destination.HasPorts {
			fmt.Fprintf(b, "  ports        = [%q]\n", t.Destination.Ports())
		}
		b.WriteString("}\n")
		return fmt.Sprintf("[service.%s]", name)
	case t.Destination.HasPorts:
		text += "/" + t.Destination.Ports()
	case t.ICMPType >= 0:
		text += fmt.Sprintf("/%d", t.ICMPType)
		if t.ICMPCode >= 0 {
			text += fmt.Sprintf("/%d", t.ICMPCode)
		}
	}
	return fmt.Sprintf("[%q]", text)
}

func hostsText(h *describe.Hosts) string {
	switch {
	case h.Group != "":
		return fmt.Sprintf("[address_group.%s]", h.Group)
	case h.Addresses != "":
		return fmt.Sprintf("[%q]", h.Addresses)
	}
	return ""
}

func endpointText(p netip.Prefix) string {
	if !p.IsValid() {
		return ""
	}
	return p.String()
}
