package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"strconv"
	"time"

	"github.com/spf13/cobra"

	"sttwall/describe"
	"sttwall/policy"
)

func newExplainCommand(s streams) *cobra.Command {
	var (
		rules, context, at string
		asJSON             bool
	)
	cmd := &cobra.Command{
		Use:   "explain --rules FILE --context ID PACKET",
		Short: "Say which rule decides about a packet, and why the others do not",
		Long: "explain decides about one inner packet, as the first of its flow, and shows the tenant, every rule\n" +
			"that was tried with the first condition that failed, and the decision. docs/packets.md says how\n" +
			"packets are described.",
		Example: "  sttwall explain --rules rules.hcl --context 100 'tcp 10.0.0.1:40000 > 10.0.0.2:443 syn'\n" +
			"  sttwall explain --rules rules.hcl --context 0x64 --at 2026-12-24T08:00:00Z 'udp 10.0.0.1:5000 > 10.0.0.53:53 from 10.47.1.1'",
		Args: arguments(cobra.ExactArgs(1)),
		RunE: func(_ *cobra.Command, args []string) error {
			if rules == "" || context == "" {
				return usageError{errors.New("--rules and --context are needed")}
			}
			id, err := strconv.ParseUint(context, 0, 64)
			if err != nil {
				return usageError{fmt.Errorf("--context %q: want a number of 64 bits, such as 100 or 0x64", context)}
			}
			wall := time.Now()
			if at != "" {
				if wall, err = time.Parse(time.RFC3339, at); err != nil {
					return usageError{fmt.Errorf("--at %q: want a time such as 2026-12-24T08:00:00Z", at)}
				}
			}
			packet, err := describe.Parse(args[0])
			if err != nil {
				return usageError{fmt.Errorf("packet: %w", err)}
			}
			p, err := loadPolicy(s, rules)
			if err != nil {
				return err
			}
			x := p.Explain(&policy.Packet{ContextID: id, Frame: &packet.Frame, From: packet.From, To: packet.To, Wall: wall.Unix()})
			if asJSON {
				encoder := json.NewEncoder(s.out)
				encoder.SetIndent("", "  ")
				return encoder.Encode(explained(x))
			}
			writeExplanation(s, x)
			return nil
		},
	}
	flags := cmd.Flags()
	flags.StringVar(&rules, "rules", "", "rules `file` (required)")
	flags.StringVar(&context, "context", "", "context `ID` of the frame, decimal or 0x (required)")
	flags.StringVar(&at, "at", "", "`time` of the packet, RFC 3339 (default now)")
	flags.BoolVar(&asJSON, "json", false, "write JSON")
	return cmd
}

func writeExplanation(s streams, x *policy.Explanation) {
	fmt.Fprintln(s.out, x.Tenant)
	for _, r := range x.Rules {
		where := fmt.Sprintf("%s:%d %s", r.File, r.Line, r.Rule)
		switch {
		case r.Matched:
			fmt.Fprintf(s.out, "  %s: matches\n", where)
		case r.Want != "":
			fmt.Fprintf(s.out, "  %s: no: %s = %s, but the packet is %s\n", where, r.Condition, r.Want, r.Got)
		default:
			fmt.Fprintf(s.out, "  %s: no: %s: the packet is %s\n", where, r.Condition, r.Got)
		}
	}
	if x.Default != "" {
		fmt.Fprintf(s.out, "  %s\n", x.Default)
	}
	fmt.Fprintf(s.out, "%s\n", decisionText(&x.Decision))
}

func decisionText(d *policy.Decision) string {
	by := ""
	if d.Rule != "" {
		by = " by " + d.Rule
	}
	switch {
	case d.Audit:
		return fmt.Sprintf("accept%s: audit mode; else %s (%s)", by, d.WouldBe, d.Would)
	case d.Action == policy.Accept:
		return "accept" + by
	}
	return fmt.Sprintf("%s%s: %s", d.Action, by, d.Reason)
}

// explained is an explanation as JSON.
func explained(x *policy.Explanation) any {
	type step struct {
		Rule      string `json:"rule"`
		File      string `json:"file"`
		Line      int    `json:"line"`
		Matched   bool   `json:"matched"`
		Condition string `json:"condition,omitempty"`
		Want      string `json:"want,omitempty"`
		Got       string `json:"got,omitempty"`
	}
	out := struct {
		Tenant  string `json:"tenant"`
		Rules   []step `json:"rules"`
		Default string `json:"default,omitempty"`
		Action  string `json:"action"`
		Reason  string `json:"reason,omitempty"`
		Audit   bool   `json:"audit"`
		Rule    string `json:"rule,omitempty"`
	}{Tenant: x.Tenant, Rules: []step{}, Default: x.Default, Action: x.Decision.Action.String(), Audit: x.Decision.Audit, Rule: x.Decision.Rule}
	if x.Decision.Reason != 0 {
		out.Reason = x.Decision.Reason.String()
	}
	for _, r := range x.Rules {
		out.Rules = append(out.Rules, step(r))
	}
	return out
}
