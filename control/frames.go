package control

import (
	"bytes"
	"cmp"
	"errors"
	"net/http"
	"slices"
	"sync/atomic"
	"time"

	"sttwall/conntrack"
	"sttwall/filter"
	"sttwall/firewall"
	"sttwall/inspect"
	"sttwall/limit"
	"sttwall/policy"
	"sttwall/reason"
	"sttwall/remedy"
	"sttwall/stt"
	"sttwall/tap"
)

const (
	// maxFrameReaders is how many of those who only read follow frames at once; tap
	// bounds all.
	maxFrameReaders = 4
	// frameBatch is how many bytes of lines are written before they are sent.
	frameBatch = 256 << 10
	// frameTakes is after how many frames it is looked whether there is time for more.
	frameTakes = 256
	// explainedRules is how many of the rules that were tried for a frame are told: the
	// first and the last.
	explainedRules, lastRules = 256, 32
	// selectors is how many workers look at a frame for one reader at once; where that
	// is not enough, the reader looks.
	selectors = 64
	// maxSteps is how many steps a filter has at most that workers are asked to take for
	// each frame, a few ns each. With a longer one the reader is handed all frames, and
	// looks.
	maxSteps = 48
)

// explainRate is how many frames are explained to a reader, if asideShare allows; the
// others come without.
var explainRate = limit.Rate{Events: 20, Per: time.Second, Burst: 20}

// selector asks a filter about frames, from many workers at once.
type selector struct {
	filter *filter.Filter
	places [selectors]struct {
		taken  atomic.Bool
		record filter.Record
		vlans  [inspect.MaxTags + 1]uint16
	}
}

// wants reports whether the filter may select a frame. It waits for nobody.
func (s *selector) wants(e *firewall.FrameEvent) bool {
	for i := range s.places {
		p := &s.places[(int(e.SrcPort)+i)%selectors]
		if p.taken.Swap(true) {
			continue
		}
		p.record.VLANs = p.vlans[:0]
		frameRecord(&p.record, e)
		selected := s.filter.Match(&p.record)
		p.taken.Store(false)
		return selected
	}
	return true
}

// wantsOf is what workers are asked for a filter; nil where the reader alone looks.
func wantsOf(f *filter.Filter) func(*firewall.FrameEvent) bool {
	if f.All() || f.Steps() > maxSteps {
		return nil
	}
	return (&selector{filter: f}).wants
}

// frames streams decided frames until the client goes.
func (s *Server) frames(w http.ResponseWriter, r *http.Request) error {
	q, selects, err := frameQuery(r, "filter", "snap", "outer", "explain")
	if err != nil {
		return err
	}
	if q.Explain && q.Outer {
		return refuse(http.StatusBadRequest, "explain and outer: want one of them; packets are not explained, frames are")
	}
	if s.config.Taps == nil {
		return refuse(http.StatusNotFound, "this sttwall shows no frames")
	}
	full := refuse(http.StatusServiceUnavailable, "there are too many who follow frames: try again when some have ended")
	peer, _ := peerIn(r)
	leave, ok := s.followFrames(peer)
	if !ok {
		return full
	}
	defer leave()
	from, err := s.config.Taps.Open(tap.Config{Snap: q.Snap, Outer: q.Outer, Wants: wantsOf(selects)})
	if errors.Is(err, tap.ErrTooMany) {
		return full
	} else if err != nil {
		return err
	}
	defer from.Close()
	return s.streamFrames(w, r, from, &frameStream{server: s, query: q, selects: selects, explains: limit.NewBucket(explainRate)})
}

// followFrames takes a place for somebody who follows frames; false if there is none.
func (s *Server) followFrames(who Peer) (leave func(), ok bool) {
	if s.changer(who) {
		return func() {}, true
	}
	select {
	case s.frameReaders <- struct{}{}:
		return func() { <-s.frameReaders }, true
	default:
		return nil, false
	}
}

// frameStream makes the lines of one reader.
type frameStream struct {
	server   *Server
	query    FrameQuery
	selects  *filter.Filter
	record   filter.Record
	explains *limit.Bucket
}

