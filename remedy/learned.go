package remedy

import (
	"fmt"

	"sttwall/reason"
)

// learned is the remedy for a claim that was learned at another endpoint: a binding
// that declares it.
func (f *finder) learned() Remedy {
	from := f.request.From
	d, found := f.policy.Find(f.request.ContextID)
	if !found || !from.IsValid() || !f.frame.Src.IsValid() {
		return none(reason.BindingLearned)
	}
	name := f.freeBinding(d.Tenant)
	out := Remedy{
		Text:  fmt.Sprintf("binding %q {\n  endpoints = [%q]\n  addresses = [%q]\n}\n", name, from, f.frame.Src),
		Place: fmt.Sprintf("in the anti_spoof block of tenant %q", d.Tenant),
		Why: fmt.Sprintf("%s lives behind another endpoint, as was learned. If the guest has moved nothing is to do: it is let move when its old endpoint has been silent for "+
			"move_after, or when it announces itself. The binding says that it lives behind %s, and from then on nowhere else", f.frame.Src, from),
	}
	if f.file == nil {
		return f.try(out, edit{}, &f.question)
	}
	b := in(block(f.file.body, "tenant", d.Tenant), "anti_spoof", "")
	if b == nil {
		return out
	}
	out.Place += ", " + f.file.at(b.DefRange().Start)
	return f.try(out, f.file.atEnd(b, out.Text), &f.question)
}

// freeBinding is a name that no binding of the tenant has.
func (f *finder) freeBinding(tenant string) string {
	for n := 1; ; n++ {
		name := fmt.Sprintf("moved-%d", n)
		if f.file == nil || in(in(block(f.file.body, "tenant", tenant), "anti_spoof", ""), "binding", name) == nil {
			return name
		}
	}
}
