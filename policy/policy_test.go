package policy

import (
	"net/netip"
	"strings"
	"sync"
	"testing"
	"unsafe"

	"github.com/google/go-cmp/cmp"

	"sttwall/inspect"
	"sttwall/reason"
)

// mustLoad loads rules that have to be right.
func mustLoad(t testing.TB, text string) *Policy {
	t.Helper()
	p, diags := Load("test.hcl", []byte(text))
	if diags.HasErrors() {
		t.Fatalf("%v in\n%s", diags, text)
	}
	return p
}

// oneRule is a policy in which one rule accepts for context ID 1, and all else
// is dropped.
func oneRule(t testing.TB, lines string) *Policy {
	t.Helper()
	return mustLoad(t, `
settings {
  endpoints = ["any"]
}
address_group "servers" {
  addresses = ["10.1.0.0/24", "2001:db8:1::/64"]
}
service "web" {
  protocol = "tcp"
  ports    = [443, "8443-8450"]
}
service "web-replies" {
  protocol     = "tcp"
  source_ports = [443, "8443-8450"]
}
service "ephemeral" {
  protocol     = 6
  ports        = [443]
  source_ports = ["1024-65535"]
}
service "neighbouring-ports" {
  protocol = "tcp"
  ports    = [83, 81, 80, "88-89", "90-99", "91-92"]
}
service "ping" {
  protocol  = "icmp"
  icmp_type = "echo-request"
}
service "too-big" {
  protocol  = "icmp"
  icmp_type = 3
  icmp_code = "frag-needed"
}
service "ospf" {
  protocol = 89
}
service "ip" {
  protocol = "any"
}
tenant "t" {
  context_ids = [1]
  neighbor_discovery = "rules"
  rule "r" {
    action = "accept"
`+lines+`
  }
}`)
}

func ip(src, dst string, protocol uint8) *inspect.Frame {
	f := &inspect.Frame{Src: netip.MustParseAddr(src), Dst: netip.MustParseAddr(dst), Protocol: protocol, L4Offset: 34}
	f.IP, f.EtherType = 4, inspect.EtherTypeIPv4
	if f.Src.Is6() {
		f.IP, f.EtherType = 6, inspect.EtherTypeIPv6
	}
	return f
}

func ports(protocol uint8, src, dst uint16) *inspect.Frame {
	f := ip("10.1.0.1", "10.1.0.2", protocol)
	f.HasPorts, f.SrcPort, f.DstPort = true, src, dst
	return f
}

func icmp(src, dst string, protocol, icmpType, code uint8) *inspect.Frame {
	f := ip(src, dst, protocol)
	f.HasICMP, f.ICMPType, f.ICMPCode = true, icmpType, code
	return f
}

// later is a fragment without the L4 header.
func later(f *inspect.Frame) *inspect.Frame {
	g := *f
	g.HasPorts, g.HasICMP, g.HasTCP, g.L4Offset, g.Fragmented = false, false, false, -1, true
	g.Fragment.Offset = 1480
	return &g
}

// first is a fragment with the L4 header.
func first(f *inspect.Frame) *inspect.Frame {
	g := *f
	g.Fragmented = true
	return &g
}

func arp(src, dst string) *inspect.Frame {
	return &inspect.Frame{EtherType: inspect.EtherTypeARP, Src: netip.MustParseAddr(src), Dst: netip.MustParseAddr(dst), L4Offset: -1}
}

func ether(etherType uint16) *inspect.Frame {
	return &inspect.Frame{EtherType: etherType, L4Offset: -1}
}

