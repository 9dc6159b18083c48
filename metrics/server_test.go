package metrics

import (
	"context"
	"errors"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"sttwall/control"
)

func ask(m *Metrics, method, path string) (status int, body string) {
	w := httptest.NewRecorder()
	m.Handler().ServeHTTP(w, httptest.NewRequest(method, path, nil))
	return w.Code, w.Body.String()
}

func TestReadyzSaysWhatIsMissing(t *testing.T) {
	m := newMetrics(t, Config{})
	want := func(status int, words string) {
		t.Helper()
		if got, body := ask(m, "GET", "/readyz"); got != status || !strings.Contains(body, words) {
			t.Errorf("got %d %q, want %d %q", got, body, status, words)
		}
	}
	want(503, "has not started yet")
	m.Starting("the queues are not open yet")
	want(503, "the queues are not open yet")
	s := sourceOf(newCore(t, testRules))
	var gone error
	s.Table = func() error { return gone }
	m.Watch(s)
	want(503, "the queues are not open yet")
	m.Ready()
	want(200, "ready")
	gone = errors.New("table sttwall: it is gone")
	want(503, "it is gone: STT passes uninspected")
	gone = nil
	m.Stopping()
	want(503, "shutting down")
}

func TestHealthzSaysWhichQueueIsStuck(t *testing.T) {
	now := time.Unix(1_700_000_000, 0)
	m := newMetrics(t, Config{Clock: func() time.Time { return now }})
	if status, _ := ask(m, "GET", "/healthz"); status != 200 {
		t.Errorf("before the start: %d", status)
	}
	s := sourceOf(newCore(t, testRules))
	s.Queues = func() []control.QueueHealth { return []control.QueueHealth{{Number: 4, Waiting: 2}} }
	m.Watch(s)
	if status, body := ask(m, "GET", "/healthz"); status != 200 || body != "alive\n" {
		t.Errorf("%d %q", status, body)
	}
	now = now.Add(s.HeldFor + stuckAfter)
	if status, _ := ask(m, "GET", "/healthz"); status != 200 {
		t.Errorf("packets may be held so long: %d", status)
	}
	now = now.Add(1)
	if status, body := ask(m, "GET", "/healthz"); status != 503 || !strings.HasPrefix(body, "queue 4: 2 packets wait") {
		t.Errorf("%d %q", status, body)
	}
}

func TestOnlyThreePathsAreThereAndOnlyToRead(t *testing.T) {
	m, _ := busy(t)
	for _, tt := range []struct {
		method, path string
		status       int
		words        string
	}{
		{"GET", "/metrics", 200, "sttwall_ready 1"},
		{"HEAD", "/metrics", 200, ""},
		{"GET", "/", 404, "/metrics, /healthz and /readyz"},
		{"GET", "/debug/pprof/", 404, ""},
		{"POST", "/metrics", 405, ""},
		{"DELETE", "/readyz", 405, ""},
	} {
		if status, body := ask(m, tt.method, tt.path); status != tt.status || !strings.Contains(body, tt.words) {
			t.Errorf("%s %s: %d %.200q", tt.method, tt.path, status, body)
		}
	}
}

func TestAddressesAreChecked(t *testing.T) {
	for address, fine := range map[string]bool{
		"127.0.0.1:9475": true, "[::1]:9475": true, ":9475": true, "localhost:0": true, "/run/sttwall/metrics.sock": true, "./m.sock": true,
		"9475": false, "127.0.0.1": false, "127.0.0.1:": false, "127.0.0.1:http": false, "127.0.0.1:65536": false, "::1:9475": false, "127.0.0.1:-1": false, "1.2.3.4:+80": false,
	} {
		if err := CheckAddress(address); (err == nil) != fine {
			t.Errorf("%q: %v", address, err)
		}
	}
	if _, err := Listen("9475"); err == nil || !strings.Contains(err.Error(), "metrics: address 9475: ") || !strings.Contains(err.Error(), "path of a unix socket") {
		t.Errorf("it says %v", err)
	}
}

// served serves m on an address until the test ends.
func served(t *testing.T, m *Metrics, address string) *Listener {
	t.Helper()
	l, err := Listen(address)
	if err != nil {
		t.Fatal(err)
	}
	ctx, stop := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- m.Serve(ctx, l) }()
	t.Cleanup(func() {
		stop()
		if err := <-ended; err != nil {
			t.Error(err)
		}
	})
	return l
}

