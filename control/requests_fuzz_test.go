package control

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"sttwall/firewall"
	"sttwall/suggest"
	"sttwall/temporary"
)

// most is how many bytes an answer of the small firewall of FuzzRequests has at most.
const most = 256 << 10

// FuzzRequests: whatever is asked, by whoever is connected, has an answer of that size
// at most: JSON, by the status an error or what was asked for. Nothing is a mistake of
// the server's own, and who only reads changes nothing.
func FuzzRequests(f *testing.F) {
	for _, seed := range []struct{ method, target, body string }{
		{"GET", "/v1/status", ""}, {"GET", "/v1/health", ""}, {"GET", "/v1/history", ""}, {"POST", "/v1/reload", ""},
		{"GET", "/v1/history?tenant=acme&since=1", ""},
		{"GET", "/v1/flows?tenant=acme&audit=false&filter=tcp+dport:443&limit=1&after=0-0", ""},
		{"GET", "/v1/flows?sort=rate&desc=true&offset=0&find=1-0-1&limit=3", ""}, {"GET", "/v1/flows?id=0-0-1,1-0-1", ""},
		{"GET", "/v1/rules", ""}, {"GET", "/v1/tenants", ""}, {"GET", "/v1/drops", ""},
		{"GET", "/v1/drops/recent?filter=reason:rule_drop&snap=64&limit=2&after=1", ""},
		{"GET", "/v1/frames?filter=tenant:acme&snap=100&explain=true", ""}, {"GET", "/v1/frames?outer=true", ""},
		{"GET", "/v1/events?filter=drop", ""}, {"GET", "/v1/suggest?tenant=globex", ""}, {"GET", "/v1/temporary", ""},
		{"POST", "/v1/explain", `{"context": "0x64", "packet": "tcp 10.0.0.1:40000 > 10.0.0.2:443 syn", "from": "192.0.2.1", "to": "192.0.2.2"}`},
		{"POST", "/v1/explain", `{"header": "AAAAAAAAAAAAAAAAAAAAZAAA", "data": "AAECAwQFBgcICQoLCAA="}`},
		{"POST", "/v1/remedy", `{"context": 100, "reason": "rule_reject", "data": "AAECAwQFBgcICQoLCAA=", "inner_bytes": 64, "from": "192.0.2.1"}`},
		{"POST", "/v1/temporary", `{"action": "drop", "pattern": "tenant:acme tcp any <> any:443", "for": "1h", "name": "t", "comment": "x"}`},
		{"POST", "/v1/temporary", `{"action": "accept", "pattern": "udp any > any:53 from 192.0.2.1", "for": "2d"}`},
		{"DELETE", "/v1/temporary/kept", ""}, {"DELETE", "/v1/temporary/kept,t9", ""}, {"DELETE", "/v1/temporary/%2e%2e", ""},
		{"PUT", "/v1/flows", "x"}, {"GET", "//v1/../v1/status", ""}, {"GET", "/v1/flows?limit=%zz&limit=1", ""}, {"OPTIONS", "*", ""}, {"GET", "/", ""},
	} {
		f.Add(seed.method, seed.target, []byte(seed.body), uint8(0))
		f.Add(seed.method, seed.target, []byte(seed.body), uint8(1))
	}
	fw := newCore(f, testRules)
	watch := suggest.NewWatch(fw.shared.Policy, time.Now())
	recent := NewRecent()
	fw.also = func(e *firewall.FrameEvent) { recent.Observe(e); watch.Observe(e) }
	for _, text := range []string{"tcp 10.0.0.1:40000 > 10.0.0.2:443 syn", "udp 10.0.0.1:9 > 10.0.0.2:53", "tcp 10.0.0.1:40000 > 10.0.0.2:23 syn", "tcp 10.0.0.1:40000 > 10.0.0.2:8 syn"} {
		fw.send(f, 100, text, false)
		fw.send(f, 200, text, false)
	}
	ended, stop := context.WithCancel(f.Context())
	stop()
	watch.Run(ended) // takes what waits
	list, err := temporary.Open(temporary.Config{Policy: fw.shared.Policy()})
	if err != nil {
		f.Fatal(err)
	}
	list.Start(fw)
	set := func(t testing.TB) {
		if _, _, err := list.Add(temporary.Request{Pattern: "tenant:globex tcp any > any:25", For: time.Hour, Name: "kept"}); err != nil {
			t.Fatal(err)
		}
	}
	set(f)
	names := func() (names []string) {
		for _, r := range list.Rules() {
			names = append(names, r.Name)
		}
		return names
	}
	log := new(syncBuffer)
	reloads := 0
	const owner = 1000
	s, err := NewServer(Config{
		Firewall: fw, Feed: fw.feed, Taps: fw.taps, Recent: recent, Temporary: list, Seen: watch.Seen, Owner: owner, Version: "test", Rules: "test.hcl",
		Reload: func() (Reloaded, error) { reloads++; return Reloaded{Tenants: 2}, nil },
		Vitals: func() Vitals { return Vitals{} }, Elsewhere: func() []Drop { return []Drop{{Reason: "outer_fragment", Where: "table"}} },
		Log: slog.New(slog.NewTextHandler(log, nil)),
	})
	if err != nil {
		f.Fatal(err)
	}
	var now atomic.Int64
	clock := func() time.Duration { return time.Duration(now.Add(int64(time.Hour))) } // there is always time for an answer
	s.look.clock, s.streams.clock = clock, clock
	for i := range s.asides {
		s.asides[i].clock = clock
	}
	f.Fuzz(func(t *testing.T, method, target string, body []byte, who uint8) {
		text := fmt.Sprintf("%s %s HTTP/1.1\r\nHost: sttwall\r\nContent-Length: %d\r\n\r\n%s", method, target, len(body), body)
		r, err := http.ReadRequest(bufio.NewReader(strings.NewReader(text)))
		if err != nil || r.RequestURI == "*" {
			return // net/http answers that itself
		}
		peer := Peer{UID: owner + int(who%2), PID: 7}
		ctx, gone := context.WithTimeout(context.WithValue(context.Background(), connKey{}, &conn{peer: peer}), time.Minute)
		defer gone()
		w := &answered{ResponseRecorder: httptest.NewRecorder(), begun: gone}
		before, asked, flows := fw.shared.Policy(), reloads, fw.shared.Flows().Stats().Flows
		s.serve(w, r.WithContext(ctx))
		defer func() { // as it was for the next
			if have := names(); !slices.Equal(have, []string{"kept"}) {
				if len(have) > 0 {
					list.Remove(have...)
				}
				set(t)
			}
		}()

		if ctx.Err() == context.DeadlineExceeded {
			t.Fatalf("%s %q: no answer", method, target)
		}
		if strings.Contains(log.String(), "a mistake") || w.Code >= 500 {
			t.Fatalf("%s %q %q: %d %s\n%s", method, target, body, w.Code, w.Body, log)
		}
		if w.Body.Len() > most {
			t.Fatalf("%s %q: %d bytes", method, target, w.Body.Len())
		}
		if len(log.String()) > 1<<20 {
			log.mu.Lock()
			log.b.Reset()
			log.mu.Unlock()
		}
		may := peer.UID == owner
		if changed := fw.shared.Policy() != before || reloads != asked || fw.shared.Flows().Stats().Flows != flows; changed && (!may || r.Method == "GET") {
			t.Fatalf("%s %q of user %d has changed something", method, target, peer.UID)
		}
		switch path := strings.TrimPrefix(r.URL.Path, "/v1/"); {
		case w.Code >= 300 && w.Code < 400:
			if w.Header().Get("Location") == "" {
				t.Fatalf("%s %q: %d to nowhere", method, target, w.Code)
			}
			return
		case !may && (path == "reload" && r.Method == "POST" || path == "temporary" && r.Method == "POST"):
			if w.Code != http.StatusForbidden {
				t.Fatalf("%s %q of a stranger: %d", method, target, w.Code)
			}
		}
		if w.Code != 200 {
			var e Error
			if err := json.Unmarshal(w.Body.Bytes(), &e); err != nil || e.Message == "" || w.Header().Get("Content-Type") != "application/json" {
				t.Fatalf("%s %q: %d %q (%v)", method, target, w.Code, w.Body, err)
			}
			return
		}
		lines := bytes.Split(bytes.TrimSuffix(w.Body.Bytes(), []byte("\n")), []byte("\n"))
		if stream := w.Header().Get("Content-Type") == "application/x-ndjson"; !stream && len(lines) != 1 {
			t.Fatalf("%s %q: %d lines", method, target, len(lines))
		} else if stream && w.Body.Len() == 0 {
			return // who asked was gone before there was anything
		}
		for _, line := range lines {
			if !json.Valid(line) {
				t.Fatalf("%s %q: %q", method, target, line)
			}
		}
	})
}

// answered records an answer; who follows a stream goes when it begins.
type answered struct {
	*httptest.ResponseRecorder
	begun func()
}

func (w *answered) FlushError() error                { w.begun(); return nil }
func (w *answered) SetReadDeadline(time.Time) error  { return nil }
func (w *answered) SetWriteDeadline(time.Time) error { return nil }
