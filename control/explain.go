package control

import (
	"context"
	"encoding/binary"
	"fmt"
	"io"
	"net/http"
	"net/netip"
	"slices"

	"sttwall/describe"
	"sttwall/firewall"
	"sttwall/inspect"
	"sttwall/policy"
	"sttwall/reason"
)

// ExplainRequest asks what would become of a packet. POST /v1/explain.
type ExplainRequest struct {
	Context ContextID `json:"context"`
	// Packet is described as docs/packets.md says.
	Packet string `json:"packet,omitempty"`
	// Frame, in its place, is an inner frame, or the beginning of one of InnerBytes
	// bytes (0: all of it). Header is its STT frame header, or TCI what that has for
	// it; 0: no tag. If Header is given Context may be left out.
	Frame      []byte `json:"frame,omitempty"`
	InnerBytes int    `json:"inner_bytes,omitempty"`
	Header     []byte `json:"header,omitempty"`
	TCI        uint16 `json:"tci,omitempty"`
	// From and To are the outer endpoints, if the description does not name them.
	// What is not named is taken to be right.
	From string `json:"from,omitempty"`
	To   string `json:"to,omitempty"`
}

// Explanation says how a packet is decided, step by step.
type Explanation struct {
	// Tenant says which tenant it is, and Claim by which claim.
	Tenant string `json:"tenant"`
	Claim  string `json:"claim,omitempty"`

	// Live is what a running firewall adds; nil without one.
	Live *Live `json:"live,omitempty"`

	// Bindings is what of the packet's claims is declared in anti_spoof, and for whom;
	// and in a running firewall what is learned, and where it lives.
	Bindings []string `json:"bindings,omitempty"`

	// Rules were tried in this order; Default is what follows where none matched. Of a
	// frame that was decided, Omitted of them are left out before the last ones, and
	// Changed says that these rules are later ones than those that have decided.
	Rules   []RuleStep `json:"rules"`
	Omitted int        `json:"rules_omitted,omitempty"`
	Changed bool       `json:"rules_changed,omitempty"`
	Default string     `json:"default,omitempty"`

	// Action is what becomes of it: accept, drop or reject; Reason is why not
	// accept, and Rule the rule that decided. In audit mode, the action is accept
	// and WouldBe and Would what it would be else.
	Action  string `json:"action"`
	Reason  string `json:"reason,omitempty"`
	Audit   bool   `json:"audit"`
	WouldBe string `json:"would_be,omitempty"`
	Would   string `json:"would,omitempty"`
	Rule    string `json:"rule,omitempty"`
}

// Live is what flows and limits have to do with it.
type Live struct {
	// From and To are the outer endpoints that it was taken to have.
	From netip.Addr `json:"from"`
	To   netip.Addr `json:"to"`
	// State is what it is to the flow table, in the words of docs/conntrack.md:
	// original, reply, related, new, untracked, invalid; stale is of a flow that the
	// rules deny now, other_context of one that they deny with that context ID.
	State string `json:"state"`
	// Flow is the one that it names, Belongs whether it would pass as a packet of
	// it. Begins: it would begin one.
	Flow    *Flow `json:"flow,omitempty"`
	Belongs bool  `json:"belongs"`
	Begins  bool  `json:"begins"`
	// NumbersTaken: the description names no TCP numbers, so that they were taken
	// to be those that the flow expects next.
	NumbersTaken bool `json:"tcp_numbers_taken"`
	// OfFlow: the rules are those tried for the first packet of the flow, which
	// decides about the others.
	OfFlow bool `json:"rules_of_first_packet"`
}

// RuleStep is one rule that was tried.
type RuleStep struct {
	Rule string `json:"rule"`
	// Pattern is that of a temporary rule, which stands in no file.
	Pattern string `json:"pattern,omitempty"`
	File    string `json:"file,omitempty"`
	Line    int    `json:"line,omitempty"`
	Matched bool   `json:"matched"`
	// Condition is the attribute that does not match, Want what it has in the
	// file, Got what the packet shows.
	Condition string `json:"condition,omitempty"`
	Want      string `json:"want,omitempty"`
	Got       string `json:"got,omitempty"`
}

// Explained brings an explanation of the rules, and what is decided in the end,
// into the form in which it is shown.
func Explained(x *policy.Explanation, d *policy.Decision) Explanation {
	out := Explanation{
		Tenant: x.Tenant, Claim: x.Claim, Bindings: x.Bindings, Rules: []RuleStep{}, Default: x.Default,
		Action: d.Action.String(), Audit: d.Audit, Rule: d.Rule,
	}
	if d.Reason != reason.None {
		out.Reason = d.Reason.String()
	}
	if d.Audit {
		out.WouldBe, out.Would = d.WouldBe.String(), d.Would.String()
	}
	for _, r := range x.Rules {
		out.Rules = append(out.Rules, RuleStep(r))
	}
	return out
}

