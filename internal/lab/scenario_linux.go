package lab

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"fmt"
	"net/netip"
	"time"

	"sttwall/firewall"
	"sttwall/inspect"
	"sttwall/reason"
	"sttwall/stt"
)

// reassemblyTimeout is short, so that the frame that never completes does not
// hold the demo up; but on a busy host the packets of others come some time apart.
const reassemblyTimeout = 2 * time.Second

// craftedIDs is where the frame IDs of crafted frames start, away from those
// of the endpoints.
const craftedIDs = 0xc0de0000

// craftedPort is where their outer source ports start.
const craftedPort = 40000

// step is one line of the demo. run says what happened; an error is a
// deviation from what was expected.
type step struct {
	What, Tenant, Expected string

	bound time.Duration // 0: stepBound
	run   func(ctx context.Context, s *scenario) (string, error)
	// alone is in place of run where a step has a lab of its own; such steps are the last.
	alone func(ctx context.Context) (string, error)
}

// scenario is a running lab with services on side B, and a capture of all that
// reaches endpoint B.
type scenario struct {
	lab      *Lab
	far      *Capture
	services map[Place]*services
	shown    *onlookers // nil without a firewall
	marks    uint32
}

func newScenario(c Config) (*scenario, error) {
	s := &scenario{services: map[Place]*services{}}
	if c.Without&Inspection == 0 {
		var err error
		if s.shown, err = newOnlookers(cmp.Or(string(c.Rules), string(DemoRules))); err != nil {
			return nil, err
		}
		also := c.Observer
		c.Observer = func(e *firewall.FrameEvent) {
			s.shown.observe(e)
			if also != nil {
				also(e)
			}
		}
	}
	l, err := New(c)
	if err != nil {
		return nil, err
	}
	s.lab = l
	if s.shown != nil {
		if err := s.shown.look(l); err != nil {
			return nil, errors.Join(err, s.Close())
		}
	}
	for _, place := range []Place{AcmeB, GlobexB} {
		if err = l.Do(place, func() error {
			s.services[place], err = serve()
			return err
		}); err != nil {
			return nil, errors.Join(fmt.Errorf("lab: services of %s: %w", place, err), s.Close())
		}
	}
	if s.far, err = l.Arrivals(); err != nil {
		return nil, errors.Join(err, s.Close())
	}
	return s, nil
}

// Close stops the lab.
func (s *scenario) Close() error {
	var errs []error
	if s.far != nil {
		errs = append(errs, s.far.Close())
	}
	if s.shown != nil {
		errs = append(errs, s.shown.Close())
	}
	errs = append(errs, s.lab.Close())
	for _, services := range s.services {
		if services != nil {
			errs = append(errs, services.Close())
		}
	}
	return errors.Join(errs...)
}

// try runs one step.
func (s *scenario) try(ctx context.Context, st step) Row {
	bound := st.bound
	if bound == 0 {
		bound = stepBound
	}
	ctx, cancel := context.WithTimeoutCause(ctx, bound, fmt.Errorf("not over within %v", bound))
	defer cancel()
	row := Row{What: st.What, Tenant: st.Tenant, Expected: st.Expected}
	happened, err := st.run(ctx, s)
	if err == nil {
		err = s.lab.Failure()
	}
	row.Happened, row.OK = happened, err == nil
	if err != nil {
		row.Happened = err.Error()
	}
	return row
}

// mark returns bytes that occur nowhere else, repeated to size bytes, so that
// every segment of 30 bytes or more shows them; once only if size is 0.
func (s *scenario) mark(size int) (payload, marker []byte) {
	s.marks++
	marker = fmt.Appendf(nil, "<stt %08x>", s.marks)
	if size == 0 {
		return marker, marker
	}
	return bytes.Repeat(marker, size/len(marker)+1)[:size], marker
}

// passage is something that has to pass.
type passage struct {
	// act tries it; it returns nil iff the other side has answered.
	act func(context.Context) error
	// event recognises the firewall's word on it, and rule is what lets it pass.
	event func(*firewall.FrameEvent) bool
	rule  string
}

// passes proves that something passes: the other side has answered, and the
// firewall says that the right rule accepted it.
func (s *scenario) passes(ctx context.Context, p passage) (string, error) {
	if err := p.act(ctx); err != nil {
		return "", err
	}
	e, err := s.lab.WaitEvent(ctx, "the frame", p.event)
	if err != nil {
		return "", err
	}
	if e.Verdict != firewall.Accept || e.Decision.Rule != p.rule {
		return "", fmt.Errorf("the answer came, but the firewall says %s", verdictOf(&e))
	}
	return "passed, " + verdictOf(&e), nil
}

// attempt is something that has to be stopped.
type attempt struct {
	// send tries it. It runs until it is done or ctx ends; an error before
	// the firewall has spoken is a failure of the attempt.
	send func(ctx context.Context) error
	// event recognises the firewall's word on it.
	event func(*firewall.FrameEvent) bool
	// seen recognises a packet with any byte of it in the far side's capture.
	seen func(Captured) bool
	// reason and rule are those that must stop it; rule may be empty.
	reason reason.Reason
	rule   string
}

