package tui

import (
	"context"
	"errors"
	"fmt"
	"time"

	tea "charm.land/bubbletea/v2"

	"sttwall/control"
)

// tickMsg comes once in Config.Every.
type tickMsg struct{}

func everyTick(d time.Duration) tea.Cmd {
	return tea.Tick(d, func(time.Time) tea.Msg { return tickMsg{} })
}

func (a *app) tick() tea.Cmd { return a.after(a.config.Every) }

// leastApart is how far two answers must be apart for rates to be made of them: a screen
// is asked at once when it is resized or shown again, and a moment says nothing.
const leastApart = 250 * time.Millisecond

// poll is the question that is under way; there is one at most.
type poll struct {
	number int // counts them; answers to others than the last are late
	cancel context.CancelFunc
	again  bool // ask once more when it is answered
	ticked bool // nothing but time has asked
	// totals are those of a status, and last when it came, for rates.
	totals control.Totals
	last   time.Time
	// lostAt is since when nothing answers.
	lostAt time.Time
}

// askKind says whether the status of the firewall is asked for too.
type askKind int

const (
	screenOnly askKind = iota
	withStatus
)

// pollMsg is what came of a poll.
type pollMsg struct {
	number    int
	to        screen
	status    *control.Status // nil: not asked
	statusErr error
	asked     bool // the screen has asked
	answer
}

// ask begins a poll, unless one is under way: then another one follows it.
func (a *app) ask(kind askKind) tea.Cmd {
	if a.poll.cancel != nil {
		a.poll.again = a.poll.again || kind == screenOnly
		return nil
	}
	to := a.top()
	var want question
	// While paused, a tick brings nothing new; what a key wants to see comes.
	if !a.env.paused || kind == screenOnly {
		want = to.Ask()
	}
	if want == nil && kind == screenOnly {
		return nil
	}
	ctx, cancel := context.WithTimeout(a.env.ctx, deadline)
	a.poll.number++
	a.poll.cancel, a.poll.again, a.poll.ticked = cancel, false, kind == withStatus && a.env.hasStatus
	msg, source := pollMsg{number: a.poll.number, to: to, asked: want != nil}, a.env.source
	return func() tea.Msg {
		defer cancel()
		if kind == withStatus {
			var status control.Status
			if status, msg.statusErr = source.Status(ctx); msg.statusErr != nil {
				msg.statusErr = inWords(msg.statusErr)
				return msg
			}
			msg.status = &status
		}
		if want != nil {
			msg.value, msg.err = want(ctx, source)
			msg.err = inWords(msg.err)
		}
		return msg
	}
}

// inWords says that time is up as a user would.
func inWords(err error) error {
	if errors.Is(err, context.DeadlineExceeded) {
		return fmt.Errorf("no answer within %v", deadline)
	}
	return err
}

// abandon gives up the poll that is under way: it is of a screen that is not seen
// any more.
func (a *app) abandon() {
	if a.poll.cancel != nil {
		a.poll.cancel()
		a.poll.cancel, a.poll.again = nil, false
		a.poll.number++
	}
}

// pause has what is seen stay as it is: an answer that is under way comes too late.
func (a *app) pause() tea.Cmd {
	a.env.paused = true
	if again := a.poll.again; a.poll.ticked {
		if a.abandon(); again {
			return a.ask(screenOnly)
		}
	}
	return nil
}

func (a *app) answered(msg pollMsg) tea.Cmd {
	if msg.number != a.poll.number || a.poll.cancel == nil {
		return nil
	}
	again := a.poll.again
	a.poll.cancel, a.poll.again = nil, false
	var cmds []tea.Cmd
	now := a.env.now()
	switch {
	case msg.statusErr != nil:
		if a.env.lost == nil {
			a.poll.lostAt = now
		}
		a.env.lost = msg.statusErr
		return nil
	case msg.status != nil:
		cmds = append(cmds, a.heard(*msg.status, now))
	}
	if msg.asked {
		cmds = append(cmds, msg.to.Update(msg.answer))
		if msg.err != nil {
			// What is shown is older than it looks.
			a.notice, a.noticeUntil = noticeMsg{"not up to date: " + msg.err.Error(), toneWarn}, now.Add(2*a.config.Every)
		}
	}
	if again {
		cmds = append(cmds, a.ask(screenOnly))
	}
	return tea.Batch(cmds...)
}

// heard takes a status: rates come of two of the same process.
func (a *app) heard(s control.Status, now time.Time) tea.Cmd {
	e := a.env
	before, had, wasLost := e.status, e.hasStatus, e.lost != nil
	e.status, e.hasStatus, e.lost = s, true, nil
	apart, then := now.Sub(a.poll.last), a.poll.totals
	anew := had && (s.PID != before.PID || !s.Started.Equal(before.Started))
	if had && !anew && !wasLost && apart < leastApart {
		return nil
	}
	a.poll.totals, a.poll.last = s.Totals, now
	if !had {
		return nil
	}
	if anew {
		e.rates, a.trend = rates{}, nil
		return notice(toneWarn, "the firewall was started anew at "+s.Started.Local().Format(time.TimeOnly)+": its counters begin at 0")
	}
	if seconds := apart.Seconds(); seconds > 0 {
		now := s.Totals
		rate := func(now, then uint64) float64 { return float64(now-min(now, then)) / seconds }
		e.rates = rates{
			known: true, packets: rate(now.Packets, then.Packets), bytes: rate(now.Bytes, then.Bytes),
			accepted: rate(now.FramesAccepted, then.FramesAccepted), dropped: rate(now.FramesDropped, then.FramesDropped),
			audited: rate(now.FramesAudited, then.FramesAudited), reject: rate(now.RejectsSent, then.RejectsSent),
		}
		a.trend = append(a.trend, e.rates.packets)
		a.trend = a.trend[max(0, len(a.trend)-trend):]
	}
	if wasLost {
		return notice(toneGood, "the firewall answers again")
	}
	return nil
}
