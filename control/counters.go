package control

import (
	"context"
	"fmt"
	"net/http"
	"net/url"
	"time"

	"sttwall/firewall"
	"sttwall/policy"
	"sttwall/reason"
)

// Hits are what a rule or a tenant has decided. They go on over a reload where the
// name stays.
type Hits struct {
	Frames  uint64 `json:"frames"`
	Bytes   uint64 `json:"bytes"` // of STT frames
	Flows   uint64 `json:"flows"` // begun
	Dropped uint64 `json:"dropped"`
	Audited uint64 `json:"audited"` // would have been dropped but for audit mode
	// First and Last are when a frame hit it; nil: never. UnusedSince is then
	// since when none has: since the rule is in force.
	First       *time.Time `json:"first_hit,omitempty"`
	Last        *time.Time `json:"last_hit,omitempty"`
	UnusedSince *time.Time `json:"unused_since,omitempty"`
}

// RuleHits is a rule of the policy in force, in the order of the rules file;
// temporary ones are behind. GET /v1/rules.
type RuleHits struct {
	Rule string `json:"rule"` // tenant/rule
	File string `json:"file,omitempty"`
	Line int    `json:"line,omitempty"`
	// Text is the rule as it stands in the file, where one rule is asked for.
	Text string `json:"text,omitempty"`
	Hits
}

// TenantHits is a tenant of the policy in force. GET /v1/tenants.
type TenantHits struct {
	Tenant string `json:"tenant"`
	Audit  bool   `json:"audit_mode"`
	// FlowsNow is how many flows it has, and HalfOpen how many of them are TCP
	// without a whole handshake.
	FlowsNow int `json:"flows_now"`
	HalfOpen int `json:"half_open"`
	Hits
}

// Drop counts what was dropped for a reason. GET /v1/drops.
type Drop struct {
	Reason string `json:"reason"`
	Count  uint64 `json:"count"`
	// Bytes is the length of the outer packets, First and Last are when: only where
	// the firewall has dropped it.
	Bytes uint64     `json:"bytes,omitempty"`
	First *time.Time `json:"first_hit,omitempty"`
	Last  *time.Time `json:"last_hit,omitempty"`
	// Where it was dropped: firewall, table (nftables) or queue (the kernel's).
	Where   string `json:"where"`
	Meaning string `json:"meaning"`
	Remedy  string `json:"remedy"`
}

// ruleList, tenantList and dropList are the answers.
type (
	ruleList struct {
		Rules []RuleHits `json:"rules"`
	}
	tenantList struct {
		Tenants []TenantHits `json:"tenants"`
	}
	dropList struct {
		Drops []Drop `json:"drops"`
	}
)

// hitsOf shows what was counted; since has when each rule or tenant came in force.
func (s *Server) hitsOf(t firewall.Tally, since map[string]int64, name string, wall func(int64) time.Time) Hits {
	h := Hits{Frames: t.Frames, Bytes: t.Bytes, Flows: t.Flows, Dropped: t.Dropped, Audited: t.Audited}
	at := func(ns int64) *time.Time {
		w := wall(ns)
		return &w
	}
	if t.Frames == 0 {
		begun, known := since[name]
		if !known {
			begun = s.config.Firewall.Now() // it comes in force just now
		}
		h.UnusedSince = at(begun)
		return h
	}
	h.First, h.Last = at(t.First), at(t.Last)
	return h
}

