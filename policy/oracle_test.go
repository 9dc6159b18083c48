package policy

import (
	"errors"
	"flag"
	"fmt"
	"math/rand/v2"
	"runtime"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/hashicorp/hcl/v2"

	"sttwall/inspect"
	"sttwall/policy/internal/plain"
	"sttwall/reason"
)

var (
	pairs = flag.Int("pairs", 100_000, "how many random pairs of a policy and a packet the engine and the plain reading of the rules decide")
	seed  = flag.Uint64("seed", 0, "where random policies begin; 0: anywhere")
)

// loadPlain loads a random policy. The text is for messages.
func loadPlain(r *rand.Rand, m *plain.Policy) (*Policy, hcl.Diagnostics, string) {
	text, files := m.Text(r)
	p, diags, _ := load("random.hcl", []byte(text), func(name string) ([]byte, error) {
		file, ok := files[name]
		if !ok {
			return nil, errors.New("no such file")
		}
		return []byte(file), nil
	})
	return p, diags, text
}

// randomPolicy returns a random policy that loads.
func randomPolicy(r *rand.Rand) (m *plain.Policy, p *Policy, text string) {
	for p == nil {
		m = plain.Random(r)
		p, _, text = loadPlain(r, m)
	}
	return m, p, text
}

// decoded writes a random packet as bytes and reads them as a worker does.
func decoded(t testing.TB, r *rand.Rand, k *plain.Packet) *inspect.Frame {
	data, tci, tagged := k.Frame(r)
	f := new(inspect.Frame)
	if why := f.Decode(data, len(data), tci, inspect.Tagged(tagged)); why != reason.None {
		t.Fatalf("%s: a frame that says %+v is % x", why, k, data)
	}
	return f
}

// packetOf is what the engine is given.
func packetOf(k *plain.Packet, f *inspect.Frame) Packet {
	return Packet{ContextID: k.Context, Frame: f, From: k.From, To: k.To, Wall: k.Wall, Now: k.Now, BeginsNothing: k.BeginsNothing}
}

// plainOf is what a decoded frame shows, with the tunnel and the clocks of k.
func plainOf(k Packet) plain.Packet {
	f := k.Frame
	out := plain.Packet{
		Context: k.ContextID, From: k.From, To: k.To, Wall: k.Wall, Now: k.Now, BeginsNothing: k.BeginsNothing,
		EthSrc: f.EthSrc, EthDst: f.EthDst, TagCount: int(f.TagCount), EtherType: f.EtherType, ARPOperation: f.ARPOperation,
		Src: f.Src, Dst: f.Dst, IP: int(f.IP), Protocol: f.Protocol,
		HasPorts: f.HasPorts, SrcPort: f.SrcPort, DstPort: f.DstPort, HasTCP: f.HasTCP, Flags: f.TCPFlags,
		HasICMP: f.HasICMP, Type: f.ICMPType, Code: f.ICMPCode, ARPSender: f.ARPSender, Target: f.Target,
	}
	for i := range f.TagCount {
		out.VLAN[i], out.PCP[i] = f.Tags[i]%4096, f.Tags[i]/8192
	}
	switch {
	case f.IP == 0:
	case !f.Fragmented:
		out.Fragment = "whole"
	case f.Fragment.Offset == 0:
		out.Fragment = "first"
	default:
		out.Fragment = "later"
	}
	return out
}

// said is a decision in the words of the plain reading.
func (p *Policy) said(d Decision) plain.Decision {
	out := plain.Decision{
		Action: d.Action.String(), Tenant: d.Tenant, Rule: d.Rule, Log: d.Log,
		Stateless: d.Stateless, Neighbor: d.Neighbor, Audit: d.Audit,
	}
	if d.Reason != reason.None {
		out.Reason = d.Reason.String()
	}
	if d.Audit {
		out.WouldBe, out.Would = d.WouldBe.String(), d.Would.String()
	}
	if s := p.Set(d.RuleIndex); s != nil {
		out.Set = plain.Set{HasDSCP: s.HasDSCP, DSCP: s.DSCP, MSSMax: s.MSSMax}
	}
	return out
}

// indexed says whether the indexes of a decision are those of its names.
func (p *Policy) indexed(d Decision) bool {
	tenant, rule := "", ""
	if d.TenantIndex >= 0 {
		tenant = p.tenants[d.TenantIndex].Name
	}
	if d.RuleIndex >= 0 {
		rule = p.rules[d.RuleIndex].name
	}
	return tenant == d.Tenant && rule == d.Rule && (d.Audit || d.WouldBe == Drop && d.Would == reason.None)
}

// explained says what is wrong with an explanation, or "". tried are the rules
// that the plain reading tried.
func explained(x *Explanation, k *plain.Packet, d Decision, owner *plain.Tenant, tried []*plain.Rule) string {
	if x.Decision != d {
		return fmt.Sprintf("it decides %+v", x.Decision)
	}
	if len(x.Rules) != len(tried) {
		return fmt.Sprintf("%d rules, want %d", len(x.Rules), len(tried))
	}
	for i, step := range x.Rules {
		r := tried[i]
		matched := i == len(tried)-1 && d.Rule != ""
		switch {
		case step.Rule != r.FullName() || step.Matched != matched || step.Line < 1:
			return fmt.Sprintf("step %d is %+v, want rule %s, matched %t", i, step, r.FullName(), matched)
		case matched:
			if step.Rule != d.Rule || step.Condition != "" || x.Default != "" {
				return fmt.Sprintf("step %d is %+v, default %q, want rule %s", i, step, x.Default, d.Rule)
			}
		case !slices.Contains(plain.Conditions, step.Condition) || r.Holds(step.Condition, owner, k):
			return fmt.Sprintf("step %d is %+v, but that condition does not fail", i, step)
		}
	}
	if (x.Default == "") != (d.Rule != "") {
		return fmt.Sprintf("default %q", x.Default)
	}
	return ""
}

