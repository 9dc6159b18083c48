package control

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// served is a server on a socket of its own, until the test ends.
type served struct {
	*Server
	path string
	log  *syncBuffer
}

func serve(t testing.TB, c Config, prepare ...func(*Server)) *served {
	t.Helper()
	s := &served{path: filepath.Join(t.TempDir(), "control.sock"), log: new(syncBuffer)}
	if c.Firewall == nil {
		c.Firewall = newCore(t, testRules)
	}
	if c.Feed == nil {
		c.Feed = new(Feed)
		if core, ok := c.Firewall.(*core); ok {
			c.Feed = core.feed
		}
	}
	if c.Reload == nil {
		c.Reload = func() (Reloaded, error) { return Reloaded{Tenants: 2, Rules: 3, FlowsEnded: 1}, nil }
	}
	if c.Owner == 0 {
		c.Owner = os.Geteuid()
	}
	c.Log = slog.New(slog.NewTextHandler(s.log, nil))
	var err error
	if s.Server, err = NewServer(c); err != nil {
		t.Fatal(err)
	}
	for _, p := range prepare {
		p(s.Server)
	}
	l, err := Listen(s.path)
	if err != nil {
		t.Fatal(err)
	}
	ctx, stop := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- s.Serve(ctx, l) }()
	t.Cleanup(func() {
		stop()
		if err := <-done; err != nil {
			t.Error(err)
		}
		if _, err := os.Lstat(s.path); !errors.Is(err, os.ErrNotExist) {
			t.Errorf("the socket is still there: %v", err)
		}
	})
	return s
}

func (s *served) dial(t testing.TB) *Client {
	t.Helper()
	c, err := Dial(s.path)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(c.Close)
	return c
}

// raw sends a request as it stands and returns the answer.
func raw(t *testing.T, c net.Conn, request string) (code int, body string) {
	t.Helper()
	go io.WriteString(c, request) // the server may answer, and close, before it has read all
	response, err := http.ReadResponse(bufio.NewReader(c), nil)
	if err != nil {
		t.Fatal(err)
	}
	defer response.Body.Close()
	text, err := io.ReadAll(response.Body)
	if err != nil && !errors.Is(err, unix.ECONNRESET) { // instead of an end, where it has closed so
		t.Fatal(err)
	}
	return response.StatusCode, string(text)
}

func get(path string) string { return "GET " + path + " HTTP/1.1\r\nHost: sttwall\r\n\r\n" }
func post(path, body string) string {
	return "POST " + path + " HTTP/1.1\r\nHost: sttwall\r\nContent-Length: " + strconv.Itoa(len(body)) + "\r\n\r\n" + body
}

// connect opens a connection that ends with the test.
func (s *served) connect(t *testing.T) net.Conn {
	t.Helper()
	c, err := net.Dial("unix", s.path)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	return c
}

// connectAs opens a connection as another user. Credentials are a thread's, so
// the thread is one of its own, and ends.
func (s *served) connectAs(t *testing.T, uid int) net.Conn {
	t.Helper()
	if err := os.Chmod(s.path, 0o666); err != nil { // else the user would have to be of its group
		t.Fatal(err)
	}
	dir := filepath.Dir(s.path)
	for _, dir := range []string{dir, filepath.Dir(dir)} { // both are of this test
		if err := os.Chmod(dir, 0o755); err != nil {
			t.Fatal(err)
		}
	}
	type result struct {
		net.Conn
		err error
	}
	connected := make(chan result)
	go func() {
		runtime.LockOSThread() // and never unlocked
		if _, _, e := unix.RawSyscall(unix.SYS_SETRESUID, uintptr(uid), uintptr(uid), uintptr(uid)); e != 0 {
			connected <- result{err: e}
			return
		}
		c, err := net.Dial("unix", s.path)
		connected <- result{c, err}
	}()
	r := <-connected
	if r.err != nil {
		t.Fatal(r.err)
	}
	t.Cleanup(func() { r.Close() })
	return r.Conn
}

type syncBuffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (b *syncBuffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.b.Write(p)
}

func (b *syncBuffer) String() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.b.String()
}

