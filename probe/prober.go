package probe

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"net/netip"
	"sync/atomic"
	"time"

	"sttwall/endpoint"
	"sttwall/stt"
)

// Config says what is asked.
type Config struct {
	// Remote is the endpoint that answers.
	Remote netip.Addr
	// ContextID is that of the probe, the same on both sides.
	ContextID uint64
	// TCI goes into the frame header as it is.
	TCI uint16
	// Count is how many frames the series for loss has; at least 1.
	Count int
	// Interval is the time between two of them.
	Interval time.Duration
	// Timeout is how long an answer is waited for.
	Timeout time.Duration
	// Progress is told what is done at the moment; nil: nobody is.
	Progress func(string)
}

// Bounds of a Config.
const (
	MaxCount      = 100_000
	LeastInterval = 2 * time.Millisecond
)

// Validate says what is wrong with c.
func (c *Config) Validate() error {
	switch {
	case !c.Remote.IsValid():
		return errors.New("no remote endpoint named")
	case c.Count < 1 || c.Count > MaxCount:
		return fmt.Errorf("count %d: want 1 to %d", c.Count, MaxCount)
	case c.Interval < LeastInterval:
		return fmt.Errorf("interval %v: want at least %v, or the other side does not answer all", c.Interval, LeastInterval)
	case c.Timeout <= 0:
		return fmt.Errorf("timeout %v: must be more than 0", c.Timeout)
	}
	return nil
}

// Prober asks.
type Prober struct {
	cfg     Config
	series  atomic.Pointer[series]
	port    uint16 // of the first flow
	refused atomic.Pointer[endpoint.Refused]
	first   *endpoint.Refused // when the series for loss began
	ledger  *ledger
	out     endpoint.Outlet
	headers int // of an outer packet
}

// NewProber makes one. Its Handle has to be that of a service of the endpoint.
func NewProber(c Config) (*Prober, error) {
	if err := c.Validate(); err != nil {
		return nil, err
	}
	p := &Prober{cfg: c, port: uint16(0xc000 + rand.IntN(0x3f00)), headers: outerHeaders(c.Remote)}
	p.ledger = newLedger(p.headers - stt.SegmentHeaderLen)
	return p, nil
}

// Service is that of the asking side's endpoint.
func (p *Prober) Service() endpoint.Service {
	return endpoint.Service{ContextID: p.cfg.ContextID, Handle: p.handle, Torn: true}
}

func (p *Prober) handle(_ endpoint.Outlet, a *endpoint.Arrival) {
	now := time.Now()
	if a.From != p.cfg.Remote {
		return
	}
	refused := a.Refused
	p.refused.Store(&refused)
	if s := p.series.Load(); s != nil {
		s.take(now, p.cfg.ContextID, a)
	}
}

const (
	// attempts is how many frames of each length are tried.
	attempts = 3
	// hellos is how many first questions are asked before it is given up.
	hellos = 5
	// flows is over how many source ports the series is spread.
	flows = 8
)

// colours are the TOS bytes in turn: none, and AF21 with ECT(0), so that clearing shows.
var colours = [...]uint8{0, 18<<2 | 2}

func (p *Prober) say(format string, args ...any) {
	if p.cfg.Progress != nil {
		p.cfg.Progress(fmt.Sprintf(format, args...))
	}
}

// Run asks through a running endpoint, and reports. What it finds is no error. It is for one
// call.
func (p *Prober) Run(ctx context.Context, out endpoint.Outlet) (*Report, error) {
	p.out = out
	r := &Report{Remote: p.cfg.Remote, ContextID: p.cfg.ContextID, Sizes: []Size{}, Frames: []Frame{}, Changes: []Change{}, Findings: []string{}}
	var err error
	if r.PathMTU, err = out.PathMTU(p.cfg.Remote); err != nil {
		return nil, err
	}
	for _, step := range []func(context.Context, *Report) error{p.hello, p.sizes, p.frames, p.loss} {
		if err := step(ctx, r); err != nil {
			return nil, err
		}
		if !r.Answered {
			break
		}
	}
	r.Changes = p.ledger.result()
	r.Forward.Hops, r.Back.Hops = p.ledger.hopsOf(Forward), p.ledger.hopsOf(Back)
	r.judge()
	return r, nil
}

