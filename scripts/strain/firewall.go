package main

import (
	"encoding/binary"
	"errors"
	"fmt"
	"math/rand/v2"
	"net/netip"
	"strings"
	"time"

	"sttwall/control"
	"sttwall/describe"
	"sttwall/firewall"
	"sttwall/nfq"
	"sttwall/policy"
	"sttwall/stt"
)

const (
	// endpoints is how many endpoints the flows come from: one alone may not fill the
	// table.
	endpoints = 5
	// innerSource is where the inner source address is in a packet.
	innerSource = 20 + stt.SegmentHeaderLen + stt.FrameHeaderLen + 14 + 12
)

// testee is a firewall without queues.
type testee struct {
	config  config
	shared  *firewall.Shared
	core    *firewall.Firewall
	feed    *control.Feed
	recent  *control.Recent
	since   firewall.Since
	clock   func() int64
	packets []firewall.Packet // a batch
	frames  [][]byte          // by endpoint, to be copied into packets
}

// Shared and what follows make it a [control.Running] and a [metrics.Running].
func (t *testee) Shared() *firewall.Shared { return t.shared }

func (t *testee) Now() int64 { return t.clock() }

func (t *testee) Since() (rules, tenants map[string]int64) { return t.since.Get() }

func (t *testee) Totals() (sum firewall.Totals) {
	sum.Add(t.core.Counters())
	return sum
}

func (t *testee) Tallies() (rules, tenants map[string]firewall.Tally) {
	rules, tenants = map[string]firewall.Tally{}, map[string]firewall.Tally{}
	t.core.Tallies(rules, tenants)
	return rules, tenants
}

func (t *testee) TenantTallies() map[string]firewall.Tally {
	tenants := map[string]firewall.Tally{}
	t.core.Tallies(nil, tenants)
	return tenants
}

// rulesOf writes as many rules, of which only the last of each tenant accepts what
// comes.
func rulesOf(c config) string {
	var text strings.Builder
	fmt.Fprintf(&text, "settings {\n endpoints = [\"192.0.2.0/24\"]\n flows = %d\n timeouts {\n udp = \"1h\"\n }\n}\n", c.flows+c.flows/16)
	for tenant := range c.tenants {
		fmt.Fprintf(&text, "tenant \"t%d\" {\n context_ids = [%d]\n", tenant, tenant)
		for i := range c.rules/c.tenants - 1 {
			fmt.Fprintf(&text, " rule \"r%d\" {\n  action = \"accept\"\n  source = [\"172.%d.%d.0/24\"]\n  destination = [\"172.16.%d.%d/32\"]\n  services = [\"tcp/%d\"]\n }\n",
				i, 16+i>>8&15, i&255, i>>8&255, i&255, 1000+i&1023)
		}
		text.WriteString(" rule \"flows\" {\n  action = \"accept\"\n  services = [\"udp/53\"]\n }\n}\n")
	}
	return text.String()
}

func compile(c config) (*policy.Policy, error) {
	p, found := policy.Load("strain.hcl", []byte(rulesOf(c)))
	if p == nil {
		return nil, found
	}
	return p, nil
}

func newFirewall(c config) (*testee, error) {
	p, err := compile(c)
	if err != nil {
		return nil, err
	}
	t := &testee{config: c, feed: new(control.Feed), recent: control.NewRecent(), clock: nfq.Clock()}
	ids, err := firewall.NewFrameIDFilter(firewall.FrameIDConfig{Start: t.clock()})
	if err != nil {
		return nil, err
	}
	if t.shared, err = firewall.NewShared(p, ids); err != nil {
		return nil, err
	}
	t.since.Put(t.clock(), p)
	var seed [32]byte
	if t.core, err = firewall.New(firewall.Config{Shared: t.shared, Random: rand.NewChaCha8(seed), Observer: func(e *firewall.FrameEvent) {
		t.feed.Observe(e)
		t.recent.Observe(e)
	}}); err != nil {
		return nil, err
	}
	d, err := describe.Parse("udp 10.0.0.1:4000 > 10.200.0.1:53 len 80")
	if err != nil {
		return nil, err
	}
	frame := append(make([]byte, stt.FrameHeaderLen), d.Data...)
	header := stt.FrameHeader{Flags: stt.FlagChecksumVerified}
	for i := range endpoints {
		path := stt.Path{Src: netip.AddrFrom4([4]byte{192, 0, 2, byte(1 + i)}), Dst: netip.MustParseAddr("192.0.2.100"), SrcPort: 40000, DstPort: stt.Port, TTL: 64, DontFragment: true}
		t.frames = append(t.frames, stt.AppendSegment(nil, &path, &stt.Piece{FrameID: 1, FrameLength: len(frame), Payload: frame, Header: &header}))
	}
	t.packets = make([]firewall.Packet, c.batch)
	for i := range t.packets {
		length := len(t.frames[0])
		t.packets[i] = firewall.Packet{ID: uint64(i), Data: make([]byte, length), Length: length, Checksum: firewall.ChecksumGood}
	}
	return t, nil
}

// aim makes packet i of the batch one of a flow.
func (t *testee) aim(i, flow int) {
	data := t.packets[i].Data
	copy(data, t.frames[flow%endpoints])
	binary.BigEndian.PutUint64(data[20+stt.SegmentHeaderLen+8:], uint64(flow%t.config.tenants))
	binary.BigEndian.PutUint32(data[innerSource:], uint32(10<<24+flow))
}

// fill has all flows begin.
func (t *testee) fill() error {
	var out firewall.Verdicts
	for from := 0; from < t.config.flows; from += len(t.packets) {
		n := min(len(t.packets), t.config.flows-from)
		for i := range n {
			t.aim(i, from+i)
		}
		out.Reset()
		t.core.ProcessBatch(t.clock(), t.packets[:n], &out)
		for _, v := range out.List {
			if v.Action != firewall.Accept {
				return errors.New("a flow is dropped that is meant to begin")
			}
		}
	}
	if n := t.shared.Flows().Stats().Flows; n != t.config.flows {
		return fmt.Errorf("%d flows, and %d were to begin", n, t.config.flows)
	}
	return nil
}

// decide takes a batch of packets of random flows through the core.
func (t *testee) decide(random *rand.Rand, out *firewall.Verdicts) {
	for i := range t.packets {
		t.aim(i, random.IntN(t.config.flows))
	}
	out.Reset()
	t.core.ProcessBatch(t.clock(), t.packets, out)
	t.core.Rest()
}

// settle gives what runs beside the worker time to begin.
const settle = 100 * time.Millisecond
