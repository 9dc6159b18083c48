// Command strain measures what a large firewall costs: the memory of a process that
// has so many flows and rules, and how long a worker's packets wait while others are
// at work in the process.
//
//	go run ./scripts/strain --flows 1000000 --rules 10000 --for 10s
//
// The flows begin in the firewall's core, a packet each. Then a worker, locked to a
// thread that is pinned, sleeps in a system call as it does in `sttwall run`, is woken
// by a timer for each batch, and decides packets of random flows. A delay is from when
// the batch was due to when all of it was decided, so that a worker that is late for
// one is late for those behind it. Beside it are, in turn: nobody; a control client
// that asks all that the screens ask, as fast as it is answered; the same with metrics
// scraped and a collection of garbage after the other; a reload that judges all flows
// anew; one look after the other for flows whose time is over.
//
// GOGC, GOMEMLIMIT and GOMAXPROCS are those of the environment.
package main

import (
	"context"
	"flag"
	"fmt"
	"os"
	"time"
)

func main() {
	var c config
	flag.IntVar(&c.flows, "flows", 1_000_000, "how many flows there are")
	flag.IntVar(&c.rules, "rules", 10_000, "how many rules there are")
	flag.IntVar(&c.tenants, "tenants", 1, "how many tenants share the rules and the flows")
	flag.IntVar(&c.batch, "batch", 16, "packets in a batch")
	flag.DurationVar(&c.every, "every", 200*time.Microsecond, "time between two batches")
	flag.DurationVar(&c.long, "for", 5*time.Second, "how long each part is measured")
	flag.IntVar(&c.cpu, "cpu", 1, "processor that the worker is pinned to")
	flag.BoolVar(&c.fifo, "fifo", false, "schedule the worker before all else on the machine (SCHED_FIFO)")
	flag.StringVar(&c.only, "only", "", "name of the one part that is measured")
	flag.Parse()
	if err := run(context.Background(), c); err != nil {
		fmt.Fprintln(os.Stderr, "strain:", err)
		os.Exit(1)
	}
}

// config is what is measured.
type config struct {
	flows, rules, tenants, batch, cpu int
	every, long                       time.Duration
	fifo                              bool
	only                              string
}

func run(ctx context.Context, c config) error {
	fw, err := newFirewall(c)
	if err != nil {
		return err
	}
	if err := printMemory("empty"); err != nil {
		return err
	}
	start := time.Now()
	if err := fw.fill(); err != nil {
		return err
	}
	fmt.Printf("%d flows began in %v\n", c.flows, time.Since(start).Round(time.Millisecond))
	if err := printMemory("full"); err != nil {
		return err
	}
	others, done, err := fw.others()
	if err != nil {
		return err
	}
	defer done()
	fmt.Printf("%-10s %9s %9s %9s %9s %9s %5s %9s\n", "beside", "p50", "p99", "p99.9", "p99.99", "most", "GCs", "done")
	for _, o := range others {
		if c.only != "" && c.only != o.name {
			continue
		}
		if err := fw.measure(ctx, o); err != nil {
			return err
		}
	}
	return printMemory("at the end")
}
