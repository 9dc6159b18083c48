package evasion

import (
	"strings"

	"sttwall/policy"
)

// RuleSet is what an attacked firewall enforces, and a plain reading of it that shares
// nothing with the rules engine.
type RuleSet struct {
	// Text is the rules file.
	Text string
	// Linux: no receiver is Windows.
	Linux bool
	// permits says why what a tenant gets is denied; "" if it is not.
	permits func(*reading) string
	// changes, if not nil, returns the inner frame of an STT frame with what the rules
	// change in it.
	changes func(frame []byte) []byte
}

// usual are the rules of scripts that name no others.
var usual = &RuleSet{Text: Rules, permits: (*reading).permitted}

// load returns the rules for an engine; rebuild has all frames encoded anew.
func (r *RuleSet) load(rebuild bool) (*policy.Policy, error) {
	text := r.Text
	if rebuild {
		text = strings.Replace(text, "settings {\n", "settings {\n  forward = \"rebuild\"\n", 1)
	}
	rules, diags := policy.Load("evasion.hcl", []byte(text))
	if diags.HasErrors() {
		return nil, diags
	}
	return rules, nil
}

// standing are rules that are in force from a time on, in ns.
type standing struct {
	from   int64
	set    *RuleSet
	policy *policy.Policy
}
