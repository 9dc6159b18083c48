package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"log/slog"
	"net/http"
	"sync"
	"time"

	"github.com/spf13/pflag"

	"sttwall/control"
	"sttwall/firewall"
	"sttwall/handover"
	"sttwall/nfq"
)

// handoverAuto has the state lie beside the control socket, which is in memory and in a
// folder of its own in most cases.
const handoverAuto = "auto"

// handoverFlags are the flags about restarts.
type handoverFlags struct {
	file string
	take bool
}

func (f *handoverFlags) add(flags *pflag.FlagSet) {
	flags.StringVar(&f.file, "handover", handoverAuto, "`file` in which flows, bindings and frame IDs are left at the end for the next\nstart, which takes them: auto is that of --control, with .handover behind; \"\" is none")
	flags.BoolVar(&f.take, "take-over", false, "end the firewall that listens on the control socket, and take its place\nwith its flows, bindings and frame IDs")
}

// successor takes what the instance before has left, and leaves it to the next. A nil
// successor does neither.
type successor struct {
	file  string
	log   *slog.Logger
	own   nfq.TableMode
	open  bool               // STT passes while nobody listens
	stop  context.CancelFunc // ends the firewall
	state io.ReadCloser      // of the instance before; nil: there is none
	took  *handover.Header   // of it, if it was used

	mu    sync.Mutex
	taker *control.Taker // who waits for the state

	inline  *nfq.Inline // that has ended as it was told
	stopped int64
}

// begin has the firewall that runs end and leave its state, if it is to be taken over.
// stop ends the firewall that is about to start.
func (f *handoverFlags) begin(ctx context.Context, c *runConfig, stop context.CancelFunc) (*successor, error) {
	s := &successor{file: f.file, log: c.log, own: c.inline.Table, open: c.inline.FailOpenAbsent, stop: stop}
	if s.file == handoverAuto {
		if s.file = ""; c.socket != "" {
			s.file = c.socket + ".handover"
		}
	}
	if !f.take {
		return s, nil
	}
	if c.socket == "" {
		return nil, usageError{errors.New("--take-over: over which socket? --control \"\" names none")}
	}
	var err error
	s.state, err = control.TakeOver(ctx, c.socket)
	var refused *control.Error
	switch {
	case errors.Is(err, control.ErrNobody):
		s.log.Warn("--take-over: no sttwall listens on the control socket: this one starts as without", "control", c.socket)
	case errors.As(err, &refused) && refused.Code == http.StatusNotFound:
		return nil, fmt.Errorf("--take-over: the firewall at %s cannot hand over, and goes on: stop it, and start without --take-over", c.socket)
	case errors.As(err, &refused):
		return nil, fmt.Errorf("--take-over: %w; it goes on", err)
	case err != nil:
		return nil, fmt.Errorf("--take-over: %w", err)
	}
	return s, nil
}

// unused says that a state is not used, and what that means.
func (s *successor) unused(why error) {
	s.log.Error("what the instance before has left is not used: flows and bindings begin anew, and the startup guard holds", "why", why)
}

// adopter returns what [nfq.InlineConfig.Adopt] is to be.
func (s *successor) adopter() func(*firewall.Shared, func() int64) bool {
	if s == nil || s.state == nil && s.file == "" {
		return nil
	}
	return s.adopt
}

// adopt puts the state into what workers share; false if it is not to be used. Only now
// is the file opened: a start that fails before leaves it to the next.
func (s *successor) adopt(shared *firewall.Shared, clock func() int64) bool {
	if s.file != "" {
		left, err := handover.OpenFile(s.file)
		switch {
		case errors.Is(err, fs.ErrNotExist):
		case err != nil:
			s.unused(err)
		case s.state != nil:
			left.Close() // of one before the one that was taken over
		default:
			s.state = left
		}
	}
	if s.state == nil {
		return true
	}
	defer s.state.Close() // it was read
	begun := time.Now()
	var h handover.Header
	done, bytes, err := s.read(&h, shared, clock)
	if err != nil {
		s.unused(err)
		return false
	}
	s.took = &h
	s.log.Info("flows, bindings and frame IDs of the instance before are taken over",
		"flows", done.Flows.Flows, "flows_over", done.Flows.Over, "flows_without_tenant", done.Flows.Tenantless, "flows_without_room", done.Flows.NoRoom,
		"bindings", done.Bindings.Bindings, "frame_ids", done.FrameIDs, "bytes", bytes, "took", time.Since(begun).Round(time.Millisecond), "written_by", h.Program)
	if lost := done.Flows.NoRoom; lost > 0 {
		s.log.Warn("flows of the instance before have found no room: settings.flows is less than it was", "flows", lost)
	}
	return true
}

