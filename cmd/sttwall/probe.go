package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"net/netip"
	"strconv"
	"time"

	"github.com/spf13/cobra"

	"sttwall/endpoint"
	"sttwall/probe"
)

func newProbeCommand(s streams) *cobra.Command {
	var (
		config                    probe.Config
		host                      probe.Host
		context, tci              string
		local, segmentation, name string
		asJSON                    bool
	)
	cmd := &cobra.Command{
		Use:   "probe ENDPOINT --context ID",
		Short: "Measure the path to another STT endpoint",
		Long: "probe sends STT frames of rising size to another endpoint, which runs as 'sttwall endpoint --answer-probes ID' and\n" +
			"lists this one. It reports, each way: the largest packet that passes, frames lost, reordered and doubled, how long answers\n" +
			"took, and who rewrote what. docs/probe.md says what each line means, and which rule lets the frames pass a firewall.\n" +
			"The exit status is 1 if something was lost, or changed so that it hurts. It needs CAP_NET_ADMIN and CAP_NET_RAW.",
		Example: "  sttwall probe 10.0.0.2 --context 0xfffe\n  sttwall probe 10.0.0.2 --context 0xfffe --count 2000 --json",
		Args:    arguments(cobra.ExactArgs(1)),
		RunE: func(cmd *cobra.Command, args []string) error {
			var err error
			if config.Remote, err = netip.ParseAddr(args[0]); err != nil {
				return usageError{fmt.Errorf("endpoint: %w", err)}
			}
			if context == "" {
				return usageError{errors.New("--context is missing: that of the other side's --answer-probes")}
			}
			if config.ContextID, err = strconv.ParseUint(context, 0, 64); err != nil {
				return usageError{fmt.Errorf("--context %q: want 0 to 2^64-1", context)}
			}
			n, err := strconv.ParseUint(tci, 0, 16)
			if err != nil {
				return usageError{fmt.Errorf("--tci %q: want 0 to 0xffff", tci)}
			}
			config.TCI = uint16(n)
			if host.Segmentation, err = endpoint.ParseSegmentation(segmentation); err != nil {
				return usageError{fmt.Errorf("--segmentation: %w", err)}
			}
			if err := config.Validate(); err != nil {
				return usageError{err}
			}
			if local != "" {
				if host.Local, err = netip.ParseAddr(local); err != nil {
					return usageError{fmt.Errorf("--local: %w", err)}
				}
			}
			if host.Underlay = name; name == "" || local == "" {
				underlay, address, err := probe.Route(config.Remote)
				if err != nil {
					return err
				}
				if name == "" {
					host.Underlay = underlay
				}
				if local == "" {
					host.Local = address
				}
			}
			progress := terminal(s.err)
			if progress {
				var last time.Time
				config.Progress = func(what string) {
					if now := time.Now(); now.Sub(last) > 100*time.Millisecond {
						last = now
						fmt.Fprintf(s.err, "\r\x1b[K... %s", what)
					}
				}
			}
			report, err := probe.Ask(cmd.Context(), host, config)
			if progress {
				fmt.Fprint(s.err, "\r\x1b[K")
			}
			if err != nil && cmd.Context().Err() != nil {
				err = errors.New("interrupted: the path was not measured to its end; the probe's table and sockets are gone")
			}
			if err != nil {
				return err
			}
			if asJSON {
				err = json.NewEncoder(s.out).Encode(report)
			} else {
				err = report.Write(s.out)
			}
			if err == nil && len(report.Findings) > 0 {
				err = errFindings
			}
			return err
		},
	}
	flags := cmd.Flags()
	flags.StringVar(&context, "context", "", "Context `ID` of the probe, that of the other side's --answer-probes")
	flags.IntVar(&config.Count, "count", 300, "how many frames the series for loss and order has")
	flags.DurationVar(&config.Interval, "interval", 10*time.Millisecond, "time between two of them")
	flags.DurationVar(&config.Timeout, "timeout", time.Second, "how long answers are waited for")
	flags.StringVar(&name, "underlay", "", "`interface` of the outer packets; empty is that of the route")
	flags.StringVar(&local, "local", "", "outer `address` of this side; empty is that of the route")
	flags.IntVar(&host.MTU, "mtu", 0, "MTU of the path in `bytes`; 0 is that of the route")
	flags.Uint16Var(&host.STTPort, "stt-port", 0, "TCP port of STT; 0 is 7471")
	flags.StringVar(&segmentation, "segmentation", "gso", "who cuts large frames: gso (the kernel or the network card)\nor mtu (the probe)")
	flags.StringVar(&tci, "tci", "0", "16 bits of the VLAN tag in the frame header")
	flags.BoolVar(&asJSON, "json", false, "one JSON object instead of text")
	return cmd
}
