package control

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/netip"
	"net/url"
	"time"

	"sttwall/filter"
	"sttwall/firewall"
	"sttwall/inspect"
	"sttwall/reason"
)

// The types of events.
const (
	EventDrop      = "drop"       // a frame, or what came of one, was dropped
	EventReject    = "reject"     // likewise, by a rule that rejects
	EventWouldDrop = "would_drop" // a frame passed that only audit mode lets pass
	EventFlow      = "flow"       // a frame passed and began a flow
	EventMove      = "move"       // a frame passed, and what it claims lives at its endpoint now: see Moved
	EventAccept    = "accept"     // a frame passed, and its rule has log = true
	EventReload    = "reload"     // rules were put in force, or refused: see Error
	EventLost      = "lost"       // Count events are missing here: the reader was too slow
)

// Event is one line of GET /v1/events. What does not apply is left out.
type Event struct {
	Type string    `json:"type"`
	Time time.Time `json:"time"`

	Tenant string `json:"tenant,omitempty"`
	Rule   string `json:"rule,omitempty"`
	// Reason is why it was dropped, or would have been; WouldBe is then what the
	// rules say without audit mode.
	Reason  string `json:"reason,omitempty"`
	WouldBe string `json:"would_be,omitempty"`
	// Begins: it began a flow. Logged: its rule has log = true.
	Begins bool `json:"begins,omitempty"`
	Logged bool `json:"logged,omitempty"`
	// Moved are bindings of anti_spoof that the frame moved to From. Spoofed is what
	// it claims and may not, where the reason is binding_declared or binding_learned.
	Moved   []Moved  `json:"moved,omitempty"`
	Spoofed *Spoofed `json:"spoofed,omitempty"`

	// From and To are the outer endpoints.
	From    netip.Addr `json:"from,omitzero"`
	To      netip.Addr `json:"to,omitzero"`
	Context *ContextID `json:"context,omitempty"`
	// Bytes is the length of the STT frame.
	Bytes     int    `json:"bytes,omitempty"`
	EtherType string `json:"ethertype,omitempty"`
	Inner

	// Of a reload.
	Tenants    int    `json:"tenants,omitempty"`
	Rules      int    `json:"rules,omitempty"`
	FlowsEnded int    `json:"flows_ended,omitempty"`
	Error      string `json:"error,omitempty"`

	// Count is of lost events.
	Count uint64 `json:"count,omitempty"`
}

// Moved is a binding that has moved to another endpoint.
type Moved struct {
	// Kind is address, mac or ingress_port; Value that.
	Kind  string `json:"kind"`
	Value string `json:"value"`
	// Before is the endpoint at which it was for so many seconds.
	Before netip.Addr `json:"before"`
	Stayed float64    `json:"stayed"`
	// Moves is how often it has moved since it was learned. When it counts up fast,
	// two endpoints claim it.
	Moves uint32 `json:"moves"`
}

// Spoofed is a claim that did not come from where it lives.
type Spoofed struct {
	Kind  string `json:"kind"`
	Value string `json:"value"`
	// LivesAt is the endpoint to which it is bound; left out if it is declared.
	LivesAt netip.Addr `json:"lives_at,omitzero"`
}

// Inner names the ends of an inner IP packet, or flow.
type Inner struct {
	Protocol string     `json:"protocol,omitempty"`
	Src      netip.Addr `json:"src,omitzero"`
	SrcPort  *uint16    `json:"src_port,omitempty"`
	Dst      netip.Addr `json:"dst,omitzero"`
	DstPort  *uint16    `json:"dst_port,omitempty"`
	// ICMPType and ICMPCode are of the packet; ICMPID is that of a flow of
	// queries.
	ICMPType *uint8  `json:"icmp_type,omitempty"`
	ICMPCode *uint8  `json:"icmp_code,omitempty"`
	ICMPID   *uint16 `json:"icmp_id,omitempty"`
}

// eventOf tells of a frame, and keeps nothing of it. wall brings the firewall's clock to ours.
func eventOf(f *firewall.FrameEvent, wall func(int64) time.Time) Event {
	d := &f.Decision
	e := Event{
		Type: eventType(f), Time: wall(f.Time), Tenant: d.Tenant, Rule: d.Rule,
		Begins: f.Begins, Logged: d.Log, From: f.Src, To: f.Dst, Bytes: f.FrameLength,
	}
	switch {
	case f.Reason != reason.None:
		e.Reason = f.Reason.String()
	case d.Audit:
		e.Reason, e.WouldBe = d.Would.String(), d.WouldBe.String()
	}
	for i := range f.Moves {
		m := &f.Moves[i]
		e.Moved = append(e.Moved, Moved{
			Kind: m.Claim.Kind().String(), Value: m.Claim.String(), Before: m.From,
			Stayed: time.Duration(m.Stayed).Round(time.Millisecond).Seconds(), Moves: m.Moves,
		})
	}
	if why := e.Reason; why == reason.BindingDeclared.String() || why == reason.BindingLearned.String() {
		e.Spoofed = &Spoofed{Kind: f.Spoofed.Kind().String(), Value: f.Spoofed.String(), LivesAt: f.SpoofedAt}
	}
	if f.HasHeader {
		id := ContextID(f.Header.ContextID)
		e.Context = &id
	}
	if f.HasInner {
		in := &f.Inner
		e.EtherType = fmt.Sprintf("0x%04x", in.EtherType)
		if in.IP != 0 {
			e.Inner = Inner{Protocol: protocolName(in.Protocol), Src: in.Src, Dst: in.Dst}
		}
		if in.HasPorts {
			e.SrcPort, e.DstPort = new(in.SrcPort), new(in.DstPort)
		}
		if in.HasICMP {
			e.ICMPType, e.ICMPCode = new(in.ICMPType), new(in.ICMPCode)
		}
	}
	return e
}

