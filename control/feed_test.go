package control

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	"sttwall/firewall"
	"sttwall/policy"
)

// follow follows events until the test ends. What is told before it returns is
// not in them.
func follow(t *testing.T, c *Client) <-chan Event {
	t.Helper()
	return followSome(t, c, "")
}

// followSome follows the events that a filter selects.
func followSome(t *testing.T, c *Client, filter string) <-chan Event {
	t.Helper()
	events, err := begin(t, c, filter)
	if err != nil {
		t.Fatal(err)
	}
	return events
}

// begin is followSome for who can do without.
func begin(t *testing.T, c *Client, filter string) (<-chan Event, error) {
	t.Helper()
	ctx, stop := context.WithCancel(context.Background())
	events, ended := make(chan Event, 1<<16), make(chan error, 1)
	response, err := c.ask(ctx, http.MethodGet, eventsPath(filter), nil)
	if err != nil {
		stop()
		return nil, err
	}
	go func() {
		ended <- readEvents(ctx, response, func(e *Event) error { events <- *e; return nil })
		close(events)
	}()
	t.Cleanup(func() {
		stop()
		if err := <-ended; !errors.Is(err, context.Canceled) {
			t.Errorf("the stream ended: %v", err)
		}
	})
	return events, nil
}

func TestEventsTellWhatIsDroppedBeginsOrIsLogged(t *testing.T) {
	fw := newCore(t, testRules+`tenant "initech" {
  context_ids = [300]
  rule "quiet" {
    action   = "accept"
    services = ["udp/53"]
  }
  rule "loud" {
    action   = "accept"
    state    = "stateless"
    services = ["udp/54"]
    log      = true
  }
}
`)
	events := follow(t, serve(t, Config{Firewall: fw}).dial(t))
	fw.send(t, 100, "udp 10.0.0.1:9 > 10.0.0.2:53", false)
	fw.send(t, 100, "udp 10.0.0.2:53 > 10.0.0.1:9", true) // by its flow: no event
	fw.send(t, 100, "udp 10.0.0.1:9 > 10.0.0.2:54", false)
	fw.send(t, 100, "tcp 10.0.0.1:9 > 10.0.0.2:23 syn", false)
	fw.send(t, 200, "icmp 10.0.0.1 > 10.0.0.2 echo-request", false)
	fw.send(t, 200, "icmp 10.0.0.1 > 10.0.0.2 echo-request", false)
	fw.send(t, 300, "udp 10.0.0.1:9 > 10.0.0.2:53", false)
	fw.send(t, 300, "udp 10.0.0.1:9 > 10.0.0.2:54", false)
	broken := fw.frame(t, 100, "arp request 10.0.0.1 > 10.0.0.2", false)
	broken.Data[len(broken.Data)-1] ^= 1
	fw.process(broken)
	fw.feed.Tell(&Event{Type: EventReload, Time: time.Now(), Tenants: 2, Rules: 2, FlowsEnded: 1})
	for i, want := range []string{
		"flow acme acme/web   true true udp 53",
		"drop acme  tenant_default  false false udp 54",
		"reject acme acme/no-telnet rule_reject  false false tcp 23",
		"would_drop globex  tenant_default drop true false icmp type 8",
		"would_drop globex  tenant_default drop false false icmp type 8",
		"flow initech initech/quiet   true false udp 53",
		"accept initech initech/loud   false true udp 54",
		"drop   segment_checksum  false false  ",
		"reload     false false  ",
	} {
		e := <-events
		last := ""
		if e.DstPort != nil {
			last = fmt.Sprint(*e.DstPort)
		}
		if e.ICMPType != nil {
			last = fmt.Sprint("type ", *e.ICMPType)
		}
		got := strings.Join([]string{e.Type, e.Tenant, e.Rule, e.Reason, e.WouldBe, fmt.Sprint(e.Begins), fmt.Sprint(e.Logged), e.Protocol, last}, " ")
		if got != want {
			t.Errorf("event %d: got %q, want %q", i, got, want)
		}
		if e.Type != EventReload && (e.From != endpointA || e.To != endpointB || e.Bytes == 0 || time.Since(e.Time).Abs() > time.Hour) {
			t.Errorf("event %d: %+v", i, e)
		}
		if (e.Context != nil) != (e.Type != EventReload && e.Reason != "segment_checksum") {
			t.Errorf("event %d: context %v", i, e.Context)
		}
	}
}