// stopped proves that an attempt is stopped: the firewall has counted it with
// the right reason; a fence that followed it through the same queue has reached
// the far side; and there, where no packet was missed, no byte of it came.
func (s *scenario) stopped(ctx context.Context, a attempt) (string, error) {
	before := s.lab.Totals().Reasons[a.reason]
	sending, stop := context.WithCancelCause(ctx)
	sent := make(chan error, 1)
	go func() {
		err := a.send(sending)
		if err != nil {
			stop(err)
		}
		sent <- err
	}()
	e, err := s.lab.WaitEvent(sending, "it", a.event)
	stop(nil)
	<-sent
	if err != nil {
		return "", err
	}
	if e.Verdict != firewall.Drop || e.Reason != a.reason || a.rule != "" && e.Decision.Rule != a.rule {
		return "", fmt.Errorf("the firewall says %s", verdictOf(&e))
	}
	// The event comes from the middle of a batch, the counters are shown at its end.
	if err := s.lab.WaitTotals(ctx, "a drop as "+a.reason.String(), func(t firewall.Totals) bool {
		return t.Reasons[a.reason] != before
	}); err != nil {
		return "", err
	}
	if err := s.nothingCame(ctx, e.SrcPort, a.seen); err != nil {
		return "", err
	}
	return verdictOf(&e) + "; no byte of it at the far side", nil
}

// nothingCame sends a fence with the same outer source port, and so through
// the same queue, waits for it at the far side, and looks there for what seen
// recognises.
func (s *scenario) nothingCame(ctx context.Context, srcPort uint16, seen func(Captured) bool) error {
	payload, marker := s.mark(0)
	fence := s.craft(portSink, payload)
	fence.path.SrcPort = srcPort
	if err := s.sendAll(fence); err != nil {
		return err
	}
	if _, err := s.far.WaitFor(ctx, "the fence", marker); err != nil {
		return err
	}
	if err := s.far.Complete(); err != nil {
		return err
	}
	for _, p := range s.far.Packets() {
		if seen(p) {
			return errors.New("it reached the far side")
		}
	}
	return nil
}

// delivered proves that the frame c, which has been sent, is accepted and that
// its payload comes out of a socket of acme's host on side B.
func (s *scenario) delivered(ctx context.Context, c *crafted, payload []byte) (string, error) {
	e, err := s.lab.WaitEvent(ctx, "the frame", c.isEvent)
	if err != nil {
		return "", err
	}
	if e.Verdict != firewall.Accept {
		return "", fmt.Errorf("the firewall says %s", verdictOf(&e))
	}
	if _, err := s.services[AcmeB].sunk.wait(ctx, "the payload at a socket of acme-b", func(got []byte) bool {
		return bytes.Equal(got, payload)
	}); err != nil {
		return "", err
	}
	return fmt.Sprintf("delivered to a socket, %d bytes from %s, %s", len(payload), plural(e.Segments, "packet"), verdictOf(&e)), nil
}

// craft returns an STT frame of tenant acme from endpoint A to B, with a UDP
// datagram to a port of the host behind B.
func (s *scenario) craft(port uint16, payload []byte) *crafted {
	return s.craftFrame(innerUDP(netip.AddrPortFrom(InnerA, 7999), netip.AddrPortFrom(InnerB, port), payload))
}

func (s *scenario) craftFrame(inner []byte) *crafted {
	s.marks++
	return &crafted{
		path: stt.Path{
			Src: OuterA, Dst: OuterB, SrcPort: uint16(craftedPort + s.marks%1000), DstPort: stt.Port,
			TTL: 64, DontFragment: true,
		},
		id:     craftedIDs + s.marks,
		header: stt.FrameHeader{ContextID: ContextAcme},
		inner:  inner,
		mtu:    underlayMTU,
	}
}

// sendAll sends the packets of c, in order, from endpoint A.
func (s *scenario) sendAll(c *crafted) error {
	packets, err := c.packets()
	if err != nil {
		return err
	}
	return s.inject(packets)
}

func (s *scenario) inject(packets [][]byte) error {
	for _, p := range packets {
		if err := s.lab.Inject(EndpointA, p, Offload{}); err != nil {
			return err
		}
	}
	return nil
}

// verdictOf says in words what the firewall did with a frame and why.
func verdictOf(e *firewall.FrameEvent) string {
	by := ""
	if e.Decision.Rule != "" && (e.Reason == reason.None || e.Reason == reason.RuleDrop) {
		by = " by " + e.Decision.Rule
	}
	switch {
	case e.Verdict == firewall.Accept && e.Rewritten:
		return "accepted" + by + ", re-encoded"
	case e.Verdict == firewall.Accept:
		return "accepted" + by
	}
	return "dropped" + by + ": " + e.Reason.String()
}

func plural(n int, what string) string {
	if n == 1 {
		return "1 " + what
	}
	return fmt.Sprintf("%d %ss", n, what)
}

// readCaptured reads a captured STT packet that carries a whole frame.
func readCaptured(p Captured) (header stt.FrameHeader, inner inspect.Frame, ok bool) {
	var segment stt.Segment
	if len(p.Data) <= etherHeaderLen {
		return header, inner, false
	}
	packet := p.Data[etherHeaderLen:]
	if segment.Decode(packet, len(packet), []uint16{stt.Port}) != reason.None ||
		segment.Offset != 0 || !header.Decode(segment.Payload) {
		return header, inner, false
	}
	data := segment.Payload[stt.FrameHeaderLen:]
	r := inner.Decode(data, int(segment.FrameLength)-stt.FrameHeaderLen, header.TCI, inspect.Tagged(header.Tagged()))
	return header, inner, r == reason.None
}
