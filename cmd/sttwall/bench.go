package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"strings"
	"time"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"sttwall/control"
	"sttwall/internal/bench"
	"sttwall/internal/benchreport"
	"sttwall/internal/load"
	"sttwall/nfq"
	"sttwall/policy"
)

// benchPackets are the kinds of packets that there are.
var benchPackets = []string{load.Small150.String(), load.Full1500.String(), load.Segments45.String(), load.Shuffled45.String(), load.GSO64K.String()}

// benchFlags are what `bench` is told.
type benchFlags struct {
	rules      string
	ruleCount  int
	id, packet string
	packets    []string
	svg        string
	asJSON     bool
	config     bench.Config
	inline     inlineFlags
}

func newBenchCommand(s streams) *cobra.Command {
	var f benchFlags
	cmd := &cobra.Command{
		Use:   "bench",
		Short: "Measure what this host forwards, with and without the firewall",
		Long: "bench measures how many packets a second this host forwards, in a lab of network namespaces of its own: without a queue,\n" +
			"through a queue whose worker accepts everything, which is the limit of any firewall in user space, and through the whole\n" +
			"firewall with your rules. It prints packets and bits a second, latency at half of the load that each can carry, and the\n" +
			"processor time that a packet takes. All three are measured in turn in each round, and medians of the rounds are shown.\n\n" +
			"The packets are made by the kernel itself, with BPF: that needs root. Your network is not touched, and nothing is left behind.\n\n" +
			"What is sent has to pass your rules: it is the first test of the file that expects a TCP or UDP packet to pass, or else\n" +
			"what the rules are found to accept; --context and --packet name another one, as for 'explain'. docs/bench.md says what the\n" +
			"figures mean.",
		Example: "  sudo sttwall bench\n" +
			"  sudo sttwall bench --rules /etc/sttwall/rules.hcl --svg bench.svg\n" +
			"  sudo sttwall bench --rules rules.hcl --context 100 \\\n" +
			"    --packet 'tcp 10.0.0.9:1 > 10.1.0.10:443 syn'\n" +
			"  sudo sttwall bench --packets 150 --flows 100000 --queues 2 --json",
		Args: arguments(cobra.NoArgs),
		RunE: func(cmd *cobra.Command, _ []string) error { return f.run(cmd.Context(), s) },
	}
	flags := cmd.Flags()
	flags.StringVar(&f.rules, "rules", "", "rules `file`; without, a tenant with rules of our own that accepts everything")
	flags.IntVar(&f.ruleCount, "rule-count", 1000, "how many rules of our own there are, without --rules")
	flags.StringVar(&f.id, "context", "", "context `ID` of --packet, decimal or 0x")
	flags.StringVar(&f.packet, "packet", "", "the first `packet` of the flows that are sent: TCP with syn, or UDP, over IPv4")
	flags.StringSliceVar(&f.packets, "packets", []string{"150", "1500", "45", "gso64k"},
		"which `kinds` of packets: 150 or 1500 (bytes), 45 or 45-shuffled (segments of a frame, in order or not), gso64k (super-segments)")
	flags.IntVar(&f.config.Flows, "flows", 1000, "how many inner flows")
	f.inline.addRun(pflag.NewFlagSet("run", pflag.ContinueOnError)) // what is measured is what runs unless told otherwise
	flags.StringVar(&f.inline.driver, "driver", f.inline.driver, "how packets are taken from the kernel: fast or go-nfqueue")
	flags.IntVar(&f.inline.queues, "queues", 1, "how many queues, each with a worker of its own")
	flags.DurationVar(&f.config.Duration, "duration", 500*time.Millisecond, "how long one measurement takes")
	flags.IntVar(&f.config.Rounds, "rounds", 7, "how often each is measured")
	flags.StringVar(&f.svg, "svg", "", "draw the result into this `file` too, as SVG")
	flags.BoolVar(&f.asJSON, "json", false, "write a line of JSON instead of the table")
	complete := func(flag string, values ...string) {
		if err := cmd.RegisterFlagCompletionFunc(flag, cobra.FixedCompletions(values, cobra.ShellCompDirectiveNoFileComp)); err != nil {
			panic(err) // there is no such flag
		}
	}
	complete("packets", benchPackets...)
	complete("driver", nfq.DriverFast.String(), nfq.DriverGoNFQueue.String())
	return cmd
}

// check reads the flags; what is wrong is a mistake on the command line.
func (f *benchFlags) check() error {
	for _, name := range f.packets {
		kind, err := load.ParsePacket(strings.TrimSpace(name))
		if err != nil {
			return fmt.Errorf("--packets: %w", err)
		}
		f.config.Packets = append(f.config.Packets, kind)
	}
	var err error
	if f.config.Inline, err = f.inline.config(); err != nil {
		return err
	}
	switch {
	case f.ruleCount < 1 || f.ruleCount > bench.MaxBuiltIn:
		return fmt.Errorf("--rule-count %d: want 1 to %d", f.ruleCount, bench.MaxBuiltIn)
	case f.packet == "" && f.id != "":
		return errors.New("--context: give the --packet too")
	case f.packet != "" && f.id == "":
		return errors.New("--packet: give its --context too")
	case f.packet != "" && f.rules == "":
		return errors.New("--packet: give its --rules too")
	case f.svg == "-":
		return errors.New("--svg: standard output has the table; name a file")
	}
	return f.config.Validate()
}