func TestRuleMatches(t *testing.T) {
	const namesLater = "fragment = [\"later\"]\n"
	v4, v6 := ip("10.1.0.1", "10.2.0.1", 89), ip("2001:db8:1::1", "2001:db8:2::1", 89)
	mapped := ip("::ffff:10.1.0.1", "::ffff:10.2.0.1", 89)
	for _, tt := range []struct {
		name  string
		lines string
		frame *inspect.Frame
		want  bool
	}{
		{"a rule without conditions takes any IPv4 packet", ``, v4, true},
		{"a rule without conditions takes any IPv6 packet", ``, v6, true},
		{"a rule without conditions takes a first fragment", ``, first(v4), true},
		{"a rule without conditions leaves a later fragment", ``, later(v4), false},
		{"a rule that names later fragments takes one", `fragment = ["later"]`, later(v4), true},
		{"and no whole packet", `fragment = ["later"]`, v4, false},
		{"and no first fragment", `fragment = ["later"]`, first(v4), false},
		{"a rule that names all three takes a whole packet", `fragment = ["whole", "first", "later"]`, v4, true},
		{"a rule that names all three takes a later fragment", `fragment = ["whole", "first", "later"]`, later(v6), true},
		{"a rule for fragments takes a first one", `fragment = ["first", "later"]`, first(v6), true},
		{"whole and first is what a rule says without fragment", `fragment = ["whole", "first"]`, later(v4), false},
		{"a rule for later fragments has its other conditions", "fragment = [\"later\"]\nsource = [\"10.1.1.0/24\"]", later(v4), false},
		{"a rule without conditions takes no ARP", ``, arp("10.1.0.1", "10.1.0.2"), false},
		{"a rule without conditions takes no other ethertype", ``, ether(0x88cc), false},
		{"any as a service is any IP packet", `services = ["any"]`, v6, true},
		{"any as a service is no ARP", `services = ["any"]`, arp("10.1.0.1", "10.1.0.2"), false},
		{"any as addresses does not make a rule take ARP", `source = ["any"]`, arp("10.1.0.1", "10.1.0.2"), false},
		{"a service block for any protocol is any IP packet", `services = [service.ip]`, v4, true},

		{"a CIDR takes an address inside", `source = ["10.1.0.0/24"]`, v4, true},
		{"a CIDR leaves an address outside", `source = ["10.1.1.0/24"]`, v4, false},
		{"source is not destination", `destination = ["10.1.0.0/24"]`, v4, false},
		{"0.0.0.0/0 is IPv4 alone", `source = ["0.0.0.0/0"]`, v6, false},
		{"::/0 is IPv6 alone", `source = ["::/0"]`, v4, false},
		{"a range takes its last address", `source = ["10.0.0.9-10.1.0.1"]`, v4, true},
		{"a range leaves what is behind it", `source = ["10.0.0.9-10.1.0.0"]`, v4, false},
		{"IPv6 ranges work alike", `source = ["2001:db8:1::-2001:db8:1::1"]`, v6, true},
		{"one of several entries is enough", `source = ["192.0.2.1", "10.1.0.1"]`, v4, true},
		{"a group holds both families", `source = [address_group.servers]`, v6, true},
		{"a group by index is the same", `source = [address_group["servers"]]`, v4, true},
		{"a negated entry excludes", `source = ["10.0.0.0/8", "!10.1.0.0/24"]`, v4, false},
		{"negated entries alone take all the rest", `source = ["!10.2.0.0/24"]`, v4, true},
		{"negated entries alone take the other family", `source = ["!10.0.0.0/8"]`, v6, true},
		{"any but some", `source = ["any", "!10.1.0.0/24"]`, v4, false},
		{"a negated group excludes", `source = [!address_group.servers]`, v6, false},
		{"the order in a list says nothing", `source = ["!10.1.0.0/24", "10.0.0.0/8"]`, v4, false},
		{"an IPv4-mapped IPv6 address is not IPv4", `source = ["10.1.0.0/24"]`, mapped, false},
		{"an IPv4 address is not IPv4-mapped IPv6", `source = ["::ffff:10.1.0.0/120"]`, v4, false},
		{"an IPv4-mapped address can be named", `source = ["::ffff:10.1.0.0/120"]`, mapped, true},

		{"a port", `services = ["tcp/443"]`, ports(6, 1000, 443), true},
		{"another port", `services = ["tcp/443"]`, ports(6, 1000, 444), false},
		{"ports are destination ports", `services = ["tcp/443"]`, ports(6, 443, 1000), false},
		{"another protocol with the port", `services = ["tcp/443"]`, ports(17, 1000, 443), false},
		{"a port range's ends are inside", `services = ["udp/1000-2000"]`, ports(17, 5, 2000), true},
		{"SCTP has ports", `services = ["sctp/1000-2000"]`, ports(132, 5, 999), false},
		{"port 0 is a port", `services = ["udp/0"]`, ports(17, 5, 0), true},
		{"a service block has several ports", `services = [service.web]`, ports(6, 5, 8450), true},
		{"the ports between those of a block are not in it", `services = [service.neighbouring-ports]`, ports(6, 5, 82), false},
		{"ports of a block that touch or overlap are all in it", `services = [service.neighbouring-ports]`, ports(6, 5, 89), true},
		{"a wide range in a block holds the narrow ones inside", `services = [service.neighbouring-ports]`, ports(6, 5, 99), true},
		{"replies come from the service's port", `services = [service.web-replies]`, ports(6, 443, 50000), true},
		{"what goes to the port is no reply", `services = [service.web-replies]`, ports(6, 50000, 443), false},
		{"source and destination ports both count", `services = [service.ephemeral]`, ports(6, 1023, 443), false},
		{"source and destination ports can both be right", `services = [service.ephemeral]`, ports(6, 1024, 443), true},
		{"a later fragment has no ports", namesLater + `services = ["tcp/443"]`, later(ports(6, 1000, 443)), false},
		{"all ports are still a condition on ports", namesLater + `services = ["tcp/0-65535"]`, later(ports(6, 1000, 443)), false},
		{"a protocol alone takes a later fragment", namesLater + `services = ["tcp"]`, later(ports(6, 1000, 443)), true},
		{"a protocol alone leaves another", namesLater + `services = ["tcp"]`, later(ports(17, 1000, 443)), false},
		{"one of several services is enough", `services = ["tcp/80", "udp/53", "icmp"]`, ports(17, 9, 53), true},

		{"an ICMP type", `services = ["icmp/echo-request"]`, icmp("10.1.0.1", "10.1.0.2", 1, 8, 0), true},
		{"another ICMP type", `services = ["icmp/echo-request"]`, icmp("10.1.0.1", "10.1.0.2", 1, 0, 0), false},
		{"ICMP is not ICMPv6", `services = ["icmp/8"]`, icmp("2001:db8::1", "2001:db8::2", 58, 8, 0), false},
		{"a later fragment has no ICMP type", namesLater + `services = ["icmp/0"]`, later(icmp("10.1.0.1", "10.1.0.2", 1, 0, 0)), false},
		{"an ICMP code", `services = ["icmp/3/4"]`, icmp("10.1.0.1", "10.1.0.2", 1, 3, 4), true},
		{"another ICMP code", `services = ["icmp/destination-unreachable/frag-needed"]`, icmp("10.1.0.1", "10.1.0.2", 1, 3, 3), false},
		{"ICMP in a service block", `services = [service.ping]`, icmp("10.1.0.1", "10.1.0.2", 1, 8, 7), true},
		{"an ICMP code in a service block", `services = [service.too-big]`, icmp("10.1.0.1", "10.1.0.2", 1, 3, 3), false},
		{"an ICMP type takes every code", `services = ["icmp/3"]`, icmp("10.1.0.1", "10.1.0.2", 1, 3, 255), true},
		{"and no other type", `services = ["icmp/3"]`, icmp("10.1.0.1", "10.1.0.2", 1, 4, 0), false},
		{"neighbour discovery", `services = ["nd"]`, icmp("fe80::1", "ff02::1", 58, 135, 0), true},
		{"the last type of neighbour discovery", `services = ["nd"]`, icmp("fe80::1", "ff02::1", 58, 137, 0), true},
		{"ping is no neighbour discovery", `services = ["nd"]`, icmp("fe80::1", "ff02::1", 58, 128, 0), false},
		{"a protocol by number", `services = ["protocol/89"]`, v4, true},
		{"a protocol by number in a block", `services = [service.ospf]`, v6, true},
		{"another protocol by number", `services = ["protocol/88"]`, v4, false},

		{"ARP", `services = ["arp"]`, arp("10.1.0.1", "10.1.0.2"), true},
		{"ARP is compared by its protocol addresses", "services = [\"arp\"]\nsource = [\"10.2.0.0/16\"]", arp("10.1.0.1", "10.1.0.2"), false},
		{"ARP for an address", "services = [\"arp\"]\ndestination = [\"10.1.0.2\"]", arp("0.0.0.0", "10.1.0.2"), true},
		{"arp takes no IP packet", `services = ["arp"]`, v4, false},
		{"an ethertype", `services = ["ethertype/0x88cc"]`, ether(0x88cc), true},
		{"another ethertype", `services = ["ethertype/0x88cc"]`, ether(0x88cd), false},
		{"an ethertype takes any as addresses", "services = [\"ethertype/0x88cc\"]\nsource = [\"any\"]", ether(0x88cc), true},
	} {
		t.Run(tt.name, func(t *testing.T) {
			p := oneRule(t, tt.lines)
			got := evaluate(p, 1, tt.frame)
			want := Decision{Action: Drop, Reason: reason.TenantDefault, Tenant: "t", RuleIndex: -1}
			switch {
			case tt.want:
				want = Decision{Action: Accept, Tenant: "t", Rule: "t/r"}
			case fragmentOf(tt.frame) == fragmentLater:
				want.Reason = reason.FragmentFirstMissing
			}
			if got != want {
				t.Errorf("got %+v, want %+v", got, want)
			}
		})
	}
}

