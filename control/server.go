package control

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"os"
	"runtime/debug"
	"strings"
	"sync/atomic"
	"time"

	"sttwall/limit"
	"sttwall/suggest"
	"sttwall/tap"
	"sttwall/temporary"
)

// Bounds of a server.
const (
	// maxHeavy is how many calls that look through all flows or rules are at work at
	// once; others wait. Packets need the processors more.
	maxHeavy = 1
	// maxAnswers is how many of their answers, which may have tens of megabytes, are
	// made or wait to be taken at once, and maxReadersAnswers how many more of those
	// who only read.
	maxAnswers, maxReadersAnswers = 2, 6
	// maxBody and maxHeader bound a request in bytes.
	maxBody, maxHeader = 64 << 10, 16 << 10
	// How long a client may take to say what it wants, to take the answer, and to
	// ask again.
	headerTimeout, readTimeout, writeTimeout, idleTimeout = 5 * time.Second, 10 * time.Second, 30 * time.Second, time.Minute
)

// Config makes a [Server].
type Config struct {
	// Firewall is whom the server speaks for. Required.
	Firewall Running
	// Reload reads the rules file again and puts it in force; required. An
	// [Error] of it reaches the client as it is. It is called by one goroutine at
	// a time or many: it keeps order itself.
	Reload func() (Reloaded, error)
	// HandOver, if not nil, ends the firewall, and then writes its state to a connection
	// that asked for it with POST /v1/handover, which it closes. It does not wait for that.
	HandOver func(*Taker)
	// Temporary has the rules that are set beside the file; nil: there are none.
	Temporary *temporary.List
	// Feed is what GET /v1/events shows. Required.
	Feed *Feed
	// Recent, if not nil, has the frames that GET /v1/drops/recent shows.
	Recent *Recent
	// Taps, if not nil, has the frames that GET /v1/frames shows.
	Taps *tap.Taps
	// Elsewhere, if not nil, returns what was dropped before the firewall saw it.
	Elsewhere func() []Drop
	// Vitals, if not nil, returns what those know who run the queues. It is called once
	// a second, and for GET /v1/health.
	Vitals func() Vitals
	// Seen, if not nil, returns what audit mode has let pass; see [suggest.Watch].
	Seen func() suggest.Seen
	// Log is told of changes, and of mistakes of the server's own. Required.
	Log *slog.Logger
	// Version, Rules and Rights are shown in [Status].
	Version, Rules, Rights string
	// Owner is the user that may change things besides root: the one that runs
	// the firewall.
	Owner int
}

// Server answers on a control socket.
type Server struct {
	config  Config
	mux     http.ServeMux
	methods map[string][]string // of each path
	http    http.Server
	started time.Time

	heavy    chan struct{} // a place for each call at work that takes its time
	answers  chan struct{} // a place for each of their answers that is not taken yet
	readers  chan struct{} // likewise, of those who only read
	refusals *limit.Bucket // of log lines about them
	behind   atomic.Int64  // ns from the firewall's clock to the wall clock
	look     look
	streams  aside    // of those who only read
	asides   [2]aside // of those who may change things, and of those who only read
	history  history
	handing  atomic.Bool // over, to a taker

	frameReaders chan struct{} // a place for each of those who only read and follow frames
}

