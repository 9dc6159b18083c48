package main

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"github.com/spf13/cobra"

	"sttwall/control"
)

func newEventsCommand(s streams) *cobra.Command {
	var (
		where  controlFlag
		only   filterFlag
		asJSON bool
		follow bool // is what it does in any case
	)
	cmd := &cobra.Command{
		Use:   "events",
		Short: "Follow what the running firewall drops and lets begin",
		Long: "events shows, until ^C, each frame that is dropped or rejected, that only audit mode lets pass, that begins a\n" +
			"flow, or that a rule with log = true decides; and reloads. If more happens than is read, events are lost,\n" +
			"which is said; packets do not wait for it.",
		Example: "  sttwall events --filter 'tenant:acme not event:flow'",
		Args:    arguments(cobra.NoArgs),
		RunE: func(cmd *cobra.Command, _ []string) error {
			return where.ask(cmd.Context(), func(ctx context.Context, c *control.Client) error {
				lines := newLines(s.out)
				err := c.Events(ctx, only.text, func(e *control.Event) (err error) {
					if asJSON {
						return lines.Encode(e)
					}
					_, err = fmt.Fprintln(s.out, eventText(e))
					return err
				})
				if errors.Is(err, context.Canceled) {
					return nil // ^C: all is well
				}
				return err
			})
		},
	}
	flags := cmd.Flags()
	where.add(flags)
	only.add(flags, "those")
	flags.BoolVarP(&follow, "follow", "f", true, "follow, which it does without this flag too: for those who type it by habit")
	flags.BoolVar(&asJSON, "json", false, "write a line of JSON for each")
	return cmd
}

// eventText is an event in one line.
func eventText(e *control.Event) string {
	words := []string{e.Time.Local().Format("15:04:05.000"), e.Type}
	add := func(format string, args ...any) { words = append(words, fmt.Sprintf(format, args...)) }
	switch e.Type {
	case control.EventLost:
		add("%d events: this reader is too slow", e.Count)
		return strings.Join(words, " ")
	case control.EventReload:
		if e.Error != "" {
			add("refused: %s", e.Error)
		} else {
			add("%s; %s", rulesText(e.Tenants, e.Rules), flowsEnded(e.FlowsEnded))
		}
		return strings.Join(words, " ")
	}
	if e.Tenant != "" {
		add("%s", e.Tenant)
	} else if e.Context != nil {
		add("context %s", e.Context)
	}
	switch src, dst := ends(&e.Inner); {
	case e.Protocol != "":
		add("%s %s > %s", e.Protocol, src, dst)
	case e.EtherType != "":
		add("ethertype %s", e.EtherType)
	}
	if e.ICMPType != nil {
		add("type %d code %d", *e.ICMPType, *e.ICMPCode)
	}
	add("from %s to %s, %d bytes", e.From, e.To, e.Bytes)
	for _, m := range e.Moved {
		add("%s %s was at %s, move %d", m.Kind, m.Value, m.Before, m.Moves)
	}
	if s := e.Spoofed; s != nil && s.LivesAt.IsValid() {
		add("%s %s lives at %s", s.Kind, s.Value, s.LivesAt)
	} else if s != nil {
		add("%s %s is declared for others", s.Kind, s.Value)
	}
	if e.Rule != "" {
		add("by %s", e.Rule)
	}
	line := strings.Join(words, " ")
	if e.Reason != "" {
		line += ": " + e.Reason
	}
	return line
}
