package tui

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"sync"
	"time"

	"sttwall/control"
	"sttwall/filter"
)

// start is when the fake firewall started, and fakeNow what the clock says.
var (
	start   = time.Date(2026, 3, 14, 15, 0, 0, 0, time.UTC)
	fakeNow = start.Add(9*time.Minute + 26*time.Second)
)

// fake is a firewall that answers what its fields say. It is asked from goroutines.
type fake struct {
	mu  sync.Mutex
	err error // of every call, if not nil
	// flowsErr is that of Flows, reloaded and reloadErr what Reload returns.
	flowsErr  error
	framesErr error  // of Frames
	ruleText  string // of Rule; "": one
	reloaded  control.Reloaded
	reloadErr error
	status    control.Status
	flows     []control.Flow
	tenants   []control.TenantHits
	rules     []control.RuleHits
	drops     []control.Drop
	recent    control.RecentDrops
	health    control.Health
	history   control.History
	frames    []control.Frame // what Frames streams before it waits
	explain   control.Explanation
	remedy    control.Remedy
	// asked counts the calls by their name.
	asked map[string]int
}

func (f *fake) call(name string) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.asked == nil {
		f.asked = make(map[string]int)
	}
	f.asked[name]++
	return f.err
}

func (f *fake) Status(context.Context) (control.Status, error) {
	return f.status, f.call("status")
}
func (f *fake) History(context.Context) (control.History, error) {
	return f.history, f.call("history")
}
func (f *fake) Health(context.Context) (control.Health, error) { return f.health, f.call("health") }
func (f *fake) Tenants(context.Context) ([]control.TenantHits, error) {
	return slices.Clone(f.tenants), f.call("tenants")
}
func (f *fake) Rules(context.Context) ([]control.RuleHits, error) {
	return slices.Clone(f.rules), f.call("rules")
}
func (f *fake) Rule(_ context.Context, name string) (control.RuleHits, error) {
	if err := f.call("rule"); err != nil {
		return control.RuleHits{}, err
	}
	for _, r := range f.rules {
		if r.Rule == name {
			_, short, _ := strings.Cut(name, "/")
			r.Text = fmt.Sprintf("rule %q {\n    action   = \"accept\"\n    services = [\"tcp/443\"]\n  }", short)
			r.Text = cmp.Or(f.ruleText, r.Text)
			return r, nil
		}
	}
	return control.RuleHits{}, &control.Error{Code: 404, Message: "there is no rule " + name}
}
func (f *fake) Drops(context.Context) ([]control.Drop, error) {
	return slices.Clone(f.drops), f.call("drops")
}

