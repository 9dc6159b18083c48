package main

import (
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/spf13/pflag"

	"sttwall/nfq"
)

// bootWish is the table for the time before `run`, as the flags of `run` want it.
type bootWish struct {
	table nfq.InlineConfig
	rules string // rules file that the flags name; "": none
	// none says why there must be no table; "": there must.
	none string
}

// wishOf reads the flags that `run` will be started with. Those that `run` would refuse are
// an error, and what can be read of the others is in the wish all the same: `run` does not
// start with them, and STT must not pass for a slip of the pen.
func wishOf(args []string) (bootWish, error) {
	var inline inlineFlags
	flags := pflag.NewFlagSet("run", pflag.ContinueOnError)
	flags.Usage = func() {}
	inline.addRun(flags)
	newRunCommand(streams{}).Flags().VisitAll(func(f *pflag.Flag) {
		if flags.Lookup(f.Name) == nil {
			flags.AddFlag(f)
		}
	})
	err := flags.Parse(args)
	switch {
	case errors.Is(err, pflag.ErrHelp): // kept, it would have this command help, and be fine
		err = errors.New("--help starts no firewall")
	case err == nil && flags.NArg() > 0:
		err = fmt.Errorf("%q is no flag", flags.Arg(0))
	}
	var wish bootWish
	if err == nil {
		wish.rules = flags.Lookup("rules").Value.String()
		wish.table, err = inline.config()
	}
	if err != nil {
		wish = wishOfTorn(args)
		err = usageError{fmt.Errorf("flags of 'sttwall run' behind '--' (STTWALL_ARGS in /etc/default/sttwall, where sttwall-boot.service calls): %w", err)}
	}
	switch {
	case wish.table.Table == nfq.TableForeign:
		wish.none = "with --no-nft 'run' leaves the table to others, before it starts too"
	case wish.table.FailOpenAbsent:
		wish.none = "with --fail-open=absent STT passes while no 'run' does"
	}
	return wish, err
}

// wishOfTorn reads flags some of which are wrong. Where the hooks are not to be read, what
// is sent is dropped as what comes in is.
func wishOfTorn(args []string) (wish bootWish) {
	flags := pflag.NewFlagSet("run", pflag.ContinueOnError)
	flags.Usage = func() {}
	flags.ParseErrorsAllowlist.UnknownFlags = true
	var torn inlineFlags
	flags.StringSliceVar(&torn.hooks, "hook", []string{nfq.HookPrerouting.String()}, "")
	flags.StringSliceVar(&torn.failOpen, "fail-open", nil, "")
	flags.StringVar(&torn.otherTunnels, "other-tunnels", "", "")
	flags.BoolVar(&torn.noNFT, "no-nft", false, "")
	flags.StringVar(&wish.rules, "rules", "", "")
	unread := flags.Parse(args)
	for _, word := range torn.hooks {
		hook, err := nfq.ParseHook(strings.TrimSpace(word))
		if err == nil {
			wish.table.Hooks |= nfq.HooksOf(hook)
		}
		unread = errors.Join(unread, err)
	}
	if unread != nil {
		wish.table.Hooks |= nfq.HooksOf(nfq.HookPrerouting, nfq.HookOutput)
	}
	wish.table.FailOpenAbsent = slices.ContainsFunc(torn.failOpen, func(word string) bool { return strings.TrimSpace(word) == "absent" })
	if torn.noNFT {
		wish.table.Table = nfq.TableForeign
	}
	if torn.otherTunnels == "pass" {
		wish.table.OtherTunnels = nfq.TunnelsPassed
	}
	return wish
}
