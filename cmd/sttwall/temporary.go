package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/user"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"sttwall/control"
	"sttwall/policy"
)

// defaultState is where `run` keeps temporary rules unless told otherwise: the
// folder is root's.
func defaultState() string {
	if os.Geteuid() != 0 {
		return ""
	}
	return "/var/lib/sttwall/temporary.json"
}

// temporaryFlags are those of block and allow.
type temporaryFlags struct {
	where  controlFlag
	ask    control.TemporaryRequest
	asJSON bool
}

func (f *temporaryFlags) add(flags *pflag.FlagSet) {
	f.where.add(flags)
	flags.StringVar(&f.ask.For, "for", "", "how long: a `time` such as 10m, 1h30m or 2d, to 30d (required)")
	flags.StringVar(&f.ask.Name, "name", "", "a `name` for the rule (default t1, t2, ...)")
	flags.StringVar(&f.ask.Comment, "comment", "", "one line of `text` for who reads the list")
	flags.BoolVar(&f.asJSON, "json", false, "write JSON")
}

const temporaryHelp = "The rule goes before all others, is listed by 'sttwall temporary', and is gone when its time is over or at\n" +
	"'sttwall unblock'. docs/packets.md says how patterns are written; quote them, or the shell takes '>' for itself."

func newBlockCommand(s streams) *cobra.Command {
	var (
		flags  temporaryFlags
		reject bool
	)
	cmd := &cobra.Command{
		Use:   "block PATTERN --for TIME",
		Short: "Stop packets for a time, in the running firewall",
		Long: "block drops the packets that a pattern describes, at once: flows that it denies end. It does so in audit\n" +
			"mode too. " + temporaryHelp,
		Example: "  sttwall block 'tenant:acme tcp 10.1.9.9 > any:443' --for 1h\n" +
			"  sttwall block 'tenant:acme 10.1.9.9 <> any' --for 2d --name infected \\\n" +
			"    --comment 'ticket 4711'",
		Args: oneQuoted("pattern"),
		RunE: func(cmd *cobra.Command, args []string) error {
			flags.ask.Action = "drop"
			if reject {
				flags.ask.Action = "reject"
			}
			return flags.set(cmd.Context(), s, args[0])
		},
	}
	flags.add(cmd.Flags())
	cmd.Flags().BoolVar(&reject, "reject", false, "answer the sender: a TCP RST or an ICMP error")
	return cmd
}

func newAllowCommand(s streams) *cobra.Command {
	var flags temporaryFlags
	cmd := &cobra.Command{
		Use:   "allow PATTERN --for TIME",
		Short: "Let packets pass for a time, in the running firewall",
		Long: "allow accepts the flows that begin with the packets that a pattern describes; when its time is over they end, unless\n" +
			"other rules allow them. It opens nothing that is refused before the rules: broken packets, foreign endpoints.\n" +
			temporaryHelp,
		Example: "  sttwall allow 'tenant:acme tcp 10.1.9.9 > 10.1.0.22:22' --for 30m",
		Args:    oneQuoted("pattern"),
		RunE: func(cmd *cobra.Command, args []string) error {
			flags.ask.Action = "accept"
			return flags.set(cmd.Context(), s, args[0])
		},
	}
	flags.add(cmd.Flags())
	return cmd
}

func (f *temporaryFlags) set(ctx context.Context, s streams, pattern string) error {
	if f.ask.For == "" {
		return usageError{errors.New("--for is missing: how long?")}
	}
	f.ask.Pattern = pattern
	return f.where.ask(ctx, func(ctx context.Context, c *control.Client) error {
		done, err := c.SetTemporary(ctx, f.ask)
		if err != nil {
			return err
		}
		if f.asJSON {
			return newLines(s.out).Encode(done)
		}
		r := done.Rules[0]
		what := map[string]string{"accept": "pass", "drop": "are dropped", "reject": "are rejected"}[r.Action]
		fmt.Fprintf(s.out, "%s: packets of '%s' %s for %s, until %s; %s\n", r.Name, r.Pattern, what, f.ask.For,
			clockText(r.Expires), flowsEnded(done.FlowsEnded))
		if !done.Kept {
			fmt.Fprintln(s.err, "It does not outlast a restart of the firewall, which has no --state.")
		}
		return nil
	})
}

