package suggest_test

import (
	"fmt"
	"net/netip"
	"strings"
	"testing"

	"sttwall/policy"
	. "sttwall/suggest"
)

func flow(src, dst string, m Match) Flow {
	return Flow{Network: 100, Back: 100, Src: netip.MustParseAddr(src), Dst: netip.MustParseAddr(dst), Service: m, Packets: 10, Replied: true}
}

func tcpPort(n uint16) Match { return Match{Protocol: 6, HasPorts: true, First: n, Last: n} }

func TestMaxRulesBoundsTheRulesAndSaysWhatHadNoRoom(t *testing.T) {
	var flows []Flow
	for i := range 30 {
		for j := range i + 1 {
			flows = append(flows, flow(fmt.Sprintf("10.9.%d.%d", i, j), fmt.Sprintf("10.1.%d.1", i), tcpPort(uint16(1000+10*i))))
		}
	}
	s := Suggest(flows, Options{MaxRules: 10, Exact: true})
	var b strings.Builder
	if err := s.WriteHCL(&b); err != nil {
		t.Fatal(err)
	}
	if s.Rules != 10 || s.Apart != 20*21/2 {
		t.Errorf("%d rules, %d flows set apart, want 10 and 210", s.Rules, s.Apart)
	}
	if text := b.String(); strings.Count(text, "rule \"") != 10 || !strings.Contains(text, "10.1.20.1") || strings.Contains(text, "destination = [\"10.1.19.1\"]") ||
		!strings.Contains(text, "190 sources more: more rules than were asked for") {
		t.Errorf("the most used ones have room:\n%s", text)
	}
}

// rulesOf counts the rules that are suggested for "SRC > DST PORT" flows.
func rulesOf(flows []Flow, o Options) (int, string) {
	s := Suggest(flows, o)
	var b strings.Builder
	if err := s.WriteHCL(&b); err != nil {
		b.WriteString(err.Error())
	}
	return s.Rules, b.String()
}

func TestServicesOfAServerShareARuleIfHalfOfTheirClientsAreTheSame(t *testing.T) {
	for shared, want := range map[int]int{0: 2, 2: 2, 3: 1, 6: 1} {
		var flows []Flow
		for i := range 6 {
			flows = append(flows, flow(fmt.Sprintf("10.9.%d.1", i), "10.1.0.10", tcpPort(2000)), flow(fmt.Sprintf("10.9.%d.1", i+6-shared), "10.1.0.10", tcpPort(3000)))
		}
		if got, text := rulesOf(flows, Options{}); got != want {
			t.Errorf("%d of 6 clients in common: %d rules, want %d:\n%s", shared, got, want, text)
		}
	}
}

func TestServersWithOtherClientsDoNotShareARule(t *testing.T) {
	var flows []Flow
	for i := range 3 {
		for _, n := range []int{1, 2} {
			flows = append(flows, flow(fmt.Sprintf("10.%d.%d.1", n, i), fmt.Sprintf("10.0.0.%d", n), tcpPort(2000)))
		}
		flows = append(flows, flow(fmt.Sprintf("2001:db8:%d::1", i), "2001:db8::1", tcpPort(2000)))
	}
	if got, text := rulesOf(flows, Options{}); got != 3 {
		t.Errorf("%d rules, want 3:\n%s", got, text)
	}
	if got, text := rulesOf(flows[3:3], Options{}); got != 0 || text != "# Nothing was seen that needs a rule.\n" {
		t.Errorf("%d rules of nothing:\n%s", got, text)
	}
}

func TestWhoFindsMoreThanItMissesIsNoScanner(t *testing.T) {
	for answered, want := range map[int]int{0: 0, 19: 0, 20: 20, 21: 21} {
		var flows []Flow
		for i := range 20 {
			f := flow("10.9.0.1", fmt.Sprintf("10.1.%d.1", i), tcpPort(2000))
			f.Replied = false
			flows = append(flows, f)
		}
		for i := range answered {
			f := flow("10.9.0.1", fmt.Sprintf("10.2.%d.1", i), tcpPort(uint16(2000+10*i)))
			f.Packets = 4
			flows = append(flows, f)
		}
		if got, text := rulesOf(flows, Options{}); got != want {
			t.Errorf("20 targets silent, %d answered: %d rules, want %d:\n%s", answered, got, want, text)
		}
	}
}

