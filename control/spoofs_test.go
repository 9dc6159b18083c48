package control

import (
	"encoding/json"
	"net/netip"
	"testing"
	"time"

	"sttwall/binding"
	"sttwall/describe"
	"sttwall/firewall"
	"sttwall/policy"
	"sttwall/reason"
)

// What a frame moves, or forges, is told; it stays what it was when the worker has
// gone on to the next frame.
func TestMovesAndImpostorsAreEvents(t *testing.T) {
	p, err := describe.Parse("arp request 10.0.0.1 > 10.0.0.1")
	if err != nil {
		t.Fatal(err)
	}
	var claims binding.Claims
	claims.Read(&p.Frame, &binding.Origin{Context: 100})
	address, home := claims.All()[1], netip.MustParseAddr("10.47.1.1")
	scratch := []binding.Move{{Claim: address, From: home, Moves: 3, Stayed: int64(1500 * time.Millisecond)}}
	moved := &firewall.FrameEvent{Verdict: firewall.Accept, Src: netip.MustParseAddr("10.47.1.2"), Moves: scratch, Decision: policy.Decision{Tenant: "acme"}}
	forged := &firewall.FrameEvent{Verdict: firewall.Drop, Reason: reason.BindingLearned, Spoofed: address, SpoofedAt: home}
	audited := &firewall.FrameEvent{Verdict: firewall.Accept, Spoofed: address, Decision: policy.Decision{Action: policy.Accept, Audit: true, Would: reason.BindingDeclared}}
	quiet := &firewall.FrameEvent{Verdict: firewall.Accept}

	var feed Feed
	ring, leave := feed.subscribe(false)
	defer leave()
	for _, e := range []*firewall.FrameEvent{moved, forged, audited, quiet} {
		feed.Observe(e)
		clear(scratch)
	}
	var got []string
	for ring.take(func(f *firewall.FrameEvent, _ *Event) {
		e := eventOf(f, func(int64) time.Time { return time.Time{} })
		text, err := json.Marshal(struct {
			Type    string   `json:"type"`
			Moved   []Moved  `json:"moved,omitempty"`
			Spoofed *Spoofed `json:"spoofed,omitempty"`
		}{e.Type, e.Moved, e.Spoofed})
		if err != nil {
			t.Error(err)
		}
		got = append(got, string(text))
	}) {
	}
	want := []string{
		`{"type":"move","moved":[{"kind":"address","value":"10.0.0.1","before":"10.47.1.1","stayed":1.5,"moves":3}]}`,
		`{"type":"drop","spoofed":{"kind":"address","value":"10.0.0.1","lives_at":"10.47.1.1"}}`,
		`{"type":"would_drop","spoofed":{"kind":"address","value":"10.0.0.1"}}`,
	}
	if len(got) != len(want) {
		t.Fatalf("got %q", got)
	}
	for i := range want {
		if got[i] != want[i] {
			t.Errorf("got  %s\nwant %s", got[i], want[i])
		}
	}
}