func (s *successor) read(h *handover.Header, shared *firewall.Shared, clock func() int64) (done firewall.TakenOver, bytes int64, err error) {
	r, err := handover.NewReader(s.state)
	if err != nil {
		return done, 0, err
	}
	if err := h.Read(r); err != nil {
		return done, 0, err
	}
	now, err := handover.Now()
	if err != nil {
		return done, 0, err
	}
	age, err := h.Age(now)
	if err != nil {
		return done, 0, err
	}
	unwatched := h.Open
	if h.Table != 0 {
		there, err := nfq.TableHandle(0)
		if err != nil {
			return done, 0, err
		}
		if there != h.Table {
			unwatched = true
			s.log.Warn("the nftables table is not the one that the instance before has left: packets may have passed undecided")
		}
	}
	if unwatched {
		s.log.Warn("STT may have passed undecided since the instance before: frame IDs are not taken over, the startup guard holds, and TCP goes on wherever it is")
	}
	done, err = shared.TakeOver(firewall.TakingOver{Now: clock(), Elapsed: int64(age), Unwatched: unwatched}, r)
	return done, r.Bytes(), err
}

// settle says how long no packet was decided, and ends flows that the rules that hold
// now deny, while packets are decided: their next ones would end them too.
func (s *successor) settle(inline *nfq.Inline) {
	if s == nil || s.took == nil {
		return
	}
	if now, err := handover.Now(); err == nil {
		s.log.Info("packets are decided again", "after", time.Duration(now.Since-s.took.Stopped).Round(time.Millisecond/10))
	}
	s.log.Info("the rules have judged the flows of the instance before", "flows_ended", inline.Shared().Rejudge(inline.Now()))
}

// asked returns what [control.Config.HandOver] is to be.
func (s *successor) asked() func(*control.Taker) {
	if s == nil {
		return nil
	}
	return func(t *control.Taker) {
		s.mu.Lock()
		s.taker = t
		s.mu.Unlock()
		s.log.Info("another instance takes over", "pid", t.PID, "uid", t.UID)
		s.stop()
	}
}

// leave remembers a firewall whose workers have ended. What one that has failed knows is
// not to be relied on.
func (s *successor) leave(inline *nfq.Inline, failed error) {
	if s == nil || failed != nil {
		return
	}
	if now, err := handover.Now(); err == nil {
		s.inline, s.stopped = inline, now.Since
	}
}

// finish leaves the state to who waits for it, or in the file, when nothing else of the
// firewall is in use any more. Where that fails the log says so, and not the exit status:
// the firewall has ended as it was told.
func (s *successor) finish() {
	s.mu.Lock()
	taker := s.taker
	s.mu.Unlock()
	if taker != nil {
		defer taker.Close()
	}
	if s.inline == nil {
		return
	}
	if taker != nil {
		buffered := bufio.NewWriterSize(taker, 256<<10)
		err := errors.Join(s.write(buffered), buffered.Flush())
		if err == nil {
			return
		}
		s.log.Error("who takes over has not taken the state: the next start may", "why", err)
	}
	if s.file == "" {
		return
	}
	// Of somebody else's table nobody can tell whether another instance decided in between.
	s.open = s.open || s.own != nfq.TableInstalled
	if err := handover.WriteFile(s.file, s.write); err != nil {
		s.log.Error("the next start will find no flows: they begin anew, and the startup guard holds", "why", err)
	}
}

// write writes the state.
func (s *successor) write(to io.Writer) error {
	begun := time.Now()
	h := handover.Header{Program: version(), Stopped: s.stopped, Open: s.open}
	var err error
	if s.own == nfq.TableInstalled {
		if h.Table, err = nfq.TableHandle(0); err != nil {
			return err
		}
		h.Open = h.Open || h.Table == 0 // somebody has removed it
	}
	if h.Moment, err = handover.Now(); err != nil {
		return err
	}
	w := handover.NewWriter(to)
	if err := h.Write(w); err != nil {
		return err
	}
	if err := s.inline.Shared().HandOver(s.inline.Now(), w); err != nil {
		return err
	}
	bytes, err := w.Close()
	if err == nil {
		s.log.Info("flows, bindings and frame IDs are left to the next instance", "bytes", bytes, "took", time.Since(begun).Round(time.Millisecond))
	}
	return err
}
