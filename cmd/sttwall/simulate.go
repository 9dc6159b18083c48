package main

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"strconv"
	"strings"
	"sync/atomic"
	"time"

	"sttwall/firewall"
	"sttwall/nfq"
)

// simulateUsage is about a flag that is not in the help: it makes a firewall fail.
const simulateUsage = "have the firewall meet these `faults`, separated by commas: memory:1/N (no memory for a frame that is held), " +
	"table:1/N (no room in the flow table), netlink:1/N (a batch of packets or of verdicts is lost, as by ENOBUFS), " +
	"panic:1/N (a mistake at one of the stages of a packet's way), queue@AFTER (the queue's socket fails for good), clock:+BY@AFTER (the clock jumps)"

// simulation reads the value of --simulate; nil if it is empty.
func simulation(text string) (*nfq.Simulation, error) {
	if text == "" {
		return nil, nil
	}
	s := &nfq.Simulation{Faults: text}
	for _, word := range strings.Split(text, ",") {
		if err := simulateOne(s, strings.TrimSpace(word)); err != nil {
			return nil, fmt.Errorf("--simulate %s: %w", word, err)
		}
	}
	return s, nil
}

func simulateOne(s *nfq.Simulation, word string) error {
	word, after, err := delayOf(word)
	if err != nil {
		return err
	}
	name, value, _ := strings.Cut(word, ":")
	switch name {
	case "memory", "table", "netlink", "panic":
		if after != 0 {
			return fmt.Errorf("want %s:1/N", name)
		}
		now, err := oneIn(value)
		if err != nil {
			return err
		}
		switch name {
		case "memory":
			s.Memory = now
		case "table":
			s.Table = now
		case "panic":
			s.Fault = func(at firewall.Stage) {
				if now() {
					panic("simulated at " + at.String())
				}
			}
		default:
			s.Queue = also(s.Queue, func(q nfq.Queue) nfq.Queue { return &lossyQueue{Queue: q, now: now} })
		}
	case "queue":
		if value != "" {
			return errors.New("want queue@AFTER, such as queue@10s")
		}
		begun := time.Now()
		s.Queue = also(s.Queue, func(q nfq.Queue) nfq.Queue { return &brokenQueue{q, begun.Add(after)} })
	case "clock":
		by, err := time.ParseDuration(value)
		if err != nil || by <= 0 {
			return errors.New("want clock:+BY@AFTER, such as clock:+1h@10s; it never goes back")
		}
		begun := time.Now()
		s.Clock = func(clock func() int64) func() int64 {
			return func() int64 {
				if time.Since(begun) < after {
					return clock()
				}
				return clock() + int64(by)
			}
		}
	default:
		return errors.New("want memory, table, netlink, panic, queue or clock")
	}
	return nil
}

// delayOf takes "@10s" off a word.
func delayOf(word string) (rest string, after time.Duration, err error) {
	rest, text, found := strings.Cut(word, "@")
	if !found {
		return rest, 0, nil
	}
	if after, err = time.ParseDuration(text); err != nil || after < 0 {
		return rest, 0, fmt.Errorf("@%s: want a time such as 10s", text)
	}
	return rest, after, nil
}

// oneIn reads "1/N" and returns what reports true once in N calls, at random.
func oneIn(text string) (func() bool, error) {
	number, ok := strings.CutPrefix(text, "1/")
	n, err := strconv.ParseUint(number, 10, 32)
	if !ok || err != nil || n == 0 {
		return nil, errors.New("want a share such as 1/1000")
	}
	return func() bool { return rand.Uint64N(n) == 0 }, nil
}

func also(first, then func(nfq.Queue) nfq.Queue) func(nfq.Queue) nfq.Queue {
	if first == nil {
		return then
	}
	return func(q nfq.Queue) nfq.Queue { return then(first(q)) }
}

// lossyQueue loses batches: what comes as if its receive buffer had been full, and
// verdicts as if the kernel had had no memory for them. Packets are dropped then: the
// kernel lets none pass without a verdict.
type lossyQueue struct {
	nfq.Queue
	now                   func() bool
	overruns, verdictLost atomic.Uint64
	drops                 []firewall.Verdict
}

// Receive implements [nfq.Queue].
func (q *lossyQueue) Receive(batch []firewall.Packet, timeout time.Duration) (int, error) {
	n, err := q.Queue.Receive(batch, timeout)
	if err != nil || n == 0 || !q.now() {
		return n, err
	}
	q.overruns.Add(1)
	q.drops = q.drops[:0]
	for i := range batch[:n] {
		q.drops = append(q.drops, firewall.Verdict{ID: batch[i].ID})
	}
	return 0, q.Queue.SetVerdicts(q.drops)
}

// SetVerdicts implements [nfq.Queue].
func (q *lossyQueue) SetVerdicts(list []firewall.Verdict) error {
	if !q.now() {
		return q.Queue.SetVerdicts(list)
	}
	q.verdictLost.Add(uint64(len(list)))
	q.drops = q.drops[:0]
	for i := range list {
		q.drops = append(q.drops, firewall.Verdict{ID: list[i].ID})
	}
	return q.Queue.SetVerdicts(q.drops)
}

// Stats implements [nfq.Queue].
func (q *lossyQueue) Stats() nfq.Stats {
	s := q.Queue.Stats()
	s.Overruns += q.overruns.Load()
	s.VerdictsLost += q.verdictLost.Load()
	return s
}

// brokenQueue fails for good at some time.
type brokenQueue struct {
	nfq.Queue
	from time.Time
}

var errSimulated = errors.New("queue: receive: a simulated failure of the netlink socket")

// Receive implements [nfq.Queue].
func (q *brokenQueue) Receive(batch []firewall.Packet, timeout time.Duration) (int, error) {
	left := time.Until(q.from)
	if left <= 0 {
		return 0, errSimulated
	}
	if timeout < 0 || timeout > left {
		timeout = left
	}
	return q.Queue.Receive(batch, timeout)
}
