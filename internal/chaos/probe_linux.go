package chaos

import (
	"bytes"
	"encoding/binary"
	"errors"
	"net"
	"sync"
	"sync/atomic"
	"time"

	"sttwall/internal/lab"
)

const (
	// probeEvery is how often the probe asks.
	probeEvery  = 5 * time.Millisecond
	probeLength = 200
	// steadyProbes is how many have to be answered in a row for the way to be open.
	steadyProbes = 20
)

// probe is a flow over UDP that asks all the time, and what became of each question.
type probe struct {
	mu       sync.Mutex
	first    uint64 // number of sent[0]
	sent     []time.Time
	answered []time.Time // zero: not yet
	corrupt  atomic.Int64
	changed  chan struct{} // closed and replaced when an answer comes
}

func newProbe() *probe { return &probe{changed: make(chan struct{})} }

func (t *traffic) startProbe() error {
	c, err := t.dial(lab.AcmeA, "udp4", portEcho, stalledMost)
	if err != nil {
		return err
	}
	t.closers = append(t.closers, c)
	roomy(c.(*net.UDPConn))
	t.running.Go(func() {
		tick := time.NewTicker(probeEvery)
		defer tick.Stop()
		for {
			select {
			case <-tick.C:
				c.Write(t.probe.ask())
			case <-t.ctx.Done():
				return
			}
		}
	})
	t.running.Go(func() {
		b := make([]byte, 1<<11)
		for {
			n, err := c.Read(b)
			switch {
			case errors.Is(err, net.ErrClosed):
				return
			case err == nil:
				t.probe.answer(b[:n])
			}
		}
	})
	return nil
}

// fill makes the datagram with a number.
func fill(number uint64) []byte {
	b := make([]byte, probeLength)
	stream(number).Read(b)
	binary.BigEndian.PutUint64(b, number)
	return b
}

// filled reports whether fill has made a datagram.
func filled(b []byte) bool {
	return len(b) == probeLength && bytes.Equal(b, fill(binary.BigEndian.Uint64(b)))
}

// genuine is filled, and counts what is not: nobody else sends there.
func (p *probe) genuine(b []byte) bool {
	ok := filled(b)
	if !ok {
		p.corrupt.Add(1)
	}
	return ok
}

func (p *probe) ask() []byte {
	p.mu.Lock()
	number := p.first + uint64(len(p.sent))
	p.sent, p.answered = append(p.sent, time.Now()), append(p.answered, time.Time{})
	p.mu.Unlock()
	return fill(number)
}

// echo is the far side.
func (p *probe) echo(c net.PacketConn, b []byte, from net.Addr) {
	if p.genuine(b) {
		c.WriteTo(b, from)
	}
}

func (p *probe) answer(b []byte) {
	if !p.genuine(b) {
		return
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	if i := int64(binary.BigEndian.Uint64(b) - p.first); i >= 0 && i < int64(len(p.sent)) && p.answered[i].IsZero() {
		p.answered[i] = time.Now()
		close(p.changed)
		p.changed = make(chan struct{})
	}
}

// forget drops what was asked before.
func (p *probe) forget(before time.Time) {
	p.mu.Lock()
	defer p.mu.Unlock()
	n := 0
	for n < len(p.sent) && p.sent[n].Before(before) {
		n++
	}
	p.first += uint64(n)
	p.sent, p.answered = append([]time.Time(nil), p.sent[n:]...), append([]time.Time(nil), p.answered[n:]...)
}

// steady returns when the first of steadyProbes questions in a row, all sent at or after
// since, was answered; false if there are none.
func (p *probe) steady(since time.Time) (time.Time, bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	row := 0
	for i, at := range p.answered {
		if row++; p.sent[i].Before(since) || at.IsZero() {
			row = 0
		}
		if row == steadyProbes {
			return p.answered[i-steadyProbes+1], true
		}
	}
	return time.Time{}, false
}

// loss is what became of the questions of a span.
type loss struct {
	asked, lost int
	// gap is the longest time in which no answer came.
	gap time.Duration
}

func (p *probe) loss(span window) (l loss) {
	p.mu.Lock()
	defer p.mu.Unlock()
	last := span.from
	for i, at := range p.answered {
		if !span.holds(p.sent[i]) {
			continue
		}
		if l.asked++; at.IsZero() {
			l.lost++
			continue
		}
		l.gap = max(l.gap, at.Sub(last))
		if at.After(last) {
			last = at
		}
	}
	l.gap = max(l.gap, span.to.Sub(last))
	return l
}
