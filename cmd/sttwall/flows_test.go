package main

import (
	"encoding/json"
	"fmt"
	"net"
	"net/http"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"

	"sttwall/control"
)

// answering is a control socket on which f answers GET /v1/flows.
func answering(t *testing.T, f func(q map[string]string) control.FlowPage) (socket string) {
	t.Helper()
	socket = filepath.Join(t.TempDir(), "control.sock")
	l, err := net.Listen("unix", socket)
	if err != nil {
		t.Fatal(err)
	}
	server := http.Server{Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		query := make(map[string]string)
		for name, values := range r.URL.Query() {
			query[name] = values[0]
		}
		if r.URL.Path != "/v1/flows" {
			t.Errorf("asked for %s", r.URL)
		}
		json.NewEncoder(w).Encode(f(query))
	})}
	go server.Serve(l)
	t.Cleanup(func() { server.Close() })
	return socket
}

func TestFlowsAreAsManyAsAreAskedFor(t *testing.T) {
	const there = 2500
	var asked []string
	// Pages have at most 700 flows, whoever asks for more.
	socket := answering(t, func(q map[string]string) (page control.FlowPage) {
		from, limit := 0, control.DefaultFlows
		if q["after"] != "" {
			from, _ = strconv.Atoi(q["after"])
		}
		if q["limit"] != "" {
			limit, _ = strconv.Atoi(q["limit"])
		}
		asked = append(asked, fmt.Sprintf("%d+%d", from, limit))
		to := min(there, from+min(limit, 700))
		for i := from; i < to; i++ {
			page.Flows = append(page.Flows, control.Flow{Tenant: fmt.Sprint("t", i)})
		}
		if to < there {
			page.Next = fmt.Sprint(to)
		}
		return page
	})
	for _, tt := range []struct {
		limit string
		want  int
		asked []string
	}{
		{"", there, []string{"0+1000", "700+1000", "1400+1000", "2100+1000"}},
		{"5", 5, []string{"0+5"}},
		{"1000", 1000, []string{"0+1000", "700+300"}},
		{"3000", there, []string{"0+1000", "700+1000", "1400+1000", "2100+900"}},
	} {
		args := []string{"flows", "--control", socket}
		if tt.limit != "" {
			args = append(args, "--limit", tt.limit)
		}
		asked = nil
		status, out, stderr := sttwall(args...)
		lines := strings.Split(strings.TrimSuffix(out, "\n"), "\n")
		if status != statusFine || stderr != "" || len(lines) != 1+tt.want || !slices.Equal(asked, tt.asked) {
			t.Errorf("--limit %s: status %d, %d lines, asked for %v, want %v\n%s", tt.limit, status, len(lines), asked, tt.asked, stderr)
		}
		for i, line := range lines[1:] {
			if !strings.HasPrefix(line, fmt.Sprintf("t%d ", i)) {
				t.Fatalf("line %d: %s", i, line)
			}
		}
	}
}

func TestSortedFlowsBeginWithTheMost(t *testing.T) {
	var asked map[string]string
	socket := answering(t, func(q map[string]string) control.FlowPage {
		asked = q
		rate := &control.Rate{Bytes: 1234.5}
		return control.FlowPage{Flows: []control.Flow{{Tenant: "acme", OriginalRate: rate, ReplyRate: &control.Rate{}}}, Matched: 12}
	})
	for _, tt := range []struct {
		args   string
		sort   string
		desc   bool
		limit  string
		stderr string
	}{
		{"--sort rate", "rate", true, "", "11 more are not shown: see --limit\n"},
		{"--sort rate --limit 1", "rate", true, "1", ""},
		{"--sort age --reverse --limit 10000", "age", false, "10000", ""},
		{"--sort tenant", "tenant", false, "", "11 more are not shown: see --limit\n"},
		{"--sort expires --reverse --json", "expires", true, "", ""},
	} {
		status, out, stderr := sttwall(append(strings.Fields("flows "+tt.args), "--control", socket)...)
		if status != statusFine || stderr != tt.stderr || asked["sort"] != tt.sort || (asked["desc"] == "true") != tt.desc || asked["limit"] != tt.limit {
			t.Errorf("%s: status %d, asked %v\n%s", tt.args, status, asked, stderr)
		}
		if !strings.Contains(out, "1234/0") && !strings.Contains(out, `"bytes":1234.5`) {
			t.Errorf("%s: no rate\n%s", tt.args, out)
		}
	}
}
