package main

import (
	"net/netip"
	"strings"
	"testing"
	"time"

	"sttwall/binding"
	"sttwall/describe"
	"sttwall/firewall"
	"sttwall/policy"
	"sttwall/reason"
)

// addressOf returns the address that a packet claims.
func addressOf(t *testing.T, text string) binding.Claim {
	t.Helper()
	p, err := describe.Parse(text)
	if err != nil {
		t.Fatal(err)
	}
	var c binding.Claims
	c.Read(&p.Frame, &binding.Origin{Context: 100})
	return c.All()[1]
}

func spoofEvent(t *testing.T) *firewall.FrameEvent {
	e := &firewall.FrameEvent{Src: netip.MustParseAddr("10.47.1.2"), Decision: policy.Decision{Tenant: "acme"}, Spoofed: addressOf(t, "udp 10.1.0.7:1 > 10.1.0.9:2")}
	e.Header.ContextID = 100
	return e
}

func TestReporterTellsWhatMovesAndWhoForges(t *testing.T) {
	home := netip.MustParseAddr("10.47.1.1")
	for _, tt := range []struct {
		name string
		make func(e *firewall.FrameEvent)
		want string // "": nothing
	}{
		{"a move", func(e *firewall.FrameEvent) {
			e.Moves = []binding.Move{{Claim: e.Spoofed, From: home, Moves: 1, Stayed: int64(time.Hour)}}
		}, `level=INFO msg="a binding has moved" tenant=acme context=0x0000000000000064 address=10.1.0.7 outer_src=10.47.1.2 before=10.47.1.1 moves=1 stayed=1h0m0s`},
		{"to and fro", func(e *firewall.FrameEvent) {
			e.Moves = []binding.Move{{Claim: e.Spoofed, From: home, Moves: 3, Stayed: int64(2 * time.Second)}}
		}, `level=WARN msg="a binding moves to and fro: two endpoints claim it" tenant=acme context=0x0000000000000064 address=10.1.0.7 outer_src=10.47.1.2 before=10.47.1.1 moves=3 stayed=2s`},
		{"an impostor of a learned address", func(e *firewall.FrameEvent) { e.Reason, e.SpoofedAt = reason.BindingLearned, home },
			`level=WARN msg="a frame from where its sender does not live" tenant=acme context=0x0000000000000064 address=10.1.0.7 outer_src=10.47.1.2 lives_at=10.47.1.1`},
		{"of a declared one", func(e *firewall.FrameEvent) { e.Reason = reason.BindingDeclared },
			`level=WARN msg="a frame from where its sender does not live" tenant=acme context=0x0000000000000064 address=10.1.0.7 outer_src=10.47.1.2`},
		{"in audit mode", func(e *firewall.FrameEvent) { e.Decision.Audit, e.Decision.Would = true, reason.BindingDeclared },
			`level=WARN msg="a frame from where its sender does not live" tenant=acme context=0x0000000000000064 address=10.1.0.7 outer_src=10.47.1.2 audit=true`},
		{"nothing of that", func(e *firewall.FrameEvent) { e.Reason = reason.TenantDefault }, ""},
	} {
		t.Run(tt.name, func(t *testing.T) {
			r, out := newTestReporter(t)
			e := spoofEvent(t)
			tt.make(e)
			r.observe(e)
			if got := len(r.spoofs); got != min(1, len(tt.want)) {
				t.Fatalf("%d lines", got)
			}
			if tt.want == "" {
				return
			}
			s := <-r.spoofs
			r.spoof(&s)
			if _, got, _ := strings.Cut(strings.TrimSpace(out.String()), " "); got != tt.want {
				t.Errorf("got  %s\nwant %s", got, tt.want)
			}
		})
	}
}

// Whoever announces without end must not fill the log.
func TestReporterBoundsWhatItTellsOfBindings(t *testing.T) {
	r, out := newTestReporter(t)
	e := spoofEvent(t)
	e.Moves = []binding.Move{{Claim: e.Spoofed, From: e.Src, Moves: 1}}
	e.Reason = reason.BindingLearned
	for range 1000 {
		r.observe(e)
	}
	moves, impostors := int(moveRate.Burst), int(impostorRate.Burst)
	if len(r.spoofs) != moves+impostors {
		t.Errorf("%d lines wait, want %d", len(r.spoofs), moves+impostors)
	}
	r.losses(totals{missedMoves: r.missedMoves.Load(), missedSpoofs: r.missedSpoofs.Load(), unlearned: 7})
	for _, want := range []string{"moves of bindings not logged", "at_least=900", "frames from where their sender", "at_least=980", "settings.bindings", "at_least=7"} {
		if !strings.Contains(out.String(), want) {
			t.Errorf("it does not say %q:\n%s", want, out)
		}
	}
	e.Time += int64(10 * time.Second)
	before := len(r.spoofs)
	r.observe(e)
	if len(r.spoofs) != before+2 {
		t.Error("it stays silent")
	}
	for range 2000 { // the backlog has a bound of its own
		e.Time += int64(time.Second)
		r.observe(e)
	}
	if len(r.spoofs) != logBacklog {
		t.Errorf("%d wait", len(r.spoofs))
	}
}
