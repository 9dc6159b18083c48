package policy

import (
	"fmt"
	"slices"

	"github.com/hashicorp/hcl/v2"
	"github.com/hashicorp/hcl/v2/hclsyntax"

	"sttwall/describe"
	"sttwall/policy/classify"
)

const (
	// MaxTemporary bounds the temporary rules of a policy.
	MaxTemporary = 1000
	// TemporaryPrefix is how the names of temporary rules begin, and no others'.
	TemporaryPrefix = temporary + "/"
)

// Temporary is a rule that an operator has set beside the rules file, for a time.
type Temporary struct {
	Name    string // as rules have it; the whole name is "temporary/NAME"
	Action  Action
	Pattern string // see [describe.ParsePattern]
	Expires int64  // the first second in which it holds no more; see [Packet.Wall]
}

// WithTemporary returns a policy that is as p, token buckets included, but for
// its temporary rules: they are tried in that order before all others. Those of
// p go.
//
// A rule that means nothing here is left out, and the error with its index says
// why: its pattern is none (an [*describe.Error]), it names a tenant or group
// that is not there, its name is not a name or not the only one of its kind, or
// it is one of more than [MaxTemporary]. The other errors are nil. Expired rules
// match nothing, and count.
func (p *Policy) WithTemporary(rules []Temporary) (*Policy, []error) {
	q := *p
	q.rules = p.rules[:p.first.start:p.first.start]
	q.verdicts = p.verdicts[:p.first.start:p.first.start] // p goes on with its own
	q.first = ruleList{start: p.first.start}
	q.temporary = make(map[string]*temporaryRule, len(rules))
	q.expiries = nil
	errs := make([]error, len(rules))
	taken := make(map[string]bool, len(rules))
	for i, t := range rules {
		switch {
		case i >= MaxTemporary:
			errs[i] = fmt.Errorf("expected at most %d temporary rules", MaxTemporary)
			continue
		case !ValidName(t.Name):
			errs[i] = fmt.Errorf("expected a name of 1 to %d letters (a-z, A-Z), digits, \"_\" and \"-\" that begins with a letter or \"_\"; this is %q", maxName, clip(t.Name))
			continue
		case taken[t.Name]:
			errs[i] = fmt.Errorf("expected another name: there is a temporary rule %q", t.Name)
			continue
		}
		taken[t.Name] = true
		compiled := p.temporary[t.Name]
		if compiled == nil || compiled.Temporary != t {
			var err error
			if compiled, err = p.compileTemporary(t); err != nil {
				errs[i] = err
				continue
			}
		}
		q.temporary[t.Name] = compiled
		q.rules = append(q.rules, compiled.rules...)
		q.expiries = append(q.expiries, t.Expires)
	}
	slices.Sort(q.expiries)
	q.first.end = int32(len(q.rules))
	q.build(&q.first, make(boxesOf))
	return &q, errs
}

// temporaryRule is a temporary rule that was compiled for the groups and tenants
// of one rules file.
type temporaryRule struct {
	Temporary
	pattern *describe.Pattern
	tenant  *tenant // nil: of all
	source  *source
	rules   []rule // two where the pattern goes both ways
}

// holds decides the conditions that no rule of a file has.
func (t *temporaryRule) holds(c *check) bool { return t.failure(c) == "" }

// failure names the first of them that does not hold.
func (t *temporaryRule) failure(c *check) string {
	switch {
	case t.tenant != nil && t.tenant != c.tenant:
		return "tenant"
	case t.pattern.HasContext && t.pattern.Context != c.packet.ContextID:
		return "context_id"
	case c.packet.Wall >= t.Expires:
		return "time"
	}
	return ""
}

