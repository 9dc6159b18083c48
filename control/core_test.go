package control

import (
	"math/rand/v2"
	"net/netip"
	"testing"
	"time"

	"sttwall/describe"
	"sttwall/firewall"
	"sttwall/policy"
	"sttwall/stt"
	"sttwall/tap"
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

var (
	endpointA, endpointB = netip.MustParseAddr("192.0.2.1"), netip.MustParseAddr("192.0.2.2")
)

// core is a firewall with one worker and without queues: its clock stands where a
// test puts it.
type core struct {
	shared *firewall.Shared
	worker *tap.Core
	taps   *tap.Taps
	feed   *Feed
	also   func(*firewall.FrameEvent) // is told of frames too, if not nil
	since  firewall.Since
	now    int64

	frames uint32
	out    firewall.Verdicts
}

func (c *core) Shared() *firewall.Shared { return c.shared }
func (c *core) Now() int64               { return c.now }

func (c *core) Totals() (t firewall.Totals) {
	t.Add(c.worker.Counters())
	return t
}

func (c *core) Tallies() (rules, tenants map[string]firewall.Tally) {
	rules, tenants = map[string]firewall.Tally{}, map[string]firewall.Tally{}
	c.worker.Tallies(rules, tenants)
	return rules, tenants
}

func (c *core) TenantTallies() map[string]firewall.Tally {
	tenants := map[string]firewall.Tally{}
	c.worker.Tallies(nil, tenants)
	return tenants
}

func (c *core) Since() (rules, tenants map[string]int64) { return c.since.Get() }

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
	c := &core{shared: shared, feed: new(Feed), taps: new(tap.Taps), now: int64(1000 * time.Hour)}
	c.put(c.shared.Policy())
	worker, err := firewall.New(firewall.Config{Shared: shared, Random: rand.NewPCG(1, 2), Observer: c.observe})
	if err != nil {
		t.Fatal(err)
	}
	c.worker = c.taps.Wrap(worker)
	return c
}

func (c *core) observe(e *firewall.FrameEvent) {
	c.feed.Observe(e)
	c.taps.Observe(e)
	if c.also != nil {
		c.also(e)
	}
}

func (c *core) put(p *policy.Policy) { c.since.Put(c.now, p) }

// reload puts other rules in force.
func (c *core) reload(t testing.TB, rules string) int {
	t.Helper()
	p := compile(t, rules)
	c.shared.SetPolicy(p)
	c.put(p)
	return c.shared.Rejudge(c.now)
}

// frame is a described packet as it comes out of the tunnel, from one endpoint to the
// other.
func (c *core) frame(t testing.TB, context uint64, text string, back bool) *firewall.Packet {
	t.Helper()
	d, err := describe.Parse(text)
	if err != nil {
		t.Fatal(err)
	}
	c.frames++
	path := stt.Path{Src: endpointA, Dst: endpointB, SrcPort: 40000, DstPort: stt.Port, TTL: 63, DontFragment: true}
	if back {
		path.Src, path.Dst = endpointB, endpointA
	}
	h := stt.FrameHeader{ContextID: context, Flags: stt.FlagChecksumVerified}
	frame := append(make([]byte, stt.FrameHeaderLen), d.Data...)
	data := stt.AppendSegment(nil, &path, &stt.Piece{FrameID: c.frames, FrameLength: len(frame), Payload: frame, Header: &h})
	return &firewall.Packet{ID: 1, Data: data, Length: len(data)}
}

// send has a packet decided, and reports whether it left.
func (c *core) send(t testing.TB, context uint64, text string, back bool) bool {
	t.Helper()
	return c.process(c.frame(t, context, text, back))
}

func (c *core) process(p *firewall.Packet) bool {
	c.out.Reset()
	c.worker.Process(c.now, p, &c.out)
	return len(c.out.List) == 1 && c.out.List[0].Action == firewall.Accept
}
