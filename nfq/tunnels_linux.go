package nfq

// tunnelProtocols are IP protocols that carry frames or packets of others around
// the firewall (IANA's protocol numbers): IPv4 in IP, IPv6 in IP, GRE with NVGRE,
// ESP, AH, minimal encapsulation (RFC 2004), IP in IP as KA9Q first had it, EtherIP
// (RFC 3378), RFC 1241, IPComp (RFC 3173), L2TPv3 (RFC 3931), MPLS in IP (RFC 4023),
// and Ethernet behind an SRv6 header (RFC 8986).
func tunnelProtocols() []uint8 { return []uint8{4, 41, 47, 50, 51, 55, 94, 97, 98, 108, 115, 137, 143} }

// tunnelPorts are UDP destination ports that do (IANA's registry, but 8472): L2TP
// 1701, GTP-U 2152, Teredo 3544, LISP 4341, ESP 4500, GRE 4754 and in DTLS 4755,
// VXLAN 4789, VXLAN-GPE 4790, GUE 6080, Geneve 6081, MPLS 6635 and in DTLS 6636,
// and VXLAN as Linux first had it 8472.
func tunnelPorts() []uint16 {
	return []uint16{1701, 2152, 3544, 4341, 4500, 4754, 4755, 4789, 4790, 6080, 6081, 6635, 6636, 8472}
}

// icmpErrors are ICMP types that say why a packet did not arrive: unreachable
// (with it "fragmentation needed", without which path MTU discovery fails), time
// exceeded, parameter problem.
func icmpErrors() []uint8 { return []uint8{3, 11, 12} }

// icmpv6Needed are the ICMPv6 types that an IPv6 underlay lives by: errors with
// "packet too big", multicast listeners, and neighbour discovery, which replaces
// ARP and crosses this host where it bridges.
func icmpv6Needed() []uint8 { return []uint8{1, 2, 3, 4, 130, 131, 132, 133, 134, 135, 136, 137, 143} }
