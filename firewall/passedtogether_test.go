package firewall

import (
	"math/rand/v2"
	"sync"
	"testing"

	"sttwall/policy"
)

// While workers count, others ask and put other rules in force: those of a worker's
// batch at hand, then others, then the same again. No frame is counted twice or not at
// all, for its tenant and for the rule that all policies have.
func TestNoFrameIsLostWhoeverAsksAndReloads(t *testing.T) {
	const workers, tenants, batches = 3, 5, 150
	var policies []*policy.Policy
	for _, of := range []string{"0", "1", "0"} {
		policies = append(policies, compile(t, countRules(tenants, of)))
	}
	shared, err := NewShared(policies[0], newFilter(t, FrameIDConfig{Bits: 20}))
	if err != nil {
		t.Fatal(err)
	}
	var firewalls []*Firewall
	for range workers {
		firewalls = append(firewalls, worker(t, shared))
	}
	ask := func() (rules, tenants map[string]Tally) {
		rules, tenants = map[string]Tally{}, map[string]Tally{}
		for _, fw := range firewalls {
			fw.Tallies(rules, tenants)
		}
		return rules, tenants
	}
	var running, others sync.WaitGroup
	decided := make(chan struct{})
	var sent [workers][tenants]uint64
	for w, fw := range firewalls {
		running.Go(func() {
			r := rand.New(rand.NewPCG(uint64(w), 9))
			packets := newAimed(t)
			for i := range packets {
				const port = 20 + 20 + 18 + 14 + 20 + 2
				packets[i].Data[port], packets[i].Data[port+1] = 0, 53 // by the rule that all have
			}
			var out Verdicts
			for n := range batches {
				for i := range packets {
					tenant := r.IntN(tenants)
					packets.aim(i, r.IntN(50), tenant)
					sent[w][tenant]++
				}
				out.Reset()
				fw.ProcessBatch(int64(1+n), packets, &out)
				for _, v := range out.List {
					if v.Action != Accept {
						t.Errorf("worker %d: %+v", w, v)
					}
				}
			}
		})
	}
	for range 2 {
		others.Go(func() {
			last := uint64(0)
			for {
				select {
				case <-decided:
					return
				default:
				}
				rules, _ := ask()
				if n := rules["before_tenants/dns"].Frames; n < last {
					t.Errorf("%d frames after %d", n, last)
				} else {
					last = n
				}
			}
		})
	}
	others.Go(func() {
		for i := 1; ; i++ {
			select {
			case <-decided:
				return
			default:
			}
			shared.SetPolicy(policies[i%len(policies)])
			p, _ := shared.Policy().WithTemporary([]policy.Temporary{
				{Name: []string{"a", "b"}[i%2], Action: policy.Drop, Pattern: "udp any > any:9", Expires: 3600},
			})
			shared.SetPolicy(p)
		}
	})
	running.Wait()
	close(decided)
	others.Wait()
	rules, byTenant := ask()
	all, length := uint64(0), uint64(len(newAimed(t)[0].Data)-20-20)
	for tenant := range uint64(tenants) {
		want := uint64(0)
		for w := range sent {
			want += sent[w][tenant]
		}
		all += want
		name := "t" + string(rune('0'+tenant))
		if got := byTenant[name]; got.Frames != want || got.Bytes != want*length {
			t.Errorf("%s: %+v, want %d frames", name, got, want)
		}
	}
	if got := rules["before_tenants/dns"]; got.Frames != all || got.First != 1 || got.Last != batches {
		t.Errorf("%+v, want %d frames from 1 to %d", got, all, batches)
	}
}
