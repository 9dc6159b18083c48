package chaos

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"net"
	"strings"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"sttwall/internal/lab"
)

// endings are faults with which the firewall's process ends, or does not begin.
func endings() []*fault {
	return []*fault{
		{
			name: "kill", what: "kill -9, and a start 0.7 s later", fails: Absent, ends: true,
			run: func(ctx context.Context, b *bench) (string, error) { return b.endBy(ctx, unix.SIGKILL) },
		},
		{
			name: "restart", what: "SIGTERM, and a start 0.7 s later", fails: Absent, ends: true,
			run: func(ctx context.Context, b *bench) (string, error) {
				return b.keptFlows(ctx, func() (string, error) { return b.endBy(ctx, unix.SIGTERM) })
			},
		},
		{
			name: "take-over", what: "a planned restart: run --take-over while one runs", ends: true,
			run: func(ctx context.Context, b *bench) (string, error) {
				return b.keptFlows(ctx, func() (string, error) { return b.takeOver(ctx) })
			},
		},
		{
			name: "oom", what: "frames that are never whole, with a memory cgroup 4 MiB above what is used", fails: Absent, ends: true,
			possible: func(b *bench) string {
				if b.group == nil {
					return b.noGroup
				}
				return ""
			},
			run:  outOfMemory,
			mend: func(_ context.Context, b *bench) error { return b.group.limit(0) },
		},
		{
			name: "metrics-port", what: "a start while somebody else has the port of --metrics", fails: Absent, ends: true,
			run: portTaken,
		},
		{
			name: "second", what: "a second instance is started: on the same socket, then on the same queues",
			run: second,
		},
	}
}

func (b *bench) endBy(ctx context.Context, s syscall.Signal) (string, error) {
	return b.absence(ctx, absentFor, func() (string, error) {
		if err := b.fw.signal(s); err != nil {
			return "", err
		}
		return b.fw.gone(ctx, startBound)
	})
}

// keptFlows wants the connections that are there to go on through what f does.
func (b *bench) keptFlows(ctx context.Context, f func() (string, error)) (string, error) {
	s, err := b.traffic.openSession()
	if err != nil {
		return "", fmt.Errorf("a connection that is to go on: %w", err)
	}
	defer s.close()
	if err := s.exchange(stalledMost); err != nil {
		return "", fmt.Errorf("a connection that is to go on: %w", err)
	}
	seen, err := f()
	if err != nil {
		return "", err
	}
	if err := s.exchange(10 * time.Second); err != nil {
		return "", fmt.Errorf("%s; a TCP connection from before does not go on: %w", seen, err)
	}
	return seen + "; TCP from before goes on", nil
}

// takeOver starts an instance that takes the place of the one that runs.
func (b *bench) takeOver(ctx context.Context) (string, error) {
	first := b.fw
	flags := b.fw.flags
	if err := b.start(ctx, append(flags[:len(flags):len(flags)], "--take-over")); err != nil {
		first.kill()
		return "", err
	}
	b.fw.flags = flags
	b.over()
	how, err := first.gone(ctx, startBound)
	return "the first has ended, " + how, err
}

// outOfMemory has the kernel kill the firewall for want of memory.
func outOfMemory(ctx context.Context, b *bench) (string, error) {
	before, err := b.group.kills()
	if err != nil {
		return "", err
	}
	how, err := b.absence(ctx, absentFor, func() (string, error) {
		used, err := b.group.used()
		if err != nil {
			return "", err
		}
		if err := b.group.limit(used + 4<<20); err != nil {
			return "", err
		}
		flood, stop := context.WithCancel(ctx)
		defer stop()
		go b.unfinished(flood)
		how, err := b.fw.gone(ctx, startBound)
		return how, errors.Join(err, b.group.limit(0))
	})
	if err != nil {
		return "", err
	}
	after, err := b.group.kills()
	if err == nil && after == before {
		err = errors.New("it has ended, and not by the kernel's OOM killer")
	}
	return fmt.Sprintf("OOM killer, cgroup v%d: %s", b.group.version, how), err
}

// unfinished sends large frames without their last packet until ctx ends.
func (b *bench) unfinished(ctx context.Context) {
	r := rand.New(rand.NewPCG(uint64(b.fw.pid()), 2))
	for ctx.Err() == nil {
		packets, err := lab.Unfinished(r, 40_000)
		if err != nil {
			return
		}
		for _, p := range packets {
			b.lab.Inject(lab.EndpointA, p, lab.Offload{})
		}
		wait(ctx, time.Millisecond)
	}
}

func portTaken(ctx context.Context, b *bench) (string, error) {
	const address = "127.0.0.1:9475"
	var said string
	how, err := b.absence(ctx, 0, func() (string, error) {
		var taken net.Listener
		if err := b.lab.Do(lab.Firewall, func() (err error) {
			taken, err = net.Listen("tcp4", address)
			return err
		}); err != nil {
			return "", err
		}
		defer taken.Close()
		flags := b.fw.flags
		if err := b.end(ctx); err != nil {
			return "", err
		}
		p, err := launch(append(flags[:len(flags):len(flags)], "--metrics", address), b.log)
		if err != nil {
			return "", err
		}
		status, err := p.gone(ctx, startBound)
		if err != nil {
			p.kill()
			return "", errStarted
		}
		said = p.log.last(1)
		return "the start is refused, " + status, wait(ctx, absentFor)
	})
	if err != nil {
		return "", err
	}
	if !strings.Contains(said, "--metrics names another address") {
		return "", fmt.Errorf("the refusal does not say what to do: %s", said)
	}
	return how + ": " + quoted(said), nil
}

// second starts other instances while one runs.
func second(ctx context.Context, b *bench) (string, error) {
	var seen []string
	for _, other := range []struct {
		flags []string
		says  string
	}{
		{nil, "control.sock"},
		{[]string{"--control", b.path("other.sock"), "--metrics", "", "--state", "", "--drop-capture", "", "--event-log", b.path("other.json")}, "queue 7471"},
	} {
		flags := b.fw.flags
		p, err := launch(append(flags[:len(flags):len(flags)], other.flags...), b.log)
		if err != nil {
			return "", err
		}
		if _, err := p.gone(ctx, startBound); err != nil {
			p.kill()
			return "", errStarted
		}
		said := p.log.last(1)
		if !strings.Contains(said, other.says) {
			return "", fmt.Errorf("the refusal does not say why: %s", said)
		}
		seen = append(seen, quoted(said))
	}
	return "the second is refused, the first goes on: " + strings.Join(seen, "; "), nil
}

// quoted is a line of the program, without its name, in quotes and shortened.
func quoted(line string) string {
	line = strings.TrimPrefix(strings.TrimSpace(line), "sttwall: ")
	if r := []rune(line); len(r) > 160 {
		line = string(r[:157]) + "..."
	}
	return "\"" + line + "\""
}
