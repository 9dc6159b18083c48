package replay

import (
	"context"
	"errors"
	"fmt"
	"io"
	"slices"

	"sttwall/capture"
	"sttwall/firewall"
	"sttwall/reason"
)

// Explained is what became of one packet of a capture, and why.
type Explained struct {
	// STT: else nftables would not have queued it, and nothing here is valid.
	STT bool
	// Left: it would have left; Rewritten: with other bytes. Else Reason says why
	// it was dropped; None where its frame had been dropped before.
	Left, Rewritten bool
	Reason          reason.Reason
	// Frame is the one that it is a part of, and Packets those of its packets that
	// were decided with it; nil where it was dropped by itself.
	Frame   *Frame
	Packets []int
	// Decided is the packet with which that was known; 0: none, the time was over
	// or the capture at its end.
	Decided int
	// Policy is what the policy says of the frame, by the flows that there were
	// before it; nil where it was not asked.
	Policy *firewall.Explanation
}

// Explain says what becomes of the packet with that number, from 1, as tshark
// shows it, and of the frame that it is a part of. What is before it in the
// capture goes through the firewall first, so that the flows are those that there
// would be. Of c, Policy, Checksums and Reassembly count, and the one
// input, which is read twice and so cannot be "-".
func Explain(ctx context.Context, c Config, number int) (*Explained, error) {
	if len(c.Inputs) != 1 || c.Inputs[0] == "-" {
		return nil, errors.New("explaining needs one capture, in a file")
	}
	c.Write, c.Out, c.Hash = nil, nil, false
	s := &search{number: number}
	r, err := newSearch(c, s)
	if err != nil {
		return nil, err
	}
	s.expect(r, 1)
	err = r.upTo(ctx, c.Inputs[0], func(n int) bool {
		s.settled(r, n)
		s.expect(r, n+1)
		return s.found != nil
	})
	switch {
	case err != nil:
		return nil, err
	case number < 1 || r.summary.Packets < number:
		return nil, fmt.Errorf("%s has %d packets: there is no packet %d", c.Inputs[0], r.summary.Packets, number)
	case s.found == nil:
		r.finish()
		s.settled(r, 0)
	}
	if s.event.HasInner && asked(&s.event) {
		return s.found, s.again(ctx, c)
	}
	return s.found, nil
}

// asked reports whether the policy was asked about a frame.
func asked(e *firewall.FrameEvent) bool {
	return e.Verdict == firewall.Accept || e.Decision.Tenant != "" || e.Decision.Reason != reason.None
}

// search looks for what becomes of a packet.
type search struct {
	number int
	id     uint64 // its name in the run; 0: it was not reached
	found  *Explained
	event  firewall.FrameEvent
	inner  []byte

	clock   int64 // when the frame was decided
	seen    *Explained
	reasons [reason.Count]uint64 // how often each would be counted without the packet
}

func newSearch(c Config, s *search) (*run, error) {
	var r *run
	c.Observer = func(e *firewall.FrameEvent) { s.observe(r, e) }
	r, err := newRun(c)
	return r, err
}

// expect prepares for packet n.
func (s *search) expect(r *run, n int) {
	if n != s.number {
		return
	}
	s.id = r.held.last + 1
	for i := range s.reasons {
		s.reasons[i] = r.firewall.Counters().Reasons[i].Load()
	}
}

// observe notes the frame whose verdicts hold the packet.
func (s *search) observe(r *run, e *firewall.FrameEvent) {
	s.reasons[e.Reason]++
	mine := r.verdicts.List[r.told:]
	if s.id == 0 || !slices.ContainsFunc(mine, func(v firewall.Verdict) bool { return v.ID == s.id }) {
		return
	}
	frame := newFrame(e, r.held.timeOf(e.Time), false)
	s.seen = &Explained{STT: true, Frame: &frame, Reason: e.Reason, Left: e.Verdict == firewall.Accept, Rewritten: e.Rewritten}
	for _, v := range mine {
		s.seen.Packets = append(s.seen.Packets, r.held.undecided[v.ID].number)
	}
	s.event, s.clock = *e, r.clock
	s.inner = slices.Clone(e.InnerData)
	moves := s.event.Moves
	s.event.Forget()
	s.event.Moves = moves
}

// settled looks, behind packet n, whether the packet has its verdict.
func (s *search) settled(r *run, n int) {
	if s.id == 0 || s.found != nil {
		return
	}
	if s.id > r.held.last { // it got no name
		s.found = &Explained{}
		return
	}
	if _, waits := r.held.undecided[s.id]; waits {
		return
	}
	if s.found = s.seen; s.found == nil {
		s.found = &Explained{STT: true}
		for i, before := range s.reasons {
			if r.firewall.Counters().Reasons[i].Load() > before {
				s.found.Reason = reason.Reason(i)
			}
		}
	}
	s.found.Decided = n
}

// upTo takes packets of the input through the firewall until enough, called behind
// each, says so.
func (r *run) upTo(ctx context.Context, path string, enough func(n int) bool) error {
	in, err := capture.Open(path, nil)
	if err != nil {
		return err
	}
	defer in.Close()
	var p capture.Packet
	for n := 1; ctx.Err() == nil; n++ {
		switch err := in.Next(&p); {
		case err == io.EOF:
			return nil
		case err != nil:
			return err
		}
		r.packet(&p)
		if enough(n) {
			return nil
		}
	}
	return ctx.Err()
}

// again replays what was before the frame was decided, and asks then.
func (s *search) again(ctx context.Context, c Config) error {
	c.Observer = func(*firewall.FrameEvent) {}
	r, err := newRun(c)
	if err != nil {
		return err
	}
	if s.found.Decided > 1 {
		if err := r.upTo(ctx, c.Inputs[0], func(n int) bool { return n == s.found.Decided-1 }); err != nil {
			return err
		}
	}
	q := firewall.Question{ContextID: s.event.Header.ContextID, Frame: &s.event.Inner, Data: s.inner, From: s.event.Src, To: s.event.Dst}
	s.found.Policy = r.shared.Explain(s.clock, &q)
	return nil
}