const decisions = `
settings {
  endpoints      = ["any"]
  default_action = "%SETTINGS%"
}
tenant "outer" {
  context_ids = ["0xab00000000000000/8", 18446744073709551615]
  rule "no-tcp" {
    action   = "drop"
    services = ["tcp"]
    log      = true
  }
  rule "tcp" {
    action   = "accept"
    services = ["tcp"]
  }
}
tenant "inner" {
  context_ids    = ["0xab00000000000010-0xab0000000000001f"]
  default_action = "accept"
}
tenant "strict" {
  context_ids    = ["0xab00000000000018"]
  default_action = "drop"
  rule "udp" {
    action   = "accept"
    services = ["udp"]
  }
}`

func TestDecision(t *testing.T) {
	tcp, udp := ports(6, 1, 2), ports(17, 1, 2)
	for _, tt := range []struct {
		name     string
		settings string
		context  uint64
		frame    *inspect.Frame
		want     Decision
	}{
		{"the first matching rule wins and says whether to log", "accept", 0xab00000000000000, tcp,
			Decision{Action: Drop, Log: true, Reason: reason.RuleDrop, Tenant: "outer", Rule: "outer/no-tcp", TenantIndex: 0, RuleIndex: 0}},
		{"without a matching rule and tenant default the settings decide", "accept", 0xabffffffffffffff, udp,
			Decision{Action: Accept, Log: false, Reason: reason.None, Tenant: "outer", Rule: "", TenantIndex: 0, RuleIndex: -1}},
		{"without a matching rule and tenant default the settings drop", "drop", 0xab00000000000020, udp,
			Decision{Action: Drop, Log: false, Reason: reason.TenantDefault, Tenant: "outer", Rule: "", TenantIndex: 0, RuleIndex: -1}},
		{"the largest context ID is exact", "drop", ^uint64(0), tcp,
			Decision{Action: Drop, Log: true, Reason: reason.RuleDrop, Tenant: "outer", Rule: "outer/no-tcp", TenantIndex: 0, RuleIndex: 0}},
		{"the one before it is nobody's", "drop", ^uint64(0) - 1, tcp,
			Decision{Action: Drop, Log: false, Reason: reason.ContextUnknown, Tenant: "", Rule: "", TenantIndex: -1, RuleIndex: -1}},
		{"a context ID of nobody may be accepted", "accept", 1, tcp,
			Decision{Action: Accept, Log: false, Reason: reason.None, Tenant: "", Rule: "", TenantIndex: -1, RuleIndex: -1}},
		{"the inner claim wins", "drop", 0xab00000000000010, tcp,
			Decision{Action: Accept, Log: false, Reason: reason.None, Tenant: "inner", Rule: "", TenantIndex: 1, RuleIndex: -1}},
		{"a tenant's default takes what is not IP too", "drop", 0xab0000000000001f, ether(0x88cc),
			Decision{Action: Accept, Log: false, Reason: reason.None, Tenant: "inner", Rule: "", TenantIndex: 1, RuleIndex: -1}},
		{"the innermost claim wins", "accept", 0xab00000000000018, tcp,
			Decision{Action: Drop, Log: false, Reason: reason.TenantDefault, Tenant: "strict", Rule: "", TenantIndex: 2, RuleIndex: -1}},
		{"rules are numbered through the file", "accept", 0xab00000000000018, udp,
			Decision{Action: Accept, Log: false, Reason: reason.None, Tenant: "strict", Rule: "strict/udp", TenantIndex: 2, RuleIndex: 2}},
		{"behind the innermost claim the one around it goes on", "drop", 0xab00000000000019, tcp,
			Decision{Action: Accept, Log: false, Reason: reason.None, Tenant: "inner", Rule: "", TenantIndex: 1, RuleIndex: -1}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			p := mustLoad(t, decisionsText(tt.settings))
			if got := evaluate(p, tt.context, tt.frame); got != tt.want {
				t.Errorf("got %+v, want %+v", got, tt.want)
			}
		})
	}
}

