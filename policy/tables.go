package policy

import (
	"fmt"

	"sttwall/conntrack"
)

// The words of the rules language, block by block.

var (
	fileSchema = &schema{
		where:   "at the top of a rules file",
		meaning: "A rules file holds these blocks, in any order.",
		blocks: []*schema{settingsSchema, groupSchema, serviceSchema, tenantSchema,
			beforeSchema, afterSchema, testSchema},
	}
	settingsSchema = &schema{
		block: "settings", where: "in settings",
		meaning: "What holds for the firewall as a whole. At most one.",
		attributes: []attribute{
			{"stt_ports", "list of numbers", "[7471]", "Destination ports that are STT; at most 16.", "[7471]"},
			{"endpoints", `list of addresses and CIDRs, each also with " on INTERFACE"`, "any, with a warning", `Outer addresses that may send STT at all, and the interface that it must come in on: see docs/table.md. ["any"] lets everybody, without the warning.`, `["10.47.0.0/16", "10.48.0.0/16 on eth1"]`},
			{"other_tunnels", `"drop" or "pass"`, `"drop"`, `What happens to other tunnels between two endpoints, which would lead around the firewall: see docs/table.md. Needs endpoints.`, `"pass"`},
			{"only_stt", "true or false", "false", `Between two endpoints nothing passes but STT, ICMP errors and IPv6 neighbour discovery: see docs/table.md. Needs endpoints.`, "true"},
			{"receivers", `"any" or "linux"`, `"any"`, `Whom the canonical encoding protects: Linux and Windows receivers, or the Linux datapath of Open vSwitch alone.`, `"linux"`},
			{"forward", `"canonical" or "rebuild"`, `"canonical"`, "How accepted frames leave. canonical: as they came where that is canonical, which needs no copy; else encoded anew. rebuild: all are encoded anew, with frame IDs of the firewall's own, cut evenly.", `"rebuild"`},
			{"mss_floor", "number", "536", "The smallest MSS in bytes, up to 1220, that a frame may ask its receiver to cut inner TCP with; smaller ones are dropped (mss_invalid).", "400"},
			{"default_action", `"accept", "drop" or "reject"`, `"drop"`, "For context IDs that no tenant claims, and for tenants without a default_action. Nothing is answered for a context ID that no tenant claims: reject is a drop there.", `"drop"`},
			{"tcp_loose", "true or false", "false", "TCP flows may be picked up in the middle. Meant for a firewall that was put into a running network: until its rules are enforced, and the connections from before have sent something.", "true"},
			{"flows", "number", "262144", "How many flows are remembered at once; up to 256 bytes of memory each. One outer endpoint may begin three quarters of them.", "1000000"},
			{"bindings", "number", "262144", "How many learned bindings of anti_spoof are remembered at once, about 130 bytes of memory each; one endpoint may have a quarter of them. When there are more, whoever has most gives up the oldest.", "50000"},
			{"reject_rate", "rate", `"100/s"`, "How many rejects are answered in all; what is over it is dropped without an answer.", `"20/s"`},
			{"endpoint_rate", "rate", "none", "How many packets each outer address may send to the queues, a tenth of a second's at once; what is over it is dropped by the nftables table (endpoint_rate): see docs/overload.md.", `"100000/s"`},
		},
		blocks: []*schema{timeoutsSchema},
		later:  []string{"startup_guard"},
	}
	timeoutsSchema = &schema{
		block: "timeouts", where: "in timeouts",
		meaning:    "How long a flow is remembered without a packet, by its state. At most one.",
		attributes: timeoutAttributes(),
	}
	groupSchema = &schema{
		block: `address_group "NAME"`, where: "in an address_group",
		meaning: "A name for inner addresses, used as address_group.NAME.",
		attributes: []attribute{
			{"addresses", "list of addresses, CIDRs, ranges and groups", "none", "The addresses. A group may hold groups, but not itself.", `["10.1.0.0/24", "10.1.1.5-10.1.1.9", "2001:db8::/64", address_group.other]`},
			{"addresses_from", "file name", "none", "A file with one address, CIDR or range a line, # for comments; relative to the rules file, read again at each reload. One of addresses and addresses_from must be there.", `"blocklist.txt"`},
		},
	}
	serviceSchema = &schema{
		block: `service "NAME"`, where: "in a service",
		meaning: "A name for what a packet carries, used as service.NAME.",
		attributes: []attribute{
			{"protocol", `"tcp", "udp", "sctp", "icmp", "icmpv6", "any" or a number`, "none", "The IP protocol. One of protocol and services must be there.", `"tcp"`},
			{"ports", "list of ports and ranges", "any", "Destination ports; for tcp, udp and sctp.", `[443, "8443-8450"]`},
			{"source_ports", "list of ports and ranges", "any", "Source ports.", `["1024-65535"]`},
			{"icmp_type", "name or number", "any", "For icmp and icmpv6.", `"echo-request"`},
			{"icmp_code", "name or number", "any", "With icmp_type.", `"port-unreachable"`},
			{"tcp_flags", "list of flags", "any", `Flags that must be set, or with "!" must not be; for tcp.`, `["syn", "!ack"]`},
			{"services", "list of services", "none", "A group of services, instead of the other attributes.", `[service.http, "tcp/8443"]`},
		},
	}
	tenantSchema = &schema{
		block: `tenant "NAME"`, where: "in a tenant",
		meaning: "The owner of some context IDs, and its rules.",
		attributes: []attribute{
			{"context_ids", "list of numbers, ranges and prefixes", "none", "The 64-bit context IDs of the tenant. The most specific claim of any tenant wins. One of context_ids and datapaths must be there.", `[100, "0x1000-0x1fff", "0xab00000000000000/8"]`},
			{"context_layout", `"plain" or "ovn"`, `"plain"`, "How context IDs are read. OVN packs 9 zero bits, ingress port (15 bits), egress port (16) and datapath (24) into them, and the two directions of a flow have different ones.", `"ovn"`},
			{"datapaths", "list of numbers and ranges", "none", `Logical datapaths (0 to 16777215), with context_layout = "ovn". A claim of context_ids is more specific, unless it has more than 2147483648 IDs.`, "[7, 12]"},
			{"endpoints", "list of addresses and CIDRs", "any", "Outer addresses that may send frames of this tenant. Others' are dropped (tenant_endpoint).", `["10.47.1.0/24"]`},
			{"default_action", `"accept", "drop" or "reject"`, "that of settings", "For packets that no rule matches.", `"drop"`},
			{"mode", `"enforce" or "audit"`, `"enforce"`, "audit: what the policy would drop passes, counted and logged as such. Structural checks stay.", `"audit"`},
			{"neighbor_discovery", `"pass" or "rules"`, `"pass"`, "pass: ARP and IPv6 neighbour discovery pass without a rule (after before_tenants). rules: the rules decide.", `"rules"`},
			{"pairing", `"endpoint" or "tenant"`, `"endpoint"`, "endpoint: a flow's packets must come from the outer endpoints that it began with. tenant: from any, for gateways in parallel.", `"tenant"`},
			{"tcp_loose", "true or false", "that of settings", "TCP flows may be picked up in the middle.", "true"},
		},
		blocks: []*schema{ruleSchema, limitsSchema, antiSpoofSchema},
	}
	antiSpoofSchema = &schema{
		block: "anti_spoof", where: "in anti_spoof",
		meaning: "Binds inner addresses, MACs and OVN ports to the outer endpoints behind which they live; see Anti-spoofing above. At most one.",
		attributes: []attribute{
			{"learn", `list of "address", "mac" and "ingress_port"`, `["address"]`, `What is bound to the endpoint where it is first seen. [] binds nothing but what is declared. "ingress_port" needs context_layout = "ovn".`, `["address", "mac"]`},
			{"within", "list of addresses, CIDRs, ranges, groups", "any", `Inner addresses that are learned. "!" takes out what lives behind several endpoints.`, `["10.1.0.0/16", "!10.1.0.1", "2001:db8:1::/48"]`},
			{"shared_macs", "list of MAC addresses", "none", `MACs that live behind several endpoints (distributed routers) and are never learned. With "mac" in learn.`, `["0a:00:00:00:00:00/24"]`},
			{"shared_ingress_ports", "list of numbers and ranges", "none", `OVN ports that do (those to routers), whatever the datapath. With "ingress_port" in learn.`, `[1]`},
			{"shared_datapaths", "list of numbers and ranges", "none", `OVN datapaths (of routers) whose ports and MACs do.`, `[9]`},
			{"expiry", "duration", `"10m"`, "A learned binding without a frame of its endpoint for so long is forgotten.", `"1h"`},
			{"move_after", "duration", `"1s"`, "A learned binding moves to the endpoint that claims it if its own has been silent for so long. One that announces itself (gratuitous ARP, unsolicited neighbour advertisement, RARP) does not wait.", `"5s"`},
		},
		blocks: []*schema{bindingSchema},
	}
	bindingSchema = &schema{
		block: `binding "NAME"`, where: "in a binding",
		meaning: "Declares what comes from some endpoints alone. What several bindings declare may come from the endpoints of each.",
		attributes: []attribute{
			{"endpoints", "list of addresses and CIDRs", required, "Outer addresses.", `["10.47.1.1"]`},
			{"addresses", "list of addresses, CIDRs, ranges, groups", "none", "Inner addresses. One of addresses, macs and ingress_ports must be there.", `["10.1.16.5", address_group.web]`},
			{"macs", "list of MAC addresses", "none", "Inner MACs.", `["02:00:00:00:00:05"]`},
			{"ingress_ports", "list of numbers and ranges", "none", `OVN logical ingress ports, with context_layout = "ovn".`, `[3, "8-15"]`},
			{"datapaths", "list of numbers and ranges", "all", "The datapaths that ingress_ports are of; each has ports of its own.", "[7]"},
		},
	}
	limitsSchema = &schema{
		block: "limits", where: "in limits",
		meaning: "Bounds on what the tenant may hold at once. At most one.",
		attributes: []attribute{
			{"flows", "number", "no bound but settings.flows", "Flows of the tenant.", "50000"},
			{"flows_per_source", "number", "no bound", "Flows begun by one inner address.", "2000"},
			{"half_open", "number", "no bound", "TCP flows without a whole handshake.", "1000"},
		},
	}
	ruleSchema = &schema{
		block: `rule "NAME"`, where: "in a rule",
		meaning: "Rules are tried from top to bottom; the first whose conditions all hold decides.",
		attributes: []attribute{
			{"action", `"accept", "drop" or "reject"`, required, "reject drops, and answers with a TCP RST or an ICMP error inside the tunnel.", `"accept"`},
			{"source", "list of addresses, CIDRs, ranges, groups", "any", `Inner source addresses. "!" in front of an entry takes it out again.`, `["10.0.0.0/8", "!10.9.0.0/16"]`},
			{"destination", "list of addresses, CIDRs, ranges, groups", "any", "Inner destination addresses.", "[address_group.web, !address_group.spare]"},
			{"services", "list of services", "any IP packet", "What the packet carries.", `["tcp/443", "icmp/echo-request", service.NAME]`},
			{"source_mac", "list of MAC addresses", "any", `Inner source MACs; "/24" behind one compares its first 24 bits; "multicast" and "broadcast" name those.`, `["02:00:00:00:00:01", "52:54:00:00:00:00/24"]`},
			{"destination_mac", "list of MAC addresses", "any", "Inner destination MACs.", `["!broadcast"]`},
			{"vlan", `list of VLAN IDs and ranges, or "none"`, "any", "The outermost tag's VLAN ID; none: untagged, or a tag with VLAN ID 0, which has a priority alone.", `[10, "100-199", "none"]`},
			{"pcp", "list of priorities and ranges", "any", "The outermost tag's priority, 0 to 7.", `["5-7"]`},
			{"ethertype", `list of "ipv4", "ipv6", "arp" and numbers`, "IP, or what services name", "The innermost ethertype.", `["ipv6", "0x88cc"]`},
			{"arp_operation", `list of "request", "reply" and numbers`, "any", "Only ARP packets, of these operations.", `["request"]`},
			{"tcp_flags", "list of flags", "any", `Only TCP packets: flags that must be set, or with "!" must not be.`, `["syn", "!ack"]`},
			{"fragment", `list of "whole", "first" and "later"`, `["whole", "first"]`, "Whether the inner IP packet is a fragment, and which. Only rules that name later fragments are asked about them.", `["whole"]`},
			{"from_endpoint", "list of addresses and CIDRs", "any", "The outer source.", `["10.47.1.1"]`},
			{"to_endpoint", "list of addresses and CIDRs", "any", "The outer destination.", `["10.47.2.0/24"]`},
			{"datapath", "list of numbers and ranges", "any", `OVN logical datapath, with context_layout = "ovn".`, "[7]"},
			{"ingress_port", "list of numbers and ranges", "any", "OVN logical ingress port.", `[3, "8-15"]`},
			{"egress_port", "list of numbers and ranges", "any", "OVN logical egress port.", "[4]"},
			{"state", `"stateful" or "stateless"`, `"stateful"`, "stateful: replies of an accepted flow, and ICMP errors about it, pass. stateless: each packet is decided for itself.", `"stateless"`},
			{"mode", `"enforce" or "audit"`, "that of the tenant", "audit: what this rule would drop passes, counted and logged as such. enforce: it drops in an audit tenant too.", `"audit"`},
			{"log", "true or false", "false", "Log each frame that this rule decides; of a stateful flow the first. At most 500 lines a second, and 100 for one outer source; what is over that is counted.", "true"},
		},
		blocks: []*schema{limitSchema, setSchema, timeSchema},
	}
	limitSchema = &schema{
		block: "limit", where: "in a limit",
		meaning: "How much a rule may decide: a token bucket, shared by all that matches. For a stateful rule it counts flows, for others packets.",
		attributes: []attribute{
			{"rate", "rate", required, "Tokens a second, minute, hour or day.", `"1000/s"`},
			{"burst", "number", "a second's worth, at least 1", "The size of the bucket.", "200"},
			{"over", `"next" or "drop"`, `"next"`, "What is over the limit goes on to the next rule, or is dropped (rate_limit).", `"drop"`},
		},
	}
	setSchema = &schema{
		block: "set", where: "in a set",
		meaning: "What an accepted packet is changed to; it is re-encoded then. Of a stateful flow, both directions.",
		attributes: []attribute{
			{"dscp", "name or number", "unchanged", "The inner DSCP.", `"af21"`},
			{"mss_max", "number", "unchanged", "The largest MSS that a TCP SYN may announce; larger ones are lowered. 536 to 65535.", "1360"},
		},
	}
	timeSchema = &schema{
		block: "time", where: "in a time",
		meaning: "When the rule holds. Several time blocks: in any of them. Flows are judged again when a window opens or closes.",
		attributes: []attribute{
			{"days", "list of days and ranges", "all", "Days of the week.", `["mon-fri"]`},
			{"from", `"HH:MM"`, `"00:00"`, "The first minute.", `"08:00"`},
			{"to", `"HH:MM"`, `"24:00"`, "The first minute that is out again. Not after from: the window goes over midnight, and belongs to the day on which it opens.", `"18:00"`},
			{"timezone", "name", `"UTC"`, "A zone of the IANA database.", `"Europe/Berlin"`},
			{"not_before", `"YYYY-MM-DD"`, "none", "The first day.", `"2026-12-01"`},
			{"not_after", `"YYYY-MM-DD"`, "none", "The last day.", `"2026-12-31"`},
		},
	}
	beforeSchema = &schema{
		block: beforeTenants, where: "in before_tenants",
		meaning: "Rules that every tenant's packets meet first. At most one.",
		blocks:  []*schema{ruleSchema},
	}
	afterSchema = &schema{
		block: afterTenants, where: "in after_tenants",
		meaning: "Rules for packets that no rule of their tenant matched. At most one.",
		blocks:  []*schema{ruleSchema},
	}
	testSchema = &schema{
		block: `test "NAME"`, where: "in a test",
		meaning: "What the file must do, tried by `sttwall check`. One packet, or several in step blocks that share state.",
		attributes: []attribute{
			{"context_id", "number or hexadecimal string", required, "The context ID of the frames.", "100"},
			{"packet", "packet description", "none", "The inner packet (docs/packets.md).", `"tcp 10.9.9.9:40000 > 10.1.0.10:443 syn"`},
			{"expect", `"accept", "drop" or "reject"`, "none", "The verdict.", `"accept"`},
			{"rule", `"tenant/rule"`, "any", `The rule that decides; "default" where none may.`, `"acme/web"`},
			{"reason", "drop reason", "any", "Why it is dropped (docs/reasons.md).", `"tenant_default"`},
			{"at", "time", "Monday 2026-01-05 12:00 UTC", "The time of the first packet, RFC 3339.", `"2026-12-24T08:00:00Z"`},
		},
		blocks: []*schema{stepSchema},
	}
	stepSchema = &schema{
		block: "step", where: "in a step",
		meaning: "One packet of a sequence.",
		attributes: []attribute{
			{"packet", "packet description", required, "The inner packet.", `"tcp 10.1.0.10:443 > 10.9.9.9:40000 syn,ack"`},
			{"expect", `"accept", "drop" or "reject"`, required, "The verdict.", `"accept"`},
			{"rule", `"tenant/rule"`, "any", "The rule that decides.", `"acme/web"`},
			{"reason", "drop reason", "any", "Why it is dropped.", `"tcp_window"`},
			{"context_id", "number or hexadecimal string", "that of the test", "The context ID of this frame.", "100"},
			{"after", "duration", "none", "The time since the packet before.", `"30s"`},
		},
	}

	allSchemas = []*schema{fileSchema, settingsSchema, timeoutsSchema, groupSchema, serviceSchema, tenantSchema, limitsSchema, antiSpoofSchema, bindingSchema, ruleSchema, limitSchema, setSchema, timeSchema, beforeSchema, afterSchema, testSchema, stepSchema}
)

// timeoutAttributes has one duration for each state that conntrack knows.
func timeoutAttributes() (out []attribute) {
	defaults := conntrack.DefaultTimeouts()
	for _, name := range conntrack.TimeoutNames() {
		text := durationText(*defaults.Field(name))
		out = append(out, attribute{name, "duration", fmt.Sprintf("%q", text), "See docs/conntrack.md.", fmt.Sprintf("%q", text)})
	}
	return out
}