// compileTemporary compiles a temporary rule as the loader does one of the file.
func (p *Policy) compileTemporary(t Temporary) (*temporaryRule, error) {
	pattern, err := describe.ParsePattern(t.Pattern)
	if err != nil {
		return nil, err
	}
	c := &temporaryRule{Temporary: t, pattern: pattern}
	if err := p.scope(c); err != nil {
		return nil, err
	}
	if err := p.knownGroups(pattern); err != nil {
		return nil, err
	}
	c.source = &source{filename: TemporaryPrefix + t.Name}
	if err := p.compilePattern(c, pattern); err != nil {
		return nil, err
	}
	if pattern.BothWays {
		if err := p.compilePattern(c, pattern.Reverse()); err != nil {
			return nil, err
		}
	}
	for i := range c.rules {
		r := &c.rules[i]
		r.name = TemporaryPrefix + t.Name
		if r.more == nil {
			r.more = new(conditions)
		}
		r.more.temporary = c
		if disjoint(r.source, r.destination) {
			return nil, &describe.Error{Column: pattern.Source.Column, Message: "expected addresses that a packet can have together: one side is empty, or one is IPv4 and the other IPv6"}
		}
	}
	return c, nil
}

// scope finds whose packets the pattern is about.
func (p *Policy) scope(c *temporaryRule) error {
	if name := c.pattern.Tenant; name != "" {
		for i := range p.tenants {
			if p.tenants[i].Name == name {
				c.tenant = &p.tenants[i]
			}
		}
		if c.tenant == nil {
			return &describe.Error{Column: c.pattern.ScopeColumn, Message: fmt.Sprintf("expected a tenant of the rules file; there is no %q.%s", clip(name), didYouMean(name, p.Tenants()))}
		}
	}
	if c.pattern.HasContext {
		if _, found := p.Find(c.pattern.Context); !found {
			return &describe.Error{Column: c.pattern.ScopeColumn, Message: fmt.Sprintf("expected a context ID of some tenant; none has 0x%x", c.pattern.Context)}
		}
	}
	return nil
}

func (p *Policy) knownGroups(t *describe.Pattern) error {
	for _, h := range []*describe.Hosts{&t.Source, &t.Destination} {
		if h.Group != "" && p.groups[h.Group] == nil {
			return &describe.Error{Column: h.Column, Message: fmt.Sprintf("expected any, addresses, or an address_group of the rules file; there is no %q.%s", h.Group, didYouMean(h.Group, append(names(p.groups), "any")))}
		}
	}
	return nil
}

// compilePattern writes the pattern as a rule and lets the loader compile that,
// with the groups of the rules file.
func (p *Policy) compilePattern(c *temporaryRule, t *describe.Pattern) error {
	text, start := patternRule(c.Name, c.Action, t), hcl.InitialPos
	start.Byte = len(c.source.text)
	c.source.text += text
	file, diags := hclsyntax.ParseConfig([]byte(text), c.source.filename, start)
	if body, ok := file.Body.(*hclsyntax.Body); ok && !diags.HasErrors() {
		l := newLoader(c.source.filename, []byte(c.source.text), nil)
		for _, name := range []string{t.Source.Group, t.Destination.Group} {
			if set := p.groups[name]; set != nil {
				l.groups[name], l.groupBlocks[name] = &addressGroup{state: groupDone, set: set}, new(hclsyntax.Block)
			}
		}
		for _, b := range body.Blocks {
			if b.Type == "service" {
				l.serviceBlocks[b.Labels[0]] = b
			}
		}
		l.ruleBlocks(body, temporary, false)
		c.rules, diags = append(c.rules, l.policy.rules...), l.diags
	}
	if diags.HasErrors() {
		// The words of a pattern were checked, so this is a mistake of ours;
		// half a rule would be a worse one.
		return &describe.Error{Column: 1, Message: "this pattern makes no rule: " + diags.Error()}
	}
	return nil
}

// disjoint reports whether no packet has an address of each set.
func disjoint(a, b *classify.Addresses) bool {
	has := func(s *classify.Addresses) (v4, v6 bool) { return s == nil || len(s.V4) > 0, s == nil || len(s.V6) > 0 }
	a4, a6 := has(a)
	b4, b6 := has(b)
	return !(a4 && b4) && !(a6 && b6)
}
