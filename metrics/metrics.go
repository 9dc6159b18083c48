package metrics

import (
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"

	"sttwall/control"
	"sttwall/eventlog"
	"sttwall/firewall"
)

// Bounds on labels, and what zero in [Config] means.
const (
	DefaultTenants = 200
	DefaultRules   = 1000
	// MaxListed bounds both in [Config].
	MaxListed = 100_000
)

// Config makes a [Metrics].
type Config struct {
	// Registry is where the metrics are registered; nil: one that New makes. It is
	// what /metrics shows.
	Registry *prometheus.Registry
	// Tenants and Rules are how many have series of their own, 1 to 100,000; 0 means
	// [DefaultTenants] and [DefaultRules]. The others are summed under [Others].
	Tenants, Rules int
	// Version is that of the program.
	Version string
	// Log is told of mistakes of the server's own. Required.
	Log *slog.Logger
	// Clock is the wall clock; nil means [time.Now].
	Clock func() time.Time
}

// Running is the firewall that is measured; nfq.Inline is one. Its methods may be
// called from any goroutine.
type Running interface {
	// Shared is what the workers have in common.
	Shared() *firewall.Shared
	// Tallies returns what all workers have counted together, by rule
	// ("tenant/rule") and by tenant.
	Tallies() (rules, tenants map[string]firewall.Tally)
	// Totals returns what all workers have counted together.
	Totals() firewall.Totals
}

// Source is where the numbers come from. Functions are called at a scrape, one at
// a time; what they return is not kept. Those that are nil have no metrics, or 0.
type Source struct {
	// Firewall is required.
	Firewall Running
	// FailOpenAbsent and FailOpenOverload: packets pass uninspected then.
	// FailOpenException: what rules accept passes although the flow table is full.
	FailOpenAbsent, FailOpenOverload, FailOpenException bool

	Queues     func() []control.QueueHealth
	Reassembly func() control.ReassemblyHealth
	Events     func() control.EventsHealth
	EventLog   func() eventlog.Counters
	// Elsewhere returns what was dropped before the firewall saw it.
	Elsewhere func() []control.Drop
	// Table returns an error when the table that feeds the queues is not there. nil:
	// the table is somebody else's.
	Table func() error
	// TableLosses returns how often that table was lost, and how often put in again.
	TableLosses func() (lost, restored uint64)
	// Temporary returns how many temporary rules there are, in force and not.
	Temporary func() (inForce, inactive int)
	// HeldFor is how long a packet may be held; it bounds when /healthz says that a
	// queue does not move.
	HeldFor time.Duration
}

// Metrics are the metrics of one firewall, and whether it is alive and ready.
type Metrics struct {
	config   Config
	registry *prometheus.Registry
	table    *table
	source   atomic.Pointer[Source] // nil before Watch
	unready  atomic.Pointer[string] // nil: ready

	reloads, failures atomic.Uint64
	reloadFailed      atomic.Bool  // the last one has
	reloaded          atomic.Int64 // ns; 0: never

	mu             sync.Mutex // of a scrape, and of what follows
	tenants, rules *listed
	progress       progress
}

// New registers the metrics. There is nothing to be measured yet: the firewall is not
// ready.
func New(c Config) (*Metrics, error) {
	for _, bound := range []struct {
		what  string
		n     *int
		usual int
	}{{"tenants", &c.Tenants, DefaultTenants}, {"rules", &c.Rules, DefaultRules}} {
		if *bound.n < 0 || *bound.n > MaxListed {
			return nil, fmt.Errorf("metrics: %d %s: want 1 to %d, or 0 for %d", *bound.n, bound.what, MaxListed, bound.usual)
		}
		if *bound.n == 0 {
			*bound.n = bound.usual
		}
	}
	if c.Log == nil {
		return nil, errors.New("metrics: no log")
	}
	if c.Registry == nil {
		c.Registry = prometheus.NewRegistry()
	}
	if c.Clock == nil {
		c.Clock = time.Now
	}
	m := &Metrics{config: c, registry: c.Registry, table: newTable(), tenants: newListed(c.Tenants), rules: newListed(c.Rules)}
	m.Starting("the firewall has not started yet")
	for _, collector := range []prometheus.Collector{
		(*collector)(m), collectors.NewGoCollector(), collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}),
	} {
		if err := c.Registry.Register(collector); err != nil {
			return nil, fmt.Errorf("metrics: %w", err)
		}
	}
	return m, nil
}

// Watch says what is measured from now on: once, and before [Metrics.Ready].
func (m *Metrics) Watch(s Source) {
	m.reloaded.Store(m.config.Clock().UnixNano())
	m.source.Store(&s)
}

// Starting says in words what is missing yet.
func (m *Metrics) Starting(why string) { m.unready.Store(&why) }

// Ready says that the queues are open, the table is there and the workers run.
func (m *Metrics) Ready() { m.unready.Store(nil) }

// Stopping says that the firewall takes no more packets.
func (m *Metrics) Stopping() {
	why := "the firewall is shutting down"
	m.unready.Store(&why)
}

// Reloaded counts a reload; err is why nothing has changed.
func (m *Metrics) Reloaded(err error) {
	m.reloadFailed.Store(err != nil)
	if err != nil {
		m.failures.Add(1)
		return
	}
	m.reloads.Add(1)
	m.reloaded.Store(m.config.Clock().UnixNano())
}