func (f *benchFlags) run(ctx context.Context, s streams) error {
	if err := f.check(); err != nil {
		return usageError{err}
	}
	if err := bench.Ready(); err != nil {
		return err
	}
	var asked bench.Asked
	if f.packet != "" {
		id, err := control.ParseContextID(f.id)
		if err != nil {
			return usageError{fmt.Errorf("--context: %w", err)}
		}
		asked = bench.Asked{ContextID: uint64(id), Text: f.packet}
	}
	rules, err := f.policy(s, &asked)
	if err != nil {
		return err
	}
	flow, err := bench.Choose(rules, time.Now().UnixNano(), asked, f.config.Flows)
	if err != nil {
		return fmt.Errorf("nothing to send that the rules let pass: %w", err)
	}
	svg, err := openSVG(f.svg)
	if err != nil {
		return err
	}
	result, err := f.measure(ctx, s, rules, flow)
	if result != nil {
		err = errors.Join(err, f.write(s.out, result))
	}
	return errors.Join(err, svg.finish(result, err))
}

// policy loads the rules, or has some of our own, of which asked is then a packet.
func (f *benchFlags) policy(s streams, asked *bench.Asked) (rules *policy.Policy, err error) {
	if f.rules != "" {
		return loadPolicy(s, f.rules)
	}
	rules, *asked, err = bench.BuiltIn(f.ruleCount, f.config.Flows)
	return rules, err
}

// measure runs the benchmark. What there is by then comes with an error, for people.
func (f *benchFlags) measure(ctx context.Context, s streams, rules *policy.Policy, flow *bench.Flow) (*benchreport.Result, error) {
	host, err := bench.Host(version())
	if err != nil {
		return nil, err
	}
	told := newObservers(slog.New(slog.NewTextHandler(io.Discard, nil)), func() *policy.Policy { return rules })
	c := f.config
	c.Flow = *flow
	c.Inline.Policy = rules
	c.Inline.Observer, c.Inline.Wrap = told.observe, told.wrap
	progress := &benchProgress{w: s.err, line: terminal(s.err) && os.Getenv("TERM") != "dumb"}
	c.Progress = progress.next
	progress.building(c.Flows)
	defer roomForWorkers(c.Inline.Queues + 1)() // as in run, and the packet source is no worker
	samples, err := bench.Run(ctx, c)
	progress.end()
	err = interrupted(ctx, err, "%d of %d measurements were done", len(samples), c.Of())
	if err != nil && (len(samples) == 0 || f.asJSON) {
		return nil, err
	}
	r := &benchreport.Result{Host: host, Setup: benchreport.Setup{
		Queues: f.inline.queues, Flows: c.Flows, Rounds: c.Rounds, Duration: c.Duration.Seconds(),
		Driver: c.Inline.Queue.Driver.String(), Rules: f.name(rules), Flow: flow.String(),
	}}
	r.Rows = benchreport.Summarize(r.Setup, samples)
	return r, err
}

// name says which rules they are.
func (f *benchFlags) name(rules *policy.Policy) string {
	file := f.rules
	if file == "" {
		file = "built in"
	}
	return fmt.Sprintf("%s: %s", file, rulesText(len(rules.Tenants()), len(rules.Rules())))
}

func (f *benchFlags) write(w io.Writer, r *benchreport.Result) error {
	if f.asJSON {
		return newLines(w).Encode(r)
	}
	return r.Write(w)
}

// svgFile takes the picture; nil is none.
type svgFile struct {
	*os.File
	isNew bool
}

// openSVG opens the file before anything is measured, so that nothing is measured in vain.
// What is in it stays until there is something better.
func openSVG(path string) (*svgFile, error) {
	if path == "" {
		return nil, nil
	}
	_, err := os.Lstat(path)
	isNew := errors.Is(err, os.ErrNotExist)
	file, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE, 0o666)
	if err != nil {
		return nil, fmt.Errorf("--svg: %w", err)
	}
	return &svgFile{file, isNew}, nil
}

// finish writes the picture. After an error there is none, and no empty file either.
func (f *svgFile) finish(r *benchreport.Result, failed error) error {
	switch {
	case f == nil:
		return nil
	case failed != nil && f.isNew:
		return errors.Join(f.Close(), os.Remove(f.Name()))
	case failed != nil:
		return f.Close()
	}
	picture := r.SVG()
	_, err := f.WriteAt(picture, 0)
	if info, statErr := f.Stat(); statErr == nil && info.Size() > int64(len(picture)) {
		err = errors.Join(err, f.Truncate(int64(len(picture))))
	}
	return errors.Join(err, f.Close())
}

// benchProgress says what is measured: in one line that is written again and again on a
// terminal, else in a line for each kind of packet.
type benchProgress struct {
	w      io.Writer
	line   bool
	began  time.Time // of the first measurement
	packet string
}

func (p *benchProgress) building(flows int) {
	if p.line {
		fmt.Fprintf(p.w, "building the lab, opening %s ...", counted(flows, "flow"))
	}
}

func (p *benchProgress) next(n bench.Progress) {
	if !p.line {
		if n.Packet != p.packet {
			p.packet = n.Packet
			fmt.Fprintf(p.w, "measuring %s: %d of %d measurements done\n", benchreport.Title(n.Packet), n.Done, n.Of)
		}
		return
	}
	left := ""
	if n.Done == 0 {
		p.began = time.Now()
	} else {
		each := time.Since(p.began) / time.Duration(n.Done)
		left = fmt.Sprintf(", %s left", forText(each*time.Duration(n.Of-n.Done)))
	}
	fmt.Fprintf(p.w, "\r%s, round %d, %s: %d of %d%s\x1b[K", benchreport.Title(n.Packet), n.Round, n.Way, n.Done+1, n.Of, left)
}

func (p *benchProgress) end() {
	if p.line {
		fmt.Fprint(p.w, "\r\x1b[K")
	}
}