// NewServer makes a server. It listens nowhere yet.
func NewServer(c Config) (*Server, error) {
	switch {
	case c.Firewall == nil:
		return nil, errors.New("control: no firewall")
	case c.Reload == nil:
		return nil, errors.New("control: nothing that reloads")
	case c.Feed == nil:
		return nil, errors.New("control: no feed of events")
	case c.Log == nil:
		return nil, errors.New("control: no log")
	}
	s := &Server{
		config: c, started: time.Now(), methods: make(map[string][]string), heavy: make(chan struct{}, maxHeavy),
		answers: make(chan struct{}, maxAnswers), readers: make(chan struct{}, maxReadersAnswers),
		refusals: limit.NewBucket(limit.Rate{Events: 1, Per: time.Second, Burst: 10}),
	}
	s.http = http.Server{
		Handler: http.HandlerFunc(s.serve), ConnContext: withConn,
		ReadHeaderTimeout: headerTimeout, ReadTimeout: readTimeout, WriteTimeout: writeTimeout, IdleTimeout: idleTimeout,
		MaxHeaderBytes: maxHeader,
		ErrorLog:       slog.NewLogLogger(c.Log.Handler(), slog.LevelWarn),
	}
	s.look.budget.paid = -lookSaved
	s.frameReaders = make(chan struct{}, maxFrameReaders)
	s.look.clock = func() time.Duration { return time.Since(s.started) }
	for i := range s.asides {
		s.asides[i] = aside{clock: s.look.clock, share: asideShare, budget: s.look.budget}
	}
	s.streams = aside{clock: s.look.clock, share: streamShare, budget: s.look.budget}
	s.handle("GET", "/v1/status", reads, s.status)
	s.handle("GET", "/v1/health", reads, s.health)
	s.handle("GET", "/v1/history", reads, s.recent)
	s.handle("POST", "/v1/reload", changes, s.reload)
	s.handleStream("POST", "/v1/handover", changes, s.handOver)
	s.handleStream("POST", "/v1/explain", reads, s.explain)
	s.handleStream("GET", "/v1/flows", reads, s.flows)
	s.handleStream("GET", "/v1/rules", reads, s.large(s.rules))
	s.handleStream("GET", "/v1/tenants", reads, s.large(s.tenants))
	s.handle("GET", "/v1/drops", reads, s.drops)
	s.handleStream("GET", "/v1/drops/recent", reads, s.large(s.recentDrops))
	s.handleStream("GET", "/v1/frames", reads, s.frames)
	s.handleStream("POST", "/v1/remedy", reads, s.remedy)
	s.handleStream("GET", "/v1/suggest", reads, s.large(s.suggest))
	s.handleStream("GET", "/v1/events", reads, s.events)
	s.handleStream("GET", "/v1/temporary", reads, s.large(s.temporaryRules))
	s.handle("POST", "/v1/temporary", changes, s.setTemporary)
	s.handle("DELETE", "/v1/temporary/{names}", changes, s.removeTemporary)
	s.mux.HandleFunc("/", func(w http.ResponseWriter, r *http.Request) {
		answerError(w, refuse(http.StatusNotFound, "there is no %s: see docs/control.md", r.URL.Path))
	})
	return s, nil
}

// need is what a call does, and so who may make it.
type need uint8

const (
	reads need = iota
	changes
)

// handle adds a call. What it returns is the answer.
func (s *Server) handle(method, path string, n need, call func(*http.Request) (any, error)) {
	s.handleStream(method, path, n, func(w http.ResponseWriter, r *http.Request) error {
		value, err := call(r)
		if err == nil {
			answer(w, value)
		}
		return err
	})
}

// large is a call whose answer takes its time, and room.
func (s *Server) large(call func(*http.Request) (any, error)) func(http.ResponseWriter, *http.Request) error {
	return func(w http.ResponseWriter, r *http.Request) error {
		return s.answerInTurn(w, r, func() (any, error) { return call(r) })
	}
}

// answerInTurn makes an answer while less than maxHeavy others are made, and writes
// it. Who asks has said all that there is to say, or others would wait for that; and
// if who asks does not take the answer, others wait only to have one made that
// would stay in memory beside it.
func (s *Server) answerInTurn(w http.ResponseWriter, r *http.Request, call func() (any, error)) error {
	places := s.answers
	if peer, known := peerIn(r); !known || !s.changer(peer) {
		places = s.readers
	}
	select {
	case places <- struct{}{}:
		defer func() { <-places }()
	case <-r.Context().Done():
		return r.Context().Err()
	}
	value, err := s.inTurn(r, call)
	if err == nil {
		answer(w, value)
	}
	return err
}

func (s *Server) inTurn(r *http.Request, call func() (any, error)) (any, error) {
	select {
	case s.heavy <- struct{}{}:
		defer func() { <-s.heavy }()
		return call()
	case <-r.Context().Done():
		return nil, r.Context().Err()
	}
}