var protocolNames = map[uint8]string{
	inspect.ProtocolTCP: "tcp", inspect.ProtocolUDP: "udp", inspect.ProtocolSCTP: "sctp",
	inspect.ProtocolICMP: "icmp", inspect.ProtocolICMPv6: "icmpv6",
}

// protocolName is the word of the rules language, or the number.
func protocolName(n uint8) string {
	if name, ok := protocolNames[n]; ok {
		return name
	}
	return fmt.Sprint(n)
}

// eventBatch is how many events are written before they are sent.
const eventBatch = 256

// events streams what happens until the client goes.
func (s *Server) events(w http.ResponseWriter, r *http.Request) error {
	if err := onlyQuery(r, "filter"); err != nil {
		return err
	}
	selects, err := parseFilter(r.URL.Query().Get("filter"))
	if err != nil {
		return err
	}
	peer, _ := peerIn(r)
	ring, leave := s.config.Feed.subscribe(!s.changer(peer))
	if ring == nil {
		return refuse(http.StatusServiceUnavailable, "there are too many who follow events: try again when some have ended")
	}
	defer leave()
	stream := http.NewResponseController(w)
	// It lasts as long as the client wants; one that does not read loses events,
	// and is told when it reads again.
	if err := errors.Join(stream.SetReadDeadline(time.Time{}), stream.SetWriteDeadline(time.Time{})); err != nil {
		return err
	}
	w.Header().Set("Content-Type", "application/x-ndjson")
	w.WriteHeader(http.StatusOK)
	if err := stream.Flush(); err != nil {
		return nil // gone
	}
	var (
		batch bytes.Buffer
		lines = newLines(&batch)
		wall  = s.wall()
		wrong error

		record filter.Record
	)
	selected := func(f *firewall.FrameEvent, told *Event) bool {
		if selects.All() {
			return true
		}
		if told != nil {
			toldRecord(&record, told)
		} else {
			frameRecord(&record, f)
		}
		return selects.Match(&record)
	}
	tell := func(f *firewall.FrameEvent, told *Event) {
		if !selected(f, told) {
			return
		}
		if told == nil {
			e := eventOf(f, wall)
			told = &e
		}
		wrong = errors.Join(wrong, lines.Encode(told))
	}
	for {
		batch.Reset()
		if !s.lines(r, func() {
			for n := 0; n < eventBatch && ring.take(tell); n++ {
			}
		}) {
			return nil // gone
		}
		if n := s.config.Feed.told(ring); n > 0 {
			// That it is not complete concerns every reader.
			wrong = errors.Join(wrong, lines.Encode(&Event{Type: EventLost, Time: time.Now(), Count: n}))
		}
		if wrong != nil {
			s.config.Log.Error("control: an event that cannot be written", "why", wrong)
			return nil
		}
		if batch.Len() == 0 {
			if ring.Wait(r.Context()) != nil {
				return nil
			}
			continue
		}
		if _, err := w.Write(batch.Bytes()); err != nil || stream.Flush() != nil {
			return nil // gone
		}
	}
}

// maxLine bounds a line of events in bytes.
const maxLine = 64 << 10

// Events calls each with every event from now on that the filter selects ("": all;
// that some are lost is always told), until ctx ends or each returns an error; it
// returns that error, or why the stream has ended.
func (c *Client) Events(ctx context.Context, filter string, each func(*Event) error) error {
	response, err := c.ask(ctx, http.MethodGet, eventsPath(filter), nil)
	if err != nil {
		return err
	}
	return readEvents(ctx, response, each)
}

func eventsPath(filter string) string {
	if filter == "" {
		return "/v1/events"
	}
	return "/v1/events?" + url.Values{"filter": {filter}}.Encode()
}

func readEvents(ctx context.Context, response *http.Response, each func(*Event) error) error {
	defer response.Body.Close()
	lines := bufio.NewScanner(response.Body)
	lines.Buffer(nil, maxLine)
	for lines.Scan() {
		var e Event
		if err := json.Unmarshal(lines.Bytes(), &e); err != nil {
			return fmt.Errorf("events: %w", err)
		}
		if err := each(&e); err != nil {
			return err
		}
	}
	switch {
	case ctx.Err() != nil:
		return ctx.Err()
	case lines.Err() != nil:
		return fmt.Errorf("events: the firewall has stopped: %w", lines.Err())
	}
	return errors.New("events: the firewall has stopped")
}