// ForeignEndpoint explains what becomes of every frame from an outer address that
// settings.endpoints does not list: it is dropped before its tenant is looked for.
// It returns nil if the address may send, or is not valid.
func ForeignEndpoint(p *policy.Policy, from netip.Addr) *Explanation {
	listed := p.Settings().Endpoints
	if !from.IsValid() || len(listed) == 0 || slices.ContainsFunc(listed, func(e netip.Prefix) bool { return e.Contains(from) }) {
		return nil
	}
	return &Explanation{
		Tenant: fmt.Sprintf("the outer source %s is not in settings.endpoints, so that no tenant is looked for", from),
		Rules:  []RuleStep{}, Action: policy.Drop.String(), Reason: reason.EndpointUnknown.String(),
	}
}

// readQuestion reads the body of a request. Where the question is about a frame that is
// dropped before anybody looks for its tenant, structural says why. mssFloor is that of
// the settings.
func readQuestion(body io.Reader, mssFloor uint16) (q firewall.Question, structural reason.Reason, err error) {
	var ask ExplainRequest
	if err := decode(body, &ask); err != nil {
		return q, structural, err
	}
	switch {
	case ask.Packet != "" && len(ask.Frame) > 0:
		return q, structural, refuse(http.StatusBadRequest, "packet and frame: want one of them")
	case len(ask.Frame) > 0:
		q.Frame = new(inspect.Frame)
		if q.Data, structural, err = ask.readFrame(q.Frame, mssFloor); err != nil {
			return q, structural, err
		}
		if q.ContextID = uint64(ask.Context); q.ContextID == 0 && len(ask.Header) > 0 {
			q.ContextID = binary.BigEndian.Uint64(ask.Header[8:])
		}
	case ask.Packet == "":
		return q, structural, refuse(http.StatusBadRequest, "packet: want a description such as tcp 10.0.0.1:40000 > 10.0.0.2:443 syn")
	default:
		packet, err := describe.Parse(ask.Packet)
		if err != nil {
			return q, structural, refuse(http.StatusBadRequest, "packet: %v", err)
		}
		q = firewall.Question{
			ContextID: uint64(ask.Context), Frame: &packet.Frame, Data: packet.Data, From: packet.From, To: packet.To, AnyNumbers: !packet.Numbers,
		}
	}
	for _, end := range []struct {
		name, text string
		into       *netip.Addr
	}{{"from", ask.From, &q.From}, {"to", ask.To, &q.To}} {
		a, err := endpointOf(end.name, end.text)
		switch {
		case err != nil:
			return q, structural, err
		case !a.IsValid():
			continue
		case end.into.IsValid() && *end.into != a:
			return q, structural, refuse(http.StatusBadRequest, "%s: the packet's description says %s, and the request %s", end.name, *end.into, a)
		}
		*end.into = a
	}
	return q, structural, nil
}

// explain says what would become of a packet now.
func (s *Server) explain(w http.ResponseWriter, r *http.Request) error {
	if err := onlyQuery(r); err != nil {
		return err
	}
	q, structural, err := readQuestion(r.Body, s.config.Firewall.Shared().Policy().Settings().MSSFloor)
	if err != nil {
		return err
	}
	return s.question(w, r, func() any { return s.explained(&q, structural) })
}

// malformed explains what becomes of a frame for its form.
func malformed(why reason.Reason) Explanation {
	return Explanation{
		Tenant: why.Meaning() + ": such a frame is dropped before its tenant is looked for",
		Rules:  []RuleStep{}, Action: policy.Drop.String(), Reason: why.String(),
	}
}

func (s *Server) explained(q *firewall.Question, structural reason.Reason) Explanation {
	fw := s.config.Firewall
	if foreign := ForeignEndpoint(fw.Shared().Policy(), q.From); foreign != nil {
		return *foreign
	}
	if structural != reason.None {
		return malformed(structural)
	}
	x := fw.Shared().Explain(fw.Now(), q)
	out := Explained(x.Rules, &x.Decision)
	out.Live = &Live{
		From: x.From, To: x.To, State: x.State.String(), Belongs: x.Belongs, Begins: x.Begins, OfFlow: x.OfFlow, NumbersTaken: x.NumbersTaken,
	}
	if x.Flow != nil {
		f := flowOf(x.Flow, s.wall())
		out.Live.Flow = &f
	}
	return out
}

// Explain asks what would become of a packet now.
func (c *Client) Explain(ctx context.Context, ask ExplainRequest) (x Explanation, err error) {
	err = c.call(ctx, http.MethodPost, "/v1/explain", ask, &x)
	return x, err
}
