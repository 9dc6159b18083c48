package tui

import (
	"cmp"
	"fmt"
	"path/filepath"
	"strings"

	"sttwall/control"
)

func ruleColumns(s *listing[control.RuleHits]) []column[control.RuleHits] {
	return append([]column[control.RuleHits]{
		{Key: "rule", Title: "RULE", Min: 8, Max: 40,
			Less: func(a, b *control.RuleHits) int { return cmp.Compare(a.Rule, b.Rule) },
			Cell: func(r *control.RuleHits) cell { return cell{r.Rule, toneStrong} }},
		{Key: "place", Title: "PLACE", Min: 8, Max: 30, Drop: 9,
			AsTheyCome: true, Less: func(a, b *control.RuleHits) int { return 0 },
			Cell: func(r *control.RuleHits) cell { return cell{placeText(r), toneDim} }},
	}, hitColumns(s)...)
}

// placeText says where a rule stands.
func placeText(r *control.RuleHits) string {
	if r.File == "" {
		return "temporary"
	}
	return fmt.Sprintf("%s:%d", filepath.Base(r.File), r.Line)
}

// tenantOf is the tenant of a rule's name, "" for rules of the platform owner.
func tenantOf(rule string) string {
	tenant, _, _ := strings.Cut(rule, "/")
	return tenant
}