// oracle compares the engine and its explanations with the plain reading, over
// n pairs.
type oracle struct {
	next                                      atomic.Int64 // policy
	policies, refused, pairs, byRule, audited atomic.Int64
	bound, spoofed                            atomic.Int64     // of a tenant with bindings, and dropped for them
	held, failed                              [32]atomic.Int64 // by the index of plain.Conditions
}

// perPolicy is how many packets meet each policy.
const perPolicy = 250

func (o *oracle) run(t *testing.T, start uint64, n int) {
	for int(o.policies.Load())*perPolicy < n && !t.Failed() {
		r := rand.New(rand.NewPCG(start, uint64(o.next.Add(1)))) // whoever takes the policy, it is the same
		m := plain.Random(r)
		p, diags, text := loadPlain(r, m)
		if m.Conflicts() != diags.HasErrors() {
			t.Errorf("conflicting claims: %t, but diagnostics are %v for\n%s", m.Conflicts(), diags, text)
			return
		}
		if p == nil {
			o.refused.Add(1)
			continue
		}
		o.policies.Add(1)
		reading, edges := plain.New(m), plain.NewEdges(r, m)
		windows := make(map[string]uint64)
		for range perPolicy {
			k := edges.Packet()
			if !o.pair(t, r, p, reading, k) || !o.windows(t, p, m, windows, k.Wall) {
				t.Logf("%s", text)
				return
			}
		}
	}
}

// windows checks that a policy tells apart the times at which other rules hold,
// and no others. seen has what it said before.
func (o *oracle) windows(t *testing.T, p *Policy, m *plain.Policy, seen map[string]uint64, wall int64) bool {
	open, state := m.Open(wall), p.WindowsAt(wall)
	for other, before := range seen {
		if (other == open) != (before == state) {
			t.Errorf("at %s %q holds, and windows are %#x; they were %#x when %q held", time.Unix(wall, 0).UTC(), open, state, before, other)
			return false
		}
	}
	seen[open] = state
	return true
}

// pair has both decide about a packet.
func (o *oracle) pair(t *testing.T, r *rand.Rand, p *Policy, reading *plain.Interpreter, random *plain.Packet) bool {
	k := packetOf(random, decoded(t, r, random))
	if got := plainOf(k); got != *random {
		t.Errorf("read\n%+v, written\n%+v", got, *random)
		return false
	}
	got := p.Evaluate(&k)
	want, _, _ := reading.Decide(random, false)
	if p.said(got) != want || !p.indexed(got) {
		t.Errorf("packet %+v:\n got %+v\nwant %+v", *random, got, want)
		return false
	}
	// Explanations leave limits alone.
	peek, owner, tried := reading.Decide(random, true)
	k.Peek = true
	d := p.Evaluate(&k)
	if p.said(d) != peek {
		t.Errorf("packet %+v, without limits:\n got %+v\nwant %+v", *random, d, peek)
		return false
	}
	x := p.explain(&k)
	if wrong := explained(x, random, d, owner, tried); wrong != "" {
		t.Errorf("packet %+v, decided %+v, is explained by %+v:\n%s", *random, d, x, wrong)
		return false
	}
	for i, c := range plain.Conditions {
		for j, r := range tried {
			switch {
			case !r.Names(c):
			case x.Rules[j].Matched:
				o.held[i].Add(1)
			case x.Rules[j].Condition == c:
				o.failed[i].Add(1)
			}
		}
	}
	o.pairs.Add(1)
	if got.Rule != "" {
		o.byRule.Add(1)
	}
	if got.Audit {
		o.audited.Add(1)
	}
	if owner != nil && owner.Bindings != nil {
		o.bound.Add(1)
	}
	if got.Reason == reason.BindingDeclared {
		o.spoofed.Add(1)
	}
	return true
}

func TestTheEngineDecidesAndExplainsAsTheDocumentationSays(t *testing.T) {
	n, start := *pairs, *seed
	if testing.Short() {
		n /= 2
	}
	if start == 0 {
		start = rand.Uint64()
	}
	t.Logf("seed %d", start)
	begin := time.Now()
	var (
		o  oracle
		wg sync.WaitGroup
	)
	for range runtime.GOMAXPROCS(0) {
		wg.Go(func() { o.run(t, start, n) })
	}
	wg.Wait()
	t.Logf("%d pairs of %d policies (and %d policies that were refused) in %v; %d decided by a rule, %d in audit mode; %d of %d dropped for a binding",
		o.pairs.Load(), o.policies.Load(), o.refused.Load(), time.Since(begin).Round(time.Millisecond), o.byRule.Load(), o.audited.Load(), o.spoofed.Load(), o.bound.Load())
	if t.Failed() {
		return
	}
	all := o.pairs.Load()
	if o.byRule.Load() < all/4 || o.audited.Load() < all/20 || all < int64(n) {
		t.Error("the random policies test too little")
	}
	if bound, spoofed := o.bound.Load(), o.spoofed.Load(); spoofed < bound/20 || spoofed > bound/2 || spoofed < all/100 {
		t.Errorf("%d of %d packets were dropped for a binding: that tests too little", spoofed, bound)
	}
	for i, c := range plain.Conditions {
		if held, failed := o.held[i].Load(), o.failed[i].Load(); held < all/2000 || failed < all/2000 {
			t.Errorf("%s held where a rule decided %d times and kept it from that %d times: that tests too little", c, held, failed)
		}
	}
}
