package firewall

import (
	"fmt"
	"math/rand/v2"
	"net/netip"
	"sync"
	"testing"
	"time"

	"sttwall/describe"
	"sttwall/policy"
	"sttwall/reason"
	"sttwall/stt"
)

// Workers decide while the policy changes under them, to one with fewer rules and
// tenants in another order and back: no packet is ever decided by a rule that is
// not about it.
func TestThePolicyChangesUnderWorkers(t *testing.T) {
	const head = "settings {\n endpoints = [\"192.0.2.0/24\"]\n}\n"
	rule := func(port int) string {
		return fmt.Sprintf(" rule \"port-%d\" {\n action = \"accept\"\n services = [\"udp/%d\"]\n }\n", port, port)
	}
	policies := []*policy.Policy{
		compile(t, head+"tenant \"a\" {\n context_ids = [1]\n"+rule(1)+rule(2)+rule(3)+"}\ntenant \"b\" {\n context_ids = [2]\n"+rule(4)+"}\n"),
		compile(t, head+"tenant \"b\" {\n context_ids = [2]\n"+rule(4)+"}\ntenant \"a\" {\n context_ids = [1]\n"+rule(3)+"}\n"),
		compile(t, head+"tenant \"b\" {\n context_ids = [2]\n"+rule(4)+" }\n"),
	}
	shared, err := NewShared(policies[0], newFilter(t, FrameIDConfig{Bits: 20}))
	if err != nil {
		t.Fatal(err)
	}
	tenants := map[int]string{1: "a", 2: "a", 3: "a", 4: "b", 5: "a"}
	contexts := map[string]uint64{"a": 1, "b": 2}
	var workers sync.WaitGroup
	for w := range 3 {
		var wrong string
		var accepted int
		port := 0
		fw, err := New(Config{Shared: shared, Random: rand.NewPCG(uint64(w), 2), Observer: func(e *FrameEvent) {
			if e.Verdict != Accept {
				return
			}
			accepted++
			if want := fmt.Sprintf("%s/port-%d", tenants[port], port); e.Decision.Rule != want {
				wrong = fmt.Sprintf("port %d was accepted by %q", port, e.Decision.Rule)
			}
		}})
		if err != nil {
			t.Fatal(err)
		}
		workers.Go(func() {
			var out Verdicts
			r := rand.New(rand.NewPCG(uint64(w), 7))
			now := int64(time.Hour)
			for range 4000 {
				port = 1 + r.IntN(5)
				now += 1000
				fw.Process(now, udpPacket(t, contexts[tenants[port]], port, r.IntN(2) == 0), &out)
				out.Reset()
			}
			if wrong != "" || accepted == 0 {
				t.Errorf("worker %d: %d accepted; %s", w, accepted, wrong)
			}
		})
	}
	decided := make(chan struct{})
	go func() {
		workers.Wait()
		close(decided)
	}()
	for i := 0; ; i++ {
		select {
		case <-decided:
			return
		default:
		}
		shared.SetPolicy(policies[i%len(policies)])
		if i%5 == 0 {
			shared.Rejudge(int64(time.Hour))
		}
	}
}

// udpPacket is a packet of the flow of a port, or of its replies.
func udpPacket(t *testing.T, context uint64, port int, back bool) *Packet {
	text := fmt.Sprintf("udp 10.0.0.1:9 > 10.0.0.2:%d", port)
	p := path()
	if back {
		text = fmt.Sprintf("udp 10.0.0.2:%d > 10.0.0.1:9", port)
		p.Src, p.Dst = p.Dst, p.Src
	}
	d, err := describe.Parse(text)
	if err != nil {
		t.Error(err)
	}
	data := cut(p, 5, sttFrame(stt.FrameHeader{ContextID: context}, d.Data), 0)[0]
	return &Packet{ID: 1, Data: data, Length: len(data)}
}

// A time window that opens while another policy comes in force gives no number that
// is later than that policy's: Rejudge would take what the old rules accepted for
// accepted by later ones.
func TestGenerationsDoNotGoBack(t *testing.T) {
	p := compile(t, `
settings {
  endpoints = ["192.0.2.0/24"]
}
tenant "a" {
  context_ids = [1]
  rule "mornings" {
    action = "accept"
    time {
      from = "00:00"
      to   = "12:00"
    }
  }
}
`)
	shared, err := NewShared(p, newFilter(t, FrameIDConfig{Bits: 20}))
	if err != nil {
		t.Fatal(err)
	}
	var worker sync.WaitGroup
	stop := make(chan struct{})
	worker.Go(func() {
		var last uint32
		for i := int64(0); ; i++ {
			select {
			case <-stop:
				return
			default:
			}
			is := shared.look(int64(6+i%2*12)*int64(time.Hour) + i%2*int64(time.Second)).generation
			if int32(is-last) < 0 {
				t.Errorf("generation %d after %d", is, last)
				return
			}
			last = is
		}
	})
	for range 100_000 {
		shared.SetPolicy(p)
	}
	close(stop)
	worker.Wait()
}

// TestASourceIsAdmittedByTheEndpointsThatHold: not by those before a reload.
func TestASourceIsAdmittedByTheEndpointsThatHold(t *testing.T) {
	rules := func(endpoints string) string {
		return "settings {\n endpoints = [" + endpoints + "]\n}\ntenant \"t\" {\n context_ids = [100]\n rule \"all\" {\n action = \"accept\"\n }\n}\n"
	}
	frame := sttFrame(stt.FrameHeader{ContextID: 100}, innerARP(t)) // of no flow
	both, other := "\"192.0.2.1\", \"192.0.2.2\"", "\"192.0.2.2\""
	b := newBench(t, benchConfig{rules: rules(both)})
	from := func(last byte) []byte {
		p := path()
		p.Src = netip.AddrFrom4([4]byte{192, 0, 2, last})
		p.Dst = netip.AddrFrom4([4]byte{192, 0, 2, 3 - last})
		return cut(p, 5, frame, 0)[0]
	}
	for _, tt := range []struct {
		endpoints string
		first     reason.Reason
	}{{both, reason.None}, {other, reason.EndpointUnknown}, {both, reason.None}} {
		b.shared.SetPolicy(compile(t, rules(tt.endpoints)))
		for range 2 {
			b.one(tt.first, from(1))
			b.one(reason.None, from(2))
			b.one(reason.None, from(2))
		}
		b.one(tt.first, from(1)) // the last one before other endpoints hold
	}
}