// begin begins a series, and ends the last one.
func (p *Prober) begin() *series {
	s := newSeries()
	p.series.Store(s)
	return s
}

// end adds what a series has shown.
func (p *Prober) end(s *series) { p.ledger.addAll(p.cfg.ContextID, s.all()) }

// message is the n-th question: of so many bytes of STT frame, cut for mtu.
func (p *Prober) message(n, length, mtu int, full bool) message {
	return message{
		Full: full, Length: uint16(length), MTU: uint16(mtu), TCI: p.cfg.TCI,
		SrcPort: p.port + uint16(n%flows), TOS: colours[n/2%len(colours)],
	}
}

// passed asks as often as attempts say, and returns how many answers came; with whole,
// only those count that came in one packet.
func (p *Prober) passed(ctx context.Context, length, mtu int, full, whole bool) (n int, err error) {
	s := p.begin()
	defer p.end(s)
	for i := range attempts {
		if _, err := s.ask(p.out, p.cfg.Remote, p.cfg.ContextID, p.message(i, length, mtu, full)); err != nil {
			return 0, fmt.Errorf("question of %d bytes: %w", length, err)
		}
		if err := pause(ctx, p.cfg.Interval); err != nil {
			return 0, err
		}
	}
	_, err = s.wait(ctx, p.cfg.Timeout, func(list []asked) bool {
		n = 0
		for i := range list {
			for _, a := range list[i].answers {
				if !whole || int(a.message.Length) <= int(a.message.MTU)-p.headers {
					n++
					break
				}
			}
		}
		return n == attempts
	})
	return n, err
}

