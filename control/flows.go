package control

import (
	"context"
	"fmt"
	"net/http"
	"net/netip"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"

	"sttwall/conntrack"
	"sttwall/filter"
	"sttwall/firewall"
	"sttwall/inspect"
	"sttwall/reason"
)

const (
	// DefaultFlows is how many flows a page has unless told otherwise, and
	// MaxFlows how many it can have.
	DefaultFlows, MaxFlows = 1000, 10000
	// MaxFlowIDs is how many flows can be asked for by their IDs at once.
	MaxFlowIDs = 256
	// breath is how many flows are looked at between two looks whether the client
	// is still there.
	breath = 4096
)

// Flow is an inner flow as it is shown. The directions are those of its first
// packet.
type Flow struct {
	// ID names the flow while it lives; see [FlowQuery.Find].
	ID     string `json:"id"`
	Tenant string `json:"tenant"`
	// Context is the ID with which it began, ReplyContext that of the replies.
	Context      ContextID  `json:"context"`
	ReplyContext *ContextID `json:"reply_context,omitempty"`
	VLANs        []uint16   `json:"vlans,omitempty"`
	Inner
	// State is that of docs/conntrack.md, without the protocol.
	State string `json:"state"`
	// Verdict, Rule and Reason are what the rules say now; Rule is "" where no
	// rule matched and the default decided. WouldBe, if not "", is what they would
	// say without audit mode.
	Verdict string `json:"verdict"`
	Rule    string `json:"rule,omitempty"`
	WouldBe string `json:"would_be,omitempty"`
	Reason  string `json:"reason,omitempty"`
	// From and To are the outer endpoints of the side that began and of the other.
	From     netip.Addr `json:"from,omitzero"`
	To       netip.Addr `json:"to,omitzero"`
	Original Traffic    `json:"original"`
	Reply    Traffic    `json:"reply"`
	// OriginalRate and ReplyRate are what went lately, where the page is sorted or
	// the flow was asked for by its ID: between the last two looks at it, half a second
	// apart at least; where it is seen for the first time, on average since it began.
	OriginalRate *Rate `json:"original_rate,omitempty"`
	ReplyRate    *Rate `json:"reply_rate,omitempty"`
	// Begun is in whole seconds. Last is when a packet last kept it alive, Expires
	// when it is forgotten if none comes.
	Begun   time.Time `json:"begun"`
	Last    time.Time `json:"last"`
	Expires time.Time `json:"expires"`
}

// Traffic is what went in a direction: frames, and the bytes of STT frames, whose headers have 18.
type Traffic struct {
	Packets uint64 `json:"packets"`
	Bytes   uint64 `json:"bytes"`
}

// Rate is how much goes in a direction, a second.
type Rate struct {
	Packets float64 `json:"packets"`
	Bytes   float64 `json:"bytes"`
}

// FlowPage is a part of the flows. GET /v1/flows.
type FlowPage struct {
	Time  time.Time `json:"time"`
	Flows []Flow    `json:"flows"`
	// Next asks for what comes behind, as FlowQuery.After; "" if that was all.
	Next string `json:"next,omitempty"`
	// Of a sorted page: Matched is how many flows there are that tenant, audit and
	// filter select, the page being a part of them; Position is where the one that was
	// to be found stands among them, from 0; nil: it is not there.
	Matched  int  `json:"matched,omitempty"`
	Position *int `json:"position,omitempty"`
}

// FlowQuery says which flows are wanted.
type FlowQuery struct {
	Tenant string // "": of all
	Audit  bool   // only those that audit mode lets pass
	Filter string // only those that it selects, see docs/filter.md; "" selects all
	Limit  int    // of the page, 1 to [MaxFlows]; 0 is [DefaultFlows]
	After  string // [FlowPage.Next] of the page before; "" begins
	// IDs are those of the flows that are wanted, at most [MaxFlowIDs]; nothing else of
	// the query is for them. Those that live come in this order, with their rates.
	IDs []string
	// Sort is a key of [FlowSorts]; "": in no order. A sorted page begins at Offset,
	// and After is not for it. Find is the ID of a flow whose position is wanted.
	Sort       string
	Descending bool
	Offset     int
	Find       string
}

// FlowSorts are what flows can be sorted by: numbers and times by their size, words by
// their letters, addresses as addresses. rate is bytes a second of both directions.
var FlowSorts = []string{
	"rate", "bytes", "packets", "age", "last", "expires",
	"tenant", "context", "protocol", "src", "src_port", "dst", "dst_port", "state", "verdict", "rule", "from", "to",
}

