package control

import (
	"context"
	"errors"
	"fmt"
	"math"
	"net/http"
	"net/url"
	"strings"
	"time"

	"sttwall/policy"
	"sttwall/temporary"
)

// TemporaryRequest asks for a temporary rule. POST /v1/temporary.
type TemporaryRequest struct {
	Action  string `json:"action"`  // "accept", "drop" or "reject"
	Pattern string `json:"pattern"` // see docs/packets.md
	For     string `json:"for"`     // "90s", "1h30m" or "2d"
	Name    string `json:"name,omitempty"`
	Comment string `json:"comment,omitempty"`
}

// TemporaryRule is a temporary rule as it stands.
type TemporaryRule struct {
	Name    string    `json:"name"` // as a rule it is "temporary/NAME"
	Action  string    `json:"action"`
	Pattern string    `json:"pattern"`
	Comment string    `json:"comment,omitempty"`
	UID     int       `json:"uid"` // who has set it
	Set     time.Time `json:"set"`
	Expires time.Time `json:"expires"`
	// Left is the time until it expires in seconds.
	Left float64 `json:"left"`
	// Inactive says why the rule is not in force all the same: it names something
	// that the rules file has no more.
	Inactive string `json:"inactive,omitempty"`
	Hits
}

// TemporaryRules are all that have not expired, the newest, which is tried first,
// first. GET /v1/temporary.
type TemporaryRules struct {
	Rules []TemporaryRule `json:"rules"`
	// Kept: they outlast a restart of the firewall.
	Kept bool `json:"kept"`
}

// TemporaryChange says what was set or removed. POST /v1/temporary, DELETE
// /v1/temporary/NAME[,NAME...].
type TemporaryChange struct {
	TemporaryRules
	FlowsEnded int `json:"flows_ended"`
}

func (s *Server) temporaryRules(r *http.Request) (any, error) {
	if err := s.takesTemporary(r); err != nil {
		return nil, err
	}
	return s.shown(s.config.Temporary.Rules()), nil
}

func (s *Server) takesTemporary(r *http.Request) error {
	if s.config.Temporary == nil {
		return refuse(http.StatusNotFound, "this firewall has no temporary rules")
	}
	return onlyQuery(r)
}

// shown adds what the workers have counted.
func (s *Server) shown(rules []temporary.Status) TemporaryRules {
	out := TemporaryRules{Rules: make([]TemporaryRule, len(rules)), Kept: s.config.Temporary.Kept()}
	fw, wall := s.config.Firewall, s.wall()
	hits, _ := fw.Tallies()
	since, _ := fw.Since()
	for i, r := range rules {
		name := policy.TemporaryPrefix + r.Name
		out.Rules[i] = TemporaryRule{
			Name: r.Name, Action: r.Action.String(), Pattern: r.Pattern, Comment: r.Comment, UID: r.UID,
			Set: r.Set.Round(time.Millisecond).UTC(), Expires: r.Expires.Round(time.Millisecond).UTC(), Left: math.Ceil(r.Left.Seconds()*1000) / 1000,
			Inactive: r.Inactive, Hits: s.hitsOf(hits[name], since, name, wall),
		}
	}
	return out
}

func (s *Server) setTemporary(r *http.Request) (any, error) {
	if err := s.takesTemporary(r); err != nil {
		return nil, err
	}
	var asked TemporaryRequest
	if err := decode(r.Body, &asked); err != nil {
		return nil, err
	}
	request := temporary.Request{Pattern: asked.Pattern, Name: asked.Name, Comment: asked.Comment}
	switch asked.Action {
	case "accept":
		request.Action = policy.Accept
	case "drop":
		request.Action = policy.Drop
	case "reject":
		request.Action = policy.Reject
	default:
		return nil, refuse(http.StatusBadRequest, `action: expected "accept", "drop" or "reject"; this is %q`, asked.Action)
	}
	var err error
	if request.For, err = policy.ParseDuration(asked.For); err != nil {
		return nil, refuse(http.StatusBadRequest, `for: expected a time such as "90s", "1h30m" or "2d"; this is %q`, asked.For)
	}
	peer, _ := peerIn(r) // known, or it would not have come this far
	request.UID = peer.UID
	set, ended, err := s.config.Temporary.Add(request)
	if err != nil {
		return nil, s.temporaryError(err)
	}
	s.config.Log.Info("a temporary rule is in force", "name", set.Name, "action", set.Action.String(), "pattern", set.Pattern, "for", set.For,
		"comment", set.Comment, "uid", peer.UID, "flows_ended", ended)
	return TemporaryChange{s.shown([]temporary.Status{set}), ended}, nil
}

func (s *Server) removeTemporary(r *http.Request) (any, error) {
	if err := s.takesTemporary(r); err != nil {
		return nil, err
	}
	removed, ended, err := s.config.Temporary.Remove(strings.Split(r.PathValue("names"), ",")...)
	if err != nil {
		return nil, s.temporaryError(err)
	}
	peer, _ := peerIn(r)
	for _, rule := range removed {
		s.config.Log.Info("a temporary rule was removed", "name", rule.Name, "action", rule.Action.String(), "pattern", rule.Pattern, "left", rule.Left.Round(time.Second), "uid", peer.UID)
	}
	return TemporaryChange{s.shown(removed), ended}, nil
}

// temporaryError finds the status of an error of the list.
func (s *Server) temporaryError(err error) error {
	var refused *temporary.RequestError
	switch {
	case errors.As(err, &refused):
		return refuse(http.StatusUnprocessableEntity, "%v", err)
	case errors.Is(err, temporary.ErrUnknown):
		return refuse(http.StatusNotFound, "%v", err)
	}
	s.config.Log.Error("a change of temporary rules was not made", "why", err)
	return err
}

// Temporary asks for the temporary rules.
func (c *Client) Temporary(ctx context.Context) (t TemporaryRules, err error) {
	err = c.call(ctx, http.MethodGet, "/v1/temporary", nil, &t)
	return t, err
}

// SetTemporary puts a temporary rule in force, and returns it.
func (c *Client) SetTemporary(ctx context.Context, r TemporaryRequest) (t TemporaryChange, err error) {
	if err = c.call(ctx, http.MethodPost, "/v1/temporary", r, &t); err == nil && len(t.Rules) != 1 {
		err = fmt.Errorf("POST /v1/temporary: the answer has %d rules", len(t.Rules))
	}
	return t, err
}

// RemoveTemporary takes temporary rules away, all that are named or none, and
// returns them.
func (c *Client) RemoveTemporary(ctx context.Context, names ...string) (t TemporaryChange, err error) {
	err = c.call(ctx, http.MethodDelete, "/v1/temporary/"+url.PathEscape(strings.Join(names, ",")), nil, &t)
	return t, err
}
