package main

import (
	"errors"
	"fmt"
	"log/slog"
	"net/netip"
	"strconv"

	"github.com/spf13/cobra"

	"sttwall/endpoint"
	"sttwall/probe"
)

func newEndpointCommand(s streams) *cobra.Command {
	var (
		config            endpoint.Config
		local             string
		segmentation, via string
		remotes, ports    []string
		answers           string
	)
	cmd := &cobra.Command{
		Use:   "endpoint --underlay IF --local ADDR --remote ADDR --port PORT",
		Short: "Run a user-space STT tunnel endpoint",
		Long: "endpoint is a tunnel endpoint for labs and tests, and for hosts without Open vSwitch's STT: frames\n" +
			"that come in on a port leave as STT under its Context ID, and the other way round. A port is a TAP\n" +
			"that is made, or an interface that is there (one end of a veth pair). It runs until SIGTERM or ^C.\n\n" +
			"With --sockets ip its packets go through the hooks of netfilter of its own host, as those of Open\n" +
			"vSwitch's kernel module do: 'sttwall run --hook prerouting,output' there inspects them.\n\n" +
			"With --answer-probes it answers the questions of 'sttwall probe' of its remotes besides.",
		Example: "  sttwall endpoint --underlay eth0 --local 10.0.0.1 --remote 10.0.0.2 \\\n    --port name=acme0,context=100",
		Args:    arguments(cobra.NoArgs),
		RunE: func(cmd *cobra.Command, _ []string) error {
			if local == "" {
				return usageError{errors.New("--local is missing")}
			}
			var err error
			if config.Local, err = netip.ParseAddr(local); err != nil {
				return usageError{fmt.Errorf("--local: %w", err)}
			}
			if config.Segmentation, err = endpoint.ParseSegmentation(segmentation); err != nil {
				return usageError{fmt.Errorf("--segmentation: %w", err)}
			}
			if config.Sockets, err = endpoint.ParseSockets(via); err != nil {
				return usageError{err}
			}
			if config.Sockets == endpoint.SocketsIP && cmd.Flags().Changed("segmentation") && config.Segmentation != endpoint.SegmentMTU {
				return usageError{errors.New("--sockets ip cuts all frames itself: leave --segmentation out")}
			}
			for _, text := range remotes {
				remote, err := endpoint.ParseRemote(text)
				if err != nil {
					return usageError{err}
				}
				config.Remotes = append(config.Remotes, remote)
			}
			for _, text := range ports {
				port, err := endpoint.ParsePort(text)
				if err != nil {
					return usageError{err}
				}
				config.Ports = append(config.Ports, port)
			}
			if answers != "" {
				id, err := strconv.ParseUint(answers, 0, 64)
				if err != nil {
					return usageError{fmt.Errorf("--answer-probes %q: want a Context ID, 0 to 2^64-1", answers)}
				}
				service, err := probe.ServiceOf(id, config.Remotes)
				if err != nil {
					return usageError{err}
				}
				config.Services = append(config.Services, service)
			}
			log := slog.New(slog.NewTextHandler(s.err, nil))
			config.Logger = log
			if err := config.Validate(); err != nil {
				return usageError{err}
			}
			e, err := endpoint.New(config)
			if err != nil {
				return err
			}
			for _, p := range e.Ports() {
				log.Info("port is open", "name", p.Name, "kind", p.Kind.String())
			}
			err = errors.Join(e.Run(cmd.Context()), e.Close())
			log.Info("the endpoint has stopped")
			return err
		},
	}
	flags := cmd.Flags()
	flags.StringVar(&config.Underlay, "underlay", "", "`interface` of the outer packets")
	flags.StringVar(&local, "local", "", "outer `address` of this endpoint")
	flags.StringArrayVar(&remotes, "remote", nil, "another endpoint: `address`, or addr=ADDRESS,context=ID; may be repeated")
	flags.StringArrayVar(&ports, "port", nil, "a tenant's `port`: name=IF,context=ID and, if wanted, vlan=N (a tag in the\nframe header) or tci=N (all 16 bits of it), mtu=N, kind=tap|packet|auto\n(packet: IF exists, or peer=IF names the other end of a veth pair to make;\nauto, the default: what exists, else a TAP); may be repeated")
	flags.StringVar(&answers, "answer-probes", "", "answer 'sttwall probe' of the remotes under this Context `ID`, which no\nport may have; then --port may be left out")
	flags.Uint16Var(&config.STTPort, "stt-port", 0, "TCP port of STT; 0 is 7471")
	flags.IntVar(&config.MTU, "mtu", 0, "MTU of the path in `bytes`; 0 is that of the route")
	flags.StringVar(&segmentation, "segmentation", "gso", "who cuts large frames: gso (the kernel or the network card)\nor mtu (the endpoint)")
	flags.StringVar(&via, "sockets", "packet", "how the underlay is reached: packet (beside all hooks of netfilter) or ip (what\ncomes has passed PREROUTING and INPUT, what goes passes OUTPUT; frames are cut\nas with --segmentation mtu)")
	flags.Uint8Var(&config.TTL, "ttl", 0, "TTL of outer packets; 0 is 64")
	return cmd
}