func TestASlowReaderLosesEventsAndIsTold(t *testing.T) {
	fw := newCore(t, testRules)
	s := serve(t, Config{Firewall: fw})
	response, err := s.dial(t).ask(context.Background(), http.MethodGet, "/v1/events", nil)
	if err != nil {
		t.Fatal(err)
	}
	defer response.Body.Close()
	// Far more than the ring and the socket's buffers hold, and nobody reads.
	const sent = 20 * ringSize
	packet := fw.frame(t, 100, "udp 10.0.0.1:9 > 10.0.0.2:54", false)
	for range sent {
		fw.process(packet)
	}
	fw.feed.Tell(&Event{Type: EventReload}) // perhaps lost too
	var got, lost uint64
	err = readEvents(context.Background(), response, func(e *Event) error {
		switch e.Type {
		case EventDrop, EventReload:
			got++
		case EventLost:
			lost += e.Count
		}
		if got+lost == sent+1 {
			return context.Canceled
		}
		return nil
	})
	if !errors.Is(err, context.Canceled) || lost == 0 || got < ringSize {
		t.Errorf("%d told, %d lost, %v", got, lost, err)
	}
}

func TestAStreamOutlivesTheTimeoutsOfOtherCalls(t *testing.T) {
	fw := newCore(t, testRules)
	timeout := 50 * time.Millisecond
	var events <-chan Event
	for { // until even a busy machine asks within it
		s := serve(t, Config{Firewall: fw}, func(s *Server) {
			s.http.ReadTimeout, s.http.WriteTimeout, s.http.IdleTimeout = timeout, timeout, timeout
		})
		var err error
		if events, err = begin(t, s.dial(t), ""); err == nil {
			break
		}
		if timeout *= 2; timeout > time.Minute {
			t.Fatal(err)
		}
	}
	for begun := time.Now(); time.Since(begun) < 3*timeout; {
		fw.feed.Tell(&Event{Type: EventReload})
		if e, ok := <-events; !ok || e.Type != EventReload {
			t.Fatalf("%+v", e)
		}
	}
}

func TestSubscribersAreBoundedAndReadersLeaveRoom(t *testing.T) {
	var f Feed
	var leave []func()
	count := func(reader bool) (n int) {
		for {
			r, l := f.subscribe(reader)
			if r == nil {
				return n
			}
			leave = append(leave, l)
			n++
		}
	}
	if n := count(true); n != maxReadingSubscribers {
		t.Errorf("%d readers, want %d", n, maxReadingSubscribers)
	}
	if n := count(false); n != maxSubscribers-maxReadingSubscribers {
		t.Errorf("%d others, want %d", n, maxSubscribers-maxReadingSubscribers)
	}
	for _, l := range leave {
		l()
	}
	if f.rings.Load() != nil || f.readers != 0 {
		t.Error("all have left, and there are some")
	}
}

func TestAFilterSelectsEvents(t *testing.T) {
	fw := newCore(t, testRules)
	c := serve(t, Config{Firewall: fw}).dial(t)
	port := 1000
	for filter, want := range map[string][]string{
		"":                                   {"flow", "drop", "reject", "would_drop", "drop", "reload"},
		"not tenant:acme":                    {"would_drop", "drop", "reload"},
		"reject or audit":                    {"reject", "would_drop"},
		"reason:tenant_default":              {"drop", "would_drop"},
		"context:0x64 vlan:7":                {"drop"},
		"port:53 from:" + endpointA.String(): {"flow"},
		"ethertype:0x0806":                   {"drop"},
		"event:reload":                       {"reload"},
		"packets:1 bytes:>=60":               {"flow", "drop", "reject", "would_drop", "drop"},
	} {
		events := followSome(t, c, filter)
		port++ // or it would not begin a flow again
		fw.send(t, 100, fmt.Sprintf("udp 10.0.0.1:%d > 10.0.0.2:53", port), false)
		fw.send(t, 100, "udp 10.0.0.1:9 > 10.0.0.2:54 vlan 7", false)
		fw.send(t, 100, "tcp 10.0.0.1:9 > 10.0.0.2:23 syn", false)
		fw.send(t, 200, "icmp 10.0.0.1 > 10.0.0.2 echo-request", false)
		fw.send(t, 999, "arp request 10.0.0.1 > 10.0.0.2", false)
		fw.feed.Tell(&Event{Type: EventReload, Time: time.Now()})
		for _, w := range want {
			if e := <-events; e.Type != w {
				t.Errorf("%q: got %+v, want %s", filter, e, w)
			}
		}
	}
	if _, err := c.ask(context.Background(), http.MethodGet, eventsPath("drpo"), nil); err == nil || !strings.Contains(err.Error(), "filter: column 1: ") {
		t.Errorf("a wrong one: %v", err)
	}
}

