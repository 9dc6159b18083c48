package control

import (
	"context"
	"encoding/json"
	"errors"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"sttwall/describe"
	"sttwall/policy"
	"sttwall/temporary"
)

// Reload puts a policy in force, as nfq.Inline does.
func (c *core) Reload(p *policy.Policy) (ended int, err error) {
	c.shared.SetPolicy(p)
	c.put(p)
	return c.shared.Rejudge(c.now), nil
}

// serveTemporary is a server with temporary rules, in a state file or not.
func serveTemporary(t testing.TB, file string) (*served, *core) {
	t.Helper()
	return serveTemporaryOf(t, 0, file)
}

// serveTemporaryOf is that of another user; 0: of this one.
func serveTemporaryOf(t testing.TB, owner int, file string) (*served, *core) {
	t.Helper()
	fw := newCore(t, testRules)
	list, err := temporary.Open(temporary.Config{Policy: fw.shared.Policy(), File: file})
	if err != nil {
		t.Fatal(err)
	}
	list.Start(fw)
	return serve(t, Config{Firewall: fw, Temporary: list, Owner: owner}), fw
}

func TestATemporaryRuleIsSetShownAndRemoved(t *testing.T) {
	s, fw := serveTemporary(t, filepath.Join(t.TempDir(), "state.json"))
	c, ctx := s.dial(t), context.Background()
	set, err := c.SetTemporary(ctx, TemporaryRequest{Action: "drop", Pattern: "tenant:acme tcp any <> any:443", For: "1h", Comment: "ticket 7"})
	if err != nil {
		t.Fatal(err)
	}
	r := set.Rules[0]
	if r.Name != "t1" || r.Action != "drop" || r.Pattern != "tenant:acme tcp any <> any:443" || r.UID != os.Getuid() || r.Comment != "ticket 7" || r.Inactive != "" ||
		r.Left != 3600 || r.Frames != 0 || r.UnusedSince == nil || !set.Kept || set.FlowsEnded != 0 {
		t.Errorf("%+v", set)
	}
	d, err := describe.Parse("tcp 10.0.0.1:1 > 10.0.0.2:443 syn")
	if err != nil {
		t.Fatal(err)
	}
	decided := func() string {
		return fw.shared.Policy().Evaluate(&policy.Packet{ContextID: 100, Frame: &d.Frame, Wall: fw.now / 1e9}).Rule
	}
	if got := decided(); got != "temporary/t1" {
		t.Errorf("decided by %q", got)
	}
	if _, err := c.SetTemporary(ctx, TemporaryRequest{Action: "accept", Pattern: "udp any > any", For: "2d", Name: "udp"}); err != nil {
		t.Fatal(err)
	}
	if fw.send(t, 100, "tcp 10.0.0.1:1 > 10.0.0.2:443 syn", false) {
		t.Error("what is blocked passes")
	}
	fw.now += int64(time.Minute)
	all, err := c.Temporary(ctx)
	if err != nil || len(all.Rules) != 2 || all.Rules[0].Name != "udp" || all.Rules[0].Frames != 0 || all.Rules[1].Left != 3540 ||
		all.Rules[1].Frames != 1 || all.Rules[1].Dropped != 1 || all.Rules[1].Last == nil {
		t.Fatalf("%+v, %v", all, err)
	}
	if hits, err := c.Rules(ctx); err != nil || len(hits) != 4 || hits[3].Rule != "temporary/t1" || hits[3].Frames != 1 || hits[3].File != "" {
		t.Errorf("among all rules: %+v, %v", hits, err)
	}
	gone, err := c.RemoveTemporary(ctx, "udp", "1")
	if err != nil || len(gone.Rules) != 2 || gone.Rules[1].Name != "t1" {
		t.Errorf("%+v, %v", gone, err)
	}
	if got := decided(); got != "acme/web" {
		t.Errorf("afterwards decided by %q", got)
	}
	for _, want := range []string{`msg="a temporary rule is in force" name=t1 action=drop pattern="tenant:acme tcp any <> any:443" for=1h0m0s comment="ticket 7"`, `msg="a temporary rule was removed" name=t1`} {
		if !strings.Contains(s.log.String(), want) {
			t.Errorf("the log does not say %s:\n%s", want, s.log)
		}
	}
}

func TestAnExpiredRuleIsInNoList(t *testing.T) {
	fw := newCore(t, "settings {\n endpoints = [\"any\"]\n}\ntenant \"bare\" {\n context_ids = [1]\n}\n")
	list, err := temporary.Open(temporary.Config{Policy: fw.shared.Policy()})
	if err != nil {
		t.Fatal(err)
	}
	list.Start(fw)
	s := serve(t, Config{Firewall: fw, Temporary: list})
	c, ctx := s.dial(t), context.Background()
	for _, ask := range []TemporaryRequest{{Action: "drop", Pattern: "any <> any", For: "2h", Name: "long"}, {Action: "drop", Pattern: "any <> any", For: "1h", Name: "short"}} {
		if _, err := c.SetTemporary(ctx, ask); err != nil {
			t.Fatal(err)
		}
	}
	for _, want := range [][]string{{"short", "long"}, {"long"}, {}} {
		shown, err := c.Temporary(ctx)
		if err != nil {
			t.Fatal(err)
		}
		hits, err := c.Rules(ctx)
		if err != nil {
			t.Fatal(err)
		}
		var got, rules []string
		for i := range shown.Rules {
			got = append(got, shown.Rules[i].Name)
		}
		for i := range hits {
			rules = append(rules, strings.TrimPrefix(hits[i].Rule, "temporary/"))
		}
		if !slices.Equal(got, want) || !slices.Equal(rules, want) {
			t.Errorf("got %v, among all rules %v, want %v", got, rules, want)
		}
		fw.now += int64(time.Hour)
	}
}

