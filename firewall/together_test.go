package firewall

import (
	"fmt"
	"math/rand/v2"
	"net/netip"
	"sync"
	"testing"
	"time"

	"sttwall/binding"
	"sttwall/conntrack"
	"sttwall/describe"
	"sttwall/inspect"
	"sttwall/policy"
	"sttwall/reason"
	"sttwall/reassembly"
	"sttwall/stt"
)

// togetherRules have anti-spoofing, limits, rules for later fragments, time
// windows, two layouts and audit mode. The variant moves rules and tenants.
func togetherRules(variant int) string {
	tenants := []string{`
tenant "soft" {
  context_ids = [100]
  anti_spoof {
    learn      = ["address", "mac"]
    move_after = "2ms"
  }
  limits {
    flows            = 40
    flows_per_source = 20
    half_open        = 5
  }
  rule "web" {
    action   = "accept"
    services = ["tcp/80", "udp/53", "icmp/echo-request"]
  }
  rule "ident" {
    action   = "reject"
    services = ["udp/113"]
  }
}
`, `
tenant "ovn" {
  context_layout = "ovn"
  datapaths      = [7]
  anti_spoof {
    learn = ["address", "mac", "ingress_port"]
    binding "one" {
      endpoints = ["192.0.2.1", "192.0.2.2"]
      addresses = ["10.0.0.1"]
    }
  }
  rule "some" {
    action   = "accept"
    services = ["udp"]
    limit {
      rate = "1000/s"
    }
    time {
      days = ["mon-fri"]
    }
  }
  rule "pieces" {
    action   = "accept"
    fragment = ["later"]
    limit {
      rate = "100/s"
      over = "next"
    }
  }
}
`, `
tenant "trial" {
  context_ids = [300]
  mode        = "audit"
  pairing     = "tenant"
  rule "web" {
    action   = "accept"
    services = ["tcp/80"]
    set {
      dscp = "af21"
    }
  }
}
`}
	rules := "settings {\n  endpoints = [\"192.0.2.0/24\"]\n  flows = 64\n  bindings = 32\n}\n"
	for i := range tenants {
		if n := (i + variant) % 3; n != 2 || variant%2 == 0 {
			rules += tenants[n]
		}
	}
	return rules
}

