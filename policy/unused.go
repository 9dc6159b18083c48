package policy

import (
	"fmt"
	"slices"

	"github.com/hashicorp/hcl/v2"
	"github.com/hashicorp/hcl/v2/hclsyntax"
)

// Unused is a group or service that no rule uses, itself or through others.
type Unused struct {
	Name string    // "address_group.web"
	At   hcl.Range // of the block's header
}

// String writes it for an operator.
func (u Unused) String() string {
	return fmt.Sprintf("%s:%d: %s is used by no rule", u.At.Filename, u.At.Start.Line, u.Name)
}

// Unused returns the groups and services that no rule uses, in the order of the
// file. The slice is the policy's own.
func (p *Policy) Unused() []Unused { return p.unused }

// use notes that a rule, or the group or service under way, names another.
func (l *loader) use(kind, name string) {
	by := ""
	if n := len(l.path); n > 0 {
		by = kind + "." + l.path[n-1] // groups hold groups, and services services
	}
	name = kind + "." + name
	if !slices.Contains(l.uses[name], by) {
		l.uses[name] = append(l.uses[name], by)
	}
}

// unused finds what no rule reaches.
func (l *loader) unused(body *hclsyntax.Body) {
	reached := make(map[string]bool)
	var reach func(name string) bool
	reach = func(name string) bool {
		if name == "" {
			return true
		}
		if r, known := reached[name]; known {
			return r
		}
		reached[name] = false // a circle reaches nothing
		reached[name] = slices.ContainsFunc(l.uses[name], reach)
		return reached[name]
	}
	for _, b := range body.Blocks {
		if (b.Type == "address_group" || b.Type == "service") && len(b.Labels) == 1 {
			if name := b.Type + "." + b.Labels[0]; !reach(name) {
				l.policy.unused = append(l.policy.unused, Unused{name, b.DefRange()})
			}
		}
	}
}