func TestWhatIsWrongWithATemporaryRuleIsSaid(t *testing.T) {
	s, _ := serveTemporary(t, "")
	for _, tt := range []struct {
		name, request string
		code          int
		want          string
	}{
		{"no JSON", post("/v1/temporary", "block it"), 400, "the body of the request: invalid character"},
		{"nothing", post("/v1/temporary", ""), 400, "the body of the request: it is empty"},
		{"two values", post("/v1/temporary", `{"action":"drop","pattern":"any > any","for":"1h"} {}`), 400, "the body of the request: there is more behind it"},
		{"an unknown field", post("/v1/temporary", `{"action":"drop","pattern":"any > any","for":"1h","log":true}`), 400, `unknown field \"log\"`},
		{"an unknown action", post("/v1/temporary", `{"action":"deny","pattern":"any > any","for":"1h"}`), 400, `expected \"accept\", \"drop\" or \"reject\"; this is \"deny\"`},
		{"no time", post("/v1/temporary", `{"action":"drop","pattern":"any > any"}`), 400, `for: expected a time such as \"90s\"`},
		{"too long a time", post("/v1/temporary", `{"action":"drop","pattern":"any > any","for":"31d"}`), 422, "expected a time from 1s to 30 days"},
		{"a mistake in the pattern", post("/v1/temporary", `{"action":"drop","pattern":"tcp any > nobody","for":"1h"}`), 422, "pattern: column 11: expected any, addresses, or an address_group"},
		{"too long a body", post("/v1/temporary", `{"comment":"`+strings.Repeat("x", maxBody)+`"}`), 413, "longer than"},
		{"one that is not there", strings.Replace(get("/v1/temporary/t9"), "GET", "DELETE", 1), 404, `no such temporary rule: \"t9\"`},
		{"a parameter", strings.Replace(get("/v1/temporary"), "temporary", "temporary?all=1", 1), 400, "knows no parameter"},
		{"another method", get("/v1/temporary/t9"), 405, "/v1/temporary/{names} takes DELETE, not GET"},
		{"another method on the list", strings.Replace(get("/v1/temporary"), "GET", "PUT", 1), 405, "/v1/temporary takes GET and POST, not PUT"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			code, body := raw(t, s.connect(t), tt.request)
			if code != tt.code || !strings.Contains(body, tt.want) || !json.Valid([]byte(body)) {
				t.Errorf("got %d %s, want %d %s", code, body, tt.code, tt.want)
			}
		})
	}
	if all, err := s.dial(t).Temporary(context.Background()); err != nil || len(all.Rules) != 0 || all.Kept {
		t.Errorf("%+v, %v", all, err)
	}
}

// somebody is a user: any for root, and for others themselves.
func somebody() int {
	if os.Geteuid() == 0 {
		return 65533
	}
	return os.Geteuid()
}

// connectAsSomebody connects as that user.
func (s *served) connectAsSomebody(t *testing.T) net.Conn {
	t.Helper()
	if os.Geteuid() == 0 {
		return s.connectAs(t, somebody())
	}
	return s.connect(t)
}

func TestOthersReadTemporaryRulesAndSetNone(t *testing.T) {
	s, _ := serveTemporaryOf(t, somebody()+1, "")
	for _, tt := range []struct {
		request string
		want    int
	}{
		{get("/v1/temporary"), 200},
		{post("/v1/temporary", `{"action":"drop","pattern":"any > any","for":"1h"}`), 403},
		{strings.Replace(get("/v1/temporary/t1"), "GET", "DELETE", 1), 403},
	} {
		if code, body := raw(t, s.connectAsSomebody(t), tt.request); code != tt.want {
			t.Errorf("%s: got %d %s", tt.request, code, body)
		}
	}
}

func TestWhoHasSetARuleIsRemembered(t *testing.T) {
	owner := somebody()
	s, _ := serveTemporaryOf(t, owner, "")
	if code, body := raw(t, s.connectAsSomebody(t), post("/v1/temporary", `{"action":"reject","pattern":"any > any","for":"1h"}`)); code != 200 {
		t.Fatalf("got %d %s", code, body)
	}
	all, err := s.dial(t).Temporary(context.Background())
	if err != nil || len(all.Rules) != 1 || all.Rules[0].UID != owner || all.Rules[0].Action != "reject" {
		t.Errorf("%+v, %v", all, err)
	}
}

func TestARuleThatCannotBeKeptIsRefused(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "folder")
	s, fw := serveTemporary(t, filepath.Join(dir, "state.json"))
	if err := os.WriteFile(dir, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	_, err := s.dial(t).SetTemporary(context.Background(), TemporaryRequest{Action: "drop", Pattern: "any > any", For: "1h"})
	var refused *Error
	if !errors.As(err, &refused) || refused.Code != http.StatusInternalServerError || !strings.Contains(refused.Message, "nothing has changed: state file "+dir) {
		t.Errorf("got %v", err)
	}
	if n := len(fw.shared.Policy().Rules()); n != 2 {
		t.Errorf("%d rules are in force", n)
	}
}

func TestWithoutAListThereIsNothingToSet(t *testing.T) {
	s := serve(t, Config{})
	if _, err := s.dial(t).Temporary(context.Background()); err == nil || !strings.Contains(err.Error(), "this firewall has no temporary rules") {
		t.Errorf("got %v", err)
	}
}
