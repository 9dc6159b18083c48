package control

import (
	"fmt"
	"regexp"
	"strconv"
	"strings"
	"testing"

	"sttwall/reason"
)

// lastDrop returns the newest frame that was dropped.
func lastDrop(t *testing.T, c *Client) Frame {
	t.Helper()
	d, err := c.RecentDrops(t.Context(), FrameQuery{Limit: 1})
	if err != nil || len(d.Frames) != 1 {
		t.Fatalf("got %d frames, %v", len(d.Frames), err)
	}
	return d.Frames[0]
}

// requestOf is what a client asks that knows a dropped frame.
func requestOf(f *Frame) RemedyRequest {
	r := RemedyRequest{Header: f.Header, Data: f.Data, InnerBytes: f.InnerBytes, Reason: f.Reason, From: f.From.String(), To: f.To.String()}
	if f.Context != nil {
		r.Context = *f.Context
	}
	return r
}

var placed = regexp.MustCompile(`test\.hcl:(\d+)`)

// paste does what an operator does: puts the text at the line that is named.
func paste(t *testing.T, rules string, r Remedy) string {
	t.Helper()
	at := placed.FindStringSubmatch(r.Place)
	if at == nil {
		return rules + "\n" + r.Text // at the end of the file
	}
	line, err := strconv.Atoi(at[1])
	if err != nil {
		t.Fatal(err)
	}
	lines := strings.SplitAfter(rules, "\n")
	before, after := strings.Join(lines[:line-1], ""), strings.Join(lines[line-1:], "")
	if strings.HasPrefix(r.Place, "in place of") {
		_, after, _ = strings.Cut(after, "\n")
	}
	return before + r.Text + after
}

// What is suggested for a dropped frame lets it pass when it is in force.
func TestARemedyThatIsPastedLetsTheFramePass(t *testing.T) {
	for _, tt := range []struct {
		name    string
		context uint64
		packet  string
		reason  reason.Reason
	}{
		{"no rule", 100, "tcp 10.0.0.1:40000 > 10.0.0.2:22 syn", reason.TenantDefault},
		{"no rule, IPv6", 100, "udp [2001:db8::1]:40000 > [2001:db8::2]:161", reason.TenantDefault},
		{"no rule, tagged", 100, "tcp 10.0.0.1:40000 > 10.0.0.2:22 syn vlan 10", reason.TenantDefault},
		{"a rule that rejects", 100, "tcp 10.0.0.1:40000 > 10.0.0.2:23 syn", reason.RuleReject},
		{"nobody's", 0x9000000000000001, "icmp 10.0.0.1 > 10.0.0.2 echo-request", reason.ContextUnknown},
		{"audit", 200, "udp 10.0.0.1:9 > 10.0.0.2:9", reason.TenantDefault},
	} {
		t.Run(tt.name, func(t *testing.T) {
			core, recent := dropsOf(t)
			c := serve(t, Config{Firewall: core, Recent: recent}).dial(t)
			core.send(t, tt.context, tt.packet, false)
			dropped := lastDrop(t, c)
			if dropped.Reason != tt.reason.String() {
				t.Fatalf("dropped for %s", dropped.Reason)
			}
			got, err := c.Remedy(t.Context(), requestOf(&dropped))
			if err != nil || !got.Tried || got.Text == "" {
				t.Fatalf("got %+v, %v", got, err)
			}
			core.reload(t, paste(t, testRules, got))
			if !core.send(t, tt.context, tt.packet, false) {
				t.Errorf("it does not pass with\n%s%s", got.Text, got.Place)
			}
			if d := lastDrop(t, c); d.Seq != dropped.Seq {
				t.Errorf("it is %s: %s", d.Verdict, d.Reason)
			}
		})
	}
}

func TestRemediesThatAreRefused(t *testing.T) {
	c := serve(t, Config{}).dial(t)
	for _, tt := range []struct {
		ask  RemedyRequest
		want string
	}{
		{RemedyRequest{Reason: "bad_mood"}, `reason: there is no "bad_mood"`},
		{RemedyRequest{Header: []byte{1}}, "header: want the 18 bytes"},
		{RemedyRequest{From: "here"}, `from: "here" is not`},
		{RemedyRequest{To: "fe80::1%eth0"}, `to: "fe80::1%eth0" is not`},
	} {
		if _, err := c.Remedy(t.Context(), tt.ask); err == nil || !strings.Contains(err.Error(), tt.want) {
			t.Errorf("got %v, want %q", err, tt.want)
		}
	}
	if got, err := c.Remedy(t.Context(), RemedyRequest{Reason: reason.L4OffsetMismatch.String()}); err != nil || got.Text != "" || !strings.Contains(got.Why, "no rule") {
		t.Errorf("got %+v, %v", got, err)
	}
}

func TestAFrameIsExplainedByItsBytes(t *testing.T) {
	core, recent := dropsOf(t)
	c := serve(t, Config{Firewall: core, Recent: recent}).dial(t)
	core.send(t, 100, "tcp 10.0.0.1:40000 > 10.0.0.2:22 syn vlan 10", false)
	dropped := lastDrop(t, c)
	byHeader, err := c.Explain(t.Context(), ExplainRequest{Frame: dropped.Data, Header: dropped.Header, From: dropped.From.String(), To: dropped.To.String()})
	if err != nil {
		t.Fatal(err)
	}
	described, err := c.Explain(t.Context(), ExplainRequest{Context: 100, Packet: "tcp 10.0.0.1:40000 > 10.0.0.2:22 syn vlan 10", From: endpointA.String(), To: endpointB.String()})
	if err != nil {
		t.Fatal(err)
	}
	if got, want := fmt.Sprint(byHeader.Rules, byHeader.Reason, byHeader.Live.State), fmt.Sprint(described.Rules, described.Reason, described.Live.State); got != want {
		t.Errorf("got  %s\nwant %s", got, want)
	}
	cut, err := c.Explain(t.Context(), ExplainRequest{Context: 100, Frame: dropped.Data[:20]})
	if err != nil || cut.Action != "drop" || cut.Reason != reason.InnerTruncated.String() {
		t.Errorf("a frame that is cut: %+v, %v", cut, err)
	}
	lying := append([]byte{}, dropped.Header...)
	lying[2] = 99
	if lie, err := c.Explain(t.Context(), ExplainRequest{Frame: dropped.Data, Header: lying}); err != nil || lie.Reason != reason.L4OffsetMismatch.String() {
		t.Errorf("a header that lies: %+v, %v", lie, err)
	}
	for want, ask := range map[string]ExplainRequest{
		"want one of them": {Packet: "arp request 10.0.0.1 > 10.0.0.2", Frame: dropped.Data},
		"tci: it is":       {Frame: dropped.Data, Header: dropped.Header, TCI: 7},
		"inner_bytes":      {Frame: dropped.Data, InnerBytes: 1 << 20},
	} {
		if _, err := c.Explain(t.Context(), ask); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("got %v, want %q", err, want)
		}
	}
}
