package policy

import (
	"fmt"
	"strings"
	"testing"

	"sttwall/describe"
	"sttwall/inspect"
)

func TestExplainNamesTheFirstConditionThatFails(t *testing.T) {
	p := mustLoad(t, `settings {
  endpoints = ["any"]
}
tenant "t" {
  context_ids = [1]
  rule "r" {
    action          = "accept"
    source          = ["10.0.0.0/24"]
    destination     = ["10.0.1.0/24"]
    services        = ["tcp/80", "arp", "udp/1", "protocol/89"]
    source_mac      = ["02:00:00:00:00:01"]
    destination_mac = ["!broadcast"]
    vlan            = [10]
    pcp             = [3]
    ethertype       = ["ipv4"]
    tcp_flags       = ["syn"]
    fragment        = ["whole"]
    from_endpoint   = ["10.47.0.1"]
    to_endpoint     = ["10.47.0.2"]
    time {
      days = ["sun"]
    }
    time {
      days     = ["sat"]
      from     = "22:00"
      to       = "02:00"
      timezone = "Asia/Tokyo"
    }
  }
}
tenant "o" {
  context_layout = "ovn"
  datapaths      = [7]
  rule "r" {
    action       = "accept"
    datapath     = [8]
    ingress_port = [1]
  }
  rule "s" {
    action      = "accept"
    egress_port = [1]
  }
}`)
	const good = "tcp 10.0.0.1:1 > 10.0.1.1:80 syn vlan 10 pcp 3 "
	for _, tt := range []struct {
		packet, from, to string
		wall             int64
		condition, want  string
		got              string
	}{
		{"tcp 10.0.9.1:1 > 10.0.1.1:80 syn", "", "", 0, "source", `["10.0.0.0/24"]`, "10.0.9.1"},
		{"tcp 10.0.0.1:1 > 10.0.9.1:80 syn", "", "", 0, "destination", `["10.0.1.0/24"]`, "10.0.9.1"},
		{"tcp 10.0.0.1:1 > 10.0.1.1:81 syn", "", "", 0, "services", `["tcp/80", "arp", "udp/1", "protocol/89"]`, "tcp/81 from port 1, flags syn"},
		{"udp 10.0.0.1:1 > 10.0.1.1:81", "", "", 0, "services", `["tcp/80", "arp", "udp/1", "protocol/89"]`, "udp/81 from port 1"},
		{"icmp 10.0.0.1 > 10.0.1.1 echo-request", "", "", 0, "services", `["tcp/80", "arp", "udp/1", "protocol/89"]`, "icmp/8/0"},
		{"tcp 10.0.0.1:1 > 10.0.1.1:80 syn mac 02:00:00:00:00:09 > 02:00:00:00:00:02", "", "", 0, "source_mac", `["02:00:00:00:00:01"]`, "02:00:00:00:00:09"},
		{"tcp 10.0.0.1:1 > 10.0.1.1:80 syn mac 02:00:00:00:00:01 > ff:ff:ff:ff:ff:ff", "", "", 0, "destination_mac", `["!broadcast"]`, "ff:ff:ff:ff:ff:ff"},
		{"tcp 10.0.0.1:1 > 10.0.1.1:80 syn", "", "", 0, "vlan", "[10]", "none"},
		{"tcp 10.0.0.1:1 > 10.0.1.1:80 syn vlan 0 pcp 3", "", "", 0, "vlan", "[10]", "none"},
		{"tcp 10.0.0.1:1 > 10.0.1.1:80 syn vlan 10 pcp 4", "", "", 0, "pcp", "[3]", "4"},
		{"tcp 10.0.0.1:1 > 10.0.1.1:80 ack vlan 10 pcp 3", "", "", 0, "tcp_flags", `["syn"]`, "ack"},
		{"udp 10.0.0.1:1 > 10.0.1.1:1 vlan 10 pcp 3", "", "", 0, "tcp_flags", `["syn"]`, "no TCP"},
		{good + "frag first", "", "", 0, "fragment", `["whole"]`, "first"},
		{good + "frag later", "", "", 0, "fragment", `["whole"]`, "later"},
		{good + "from 10.47.0.9", "", "", 0, "from_endpoint", `["10.47.0.1"]`, "10.47.0.9"},
		{good + "from 10.47.0.1 to 10.47.0.9", "", "", 0, "to_endpoint", `["10.47.0.2"]`, "10.47.0.9"},
		{good + "from 10.47.0.1 to 10.47.0.2", "", "", 0, "time", "sun 00:00-24:00 UTC or sat 22:00-02:00 Asia/Tokyo", "of thu 1970-01-01 00:00 UTC, which is thu 1970-01-01 09:00 Asia/Tokyo"},
		{good + "from 10.47.0.1 to 10.47.0.2", "", "", 3 * 86400, "", "", ""}, // 1970-01-04 was a Sunday
	} {
		t.Run(tt.packet, func(t *testing.T) {
			d, err := describe.Parse(tt.packet)
			if err != nil {
				t.Fatal(err)
			}
			x := p.Explain(&Packet{ContextID: 1, Frame: &d.Frame, From: d.From, To: d.To, Wall: tt.wall})
			if len(x.Rules) != 1 {
				t.Fatalf("%+v", x)
			}
			got := x.Rules[0]
			if got.Condition != tt.condition || got.Want != tt.want || got.Got != tt.got || got.Matched != (tt.condition == "") || got.Line != 6 {
				t.Errorf("%+v", got)
			}
		})
	}
	d, err := describe.Parse("udp 10.0.0.1:1 > 10.0.1.1:1")
	if err != nil {
		t.Fatal(err)
	}
	x := p.Explain(&Packet{ContextID: 2<<24 | 1<<40 | 7, Frame: &d.Frame})
	if len(x.Rules) != 2 || x.Rules[0].Condition != "datapath" || x.Rules[0].Got != "7" || x.Rules[1].Condition != "egress_port" || x.Rules[1].Got != "2" ||
		x.Default != "default_action of the tenant: drop" || x.Tenant != "context ID 0x10002000007 (OVN: datapath 7, ingress port 1, egress port 2) is tenant o" {
		t.Errorf("%+v", x)
	}
}

