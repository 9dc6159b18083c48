package control

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"sttwall/tap"
)

// Each call is documented with a curl line and an answer that could be one.
func TestTheReferenceShowsEachCall(t *testing.T) {
	text, err := os.ReadFile("../docs/control.md")
	if err != nil {
		t.Fatal(err)
	}
	answers := map[string]func() any{
		"GET /v1/status":       func() any { return new(Status) },
		"POST /v1/reload":      func() any { return new(Reloaded) },
		"POST /v1/handover":    func() any { return new(Error) }, // else no JSON
		"GET /v1/health":       func() any { return new(Health) },
		"GET /v1/history":      func() any { return new(History) },
		"POST /v1/explain":     func() any { return new(Explanation) },
		"GET /v1/flows":        func() any { return new(FlowPage) },
		"GET /v1/rules":        func() any { return new(ruleList) },
		"GET /v1/tenants":      func() any { return new(tenantList) },
		"GET /v1/drops":        func() any { return new(dropList) },
		"GET /v1/drops/recent": func() any { return new(RecentDrops) },
		"GET /v1/frames":       func() any { return new(Frame) },
		"POST /v1/remedy":      func() any { return new(Remedy) },
		"GET /v1/suggest":      func() any { return new(Suggested) },
		"GET /v1/events":       func() any { return new(Event) },

		"GET /v1/temporary":            func() any { return new(TemporaryRules) },
		"POST /v1/temporary":           func() any { return new(TemporaryChange) },
		"DELETE /v1/temporary/{names}": func() any { return new(TemporaryChange) },
	}
	s := serve(t, Config{})
	sections := strings.Split(string(text), "\n### ")[1:]
	var documented []string
	for _, section := range sections {
		call, rest, _ := strings.Cut(section, "\n")
		documented = append(documented, call)
		if !strings.Contains(string(text), "| `"+call+"` |") {
			t.Errorf("%s is not in the table of calls", call)
		}
		method, path, _ := strings.Cut(call, " ")
		path = strings.Replace(path, "{names}", "[a-z0-9,]+", 1)
		curl := regexp.MustCompile(`(?m)^    curl --unix-socket /run/sttwall/control.sock .*'?http://sttwall` + path + `[?' \n]`)
		if !curl.MatchString(rest) || method == "POST" && !strings.Contains(rest, "-X POST") && !strings.Contains(rest, "-d '") {
			t.Errorf("%s: no curl line", call)
		}
		blocks := regexp.MustCompile("(?s)```json\n(.*?)```").FindAllStringSubmatch(rest, -1)
		if len(blocks) == 0 || answers[call] == nil {
			t.Errorf("%s: no answer, or no type for it", call)
			continue
		}
		for i, block := range blocks {
			into := answers[call]
			if strings.HasPrefix(block[1], `{"error"`) {
				into = func() any { return new(Error) }
			}
			if err := known(block[1], into); err != nil {
				t.Errorf("%s: answer %d: %v", call, i+1, err)
			}
		}
	}
	var calls []string
	for path, methods := range s.methods {
		for _, method := range methods {
			calls = append(calls, method+" "+path)
		}
	}
	slices.Sort(calls)
	if slices.Sort(documented); !slices.Equal(calls, documented) {
		t.Errorf("documented are %v, there are %v", documented, calls)
	}
	for _, bound := range []string{
		fmt.Sprintf("| connections | %d, of which %d ", maxConns, maxReaders),
		fmt.Sprintf("| who follow events | %d, of which %d ", maxSubscribers, maxReadingSubscribers),
		fmt.Sprintf("| events that wait for each of them | %d |", ringSize),
		fmt.Sprintf("| who follow frames | %d, of which %d ", tap.MaxTaps, maxFrameReaders),
		fmt.Sprintf("| `explain` | false | with `explanation`, as `/v1/explain` has it; at most %d a second are, and fewer", explainRate.Events),
		fmt.Sprintf("`rules_omitted`\nhow many are left out before the last %d of more than %d.", lastRules, explainedRules),
		fmt.Sprintf("| a request | %d KiB, its headers %d KiB |", maxBody>>10, maxHeader>>10),
		fmt.Sprintf("| %v, %v, %v (not events) |", words(headerTimeout.String()), words(readTimeout.String()), words(writeTimeout.String())),
		fmt.Sprintf("| calls that look through all flows or rules at once | %d;", maxHeavy),
		fmt.Sprintf("| `max_rules` | 100 | at most so many for a tenant; at most %d |", mostSuggested),
		strings.Replace("| `sort` | no order | by `"+strings.Join(FlowSorts, "`, `")+"` |", "`rate`", "`rate` (bytes a second, both directions)", 1),
		fmt.Sprintf("| time for looks at all flows, for sorted pages | %d %% of a processor; %v of it can be saved up |", 100/lookShare, words(lookSaved.String())),
		fmt.Sprintf("| `samples` | %d | how many, the newest; at most %[1]d |", historySamples),
		fmt.Sprintf("| samples of history | %d, a second each |", historySamples),
		fmt.Sprintf("what is %d %% full", nearlyFull),
		fmt.Sprintf("longer than %v is answered with 503", words(lookWait.String())),
		fmt.Sprintf("asks for these flows, at most %d;", MaxFlowIDs),
		fmt.Sprintf("| `limit` | %d | of the page; at most %d |", DefaultFlows, MaxFlows),
		fmt.Sprintf("| `limit` | %d | the newest; at most %d |", DefaultRecent, MaxRecent),
		fmt.Sprintf("| `snap` | %d | bytes of each inner frame; at most %d are kept |", DefaultSnap, RecentSnap),
		fmt.Sprintf("| frames that were dropped, with their first %d bytes | %d, of which %d ", RecentSnap, MaxRecent, recentRare),
		fmt.Sprintf("| how many of them are kept a second | %d, and 1 of each tenant and reason |", allRate.Events),
	} {
		if !strings.Contains(string(text), bound) {
			t.Errorf("it does not say %q", bound)
		}
	}
	for _, event := range []string{EventDrop, EventReject, EventWouldDrop, EventFlow, EventMove, EventAccept, EventReload, EventLost} {
		if !regexp.MustCompile("(?m)^\\|[^|]*`" + event + "`").Match(text) {
			t.Errorf("the event %s is not explained", event)
		}
	}
}

// words writes "5s" as "5 s".
func words(d string) string { return strings.Replace(d, "s", " s", 1) }

// known decodes one value of JSON after the other. None has a field that the type
// does not have, or lacks one that it always has.
func known(text string, into func() any) error {
	for values := json.NewDecoder(strings.NewReader(text)); ; {
		var raw json.RawMessage
		if err := values.Decode(&raw); errors.Is(err, io.EOF) {
			return nil
		} else if err != nil {
			return err
		}
		value := into()
		strict := json.NewDecoder(bytes.NewReader(raw))
		strict.DisallowUnknownFields()
		if err := strict.Decode(value); err != nil {
			return err
		}
		again, err := encode(value)
		if err != nil {
			return err
		}
		var want, got any
		if err := errors.Join(json.Unmarshal(raw, &want), json.Unmarshal(again, &got)); err != nil {
			return err
		}
		if diff := cmp.Diff(want, got); diff != "" {
			return fmt.Errorf("(-documented +written)\n%s", diff)
		}
	}
}