func TestStatusSaysWhichFirewallThisIs(t *testing.T) {
	fw := newCore(t, testRules)
	fw.send(t, 100, "udp 10.0.0.1:9 > 10.0.0.2:53", false)
	fw.send(t, 100, "udp 10.0.0.1:9 > 10.0.0.2:54", false)
	fw.send(t, 100, "udp 10.0.0.2:53 > 10.0.0.1:9", true)
	s := serve(t, Config{Firewall: fw, Version: "sttwall v1", Rules: "/etc/sttwall/rules.hcl"})
	got, err := s.dial(t).Status(context.Background())
	if err != nil {
		t.Fatal(err)
	}
	if got.Version != "sttwall v1" || got.Rules != "/etc/sttwall/rules.hcl" || got.PID != os.Getpid() || got.Tenants != 2 || got.RuleCount != 2 ||
		got.Generation != 1 || got.Flows != 1 || got.Totals.FramesAccepted != 2 || got.Totals.FramesDropped != 1 || !got.Started.Equal(s.started) {
		t.Errorf("%+v", got)
	}
}

func TestAReloadSaysWhatIsInForce(t *testing.T) {
	s := serve(t, Config{})
	got, err := s.dial(t).Reload(context.Background())
	if err != nil || got.Tenants != 2 || got.Rules != 3 || got.FlowsEnded != 1 {
		t.Errorf("%+v, %v", got, err)
	}
	if !strings.Contains(s.log.String(), `call="POST /v1/reload"`) || !strings.Contains(s.log.String(), "allowed=true") {
		t.Errorf("the log says\n%s", s.log)
	}
}

func TestAFileThatDoesNotLoadIsToldWhole(t *testing.T) {
	refusal := &Error{Code: http.StatusUnprocessableEntity, Message: "the rules file does not load", Diagnostics: "rules.hcl:3,1-5: error: Unknown\n  3 | \x00ünknown\n"}
	s := serve(t, Config{Reload: func() (Reloaded, error) { return Reloaded{}, refusal }})
	_, err := s.dial(t).Reload(context.Background())
	var got *Error
	if !errors.As(err, &got) || *got != *refusal {
		t.Errorf("got %+v, want %+v", err, refusal)
	}
}

// as serves a firewall to somebody: root, the user that runs it, or a stranger.
// An ordinary user is each of them by what the firewall is told; root can be
// anybody.
func as(t *testing.T, who string) (s *served, connect func() net.Conn, uid int) {
	t.Helper()
	c := Config{Owner: 65533}
	switch root := os.Geteuid() == 0; {
	case who == "root", !root:
		uid = os.Geteuid()
		c.Owner = uid
		if who == "a stranger" {
			c.Owner++
		}
		s = serve(t, c)
		return s, func() net.Conn { return s.connect(t) }, uid
	case who == "the user that runs it":
		uid = c.Owner
	default:
		uid = c.Owner - 1
	}
	s = serve(t, c)
	return s, func() net.Conn { return s.connectAs(t, uid) }, uid
}

func TestWhoMayDoWhat(t *testing.T) {
	calls := map[string]string{
		"reload": post("/v1/reload", ""), "status": get("/v1/status"), "flows": get("/v1/flows"), "rules": get("/v1/rules"), "drops": get("/v1/drops"),
		"explain": post("/v1/explain", `{"context": 100, "packet": "arp request 10.0.0.1 > 10.0.0.2"}`),
	}
	for _, who := range []string{"root", "the user that runs it", "a stranger"} {
		for name, call := range calls {
			t.Run(who+" asks for "+name, func(t *testing.T) {
				_, connect, uid := as(t, who)
				want := 200
				if who == "a stranger" && name == "reload" {
					want = 403
				}
				code, body := raw(t, connect(), call)
				if code != want {
					t.Errorf("got %d, want %d: %s", code, want, body)
				}
				refusal := fmt.Sprintf(`{"error":"POST /v1/reload: only root and the user that runs the firewall may, and this is user %d, process %d"}`, uid, os.Getpid())
				if code == 403 && body != refusal+"\n" {
					t.Errorf("it says %s, want %s", body, refusal)
				}
			})
		}
	}
}

func TestWhoMayNotReloadDoesNotFillTheLogEither(t *testing.T) {
	s, connect, uid := as(t, "a stranger")
	c := connect()
	const asked = 200
	began := time.Now()
	answers := bufio.NewReader(c)
	for range asked {
		if _, err := io.WriteString(c, post("/v1/reload", "")); err != nil {
			t.Fatal(err)
		}
		response, err := http.ReadResponse(answers, nil)
		if err != nil || response.StatusCode != 403 {
			t.Fatal(response, err)
		}
		io.Copy(io.Discard, response.Body)
	}
	if n := strings.Count(s.log.String(), fmt.Sprintf("uid=%d pid=%d allowed=false", uid, os.Getpid())); n < 10 || n > 11+int(time.Since(began).Seconds()) { // one a second, and ten at once
		t.Errorf("%d lines about %d calls:\n%s", n, asked, s.log)
	}
}