func TestExplainOfALaterFragmentSaysWhomItFollows(t *testing.T) {
	p := mustLoad(t, `tenant "t" {
  context_ids    = [1]
  default_action = "accept"
  rule "plain" {
    action = "accept"
  }
  rule "later" {
    action   = "accept"
    fragment = ["later"]
    services = ["udp"]
  }
}`)
	for _, tt := range []struct{ packet, rule, byDefault string }{
		{"tcp 10.0.0.1:1 > 10.0.1.1:80 frag later", "", "no rule that names later fragments matches: this one passes if its first fragment did"},
		{"udp 10.0.0.1:1 > 10.0.1.1:80 frag later", "t/later", ""},
	} {
		d, err := describe.Parse(tt.packet)
		if err != nil {
			t.Fatal(err)
		}
		x := p.Explain(&Packet{ContextID: 1, Frame: &d.Frame})
		if len(x.Rules) != 2 || x.Rules[0] != (RuleStep{Rule: "t/plain", File: x.Rules[0].File, Line: 4, Condition: "fragment", Got: "later"}) ||
			x.Decision.Rule != tt.rule || x.Default != tt.byDefault {
			t.Errorf("%s: %+v", tt.packet, x)
		}
	}
}

func TestExplainNamesTheClaim(t *testing.T) {
	p, diags := Load("rules.hcl", []byte(`
tenant "a" {
  context_ids = [100, "0x1000-0x1fff", "0xab00000000000000/8"]
}
tenant "b" {
  context_ids    = ["0x1800", "0x0/0"]
  context_layout = "ovn"
  datapaths      = [7, "20-30"]
}
`))
	if diags.HasErrors() {
		t.Fatal(diags)
	}
	f := &inspect.Frame{EtherType: inspect.EtherTypeARP}
	for id, want := range map[uint64]string{
		100: "context_ids 0x64", 0x17ff: "context_ids 0x1000-0x17ff", 0x1800: "context_ids 0x1800", 0x1801: "context_ids 0x1801-0x1fff",
		0xabffffffffffffff: "context_ids 0xab00000000000000-0xabffffffffffffff", 7: "datapaths 7", 1<<24 | 25: "datapaths 20-30", 9: "context_ids 0x0-0x63",
	} {
		if got := p.Explain(&Packet{ContextID: id, Frame: f}); got.Claim != want {
			t.Errorf("0x%x: %q, want %q (%s)", id, got.Claim, want, got.Tenant)
		}
	}
}

