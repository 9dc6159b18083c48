package control

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"strings"
	"sync/atomic"
	"testing"
	"time"
)

// askAs makes a call as another user.
func (s *served) askAs(t *testing.T, uid int, method, path, body string) (status int, answer string) {
	t.Helper()
	c := s.connectAs(t, uid)
	if _, err := fmt.Fprintf(c, "%s %s HTTP/1.0\r\nContent-Length: %d\r\n\r\n%s", method, path, len(body), body); err != nil {
		t.Fatal(err)
	}
	response, err := http.ReadResponse(bufio.NewReader(c), nil)
	if err != nil {
		t.Fatal(err)
	}
	defer response.Body.Close()
	text, err := io.ReadAll(response.Body)
	if err != nil {
		t.Fatal(err)
	}
	return response.StatusCode, string(text)
}

// Telling why takes time that packets need: it has its share, those who only read have
// one of their own, and are told when it is used up.
func TestTellingWhyHasItsShare(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Skip("only root can be somebody else")
	}
	var now atomic.Int64
	now.Store(int64(time.Hour))
	core := newCore(t, testRules)
	s := serve(t, Config{Firewall: core, Taps: core.taps}, func(s *Server) {
		for i := range s.asides {
			s.asides[i].clock = func() time.Duration { return time.Duration(now.Load()) }
		}
	})
	const reader = 4711
	const question = `{"context": "0x64", "packet": "tcp 10.0.0.1:40000 > 10.0.0.2:22 syn"}`
	paid := func(i int, at time.Duration) {
		s.asides[i].mu.Lock()
		defer s.asides[i].mu.Unlock()
		s.asides[i].budget.paid = at
	}
	const reads, changesThings = 1, 0
	before := s.asides[reads].budget.paid
	if status, text := s.askAs(t, reader, "POST", "/v1/explain", question); status != http.StatusOK {
		t.Fatalf("%d %s", status, text)
	}
	if paid := s.asides[reads].budget.paid; paid <= before || paid <= time.Hour-lookSaved || paid == s.asides[changesThings].budget.paid {
		t.Errorf("it has cost nothing: %v", paid)
	}
	paid(reads, time.Hour+asideWait+time.Second)
	for call, question := range map[string]string{"/v1/explain": question, "/v1/remedy": `{"context": "0x64", "reason": "tenant_default"}`} {
		if status, text := s.askAs(t, reader, "POST", call, question); status != http.StatusServiceUnavailable || !strings.Contains(text, "in 11s") {
			t.Errorf("%s: %d %s", call, status, text)
		}
	}
	gone, stop := context.WithCancel(t.Context())
	paid(reads, time.Hour+time.Second)
	stop()
	if err := s.asides[reads].await(gone); !errors.Is(err, context.Canceled) {
		t.Errorf("one that does not wait: %v", err)
	}

	// Who may change things is not kept waiting; frames that pass by are not explained.
	c := s.dial(t)
	paid(changesThings, time.Hour+time.Minute)
	if _, err := c.Explain(t.Context(), ExplainRequest{Context: 100, Packet: "tcp 10.0.0.1:40000 > 10.0.0.2:22 syn"}); err != nil {
		t.Error(err)
	}
	frames := followFrames(t, c, FrameQuery{Explain: true})
	core.send(t, 100, "tcp 10.0.0.1:40000 > 10.0.0.2:22 syn", false)
	if f := <-frames; f.Explanation != nil {
		t.Error("it is explained though there is no time")
	}
	now.Store(int64(3 * time.Hour))
	core.send(t, 100, "tcp 10.0.0.1:40001 > 10.0.0.2:22 syn", false)
	if f := <-frames; f.Explanation == nil {
		t.Error("it is not explained though there is time")
	}
}

// So has what those see who only read and follow what happens.
func TestStreamsHaveTheirShare(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Skip("only root can be somebody else")
	}
	core := newCore(t, testRules)
	s := serve(t, Config{Firewall: core, Taps: core.taps, Feed: core.feed})
	paid := func() time.Duration {
		s.streams.mu.Lock()
		defer s.streams.mu.Unlock()
		return s.streams.budget.paid
	}
	before := paid()
	frames := followFrames(t, s.dial(t), FrameQuery{})
	core.send(t, 100, "tcp 10.0.0.1:40000 > 10.0.0.2:22 syn", false)
	<-frames
	if got := paid(); got != before {
		t.Errorf("who may change things pays: %v", got)
	}
	for n, path := range []string{"/v1/frames", "/v1/events"} {
		c := s.connectAs(t, somebody())
		if _, err := fmt.Fprintf(c, "GET %s HTTP/1.0\r\n\r\n", path); err != nil {
			t.Fatal(err)
		}
		response, err := http.ReadResponse(bufio.NewReader(c), nil)
		if err != nil {
			t.Fatal(err)
		}
		core.send(t, 100, fmt.Sprintf("tcp 10.0.0.1:%d > 10.0.0.2:22 syn", 50000+n), false)
		if line, err := bufio.NewReader(response.Body).ReadString('\n'); err != nil || !strings.Contains(line, `"src":"10.0.0.1"`) {
			t.Errorf("%s: %q, %v", path, line, err)
		}
	}
	if paid() <= before {
		t.Error("readers have paid nothing")
	}
	gone, stop := context.WithCancel(t.Context())
	stop()
	s.streams.mu.Lock()
	s.streams.budget.paid = s.streams.clock() + time.Hour
	s.streams.mu.Unlock()
	r, err := http.NewRequestWithContext(gone, "GET", "/v1/frames", nil)
	if err != nil {
		t.Fatal(err)
	}
	if s.lines(r, func() { t.Error("there is no time for it") }) {
		t.Error("one that is gone is waited for")
	}
}
