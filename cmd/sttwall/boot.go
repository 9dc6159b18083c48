package main

import (
	"errors"
	"fmt"
	"io"

	"github.com/spf13/cobra"

	"sttwall/nfq"
	"sttwall/policy"
)

// installBoot installs the table for the time before a firewall runs. Where the rules
// do not load it drops STT at its usual port, and returns why they do not.
func installBoot(s streams, cmd *cobra.Command, rules string, inline *inlineFlags) error {
	for _, flag := range []string{"iptables", "queue", "queues", "fail-open"} {
		if cmd.Flags().Changed(flag) {
			return usageError{fmt.Errorf("--boot and --%s: its table sends nothing to a queue", flag)}
		}
	}
	config, err := inline.config()
	if err != nil {
		return usageError{err}
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
	installed, err := nfq.InstallBootTable(config.TableConfig(settings))
	switch {
	case err == nil && !installed:
		io.WriteString(s.out, "there is a table already: it stays\n")
	case err == nil && unread != nil:
		fmt.Fprintf(s.err, "the table drops STT at port %d alone: mend the rules file, then 'sttwall nft --remove' and this again\n", policy.DefaultSTTPort)
	}
	return errors.Join(err, unread)
}
