package main

import (
	"context"
	"errors"
	"fmt"

	"sttwall/bench/peers"
	"sttwall/internal/load"
	"sttwall/nfq"
	"sttwall/stt"
)

// variant is one thing to measure.
type variant interface {
	name() string
	// available says why it cannot be had here, nil if it can.
	available() error
	// start makes it ready in the lab for packets of one cell. stop ends it.
	start(ctx context.Context, l *load.Lab, p place) (running, error)
}

// running is a variant at work.
type running interface {
	// pid is its process, 0 if it has none.
	pid() int
	stop() error
}

// place is where a variant works, the same for all of a cell.
type place struct {
	cell cell
	cpus []int // that its queues are served on
}

const (
	// firstQueue is the number of the first queue of all variants.
	firstQueue = 7471
	// queueLength and receiveBuffer are those of all variants.
	queueLength   = 32768
	receiveBuffer = 32 << 20
)

// variants lists all, in the order of the table.
func variants(binary string) []variant {
	list := []variant{forward{}}
	for _, p := range peers.All() {
		list = append(list, &peer{p, 0})
	}
	return append(list, sttwallVariants(binary)...)
}

// forward is the kernel's forwarding without a queue.
type forward struct{}

func (forward) name() string     { return "forward" }
func (forward) available() error { return nil }
func (forward) start(context.Context, *load.Lab, place) (running, error) {
	return forward{}, nil
}
func (forward) pid() int    { return 0 }
func (forward) stop() error { return nil }

// peer is a variant of package peers, behind the table that sttwall installs.
type peer struct {
	peers.Peer
	copyRange int
}

func (p *peer) name() string {
	if p.copyRange != 0 {
		return fmt.Sprintf("%s_copy%d", p.Name(), p.copyRange)
	}
	return p.Name()
}

func (p *peer) available() error { return p.Available() }

func (p *peer) start(ctx context.Context, l *load.Lab, at place) (running, error) {
	_, path := l.FirewallNS()
	stop, err := p.Start(ctx, peers.Env{
		NetNS: path, FirstQueue: firstQueue, Queues: at.cell.queues, CPUs: at.cpus,
		CopyRange: p.copyRange, QueueLength: queueLength, ReceiveBuffer: receiveBuffer,
	})
	if err != nil {
		return nil, err
	}
	var table *nfq.Table
	if err := l.InFirewall(func() (err error) {
		table, err = nfq.InstallTable(nfq.TableConfig{
			Ports: []uint16{stt.Port}, FirstQueue: firstQueue, Queues: at.cell.queues, Endpoints: load.Endpoints(),
		})
		return err
	}); err != nil {
		return nil, errors.Join(err, stop())
	}
	return &behindTable{stop, table}, nil
}

type behindTable struct {
	end   func() error
	table *nfq.Table
}

func (b *behindTable) pid() int    { return 0 }
func (b *behindTable) stop() error { return errors.Join(b.table.Remove(), b.end()) }
