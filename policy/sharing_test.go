package policy

import (
	"fmt"
	"runtime"
	"slices"
	"strings"
	"testing"

	"github.com/hashicorp/hcl/v2"
)

// oddPorts writes a list of so many ports that do not touch.
func oddPorts(n int) string {
	var b strings.Builder
	for i := range n {
		fmt.Fprintf(&b, "%d,", 2*i+1)
	}
	return "[" + b.String() + "]"
}

// sharingRules is a file in which each rule has that list of sources and of
// services. The group and the service are of n ranges.
func sharingRules(n, rules int, source, services string) string {
	var b strings.Builder
	b.WriteString("settings {\n endpoints = [\"any\"]\n}\naddress_group \"g\" {\n addresses = [")
	for i := range n {
		fmt.Fprintf(&b, "\"10.%d.%d.%d\",", i>>15, i>>7&255, i&127*2)
	}
	fmt.Fprintf(&b, "]\n}\nservice \"s\" {\n protocol = \"tcp\"\n ports = %s\n}\ntenant \"t\" {\n context_ids = [1]\n", oddPorts(n))
	for i := range rules {
		fmt.Fprintf(&b, " rule \"r%d\" {\n  action = \"accept\"\n  source = %s\n  services = %s\n }\n", i, source, services)
	}
	b.WriteString("}\n")
	return b.String()
}

func TestRulesShareWhatGroupsAndServicesStandFor(t *testing.T) {
	for _, source := range []string{"[address_group.g]", "[!address_group.g]", "[address_group.g, \"192.0.2.0/24\", \"!10.0.0.0/24\"]"} {
		p, diags := Load("rules.hcl", []byte(sharingRules(20, 2, source, "[service.s]")))
		if p == nil {
			t.Fatal(diags)
		}
		if a, b := &p.rules[0], &p.rules[1]; a.source != b.source || &a.services[0] != &b.services[0] {
			t.Errorf("%s: two rules have sets of their own", source)
		}
	}
	p, diags := Load("rules.hcl", []byte(sharingRules(20, 1, "[address_group.g, \"192.0.2.0/24\"]", "[\"udp\"]")+
		"after_tenants {\n rule \"a\" {\n action = \"drop\"\n source = [address_group.g, \"!192.0.2.0/24\"]\n }\n}\n"))
	if p == nil {
		t.Fatal(diags)
	}
	if len(p.rules[0].source.V4) == len(p.rules[1].source.V4) {
		t.Error("two lists that differ in a ! are one")
	}
}

func TestWhatListsHoldTogetherIsBounded(t *testing.T) {
	load := func(text string, ranges, held int) hcl.Diagnostics {
		l := newLoader("x.hcl", []byte(text), noFiles)
		l.ranges, l.held = ranges, held // as if there had been more
		body, _, diags := parse("x.hcl", l.src, len(l.src))
		if diags.HasErrors() {
			t.Fatal(diags)
		}
		l.file(body)
		return l.diags
	}
	const n = 100
	for _, tt := range []struct {
		source, services string
		ranges, held     int
		summary          string // "": none
	}{
		{"[address_group.g]", "[service.s]", maxRanges - n, maxHeldServices, ""},
		{"[address_group.g, \"192.0.2.1\"]", "[\"tcp\"]", maxRanges - 2*n - 1, 0, ""},
		{"[address_group.g, \"192.0.2.1\"]", "[\"tcp\"]", maxRanges - 2*n + 1, 0, "Too many addresses"},
		{"[!address_group.g]", "[\"tcp\"]", maxRanges - 2*n + 1, 0, "Too many addresses"},
		{"[\"any\"]", "[service.s, \"udp\", \"icmp\"]", 0, maxHeldServices - 3*(n+2), ""},
		{"[\"any\"]", "[service.s, \"udp\", \"icmp\"]", 0, maxHeldServices - n, "Too many services"},
	} {
		diags := load(sharingRules(n, 3, tt.source, tt.services), tt.ranges, tt.held)
		if got := slices.ContainsFunc(diags, func(d *hcl.Diagnostic) bool { return d.Summary == tt.summary }); got != (tt.summary != "") || diags.HasErrors() != (tt.summary != "") {
			t.Errorf("%s, %s: %v", tt.source, tt.services, diags)
		}
	}
	nested := strings.Replace(sharingRules(n, 1, "[address_group.h]", "[\"tcp\"]"), "service \"s\"", "address_group \"h\" {\n addresses = [address_group.g]\n}\nservice \"s\"", 1)
	if diags := load(nested, maxRanges-2*n+1, 0); !diags.HasErrors() {
		t.Error("groups of groups are not counted")
	}
	ethertypes := strings.Replace(sharingRules(1, 1, "[\"any\"]", "[\"tcp\"]"), "services = [\"tcp\"]", "ethertype = [for n in range(1000) : format(\"0x%04x\", 35020 + 2 * n)]", 1)
	if diags := load(ethertypes, 0, maxHeldServices-999); !diags.HasErrors() {
		t.Error("ethertypes are not counted")
	}
}

// Each source port of a service is paired with each destination port.
func TestPortsAreCountedBeforeTheyArePaired(t *testing.T) {
	text := "service \"s\" {\n protocol = \"tcp\"\n ports = " + oddPorts(3000) + "\n source_ports = " + oddPorts(3000) + "\n}\n"
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	p, diags := Load("rules.hcl", []byte(text))
	runtime.ReadMemStats(&after)
	if p != nil || !slices.ContainsFunc(diags, func(d *hcl.Diagnostic) bool { return d.Summary == "Too many services" }) {
		t.Errorf("got %v", diags)
	}
	if n := after.TotalAlloc - before.TotalAlloc; n > 64<<20 {
		t.Errorf("%d bytes were allocated", n)
	}
}

func TestRulesWithTheSameTimesAreLookedAtOnce(t *testing.T) {
	var b strings.Builder
	b.WriteString("settings {\n endpoints = [\"any\"]\n}\ntenant \"t\" {\n context_ids = [1]\n")
	for i, zone := range []string{"UTC", "Asia/Tokyo", "UTC", "Asia/Tokyo", "UTC"} {
		fmt.Fprintf(&b, " rule \"r%d\" {\n  action = \"accept\"\n  time {\n   from = \"08:00\"\n   timezone = %q\n  }\n }\n", i, zone)
	}
	b.WriteString("}\n")
	p := mustLoad(t, b.String())
	if len(p.windows) != 2 {
		t.Fatalf("got %d, want 2", len(p.windows))
	}
	states := make(map[uint64]bool)
	for _, hour := range []int64{0, 7, 9, 16, 23} { // 8 in Tokyo is 23 of the day before
		states[p.WindowsAt(hour*3600)] = true
	}
	if len(states) != 3 {
		t.Errorf("got %d states of windows, want one, the other, or both open", len(states))
	}
}
