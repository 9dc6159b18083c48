package main

import (
	"errors"
	"fmt"

	"github.com/spf13/cobra"

	"sttwall/nfq"
)

func newNFTCommand(s streams) *cobra.Command {
	var (
		rules    string
		remove   bool
		boot     bool
		iptables int
		inline   inlineFlags
	)
	cmd := &cobra.Command{
		Use:   "nft --rules FILE | --boot [-- FLAGS OF RUN] | --remove",
		Short: "Print the packet-filter rules that 'run' installs, or remove them",
		Long: "nft prints the nftables table that 'run' installs, for those who keep it in a ruleset of their\n" +
			"own and use 'run --no-nft'; with --iptables the like for iptables-restore. With --remove it takes\n" +
			"away the table that a firewall left behind: from then on STT passes uninspected. With --boot it\n" +
			"installs a table that drops all STT until 'run' takes its place; one that is there already stays.\n" +
			"It reads the flags of 'run' behind '--', and wants the table that 'run' will want: the same hooks,\n" +
			"and none with --fail-open=absent or --no-nft.",
		Example: "  sttwall nft --rules rules.hcl > /etc/nftables.d/sttwall.nft\n" +
			"  sttwall nft --rules rules.hcl --iptables 4 | iptables-restore --noflush\n" +
			"  sttwall nft --rules rules.hcl --hook bridge,output\n" +
			"  sttwall nft --boot --rules /etc/sttwall/rules.hcl -- --hook bridge\n" +
			"  sttwall nft --remove",
		Args: arguments(func(cmd *cobra.Command, args []string) error {
			if boot && cmd.ArgsLenAtDash() == 0 {
				return nil
			}
			return cobra.NoArgs(cmd, args)
		}),
		RunE: func(cmd *cobra.Command, args []string) error {
			if remove {
				if cmd.Flags().NFlag() > 1 {
					return usageError{errors.New("--remove stands alone")}
				}
				return nfq.RemoveTable(0)
			}
			if boot {
				if cmd.ArgsLenAtDash() < 0 {
					args = nil
				}
				return installBoot(s, cmd, rules, &inline, args)
			}
			if rules == "" {
				return usageError{errors.New("--rules is missing")}
			}
			if iptables != 0 && iptables != 4 && iptables != 6 {
				return usageError{fmt.Errorf("--iptables %d: want 4 or 6", iptables)}
			}
			config, err := inline.config()
			if err != nil {
				return usageError{err}
			}
			policy, err := loadPolicy(s, rules)
			if err != nil {
				return err
			}
			table := config.TableConfig(policy.Settings())
			var text []byte
			if iptables == 0 {
				text, err = nfq.AppendNFT(nil, table)
			} else {
				table.Seed = nfq.NewSeed() // nft has the kernel draw one
				text, err = nfq.AppendIPTables(nil, table, nfq.Family(iptables))
			}
			if err != nil {
				return err
			}
			_, err = s.out.Write(text)
			return err
		},
	}
	flags := cmd.Flags()
	flags.StringVar(&rules, "rules", "", "rules `file`: its STT ports and endpoints are what the table is made of")
	flags.BoolVar(&remove, "remove", false, "take away the table that a firewall left")
	flags.BoolVar(&boot, "boot", false, "install a table that drops STT until 'run' takes its place;\nwithout --rules, or if they do not load: at port 7471")
	flags.IntVar(&iptables, "iptables", 0, "print rules for iptables-restore (4) or ip6tables-restore (6)")
	inline.addTable(flags)
	return cmd
}
