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
	"sttwall/bench/rows"
	"sttwall/internal/bench"
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
	flows        int
	binary       string
	rounds       int
	duration     time.Duration
	latency      bool
	progress     *progress
}

func parse(args []string) (o options, err error) {
	f := flag.NewFlagSet("bench", flag.ContinueOnError)
	only := f.String("variants", "", "measure the variants that match this `expression` only, and forward")
	packet := f.String("packets", "", "measure the packets that match this `expression` only")
	f.BoolVar(&o.quick, "quick", false, "fewer, shorter rounds, and fewer cells")
	f.BoolVar(&o.json, "json", false, "print rows of JSON in place of tables")
	f.IntVar(&o.queues, "queues", 0, "measure with so many queues only, 1 or 2; 0 is both")
	f.IntVar(&o.flows, "flows", 0, "measure with so many flows only, 1, 1000 or 1000000; 0 is all")
	f.StringVar(&o.binary, "sttwall", "", "`program` to measure; the default is built from the module beside this one")
	f.IntVar(&o.rounds, "rounds", 0, "rounds; 0 is 7, or 3 with --quick")
	f.DurationVar(&o.duration, "duration", 0, "how long each variant is measured in each round;\n0 is 1s, or 300ms with --quick")
	f.BoolVar(&o.latency, "latency", true, "take latency too")
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
		return o, fmt.Errorf("--packets %s, --queues %d, --flows %d: nothing is left to measure; packets are 150, 1500, 45, 45-shuffled, gso64k, flows 1 and 1000000 are of packets of 150 bytes on one queue, and with --quick there is one queue and 1000 flows",
			o.packet, o.queues, o.flows)
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
	chosen, err := choose(o)
	if err != nil {
		return err
	}
	this, err := thisRun(o)
	if err != nil {
		return err
	}
	o.progress = newProgress(o, cells(o), chosen, time.Now)
	fmt.Fprintf(os.Stderr, "Linux %s, %s, %d CPUs, %s; %v\n", this.Kernel, this.Processor, this.CPUs, this.Go, o.progress)
	var all []Row
	for _, c := range cells(o) {
		list, err := measure(ctx, o, c, chosen)
		if ctx.Err() != nil {
			return errors.New("interrupted; only what was whole by then is shown") // ^C ends the variants too: no news
		}
		if err != nil {
			return fmt.Errorf("%s: %w", c, err)
		}
		for i := range list {
			list[i].Run = this
		}
		all = append(all, list...)
		write := rows.Table
		if o.json {
			write = rows.Write
		}
		if err := write(os.Stdout, list); err != nil {
			return err
		}
	}
	for _, r := range all {
		if r.Error != "" || r.Lost > 0 {
			return errors.New("some figures are missing or have losses: see above")
		}
	}
	return nil
}

// choose lists the variants that were asked for and can be had.
func choose(o options) (chosen []variant, err error) {
	all := variants(o.binary)
	if !slices.ContainsFunc(all, func(v variant) bool { return o.only.MatchString(v.name()) }) {
		return nil, fmt.Errorf("--variants %s: matches none of %s", o.only, names(all))
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
	return chosen, nil
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

// thisRun describes where and how the figures come about.
func thisRun(o options) (r rows.Run, err error) {
	version, err := exec.Command(o.binary, "version").Output()
	if err != nil {
		return r, fmt.Errorf("version of %s: %w", o.binary, err)
	}
	first, _, _ := strings.Cut(string(version), "\n")
	r = rows.Run{Go: runtime.Version(), Rounds: o.rounds, Seconds: o.duration.Seconds()}
	r.Host, err = bench.Host(strings.TrimSpace(first))
	return r, err
}