func ExamplePolicy_Explain() {
	p, _ := Load("rules.hcl", []byte(`settings {
  endpoints = ["any"]
}
tenant "acme" {
  context_ids = [100]
  rule "web" {
    action   = "accept"
    services = ["tcp/443"]
  }
}`))
	d, _ := describe.Parse("tcp 10.0.0.1:40000 > 10.0.0.2:80 syn")
	x := p.Explain(&Packet{ContextID: 100, Frame: &d.Frame})
	fmt.Println(x.Tenant)
	for _, s := range x.Rules {
		fmt.Printf("%s, line %d: %s = %s, but the packet is %s\n", s.Rule, s.Line, s.Condition, s.Want, s.Got)
	}
	fmt.Println(x.Default)
	// Output:
	// context ID 0x64 is tenant acme
	// acme/web, line 6: services = ["tcp/443"], but the packet is tcp/80 from port 40000, flags syn
	// default_action of the tenant: drop
}

func TestExplainSaysWhatDecidesWhereNoRuleDoes(t *testing.T) {
	p := mustLoad(t, `settings {
  endpoints      = ["any"]
  default_action = "reject"
}
tenant "t" {
  context_ids = [1]
  endpoints   = ["10.47.0.0/24"]
  mode        = "audit"
  rule "r" {
    action    = "drop"
    ethertype = ["0x88cc"]
  }
  rule "s" {
    action        = "drop"
    arp_operation = ["reply"]
  }
}
tenant "o" {
  context_layout = "ovn"
  datapaths      = [7]
  endpoints      = ["10.47.0.0/24"]
}`)
	for _, tt := range []struct {
		context         uint64
		packet          string
		tenant, decides string
		conditions      string
	}{
		{2, "udp 10.0.0.1:1 > 10.0.1.1:2", "no tenant claims context ID 0x2", "settings.default_action: reject", ""},

		{1<<60 | 7, "udp 10.0.0.1:1 > 10.0.1.1:2", "context ID 0x1000000000000007 (OVN: datapath 7, ingress port 0, egress port 0) is tenant o",
			"the 9 top bits of an OVN context ID are 0: context_reserved", ""},
		{7, "udp 10.0.0.1:1 > 10.0.1.1:2 from 10.47.1.1", "context ID 0x7 (OVN: datapath 7, ingress port 0, egress port 0) is tenant o",
			"the outer source 10.47.1.1 is not in the tenant's endpoints: tenant_endpoint", ""},
		{1, "arp request 10.0.0.1 > 10.0.0.2 from 10.47.1.1", "context ID 0x1 is tenant t, in audit mode",
			"neighbour discovery passes (neighbor_discovery = \"pass\")", ""},
		{1, "udp 10.0.0.1:1 > 10.0.1.1:2 from 10.47.0.1", "context ID 0x1 is tenant t, in audit mode",
			"default_action of the tenant: reject", "ethertype 0x0800, arp_operation no ARP"},
	} {
		t.Run(tt.packet, func(t *testing.T) {
			d, err := describe.Parse(tt.packet)
			if err != nil {
				t.Fatal(err)
			}
			x := p.Explain(&Packet{ContextID: tt.context, Frame: &d.Frame, From: d.From})
			if x.Tenant != tt.tenant || x.Default != tt.decides {
				t.Errorf("got %q, %q", x.Tenant, x.Default)
			}
			var conditions []string
			for _, s := range x.Rules {
				conditions = append(conditions, s.Condition+" "+s.Got)
			}
			if got := strings.Join(conditions, ", "); got != tt.conditions {
				t.Errorf("got %q", got)
			}
		})
	}
}
