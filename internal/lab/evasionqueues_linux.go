package lab

import (
	"bytes"
	"context"
	"fmt"
	"sync"

	"golang.org/x/sys/unix"

	"sttwall/internal/evasion"
	"sttwall/nfq"
	"sttwall/policy"
)

// start opens the queues and has workers wait at them, and installs the table.
func (r *rig) start() error {
	rules, diags := policy.Load("evasion.hcl", []byte(evasion.Rules))
	if diags.HasErrors() {
		return diags
	}
	cpus, err := allowedCPUs()
	if err != nil {
		return err
	}
	var workers []*nfq.Worker
	var queues []nfq.Queue
	hooks, own := r.Position.hooks(), nfq.Own{}
	if hooks.Has(nfq.HookOutput) {
		own = nfq.NewOwn()
	}
	injector, err := nfq.NewInjector(0, own)
	if err != nil {
		return err
	}
	fail := func(err error) error {
		injector.Close()
		for _, q := range queues {
			q.Close() // what led here is the error that counts
		}
		return err
	}
	for i := range r.Queues {
		config := nfq.Config{Number: uint16(i)}
		if r.Part {
			config.CopyRange = evasion.CopyRange
		}
		queue, err := nfq.Open(config)
		if err != nil {
			return fail(err)
		}
		queues = append(queues, queue)
		core := &rigCore{parts: map[uint64][]byte{}}
		r.cores = append(r.cores, core)
		worker, err := nfq.NewWorker(nfq.WorkerConfig{
			Queue: queue, Core: core, Clock: r.clock.Load, Affinity: nfq.CPU(cpus[i%len(cpus)]),
			Send: func(packet []byte, device int) {
				r.mu.Lock()
				defer r.mu.Unlock()
				r.answers = append(r.answers, bytes.Clone(packet))
				injector.Send(packet, device)
			},
		})
		if err != nil {
			return fail(err)
		}
		workers = append(workers, worker)
	}
	settings := rules.Settings()
	if r.table, err = nfq.InstallTable(nfq.TableConfig{Hooks: hooks, Own: own, Ports: settings.STTPorts, Endpoints: settings.Endpoints, Queues: r.Queues}); err != nil {
		return fail(err)
	}
	ctx, cancel := context.WithCancel(r.lab.ctx)
	var running sync.WaitGroup
	for i, w := range workers {
		running.Go(func() {
			if err := w.Run(ctx); err != nil {
				r.lab.failures.add(fmt.Errorf("lab: evasion: queue %d: %w", i, err), 0)
			}
		})
	}
	r.stop = func() error {
		cancel()
		running.Wait()
		injector.Close()
		return r.lab.Do(Firewall, r.table.Remove)
	}
	return nil
}

// allowedCPUs are the processors that this thread may run on.
func allowedCPUs() ([]int, error) {
	var set unix.CPUSet
	if err := unix.SchedGetaffinity(0, &set); err != nil {
		return nil, fmt.Errorf("processors: %w", err)
	}
	var list []int
	for i := range len(set) * 64 {
		if set.IsSet(i) {
			list = append(list, i)
		}
	}
	return list, nil
}

// onOneCPU runs f on a thread that stays on one processor: packets that are sent there
// one after the other arrive in that order.
func onOneCPU(f func() error) error {
	return onThread(func() error {
		cpus, err := allowedCPUs()
		if err != nil {
			return err
		}
		var set unix.CPUSet
		set.Set(cpus[0])
		if err := unix.SchedSetaffinity(0, &set); err != nil {
			return fmt.Errorf("processor %d: %w", cpus[0], err)
		}
		return f()
	})
}
