package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"time"

	"sttwall/control"
	"sttwall/internal/load"
	"sttwall/internal/onlooker"
)

// sttwall is the real program under a rules file of so many rules.
type sttwall struct {
	title  string
	binary string
	rules  int  // before the one that accepts; 0: accept-all
	screen bool // somebody watches
	flags  []string
}

func sttwallVariants(binary string) []variant {
	list := []variant{&sttwall{title: "sttwall_accept", binary: binary}}
	for _, n := range []int{10, 1000, 10000} {
		list = append(list, &sttwall{title: fmt.Sprintf("sttwall_rules_%d", n), binary: binary, rules: n})
	}
	return append(list,
		&sttwall{title: "sttwall_tui", binary: binary, rules: 1000, screen: true},
		&sttwall{title: "sttwall_go_nfqueue", binary: binary, rules: 1000, flags: []string{"--driver", "go-nfqueue"}},
	)
}

func (s *sttwall) name() string       { return s.title }
func (s *sttwall) measures(cell) bool { return true }

// available asks the program whether it knows the flags of this variant.
func (s *sttwall) available() error {
	if len(s.flags) == 0 {
		return nil
	}
	help, err := exec.Command(s.binary, "run", "--help").Output()
	if err != nil {
		return err
	}
	if !bytes.Contains(help, []byte(s.flags[0]+" ")) {
		return fmt.Errorf("this sttwall has no %s", s.flags[0])
	}
	return nil
}

// startBound is how long it may take to start, where others compute too.
const startBound = 2 * time.Minute

func (s *sttwall) start(ctx context.Context, l *load.Lab, at place) (_ running, err error) {
	dir, err := os.MkdirTemp("", "sttwall-bench-")
	if err != nil {
		return nil, err
	}
	r := &program{dir: dir}
	defer func() {
		if err != nil {
			_, stopErr := r.stop()
			err = errors.Join(err, stopErr)
		}
	}()
	rules := filepath.Join(dir, "rules.hcl")
	if err := os.WriteFile(rules, rulesFile(s.rules), 0o644); err != nil {
		return nil, err
	}
	socket := filepath.Join(dir, "control.sock")
	c := exec.Command(s.binary, append([]string{"run", "--rules", rules, "--control", socket, "--state", "",
		"--queue", fmt.Sprint(firstQueue), "--queues", fmt.Sprint(at.cell.queues), "--startup-guard", "0s",
		"--queue-length", fmt.Sprint(queueLength), "--receive-buffer", fmt.Sprint(receiveBuffer),
		"--event-log", filepath.Join(dir, "eve.json"), "--metrics", filepath.Join(dir, "metrics.sock")}, s.flags...)...)
	c.Stderr = &r.log
	if err := l.Start(c, at.cpus...); err != nil {
		return nil, fmt.Errorf("%s: start: %w", s.title, err)
	}
	r.command, r.ended = c, make(chan struct{})
	go func() {
		r.err = c.Wait()
		close(r.ended)
	}()
	client, err := r.dial(ctx, socket)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", s.title, err)
	}
	if r.client = client; s.screen {
		r.watch()
	}
	return r, nil
}

// program is a started sttwall.
type program struct {
	dir     string
	command *exec.Cmd
	log     bytes.Buffer // whole once ended is closed
	ended   chan struct{}
	err     error

	client  *control.Client
	unwatch func() error
}

// dial waits for the control socket, which answers once the queues are served.
func (p *program) dial(ctx context.Context, socket string) (*control.Client, error) {
	ctx, cancel := context.WithTimeout(ctx, startBound)
	defer cancel()
	tick := time.NewTicker(10 * time.Millisecond)
	defer tick.Stop()
	for {
		client, err := control.Dial(socket)
		if err == nil {
			if _, err = client.Status(ctx); err == nil {
				return client, nil
			}
			client.Close()
		}
		select {
		case <-p.ended:
			return nil, fmt.Errorf("it ended: %w", p.err)
		case <-ctx.Done():
			return nil, err
		case <-tick.C:
		}
	}
}

