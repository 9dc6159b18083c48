package suggest

import (
	"fmt"
	"strings"

	"sttwall/inspect"
)

// known is a service that operators call by name.
type known struct {
	name string
	// oneWay: receivers of it never answer, so silence tells nothing.
	oneWay bool
	// aux: it is had beside what a server is there for, and does not tell one
	// kind of server from the other.
	aux bool
}

type port struct {
	protocol uint8
	number   uint16
}

// wellKnown are names from the IANA service name registry, or what operators
// say where that is another word.
var wellKnown = map[port]known{
	{6, 21}: {name: "ftp"}, {6, 22}: {name: "ssh", aux: true}, {6, 23}: {name: "telnet", aux: true},
	{6, 25}: {name: "smtp"}, {6, 80}: {name: "http"}, {6, 88}: {name: "kerberos"}, {17, 88}: {name: "kerberos-udp"},
	{17, 69}: {name: "tftp"}, {6, 110}: {name: "pop3"}, {6, 111}: {name: "portmap"}, {17, 123}: {name: "ntp"},
	{6, 135}: {name: "msrpc"}, {17, 137}: {name: "netbios-ns"}, {17, 138}: {name: "netbios-dgm", oneWay: true},
	{6, 139}: {name: "netbios-ssn"}, {6, 143}: {name: "imap"}, {17, 161}: {name: "snmp", aux: true},
	{17, 162}: {name: "snmp-trap", oneWay: true}, {6, 179}: {name: "bgp"}, {6, 389}: {name: "ldap"},
	{6, 443}: {name: "https"}, {17, 443}: {name: "http3"}, {6, 445}: {name: "smb"}, {6, 465}: {name: "submissions"},
	{17, 500}: {name: "ike"}, {17, 514}: {name: "syslog", oneWay: true}, {6, 514}: {name: "syslog-tcp"},
	{6, 587}: {name: "submission"}, {6, 636}: {name: "ldaps"}, {6, 853}: {name: "dns-over-tls"}, {6, 993}: {name: "imaps"},
	{6, 995}: {name: "pop3s"}, {6, 1433}: {name: "mssql"}, {6, 1521}: {name: "oracle"}, {17, 1812}: {name: "radius"},
	{17, 1813}: {name: "radius-accounting"}, {6, 1883}: {name: "mqtt"}, {6, 2049}: {name: "nfs"},
	{17, 2055}: {name: "netflow", oneWay: true}, {6, 2181}: {name: "zookeeper"}, {6, 2379}: {name: "etcd"},
	{6, 2380}: {name: "etcd-peer"}, {132, 2905}: {name: "m3ua"}, {6, 3128}: {name: "proxy"}, {6, 3306}: {name: "mysql"},
	{6, 3389}: {name: "rdp", aux: true}, {132, 3868}: {name: "diameter"}, {17, 4500}: {name: "ike-nat"},
	{17, 4739}: {name: "ipfix", oneWay: true}, {17, 4789}: {name: "vxlan", oneWay: true}, {17, 5060}: {name: "sip"},
	{6, 5060}: {name: "sip-tcp"}, {6, 5201}: {name: "iperf3"}, {17, 5201}: {name: "iperf3-udp"},
	{17, 5353}: {name: "mdns", oneWay: true}, {17, 5355}: {name: "llmnr"}, {6, 5432}: {name: "postgresql"},
	{6, 5671}: {name: "amqps"}, {6, 5672}: {name: "amqp"}, {6, 5900}: {name: "vnc", aux: true},
	{17, 6081}: {name: "geneve", oneWay: true}, {17, 6343}: {name: "sflow", oneWay: true}, {6, 6379}: {name: "redis"},
	{6, 6443}: {name: "kubernetes"}, {6, 8080}: {name: "http-alt"}, {6, 8443}: {name: "https-alt"},
	{6, 9042}: {name: "cassandra"}, {6, 9090}: {name: "prometheus"}, {6, 9092}: {name: "kafka"},
	{6, 9100}: {name: "node-exporter", aux: true}, {6, 9200}: {name: "elasticsearch"},
	{6, 10250}: {name: "kubelet"}, {6, 11211}: {name: "memcached"}, {6, 27017}: {name: "mongodb"},
	{132, 36412}: {name: "s1ap"}, {132, 38412}: {name: "ngap"},
}

// knownPort returns the named service of one port.
func knownPort(protocol uint8, number uint16) (known, bool) {
	if number == portDNS && protocol != inspect.ProtocolSCTP {
		return known{name: "dns"}, true
	}
	if number == portBFD && protocol == inspect.ProtocolUDP {
		return known{name: "bfd", oneWay: true, aux: true}, true
	}
	k, ok := wellKnown[port{protocol, number}]
	return k, ok
}

// known returns what is known of a service.
func (m Match) known() (known, bool) {
	switch {
	case m.Builtin != "":
		return known{name: m.Builtin, oneWay: m.Builtin != "dns", aux: m.Builtin == "bfd" || m.Builtin == "vrrp"}, true
	case m.HasPorts && m.First == m.Last:
		return knownPort(m.Protocol, m.First)
	}
	return known{}, false
}

func (m Match) isKnown() bool {
	_, ok := m.known()
	return ok
}

// aux reports whether the service says nothing about what a server is for.
func (m Match) aux() bool {
	k, _ := m.known()
	return k.aux || m.HasICMP
}

// label is the service in a name: "https", "tcp-8000", "ping".
func (m Match) label() string {
	if k, ok := m.known(); ok {
		return k.name
	}
	switch {
	case m.HasICMP && (m.Protocol == inspect.ProtocolICMP && m.ICMPType == 8 || m.Protocol == inspect.ProtocolICMPv6 && m.ICMPType == 128):
		return "ping"
	case m.EtherType != 0:
		if m.EtherType == 0x88cc { // IEEE 802.1AB
			return "lldp"
		}
		return fmt.Sprintf("ethertype-%04x", m.EtherType)
	}
	return strings.ReplaceAll(m.String(), "/", "-")
}
