package remedy

import (
	"fmt"
	"net/netip"
	"strconv"

	"github.com/hashicorp/hcl/v2/hclsyntax"

	"sttwall/firewall"
	"sttwall/policy"
	"sttwall/reason"
)

// unknownEndpoint is the remedy for an outer source that may not send at all.
func (f *finder) unknownEndpoint() Remedy {
	from := f.request.From
	out := Remedy{Why: fmt.Sprintf("%s may send STT then. Is it an endpoint of yours? Whoever can send may claim any tenant that is not bound to endpoints", from)}
	e, ok := f.entry(&out, "settings", block0(f.file, "settings"), from)
	if !ok {
		return out
	}
	if len(f.request.Data) == 0 || f.read() != reason.None {
		next, _ := policy.Load(f.file.name, []byte(f.file.with(e)))
		out.Tried = next != nil && !foreign(next, from)
		out.Why += ". What the rules say about the frame is another question: its inner frame is not known"
		return out
	}
	if next, _ := policy.Load(f.file.name, []byte(f.file.with(e))); next != nil && !foreign(next, from) && !passes(next, f.request.Now, &f.question) {
		out.Why += ". Then the rules drop the frame all the same: ask again about it"
		return out
	}
	return f.try(out, e, &f.question)
}

// foreignToTenant is the remedy for an outer source that may not send for its tenant.
func (f *finder) foreignToTenant(d *policy.Decision) Remedy {
	out := Remedy{Why: fmt.Sprintf("%s may carry frames of tenant %s then", f.request.From, d.Tenant)}
	var tenant *hclsyntax.Block
	if f.file != nil {
		tenant = block(f.file.body, "tenant", d.Tenant)
	}
	e, ok := f.entry(&out, "tenant "+strconv.Quote(d.Tenant), tenant, f.request.From)
	if !ok {
		return out
	}
	return f.after(out, e, d)
}

// after tries an edit out that lets the frame come as far as the rules.
func (f *finder) after(out Remedy, e edit, was *policy.Decision) Remedy {
	next, _ := policy.Load(f.file.name, []byte(f.file.with(e)))
	if next != nil && !passes(next, f.request.Now, &f.question) {
		if x, err := firewall.ExplainFirst(next, f.request.Now, &f.question); err == nil && x.Decision.Reason != was.Reason {
			out.Why += fmt.Sprintf(". Then it is still not accepted (%s): ask again about it", x.Decision.Reason)
			return out
		}
	}
	return f.try(out, e, &f.question)
}

// entry adds an address to the endpoints of a block.
func (f *finder) entry(out *Remedy, what string, b *hclsyntax.Block, from netip.Addr) (e edit, ok bool) {
	out.Text = strconv.Quote(from.String())
	out.Place = "in the endpoints of " + what
	if f.file == nil || b == nil {
		_, name := f.policy.Source()
		out.Place += ", " + name
		out.Why += ". It was not tried out"
		return e, false
	}
	a := b.Body.Attributes["endpoints"]
	if a == nil {
		out.Place += ", " + f.file.at(b.DefRange().Start)
		out.Why += ". It was not tried out"
		return e, false
	}
	e, line, plain := f.file.list(a, out.Text)
	if !plain {
		out.Place += ", " + f.file.at(a.NameRange.Start)
		out.Why += ". It was not tried out: the list is computed"
		return e, false
	}
	out.Text = line
	out.Place = fmt.Sprintf("in place of the endpoints of %s, %s", what, f.file.at(a.NameRange.Start))
	return e, true
}

// block0 returns a block of the file, which may be nil.
func block0(f *file, kind string) *hclsyntax.Block {
	if f == nil {
		return nil
	}
	return block(f.body, kind, "")
}

// declared is the remedy for a claim that is declared for other endpoints.
func (f *finder) declared(d *policy.Decision) Remedy {
	k := policy.Packet{ContextID: f.request.ContextID, Frame: &f.frame, From: f.request.From, To: f.request.To, Peek: true}
	bindings, claim := f.policy.Declarations(&k)
	if len(bindings) == 0 || !f.request.From.IsValid() {
		return none(reason.BindingDeclared)
	}
	name := bindings[0]
	out := Remedy{Why: fmt.Sprintf("%s is declared for other endpoints: then it may come from %s too. Has the guest moved? If not, somebody behind %s forges it, and the drop is right",
		claim, f.request.From, f.request.From)}
	var b *hclsyntax.Block
	if f.file != nil {
		b = in(in(block(f.file.body, "tenant", d.Tenant), "anti_spoof", ""), "binding", name)
	}
	e, ok := f.entry(&out, "binding "+strconv.Quote(name), b, f.request.From)
	if !ok {
		return out
	}
	return f.after(out, e, d)
}