func TestNamesStandInTheOrderOfTheirIndex(t *testing.T) {
	p := mustLoad(t, decisionsText("drop"))
	if diff := cmp.Diff([]string{"outer", "inner", "strict"}, p.Tenants()); diff != "" {
		t.Errorf("tenants -want +got:\n%s", diff)
	}
	if diff := cmp.Diff([]string{"outer/no-tcp", "outer/tcp", "strict/udp"}, p.Rules()); diff != "" {
		t.Errorf("rules -want +got:\n%s", diff)
	}
	p.Rules()[0] = "changed"
	if got := p.Rules()[0]; got != "outer/no-tcp" {
		t.Errorf("a caller changed a rule's name to %q", got)
	}
}

func decisionsText(settings string) string {
	return strings.Replace(decisions, "%SETTINGS%", settings, 1)
}

func TestAcceptAllAcceptsEverything(t *testing.T) {
	p, diags, _ := LoadFile(rulesDir + "/accept-all.hcl")
	if p == nil {
		t.Fatal(diags)
	}
	for _, f := range []*inspect.Frame{
		ports(6, 1, 2), later(ports(6, 1, 2)), icmp("fe80::1", "fe80::2", 58, 135, 0),
		arp("0.0.0.0", "10.0.0.1"), ether(0x88cc), ether(0x0600), ip("::ffff:10.0.0.1", "::1", 255),
	} {
		for _, id := range []uint64{0, 1, 1 << 63, ^uint64(0)} {
			if got := evaluate(p, id, f); got.Action != Accept || got.Tenant != "all" {
				t.Errorf("context %#x, frame %+v: got %+v", id, f, got)
			}
		}
	}
}

