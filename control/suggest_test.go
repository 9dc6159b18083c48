package control

import (
	"context"
	"errors"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"sttwall/suggest"
)

// What audit mode lets pass is there for the asking long after its flows have
// ended.
func TestSuggestKnowsFlowsThatTheTableHasForgotten(t *testing.T) {
	fw := newCore(t, testRules)
	begun := time.Date(2026, 1, 5, 12, 0, 0, 0, time.UTC)
	watch := suggest.NewWatch(fw.shared.Policy, begun)
	c := serve(t, Config{Firewall: fw, Seen: watch.Seen}).dial(t)
	fw.also = watch.Observe

	fw.send(t, 200, "udp 10.0.0.1:9000 > 10.0.0.2:53", false)
	fw.send(t, 200, "udp 10.0.0.2:53 > 10.0.0.1:9000", true)
	fw.send(t, 200, "tcp 10.0.0.1:9000 > 10.0.0.2:80 syn", false)
	fw.send(t, 100, "udp 10.0.0.1:9000 > 10.0.0.2:54", false) // no audit mode
	ended, stop := context.WithCancel(t.Context())
	stop()
	watch.Run(ended) // takes what waits
	fw.now += int64(100 * time.Hour)

	got, err := c.Suggest(t.Context(), SuggestQuery{Tenant: "globex", Exact: true, MaxRules: 5})
	if err != nil {
		t.Fatal(err)
	}
	want := Suggested{Since: begun, Flows: 2, Apart: 1, Rules: 1, Text: `# Paste these rules at the end of the block of tenant "globex".

# Seen: 1 source, 1 destination.
rule "dns" {
  action      = "accept"
  source      = ["10.0.0.1"]
  destination = ["10.0.0.2"]
  services    = ["dns"]
}

# not suggested: 10.0.0.1 > 10.0.0.2: tcp/80, never answered
`}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("-want +got:\n%s", diff)
	}

	// With the rule in force, there is nothing left to suggest.
	fw.reload(t, strings.Replace(testRules, "mode        = \"audit\"", "mode        = \"audit\"\nrule \"dns\" {\naction = \"accept\"\nservices = [\"dns\"]\n}", 1))
	if got, err = c.Suggest(t.Context(), SuggestQuery{}); err != nil || got.Covered != 1 || got.Rules != 0 || got.Flows != 2 {
		t.Errorf("%+v, %v", got, err)
	}
}

func TestSuggestRefusesWhatItDoesNotKnow(t *testing.T) {
	fw := newCore(t, testRules)
	watch := suggest.NewWatch(fw.shared.Policy, time.Now())
	c := serve(t, Config{Firewall: fw, Seen: watch.Seen}).dial(t)
	for query, code := range map[string]int{
		"tenant=nobody": http.StatusNotFound, "max_rules=0": http.StatusBadRequest, "max_rules=x": http.StatusBadRequest,
		"max_rules=10001": http.StatusBadRequest, "exact=maybe": http.StatusBadRequest, "more=1": http.StatusBadRequest, "exact=1&exact=1": http.StatusBadRequest,
	} {
		var refused *Error
		if err := c.call(t.Context(), http.MethodGet, "/v1/suggest?"+query, nil, new(Suggested)); !errors.As(err, &refused) || refused.Code != code {
			t.Errorf("%s: %v, want %d", query, err, code)
		}
	}
	c = serve(t, Config{Firewall: fw}).dial(t)
	var refused *Error
	if _, err := c.Suggest(t.Context(), SuggestQuery{}); !errors.As(err, &refused) || refused.Code != http.StatusNotFound {
		t.Errorf("without a watch: %v", err)
	}
}
