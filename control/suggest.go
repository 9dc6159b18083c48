package control

import (
	"context"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"

	"sttwall/suggest"
)

// SuggestQuery says for what rules are to be suggested. GET /v1/suggest.
type SuggestQuery struct {
	// Tenant, if not "", is the only one.
	Tenant string
	// MaxRules is at most so many for a tenant; 0 is 100.
	MaxRules int
	// Exact: single addresses and ports instead of the CIDRs and ranges around
	// them.
	Exact bool
}

// Suggested are rules for what audit mode has let pass.
type Suggested struct {
	// Since is when the firewall began to look: its start.
	Since time.Time `json:"since"`
	// Flows is how many there were; Covered of them are accepted by the rules that
	// hold now, Apart got no rule, as the text says. Rules is how many there are.
	Flows   int `json:"flows"`
	Covered int `json:"covered"`
	Apart   int `json:"apart"`
	Rules   int `json:"rules"`
	// Lost frames were more than could be looked at, Beyond are of flows for which
	// there was no room.
	Lost   uint64 `json:"lost"`
	Beyond uint64 `json:"beyond"`
	// Text is in the rules language, and says in which block it belongs.
	Text string `json:"text"`
}

// mostSuggested bounds [SuggestQuery.MaxRules].
const mostSuggested = 10000

func (s *Server) suggest(r *http.Request) (any, error) {
	if err := onlyQuery(r, "tenant", "max_rules", "exact"); err != nil {
		return nil, err
	}
	if s.config.Seen == nil {
		return nil, refuse(http.StatusNotFound, "this sttwall does not note what audit mode lets pass")
	}
	p := s.config.Firewall.Shared().Policy()
	query := r.URL.Query()
	o := suggest.Options{Policy: p, Tenant: query.Get("tenant")}
	if o.Tenant != "" && !slices.Contains(p.Tenants(), o.Tenant) {
		return nil, refuse(http.StatusNotFound, "there is no tenant %.64q", o.Tenant)
	}
	var err error
	if text := query.Get("max_rules"); text != "" {
		if o.MaxRules, err = strconv.Atoi(text); err != nil || o.MaxRules < 1 || o.MaxRules > mostSuggested {
			return nil, refuse(http.StatusBadRequest, "max_rules=%.40q: want a number from 1 to %d", text, mostSuggested)
		}
	}
	if text := query.Get("exact"); text != "" {
		if o.Exact, err = strconv.ParseBool(text); err != nil {
			return nil, refuse(http.StatusBadRequest, "exact=%.40q: want true or false", text)
		}
	}
	seen := s.config.Seen()
	found := suggest.Suggest(seen.Flows, o)
	var text strings.Builder
	if err := found.WriteHCL(&text); err != nil {
		return nil, err
	}
	return Suggested{
		Since: seen.Since.Round(0).UTC(), Flows: len(seen.Flows), Covered: found.Covered, Apart: found.Apart, Rules: found.Rules,
		Lost: seen.Lost, Beyond: seen.Beyond, Text: text.String(),
	}, nil
}

// Suggest asks for rules for what audit mode has let pass.
func (c *Client) Suggest(ctx context.Context, q SuggestQuery) (out Suggested, err error) {
	values := url.Values{}
	if q.Tenant != "" {
		values.Set("tenant", q.Tenant)
	}
	if q.MaxRules != 0 {
		values.Set("max_rules", strconv.Itoa(q.MaxRules))
	}
	if q.Exact {
		values.Set("exact", "true")
	}
	err = c.call(ctx, http.MethodGet, "/v1/suggest?"+values.Encode(), nil, &out)
	return out, err
}
