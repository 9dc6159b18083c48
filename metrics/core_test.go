package metrics

import (
	"fmt"
	"io"
	"log/slog"
	"math/rand/v2"
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	dto "github.com/prometheus/client_model/go"

	"sttwall/control"
	"sttwall/describe"
	"sttwall/eventlog"
	"sttwall/firewall"
	"sttwall/policy"
	"sttwall/stt"
)

const testRules = `
settings {
  endpoints = ["192.0.2.0/24"]
}
tenant "acme" {
  context_ids = [100]
  rule "no-telnet" {
    action   = "reject"
    services = ["tcp/23"]
  }
  rule "web" {
    action   = "accept"
    services = ["tcp/443", "udp/53"]
  }
}
tenant "globex" {
  context_ids = [200]
  mode        = "audit"
}
`

func compile(t testing.TB, rules string) *policy.Policy {
	t.Helper()
	p, diagnostics := policy.Load("test.hcl", []byte(rules))
	if p == nil {
		t.Fatal(diagnostics)
	}
	return p
}

// core is a firewall with one worker and without queues.
type core struct {
	shared *firewall.Shared
	worker *firewall.Firewall
	frames uint32
	out    firewall.Verdicts
}

func newCore(t testing.TB, rules string) *core {
	t.Helper()
	ids, err := firewall.NewFrameIDFilter(firewall.FrameIDConfig{Bits: 16})
	if err != nil {
		t.Fatal(err)
	}
	shared, err := firewall.NewShared(compile(t, rules), ids)
	if err != nil {
		t.Fatal(err)
	}
	c := &core{shared: shared}
	if c.worker, err = firewall.New(firewall.Config{Shared: shared, Random: rand.NewPCG(1, 2)}); err != nil {
		t.Fatal(err)
	}
	return c
}

func (c *core) Shared() *firewall.Shared { return c.shared }

func (c *core) Totals() (t firewall.Totals) {
	t.Add(c.worker.Counters())
	return t
}

func (c *core) Tallies() (rules, tenants map[string]firewall.Tally) {
	rules, tenants = map[string]firewall.Tally{}, map[string]firewall.Tally{}
	c.worker.Tallies(rules, tenants)
	return rules, tenants
}

// send has a described packet of a tenant decided.
func (c *core) send(t testing.TB, context uint64, text string) {
	t.Helper()
	d, err := describe.Parse(text)
	if err != nil {
		t.Fatal(err)
	}
	c.frames++
	path := stt.Path{
		Src: netip.MustParseAddr("192.0.2.1"), Dst: netip.MustParseAddr("192.0.2.2"),
		SrcPort: 40000, DstPort: stt.Port, TTL: 63, DontFragment: true,
	}
	h := stt.FrameHeader{ContextID: context, Flags: stt.FlagChecksumVerified}
	frame := append(make([]byte, stt.FrameHeaderLen), d.Data...)
	data := stt.AppendSegment(nil, &path, &stt.Piece{FrameID: c.frames, FrameLength: len(frame), Payload: frame, Header: &h})
	c.out.Reset()
	c.worker.Process(int64(time.Hour), &firewall.Packet{ID: 1, Data: data, Length: len(data)}, &c.out)
}

// sourceOf is a source in which nothing is missing.
func sourceOf(fw Running) Source {
	return Source{
		Firewall: fw, FailOpenOverload: true, HeldFor: 2 * time.Second,
		Queues: func() []control.QueueHealth {
			return []control.QueueHealth{
				{Number: 0, Waiting: 7, Length: 64, Packets: 100, Verdicts: 93, DroppedFull: 2, ReceiveBuffer: 4096},
				{Number: 1, Waiting: -1, Length: 64, Overruns: 3},
			}
		},
		Reassembly: func() control.ReassemblyHealth {
			return control.ReassemblyHealth{Frames: control.Gauge{Now: 3, Bound: 10}, Memory: control.Gauge{Now: 4096, Bound: 65536}}
		},
		Events: func() control.EventsHealth { return control.EventsHealth{Followers: 2, Lost: 5} },
		EventLog: func() eventlog.Counters {
			return eventlog.Counters{
				Lost: 3, LeftOut: map[string]uint64{"drop": 12},
				Targets: []eventlog.TargetCounters{{Target: "/var/log/sttwall/eve.json", Written: 70, Lost: 8, Errors: 2}, {Target: "syslog:local5"}},
			}
		},
		Elsewhere: func() []control.Drop {
			return []control.Drop{{Reason: "other_tunnel", Where: "table", Count: 11}, {Reason: "queue_full", Where: "queue", Count: 2}}
		},
		Table:       func() error { return nil },
		TableLosses: func() (uint64, uint64) { return 5, 3 },
		Temporary:   func() (int, int) { return 4, 1 },
	}
}

// newMetrics makes metrics whose registry checks what the collector says of itself.
func newMetrics(t testing.TB, c Config) *Metrics {
	t.Helper()
	c.Registry = prometheus.NewPedanticRegistry()
	c.Log = slog.New(slog.NewTextHandler(io.Discard, nil))
	if c.Version == "" {
		c.Version = "sttwall v9"
	}
	m, err := New(c)
	if err != nil {
		t.Fatal(err)
	}
	return m
}

// scraped are series by name and labels, as in `x{a="b"}`.
type scraped map[string]float64

func scrape(t testing.TB, m *Metrics) scraped {
	t.Helper()
	families, err := m.registry.Gather()
	if err != nil {
		t.Fatal(err)
	}
	all := make(scraped)
	for _, f := range families {
		for _, series := range f.Metric {
			if f.GetType() == dto.MetricType_SUMMARY || f.GetType() == dto.MetricType_HISTOGRAM {
				continue // of the Go runtime
			}
			all[seriesName(f.GetName(), series)] = series.GetCounter().GetValue() + series.GetGauge().GetValue()
		}
	}
	return all
}

func seriesName(name string, series *dto.Metric) string {
	var labels []string
	for _, l := range series.Label {
		labels = append(labels, fmt.Sprintf("%s=%q", l.GetName(), l.GetValue()))
	}
	if labels == nil {
		return name
	}
	return name + "{" + strings.Join(labels, ",") + "}"
}

// count returns how many series of a metric there are.
func (s scraped) count(metric string) (n int) {
	for name := range s {
		if before, _, _ := strings.Cut(name, "{"); before == metric {
			n++
		}
	}
	return n
}
