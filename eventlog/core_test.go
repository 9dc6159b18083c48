package eventlog

import (
	"context"
	"log/slog"
	"math/rand/v2"
	"net/netip"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"sttwall/describe"
	"sttwall/firewall"
	"sttwall/limit"
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
    services = ["tcp/443", "udp/53", "icmp/echo-request"]
    log      = true
  }
  rule "loud" {
    action   = "accept"
    state    = "stateless"
    services = ["udp/514"]
    log      = true
  }
}
tenant "globex" {
  context_ids = [200]
  mode        = "audit"
}
tenant "initech" {
  context_ids = [300]
  anti_spoof {
    learn = ["address"]
  }
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

// core is a firewall with one worker and without queues: its clock stands where a
// test puts it.
type core struct {
	shared *firewall.Shared
	worker *firewall.Firewall
	now    atomic.Int64

	mu     sync.Mutex // of the worker
	frames uint32
	out    firewall.Verdicts
}

func newCore(t testing.TB, rules string, observer func(*firewall.FrameEvent)) *core {
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
	c.now.Store(int64(1000 * time.Hour))
	if c.worker, err = firewall.New(firewall.Config{Shared: shared, Random: rand.NewPCG(1, 2), Observer: observer}); err != nil {
		t.Fatal(err)
	}
	return c
}

func (c *core) Shared() *firewall.Shared { return c.shared }
func (c *core) Now() int64               { return c.now.Load() }

func (c *core) Totals() (t firewall.Totals) {
	t.Add(c.worker.Counters())
	return t
}

func (c *core) Tallies() (rules, tenants map[string]firewall.Tally) {
	rules, tenants = map[string]firewall.Tally{}, map[string]firewall.Tally{}
	c.worker.Tallies(rules, tenants)
	return rules, tenants
}

// pass lets time go by.
func (c *core) pass(d time.Duration) { c.now.Add(int64(d)) }

// endpoints are those between which a described packet goes.
type endpoints struct{ src, dst netip.Addr }

var (
	endpointA, endpointB, endpointC = netip.MustParseAddr("192.0.2.1"), netip.MustParseAddr("192.0.2.2"), netip.MustParseAddr("192.0.2.3")

	there, back, elsewhere = endpoints{endpointA, endpointB}, endpoints{endpointB, endpointA}, endpoints{endpointC, endpointB}
)

// frame is a described packet as it comes out of the tunnel.
func (c *core) frame(t testing.TB, context uint64, text string, way endpoints) *firewall.Packet {
	t.Helper()
	d, err := describe.Parse(text)
	if err != nil {
		t.Fatal(err)
	}
	c.frames++
	path := stt.Path{Src: way.src, Dst: way.dst, SrcPort: 40000, DstPort: stt.Port, TTL: 63, DontFragment: true}
	h := stt.FrameHeader{ContextID: context, Flags: stt.FlagChecksumVerified}
	frame := append(make([]byte, stt.FrameHeaderLen), d.Data...)
	data := stt.AppendSegment(nil, &path, &stt.Piece{FrameID: c.frames, FrameLength: len(frame), Payload: frame, Header: &h})
	return &firewall.Packet{ID: 1, Data: data, Length: len(data)}
}

// send has a packet decided, and reports whether it left.
func (c *core) send(t testing.TB, context uint64, text string, way endpoints) bool {
	t.Helper()
	return c.process(c.frame(t, context, text, way))
}

func (c *core) process(p *firewall.Packet) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.out.Reset()
	c.worker.Process(c.now.Load(), p, &c.out)
	return len(c.out.List) == 1 && c.out.List[0].Action == firewall.Accept
}

// rate is so many events a second.
func rate(n uint64) limit.Rate { return limit.Rate{Events: n, Per: time.Second, Burst: n} }

// rig is a log and the firewall that it is about.
type rig struct {
	*Log
	*core
	stop  context.CancelFunc
	ended chan struct{}
}

// start runs a log of a firewall until the test ends, or [rig.end] is called.
func start(t testing.TB, rules string, c Config) *rig {
	t.Helper()
	if c.Log == nil {
		c.Log = slog.New(slog.DiscardHandler)
	}
	log, err := New(c.Slow())
	if err != nil {
		t.Fatal(err)
	}
	r := &rig{Log: log, core: newCore(t, rules, log.Observe), ended: make(chan struct{})}
	ctx, stop := context.WithCancel(context.Background())
	r.stop = stop
	go func() {
		defer close(r.ended)
		log.Run(ctx, r.core)
	}()
	t.Cleanup(r.end)
	return r
}

// end ends the log: all is written then.
func (r *rig) end() {
	r.stop()
	<-r.ended
}