func pause(ctx context.Context, d time.Duration) error {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

func (p *Prober) hello(ctx context.Context, r *Report) error {
	s := p.begin()
	defer p.end(s)
	for i := range hellos {
		p.say("asking %v, %d of %d", p.cfg.Remote, i+1, hellos)
		if _, err := s.ask(p.out, p.cfg.Remote, p.cfg.ContextID, p.message(0, LeastFrame, 65535, false)); err != nil {
			return fmt.Errorf("first question: %w", err)
		}
		ok, err := s.wait(ctx, p.cfg.Timeout, func(list []asked) bool {
			for i := range list {
				if len(list[i].answers) > 0 {
					return true
				}
			}
			return false
		})
		if err != nil {
			return err
		}
		if ok {
			for _, a := range s.all() {
				for j := range a.answers {
					r.RemoteMTU = int(a.answers[j].message.MTU)
				}
			}
			r.Answered = true
			return nil
		}
	}
	return nil
}

// ladder are the lengths of outer packets that are tried first: those at which links and
// tunnels of the world end, so that a hole is named at once.
var ladder = [...]int{256, 576, 1024, 1280, 1400, 1420, 1450, 1458, 1472, 1480, 1492, 1500, 2048, 4000, 8900, 9000, 9216, 16384, 32768}

// sizes finds the largest outer packet that passes each way.
func (p *Prober) sizes(ctx context.Context, r *Report) error {
	forward := map[int]bool{}
	try := func(size int, back bool) (bool, error) {
		if size < LeastFrame+p.headers {
			return true, nil
		}
		direction := "to"
		if back {
			direction = "back from"
		}
		p.say("outer packets of %d bytes %s %v", size, direction, p.cfg.Remote)
		n, err := p.passed(ctx, size-p.headers, size, back, back)
		if !back {
			forward[size] = n > 0
			r.Sizes = append(r.Sizes, Size{Length: size, Forward: n > 0})
		} else if n > 0 {
			for i := range r.Sizes {
				if r.Sizes[i].Length == size {
					r.Sizes[i].Back = true
				}
			}
		}
		return n > 0, err
	}
	var err error
	if r.MTUForward, err = largest(r.PathMTU, func(size int) (bool, error) { return try(size, false) }); err != nil {
		return err
	}
	r.MTUBack, err = largest(min(r.MTUForward, r.RemoteMTU), func(size int) (bool, error) { return try(size, true) })
	return err
}

// largest climbs the ladder up to most, and then halves what is between the last step that
// passed and the first that did not.
func largest(most int, try func(size int) (bool, error)) (int, error) {
	good, bad := 0, most+1
	for _, size := range ladder {
		if size >= most {
			break
		}
		ok, err := try(size)
		if err != nil {
			return 0, err
		}
		if !ok {
			bad = size
			break
		}
		good = size
	}
	if bad > most && most > 0 {
		ok, err := try(most)
		if err != nil {
			return 0, err
		}
		if ok {
			return most, nil
		}
		bad = most
	}
	for bad-good > 1 {
		size := (good + bad) / 2
		ok, err := try(size)
		if err != nil {
			return 0, err
		}
		if ok {
			good = size
		} else {
			bad = size
		}
	}
	return good, nil
}

// segments is into how many packets frames are cut; the last is as many as a frame has.
var segments = [...]int{1, 2, 4, 8, 16, 32, 1 << 16}

// mostFrame is the length of the longest frame that is tried: that which an endpoint sends.
const mostFrame = 64000

// frames tries frames of rising length, cut into packets that pass.
func (p *Prober) frames(ctx context.Context, r *Report) error {
	r.Cut = min(r.MTUForward, r.MTUBack)
	size := r.Cut - p.headers
	if size < LeastFrame {
		return nil // nothing but hellos passes
	}
	for _, n := range segments {
		f := Frame{Length: min(n*size, mostFrame), Tried: attempts}
		f.Segments = (f.Length + size - 1) / size
		if len(r.Frames) > 0 && r.Frames[len(r.Frames)-1].Length == f.Length {
			break
		}
		p.say("STT frames of %d bytes, in %s", f.Length, plural(f.Segments, "packet"))
		var err error
		if f.Back, err = p.passed(ctx, f.Length, r.Cut, true, false); err != nil {
			return err
		}
		if f.Forward = f.Back; f.Back < attempts {
			if f.Forward, err = p.passed(ctx, f.Length, r.Cut, false, false); err != nil {
				return err
			}
			f.Forward = max(f.Forward, f.Back)
		}
		r.Frames = append(r.Frames, f)
	}
	return nil
}

// loss sends the long series: lengths that were seen to pass, so that what is lost is lost
// for another reason than its length.
func (p *Prober) loss(ctx context.Context, r *Report) error {
	mtu := max(r.Cut, LeastFrame+p.headers)
	lengths := []int{LeastFrame, mtu - p.headers}
	for _, f := range r.Frames {
		if f.Segments == 4 && f.Forward == attempts && f.Back == attempts {
			lengths = append(lengths, f.Length)
		}
	}
	p.first = p.refused.Load()
	s := p.begin()
	defer p.end(s)
	begun := time.Now()
	for i := range p.cfg.Count {
		p.say("series of %d frames, %d sent", p.cfg.Count, i)
		if _, err := s.ask(p.out, p.cfg.Remote, p.cfg.ContextID, p.message(i, lengths[i%len(lengths)], mtu, true)); err != nil {
			return err
		}
		if err := pause(ctx, time.Until(begun.Add(time.Duration(i+1)*p.cfg.Interval))); err != nil {
			return err
		}
	}
	if _, err := s.wait(ctx, p.cfg.Timeout, func(list []asked) bool {
		for i := range list {
			if len(list[i].answers) == 0 {
				return false
			}
		}
		return true
	}); err != nil {
		return err
	}
	// What has become of the last ones is in the answer to one more.
	for range hellos {
		last, err := s.ask(p.out, p.cfg.Remote, p.cfg.ContextID, p.message(0, LeastFrame, mtu, false))
		if err != nil {
			return err
		}
		ok, err := s.wait(ctx, p.cfg.Timeout, func(list []asked) bool { return len(list[last].answers) > 0 })
		if err != nil {
			return err
		}
		if ok {
			break
		}
	}
	var rtt []time.Duration
	r.Forward, r.Back, r.Limited, rtt = s.count()
	if len(rtt) > 0 {
		r.RTT = RTT{Min: rtt[0], Median: rtt[len(rtt)/2], Max: rtt[len(rtt)-1]}
	}
	for _, a := range s.all() {
		for i := range a.answers {
			r.Forward.BadChecksum = max(r.Forward.BadChecksum, int(a.answers[i].report.BadChecksum))
			r.Forward.Refused = max(r.Forward.Refused, int(a.answers[i].report.Refused))
		}
	}
	if now := p.refused.Load(); now != nil && p.first != nil {
		r.Back.BadChecksum, r.Back.Refused = int(now.Checksum-p.first.Checksum), int(now.Other-p.first.Other)
	}
	return nil
}
