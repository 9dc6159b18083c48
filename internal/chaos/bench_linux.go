package chaos

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"sttwall/control"
	"sttwall/internal/lab"
)

const (
	// recoverBound is how long recovery may take after the end of a cause.
	recoverBound = 30 * time.Second
	// beforeBound is the same before there is one: nothing is judged yet.
	beforeBound = 4 * recoverBound
	// askBound is how long the firewall may take to answer over its socket.
	askBound = 30 * time.Second
	// settle is how long late answers are waited for.
	settle = 300 * time.Millisecond
	// grace is how long packets that passed while a case was open may be on their way.
	grace = 200 * time.Millisecond
)

// bench is the lab with traffic and one firewall.
type bench struct {
	lab     *lab.Lab
	folder  string // a file system of its own
	traffic *traffic
	group   *group // of memory; nil: none, and why
	noGroup string
	fw      *process
	starts  int
	tell    func(any)
	log     io.Writer // of the firewalls; nil: none

	// Of the fault under way.
	fault     *fault
	open      Case // what is opened by --fail-open
	opened    window
	causeOver time.Time
}

func (b *bench) path(name string) string { return filepath.Join(b.folder, name) }

// flags are those of the firewall for a fault; later ones count.
func (b *bench) flags(f *fault, open Case) []string {
	list := []string{
		"--rules", b.path("rules.hcl"), "--control", b.path("control.sock"), "--state", b.path("small/state.json"),
		"--event-log", b.path("small/events.json"), "--drop-capture", b.path("small/drops.pcapng"), "--drop-capture-files", "1", "--drop-capture-size", "1",
		"--metrics", b.path("metrics.sock"), "--handover", b.path("handover"), "--queues", "2", "--frame-id-filter", "20", "--report", "1s",
	}
	if f != nil {
		for _, flag := range f.flags {
			list = append(list, strings.ReplaceAll(flag, "FOLDER", b.folder))
		}
	}
	if open != NoCase {
		list = append(list, "--fail-open", string(open))
	}
	return list
}

// start starts the firewall and waits until it takes packets.
func (b *bench) start(ctx context.Context, flags []string) error {
	p, err := launch(flags, b.log)
	if err != nil {
		return err
	}
	b.fw = p
	b.starts++
	if b.group != nil {
		if err := b.group.add(p.pid()); err != nil {
			return err
		}
	}
	return p.ready(ctx)
}

// again starts it as it was.
func (b *bench) again(ctx context.Context) error { return b.start(ctx, b.fw.flags) }

// end ends it as a service manager does.
func (b *bench) end(ctx context.Context) error {
	if b.fw == nil {
		return nil
	}
	if err := b.fw.signal(unix.SIGTERM); err != nil && !isGone(err) {
		return err
	}
	if _, err := b.fw.gone(ctx, startBound); err != nil {
		b.fw.kill()
		return err
	}
	return nil
}

// ensure has the firewall run with some flags.
func (b *bench) ensure(ctx context.Context, flags []string) error {
	if b.fw != nil {
		select {
		case <-b.fw.ended:
		default:
			if slices.Equal(b.fw.flags, flags) {
				return nil
			}
			if err := b.end(ctx); err != nil {
				return err
			}
		}
	}
	return b.start(ctx, flags)
}

// ask asks the firewall over its control socket.
func (b *bench) ask(ctx context.Context, f func(context.Context, *control.Client) error) error {
	ctx, cancel := context.WithTimeout(ctx, askBound)
	defer cancel()
	c, err := control.Dial(b.path("control.sock"))
	if err != nil {
		return err
	}
	defer c.Close()
	return f(ctx, c)
}

// dropped returns how many packets or frames were dropped, by "where/reason".
func (b *bench) dropped(ctx context.Context) (map[string]uint64, error) {
	counts := map[string]uint64{}
	err := b.ask(ctx, func(ctx context.Context, c *control.Client) error {
		list, err := c.Drops(ctx)
		for _, d := range list {
			counts[d.Where+"/"+d.Reason] += d.Count
		}
		return err
	})
	return counts, err
}

// troubles returns what the firewall says should be looked at.
func (b *bench) troubles(ctx context.Context) (list []string, err error) {
	err = b.ask(ctx, func(ctx context.Context, c *control.Client) error {
		h, err := c.Health(ctx)
		for _, t := range h.Troubles {
			list = append(list, t.Severity+": "+t.What)
		}
		return err
	})
	return list, err
}

