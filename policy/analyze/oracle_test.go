package analyze_test

import (
	"fmt"
	"math/rand/v2"
	"slices"

	"github.com/hashicorp/hcl/v2"

	"sttwall/policy/analyze"
	"sttwall/policy/space"
)

// The small world of these tests: UDP and one kind of TCP between few addresses
// and ports, in few contexts. Lists are for packets of it alone, so all can be
// tried.
var smallFields = []space.Field{space.Context, space.Src, space.Dst, space.DstPort}

const smallValues = 3

func smallWorld() space.Product {
	var p space.Product
	for _, f := range smallFields {
		p[f] = f.Between(0, smallValues-1)
	}
	p[space.Family] = space.Family.Values(4)
	p[space.Kind] = space.Kind.Values(6, 17)
	p[space.SrcPort] = space.SrcPort.Values(9)
	p[space.TCPFlags] = space.TCPFlags.Values(2, space.NoFlags)
	p[space.Fragment] = space.Fragment.Values(space.Whole)
	p[space.Datapath] = space.Datapath.Values(space.NoDatapath)
	return p
}

func smallPackets() []space.Point {
	world := smallWorld()
	tcp, udp := world.With(space.Kind, space.Kind.Values(6)), world.With(space.Kind, space.Kind.Values(17))
	x, _ := tcp.Typical()
	y, _ := udp.Typical()
	out := []space.Point{x, y}
	for _, f := range smallFields {
		var next []space.Point
		for _, x := range out {
			for v := range uint64(smallValues) {
				x[f] = space.V(v)
				next = append(next, x)
			}
		}
		out = next
	}
	return out
}

// random makes lists of rules for the small world.
type random struct {
	*rand.Rand
	partial bool
	line    int
}

func (r *random) set(f space.Field) space.Set {
	var values []uint64
	for v := range uint64(smallValues) {
		if r.IntN(2) == 0 {
			values = append(values, v)
		}
	}
	if len(values) == 0 {
		values = []uint64{r.Uint64N(smallValues)}
	}
	return f.Values(values...)
}

func (r *random) product() space.Product {
	var p space.Product
	for _, f := range smallFields[1:] {
		if r.IntN(2) == 0 {
			p[f] = r.set(f)
		}
	}
	switch r.IntN(6) {
	case 0:
		p[space.Kind] = space.Kind.Values(6)
	case 1:
		p[space.Kind] = space.Kind.Values(17)
	case 2:
		p[space.TCPFlags] = space.MaskedFlags(2, 2)
	}
	return p
}

var effects = []string{"", "", "", "log"}

func (r *random) verdict() analyze.Verdict {
	return analyze.Verdict{Action: analyze.Action(r.IntN(3)), Effect: effects[r.IntN(len(effects))]}
}

func (r *random) rule(file string) analyze.Rule {
	r.line++
	rule := analyze.Rule{
		Name: fmt.Sprintf("t/%s-%d", file, r.line), At: at(file, r.line), Verdict: r.verdict(),
	}
	for range 1 + r.IntN(2) {
		rule.Products = append(rule.Products, r.product())
	}
	if r.partial && r.IntN(3) == 0 {
		rule.Partial, rule.Condition = true, fmt.Sprintf("condition %d", r.IntN(3))
	}
	return rule
}

func (r *random) rules(file string, most int) []analyze.Rule {
	var out []analyze.Rule
	for range r.IntN(most + 1) {
		out = append(out, r.rule(file))
	}
	return out
}

func at(file string, line int) hcl.Range {
	return hcl.Range{Filename: file, Start: hcl.Pos{Line: line, Column: 1, Byte: line * 100}}
}

// decide is what a list says about a packet while the conditions hold that holds
// names. The rule is -1 for the default.
func decide(l *analyze.List, x *space.Point, holds map[string]bool) (analyze.Verdict, int) {
	for i := range l.Rules {
		if matches(&l.Rules[i], x) && (!l.Rules[i].Partial || holds[l.Rules[i].Condition]) {
			return l.Rules[i].Verdict, i
		}
	}
	return l.Default, -1
}

func matches(r *analyze.Rule, x *space.Point) bool {
	return slices.ContainsFunc(r.Products, func(p space.Product) bool { return p.Contains(x) })
}

// circumstances are all ways in which the conditions of [random.rule] can hold.
func circumstances(partial bool) []map[string]bool {
	if !partial {
		return []map[string]bool{nil}
	}
	var out []map[string]bool
	for bits := range 8 {
		m := map[string]bool{}
		for i := range 3 {
			m[fmt.Sprintf("condition %d", i)] = bits>>i&1 == 1
		}
		out = append(out, m)
	}
	return out
}