func TestOnlyAServiceThatIsJustThatIsUsedAgain(t *testing.T) {
	for _, c := range []struct{ service, want string }{
		{"  protocol = \"tcp\"\n  ports    = [2000]\n", "service.app"},
		{"  services = [\"tcp/2000\"]\n", "service.app"},
		{"  protocol = \"udp\"\n  ports    = [2000]\n", "\"tcp/2000\""},
		{"  protocol = \"tcp\"\n  ports    = [2000, 2001]\n", "\"tcp/2000\""},
		{"  protocol = \"tcp\"\n  ports    = [\"2000-2001\"]\n", "\"tcp/2000\""},
		{"  protocol     = \"tcp\"\n  ports        = [2000]\n  source_ports = [\"1024-65535\"]\n", "\"tcp/2000\""},
		{"  protocol     = \"tcp\"\n  ports        = [2000]\n  source_ports = [\"0-60000\"]\n", "\"tcp/2000\""},
		{"  protocol  = \"tcp\"\n  ports     = [2000]\n  tcp_flags = [\"syn\"]\n", "\"tcp/2000\""},
		{"  protocol = \"any\"\n", "\"tcp/2000\""},
	} {
		p := load(t, "settings {\n  endpoints = [\"any\"]\n}\nservice \"app\" {\n"+c.service+"}\ntenant \"a\" {\n  context_ids = [1]\n}\n")
		if _, text := rulesOf([]Flow{flow("10.9.0.1", "10.1.0.1", tcpPort(2000))}, Options{Policy: p}); !strings.Contains(text, "services    = ["+c.want+"]") {
			t.Errorf("%sno %s in\n%s", c.service, c.want, text)
		}
	}
}

func TestLongNamesAreCutAndStayApart(t *testing.T) {
	long := strings.Repeat("x", 64)
	var flows []Flow
	for i, tenant := range []string{long, long[:63] + "y"} {
		for _, server := range []string{"10.1.0.1", "10.1.0.2"} {
			for _, port := range []uint16{80, 443} {
				f := flow(fmt.Sprintf("10.9.0.%d", port%7), server, tcpPort(port))
				f.Tenant, f.Network = tenant, uint64(i)
				flows = append(flows, f)
			}
		}
	}
	rules := fmt.Sprintf("settings {\n  endpoints = [\"any\"]\n}\ntenant %q {\n  context_ids = [0]\n}\ntenant %q {\n  context_ids = [1]\n}\n", long, long[:63]+"y")
	s := Suggest(flows, Options{Policy: load(t, rules)})
	var b strings.Builder
	if err := s.WriteHCL(&b); err != nil {
		t.Fatal(err)
	}
	// The first part is about the first tenant, and so on; groups come before.
	load(t, pasted(t, rules, b.String()))
	if s.Rules != 4 {
		t.Errorf("%d rules, want 4:\n%s", s.Rules, b.String())
	}
}

func TestOnlyTheTenantThatIsAskedForGetsASuggestion(t *testing.T) {
	traffic := traffic{}
	twoTenants(&traffic)
	c := collected(t, noRules(t), false, 0, traffic.packets)
	for name, want := range map[string]int{"context-7": 1, "context-0x0102030405060708": 1, "context-8": 0} {
		s, text := suggested(t, c, Options{Tenant: name})
		if s.Rules != want || want > 0 && !strings.Contains(text, "tenant \""+name+"\"") {
			t.Errorf("%s: %d rules, want %d:\n%s", name, s.Rules, want, text)
		}
	}
}

func TestWhatThePolicyAcceptsAlreadyIsCovered(t *testing.T) {
	p := load(t, strings.Replace(acme, "mode        = \"audit\"", "default_action = \"drop\"", 1))
	flows := []Flow{flow("10.9.0.1", "10.1.0.10", tcpPort(80)), flow("10.9.0.1", "10.1.0.10", tcpPort(81)), flow("10.8.0.1", "10.1.0.10", tcpPort(80)),
		flow("10.9.0.1", "10.99.0.1", tcpPort(443))}
	for i := range flows {
		flows[i].Tenant = "acme"
	}
	if s := Suggest(flows, Options{Policy: p}); s.Covered != 2 || s.Rules != 2 {
		t.Errorf("%d are covered, %d rules; want 2 and 2", s.Covered, s.Rules)
	}
}

func TestWhatThePolicyAcceptsIsCoveredWhereverItComesFrom(t *testing.T) {
	p := load(t, "settings {\n  endpoints = [\"any\"]\n}\ntenant \"a\" {\n  context_ids = [100]\n  endpoints = [\"10.47.0.1\"]\n  rule \"all\" {\n    action = \"accept\"\n  }\n}\n")
	f := flow("10.9.0.1", "10.1.0.10", tcpPort(80))
	f.Tenant = "a"
	if s := Suggest([]Flow{f}, Options{Policy: p}); s.Covered != 1 || s.Rules != 0 {
		t.Errorf("%+v", s)
	}
}

// A public server's clients are anybody.
func TestMoreClientsThanCanBeReadBecomeAny(t *testing.T) {
	var flows []Flow
	for i := range 300 {
		flows = append(flows, flow(fmt.Sprintf("198.%d.%d.1", i/250, i%250), "10.1.0.10", tcpPort(443)), flow(fmt.Sprintf("2001:db8:%x::1", i), "2001:db8::10", tcpPort(443)))
	}
	for _, exact := range []bool{false, true} {
		var b strings.Builder
		if err := Suggest(flows, Options{Exact: exact}).WriteHCL(&b); err != nil {
			t.Fatal(err)
		}
		p := load(t, b.String())
		d := p.Evaluate(&policy.Packet{ContextID: 100, Frame: frameOf(netip.MustParseAddr("203.0.113.9"), netip.MustParseAddr("10.1.0.10"), tcpPort(443))})
		if (d.Action == policy.Accept) == exact || strings.Contains(b.String(), "\n    source ") != exact {
			t.Errorf("exact %v: %v\n%s", exact, d.Action, b.String())
		}
	}
}

