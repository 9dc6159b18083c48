package suggest_test

import (
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	. "sttwall/suggest"
)

var update = flag.Bool("update", false, "write testdata/*.hcl anew")

// threeTiers is a web application with 2 web, 3 application and 2 database
// servers, 40 clients in one subnet, an administrator and a monitor.
func threeTiers(t *traffic) {
	web, app, db := []string{"10.1.0.10", "10.1.0.11"}, []string{"10.1.1.21", "10.1.1.22", "10.1.1.23"}, []string{"10.1.2.31", "10.1.2.32"}
	for i := range 40 {
		client := fmt.Sprintf("10.9.0.%d", 20+5*i)
		t.tcp(client, web[i%2], 443)
		if i%3 == 0 {
			t.tcp(client, web[i/3%2], 80)
		}
	}
	for _, w := range web {
		for _, a := range app {
			t.tcp(w, a, 8000)
			t.tcp(w, a, 8001)
			t.tcp(w, a, 8002)
		}
		t.udp(w, "10.1.3.53", 53)
	}
	for i, a := range app {
		t.tcp(a, db[i%2], 5432)
		t.tcp(a, db[0], 5432)
		t.udp(a, "10.1.3.53", 53)
	}
	for _, s := range slices.Concat(web, app, db) {
		t.tcp("10.8.0.5", s, 22)
		t.ping("10.8.0.9", s)
	}
}

// names has a resolver asked by hosts of several subnets, a flow that began
// before, and DHCP of a host without an address.
func names(t *traffic) {
	for i := range 12 {
		client := fmt.Sprintf("10.4.%d.7", i)
		t.udp(client, "10.1.0.53", 53)
		t.udp(client, "10.1.1.53", 53)
	}
	t.tcp("10.4.0.7", "10.1.0.53", 53)
	t.add(t.context, "tcp 10.4.3.7:51234 > 10.1.0.80:80 ack")
	t.add(t.context, "tcp 10.1.0.80:80 > 10.4.3.7:51234 ack")
	t.add(t.context, "udp 0.0.0.0:68 > 255.255.255.255:67")
	t.add(t.context, "udp 10.4.0.1:67 > 10.4.0.7:68")
	t.add(t.context, "arp request 10.4.0.1 > 10.4.0.7")
}

func peers(t *traffic) {
	for _, s := range []string{"10.0.0.1", "10.0.0.2", "10.0.0.3"} {
		for _, d := range []string{"10.0.0.1", "10.0.0.2", "10.0.0.3"} {
			if s != d {
				t.port++
				t.ping(s, d)
			}
		}
	}
	t.add(t.context, "icmp 10.0.0.1 > 10.9.9.9 destination-unreachable about (udp 10.9.9.9:1 > 10.0.0.1:2)")
	t.add(t.context, "icmp 10.0.0.1 > 10.0.0.77 echo-request id 99") // nobody there
	t.add(t.context, "protocol 112 10.0.0.1 > 224.0.0.18")
	t.add(t.context, "protocol 112 10.0.0.2 > 224.0.0.18")
	t.add(t.context, "udp 10.0.0.1:49152 > 10.0.0.2:3784")
	t.add(t.context, "udp 10.0.0.2:49153 > 10.0.0.1:3784")
	t.add(t.context, "ethertype 0x88cc")
	t.add(t.context, "protocol 47 10.0.0.1 > 10.0.0.2")
	t.add(t.back, "protocol 47 10.0.0.2 > 10.0.0.1")
}

func ipv6(t *traffic) {
	for i := range 9 {
		client := fmt.Sprintf("2001:db8:9:0:%x:2ff:fe00:%x", 0x1234*i+1, 77*i)
		t.tcp(client, "2001:db8:1::10", 443)
		t.tcp(client, "2001:db8:1::11", 443)
		t.add(t.context, "icmpv6 %s > ff02::16 143", client)
	}
	t.tcp("10.9.0.7", "10.1.0.10", 443)
	t.tcp("10.9.0.7", "10.1.0.11", 443)
	t.add(t.context, "icmpv6 fe80::1 > ff02::1:ff00:2 nd-neighbor-solicit")
	t.ping("2001:db8:9::5", "2001:db8:1::10")
}

func scan(t *traffic) {
	for port := range uint16(1000) {
		t.syn("10.66.6.6", "10.1.0.10", port+1)
	}
	t.tcp("10.66.6.6", "10.1.0.10", 8443) // open
	t.tcp("10.9.0.7", "10.1.0.10", 443)
	t.add(t.context, "udp 10.9.0.7:5000 > 10.1.0.10:4711")
	t.add(t.context, "udp 10.9.0.7:5000 > 10.1.0.99:514") // syslog: nobody answers that
	t.syn("10.9.0.8", "10.1.0.10", 23)
	t.syn("10.9.0.8", "10.1.0.11", 23)
}