func TestTooManyWhoFollowAreTold(t *testing.T) {
	s := serve(t, Config{})
	for range maxSubscribers {
		follow(t, s.dial(t))
	}
	err := s.dial(t).Events(context.Background(), "", func(*Event) error { return nil })
	if err == nil || !strings.Contains(err.Error(), "too many who follow events") {
		t.Errorf("got %v", err)
	}
}

func TestTheRingKeepsOrderAndLosesNothingUnseen(t *testing.T) {
	r := newRing()
	const producers, each = 4, 20000
	var running sync.WaitGroup
	for p := range producers {
		running.Go(func() {
			for i := range each {
				if i%3 == 0 {
					r.put(nil, &Event{Tenants: p, Rules: i})
				} else {
					r.put(&firewall.FrameEvent{Segments: p, FrameLength: i, InnerData: []byte("borrowed")}, nil)
				}
			}
		})
	}
	done, stop := context.WithCancel(context.Background())
	go func() {
		running.Wait()
		stop()
	}()
	last := [producers]int{-1, -1, -1, -1}
	seen := uint64(0)
	drain := func() {
		for r.take(func(f *firewall.FrameEvent, told *Event) {
			p, i := 0, 0
			if told != nil {
				p, i = told.Tenants, told.Rules
			} else {
				p, i = f.Segments, f.FrameLength
				if f.InnerData != nil {
					t.Error("it keeps what was borrowed")
				}
			}
			if (told != nil) != (i%3 == 0) || i <= last[p] {
				t.Errorf("producer %d: %d after %d", p, i, last[p])
			}
			last[p] = i
			seen++
		}) {
		}
	}
	for r.Wait(done) == nil {
		drain()
	}
	drain()
	if lost := r.Lost(); seen+lost != producers*each {
		t.Errorf("%d seen, %d lost, want %d together", seen, lost, producers*each)
	}
}

func TestAFullRingTakesNothingMore(t *testing.T) {
	r := newRing()
	for i := range ringSize + 3 {
		r.put(&firewall.FrameEvent{FrameLength: i}, nil)
	}
	if n := r.Lost(); n != 3 {
		t.Errorf("%d lost, want 3", n)
	}
	n := 0
	for r.take(func(f *firewall.FrameEvent, _ *Event) {
		if f.FrameLength != n {
			t.Errorf("got %d, want %d", f.FrameLength, n)
		}
		n++
	}) {
	}
	if n != ringSize {
		t.Errorf("%d taken, want %d", n, ringSize)
	}
}

// What a worker pays for a frame that is told to nobody, to one who reads, and to
// one who does not.
func TestTellingAllocatesNothing(t *testing.T) {
	fw := newCore(t, testRules)
	packet := fw.frame(t, 100, "udp 10.0.0.1:9 > 10.0.0.2:54", false)
	for range 3 {
		fw.process(packet)
	}
	measure := func(name string) {
		t.Helper()
		if n := testing.AllocsPerRun(3*ringSize, func() { fw.process(packet) }); n != 0 {
			t.Errorf("%s: %v allocations", name, n)
		}
	}
	measure("nobody follows")
	r, leave := fw.feed.subscribe(false)
	_, leaveToo := fw.feed.subscribe(true)
	measure("two follow, and none reads")
	if r.Lost() == 0 {
		t.Error("nothing was lost: the ring was never full")
	}
	leave()
	leaveToo()
}

func BenchmarkObserve(b *testing.B) {
	e := &firewall.FrameEvent{Verdict: firewall.Accept, Decision: policy.Decision{Log: true}}
	for _, n := range []int{0, 1, 4} {
		b.Run(fmt.Sprintf("subscribers=%d", n), func(b *testing.B) {
			var f Feed
			for range n {
				r, leave := f.subscribe(false)
				defer leave()
				ctx, stop := context.WithCancel(context.Background())
				defer stop()
				go func() {
					for r.Wait(ctx) == nil {
						for r.take(func(*firewall.FrameEvent, *Event) {}) {
						}
					}
				}()
			}
			b.ReportAllocs()
			for b.Loop() {
				f.Observe(e)
			}
		})
	}
}