// RecentDrops filters and cuts in the plainest way.
func (f *fake) RecentDrops(_ context.Context, q control.FrameQuery) (out control.RecentDrops, err error) {
	if err := f.call("recent"); err != nil {
		return out, err
	}
	selects, err := filter.Parse(q.Filter)
	if err != nil {
		return out, err
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	out.Skipped = f.recent.Skipped
	for i := range f.recent.Frames {
		if frame := &f.recent.Frames[i]; frame.Seq > q.After && selects.Match(recordOfFrame(frame)) {
			out.Frames = append(out.Frames, *frame)
		}
	}
	out.Frames = out.Frames[max(0, len(out.Frames)-cmp.Or(q.Limit, control.DefaultRecent)):]
	return out, nil
}

func recordOfFrame(f *control.Frame) *filter.Record {
	r := &filter.Record{
		Verdict: f.Verdict, Tenant: f.Tenant, Rule: f.Rule, Reason: f.Reason,
		Protocol: map[string]int{"tcp": 6, "udp": 17, "icmp": 1}[f.Protocol], EtherType: -1, Src: f.Src, Dst: f.Dst, SrcPort: -1, DstPort: -1,
		From: f.From, To: f.To, Age: -1,
	}
	if f.Inner.SrcPort != nil {
		r.SrcPort, r.DstPort = int(*f.Inner.SrcPort), int(*f.DstPort)
	}
	return r
}
func (f *fake) Explain(context.Context, control.ExplainRequest) (control.Explanation, error) {
	return f.explain, f.call("explain")
}
func (f *fake) Remedy(context.Context, control.RemedyRequest) (control.Remedy, error) {
	return f.remedy, f.call("remedy")
}
func (f *fake) Reload(context.Context) (control.Reloaded, error) {
	if err := f.call("reload"); err != nil {
		return control.Reloaded{}, err
	}
	return f.reloaded, f.reloadErr
}

func (f *fake) Frames(ctx context.Context, _ control.FrameQuery, each func(*control.Frame) error, _ func(uint64)) error {
	if err := f.call("frames"); err != nil || f.framesErr != nil {
		return cmp.Or(err, f.framesErr)
	}
	for i := range f.frames {
		if err := each(&f.frames[i]); err != nil {
			return err
		}
	}
	<-ctx.Done()
	return ctx.Err()
}

// Flows sorts, filters and cuts pages in the plainest way.
func (f *fake) Flows(_ context.Context, q control.FlowQuery) (page control.FlowPage, err error) {
	if err := f.call("flows"); err != nil || f.flowsErr != nil {
		return page, errors.Join(err, f.flowsErr)
	}
	page.Time = fakeNow
	if len(q.IDs) > 0 {
		for _, id := range q.IDs {
			if i := slices.IndexFunc(f.flows, func(one control.Flow) bool { return one.ID == id }); i >= 0 {
				page.Flows = append(page.Flows, f.flows[i])
			}
		}
		return page, nil
	}
	selects, err := filter.Parse(q.Filter)
	if err != nil {
		return page, err
	}
	var all []control.Flow
	for i := range f.flows {
		if flow := &f.flows[i]; selects.Match(recordOf(flow)) {
			all = append(all, *flow)
		}
	}
	less := map[string]func(a, b *control.Flow) int{
		"rate":   func(a, b *control.Flow) int { return cmp.Compare(bothRates(a).Bytes, bothRates(b).Bytes) },
		"tenant": func(a, b *control.Flow) int { return strings.Compare(a.Tenant, b.Tenant) },
		"src":    func(a, b *control.Flow) int { return a.Src.Compare(b.Src) },
		"bytes": func(a, b *control.Flow) int {
			return cmp.Compare(a.Original.Bytes+a.Reply.Bytes, b.Original.Bytes+b.Reply.Bytes)
		},
	}[q.Sort]
	if less == nil {
		less = func(a, b *control.Flow) int { return strings.Compare(a.ID, b.ID) }
	}
	slices.SortStableFunc(all, func(a, b control.Flow) int {
		if q.Descending {
			return less(&b, &a)
		}
		return less(&a, &b)
	})
	page.Time, page.Matched = fakeNow, len(all)
	if q.Find != "" {
		if i := slices.IndexFunc(all, func(f control.Flow) bool { return f.ID == q.Find }); i >= 0 {
			page.Position = &i
		}
	}
	from := min(q.Offset, len(all))
	page.Flows = slices.Clone(all[from:min(len(all), from+cmp.Or(q.Limit, control.DefaultFlows))])
	return page, nil
}

func recordOf(f *control.Flow) *filter.Record {
	r := &filter.Record{
		Verdict: flowVerdict(f), Tenant: f.Tenant, Rule: f.Rule, Reason: f.Reason, State: f.State,
		Protocol: map[string]int{"tcp": 6, "udp": 17, "icmp": 1}[f.Protocol], EtherType: 0x800, Src: f.Src, Dst: f.Dst, SrcPort: -1, DstPort: -1,
		From: f.From, To: f.To, Contexts: [2]uint64{uint64(f.Context)}, HasContext: [2]bool{true},
		Bytes: f.Original.Bytes + f.Reply.Bytes, Packets: f.Original.Packets + f.Reply.Packets, Age: fakeNow.Sub(f.Begun),
	}
	if f.SrcPort != nil {
		r.SrcPort, r.DstPort = int(*f.SrcPort), int(*f.DstPort)
	}
	return r
}

var errAway = errors.New("no sttwall listens on control.sock: is it running, and with this --control?")

// newFake is a firewall with a little of everything.
func newFake() *fake {
	f := &fake{status: control.Status{
		Version: "v1", PID: 4711, Started: start, Rules: "rules.hcl", Generation: 1, Tenants: 3, RuleCount: 5,
		Totals: control.Totals{Packets: 1_204_000, Bytes: 1_900_000_000, PacketsAccepted: 1_200_000, FramesAccepted: 800_000, FramesDropped: 3_100, FramesAudited: 200},
	}}
	ago := func(d time.Duration) *time.Time {
		t := fakeNow.Add(-d)
		return &t
	}
	at := fakeNow.Add(-90 * time.Second)
	flow := func(id, tenant, verdict, protocol, src, dst, state, rule string, context uint64, out, in float64) {
		s, d := netip.MustParseAddrPort(src), netip.MustParseAddrPort(dst)
		sport, dport := s.Port(), d.Port()
		c := control.Flow{
			ID: id, Tenant: tenant, Context: control.ContextID(context), State: state, Verdict: verdict, Rule: rule,
			Inner: control.Inner{Protocol: protocol, Src: s.Addr(), Dst: d.Addr(), SrcPort: &sport, DstPort: &dport},
			From:  netip.MustParseAddr("192.0.2.10"), To: netip.MustParseAddr("192.0.2.20"),
			Original:     control.Traffic{Packets: uint64(out), Bytes: uint64(out * 900)},
			Reply:        control.Traffic{Packets: uint64(in), Bytes: uint64(in * 1200)},
			OriginalRate: &control.Rate{Packets: out / 90, Bytes: out * 10}, ReplyRate: &control.Rate{Packets: in / 90, Bytes: in * 13},
			Begun: at, Last: fakeNow.Add(-time.Second), Expires: fakeNow.Add(119 * time.Second),
		}
		if protocol == "icmp" {
			kind := uint8(8)
			c.ICMPID, c.ICMPType, c.SrcPort, c.DstPort = &sport, &kind, nil, nil
		}
		if verdict == "audit" {
			c.Verdict, c.WouldBe, c.Reason = "accept", "drop", "tenant_default"
		}
		f.flows = append(f.flows, c)
	}
	flow("a1", "acme", "accept", "tcp", "10.1.0.7:40122", "10.1.0.10:443", "established", "acme/web", 100, 1200, 90_000)
	flow("a2", "acme", "accept", "udp", "10.1.0.7:53111", "10.1.0.53:53", "replied", "acme/dns", 100, 40, 40)
	flow("a3", "acme", "accept", "tcp", "[2001:db8:1::7]:50122", "[2001:db8:1::10]:443", "established", "acme/web", 100, 300, 2000)
	flow("g1", "globex", "accept", "tcp", "10.1.0.7:45500", "10.1.0.10:5201", "established", "globex/bulk", 0x1000, 400_000, 9000)
	flow("g2", "globex", "accept", "icmp", "10.1.0.8:77", "10.1.0.10:8", "replied", "globex/ping", 0x1000, 9, 9)
	flow("i1", "initech", "audit", "tcp", "10.9.0.4:33333", "10.9.0.5:8080", "syn_sent", "", 0x0000_0300_0400_0007, 12, 0)
	f.status.Flows = len(f.flows)
	hits := func(frames, bytes, flows, dropped, audited uint64) control.Hits {
		return control.Hits{Frames: frames, Bytes: bytes, Flows: flows, Dropped: dropped, Audited: audited, First: &start, Last: ago(2 * time.Second)}
	}
	f.tenants = []control.TenantHits{
		{Tenant: "acme", FlowsNow: 3, Hits: hits(93_580, 120_000_000, 61, 1_200, 0)},
		{Tenant: "globex", FlowsNow: 2, HalfOpen: 1, Hits: hits(409_018, 1_400_000_000, 12, 1_900, 0)},
		{Tenant: "initech", Audit: true, FlowsNow: 1, Hits: hits(12, 9_000, 1, 0, 200)},
	}
	f.rules = []control.RuleHits{
		{Rule: "acme/web", File: "/etc/sttwall/rules.hcl", Line: 22, Hits: hits(93_000, 119_000_000, 40, 0, 0)},
		{Rule: "acme/dns", File: "/etc/sttwall/rules.hcl", Line: 31, Hits: hits(580, 1_000_000, 21, 0, 0)},
		{Rule: "acme/ssh", File: "/etc/sttwall/rules.hcl", Line: 38, Hits: control.Hits{UnusedSince: &start}},
		{Rule: "globex/bulk", File: "/etc/sttwall/rules.hcl", Line: 52, Hits: hits(409_000, 1_399_000_000, 8, 0, 0)},
		{Rule: "globex/ping", File: "/etc/sttwall/rules.hcl", Line: 60, Hits: hits(18, 2_000, 4, 0, 0)},
	}
	f.drops = []control.Drop{
		{Reason: "tenant_default", Count: 3_000, Bytes: 240_000, First: &start, Last: ago(time.Second), Where: "firewall", Meaning: "no rule matched", Remedy: "add a rule"},
		{Reason: "l4_offset", Count: 100, Bytes: 9_000, First: &start, Last: ago(8 * time.Second), Where: "firewall", Meaning: "the L4 offset lies", Remedy: "look at the sender"},
	}
	f.frames = newFrames(&f.flows[0])
	return f
}

// many makes n flows.
func (f *fake) many(n int) *fake {
	like := f.flows[0]
	f.flows = make([]control.Flow, n)
	for i := range f.flows {
		c := like
		port := uint16(i)
		c.ID, c.SrcPort = fmt.Sprintf("m%06d", i), &port
		c.Src = netip.AddrFrom4([4]byte{10, 2, byte(i >> 8), byte(i)})
		c.OriginalRate, c.ReplyRate = &control.Rate{Bytes: float64(n - i)}, nil
		f.flows[i] = c
	}
	f.status.Flows = n
	return f
}
