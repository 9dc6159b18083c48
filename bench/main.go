package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"regexp"
	"runtime"
	"slices"
	"strings"
	"syscall"
	"time"

	"sttwall/bench/peers"
	"sttwall/internal/load"
)

func main() {
	peers.RunChild() // does not return in the process of a peer
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	if err := run(ctx); err != nil {
		fmt.Fprintln(os.Stderr, "bench:", err)
		os.Exit(1)
	}
}

// options are the flags.
type options struct {
	quick, json  bool
	only, packet *regexp.Regexp
	queues       int
	binary       string
	rounds       int
	duration     time.Duration
}

func parse(args []string) (o options, err error) {
	f := flag.NewFlagSet("bench", flag.ContinueOnError)
	only := f.String("variants", "", "measure the variants that match this `expression` only, and forward")
	packet := f.String("packets", "", "measure the packets that match this `expression` only")
	f.BoolVar(&o.quick, "quick", false, "fewer, shorter rounds, and fewer cells")
	f.BoolVar(&o.json, "json", false, "print rows of JSON in place of tables")
	f.IntVar(&o.queues, "queues", 0, "measure with so many queues only, 1 or 2; 0 is both")
	f.StringVar(&o.binary, "sttwall", "", "`program` to measure; the default is built from the module beside this one")
	f.IntVar(&o.rounds, "rounds", 0, "rounds; 0 is 7, or 3 with --quick")
	f.DurationVar(&o.duration, "duration", 0, "how long each variant is measured in each round;\n0 is 1s, or 300ms with --quick")
	f.SetOutput(io.Discard) // an error is told once, by main
	if err := f.Parse(args); err != nil {
		if f.SetOutput(os.Stdout); errors.Is(err, flag.ErrHelp) {
			f.Usage()
			return o, err
		}
		return o, fmt.Errorf("%w; --help lists the flags", err)
	}
	switch {
	case f.NArg() > 0:
		return o, fmt.Errorf("argument %q: there are flags only", f.Arg(0))
	case o.queues < 0 || o.queues > 2:
		return o, fmt.Errorf("--queues %d: want 1 or 2, or 0 for both", o.queues)
	case o.rounds < 0 || o.duration < 0:
		return o, fmt.Errorf("--rounds %d, --duration %v: not below 0", o.rounds, o.duration)
	}
	if o.only, err = regexp.Compile(*only); err != nil {
		return o, fmt.Errorf("--variants: %w", err)
	}
	if o.packet, err = regexp.Compile(*packet); err != nil {
		return o, fmt.Errorf("--packets: %w", err)
	}
	if len(cells(o)) == 0 {
		return o, fmt.Errorf("--packets %s, --queues %d: nothing is left to measure; packets are 150, 1500, 45, 45-shuffled, gso64k, and with --quick there is one queue", o.packet, o.queues)
	}
	if o.rounds == 0 {
		o.rounds = 7
		if o.quick {
			o.rounds = 3
		}
	}
	if o.duration == 0 {
		o.duration = time.Second
		if o.quick {
			o.duration = 300 * time.Millisecond
		}
	}
	return o, nil
}

func run(ctx context.Context) (err error) {
	o, err := parse(os.Args[1:])
	if errors.Is(err, flag.ErrHelp) {
		return nil
	}
	if err != nil {
		return err
	}
	if os.Geteuid() != 0 {
		return errors.New("this needs root, for network namespaces and BPF: run it with sudo")
	}
	undo, err := goFirst()
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, undo()) }()
	if o.binary == "" {
		dir, err := os.MkdirTemp("", "sttwall-bench-")
		if err != nil {
			return err
		}
		defer os.RemoveAll(dir)
		if o.binary, err = build(ctx, dir); err != nil {
			return err
		}
	}
	all, chosen := variants(o.binary), []variant(nil)
	if !slices.ContainsFunc(all, func(v variant) bool { return o.only.MatchString(v.name()) }) {
		return fmt.Errorf("--variants %s: matches none of %s", o.only, names(all))
	}
	for _, v := range all {
		if v.name() != "forward" && !o.only.MatchString(v.name()) {
			continue
		}
		if err := v.available(); err != nil {
			fmt.Fprintf(os.Stderr, "%s is left out: %v\n", v.name(), err)
			continue
		}
		chosen = append(chosen, v)
	}
	fmt.Fprintln(os.Stderr, machine())
	var rows []Row
	for _, c := range cells(o) {
		list, err := measure(ctx, o, c, chosen)
		if ctx.Err() != nil {
			return errors.New("interrupted; only what was whole by then is shown") // ^C ends the variants too: no news
		}
		if err != nil {
			return fmt.Errorf("%s: %w", c, err)
		}
		rows = append(rows, list...)
		if !o.json {
			if err := writeTable(os.Stdout, list); err != nil {
				return err
			}
		} else if err := writeJSON(os.Stdout, list); err != nil {
			return err
		}
	}
	for _, r := range rows {
		if r.Error != "" || r.Lost > 0 {
			return errors.New("some figures are missing or have losses: see above")
		}
	}
	return nil
}

func names(list []variant) string {
	var names []string
	for _, v := range list {
		names = append(names, v.name())
	}
	return strings.Join(names, ", ")
}

// build builds sttwall as its own module has it.
func build(ctx context.Context, dir string) (string, error) {
	module, err := exec.CommandContext(ctx, "go", "list", "-m", "-f", "{{.Dir}}", "sttwall").Output()
	if err != nil {
		return "", fmt.Errorf("find the module sttwall (is this run in bench/?): %w", err)
	}
	binary := filepath.Join(dir, "sttwall")
	c := exec.CommandContext(ctx, "go", "build", "-C", strings.TrimSpace(string(module)), "-o", binary, "./cmd/sttwall")
	if out, err := c.CombinedOutput(); err != nil {
		return "", fmt.Errorf("build sttwall: %w\n%s", err, out)
	}
	return binary, nil
}

// cell is what all variants are measured under.
type cell struct {
	packet load.Packet
	queues int
	flows  int
}

func (c cell) String() string {
	return cellText(c.packet.String(), c.queues, c.flows)
}

// cells lists what is measured: each kind of packet with each number of queues at 1,000
// flows, and other numbers of flows with the smallest packets.
func cells(o options) []cell {
	var list []cell
	for _, queues := range []int{1, 2} {
		for _, p := range []load.Packet{load.Small150, load.Full1500, load.Segments45, load.Shuffled45, load.GSO64K} {
			list = append(list, cell{p, queues, 1000})
		}
		list = append(list, cell{load.Small150, queues, 1}, cell{load.Small150, queues, 1_000_000})
	}
	kept := list[:0]
	for _, c := range list {
		if o.packet.MatchString(c.packet.String()) && (o.queues == 0 || c.queues == o.queues) && !(o.quick && (c.queues > 1 || c.flows != 1000)) {
			kept = append(kept, c)
		}
	}
	return kept
}

// sourceCPU is where the source runs; the queues are served on the others, and the last
// of them here too where there are too few.
const sourceCPU = 0

func placeOf(c cell) place {
	p := place{cell: c}
	for i := range c.queues {
		p.cpus = append(p.cpus, (sourceCPU+1+i)%runtime.NumCPU())
	}
	return p
}

// machine describes where the figures come from, for the head of the output.
func machine() string {
	kernel, _ := os.ReadFile("/proc/sys/kernel/osrelease")
	return fmt.Sprintf("Linux %s, %d CPUs, %s", strings.TrimSpace(string(kernel)), runtime.NumCPU(), runtime.Version())
}