func (q *FlowQuery) values() url.Values {
	v := url.Values{}
	if q.Tenant != "" {
		v.Set("tenant", q.Tenant)
	}
	if q.Audit {
		v.Set("audit", "true")
	}
	if q.Filter != "" {
		v.Set("filter", q.Filter)
	}
	if q.Limit != 0 {
		v.Set("limit", strconv.Itoa(q.Limit))
	}
	if q.After != "" {
		v.Set("after", q.After)
	}
	if len(q.IDs) > 0 {
		v.Set("id", strings.Join(q.IDs, ","))
	}
	if q.Sort != "" {
		v.Set("sort", q.Sort)
	}
	if q.Descending {
		v.Set("desc", "true")
	}
	if q.Offset != 0 {
		v.Set("offset", strconv.Itoa(q.Offset))
	}
	if q.Find != "" {
		v.Set("find", q.Find)
	}
	return v
}

// parseFlowQuery reads the parameters of a request.
func parseFlowQuery(r *http.Request) (q FlowQuery, after conntrack.Cursor, err error) {
	if err = onlyQuery(r, "tenant", "audit", "filter", "limit", "after", "sort", "desc", "offset", "find"); err != nil {
		return q, after, err
	}
	v := r.URL.Query()
	q.Tenant, q.Filter, q.After, q.Limit = v.Get("tenant"), v.Get("filter"), v.Get("after"), DefaultFlows
	if q.Audit, err = yes(v, "audit"); err != nil {
		return q, after, err
	}
	if text := v.Get("limit"); text != "" {
		if q.Limit, err = strconv.Atoi(text); err != nil || q.Limit < 1 || q.Limit > MaxFlows {
			return q, after, refuse(http.StatusBadRequest, "limit=%.40q: want 1 to %d", text, MaxFlows)
		}
	}
	if q.After != "" {
		shard, index, ok := strings.Cut(q.After, "-")
		n, err1 := strconv.ParseUint(shard, 10, 32)
		i, err2 := strconv.ParseUint(index, 10, 32)
		if !ok || err1 != nil || err2 != nil {
			return q, after, refuse(http.StatusBadRequest, "after=%.40q: want what next said in the page before", q.After)
		}
		after = conntrack.Cursor{Shard: uint32(n), Index: uint32(i)}
	}
	return q, after, q.parseSort(v)
}

// parseSort reads the parameters of sorted pages.
func (q *FlowQuery) parseSort(v url.Values) (err error) {
	q.Sort, q.Find = v.Get("sort"), v.Get("find")
	if q.Sort == "" {
		for _, name := range []string{"desc", "offset", "find"} {
			if v.Has(name) {
				return refuse(http.StatusBadRequest, "%s is for sorted pages: name what to sort by, such as sort=rate", name)
			}
		}
		return nil
	}
	if sorters[q.Sort] == nil {
		return refuse(http.StatusBadRequest, "sort=%.40q: want one of %s", q.Sort, strings.Join(FlowSorts, ", "))
	}
	if q.After != "" {
		return refuse(http.StatusBadRequest, "after is for pages in no order: sorted ones begin at offset")
	}
	if q.Descending, err = yes(v, "desc"); err != nil {
		return err
	}
	if text := v.Get("offset"); text != "" {
		if q.Offset, err = strconv.Atoi(text); err != nil || q.Offset < 0 || q.Offset > conntrack.MaxFlows {
			return refuse(http.StatusBadRequest, "offset=%.40q: want 0 to %d", text, conntrack.MaxFlows)
		}
	}
	if q.Find != "" {
		if _, err := conntrack.ParseHandle(q.Find); err != nil {
			return refuse(http.StatusBadRequest, "find: %v", err)
		}
	}
	return nil
}

// yes reads a parameter that is true or false, the default.
func yes(v url.Values, name string) (bool, error) {
	text := v.Get(name)
	if text == "" {
		return false, nil
	}
	is, err := strconv.ParseBool(text)
	if err != nil {
		return false, refuse(http.StatusBadRequest, "%s=%.40q: want true or false", name, text)
	}
	return is, nil
}

