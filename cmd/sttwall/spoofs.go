package main

import (
	"fmt"
	"net/netip"
	"sync/atomic"
	"time"

	"sttwall/binding"
	"sttwall/firewall"
	"sttwall/limit"
	"sttwall/reason"
)

// spoof is what anti_spoof has to tell of a claim: it moved to another endpoint, or
// came from one where it may not come from.
type spoof struct {
	tenant  string
	context uint64
	claim   binding.Claim
	at      netip.Addr // outer source of the frame
	move    binding.Move
	moved   bool
	bound   netip.Addr // where the claim is bound instead; not valid if it is declared
	audit   bool       // the frame passed for the tenant's audit mode alone
}

// How many lines about moves and impostors a second are logged: whoever makes them
// must not fill the log. Others are counted.
var (
	moveRate     = limit.Rate{Events: 10, Per: time.Second, Burst: 100}
	impostorRate = limit.Rate{Events: 1, Per: time.Second, Burst: 20}
)

// observeSpoofs takes what a frame shows of bindings.
func (r *reporter) observeSpoofs(e *firewall.FrameEvent) {
	for i := range e.Moves {
		r.send(&r.missedMoves, r.moveLimit, e, &spoof{claim: e.Moves[i].Claim, move: e.Moves[i], moved: true})
	}
	why := e.Reason
	if e.Decision.Audit {
		why = e.Decision.Would
	}
	if why == reason.BindingDeclared || why == reason.BindingLearned {
		r.send(&r.missedSpoofs, r.impostorLimit, e, &spoof{claim: e.Spoofed, bound: e.SpoofedAt, audit: e.Decision.Audit})
	}
}

func (r *reporter) send(missed *atomic.Uint64, rate *limit.Bucket, e *firewall.FrameEvent, s *spoof) {
	s.tenant, s.context, s.at = e.Decision.Tenant, e.Header.ContextID, e.Src
	if !rate.Take(e.Time, 1) {
		missed.Add(1)
		return
	}
	select {
	case r.spoofs <- *s:
	default:
		missed.Add(1)
	}
}

// flapping: a binding that has moved as often and stayed as short as that is
// claimed by two endpoints at once.
const (
	flappingMoves = 3
	flappingStay  = time.Minute
)

func (r *reporter) spoof(s *spoof) {
	fields := []any{"tenant", s.tenant, "context", fmt.Sprintf("0x%016x", s.context), s.claim.Kind().String(), s.claim.String(), "outer_src", s.at}
	if !s.moved {
		if s.bound.IsValid() {
			fields = append(fields, "lives_at", s.bound)
		}
		if s.audit {
			fields = append(fields, "audit", true)
		}
		r.log.Warn("a frame from where its sender does not live", fields...)
		return
	}
	fields = append(fields, "before", s.move.From, "moves", s.move.Moves, "stayed", time.Duration(s.move.Stayed).Round(time.Millisecond))
	if s.move.Moves >= flappingMoves && time.Duration(s.move.Stayed) < flappingStay {
		r.log.Warn("a binding moves to and fro: two endpoints claim it", fields...)
		return
	}
	r.log.Info("a binding has moved", fields...)
}