func flowsEnded(n int) string {
	return counted(n, "flow") + " ended"
}

// leftText writes seconds as people do: whole ones, and at least one, since a rule
// that is there has some left.
func leftText(seconds float64) string {
	d := max(time.Second, time.Duration(seconds*float64(time.Second)).Truncate(time.Second))
	text := ""
	if days := d / (24 * time.Hour); days > 0 {
		text, d = fmt.Sprintf("%dd", days), d%(24*time.Hour)
		if d == 0 {
			return text
		}
	}
	text += d.String()
	if d%time.Hour == 0 {
		return strings.TrimSuffix(text, "0m0s")
	}
	if d%time.Minute == 0 {
		return strings.TrimSuffix(text, "0s")
	}
	return text
}

func newUnblockCommand(s streams) *cobra.Command {
	var (
		where  controlFlag
		asJSON bool
	)
	cmd := &cobra.Command{
		Use:     "unblock NAME...",
		Short:   "Take temporary rules away, blocks and allows",
		Long:    "unblock takes temporary rules out of the running firewall, all that are named or none. A number N is short for tN.",
		Example: "  sttwall unblock infected\n  sttwall unblock 3 4",
		Args: arguments(func(_ *cobra.Command, args []string) error {
			if len(args) == 0 {
				return errors.New("name a temporary rule: 'sttwall temporary' lists them")
			}
			for _, name := range args {
				if !policy.ValidName(name) && (name == "" || strings.Trim(name, "0123456789") != "") {
					return fmt.Errorf("%q is the name of no rule", name)
				}
			}
			return nil
		}),
		RunE: func(cmd *cobra.Command, args []string) error {
			return where.ask(cmd.Context(), func(ctx context.Context, c *control.Client) error {
				done, err := c.RemoveTemporary(ctx, args...)
				if err != nil {
					return err
				}
				if asJSON {
					return newLines(s.out).Encode(done)
				}
				for _, r := range done.Rules {
					fmt.Fprintf(s.out, "%s '%s' is removed, %s before its time\n", r.Name, r.Pattern, leftText(r.Left))
				}
				fmt.Fprintln(s.out, flowsEnded(done.FlowsEnded))
				return nil
			})
		},
	}
	where.add(cmd.Flags())
	cmd.Flags().BoolVar(&asJSON, "json", false, "write JSON")
	return cmd
}

func newTemporaryCommand(s streams) *cobra.Command {
	return listing[control.TemporaryRule]{
		name: "temporary", short: "List the temporary rules of the running firewall",
		long: "temporary lists the rules that 'block' and 'allow' have set, in the order in which they are tried: the newest\n" +
			"first, each with the time that it has left, what it has decided so far, and who has set it.",
		ask: func(ctx context.Context, c *control.Client) ([]control.TemporaryRule, error) {
			list, err := c.Temporary(ctx)
			return list.Rules, err
		},
		head: []any{"NAME", "ACTION", "LEFT", "FRAMES", "FLOWS", "LAST HIT", "BY", "PATTERN", "COMMENT"},
		row: func(r *control.TemporaryRule) []any {
			comment := r.Comment
			if r.Inactive != "" {
				comment = strings.TrimPrefix(comment+"; NOT IN FORCE: "+r.Inactive, "; ")
			}
			last := ""
			if r.Last != nil {
				last = clockText(*r.Last)
			}
			return []any{r.Name, r.Action, leftText(r.Left), r.Frames, r.Flows, last, userName(r.UID), r.Pattern, comment}
		},
	}.command(s)
}

func userName(uid int) string {
	if u, err := user.LookupId(strconv.Itoa(uid)); err == nil {
		return u.Username
	}
	return strconv.Itoa(uid)
}