// namedFlows answers with the flows that are asked for by their IDs.
func (s *Server) namedFlows(r *http.Request) (any, error) {
	if err := onlyQuery(r, "id"); err != nil {
		return nil, err
	}
	ids := strings.Split(r.URL.Query().Get("id"), ",")
	if len(ids) > MaxFlowIDs {
		return nil, refuse(http.StatusBadRequest, "id names %d flows: want at most %d", len(ids), MaxFlowIDs)
	}
	handles := make([]conntrack.Handle, len(ids))
	for i, id := range ids {
		var err error
		if handles[i], err = conntrack.ParseHandle(id); err != nil {
			return nil, refuse(http.StatusBadRequest, "id: %v", err)
		}
	}
	return s.look.named(s, handles), nil
}

// flows answers with a page of flows.
func (s *Server) flows(w http.ResponseWriter, r *http.Request) error {
	if r.URL.Query().Has("id") {
		page, err := s.namedFlows(r)
		if err == nil {
			answer(w, page)
		}
		return err
	}
	q, after, err := parseFlowQuery(r)
	if err != nil {
		return err
	}
	if q.Tenant != "" && !slices.Contains(s.config.Firewall.Shared().Policy().Tenants(), q.Tenant) {
		return refuse(http.StatusNotFound, "there is no tenant %.64q", q.Tenant)
	}
	selects, err := parseFilter(q.Filter)
	if err != nil {
		return err
	}
	if q.Sort != "" {
		return s.sortedPage(w, r, &q, selects)
	}
	return s.answerInTurn(w, r, func() (any, error) { return s.unsortedPage(r.Context(), &q, after, selects) })
}

// unsortedPage puts a page together. Packets are decided meanwhile: no lock is held
// for more than a few hundred flows, and none while anything is written.
func (s *Server) unsortedPage(ctx context.Context, q *FlowQuery, after conntrack.Cursor, selects *filter.Filter) (any, error) {
	fw := s.config.Firewall
	var record filter.Record
	now, wall := fw.Now(), s.wall()
	page := FlowPage{Time: wall(now), Flows: []Flow{}}
	looked := 0
	next, more := fw.Shared().WalkFlows(now, after, func(f *firewall.FlowView) bool {
		if looked++; looked%breath == 0 && ctx.Err() != nil {
			return false
		}
		if q.Tenant != "" && f.Tenant != q.Tenant || q.Audit && !f.Decision.Audit {
			return true
		}
		if !selects.All() {
			if flowRecord(&record, now, f); !selects.Match(&record) {
				return true
			}
		}
		page.Flows = append(page.Flows, flowOf(f, wall))
		return len(page.Flows) < q.Limit
	})
	if more {
		page.Next = fmt.Sprintf("%d-%d", next.Shard, next.Index)
	}
	return page, nil
}

func flowOf(f *firewall.FlowView, wall func(int64) time.Time) Flow {
	k, d := &f.Key, &f.Decision
	out := Flow{
		ID: f.Handle.String(), Tenant: f.Tenant, Context: ContextID(f.Contexts[0]), VLANs: k.VLANs(),
		Inner: Inner{Protocol: protocolName(k.Protocol), Src: k.Src, Dst: k.Dst},
		State: f.Status, Verdict: d.Action.String(), Rule: d.Rule, From: f.From, To: f.To,
		Original: Traffic{uint64(f.Packets[0]), f.Bytes[0]}, Reply: Traffic{uint64(f.Packets[1]), f.Bytes[1]},
		Begun: wall(f.Created), Last: wall(f.Last), Expires: wall(f.Expires),
	}
	if f.HasReply {
		id := ContextID(f.Contexts[1])
		out.ReplyContext = &id
	}
	if d.Audit {
		out.WouldBe, out.Reason = d.WouldBe.String(), d.Would.String()
	} else if d.Reason != reason.None {
		out.Reason = d.Reason.String()
	}
	src, dst := k.SrcPort, k.DstPort
	switch k.Protocol {
	case inspect.ProtocolTCP, inspect.ProtocolUDP, inspect.ProtocolSCTP:
		out.SrcPort, out.DstPort = &src, &dst
	case inspect.ProtocolICMP, inspect.ProtocolICMPv6:
		kind := uint8(dst)
		out.ICMPID, out.ICMPType = &src, &kind
	}
	return out
}

// Flows asks for a page of the flows.
func (c *Client) Flows(ctx context.Context, q FlowQuery) (page FlowPage, err error) {
	path := "/v1/flows"
	if v := q.values(); len(v) > 0 {
		path += "?" + v.Encode()
	}
	err = c.call(ctx, http.MethodGet, path, nil, &page)
	return page, err
}