// trouble waits until one of them contains text.
func (b *bench) trouble(ctx context.Context, text string) (string, error) {
	var last []string
	for range 100 {
		list, err := b.troubles(ctx)
		if err != nil {
			return "", err
		}
		for _, t := range list {
			if strings.Contains(t, text) {
				return t, nil
			}
		}
		last = list
		if err := wait(ctx, 100*time.Millisecond); err != nil {
			return "", err
		}
	}
	return "", fmt.Errorf("stats do not tell of %q within 10 s, but of %q", text, last)
}

// wait is for causes that last.
func wait(ctx context.Context, d time.Duration) error {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// over notes that the cause ends now, unless that was noted before.
func (b *bench) over() {
	if b.causeOver.IsZero() {
		b.causeOver = time.Now()
	}
}

// nowOpen notes that from now on what was opened is open; nowShut that it is no longer.
func (b *bench) nowOpen() {
	if b.open != NoCase && b.open == b.fault.fails {
		b.opened = window{from: time.Now()}
	}
}

func (b *bench) nowShut() {
	if !b.opened.from.IsZero() && b.opened.to.IsZero() {
		b.opened.to = time.Now().Add(grace)
	}
}

// onlyOpen is the sort of denied packets that the opened case lets pass; "": all. Where
// the flow table is full, TCP of no flow may be of one that was let pass without: it
// passes where the rules accept it. All else is stopped as ever.
func (b *bench) onlyOpen() string {
	if b.open == Exception {
		return lab.NoFlow
	}
	return ""
}

// steady waits until accepted traffic goes through since a time, and returns when it did.
func (b *bench) steady(ctx context.Context, since time.Time, within time.Duration) (time.Time, error) {
	verified, bound := b.traffic.transfers.verified.Load(), time.Now().Add(within)
	var at time.Time
	for {
		if at.IsZero() {
			at, _ = b.traffic.probe.steady(since)
		}
		if !at.IsZero() && b.traffic.transfers.verified.Load() > verified+8*chunkLength {
			return at, nil
		}
		if time.Now().After(bound) {
			what := "the probe is not answered"
			if !at.IsZero() {
				what = "transfers do not go on"
			}
			return at, fmt.Errorf("%s within %v after the end of the cause", what, within)
		}
		if err := b.lab.Failure(); err != nil {
			return at, err
		}
		if err := wait(ctx, 10*time.Millisecond); err != nil {
			return at, err
		}
	}
}

// try puts a fault in and returns what became of it; an error is one of the bench.
func (b *bench) try(ctx context.Context, f *fault, open Case) (row Row, err error) {
	row = Row{Fault: f.name, What: f.what, Fails: f.fails, Open: open}
	if f.possible != nil {
		if row.Skipped = f.possible(b); row.Skipped != "" {
			return row, nil
		}
	}
	b.fault, b.open, b.opened, b.causeOver = f, open, window{}, time.Time{}
	if f.prepare != nil {
		if err := f.prepare(b); err != nil {
			return row, fmt.Errorf("before %s: %w", f.name, err)
		}
	}
	if err := b.ensure(ctx, b.flags(f, open)); err != nil {
		if said := b.fw.log.last(2); open == Exception && strings.Contains(said, "--fail-open=exception") {
			row.Skipped = "this version refuses it"
			return row, nil
		}
		return row, err
	}
	if _, err := b.steady(ctx, time.Now(), beforeBound); err != nil {
		return row, fmt.Errorf("before %s: %w", f.name, err)
	}
	if err := b.empty(); err != nil {
		return row, err
	}
	tr := b.traffic
	span := window{from: time.Now()}
	tr.probe.forget(span.from)
	tr.denied.forget()
	sent, verified := tr.denied.sentAll(), tr.transfers.verified.Load()
	corrupt := tr.transfers.corrupt.Load() + tr.probe.corrupt.Load()

	row.Seen, err = f.run(ctx, b)
	b.over()
	var wrong []string
	if err != nil {
		if ctx.Err() != nil {
			return row, ctx.Err()
		}
		wrong = append(wrong, err.Error())
		if err := b.repair(ctx); err != nil {
			return row, fmt.Errorf("after %s: %w", f.name, errors.Join(errors.New(wrong[0]), err))
		}
	}
	at, err := b.steady(ctx, b.causeOver, recoverBound)
	if err != nil {
		if ctx.Err() != nil {
			return row, ctx.Err()
		}
		wrong = append(wrong, err.Error())
		if err := b.repair(ctx); err != nil {
			return row, err
		}
	}
	if err := wait(ctx, settle); err != nil {
		return row, err
	}
	span.to = time.Now().Add(-settle)
	l := tr.probe.loss(span)
	row.Asked, row.Lost, row.Gap = l.asked, l.lost, l.gap
	if !at.IsZero() && (l.lost > 0 || l.gap > 100*time.Millisecond) {
		row.Recovery = max(0, at.Sub(b.causeOver))
	}
	var sorts string
	span.to = time.Now()
	row.DeniedOpen, row.Denied, sorts = tr.denied.arrivals(span, b.opened, b.onlyOpen())
	row.Sent, row.Verified = tr.denied.sentAll()-sent, tr.transfers.verified.Load()-verified
	row.Corrupt = tr.transfers.corrupt.Load() + tr.probe.corrupt.Load() - corrupt
	if row.Denied > 0 {
		wrong = append(wrong, "denied packets arrived: "+sorts)
	}
	if row.Corrupt > 0 {
		wrong = append(wrong, fmt.Sprintf("other bytes arrived than were sent, %d times", row.Corrupt))
	}
	if open != NoCase && open != Exception && open == f.fails && row.DeniedOpen == 0 {
		wrong = append(wrong, "--fail-open="+string(open)+" has opened nothing")
	}
	row.Wrong = strings.Join(wrong, "; ")
	return row, nil
}

// empty takes away what earlier faults have put into the event log, which would fill
// the small disk.
func (b *bench) empty() error {
	err := os.Truncate(b.path("small/events.json"), 0)
	if errors.Is(err, os.ErrNotExist) {
		return nil
	}
	return err
}

// repair brings the firewall back after a fault that did not go as it should.
func (b *bench) repair(ctx context.Context) error {
	b.fw.signal(syscall.SIGCONT)
	b.fw.kill()
	if b.fault.mend != nil {
		if err := b.fault.mend(ctx, b); err != nil {
			return err
		}
	}
	if err := b.again(ctx); err != nil {
		return err
	}
	_, err := b.steady(ctx, time.Now(), recoverBound)
	return err
}

// heard proves that what is to see denied packets sees each sort: no firewall is there yet.
func (b *bench) heard(ctx context.Context) error {
	for range 600 {
		if len(b.traffic.denied.unseen()) == 0 {
			return nil
		}
		if err := wait(ctx, 100*time.Millisecond); err != nil {
			return err
		}
	}
	return fmt.Errorf("without a firewall these are not seen at the far side, so that nothing would be proven: %s",
		strings.Join(b.traffic.denied.unseen(), ", "))
}

// newBench builds the lab.
func newBench(c Input, tell func(any), log io.Writer) (b *bench, err error) {
	b = &bench{tell: tell, log: log, noGroup: c.NoGroup}
	defer func() {
		if err != nil {
			err = errors.Join(err, b.close())
		}
	}()
	if b.folder, err = lab.CoverFolder("64m"); err != nil {
		return b, err
	}
	if err := os.Mkdir(b.path("small"), 0o755); err != nil {
		return b, err
	}
	if err := unix.Mount("tmpfs", b.path("small"), "tmpfs", unix.MS_NOSUID|unix.MS_NODEV, "mode=0755,size=8m"); err != nil {
		return b, fmt.Errorf("a small file system: %w", err)
	}
	if err := b.writeRules(); err != nil {
		return b, err
	}
	if c.Group.Path != "" {
		if b.group, err = openGroup(c.Group, b.path("cgroup")); err != nil {
			b.group, b.noGroup = nil, err.Error()
		}
	}
	if b.lab, err = lab.New(lab.Config{Without: lab.Inspection}); err != nil {
		return b, err
	}
	b.traffic, err = startTraffic(b.lab, c.Seed)
	return b, err
}

func (b *bench) close() error {
	var errs []error
	if b.fw != nil {
		b.fw.kill()
	}
	if b.traffic != nil {
		b.traffic.close()
	}
	if b.lab != nil {
		errs = append(errs, b.lab.Close())
	}
	return errors.Join(errs...)
}

// smallTable is how many flows the firewall remembers for the fault that fills it.
const smallTable = 512

func (b *bench) writeRules() error {
	rules := string(lab.DemoRules)
	small := strings.Replace(rules, "settings {", fmt.Sprintf("settings {\n  flows = %d\n  timeouts {\n    udp_stream = \"4s\"\n    udp = \"4s\"\n  }\n", smallTable), 1)
	small = strings.Replace(small, "rule \"echo\" {", fmt.Sprintf("rule \"answer\" {\n    action   = \"accept\"\n    services = [\"udp/%d\"]\n  }\n\n  rule \"echo\" {", portAnswer), 1)
	return errors.Join(os.WriteFile(b.path("rules.hcl"), []byte(rules), 0o644), os.WriteFile(b.path("small.hcl"), []byte(small), 0o644))
}
