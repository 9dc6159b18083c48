package policy

import (
	"io"
	"io/fs"
	"math/rand/v2"
	"net/netip"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"

	"github.com/hashicorp/hcl/v2/hclwrite"

	"sttwall/inspect"
	"sttwall/policy/internal/plain"
	"sttwall/reason"
)

// FuzzLoad: any text is either a policy without errors, or errors without a
// policy; every diagnostic has a place and can be printed; a policy that loads
// decides, explains and is analysed; and what fmt makes of its text loads as the
// same policy.
func FuzzLoad(f *testing.F) {
	seeds := 0
	add := func(src []byte) { f.Add(src); seeds++ }
	err := filepath.WalkDir(rulesDir, func(path string, entry fs.DirEntry, err error) error {
		if err != nil || filepath.Ext(path) != ".hcl" {
			return err
		}
		src, err := os.ReadFile(path)
		add(src)
		return err
	})
	if err != nil {
		f.Fatal(err)
	}
	for _, path := range []string{"../rules.example.hcl", "../docs/rules.md"} {
		src, err := os.ReadFile(path)
		if err != nil {
			f.Fatal(err)
		}
		add(src)
	}
	// Every block and attribute, as the reference shows it, and every form that
	// random policies have.
	for _, s := range allSchemas {
		for _, a := range s.attributes {
			add([]byte(exampleOf(s, a)))
		}
	}
	for i := range uint64(20) {
		r := rand.New(rand.NewPCG(i, 0))
		_, _, text := randomPolicy(r)
		add([]byte(text))
	}
	if seeds < 200 {
		f.Fatalf("only %d seeds", seeds)
	}
	r := rand.New(rand.NewPCG(1, 2))
	m, _, _ := randomPolicy(r)
	edges := plain.NewEdges(r, m)
	packets := make([]Packet, 16)
	for i := range packets {
		random := edges.Packet()
		packets[i] = packetOf(random, decoded(f, r, random))
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
		again, diags, _ := load("fuzz.hcl", hclwrite.Format(src), noFiles)
		if again == nil {
			t.Fatalf("formatted, it does not load: %v", diags)
		}
		if got, want := again.settings, p.settings; !reflect.DeepEqual(got, want) {
			t.Fatalf("formatted, settings are %+v, and were %+v", got, want)
		}
		ids := []uint64{0, 100, 0xab00000000000001, ^uint64(0)}
		for i := range p.contexts.lo {
			ids = append(ids, p.contexts.lo[i], p.contexts.hi[i])
		}
		for i := range p.datapaths.lo {
			ids = append(ids, uint64(p.datapaths.lo[i]), 3<<40|4<<24|uint64(p.datapaths.hi[i]))
		}
		for i, k := range packets {
			for j, id := range ids {
				if j%len(packets) != i && len(ids) > 8 {
					continue
				}
				k.ContextID, k.Peek = id, true
				d := checkDecision(t, p, &k)
				if got := again.Evaluate(&k); got != d {
					t.Fatalf("formatted, it decides %+v, and before %+v", got, d)
				}
				if x := p.Explain(&k); x.Decision != d {
					t.Fatalf("decided %+v, explained %+v", d, x.Decision)
				}
			}
		}
	})
}

// checkDecision evaluates and checks what holds for every decision.
func checkDecision(t *testing.T, p *Policy, k *Packet) Decision {
	t.Helper()
	d := p.Evaluate(k)
	if again := p.Evaluate(k); again != d {
		t.Fatalf("got %+v, then %+v", d, again)
	}
	if (d.Action == Accept) != (d.Reason == reason.None) {
		t.Fatalf("action and reason differ: %+v", d)
	}
	if !p.indexed(d) {
		t.Fatalf("indexes and names differ: %+v", d)
	}
	switch {
	case d.TenantIndex < 0:
		if d.RuleIndex >= 0 || d.Reason != reason.None && d.Reason != reason.ContextUnknown {
			t.Fatalf("decision without a tenant: %+v", d)
		}
	case d.RuleIndex < 0:
		if d.Log || d.Reason != reason.None && d.Reason != reason.TenantDefault && d.Reason != reason.TenantEndpoint && d.Reason != reason.BindingDeclared && d.Reason != reason.ContextReserved && d.Reason != reason.FragmentFirstMissing {
			t.Fatalf("decision without a rule: %+v", d)
		}
	case !strings.HasPrefix(d.Rule, d.Tenant+"/") && !strings.HasPrefix(d.Rule, beforeTenants+"/") && !strings.HasPrefix(d.Rule, afterTenants+"/"):
		t.Fatalf("rule %q decides in tenant %q", d.Rule, d.Tenant)
	case d.Reason != reason.None && d.Reason != reason.RuleDrop && d.Reason != reason.RuleReject:
		t.Fatalf("rule decided with %s", d.Reason)
	}
	return d
}

// FuzzEvaluate: any frame that inspect reads, in any context, from any endpoint,
// at any time, is decided and explained by random policies as the plain reading
// of the rules says.
func FuzzEvaluate(f *testing.F) {
	type random struct {
		m    *plain.Policy
		p    *Policy
		text string
	}
	r := rand.New(rand.NewPCG(1, 2))
	policies := make([]random, 60)
	for i := range policies {
		m, p, text := randomPolicy(rand.New(rand.NewPCG(uint64(i), 0)))
		policies[i] = random{m, p, text}
		k := plain.NewEdges(r, m).Packet()
		data, tci, tagged := k.Frame(r)
		f.Add(uint8(i), data, tci, tagged, k.Context, k.From.AsSlice(), k.To.AsSlice(), k.Wall)
	}
	f.Fuzz(func(t *testing.T, which uint8, data []byte, tci uint16, tagged bool, id uint64, from, to []byte, wall int64) {
		frame := new(inspect.Frame)
		if frame.Decode(data, len(data), tci, inspect.Tagged(tagged)) != reason.None {
			return
		}
		by := &policies[int(which)%len(policies)]
		k := Packet{ContextID: id, Frame: frame, Wall: wall & (1<<36 - 1), Peek: true} // some thousand years
		k.From, _ = netip.AddrFromSlice(from)
		k.To, _ = netip.AddrFromSlice(to)
		packet := plainOf(k)
		d := checkDecision(t, by.p, &k)
		want, owner, tried := plain.New(by.m).Decide(&packet, true)
		if got := by.p.said(d); got != want {
			t.Fatalf("packet %+v:\n got %+v\nwant %+v\n%s", packet, got, want, by.text)
		}
		if wrong := explained(by.p.Explain(&k), &packet, d, owner, tried); wrong != "" {
			t.Fatalf("packet %+v, decided %+v, is explained wrongly: %s\n%s", packet, d, wrong, by.text)
		}
	})
}