func TestWhatNoRulesFileCanHoldIsAnError(t *testing.T) {
	flows := make([]Flow, 50000)
	for i := range flows {
		flows[i] = flow(fmt.Sprintf("2001:db8:aaaa:%x:cccc:dddd:eeee:ffff", i), "2001:db8::10", tcpPort(443))
	}
	var b strings.Builder
	if err := Suggest(flows, Options{Exact: true}).WriteHCL(&b); err == nil || b.Len() > 0 || !strings.Contains(err.Error(), "2097152") {
		t.Errorf("%v, %d bytes", err, b.Len())
	}
	b.Reset()
	if err := Suggest(flows[:20000], Options{Exact: true}).WriteHCL(&b); err != nil {
		t.Fatal(err)
	}
	load(t, b.String())
}

func TestWithManyEndpointsOrNoneAnyIsWritten(t *testing.T) {
	var b strings.Builder
	if err := Suggest([]Flow{flow("10.9.0.1", "10.1.0.10", tcpPort(80))}, Options{}).WriteHCL(&b); err != nil {
		t.Fatal(err)
	}
	if p := load(t, b.String()); len(p.Settings().Endpoints) != 0 || !strings.HasPrefix(b.String(), "settings {\n  endpoints = [\"any\"]\n}\n") {
		t.Errorf("%s", b.String())
	}
}

func TestAuditingLetsPassWhatTheRulesWouldDrop(t *testing.T) {
	p := load(t, acme)
	for _, ovn := range []bool{false, true} {
		audit := p.Auditing(ovn)
		for _, id := range []uint64{0, 99, 100, 101, 1<<55 - 1} {
			d := audit.Evaluate(&policy.Packet{ContextID: id, Frame: frameOf(netip.MustParseAddr("10.0.0.1"), netip.MustParseAddr("10.0.0.2"), tcpPort(1))})
			if want := map[bool]string{true: "acme"}[id == 100]; d.Action != policy.Accept || !d.Audit || d.Tenant != want {
				t.Errorf("context %d: %+v", id, d)
			}
			if got := audit.Tenant(d.TenantIndex).OVN; got != (ovn && id != 100) {
				t.Errorf("context %d: OVN %v", id, got)
			}
		}
		if d, found := audit.Find(1 << 63); found != !ovn || d.Tenant != "" {
			t.Errorf("reserved bits: %+v, %v", d, found)
		}
	}
	if d, _ := p.Find(99); d.TenantIndex != -1 || len(p.Tenants()) != 1 {
		t.Errorf("the policy itself has changed: %+v", d)
	}
}

// Flows that somebody makes to keep the firewall busy.
func BenchmarkSuggestHostile(b *testing.B) {
	host := func(net, i int) string { return fmt.Sprintf("%d.%d.%d.%d", net, i>>16, i>>8&255, i&255) }
	const n = 1 << 16
	for name, make := range map[string]func(i int) []Flow{
		"servers with one client in common": func(i int) (f []Flow) {
			f = append(f, flow("192.0.2.1", host(10, i), tcpPort(80)))
			for c := range 3 {
				f = append(f, flow(host(20+c, i), host(10, i), tcpPort(80)))
			}
			return f
		},
		"servers with a client each": func(i int) []Flow { return []Flow{flow(host(20, i), host(10, i), tcpPort(80))} },
		"a server with many ports":   func(i int) []Flow { return []Flow{flow(host(20, i), "10.0.0.1", tcpPort(uint16(i%32768)))} },
		"a service for each server":  func(i int) []Flow { return []Flow{flow("192.0.2.1", host(10, i), tcpPort(uint16(i)))} },
		"peers":                      func(i int) []Flow { return []Flow{flow(host(10, i>>8), host(10, i&255), tcpPort(uint16(i&3)))} },
	} {
		var flows []Flow
		for i := range n {
			flows = append(flows, make(i)...)
		}
		b.Run(strings.ReplaceAll(name, " ", "-"), func(b *testing.B) {
			for b.Loop() {
				Suggest(flows, Options{})
			}
		})
	}
}

func BenchmarkSuggest(b *testing.B) {
	for _, n := range []int{1000, 16384, 100000} {
		flows := make([]Flow, n)
		for i := range flows {
			flows[i] = flow(fmt.Sprintf("10.%d.%d.%d", 9+i/7%3, i%50, i/50%200), fmt.Sprintf("10.1.%d.%d", i%8, i/8%20), tcpPort([]uint16{80, 443, 5432, 8080, 9090, 22}[i%8%6]+uint16(i/10000)))
		}
		b.Run(fmt.Sprintf("flows=%d", n), func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				if s := Suggest(flows, Options{}); s.Rules == 0 {
					b.Fatal("no rules")
				}
			}
		})
	}
}
