package policy

import (
	"io"
	"math/rand/v2"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"sttwall/inspect"
	"sttwall/reason"
)

// FuzzLoad: any text is either a policy without errors, or errors without a
// policy; every diagnostic has a place and can be printed; and a policy that
// loads decides.
func FuzzLoad(f *testing.F) {
	for _, pattern := range []string{rulesDir + "/*.hcl", rulesDir + "/broken/*.hcl", "../rules.example.hcl"} {
		paths, err := filepath.Glob(pattern)
		if err != nil {
			f.Fatal(err)
		}
		for _, path := range paths {
			src, err := os.ReadFile(path)
			if err != nil {
				f.Fatal(err)
			}
			f.Add(src)
		}
	}
	f.Fuzz(func(t *testing.T, src []byte) {
		p, diags, files := load("fuzz.hcl", src, noFiles)
		if (p == nil) != diags.HasErrors() {
			t.Fatalf("policy %v with diagnostics %v", p, diags)
		}
		if files["fuzz.hcl"] == nil || len(diags) > maxDiagnostics+1 {
			t.Fatalf("file %v, %d diagnostics", files, len(diags))
		}
		for _, d := range diags {
			if d.Subject == nil || d.Subject.Filename != "fuzz.hcl" || d.Summary == "" || d.Detail == "" {
				t.Fatalf("diagnostic without place or words: %+v", d)
			}
		}
		o := Printout{Files: files}
		if err := WriteDiagnostics(io.Discard, diags, o); err != nil {
			t.Fatal(err)
		}
		if p == nil {
			return
		}
		r := rand.New(rand.NewPCG(1, 2))
		for range 20 {
			checkDecision(t, p, r.Uint64(), randomFrame(r))
		}
		for i := range p.contexts.lo {
			checkDecision(t, p, p.contexts.lo[i], randomFrame(r))
			checkDecision(t, p, p.contexts.hi[i], randomFrame(r))
		}
	})
}

// checkDecision evaluates and checks what holds for every decision.
func checkDecision(t *testing.T, p *Policy, id uint64, f *inspect.Frame) Decision {
	t.Helper()
	d := evaluate(p, id, f)
	if again := evaluate(p, id, f); again != d {
		t.Fatalf("got %+v, then %+v", d, again)
	}
	if (d.Action == Accept) != (d.Reason == reason.None) {
		t.Fatalf("action and reason differ: %+v", d)
	}
	tenants, rules := p.Tenants(), p.Rules()
	switch {
	case d.TenantIndex < 0:
		if d.Tenant != "" || d.Rule != "" || d.RuleIndex >= 0 || d.Reason != reason.None && d.Reason != reason.ContextUnknown {
			t.Fatalf("decision without a tenant: %+v", d)
		}
	case tenants[d.TenantIndex] != d.Tenant:
		t.Fatalf("tenant %q is not %d", d.Tenant, d.TenantIndex)
	case d.RuleIndex < 0:
		if d.Rule != "" || d.Log || d.Reason != reason.None && d.Reason != reason.TenantDefault && d.Reason != reason.TenantEndpoint && d.Reason != reason.ContextReserved {
			t.Fatalf("decision without a rule: %+v", d)
		}
	case rules[d.RuleIndex] != d.Rule || !strings.HasPrefix(d.Rule, d.Tenant+"/") && !strings.HasPrefix(d.Rule, beforeTenants+"/") && !strings.HasPrefix(d.Rule, afterTenants+"/"):
		t.Fatalf("rule %q is not %d of %q", d.Rule, d.RuleIndex, d.Tenant)
	case d.Reason != reason.None && d.Reason != reason.RuleDrop && d.Reason != reason.RuleReject:
		t.Fatalf("rule decided with %s", d.Reason)
	}
	return d
}

// FuzzEvaluate: any frame, also one that no decoder would make, gets a decision
// that is whole; what decides it is the rules' plain reading.
func FuzzEvaluate(f *testing.F) {
	f.Add(uint64(1), uint64(100), []byte{10, 0, 0, 1}, []byte{10, 0, 0, 2}, uint16(0x0800), uint8(4), uint8(6), uint16(40000), uint16(443), uint8(8), uint8(0), uint8(3))
	f.Add(uint64(2), ^uint64(0), make([]byte, 16), []byte{15: 1}, uint16(0x86dd), uint8(6), uint8(58), uint16(0), uint16(0), uint8(135), uint8(0), uint8(2))
	f.Add(uint64(3), uint64(0), []byte{}, []byte{}, uint16(0x88cc), uint8(0), uint8(0), uint16(0), uint16(0), uint8(0), uint8(0), uint8(0))
	f.Add(uint64(4), uint64(1000), []byte{10, 0, 0, 1}, []byte{10, 0, 0, 2}, uint16(0x0806), uint8(0), uint8(0), uint16(0), uint16(0), uint8(0), uint8(0), uint8(0))
	f.Fuzz(func(t *testing.T, seed, id uint64, src, dst []byte, etherType uint16, _, protocol uint8,
		srcPort, dstPort uint16, icmpType, icmpCode, has uint8) {
		r := rand.New(rand.NewPCG(seed, 0))
		m, p := randomModel(r), (*Policy)(nil)
		for range 1000 {
			if p, _ = Load("fuzz.hcl", []byte(m.text())); p != nil {
				break
			}
			m = randomModel(r) // the claims of the last one conflicted
		}
		if p == nil {
			t.Fatal("of a thousand policies none loads")
		}
		frame := &inspect.Frame{
			EtherType: etherType, Protocol: protocol,
			HasPorts: has&1 != 0, SrcPort: srcPort, DstPort: dstPort,
			HasICMP: has&2 != 0, ICMPType: icmpType, ICMPCode: icmpCode,
		}
		frame.Src, _ = netip.AddrFromSlice(src)
		frame.Dst, _ = netip.AddrFromSlice(dst)
		// What inspect never gives is nothing to agree about.
		frame.IP = 0
		switch same := frame.Src.BitLen() == frame.Dst.BitLen(); {
		case same && frame.Src.Is4():
			frame.IP, frame.EtherType = 4, inspect.EtherTypeIPv4
			if etherType == inspect.EtherTypeARP {
				frame.IP, frame.EtherType = 0, etherType
			}
		case same && frame.Src.Is6():
			frame.IP, frame.EtherType = 6, inspect.EtherTypeIPv6
		case etherType == inspect.EtherTypeARP:
			return
		}
		if frame.IP == 0 {
			frame.HasPorts, frame.HasICMP = false, false
		}
		switch frame.Protocol {
		case inspect.ProtocolTCP, inspect.ProtocolUDP, inspect.ProtocolSCTP:
			frame.HasICMP = false
		case inspect.ProtocolICMP, inspect.ProtocolICMPv6:
			frame.HasPorts = false
		default:
			frame.HasPorts, frame.HasICMP = false, false
		}
		for _, id := range []uint64{id, randomContext(r, m)} {
			if got, want := checkDecision(t, p, id, frame), m.evaluate(id, frame); got != want {
				t.Errorf("got %+v, want %+v for %+v in\n%s", got, want, frame, m.text())
			}
		}
	})
}
