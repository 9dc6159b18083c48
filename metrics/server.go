package metrics

import (
	"context"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/prometheus/client_golang/prometheus/promhttp"
	"golang.org/x/net/netutil"

	"sttwall/control"
)

// Bounds of the server. Connections beyond maxConns wait to be accepted; requests of
// /metrics beyond maxScrapes are answered with 503.
const (
	maxConns, maxScrapes = 32, 3
	maxHeader            = 8 << 10
	headerTimeout        = 5 * time.Second
	scrapeTimeout        = 10 * time.Second
	writeTimeout         = 30 * time.Second
	idleTimeout          = 2 * time.Minute
)

// Listener is where metrics are asked for.
type Listener struct {
	net.Listener
	// Open: others than this host can connect.
	Open bool
}

// CheckAddress returns what is wrong with an address for [Listen].
func CheckAddress(address string) error {
	if strings.Contains(address, "/") {
		return nil
	}
	_, port, err := net.SplitHostPort(address)
	if err == nil {
		if n, bad := strconv.ParseUint(port, 10, 16); bad != nil || strconv.FormatUint(n, 10) != port {
			err = fmt.Errorf("port %q: want 0 to 65535", port)
		}
	}
	if err != nil {
		return fmt.Errorf("%w: want HOST:PORT, [IPV6]:PORT, :PORT, or the path of a unix socket", err)
	}
	return nil
}

// Listen opens an address: HOST:PORT, [IPV6]:PORT, :PORT for all addresses of this
// host, or the path of a unix socket (it has a "/"), which is as control's.
func Listen(address string) (*Listener, error) {
	if err := CheckAddress(address); err != nil {
		return nil, fmt.Errorf("metrics: %w", err)
	}
	if strings.Contains(address, "/") {
		l, err := control.Listen(address)
		if err != nil {
			return nil, fmt.Errorf("metrics: %w", err)
		}
		return &Listener{Listener: l}, nil
	}
	l, err := net.Listen("tcp", address)
	if err != nil {
		return nil, fmt.Errorf("metrics: %w", err)
	}
	at, ok := l.Addr().(*net.TCPAddr)
	return &Listener{Listener: l, Open: !ok || !at.IP.IsLoopback()}, nil
}

// Handler answers /metrics, /healthz and /readyz.
func (m *Metrics) Handler() http.Handler {
	mux := http.NewServeMux()
	mux.Handle("GET /metrics", promhttp.HandlerFor(m.registry, promhttp.HandlerOpts{
		ErrorLog:            slog.NewLogLogger(m.config.Log.Handler(), slog.LevelError),
		ErrorHandling:       promhttp.ContinueOnError,
		MaxRequestsInFlight: maxScrapes,
		Timeout:             scrapeTimeout,
	}))
	mux.HandleFunc("GET /healthz", answerWhy(m.whyDead, "alive"))
	mux.HandleFunc("GET /readyz", answerWhy(m.whyUnready, "ready"))
	mux.HandleFunc("GET /", func(w http.ResponseWriter, r *http.Request) {
		http.Error(w, "there are /metrics, /healthz and /readyz", http.StatusNotFound)
	})
	return mux
}

func answerWhy(why func() string, fine string) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Cache-Control", "no-store")
		if why := why(); why != "" {
			http.Error(w, why, http.StatusServiceUnavailable)
			return
		}
		w.Header().Set("Content-Type", "text/plain; charset=utf-8")
		io.WriteString(w, fine+"\n")
	}
}

// Serve answers on l until ctx ends, then closes it and all connections. The error is
// nil if ctx ended.
func (m *Metrics) Serve(ctx context.Context, l net.Listener) error {
	server := http.Server{
		Handler:           m.Handler(),
		ReadHeaderTimeout: headerTimeout, ReadTimeout: headerTimeout, WriteTimeout: writeTimeout, IdleTimeout: idleTimeout,
		MaxHeaderBytes: maxHeader,
		ErrorLog:       slog.NewLogLogger(m.config.Log.Handler(), slog.LevelWarn),
	}
	defer context.AfterFunc(ctx, func() { server.Close() })()
	err := server.Serve(netutil.LimitListener(l, maxConns))
	server.Close()
	l.Close() // if Close came before Serve
	if ctx.Err() != nil {
		return nil
	}
	return fmt.Errorf("metrics on %s: %w", l.Addr(), err)
}
