package analyze

import (
	"fmt"
	"strings"

	"sttwall/policy/space"
)

// Policy is all lists of a rules file. No two of them have a context in common.
type Policy struct {
	Lists     []List
	Unclaimed Verdict // for contexts that no list claims
	// Contexts are all that there are: their union. Empty stands for all numbers of
	// the plain layout.
	Contexts []space.Product
}

// Example is one packet: the value of each field.
type Example = space.Point

// Decision is what one of the two files says about a class of packets.
type Decision struct {
	Verdict
	Tenant string // "" if none claims the context
	Rule   Ref    // the zero Ref: no rule, the default of Tenant
	// Sometimes: it is so only while the condition of a partial rule holds, or
	// does not hold.
	Sometimes bool
	Condition string // of Rule; "" if it has none, or none is known
	// MoreTenants is how many tenants it is so for beside Tenant, by a rule that
	// they share in one of the files.
	MoreTenants int

	shared bool
}

// String returns the decision in words: "accept by acme/web (rules.hcl:12)".
func (d Decision) String() string {
	var b strings.Builder
	if d.Sometimes {
		b.WriteString("sometimes ")
	}
	fmt.Fprint(&b, d.Verdict)
	switch {
	case d.Rule != Ref{}:
		fmt.Fprintf(&b, " by %s", d.Rule)
	case d.Tenant != "":
		fmt.Fprintf(&b, " by the default of tenant %s", d.Tenant)
		if d.MoreTenants > 0 {
			fmt.Fprintf(&b, " and of %d more", d.MoreTenants)
		}
	default:
		b.WriteString(", as no tenant claims the context")
	}
	if d.Condition != "" {
		fmt.Fprintf(&b, ", %s", d.Condition)
	}
	return b.String()
}

// Change is a class of packets that the two files decide differently: those in
// any of Where that none of Except matches.
type Change struct {
	Where     []space.Product
	MoreWhere int   // products beside those in Where
	Except    []Ref // of either file
	More      int   // exceptions beside those in Except
	Old, New  Decision
	Example   Example // a packet of the class

	tenants map[string]bool // that the class was found for
}

// String describes the class and both verdicts in two lines.
func (c Change) String() string {
	const shownProducts = 3
	var parts []string
	for i, p := range c.Where {
		if i == shownProducts {
			break
		}
		parts = append(parts, p.String())
	}
	if n := len(c.Where) + c.MoreWhere - len(parts); n > 0 {
		parts = append(parts, fmt.Sprintf("%d more", n))
	}
	text := strings.Join(parts, "; and ")
	if len(c.Except) > 0 {
		text += "; except what " + names(c.Except)
		if c.More > 0 {
			text += fmt.Sprintf(" and %d more", c.More)
		}
		if len(c.Except)+c.More == 1 {
			text += " takes"
		} else {
			text += " take"
		}
	}
	return fmt.Sprintf("%s\n  %s -> %s", text, c.Old, c.New)
}

// Report is the result of [Compare].
type Report struct {
	Changes []Change
	More    int // classes beside those in Changes
	// Unknown are rules, of either file, whose effect was not found within the
	// budget. While it is not empty, packets may change their verdict that are in
	// no class.
	Unknown []Ref
}
