package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/netip"
	"strings"
	"time"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"sttwall/conntrack"
	"sttwall/control"
	"sttwall/firewall"
	"sttwall/inspect"
	"sttwall/policy"
	"sttwall/reason"
	"sttwall/replay"
)

// captureFlags are the flags by which explain is asked about a packet of a
// capture.
type captureFlags struct {
	pcap, checksums string
	frame           int
}

func (f *captureFlags) add(flags *pflag.FlagSet) {
	flags.StringVar(&f.pcap, "pcap", "", "explain a packet of this capture `file`, and the STT frame that it is a part of")
	flags.IntVar(&f.frame, "frame", 0, "with --pcap: the packet's `number` as tshark shows it (frame.number)")
	flags.StringVar(&f.checksums, "checksums", "auto", "with --pcap: outer TCP checksums, as for 'sttwall replay'")
}

// asked reports whether the question is about a capture.
func (f *captureFlags) asked() bool { return f.pcap != "" || f.frame != 0 }

// arguments wants a description of a packet, or a capture.
func (f *captureFlags) arguments(cmd *cobra.Command, args []string) error {
	if f.asked() {
		return arguments(cobra.NoArgs)(cmd, args)
	}
	return oneQuoted("packet")(cmd, args)
}

// explain answers.
func (f *captureFlags) explain(ctx context.Context, s streams, rules string, asJSON bool) error {
	config := replay.Config{Inputs: []string{f.pcap}}
	var err error
	if config.Checksums, err = replay.ParseChecksums(f.checksums); err != nil {
		return usageError{fmt.Errorf("--checksums: %w", err)}
	}
	switch {
	case f.pcap == "" || f.frame < 1:
		return usageError{errors.New("--pcap and --frame go together: which packet, from 1, of which capture?")}
	case f.pcap == "-":
		return usageError{errors.New("--pcap -: name a file, since it is read twice")}
	case rules == "":
		return usageError{errors.New("--rules is needed")}
	}
	if config.Policy, err = loadPolicy(s, rules); err != nil {
		return err
	}
	x, err := replay.Explain(ctx, config, f.frame)
	if err != nil {
		return err
	}
	if asJSON {
		encoder := json.NewEncoder(s.out)
		encoder.SetIndent("", "  ")
		return encoder.Encode(explainedPacket(x))
	}
	fmt.Fprintf(s.out, "packet %d of %s", f.frame, f.pcap)
	writeExplainedPacket(s.out, x, config.Policy)
	return nil
}

func writeExplainedPacket(w io.Writer, x *replay.Explained, p *policy.Policy) {
	switch {
	case !x.STT:
		fmt.Fprintf(w, " is not STT: it would not have been queued, and nothing decides about it.\nThe ports of the rules are %v.\n", p.Settings().STTPorts)
		return
	case x.Frame == nil && x.Reason == reason.None:
		fmt.Fprint(w, " came late\ndrop: its STT frame had been dropped before, and what comes of it later goes the same way. An earlier packet of the frame says why.\n")
		return
	case x.Frame == nil:
		fmt.Fprintln(w)
		writeStructural(w, x.Reason)
		return
	}
	f := x.Frame
	fmt.Fprintf(w, ", %s UTC\n", time.Unix(0, int64(f.Time)).UTC().Format("2006-01-02 15:04:05.000000"))
	fmt.Fprintf(w, "STT frame: %s port %d > %s, ID %s, %d bytes in %s %s\n", f.Outer.Src, f.Outer.SrcPort, f.Outer.Dst, f.FrameID, f.FrameLength,
		plural(len(x.Packets), "packet", "packets"), strings.ReplaceAll(strings.Trim(fmt.Sprint(x.Packets), "[]"), " ", ", "))
	if h := f.Header; h != nil {
		fmt.Fprintf(w, "frame header: context ID %s, flags 0x%02x, L4 offset %d, MSS %d, TCI 0x%04x\n", h.ContextID, h.Flags, h.L4Offset, h.MSS, h.TCI)
	}
	if f.Inner != nil {
		fmt.Fprintf(w, "inner frame: %s\n", f.InnerText())
	}
	if x.Policy == nil {
		writeStructural(w, x.Reason)
		return
	}
	if len(p.Settings().Endpoints) == 0 {
		fmt.Fprintf(w, "outer source: any may send STT (settings.endpoints)\n")
	} else {
		fmt.Fprintf(w, "outer source: %s is in settings.endpoints\n", f.Outer.Src)
	}
	writePolicy(w, x.Policy)
	switch {
	case !x.Left && x.Policy.Decision.Action == policy.Accept:
		// The policy would have let it pass.
		writeStructural(w, x.Reason)
	case !x.Left:
		fmt.Fprintf(w, "    > %s\n", x.Reason.Remedy())
	case x.Rewritten:
		fmt.Fprintln(w, "it leaves encoded anew")
	default:
		fmt.Fprintln(w, "it leaves as it came")
	}
}

