package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"sttwall/control"
	"sttwall/describe"
	"sttwall/firewall"
	"sttwall/policy"
	"sttwall/reason"
)

func newExplainCommand(s streams) *cobra.Command {
	var (
		rules, id, at   string
		running, asJSON bool
		where           controlFlag
		captured        captureFlags
	)
	cmd := &cobra.Command{
		Use:   "explain {--context ID PACKET | --pcap FILE --frame N}",
		Short: "Say which rule decides about a packet, and why the others do not",
		Long: "explain decides about one inner packet and shows the tenant, every rule that was tried with the first\n" +
			"condition that failed, and the decision. docs/packets.md says how packets are described.\n\n" +
			"With --rules a file decides, and it is the first packet that its firewall sees. Without, the running firewall is\n" +
			"asked: its rules, the flow that the packet belongs to, and the limits as they are now. Nothing changes by it.\n\n" +
			"With --pcap and --frame it is a packet of a capture, by its number as tshark shows it, and the STT frame\n" +
			"that it is a part of: what is before it in the capture goes through the firewall first, so that the\n" +
			"flows are those that there would be.",
		Example: "  sttwall explain --context 100 'tcp 10.0.0.1:40000 > 10.0.0.2:443 syn'\n" +
			"  sttwall explain --rules rules.hcl --context 0x64 --at 2026-12-24T08:00:00Z \\\n" +
			"    'udp 10.0.0.1:5000 > 10.0.0.53:53 from 10.47.1.1'\n" +
			"  sttwall explain --rules rules.hcl --pcap tunnel.pcap --frame 17",
		Args: captured.arguments,
		RunE: func(cmd *cobra.Command, args []string) error {
			switch {
			case captured.asked():
				return captured.explain(cmd.Context(), s, rules, asJSON)
			case id == "":
				return usageError{errors.New("--context is missing")}
			case running && rules != "":
				return usageError{errors.New("--running and --rules: either the running firewall decides, or a file")}
			case rules == "" && at != "":
				return usageError{errors.New("--at: the running firewall has the time of now; give --rules too")}
			}
			contextID, err := control.ParseContextID(id)
			if err != nil {
				return usageError{fmt.Errorf("--context: %w", err)}
			}
			packet, err := describe.Parse(args[0])
			if err != nil {
				return usageError{fmt.Errorf("packet: %w", err)}
			}
			if rules == "" {
				return where.ask(cmd.Context(), func(ctx context.Context, c *control.Client) error {
					x, err := c.Explain(ctx, control.ExplainRequest{Context: contextID, Packet: args[0]})
					if err != nil {
						return err
					}
					return showExplanation(s.out, &x, asJSON)
				})
			}
			wall := time.Now()
			if at != "" {
				if wall, err = time.Parse(time.RFC3339, at); err != nil || wall.Year() < 1970 || wall.Year() > 2200 {
					return usageError{fmt.Errorf("--at %q: want a time such as 2026-12-24T08:00:00Z, from 1970 to 2200", at)}
				}
			}
			p, err := loadPolicy(s, rules)
			if err != nil {
				return err
			}
			from, to := p.OuterEndpoints(&policy.Step{ContextID: uint64(contextID), Packet: packet})
			if from.Is4() != to.Is4() {
				return usageError{fmt.Errorf("packet: from %s to %s: want two IPv4 or two IPv6 addresses", from, to)}
			}
			x := control.ForeignEndpoint(p, from)
			if x == nil {
				found, err := firewall.ExplainFirst(p, wall.UnixNano(), &firewall.Question{
					ContextID: uint64(contextID), Frame: &packet.Frame, Data: packet.Data, From: from, To: to,
				})
				if err != nil {
					return err
				}
				explained := control.Explained(found.Rules, &found.Decision)
				if d := &found.Decision; d.Reason == reason.StateInvalid || d.Audit && d.Would == reason.StateInvalid {
					explained.Default = "the packet belongs to no flow and cannot begin one: " + reason.StateInvalid.String()
				}
				x = &explained
			}
			return showExplanation(s.out, x, asJSON)
		},
	}
	flags := cmd.Flags()
	flags.StringVar(&rules, "rules", "", "rules `file`; without, the running firewall decides")
	flags.BoolVar(&running, "running", false, "ask the running firewall; the default without --rules")
	where.add(flags)
	flags.StringVar(&id, "context", "", "context `ID` of the frame, decimal or 0x (required)")
	flags.StringVar(&at, "at", "", "`time` of the packet, RFC 3339 (default now)")
	flags.BoolVar(&asJSON, "json", false, "write JSON")
	captured.add(flags)
	return cmd
}

