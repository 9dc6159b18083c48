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
	// measures reports whether it has a row in this cell.
	measures(c cell) bool
	// start makes it ready in the lab for packets of one cell.
	start(ctx context.Context, l *load.Lab, p place) (running, error)
}

// running is a variant at work.
type running interface {
	// stop ends it. calls is how many system calls a packet it made; 0 if that is not
	// known.
	stop() (calls float64, err error)
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

// copied is the copy range with which the C loops are measured too where packets are
// large: all headers.
const copied = 256

// variants lists all, in the order of the table.
func variants(binary string) []variant {
	list := []variant{forward{}}
	for _, p := range peers.All() {
		list = append(list, &peer{p, 0})
	}
	list = append(list, &peer{peers.CMany(), copied}, &peer{peers.CBatch(), copied})
	return append(list, sttwallVariants(binary)...)
}

// forward is the kernel's forwarding without a queue.
type forward struct{}

func (forward) name() string       { return "forward" }
func (forward) available() error   { return nil }
func (forward) measures(cell) bool { return true }
func (forward) start(context.Context, *load.Lab, place) (running, error) {
	return forward{}, nil
}
func (forward) stop() (float64, error) { return 0, nil }

// peer is a variant of package peers, behind the table that sttwall installs.
type peer struct {
	peers.Peer
	copyRange int // 0: all of a packet
}

func (p *peer) name() string {
	if p.copyRange != 0 {
		return fmt.Sprintf("%s_copy%d", p.Name(), p.copyRange)
	}
	return p.Name()
}

func (p *peer) available() error     { return p.Available() }
func (p *peer) measures(c cell) bool { return p.copyRange == 0 || c.packet == load.GSO64K }

func (p *peer) start(ctx context.Context, l *load.Lab, at place) (_ running, err error) {
	_, path := l.FirewallNS()
	r := &behindTable{}
	r.end, err = p.Start(ctx, peers.Env{
		NetNS: path, FirstQueue: firstQueue, Queues: at.cell.queues, CPUs: at.cpus,
		CopyRange: p.copyRange, QueueLength: queueLength, ReceiveBuffer: receiveBuffer, Counts: &r.counts,
	})
	if err != nil {
		return nil, err
	}
	if err := l.InFirewall(func() (err error) {
		r.table, err = nfq.InstallTable(nfq.TableConfig{
			Ports: []uint16{stt.Port}, FirstQueue: firstQueue, Queues: at.cell.queues, Endpoints: load.Endpoints(),
		})
		return err
	}); err != nil {
		return nil, errors.Join(err, r.end())
	}
	return r, nil
}

type behindTable struct {
	end    func() error
	table  *nfq.Table
	counts peers.Counts
}

func (b *behindTable) stop() (calls float64, err error) {
	err = errors.Join(b.table.Remove(), b.end())
	if b.counts.Packets > 0 {
		calls = float64(b.counts.SystemCalls) / float64(b.counts.Packets)
	}
	return calls, err
}