func TestMetricsAreServedOverTCPAndUnixSockets(t *testing.T) {
	m, _ := busy(t)
	path := filepath.Join(t.TempDir(), "m.sock")
	for _, address := range []string{"127.0.0.1:0", path} {
		l := served(t, m, address)
		if l.Open {
			t.Errorf("%s is open to others", address)
		}
		client := &http.Client{Transport: &http.Transport{
			DisableKeepAlives: true,
			DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
				return new(net.Dialer).DialContext(ctx, l.Addr().Network(), l.Addr().String())
			},
		}}
		answer, err := client.Get("http://sttwall/metrics")
		if err != nil {
			t.Fatal(err)
		}
		body, err := io.ReadAll(answer.Body)
		answer.Body.Close()
		if err != nil || answer.StatusCode != 200 || !strings.Contains(string(body), `sttwall_tenant_frames_total{tenant="acme"} 4`) {
			t.Errorf("%s: %d %v", address, answer.StatusCode, err)
		}
	}
	if _, err := Listen(path); err == nil || !strings.Contains(err.Error(), "another sttwall listens on "+path) {
		t.Errorf("the socket of another one: %v", err)
	}
	l := served(t, m, ":0")
	if !l.Open {
		t.Error("all addresses are taken for loopback")
	}
	if _, err := Listen(l.Addr().String()); err == nil || !strings.HasPrefix(err.Error(), "metrics: listen tcp") {
		t.Errorf("a port that is taken: %v", err)
	}
}

func TestTheServerIsBounded(t *testing.T) {
	m, _ := busy(t)
	l := served(t, m, "127.0.0.1:0")
	dial := func() net.Conn {
		t.Helper()
		c, err := net.Dial("tcp", l.Addr().String())
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { c.Close() })
		return c
	}
	// A header that is too long.
	c := dial()
	io.WriteString(c, "GET /readyz HTTP/1.1\r\nHost: x\r\nX: "+strings.Repeat("x", 2*maxHeader)+"\r\n\r\n")
	if answer, _ := io.ReadAll(c); !strings.HasPrefix(string(answer), "HTTP/1.1 431") {
		t.Errorf("got %.100q", answer)
	}
	c.Close()
	// All places taken: the next one waits for one to be free.
	var taken []net.Conn
	for range maxConns {
		c := dial()
		io.WriteString(c, "GET /readyz HTTP/1.1\r\nHost: x\r\n\r\n")
		if _, err := io.ReadAtLeast(c, make([]byte, 4096), 12); err != nil {
			t.Fatal(err)
		}
		taken = append(taken, c)
	}
	late := dial()
	io.WriteString(late, "GET /readyz HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
	taken[0].Close()
	if answer, err := io.ReadAll(late); err != nil || !strings.HasPrefix(string(answer), "HTTP/1.1 200") {
		t.Errorf("%.100q, %v", answer, err)
	}
}

// blocking is a collector at which scrapes wait.
type blocking struct {
	entered chan struct{}
	leave   chan struct{}
}

func (blocking) Describe(chan<- *prometheus.Desc) {}
func (b blocking) Collect(chan<- prometheus.Metric) {
	b.entered <- struct{}{}
	<-b.leave
}

func TestScrapesAtOnceAreBounded(t *testing.T) {
	m, _ := busy(t)
	m.registry = prometheus.NewRegistry()
	b := blocking{make(chan struct{}), make(chan struct{})}
	m.registry.MustRegister(b)
	handler := m.Handler()
	done := make(chan int, maxScrapes)
	for range maxScrapes {
		go func() {
			w := httptest.NewRecorder()
			handler.ServeHTTP(w, httptest.NewRequest("GET", "/metrics", nil))
			done <- w.Code
		}()
		<-b.entered
	}
	w := httptest.NewRecorder()
	handler.ServeHTTP(w, httptest.NewRequest("GET", "/metrics", nil))
	if w.Code != http.StatusServiceUnavailable {
		t.Errorf("one too many: %d", w.Code)
	}
	close(b.leave)
	for range maxScrapes {
		if code := <-done; code != 200 {
			t.Errorf("one that waited: %d", code)
		}
	}
}