func showExplanation(w io.Writer, x *control.Explanation, asJSON bool) error {
	if asJSON {
		encoder := newLines(w)
		encoder.SetIndent("", "  ")
		return encoder.Encode(x)
	}
	_, err := io.WriteString(w, explanationText(x))
	return err
}

func explanationText(x *control.Explanation) string {
	var out strings.Builder
	fmt.Fprint(&out, x.Tenant)
	if x.Claim != "" {
		fmt.Fprintf(&out, " (%s)", x.Claim)
	}
	fmt.Fprintln(&out)
	for _, b := range x.Bindings {
		fmt.Fprintf(&out, "  %s\n", b)
	}
	if x.Live != nil {
		out.WriteString(liveText(x.Live))
	}
	for i := range x.Rules {
		fmt.Fprintf(&out, "  %s\n", stepText(&x.Rules[i]))
	}
	if x.Default != "" {
		fmt.Fprintf(&out, "  %s\n", x.Default)
	}
	by := ""
	if x.Rule != "" {
		by = " by " + x.Rule
	}
	switch {
	case x.Audit:
		fmt.Fprintf(&out, "accept%s: audit mode; else %s (%s)\n", by, x.WouldBe, x.Would)
	case x.Reason == "":
		fmt.Fprintf(&out, "accept%s\n", by)
	default:
		fmt.Fprintf(&out, "%s%s: %s\n", x.Action, by, x.Reason)
	}
	return out.String()
}

// stepText says whether a rule matches, and why not.
func stepText(r *control.RuleStep) string {
	where := fmt.Sprintf("%s:%d %s", r.File, r.Line, r.Rule)
	if r.Pattern != "" {
		where = fmt.Sprintf("%s '%s'", r.Rule, r.Pattern)
	}
	switch {
	case r.Matched:
		return where + ": matches"
	case r.Want != "":
		return fmt.Sprintf("%s: no: %s = %s, but the packet is %s", where, r.Condition, r.Want, r.Got)
	}
	return fmt.Sprintf("%s: no: %s: the packet is %s", where, r.Condition, r.Got)
}

// liveText says what flows have to do with it.
func liveText(l *control.Live) string {
	var out strings.Builder
	fmt.Fprintf(&out, "  taken to come from endpoint %s and go to %s\n", l.From, l.To)
	if f := l.Flow; f != nil {
		by := "by the default"
		if f.Rule != "" {
			by = "by " + f.Rule
		}
		src, dst := ends(&f.Inner)
		fmt.Fprintf(&out, "  there is a flow: %s %s > %s, %s, %s %s, between endpoints %s and %s\n", f.Protocol, src, dst, f.State, f.Verdict, by, f.From, f.To)
	}
	if l.NumbersTaken {
		fmt.Fprintln(&out, "  its TCP numbers are taken to be those that the flow expects next")
	}
	switch {
	case l.Belongs:
		fmt.Fprintf(&out, "  the packet belongs to it (%s)\n", l.State)
	case l.State == "stale":
		fmt.Fprintln(&out, "  the rules that are in force now end it")
	case l.State == "other_context":
		fmt.Fprintln(&out, "  the rules do not accept the flow with this context ID")
	case l.Flow != nil:
		fmt.Fprintln(&out, "  the packet does not belong to it")
	case l.Begins:
		fmt.Fprintln(&out, "  there is no flow; the packet would begin one")
	default:
		fmt.Fprintf(&out, "  there is no flow (%s)\n", l.State)
	}
	if l.OfFlow {
		fmt.Fprintln(&out, "  the rules, for the first packet of the flow:")
	}
	return out.String()
}