func (s *Server) rules(r *http.Request) (any, error) {
	if err := onlyQuery(r, "rule"); err != nil {
		return nil, err
	}
	only := r.URL.Query().Get("rule")
	fw, wall := s.config.Firewall, s.wall()
	p := fw.Shared().Policy()
	hits, _ := fw.Tallies()
	since, _ := fw.Since()
	names := p.Rules()
	out := ruleList{Rules: []RuleHits{}}
	if only == "" {
		out.Rules = make([]RuleHits, 0, len(names))
	}
	// Expired rules stay in the policy until another one takes its place.
	alive := make(map[string]bool)
	if s.config.Temporary != nil {
		for _, rule := range s.config.Temporary.Rules() {
			alive[policy.TemporaryPrefix+rule.Name] = true
		}
	}
	for i, name := range names {
		if i >= p.FileRules() && (!alive[name] || i > 0 && name == names[i-1]) {
			continue // gone, or the way back of a rule that goes both ways
		}
		if only != "" && name != only {
			continue
		}
		text, file, line := p.RuleText(int32(i))
		if only == "" {
			text = ""
		}
		out.Rules = append(out.Rules, RuleHits{Rule: name, File: file, Line: line, Text: text, Hits: s.hitsOf(hits[name], since, name, wall)})
	}
	if only != "" && len(out.Rules) == 0 {
		return nil, refuse(http.StatusNotFound, "there is no rule %.100q", only)
	}
	return out, nil
}

func (s *Server) tenants(r *http.Request) (any, error) {
	if err := onlyQuery(r); err != nil {
		return nil, err
	}
	fw, wall := s.config.Firewall, s.wall()
	p := fw.Shared().Policy()
	hits := fw.TenantTallies()
	_, since := fw.Since()
	out := tenantList{Tenants: []TenantHits{}}
	for i, name := range p.Tenants() {
		t := TenantHits{Tenant: name, Audit: p.Tenant(int32(i)).Audit, Hits: s.hitsOf(hits[name], since, name, wall)}
		t.FlowsNow, t.HalfOpen = fw.Shared().TenantFlows(name)
		out.Tenants = append(out.Tenants, t)
	}
	return out, nil
}

func (s *Server) drops(r *http.Request) (any, error) {
	if err := onlyQuery(r); err != nil {
		return nil, err
	}
	out := dropList{Drops: []Drop{}}
	totals, wall := s.config.Firewall.Totals(), s.wall()
	for i, n := range totals.Reasons {
		if why := reason.Reason(i); n > 0 {
			first, last := wall(totals.FirstDropped[i]), wall(totals.LastDropped[i])
			out.Drops = append(out.Drops, Drop{
				Reason: why.String(), Count: n, Bytes: totals.DroppedBytes[i], First: &first, Last: &last,
				Where: "firewall", Meaning: why.Meaning(), Remedy: why.Remedy(),
			})
		}
	}
	if s.config.Elsewhere != nil {
		for _, d := range s.config.Elsewhere() {
			if d.Count > 0 {
				out.Drops = append(out.Drops, d)
			}
		}
	}
	return out, nil
}

// Rules asks for the rules and their hits.
func (c *Client) Rules(ctx context.Context) ([]RuleHits, error) {
	var l ruleList
	err := c.call(ctx, http.MethodGet, "/v1/rules", nil, &l)
	return l.Rules, err
}

// Rule asks for one rule, by its name, with its text.
func (c *Client) Rule(ctx context.Context, name string) (RuleHits, error) {
	var l ruleList
	err := c.call(ctx, http.MethodGet, "/v1/rules?"+url.Values{"rule": {name}}.Encode(), nil, &l)
	if err == nil && len(l.Rules) == 0 {
		err = fmt.Errorf("rule %.100q: the firewall does not tell", name)
	}
	if err != nil {
		return RuleHits{}, err
	}
	return l.Rules[0], nil
}

// Tenants asks for the tenants and their hits.
func (c *Client) Tenants(ctx context.Context) ([]TenantHits, error) {
	var l tenantList
	err := c.call(ctx, http.MethodGet, "/v1/tenants", nil, &l)
	return l.Tenants, err
}

// Drops asks what was dropped, by reason; reasons that never were are left out.
func (c *Client) Drops(ctx context.Context) ([]Drop, error) {
	var l dropList
	err := c.call(ctx, http.MethodGet, "/v1/drops", nil, &l)
	return l.Drops, err
}