func TestEverythingChangesUnderWorkers(t *testing.T) {
	seed := uint64(time.Now().UnixNano())
	t.Logf("seed %d", seed)
	var policies []*policy.Policy
	for i := range 4 {
		policies = append(policies, compile(t, togetherRules(i)))
	}
	shared, err := NewShared(policies[0], newFilter(t, FrameIDConfig{Bits: 16}))
	if err != nil {
		t.Fatal(err)
	}
	contexts := []uint64{100, 300, 1<<40 | 2<<24 | 7, 2<<40 | 1<<24 | 7, 999}
	random := func(r *rand.Rand) (context uint64, inner []byte, from, to netip.Addr) {
		ends := []netip.Addr{endpointA, endpointB, netip.MustParseAddr("192.0.2.7")}
		context, from, to = contexts[r.IntN(len(contexts))], ends[r.IntN(3)], ends[r.IntN(3)]
		if r.IntN(2) == 0 {
			d := datagram{dst: 2, port: []uint16{53, 113, 80, 9}[r.IntN(4)], id: uint32(r.IntN(8)), ip6: r.IntN(3) == 0, size: 100, mtu: 40, back: r.IntN(2) == 0}
			frames := d.fragments(t)
			return context, frames[r.IntN(len(frames))], from, to
		}
		text, _ := randomDescription(r)
		d, err := describe.Parse(text)
		if err != nil {
			t.Error(err)
		}
		return context, d.Data, from, to
	}
	const workers, packets = 3, 2000
	var running sync.WaitGroup
	var firewalls []*Firewall
	for w := range workers {
		fw, err := New(Config{Shared: shared, Random: rand.NewPCG(uint64(w), 2), Hold: HoldConfig{Packets: 8, Wait: 3 * time.Millisecond},
			Reassembly: reassembly.Config{Memory: 1 << 20}, Observer: func(e *FrameEvent) {
				if (e.Verdict == Accept) != (e.Decision.Action == policy.Accept && e.Reason == reason.None) {
					t.Errorf("%v, %v: %+v", e.Verdict, e.Reason, e.Decision)
				}
			}})
		if err != nil {
			t.Fatal(err)
		}
		firewalls = append(firewalls, fw)
		running.Go(func() {
			var out Verdicts
			r := rand.New(rand.NewPCG(seed, uint64(w)))
			now, next := int64(time.Hour), uint64(0)
			verdicts := map[uint64]int{}
			take := func() {
				for _, v := range out.List {
					verdicts[v.ID]++
				}
				out.Reset()
			}
			for next < packets {
				now += r.Int64N(1e6)
				if r.IntN(400) == 0 {
					now += int64(time.Second)
				}
				var batch []Packet
				for range 1 + r.IntN(4) {
					context, inner, from, to := random(r)
					p := path()
					p.Src, p.Dst = from, to
					for _, data := range cut(p, r.Uint32(), sttFrame(stt.FrameHeader{ContextID: context, Flags: stt.FlagChecksumVerified}, inner), []int{0, 0, 90}[r.IntN(3)]) {
						next++
						batch = append(batch, Packet{ID: next, Data: data, Length: len(data)})
					}
				}
				fw.ProcessBatch(now, batch, &out)
				if at, ok := fw.NextDeadline(); ok && at <= now {
					fw.Expire(now, &out)
				}
				take()
			}
			fw.Flush(&out)
			take()
			for id := uint64(1); id <= next; id++ {
				if verdicts[id] != 1 {
					t.Errorf("worker %d, packet %d: %d verdicts", w, id, verdicts[id])
				}
			}
			if h := fw.Held(); h.Fragments+h.FragmentPackets+h.FragmentMemory+h.Packets != 0 {
				t.Errorf("worker %d: %+v", w, h)
			}
		})
	}
	decided := make(chan struct{})
	go func() {
		running.Wait()
		close(decided)
	}()
	ask := func(r *rand.Rand) {
		context, inner, from, to := random(r)
		q := Question{ContextID: context, Data: inner, From: from, To: to, AnyNumbers: r.IntN(2) == 0}
		if r.IntN(2) == 0 {
			q.From, q.To = netip.Addr{}, netip.Addr{}
		}
		var f inspect.Frame
		if f.Decode(inner, len(inner), 0, inspect.NoTag) != reason.None {
			return
		}
		q.Frame = &f
		shared.Explain(int64(time.Hour), &q)
		shared.WalkFlows(int64(time.Hour), conntrack.Cursor{}, func(*FlowView) bool { return r.IntN(20) != 0 })
		look := shared.FlowLook(int64(time.Hour))
		look.Rows(func(row *FlowRow) bool {
			var v FlowView
			row.View(&v)
			row.Decision(&v.Decision)
			look.Flow(row.Handle(), &v)
			return r.IntN(20) != 0
		})
	}
	r := rand.New(rand.NewPCG(seed, 77))
	for n := 0; ; n++ {
		select {
		case <-decided:
			s := shared.Flows().Stats()
			shared.Flows().Sweep(0, func(conntrack.Handle, *conntrack.Flow, *inspect.Frame) bool { return false })
			if left := shared.Flows().Stats().Flows; left != 0 {
				t.Errorf("%d of %d flows are left", left, s.Flows)
			}
			for _, name := range []string{"soft", "ovn", "trial"} {
				if flows, half := shared.TenantFlows(name); flows != 0 || half != 0 {
					t.Errorf("%s: %d flows, %d half-open", name, flows, half)
				}
			}
			return
		default:
		}
		p := policies[r.IntN(len(policies))]
		if r.IntN(2) == 0 {
			p = shared.Policy()
		}
		var rules []policy.Temporary
		for i := range r.IntN(4) {
			rules = append(rules, policy.Temporary{Name: fmt.Sprintf("t%d", i), Action: policy.Action(r.IntN(2)), Pattern: []string{"udp any > any:53", "tenant:soft any <> 10.0.0.2", "any > any frag later", "tcp any > any"}[r.IntN(4)], Expires: 3600 + r.Int64N(6)})
		}
		p, _ = p.WithTemporary(rules)
		shared.SetPolicy(p)
		if r.IntN(2) == 0 {
			shared.Rejudge(int64(time.Hour) + r.Int64N(6e9))
		}
		ask(r)
		shared.SweepBindings(int64(time.Hour), func(string, *binding.Binding) {})
		for _, fw := range firewalls {
			fw.Tallies(map[string]Tally{}, map[string]Tally{})
			new(Totals).Add(fw.Counters())
		}
	}
}