func TestRequestsThatAreNoneAreAnsweredInJSON(t *testing.T) {
	s := serve(t, Config{})
	for _, tt := range []struct {
		name, request string
		code          int
		want          string
	}{
		{"an unknown path", get("/v2/status"), 404, "there is no /v2/status"},
		{"another method", get("/v1/reload"), 405, "/v1/reload takes POST, not GET"},
		{"another method on what is read", post("/v1/status", ""), 405, "/v1/status takes GET, not POST"},
		{"a parameter that is none", get("/v1/status?tenant=acme"), 400, `/v1/status knows no parameter "tenant": it takes none`},
		{"a parameter of another call", get("/v1/flows?rule=web"), 400, `it takes tenant, audit, filter, limit, after`},
		{"a parameter twice", get("/v1/flows?limit=1&limit=2"), 400, "limit is given twice"},
		{"a parameter that cannot be read", get("/v1/flows?limit=%zz"), 400, "the parameters: "},
		{"no flows", get("/v1/flows?limit=0"), 400, `limit="0": want 1 to 10000`},
		{"too many flows", get("/v1/flows?limit=10001"), 400, "want 1 to 10000"},
		{"flows in audit mode, perhaps", get("/v1/flows?audit=maybe"), 400, `audit="maybe": want true or false`},
		{"flows behind nothing", get("/v1/flows?after=here"), 400, "want what next said"},
		{"no question", post("/v1/explain", ""), 400, "the body of the request: it is empty"},
		{"no JSON", post("/v1/explain", "context=100"), 400, "the body of the request: invalid character"},
		{"two questions", post("/v1/explain", `{"context": 1, "packet": "arp request 10.0.0.1 > 10.0.0.2"} {}`), 400, "there is more behind it"},
		{"a question with a word too many", post("/v1/explain", `{"contexts": 1}`), 400, "unknown field"},
		{"no packet", post("/v1/explain", `{"context": 1}`), 400, "packet: want a description such as tcp 10.0.0.1:40000 > 10.0.0.2:443 syn"},
		{"no context ID", post("/v1/explain", `{"context": "acme", "packet": "arp request 10.0.0.1 > 10.0.0.2"}`), 400, `context ID "acme": want a number of 64 bits`},
		{"a packet that is none", post("/v1/explain", `{"context": 1, "packet": "tcp 10.0.0.1"}`), 400, "packet: column "},
		{"an endpoint that is none", post("/v1/explain", `{"context": 1, "packet": "arp request 10.0.0.1 > 10.0.0.2", "from": "here"}`), 400, `from: "here" is not the outer address`},
		{"two endpoints for one", post("/v1/explain", `{"context": 1, "packet": "arp request 10.0.0.1 > 10.0.0.2 from 10.47.0.1", "from": "10.47.0.2"}`), 400, "the packet's description says 10.47.0.1, and the request 10.47.0.2"},
		{"a request that is too long", post("/v1/explain", `{"packet": "`+strings.Repeat("x", maxBody)+`"}`), 413, "the request is longer than 65536 bytes"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			code, body := raw(t, s.connect(t), tt.request)
			var e Error
			if err := json.Unmarshal([]byte(body), &e); err != nil || code != tt.code || !strings.Contains(e.Message, tt.want) || strings.Contains(body, `\u00`) {
				t.Errorf("got %d %q (%v), want %d %q", code, body, err, tt.code, tt.want)
			}
		})
	}
}

func TestAHeaderThatIsTooLongIsRefused(t *testing.T) {
	s := serve(t, Config{})
	request := strings.Replace(get("/v1/status"), "\r\n\r\n", "\r\nX: "+strings.Repeat("x", 2*maxHeader)+"\r\n\r\n", 1)
	if code, body := raw(t, s.connect(t), request); code != http.StatusRequestHeaderFieldsTooLarge {
		t.Errorf("got %d %s", code, body)
	}
}

func TestAPanicIsAnsweredAndLogged(t *testing.T) {
	s := serve(t, Config{Reload: func() (Reloaded, error) { panic("nobody expects it") }})
	_, err := s.dial(t).Reload(context.Background())
	var refused *Error
	if !errors.As(err, &refused) || refused.Code != http.StatusInternalServerError {
		t.Errorf("got %v", err)
	}
	if !strings.Contains(s.log.String(), "nobody expects it") {
		t.Errorf("the log says\n%s", s.log)
	}
	if _, err := s.dial(t).Status(context.Background()); err != nil {
		t.Errorf("afterwards: %v", err)
	}
}
