package main

import (
	"errors"
	"fmt"
	"io"

	"github.com/spf13/cobra"

	"sttwall/nfq"
	"sttwall/policy"
)

// installBoot installs the table for the time before a firewall runs. args are flags of
// `run`, nil where there are none. What is wrong with them or with the rules is returned,
// and a table is installed all the same: where the rules do not load it drops STT at its
// usual port, and where bridges cannot be had at the other hooks.
func installBoot(s streams, cmd *cobra.Command, rules string, inline *inlineFlags, args []string) error {
	for _, flag := range []string{"iptables", "queue", "queues", "fail-open"} {
		if cmd.Flags().Changed(flag) {
			return usageError{fmt.Errorf("--boot and --%s: its table sends nothing to a queue", flag)}
		}
	}
	var wish bootWish
	var wrong error
	if args == nil {
		config, err := inline.config()
		if err != nil {
			return usageError{err}
		}
		wish.table = config
	} else {
		for _, flag := range []string{"hook", "other-tunnels"} {
			if cmd.Flags().Changed(flag) {
				return usageError{fmt.Errorf("--%s: with flags of 'sttwall run' behind '--' it belongs there", flag)}
			}
		}
		wish, wrong = wishOf(args)
	}
	if wish.none != "" {
		fmt.Fprintf(s.out, "no table is installed: %s\n", wish.none)
		return wrong
	}
	if wish.rules != "" {
		rules = wish.rules
	}
	settings := policy.Settings{STTPorts: []uint16{policy.DefaultSTTPort}}
	var unread error
	if rules != "" {
		p, err := loadPolicy(s, rules)
		if err == nil {
			settings = p.Settings()
		}
		unread = err
	}
	installed, err := nfq.InstallBootTable(wish.table.TableConfig(settings))
	if err != nil && wish.table.Hooks.Has(nfq.HookBridge) {
		unbridged := wish.table
		unbridged.Hooks = unbridged.Hooks&^nfq.HooksOf(nfq.HookBridge) | nfq.HooksOf(nfq.HookPrerouting)
		if there, other := nfq.InstallBootTable(unbridged.TableConfig(settings)); other == nil {
			wish.table, installed, wrong, err = unbridged, there, errors.Join(wrong, fmt.Errorf("%w: bridges pass STT", err)), nil
		}
	}
	if err == nil && !installed {
		io.WriteString(s.out, "there is a table already: it stays\n")
	}
	const again = "then 'sttwall nft --remove' and this again"
	if installed && wrong != nil {
		fmt.Fprintf(s.err, "the table drops STT at %v all the same: mend what is wrong, %s\n", wish.table.Hooks, again)
	}
	if installed && unread != nil {
		fmt.Fprintf(s.err, "the table drops STT at port %d alone: mend the rules file, %s\n", policy.DefaultSTTPort, again)
	}
	return errors.Join(err, wrong, unread)
}
