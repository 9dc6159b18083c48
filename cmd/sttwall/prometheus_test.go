package main

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"runtime"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"sttwall/control"
	"sttwall/eventlog"
	"sttwall/internal/lab"
	"sttwall/limit"
	"sttwall/metrics"
)

// prometheusBound is how long Prometheus may take to have seen something.
const prometheusBound = 3 * time.Minute

// prometheusServer is a Prometheus of the test's own.
type prometheusServer struct {
	client http.Client
	base   string
}

// startPrometheus starts one that scrapes a target and has the alerts of deploy/, until
// ctx ends.
func startPrometheus(ctx context.Context, t *testing.T, binary, target string) (*prometheusServer, error) {
	alerts, err := filepath.Abs("../../deploy/prometheus-rules.yml")
	if err != nil {
		return nil, err
	}
	folder := t.TempDir()
	config := fmt.Sprintf("global: {scrape_interval: 2s, scrape_timeout: 2s, evaluation_interval: 1s}\n"+
		"rule_files: [%q]\nscrape_configs: [{job_name: sttwall, static_configs: [{targets: [%q]}]}]\n", alerts, target)
	file := filepath.Join(folder, "prometheus.yml")
	if err := os.WriteFile(file, []byte(config), 0o600); err != nil {
		return nil, err
	}
	cmd := exec.CommandContext(ctx, binary, "--config.file="+file, "--storage.tsdb.path="+filepath.Join(folder, "data"), "--web.listen-address=127.0.0.1:0")
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	stderr, err := cmd.StderrPipe()
	if err != nil {
		return nil, err
	}
	if err := cmd.Start(); err != nil {
		return nil, err
	}
	at, exited := make(chan string, 1), make(chan struct{})
	var said strings.Builder
	go func() {
		defer close(exited)
		listens := regexp.MustCompile(`msg="Listening on" address=(\S+)`)
		for lines := bufio.NewScanner(stderr); lines.Scan(); {
			said.WriteString(lines.Text() + "\n")
			if m := listens.FindStringSubmatch(lines.Text()); m != nil {
				select {
				case at <- m[1]:
				default:
				}
			}
		}
		cmd.Wait() // it is killed
	}()
	t.Cleanup(func() { <-exited }) // before its folder is removed
	select {
	case address := <-at:
		p := &prometheusServer{base: "http://" + address}
		t.Cleanup(p.client.CloseIdleConnections)
		return p, nil
	case <-exited:
		return nil, fmt.Errorf("prometheus ended:\n%s", said.String())
	case <-time.After(prometheusBound):
		return nil, errors.New("prometheus does not say where it listens")
	}
}

// get asks its HTTP API.
func (p *prometheusServer) get(ctx context.Context, path string, data any) error {
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, p.base+path, nil)
	if err != nil {
		return err
	}
	response, err := p.client.Do(request)
	if err != nil {
		return err
	}
	defer response.Body.Close()
	answer := struct {
		Status, Error string
		Data          any
	}{Data: data}
	if err := json.NewDecoder(response.Body).Decode(&answer); err != nil {
		return fmt.Errorf("%s: %s: %w", path, response.Status, err)
	}
	if answer.Status != "success" {
		return fmt.Errorf("%s: %s", path, answer.Error)
	}
	return nil
}

// until asks until done says so, or for as long as Prometheus may take.
func (p *prometheusServer) until(ctx context.Context, what string, done func(context.Context) (bool, error)) error {
	ctx, stop := context.WithTimeout(ctx, prometheusBound)
	defer stop()
	for again := time.NewTicker(200 * time.Millisecond); ; {
		is, err := done(ctx)
		if is {
			again.Stop()
			return nil
		}
		select {
		case <-again.C:
		case <-ctx.Done():
			return fmt.Errorf("%s: %w", what, errors.Join(err, ctx.Err()))
		}
	}
}

// answers waits until a query has an answer.
func (p *prometheusServer) answers(ctx context.Context, query string) error {
	return p.until(ctx, query, func(ctx context.Context) (bool, error) {
		var data struct{ Result []json.RawMessage }
		err := p.get(ctx, "/api/v1/query?query="+url.QueryEscape(query), &data)
		return len(data.Result) > 0, err
	})
}

// dashboardQueries returns what the dashboard asks, its variables filled in.
func dashboardQueries(t *testing.T) (queries []string) {
	t.Helper()
	var d struct {
		Panels []struct {
			Targets []struct{ Expr string }
		}
		Annotations struct {
			List []struct{ Expr string }
		}
		Templating struct {
			List []struct{ Definition string }
		}
	}
	text, err := os.ReadFile("../../deploy/grafana-dashboard.json")
	if err == nil {
		err = json.Unmarshal(text, &d)
	}
	if err != nil {
		t.Fatal(err)
	}
	for _, panel := range d.Panels {
		for _, target := range panel.Targets {
			queries = append(queries, target.Expr)
		}
	}
	for _, a := range d.Annotations.List {
		if a.Expr != "" {
			queries = append(queries, a.Expr)
		}
	}
	for _, v := range d.Templating.List {
		if selector, ok := strings.CutPrefix(v.Definition, "label_values("); ok {
			selector, _, _ = strings.Cut(selector, ", ")
			queries = append(queries, selector)
		}
	}
	fill := strings.NewReplacer("$__rate_interval", "1m", "$__range", "1h", "$instance", ".*", "$job", ".*", "$tenant", ".*")
	for i := range queries {
		queries[i] = fill.Replace(queries[i])
	}
	return queries
}

