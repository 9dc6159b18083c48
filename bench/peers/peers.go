package peers

import (
	"context"
	"fmt"
	"time"

	"sttwall/internal/load"
)

// Peer is one program that takes packets from queues and accepts them.
type Peer interface {
	// Name is the variant's name in tables and JSON.
	Name() string
	// Available says what is missing here, and how to get it; nil if nothing.
	Available() error
	// Start starts it and returns when all queues are bound. Canceling the
	// context kills it. stop ends it, waits for that, and returns an error if
	// it had ended before, or does not end; it must be called once.
	Start(ctx context.Context, env Env) (stop func() error, err error)
}

// Env is where and how a peer runs.
type Env struct {
	// NetNS is the path of a network namespace; empty means the caller's
	// process's.
	NetNS string
	// FirstQueue is the lowest queue number, Queues how many there are: at
	// least 1.
	FirstQueue, Queues int
	// CPUs are processors: queue i is served on the i-th, counted around.
	// Empty leaves it to the kernel.
	CPUs []int
	// CopyRange is how many bytes of a packet are copied to the program, up to
	// 65,535; 0 means all. Suricata takes no notice: it copies all.
	CopyRange int
	// QueueLength is how many packets may wait in each queue; 0 means 16,384.
	QueueLength int
	// ReceiveBuffer is in bytes; 0 means 32 MiB.
	ReceiveBuffer int
	// PIDs is filled by Start: the processes, for who wants to look at them. nil
	// if nobody does.
	PIDs *[]int
	// Counts is filled by stop; nil if nobody asks.
	Counts *Counts
}

// Counts is what a peer counted itself from start to stop, all its queues
// together. A peer that does not count something leaves it at 0.
type Counts struct {
	Packets uint64 `json:"packets"`
	// SystemCalls are those that receive and those that send.
	SystemCalls uint64 `json:"system_calls"`
	// Overruns are errors ENOBUFS: at least one packet was lost for each.
	Overruns uint64 `json:"overruns"`
	// Late are verdicts for packets that were gone.
	Late uint64 `json:"late"`
	// User and System are processor time, starting included.
	User   time.Duration `json:"user"`
	System time.Duration `json:"system"`
}

func (c *Counts) add(other Counts) {
	c.Packets += other.Packets
	c.SystemCalls += other.SystemCalls
	c.Overruns += other.Overruns
	c.Late += other.Late
	c.User += other.User
	c.System += other.System
}

// Validate reports the first mistake.
func (e Env) Validate() error {
	switch {
	case e.Queues < 1:
		return fmt.Errorf("%d queues: at least 1", e.Queues)
	case e.FirstQueue < 0 || e.FirstQueue+e.Queues > 65536:
		return fmt.Errorf("%d queues from number %d: 0 to 65535", e.Queues, e.FirstQueue)
	case e.CopyRange < 0 || e.CopyRange > 65535:
		return fmt.Errorf("copy range of %d bytes: 0 to 65535", e.CopyRange)
	case e.QueueLength < 0 || e.ReceiveBuffer < 0:
		return fmt.Errorf("queue length %d, receive buffer %d: not below 0", e.QueueLength, e.ReceiveBuffer)
	}
	return nil
}

// withDefaults puts numbers where zero means something.
func (e Env) withDefaults() Env {
	if e.CopyRange == 0 {
		e.CopyRange = 65535
	}
	if e.QueueLength == 0 {
		e.QueueLength = 16384
	}
	if e.ReceiveBuffer == 0 {
		e.ReceiveBuffer = 32 << 20
	}
	return e
}

// cpus returns the processor of the i-th queue as a set.
func (e Env) cpus(i int) []int {
	if len(e.CPUs) == 0 {
		return nil
	}
	return []int{e.CPUs[i%len(e.CPUs)]}
}

// All returns every peer. Those that decide anything accept the tenant that the
// traffic of sttwall/internal/load has.
func All() []Peer {
	return []Peer{
		CLoop(), CMany(), CBatch(), GoNFQueue(),
		Suricata(SuricataConfig{}), Suricata(SuricataConfig{AsShipped: true}),
		Suricata(SuricataConfig{Tenants: Tenants(1000, load.ContextID)}),
	}
}

// Tenants makes a list of n Context IDs that are not alike; the given one is last.
func Tenants(n int, last uint64) []uint64 {
	list := make([]uint64, n)
	for i := range list {
		// Spread over all 64 bits (Fibonacci hashing): no single byte tells them apart.
		list[i] = last ^ uint64(n-1-i)*0x9e3779b97f4a7c15
	}
	return list
}
