package lab

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"time"

	"golang.org/x/sys/unix"
)

// DefaultBulk is how many bytes the demo sends each way.
const DefaultBulk = 100_000_000

// stepBound is how long one line of the demo may take. The bulk transfers may take longer, and
// have failed when no byte moves: an emulated processor takes minutes for them.
const (
	stepBound  = 30 * time.Second
	bulkBound  = 10 * time.Minute
	stallBound = 2 * time.Minute
)

// Options say how the demo runs.
type Options struct {
	// Queues is the number of NFQUEUE queues and workers; 0 means 2.
	Queues int `json:"queues,omitempty"`
	// Position is where the firewall sits.
	Position Position `json:"place"`
	// Bulk is how many bytes go each way over TCP; 0 means [DefaultBulk].
	Bulk int64 `json:"bulk,omitempty"`
	// Evasion: the attacks of docs/evasion.md on all ways, and nothing else.
	Evasion bool `json:"evasion,omitempty"`
	// JSON prints one object a line instead of the table.
	JSON bool `json:"-"`
	// Stderr takes progress, if it is a terminal, and remarks; nil means
	// os.Stderr.
	Stderr io.Writer `json:"-"`

	started func(pid int) // of the child; for tests
}

// Row is what became of one line of the scenario.
type Row struct {
	// What was tried, through which tenant, and what was expected.
	What     string `json:"what"`
	Tenant   string `json:"tenant"`
	Expected string `json:"expected"`
	// Happened is what did happen, with the reason and the rule that the
	// firewall gave.
	Happened string `json:"happened"`
	// OK: it was as expected.
	OK bool `json:"ok"`
	// Place is where the firewall sat.
	Place string `json:"place,omitempty"`
}

// RunDemo builds the lab in a child process, runs the scenario, prints a row
// for each line of it to w and reports whether all were as expected. It
// returns when the child and everything in it is gone. If ctx ends before
// that, it says so and returns the error of ctx.
func RunDemo(ctx context.Context, o Options, w io.Writer) (bool, error) {
	if o.Stderr == nil {
		o.Stderr = os.Stderr
	}
	p := &printer{w: w, json: o.JSON, widths: columnWidths(plan(o)), columns: terminalColumns(w)}
	if isTerminal(o.Stderr) {
		p.progress = o.Stderr
	}
	start := time.Now()
	c := child{
		entry:     entryDemo,
		arguments: []string{entryDemo},
		order:     order{Options: o},
		stdout:    o.Stderr, stderr: o.Stderr,
		receive: p.receive,
		started: o.started,
	}
	status, err := c.run(ctx)
	p.clearProgress()
	switch {
	case ctx.Err() != nil:
		fmt.Fprintf(o.Stderr, "interrupted after %d of %d lines; the lab is gone, and with it all its namespaces, links, tables and processes\n",
			p.rows, len(plan(o)))
		return false, context.Cause(ctx)
	case err != nil:
		return false, err
	case status > 1:
		return false, fmt.Errorf("lab: the child ended with status %d", status)
	}
	p.summary(len(plan(o)), time.Since(start))
	return status == 0 && p.failed == 0 && p.rows == len(plan(o)), p.err
}

// runScenario is the demo as it runs inside the child.
func runScenario(ctx context.Context, o Options, report func(message)) (ok bool, err error) {
	report(message{Progress: "building the lab"})
	var s *scenario
	end := func() (err error) {
		if s != nil {
			err = s.Close()
		}
		s = nil
		return err
	}
	defer func() { err = errors.Join(err, end()) }()
	ok = true
	for _, step := range plan(o) {
		report(message{Progress: step.What})
		var row Row
		if step.alone != nil {
			if err := end(); err != nil {
				return false, err
			}
			row = tryAlone(ctx, step)
		} else {
			if s == nil {
				if s, err = newScenario(Config{Queues: o.Queues, Position: o.Position, ReassemblyTimeout: reassemblyTimeout}); err != nil {
					return false, err
				}
			}
			row = s.try(ctx, step)
		}
		if ctx.Err() != nil {
			return false, ctx.Err()
		}
		row.Place = o.Position.String()
		ok = ok && row.OK
		report(message{Row: &row})
	}
	return ok, nil
}

// printer prints rows as they come.
type printer struct {
	w        io.Writer
	progress io.Writer // nil: none
	json     bool
	widths   [3]int
	columns  int // of the terminal; 0 if it is none
	rows     int
	failed   int
	err      error // the first from w
	shown    bool  // a progress line is on the terminal
}

func columnWidths(steps []step) (w [3]int) {
	w = [3]int{len("tried"), len("tenant"), len("expected")}
	for _, s := range steps {
		w[0], w[1], w[2] = max(w[0], len(s.What)), max(w[1], len(s.Tenant)), max(w[2], len(s.Expected))
	}
	return w
}

func (p *printer) printf(format string, args ...any) {
	if _, err := fmt.Fprintf(p.w, format, args...); err != nil && p.err == nil {
		p.err = err
	}
}

// narrow reports whether a row has no place in one line of the terminal.
func (p *printer) narrow() bool {
	const numberVerdictAndGaps, happened = 16, 60
	return p.columns > 0 && p.columns < p.widths[0]+p.widths[1]+p.widths[2]+numberVerdictAndGaps+happened
}

func (p *printer) header() {
	if !p.json && !p.narrow() {
		p.printf(" #        %-*s  %-*s  %-*s  %s\n", p.widths[0], "tried", p.widths[1], "tenant", p.widths[2], "expected", "happened")
	}
}

func (p *printer) receive(m message) {
	p.clearProgress()
	if m.Progress != "" && p.progress != nil {
		fmt.Fprintf(p.progress, "\r... %s", m.Progress)
		p.shown = true
	}
	if m.Row == nil {
		return
	}
	if p.rows == 0 {
		p.header()
	}
	p.rows++
	verdict := "ok"
	if !m.Row.OK {
		verdict = "FAILED"
		p.failed++
	}
	if p.json {
		if err := json.NewEncoder(p.w).Encode(m.Row); err != nil && p.err == nil {
			p.err = err
		}
		return
	}
	if p.narrow() {
		p.printf("%2d %-6s %s\n          tenant %s, expected %s\n          %s\n", p.rows, verdict,
			m.Row.What, m.Row.Tenant, m.Row.Expected, m.Row.Happened)
		return
	}
	p.printf("%2d %-6s %-*s  %-*s  %-*s  %s\n", p.rows, verdict,
		p.widths[0], m.Row.What, p.widths[1], m.Row.Tenant, p.widths[2], m.Row.Expected, m.Row.Happened)
}

func (p *printer) clearProgress() {
	if p.shown {
		fmt.Fprint(p.progress, "\r\x1b[K")
		p.shown = false
	}
}

func (p *printer) summary(lines int, took time.Duration) {
	if !p.json {
		p.printf("\n%d of %d lines as expected, in %.1f s. The lab is gone: no namespace, link, table, process or file is left.\n",
			p.rows-p.failed, lines, took.Seconds())
	}
}

func isTerminal(w io.Writer) bool {
	f, ok := w.(*os.File)
	if !ok {
		return false
	}
	_, err := unix.IoctlGetTermios(int(f.Fd()), unix.TCGETS)
	return err == nil
}

// terminalColumns returns the width of the terminal that w is, or 0.
func terminalColumns(w io.Writer) int {
	f, ok := w.(*os.File)
	if !ok {
		return 0
	}
	size, err := unix.IoctlGetWinsize(int(f.Fd()), unix.TIOCGWINSZ)
	if err != nil {
		return 0
	}
	return int(size.Col)
}