func TestEvaluateFromManyGoroutines(t *testing.T) {
	p := mustLoad(t, decisionsText("drop"))
	frame := ports(17, 1, 2)
	want := evaluate(p, 0xab00000000000018, frame)
	var wg sync.WaitGroup
	for range 8 {
		wg.Go(func() {
			for range 1000 {
				if got := evaluate(p, 0xab00000000000018, frame); got != want {
					t.Errorf("got %+v, want %+v", got, want)
					return
				}
			}
		})
	}
	wg.Wait()
}

func TestEvaluateAllocatesNothing(t *testing.T) {
	everyForm, diags, _ := LoadFile(rulesDir + "/every-form.hcl")
	if everyForm == nil {
		t.Fatal(diags)
	}
	example, diags, _ := LoadFile("../rules.example.hcl")
	if example == nil {
		t.Fatal(diags)
	}
	for name, f := range map[string]*inspect.Frame{
		"TCP":            ports(6, 40000, 443),
		"UDP":            ports(17, 40000, 53),
		"SCTP":           ports(132, 1, 2),
		"ICMP":           icmp("10.1.0.1", "10.1.0.2", 1, 8, 0),
		"ICMPv6":         icmp("2001:db8:1::1", "2001:db8:1::2", 58, 135, 0),
		"IPv6":           ip("2001:db8:1::1", "2001:db8:1::2", 89),
		"IPv4-mapped":    ip("::ffff:10.1.0.1", "::ffff:10.1.0.2", 17),
		"later fragment": later(ports(6, 40000, 443)),
		"ARP":            arp("10.1.0.1", "10.1.0.2"),
		"LLDP":           ether(0x88cc),
	} {
		for _, id := range []uint64{0, 1, 100, 0x1000, 0x2000, 0xab00000000000001} {
			var s steady
			got := testing.AllocsPerRun(100, func() {
				s.evaluate(everyForm, id, f)
				s.evaluate(example, id, f)
			})
			if got != 0 {
				t.Errorf("%s, context %#x: %v allocations, want none", name, id, got)
			}
		}
	}
}

// What packets need of a tenant is one cache line.
func TestWhatPacketsNeedOfATenantIsTogether(t *testing.T) {
	var x tenant
	if unsafe.Sizeof(uintptr(0)) != 8 {
		t.Skip("a cache line is measured in numbers of 64 bits here")
	}
	if at := unsafe.Offsetof(x.AntiSpoof) + unsafe.Sizeof(x.AntiSpoof); at > 64 {
		t.Errorf("AntiSpoof ends at byte %d", at)
	}
	if size := unsafe.Sizeof(x); size%64 != 0 {
		t.Errorf("%d bytes: the next tenant begins inside of a cache line", size)
	}
	many := manyContexts(t, tenantsInCache+1, 1)
	for i := range many.tenants {
		if at := uintptr(unsafe.Pointer(&many.tenants[i])); at%64 != 0 {
			t.Fatalf("tenant %d is %d bytes behind the begin of a cache line", i, at%64)
		}
	}
}