// forward lets Prometheus, which scrapes over TCP, reach a unix socket.
func forward(ctx context.Context, t *testing.T, socket string) (address string, err error) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return "", err
	}
	context.AfterFunc(ctx, func() { l.Close() })
	var running sync.WaitGroup
	t.Cleanup(running.Wait)
	running.Go(func() {
		for {
			from, err := l.Accept()
			if err != nil {
				return
			}
			running.Go(func() {
				defer from.Close()
				to, err := net.Dial("unix", socket)
				if err != nil {
					return
				}
				defer to.Close()
				defer context.AfterFunc(ctx, func() { from.Close() })()
				go io.Copy(to, from)
				io.Copy(from, to)
			})
		}
	})
	return l.Addr().String(), nil
}

// runLoggedLiveFirewall is the firewall of the live demo, with an event log beside its
// control socket.
func runLoggedLiveFirewall(ctx context.Context, f lab.LiveFirewall) error {
	c, err := liveConfig(f)
	if err != nil {
		return err
	}
	target, err := eventlog.ParseTarget(filepath.Join(filepath.Dir(f.Socket), "eve.json"))
	if err != nil {
		return err
	}
	c.events = &eventlog.Config{Targets: []eventlog.Target{target}, Sampled: limit.Rate{Events: 1, Per: time.Second, Burst: 1}, Log: c.log}
	return run(ctx, c)
}

// The real program under live traffic, a real Prometheus, and all that deploy/ asks it.
func TestARealPrometheusHasDataForEachQueryOfTheDashboard(t *testing.T) {
	binary, err := exec.LookPath("prometheus")
	if err != nil {
		if os.Getenv("CI") == "true" {
			t.Fatal("prometheus is not installed; CI needs it to scrape what is served")
		}
		t.Skip("prometheus is not installed; it is to scrape what is served")
	}
	err = lab.RunLive(t.Context(), lab.LiveOptions{}, func(ctx context.Context, live lab.Live) error {
		ctx, stop := context.WithCancel(ctx)
		defer stop()
		address, err := forward(ctx, t, demoMetrics(live.Control))
		if err != nil {
			return err
		}
		runtime.LockOSThread() // Prometheus ends with the thread that starts it
		defer runtime.UnlockOSThread()
		p, err := startPrometheus(ctx, t, binary, address)
		if err != nil {
			return err
		}
		if err := p.answers(ctx, `up{job="sttwall"} == 1 and sttwall_ready == 1`); err != nil {
			return err
		}
		// For the annotation, and for somebody who follows events.
		c, err := control.Dial(live.Control)
		if err != nil {
			return err
		}
		defer c.Close()
		if _, err := c.Reload(ctx); err != nil {
			return err
		}
		for _, query := range dashboardQueries(t) {
			if unknownToUsers(query) {
				continue
			}
			if err := p.answers(ctx, query); err != nil {
				t.Errorf("no data: %v", err)
			}
		}
		for _, m := range metrics.All() {
			if unknownToUsers(m.Name) {
				continue
			}
			if err := p.answers(ctx, m.Name); err != nil {
				t.Errorf("not scraped: %v", err)
			}
		}
		return p.until(ctx, "alerts are evaluated", func(ctx context.Context) (bool, error) {
			var data struct {
				Groups []struct {
					Rules []struct{ Name, Health, LastError string }
				}
			}
			if err := p.get(ctx, "/api/v1/rules", &data); err != nil || len(data.Groups) != 1 {
				return false, fmt.Errorf("%d groups, %w", len(data.Groups), err)
			}
			for _, rule := range data.Groups[0].Rules {
				if rule.Health != "ok" {
					return false, fmt.Errorf("%s: %s %s", rule.Name, rule.Health, rule.LastError)
				}
			}
			return true, nil
		})
	})
	switch {
	case errors.Is(err, lab.ErrUnavailable) && os.Getenv("CI") != "true":
		t.Skip(err)
	case err != nil:
		t.Error(err)
	}
}

// unknownToUsers reports whether a query asks for what the kernel tells root alone: how
// many packets wait in a queue.
func unknownToUsers(query string) bool {
	return os.Geteuid() != 0 && (strings.Contains(query, "sttwall_queue_waiting_packets") || strings.Contains(query, "sttwall_queue_dropped_packets_total"))
}