// handleStream adds a call that writes its answer itself. An error that it returns
// before it has written anything is the answer.
func (s *Server) handleStream(method, path string, n need, call func(http.ResponseWriter, *http.Request) error) {
	s.mux.HandleFunc(method+" "+path, func(w http.ResponseWriter, r *http.Request) {
		if n == changes {
			peer, known := peerIn(r)
			allowed := known && s.changer(peer)
			// Whoever may not change things may not fill the log either.
			if allowed || s.refusals.Take(time.Since(s.started).Nanoseconds(), 1) {
				s.config.Log.Info("asked over the control socket", "call", method+" "+path, "uid", peer.UID, "pid", peer.PID, "allowed", allowed)
			}
			if !allowed {
				answerError(w, refuse(http.StatusForbidden, "%s %s: only root and the user that runs the firewall may, and this is %s", method, path, peer))
				return
			}
		}
		r.Body = http.MaxBytesReader(w, r.Body, maxBody)
		if err := call(w, r); err != nil {
			answerError(w, err)
		}
	})
	if s.methods[path] == nil {
		s.mux.HandleFunc(path, func(w http.ResponseWriter, r *http.Request) {
			takes := s.methods[path]
			w.Header().Set("Allow", strings.Join(takes, ", "))
			answerError(w, refuse(http.StatusMethodNotAllowed, "%s takes %s, not %s", path, strings.Join(takes, " and "), r.Method))
		})
	}
	s.methods[path] = append(s.methods[path], method)
}

// changer reports whether a peer may change things.
func (s *Server) changer(p Peer) bool { return p.UID == 0 || p.UID == s.config.Owner }

// serve answers a request; what panics is answered too.
func (s *Server) serve(w http.ResponseWriter, r *http.Request) {
	defer func() {
		switch what := recover(); what {
		case nil:
		case http.ErrAbortHandler:
			panic(what)
		default:
			s.config.Log.Error("a mistake in sttwall's control socket: packets are not touched by it", "call", r.Method+" "+r.URL.Path,
				"what", fmt.Sprint(what), "stack", string(debug.Stack()))
			answerError(w, errors.New("a mistake in sttwall, which its log describes"))
		}
	}()
	if c, ok := r.Context().Value(connKey{}).(*conn); ok && c.kind == connExcess {
		w.Header().Set("Connection", "close")
		answerError(w, refuse(http.StatusServiceUnavailable, "there are too many connections to the control socket: try again when some have ended"))
		return
	}
	s.mux.ServeHTTP(w, r)
}

// Serve answers on l and keeps the history until ctx ends, then takes the socket away and ends all
// connections. The error is nil if ctx ended.
func (s *Server) Serve(ctx context.Context, l *Listener) error {
	keeping, stop := context.WithCancel(ctx)
	kept := make(chan struct{})
	go func() {
		defer close(kept)
		s.keep(keeping)
	}()
	restored := make(chan struct{})
	go func() {
		defer close(restored)
		s.restore(keeping, l)
	}()
	defer func() {
		stop()
		<-kept
		<-restored
	}()
	defer context.AfterFunc(ctx, func() { s.http.Close() })()
	err := s.http.Serve(&bounded{Listener: l, changer: s.changer})
	s.http.Close()
	l.Close() // if Close came before Serve
	if ctx.Err() != nil {
		return nil
	}
	return fmt.Errorf("control socket %s: %w", l.Path(), err)
}

// lookEvery is how often it is looked whether the socket is still there.
const lookEvery = time.Second

// restore makes the socket anew where somebody has deleted it, until ctx ends: a
// firewall that runs is to be asked and changed.
func (s *Server) restore(ctx context.Context, l *Listener) {
	ticker := time.NewTicker(lookEvery)
	defer ticker.Stop()
	for failed := false; ; {
		select {
		case <-ticker.C:
		case <-ctx.Done():
			return
		}
		switch done, err := l.Restore(); {
		case err != nil:
			if !failed {
				s.config.Log.Error("somebody has deleted the control socket, and it cannot be made anew: it is tried again", "why", err)
			}
			failed = true
		case done:
			s.config.Log.Warn("somebody had deleted the control socket: it is there again", "socket", l.Path())
			failed = false
		}
	}
}

func (s *Server) status(r *http.Request) (any, error) {
	if err := onlyQuery(r); err != nil {
		return nil, err
	}
	shared := s.config.Firewall.Shared()
	p := shared.Policy()
	return Status{
		Version: s.config.Version, PID: os.Getpid(), Started: s.started, Rules: s.config.Rules, Rights: s.config.Rights,
		Generation: shared.Generation(), Tenants: len(p.Tenants()), RuleCount: len(p.Rules()),
		Flows: shared.Flows().Stats().Flows, Totals: totalsOf(s.config.Firewall.Totals()),
	}, nil
}

func (s *Server) reload(r *http.Request) (any, error) {
	if err := onlyQuery(r); err != nil {
		return nil, err
	}
	done, err := s.config.Reload()
	if done.Warnings == nil {
		done.Warnings = []string{}
	}
	return done, err
}