func (s *Server) streamFrames(w http.ResponseWriter, r *http.Request, from *tap.Tap, stream *frameStream) error {
	to := http.NewResponseController(w)
	// It lasts as long as the client wants; one that does not read loses frames, and
	// is told when it reads again.
	if err := errors.Join(to.SetReadDeadline(time.Time{}), to.SetWriteDeadline(time.Time{})); err != nil {
		return err
	}
	w.Header().Set("Content-Type", "application/x-ndjson")
	w.WriteHeader(http.StatusOK)
	if err := to.Flush(); err != nil {
		return nil // gone
	}
	var (
		batch bytes.Buffer
		lines = newLines(&batch)
		f     tap.Frame
		wall  = s.wallClock()
	)
	for {
		batch.Reset()
		var wrong error
		took := 0
		if !s.lines(r, func() {
			for ; took < frameTakes && batch.Len() < frameBatch && from.Take(&f); took++ {
				if line, selected := stream.line(r, &f, wall); selected {
					wrong = errors.Join(wrong, lines.Encode(line))
				}
			}
		}) {
			return nil // gone
		}
		if n := from.Lost(); n > 0 {
			wrong = errors.Join(wrong, lines.Encode(&Event{Type: EventLost, Time: time.Now(), Count: n}))
		}
		if wrong != nil {
			s.config.Log.Error("control: a frame that cannot be written", "why", wrong)
			return nil
		}
		if batch.Len() == 0 {
			if from.Wait(r.Context()) != nil {
				return nil
			}
			continue
		}
		if _, err := w.Write(batch.Bytes()); err != nil || to.Flush() != nil {
			return nil // gone
		}
	}
}

// line is what is told of a frame, if the filter selects it.
func (s *frameStream) line(r *http.Request, f *tap.Frame, wall func(int64) time.Time) (*Frame, bool) {
	if frameRecord(&s.record, &f.Event); !s.selects.Match(&s.record) {
		return nil, false
	}
	line := FrameOf(f, wall)
	if s.query.Explain && s.explains.Take(s.server.config.Firewall.Now(), 1) {
		line.Explanation = s.server.explainDecided(r, f)
	}
	return &line, true
}

// FrameOf is what is told of a frame that a tap has handed out. wall brings the
// firewall's clock to the wall clock. It shares no memory with the frame.
func FrameOf(f *tap.Frame, wall func(int64) time.Time) Frame {
	line := frameOf(&f.Event, f.Data, len(f.Data), wall)
	line.Seq, line.Parts = f.Seq, slices.Clone(f.Segments)
	if f.Time != 0 {
		if line.Data = slices.Clone(f.Data); !f.Event.HasHeader {
			line.Header = nil
		}
		line.Outer = &OuterPacket{Index: f.Packet, Bytes: f.Length, Time: wall(f.Time), Alone: f.Alone}
	}
	return line
}

// explainDecided says how a frame was decided, right after that; nil if that is not
// known, or if there is no time for it.
func (s *Server) explainDecided(r *http.Request, f *tap.Frame) *Explanation {
	e := &f.Event
	if f.Time != 0 || !e.HasHeader || !e.HasInner {
		return nil
	}
	var out *Explanation
	_, err := s.inTurn(r, func() (any, error) {
		bound, _ := s.asideOf(r)
		if bound.wait() > 0 {
			return nil, nil // many rules: it takes too long for each frame
		}
		bound.run(func() {
			x := s.explanationOf(e, remedy.Whole(f.Data, max(len(f.Data), e.FrameLength-stt.FrameHeaderLen)))
			out = &x
		})
		return nil, nil
	})
	if err != nil {
		return nil // gone
	}
	return out
}

func (s *Server) explanationOf(e *firewall.FrameEvent, data []byte) Explanation {
	fw := s.config.Firewall
	if foreign := ForeignEndpoint(fw.Shared().Policy(), e.Src); foreign != nil {
		return *foreign
	}
	if e.Decision.TenantIndex < 0 && e.Reason != reason.ContextUnknown && e.Reason != reason.ContextReserved {
		return malformed(e.Reason)
	}
	live := Live{From: e.Src, To: e.Dst, State: frameState(e), Begins: e.Begins}
	var (
		rules *policy.Explanation
		now   policy.Decision
	)
	switch belongs := e.State == conntrack.StateOriginal || e.State == conntrack.StateReply || e.State == conntrack.StateRelated; {
	case belongs && !e.Begins:
		x := fw.Shared().Explain(fw.Now(), &firewall.Question{ContextID: e.Header.ContextID, Frame: &e.Inner, Data: data, From: e.Src, To: e.Dst})
		rules, live.OfFlow, live.Belongs, now = x.Rules, x.OfFlow, true, x.Rules.Decision
		if x.Flow != nil {
			f := flowOf(x.Flow, s.wall())
			live.Flow = &f
		}
	default:
		rules = fw.Shared().Policy().Explain(&policy.Packet{
			ContextID: e.Header.ContextID, Frame: &e.Inner, From: e.Src, To: e.Dst, Wall: e.Decided / 1e9, Now: e.Decided,
		})
		now = rules.Decision
	}
	out := Explained(rules, &e.Decision)
	out.Live = &live
	out.Changed = e.Decision.Rule != "" && now.Rule != e.Decision.Rule
	if over := len(out.Rules) - explainedRules; over > 0 {
		out.Omitted = over
		out.Rules = slices.Delete(out.Rules, explainedRules-lastRules, len(out.Rules)-lastRules)
	}
	out.Action = cmp.Or(out.Action, e.Verdict.String())
	return out
}
