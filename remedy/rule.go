package remedy

import (
	"fmt"
	"regexp"
	"slices"
	"strings"

	"github.com/hashicorp/hcl/v2/hclwrite"

	"sttwall/firewall"
	"sttwall/policy"
	"sttwall/suggest"
)

// beforeTenants is the list of rules that all tenants' packets meet first.
const beforeTenants = "before_tenants"

// rule is the remedy for a packet that may begin a flow, and that a rule or the default
// drops: a rule, before that one or at the end of its tenant's.
func (f *finder) rule(q *firewall.Question) Remedy {
	x, err := firewall.ExplainFirst(f.policy, f.request.Now, q)
	if err != nil {
		return Remedy{Why: err.Error()}
	}
	d := &x.Decision
	list, rule, _ := strings.Cut(d.Rule, "/")
	if d.Rule != "" && list+"/" == policy.TemporaryPrefix {
		return Remedy{Why: fmt.Sprintf("the temporary rule %s drops it, before all others: `sttwall unblock %s` takes that away", rule, rule)}
	}
	text, isTenant := suggest.One(f.policy, q.ContextID, q.Frame)
	switch {
	case text != "":
	case q.Frame.ICMPError():
		return Remedy{Why: "no rule is for an ICMP error: it passes with the flow of the packet that it quotes, and there was none"}
	case q.Frame.Fragmented:
		return Remedy{Why: "a later inner fragment follows the verdict of its first one: look for that, which has the ports"}
	default:
		return Remedy{Why: "rules cannot name such a frame by itself"}
	}
	text = tagged(q, text)
	out := Remedy{Text: text, Why: "it accepts this service from this source to this destination"}
	if d.Audit {
		out.Why += ", so that it passes when audit mode ends, too"
	}
	switch {
	case isTenant:
		return f.newTenant(out, q)
	case list == beforeTenants:
		text = f.renamed(text, list)
		out.Text = between(q, text)
		out.Why += ". Beware: it is for all tenants, as is the rule that drops it, and goes before what their own rules say"
		if out.Text != text {
			out.Why += "; the outer endpoints keep it to the hosts of this one"
		}
		return f.inFront(out, d, list, rule, q)
	case d.RuleIndex >= 0 && list == d.Tenant:
		return f.inFront(out, d, list, rule, q)
	}
	out.Place = fmt.Sprintf("at the end of the block of tenant %q", d.Tenant)
	if f.file == nil {
		_, name := f.policy.Source()
		out.Place += ", " + name
		return f.try(out, edit{}, q)
	}
	tenant := block(f.file.body, "tenant", d.Tenant)
	if tenant == nil {
		return out
	}
	out.Place += ", " + f.file.at(tenant.CloseBraceRange.Start)
	return f.try(out, f.file.atEnd(tenant, out.Text), q)
}

// inFront puts a rule in front of the one that drops.
func (f *finder) inFront(out Remedy, d *policy.Decision, list, rule string, q *firewall.Question) Remedy {
	_, name, line := f.policy.RuleText(d.RuleIndex)
	does := d.Action
	if d.Audit {
		does = d.WouldBe
	}
	out.Place = fmt.Sprintf("in front of rule %q, which says %s, %s:%d", d.Rule, does, name, line)
	if f.file == nil {
		return f.try(out, edit{}, q)
	}
	of := block(f.file.body, list, "")
	if list != beforeTenants {
		of = block(f.file.body, "tenant", list)
	}
	b := in(of, "rule", rule)
	if b == nil {
		return out
	}
	return f.try(out, f.file.before(b, out.Text), q)
}

// between keeps a rule to frames from the outer source of the frame at hand to its outer
// destination, as far as they are known.
func between(q *firewall.Question, text string) string {
	more := ""
	if q.From.IsValid() {
		more += fmt.Sprintf("  from_endpoint = [%q]\n", q.From)
	}
	if q.To.IsValid() {
		more += fmt.Sprintf("  to_endpoint = [%q]\n", q.To)
	}
	return with(text, more)
}

// tagged keeps a rule to the VLAN of the frame at hand, if it has one.
func tagged(q *firewall.Question, text string) string {
	if in := q.Frame; in.TagCount > 0 && in.Tags[0]&0xfff != 0 {
		return with(text, fmt.Sprintf("  vlan = [%d]\n", in.Tags[0]&0xfff))
	}
	return text
}

// with adds lines to the end of a rule, or of the last rule of a tenant.
func with(text, lines string) string {
	end := strings.LastIndexByte(text, '}')
	if end >= 0 && strings.HasPrefix(text, "tenant") {
		end = strings.LastIndexByte(text[:end], '}')
	}
	if end < 0 || lines == "" {
		return text
	}
	return string(hclwrite.Format([]byte(text[:end] + lines + text[end:])))
}

var ruleName = regexp.MustCompile(`rule "([^"]*)"`)

// renamed gives a rule a name that is free in a list.
func (f *finder) renamed(text, list string) string {
	found := ruleName.FindStringSubmatchIndex(text)
	if found == nil {
		return text
	}
	names := f.policy.Rules()
	first := text[found[2]:found[3]]
	name := first
	for n := 2; slices.Contains(names, list+"/"+name); n++ {
		name = fmt.Sprintf("%s-%d", first, n)
	}
	return text[:found[2]] + name + text[found[3]:]
}

// newTenant is the remedy for a context ID that nobody claims.
func (f *finder) newTenant(out Remedy, q *firewall.Question) Remedy {
	_, name := f.policy.Source()
	out.Place = "a block of its own, at the end of " + name
	out.Why = fmt.Sprintf("no tenant claims context ID 0x%x: the block does, and its rule accepts this service from this source to this destination. "+
		"If it is a network of a tenant that is there, add the ID to that one's context_ids, or datapaths, instead", q.ContextID)
	if f.file == nil {
		return f.try(out, edit{}, q)
	}
	return f.try(out, f.file.atEnd(nil, out.Text), q)
}