// watch asks what the screens of `sttwall top` ask, once a second.
func (p *program) watch() {
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() {
		tick := time.NewTicker(time.Second)
		defer tick.Stop()
		for {
			if err := onlooker.Look(ctx, p.client); err != nil {
				done <- err
				return
			}
			select {
			case <-ctx.Done():
				done <- nil
				return
			case <-tick.C:
			}
		}
	}()
	p.unwatch = func() error {
		cancel()
		err := <-done
		if errors.Is(err, context.Canceled) {
			err = nil
		}
		return err
	}
}

// stop ends it, and says what it had logged if it does not end well.
func (p *program) stop() (calls float64, err error) {
	var errs []error
	if p.unwatch != nil {
		errs = append(errs, p.unwatch())
	}
	if p.client != nil {
		var callsErr error
		calls, callsErr = p.systemCalls()
		errs = append(errs, callsErr)
		p.client.Close()
	}
	if p.command != nil {
		select {
		case <-p.ended:
			errs = append(errs, fmt.Errorf("%s ended by itself: %v\n%s", p.command.Path, p.err, p.said()))
		default:
			if err := p.command.Process.Signal(syscall.SIGTERM); err != nil {
				errs = append(errs, err)
			}
			<-p.ended
			if p.err != nil {
				errs = append(errs, fmt.Errorf("%s: %w\n%s", p.command.Path, p.err, p.said()))
			}
		}
	}
	return calls, errors.Join(append(errs, os.RemoveAll(p.dir))...)
}

// systemCalls is how many its queues made for a packet.
func (p *program) systemCalls() (float64, error) {
	ctx, cancel := context.WithTimeout(context.Background(), startBound)
	defer cancel()
	h, err := p.client.Health(ctx)
	if err != nil {
		return 0, err
	}
	var calls, packets uint64
	for _, q := range h.Queues {
		calls, packets = calls+q.SystemCalls, packets+q.Packets
	}
	if packets == 0 {
		return 0, nil
	}
	return float64(calls) / float64(packets), nil
}

// said is the end of what it logged.
func (p *program) said() []byte {
	const most = 2000
	b := p.log.Bytes()
	return b[max(0, len(b)-most):]
}

// rulesFile writes a rules file for the traffic of the lab: rules that do not match it,
// on addresses and ports of many shapes, and one that does as the last.
func rulesFile(rules int) []byte {
	var b strings.Builder
	from, to := load.Endpoints()[0], load.Endpoints()[1]
	fmt.Fprintf(&b, "settings {\n  endpoints = [%q, %q]\n  flows = 1500000\n}\n\ntenant \"bench\" {\n  context_ids = [%d]\n", from, to, load.ContextID)
	for i := range max(rules-1, 0) {
		action := "accept"
		if i%3 == 0 {
			action = "drop"
		}
		source := netip.PrefixFrom(netip.AddrFrom4([4]byte{10, byte(64 + i>>8&63), byte(i), 0}), 20+i%5).Masked()
		fmt.Fprintf(&b, "  rule \"r%d\" {\n    action      = %q\n    source      = [%q]\n    destination = [\"10.%d.%d.%d\"]\n    services    = [\"tcp/%d\"]\n  }\n",
			i, action, source, 128+i>>8&63, i*7&255, i*13&255, 1+i*31%40000)
	}
	b.WriteString("  rule \"traffic\" {\n    action = \"accept\"\n")
	if rules > 0 {
		fmt.Fprintf(&b, "    destination = [\"10.20.0.0/16\"]\n    services = [\"tcp/%d\", \"udp/%d\"]\n", load.ServerPort, load.ServerPort)
	}
	b.WriteString("  }\n}\n")
	return []byte(b.String())
}
