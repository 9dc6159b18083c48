package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/signal"
	"strings"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"
	"golang.org/x/sys/unix"

	"sttwall/control"
	"sttwall/tui"
)

// screenFlags are the flags of the live screen.
type screenFlags struct {
	theme, screen string
	only          filterFlag
}

func (f *screenFlags) add(flags *pflag.FlagSet) {
	flags.StringVar(&f.theme, "theme", tui.ThemeAuto, "`theme`: "+tui.ThemeAuto+", "+strings.Join(tui.Themes, ", ")+"; okabe-ito is for the colour-blind")
	flags.StringVar(&f.screen, "screen", "", "`screen` to begin with: "+strings.Join(tui.ScreenTitles(), ", "))
	f.only.add(flags, "flows and frames")
}

// config checks the flags.
func (f *screenFlags) config() (tui.Config, error) {
	c := tui.Config{Theme: f.theme, Screen: f.screen, Filter: f.only.text}
	return c, c.Check()
}

func newTopCommand(s streams) *cobra.Command {
	var (
		where controlFlag
		look  screenFlags
	)
	cmd := &cobra.Command{
		Use:   "top",
		Short: "Watch the running firewall live",
		Long: "top shows flows, tenants, rules, drops and health of a running firewall, once a second, until q. The keys\n" +
			"that work stand at the bottom, ? lists all of them. It asks over the control\n" +
			"socket, and changes nothing, unless you have it read the rules again on the screen of the rules.",
		Example: "  sttwall top\n  sttwall top --screen flows --filter 'tenant:acme not accept'",
		Args:    arguments(cobra.NoArgs),
		RunE: func(cmd *cobra.Command, _ []string) error {
			c, err := look.config()
			if err != nil {
				return usageError{err}
			}
			if err := canWatch(s); err != nil {
				return err
			}
			return where.ask(cmd.Context(), func(ctx context.Context, client *control.Client) error {
				c.Firewall, c.Where = client, where.path
				return watchLive(ctx, s, c)
			})
		},
	}
	where.add(cmd.Flags())
	look.add(cmd.Flags())
	return cmd
}

// canWatch says why the live screen cannot be shown.
func canWatch(s streams) error {
	if !terminal(s.out) || !terminal(s.in) {
		return errors.New("the live screen needs a terminal: 'sttwall stats --watch', 'flows', 'drops' and 'events' write text")
	}
	if err := tui.Capable(os.Environ()); err != nil {
		return fmt.Errorf("%w: 'sttwall stats --watch', 'flows', 'drops' and 'events' write plain text", err)
	}
	return nil
}

// watchLive shows the live screen on the terminal of s until the user leaves it, or
// SIGHUP comes: then too the terminal is left as it was.
func watchLive(ctx context.Context, s streams, c tui.Config) error {
	c.Input, c.Output = s.in, s.out
	if !signal.Ignored(unix.SIGHUP) { // as nohup has it
		var stop context.CancelFunc
		ctx, stop = signal.NotifyContext(ctx, unix.SIGHUP)
		defer stop()
	}
	err := tui.Run(ctx, c)
	if errors.Is(err, tui.ErrInterrupted) {
		return nil
	}
	return err
}
