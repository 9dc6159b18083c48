package firewall

import (
	"fmt"
	"maps"
	"math"
	"math/rand/v2"
	"reflect"
	"slices"
	"testing"
	"time"
)

// countRules has tenants with context IDs from 0 on, a rule of their own each with a name
// that ends in of, and rules for all of them.
func countRules(tenants int, of string) string {
	text := `
settings {
  endpoints = ["192.0.2.0/24"]
}
before_tenants {
  rule "dns" {
    action   = "accept"
    services = ["udp/53"]
  }
  rule "never" {
    action   = "drop"
    services = ["udp/9"]
  }
}
`
	for i := range tenants {
		text += fmt.Sprintf(`tenant "t%d" {
  context_ids    = [%d]
  default_action = "accept"
  mode           = %q
  rule "own-%s" {
    action   = "accept"
    services = ["udp/1000-2000"]
  }
  rule "not" {
    action   = "drop"
    services = ["udp/7"]
  }
}
`, i, i, []string{"enforce", "audit"}[i%4/3], of)
	}
	return text
}

// Whatever is asked in between, and however often other rules come in force, a rule and a
// tenant have counted what the events say. A rule that is gone has counted nothing; its
// tenant still has.
func TestCountsAreThoseOfTheEvents(t *testing.T) {
	const tenants = 5
	for seed := range uint64(4) {
		r := rand.New(rand.NewPCG(seed, 7))
		b := newBench(t, benchConfig{rules: countRules(tenants, "0")})
		wantRules, wantTenants := map[string]Tally{}, map[string]Tally{}
		add := func(to map[string]Tally, name string, e *FrameEvent) {
			one := counted{bytes: uint64(e.FrameLength)}
			if e.Begins {
				one.more |= countBegins
			}
			if e.Verdict == Drop {
				one.more |= countDropped
			}
			if e.Decision.Audit {
				one.more |= countAudited
			}
			sum := to[name]
			one.in(&sum, b.now)
			to[name] = sum
		}
		follow := func() {
			p := b.shared.Policy()
			for _, names := range []struct {
				want map[string]Tally
				list []string
			}{{wantRules, p.Rules()}, {wantTenants, p.Tenants()}} {
				maps.DeleteFunc(names.want, func(name string, _ Tally) bool { return !slices.Contains(names.list, name) })
				for _, name := range names.list {
					if _, there := names.want[name]; !there {
						names.want[name] = Tally{}
					}
				}
			}
		}
		follow()
		versions := []string{countRules(tenants, "0"), countRules(tenants, "1"), countRules(tenants-2, "0")}
		for range 3000 {
			b.now += int64(r.IntN(3)) * int64(time.Millisecond)
			switch r.IntN(200) {
			case 0, 1:
				for range 1 + r.IntN(3) { // some of which no packet meets
					b.shared.SetPolicy(compile(t, versions[r.IntN(len(versions))]))
					follow()
				}
			case 2:
				first := b.shared.Policy()
				b.shared.SetPolicy(compile(t, versions[r.IntN(len(versions))]))
				follow()
				b.shared.SetPolicy(first)
				follow()
			case 3, 4, 5:
				gotRules, gotTenants := map[string]Tally{}, map[string]Tally{}
				b.fw.Tallies(gotRules, gotTenants)
				if !reflect.DeepEqual(gotRules, wantRules) || !reflect.DeepEqual(gotTenants, wantTenants) {
					t.Fatalf("seed %d: got\n%+v\n%+v, want\n%+v\n%+v", seed, gotRules, gotTenants, wantRules, wantTenants)
				}
			}
			port := []int{53, 53, 7, 9, 1000, 1500, 3000}[r.IntN(7)]
			e := b.meet(uint64(r.IntN(tenants)), fmt.Sprintf("udp 10.0.0.%d:1 > 10.0.0.2:%d", r.IntN(3), port))
			if e.Decision.TenantIndex >= 0 {
				add(wantTenants, e.Decision.Tenant, e)
			}
			if e.Decision.RuleIndex >= 0 {
				add(wantRules, e.Decision.Rule, e)
			}
		}
		passed := 0
		for name, n := range wantRules {
			if n.Frames > n.Flows+n.Dropped+n.Audited {
				passed++
			}
			if name == "before_tenants/dns" && n.Frames < 100 {
				t.Errorf("seed %d: %+v by the rule that all have", seed, n)
			}
		}
		if passed < 3 {
			t.Errorf("seed %d: frames have only passed by %d rules", seed, passed)
		}
	}
}

// More frames than a place has room for pass before anybody asks.
func TestCountsGoOnWhereThereIsNoMoreRoom(t *testing.T) {
	b := newBench(t, benchConfig{rules: countRules(1, "0")})
	send := func() { b.meet(0, "udp 10.0.0.1:1 > 10.0.0.2:1000") }
	send()
	send()
	places := b.fw.tallies.now.passed
	at := slices.IndexFunc(places, func(p passed) bool { return p.frames == 1 })
	if at < 0 {
		t.Fatalf("nothing has passed: %+v", places)
	}
	places[at].frames = math.MaxUint32 - 1
	for range 3 {
		send()
	}
	const want = 1 + math.MaxUint32 - 1 + 3
	for range 2 {
		rules, tenants := map[string]Tally{}, map[string]Tally{}
		b.fw.Tallies(rules, tenants)
		if got := rules["t0/own-0"].Frames; got != want {
			t.Errorf("%d frames of the rule, want %d", got, uint64(want))
		}
		if got := tenants["t0"].Frames; got != want {
			t.Errorf("%d frames of the tenant, want %d", got, uint64(want))
		}
	}
}

// What nobody counts in any more is forgotten once it was asked for.
func TestNoPlacesOfOldRulesAreKept(t *testing.T) {
	b := newBench(t, benchConfig{rules: countRules(2, "0")})
	for i := range 20 {
		b.meet(0, "udp 10.0.0.1:1 > 10.0.0.2:1000")
		b.shared.SetPolicy(compile(t, countRules(2, fmt.Sprint(i))))
	}
	b.meet(0, "udp 10.0.0.1:1 > 10.0.0.2:1000")
	tenants := map[string]Tally{}
	b.fw.Tallies(nil, tenants)
	if got := tenants["t0"].Frames; got != 21 {
		t.Errorf("%d frames, want 21", got)
	}
	if n := len(b.fw.tallies.unsettled); n > 1 {
		t.Errorf("places for %d policies are kept, want those of the one in force", n)
	}
}