func dataPorts(t *traffic) {
	for i := range uint16(3) {
		t.tcp("10.9.0.7", "10.1.0.21", 21)
		t.tcp("10.9.0.7", "10.1.0.21", 50100+7*i)
		t.tcp("10.9.0.8", "10.1.0.21", 21)
		t.tcp("10.9.0.8", "10.1.0.21", 50112+5*i)
	}
	t.tcp("10.9.0.7", "10.1.0.30", 40001) // three ports are no range
	t.tcp("10.9.0.7", "10.1.0.30", 45001)
	t.tcp("10.9.0.7", "10.1.0.30", 50001)
}

// twoTenants have the same addresses; one has a context ID of 64 bits.
func twoTenants(t *traffic) {
	for _, id := range []uint64{7, 0x0102030405060708} {
		t.context, t.back = id, id
		t.tcp("10.9.0.7", "10.1.0.10", 443)
		t.tcp("10.9.0.7", "10.1.0.12", 443)
	}
}

// routed is OVN: three datapaths, answers of the first come through the second.
func routed(t *traffic) {
	id := func(ingress, egress, datapath uint64) uint64 { return ingress<<40 | egress<<24 | datapath }
	t.context, t.back = id(1, 2, 7), id(3, 4, 9)
	t.tcp("10.9.0.7", "10.1.0.10", 443)
	t.context, t.back = id(1, 3, 11), id(3, 1, 11)
	t.tcp("10.9.0.7", "10.1.0.10", 443)
}

const acme = `settings {
  endpoints = ["any"]
}
address_group "frontends" {
  addresses = ["10.1.0.10", "10.1.0.11"]
}
address_group "everybody" {
  addresses = ["10.9.0.0/24"]
}
service "tls" {
  protocol = "tcp"
  ports    = [443]
}
service "ssh" {
  protocol = "udp"
  ports    = [22]
}
tenant "acme" {
  context_ids = [100]
  mode        = "audit"
  rule "http" {
    action      = "accept"
    source      = [address_group.everybody]
    destination = [address_group.frontends]
    services    = ["tcp/80"]
  }
  rule "ssh" {
    action      = "accept"
    destination = ["10.99.0.1"]
    services    = [service.tls, service.ssh]
  }
}
`

var scenarios = []struct {
	name    string
	make    func(*traffic)
	rules   string
	options Options
	ovn     bool
	dropped int // packets of flows set apart, and of those that had begun before
}{
	{name: "three-tiers", make: threeTiers},
	{name: "three-tiers-exact", make: threeTiers, options: Options{Exact: true}},
	{name: "three-tiers-with-rules", make: threeTiers, rules: acme},
	{name: "three-tiers-few", make: threeTiers, options: Options{MaxRules: 3}, dropped: 34},
	{name: "names", make: names, dropped: 2},
	{name: "peers", make: peers, dropped: 2},
	{name: "ipv6", make: ipv6},
	{name: "scan", make: scan, dropped: 1007},
	{name: "data-ports", make: dataPorts},
	{name: "two-tenants", make: twoTenants},
	{name: "ovn", make: routed, ovn: true},
	{name: "nothing", make: func(*traffic) {}},
}

func TestSuggestionsReadAsAnOperatorWouldHaveWrittenThem(t *testing.T) {
	for _, s := range scenarios {
		t.Run(s.name, func(t *testing.T) {
			traffic := traffic{context: 100, back: 100}
			s.make(&traffic)
			rules := noRules(t)
			if s.rules != "" {
				rules = load(t, s.rules)
				s.options.Policy = rules
			}
			c := collected(t, rules, s.ovn, 0, traffic.packets)
			_, text := suggested(t, c, s.options)
			golden(t, s.name, text)
			if s.rules != "" {
				text = strings.Replace(pasted(t, s.rules, text), "  mode        = \"audit\"\n", "", 1)
			}
			if len(traffic.packets) == 0 {
				return // a file without tenants has a warning
			}
			if _, dropped := holds(t, text, traffic.packets); len(dropped) != s.dropped {
				t.Errorf("%d packets are dropped, want %d: %v", len(dropped), s.dropped, dropped[:min(len(dropped), 10)])
			}
		})
	}
}

// golden compares with a file.
func golden(t *testing.T, name, got string) {
	t.Helper()
	path := filepath.Join("testdata", name+".hcl")
	if *update {
		if err := os.WriteFile(path, []byte(got), 0o644); err != nil {
			t.Fatal(err)
		}
		return
	}
	want, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(string(want), got); diff != "" {
		t.Errorf("-want +got; run with -update if it is meant:\n%s", diff)
	}
}