// writeStructural says why a packet is dropped whatever the rules are.
func writeStructural(w io.Writer, r reason.Reason) {
	fmt.Fprintf(w, "drop: %s: %s\n    > %s\n", r, r.Meaning(), r.Remedy())
}

// writePolicy says how a frame was decided by the flow that it belongs to, and by
// the rules.
func writePolicy(w io.Writer, x *firewall.Explanation) {
	fmt.Fprint(w, x.Rules.Tenant)
	if x.Rules.Claim != "" {
		fmt.Fprintf(w, " (%s)", x.Rules.Claim)
	}
	state := x.State
	if x.Begins {
		state = conntrack.StateNew
	}
	fmt.Fprintf(w, "\nstate: %s\n", state)
	if x.Flow != nil {
		fmt.Fprintf(w, "  %s\n", flowText(x.Flow))
	}
	switch {
	case x.Begins:
		fmt.Fprintln(w, "  it begins a flow")
	case x.State == conntrack.StateUntracked:
		fmt.Fprintln(w, "  packets of its kind have no state: the rules decide about each")
	case x.OfFlow:
		fmt.Fprintln(w, "  the flow is decided by its first packet, for which these rules were tried:")
	}
	rules := control.Explained(x.Rules, &x.Decision)
	_, tried, _ := strings.Cut(explanationText(&rules), "\n")
	fmt.Fprint(w, tried)
}

// flowText is a flow as it was before the packet.
func flowText(f *firewall.FlowView) string {
	k := &f.Key
	src, dst := k.Src.String(), k.Dst.String()
	protocol := fmt.Sprintf("protocol %d", k.Protocol)
	switch k.Protocol {
	case inspect.ProtocolTCP, inspect.ProtocolUDP, inspect.ProtocolSCTP:
		protocol = map[uint8]string{inspect.ProtocolTCP: "tcp", inspect.ProtocolUDP: "udp", inspect.ProtocolSCTP: "sctp"}[k.Protocol]
		src, dst = netip.AddrPortFrom(k.Src, k.SrcPort).String(), netip.AddrPortFrom(k.Dst, k.DstPort).String()
	}
	by := "the default"
	if f.Decision.Rule != "" {
		by = f.Decision.Rule
	}
	return fmt.Sprintf("flow: %s %s > %s, %s, behind %s and %s, accepted by %s; %d packets there and %d back before this one",
		protocol, src, dst, f.Status, f.From, f.To, by, f.Packets[0], f.Packets[1])
}

func plural(n int, one, more string) string {
	if n == 1 {
		return one
	}
	return more
}

// explainedPacket is an explanation as JSON.
func explainedPacket(x *replay.Explained) any {
	out := struct {
		STT       bool                 `json:"stt"`
		Left      bool                 `json:"left"`
		Rewritten bool                 `json:"rewritten"`
		Reason    string               `json:"reason,omitempty"`
		Remedy    string               `json:"remedy,omitempty"`
		Frame     *replay.Frame        `json:"frame,omitempty"`
		Packets   []int                `json:"packets,omitempty"`
		Decided   int                  `json:"decided_with,omitempty"`
		State     string               `json:"state,omitempty"`
		Claim     string               `json:"claim,omitempty"`
		Policy    *control.Explanation `json:"policy,omitempty"`
	}{STT: x.STT, Left: x.Left, Rewritten: x.Rewritten, Frame: x.Frame, Packets: x.Packets, Decided: x.Decided}
	if x.Reason != reason.None {
		out.Reason, out.Remedy = x.Reason.String(), x.Reason.Remedy()
	}
	if x.Policy != nil {
		rules := control.Explained(x.Policy.Rules, &x.Policy.Decision)
		out.State, out.Claim, out.Policy = x.Policy.State.String(), x.Policy.Rules.Claim, &rules
	}
	return out
}
