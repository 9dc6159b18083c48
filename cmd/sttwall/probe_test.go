package main

import (
	"bytes"
	"context"
	"encoding/json"
	"io"
	"os/exec"
	"strings"
	"testing"
	"time"

	"sttwall/internal/lab"
	"sttwall/probe"
)

// signalled is a writer that tells when a text was written to it.
type signalled struct {
	text string
	said chan struct{}
	all  bytes.Buffer
}

func (s *signalled) Write(b []byte) (int, error) {
	before := strings.Contains(s.all.String(), s.text)
	s.all.Write(b)
	if !before && strings.Contains(s.all.String(), s.text) {
		close(s.said)
	}
	return len(b), nil
}

func TestTheProbeAsksAnEndpointThatAnswers(t *testing.T) {
	if !lab.Inside(t) {
		return
	}
	l, err := lab.New(lab.Config{Without: lab.Endpoints | lab.Inspection})
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	ctx, stop := context.WithCancel(t.Context())
	logged := &signalled{text: "remote endpoint reachable", said: make(chan struct{})}
	ended := make(chan int, 1)
	go l.Do(lab.EndpointB, func() error {
		ended <- execute(ctx, []string{
			"endpoint", "--underlay", lab.Underlay, "--local", lab.OuterB.String(), "--remote", lab.OuterA.String(), "--answer-probes", "0xfffe",
		}, streams{strings.NewReader(""), io.Discard, logged})
		return nil
	})
	defer func() {
		stop()
		if status := <-ended; status != statusFine {
			t.Errorf("endpoint: status %d\n%s", status, &logged.all)
		}
	}()
	select {
	case <-logged.said:
	case status := <-ended:
		ended <- status
		t.Fatalf("the endpoint has ended\n%s", &logged.all)
	case <-time.After(sayPatience):
		t.Fatal("the endpoint finds no way to the other side")
	}
	asking := ctx
	ask := func(arguments ...string) (status int, out, said string) {
		var stdout, stderr bytes.Buffer
		if err := l.Do(lab.EndpointA, func() error {
			status = execute(asking, append([]string{"probe", lab.OuterB.String()}, arguments...), streams{strings.NewReader(""), &stdout, &stderr})
			return nil
		}); err != nil {
			t.Fatal(err)
		}
		return status, stdout.String(), stderr.String()
	}
	// Underlay and address are those of the route.
	status, out, said := ask("--context", "0xfffe", "--count", "20", "--interval", "2ms", "--timeout", "1m", "--json")
	var r probe.Report
	if err := json.Unmarshal([]byte(out), &r); err != nil || status != statusFine || said != "" {
		t.Fatalf("status %d, %v\n%s\n%s", status, err, out, said)
	}
	if !r.Answered || r.MTUForward != 1500 || r.MTUBack != 1500 || r.Forward.Received != 21 {
		t.Errorf("got %+v", r)
	}
	status, out, said = ask("--context", "0xfffe", "--count", "20", "--interval", "2ms", "--timeout", "1m")
	if status != statusFine || !strings.Contains(out, "fine: nothing was lost") {
		t.Errorf("status %d\n%s\n%s", status, out, said)
	}
	status, out, said = ask("--context", "1", "--timeout", "50ms")
	if status != statusRefused || !strings.Contains(out, "no answer from 10.47.2.1 under Context ID 1") || said != "" {
		t.Errorf("status %d\n%s\n%s", status, out, said)
	}
	var interrupt context.CancelFunc
	asking, interrupt = context.WithCancel(ctx)
	interrupt()
	status, out, said = ask("--context", "0xfffe")
	if status != statusRefused || out != "" || !strings.HasPrefix(said, "sttwall: interrupted: the path was not measured to its end") {
		t.Errorf("status %d\n%s\n%s", status, out, said)
	}
	if err := l.Do(lab.EndpointA, func() error {
		if tables, err := exec.Command("nft", "list", "tables").CombinedOutput(); err != nil || bytes.Contains(tables, []byte("sttwall")) {
			t.Errorf("left behind: %s, %v", tables, err)
		}
		return nil
	}); err != nil {
		t.Error(err)
	}
}
