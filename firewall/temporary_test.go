package firewall

import (
	"fmt"
	"math/rand/v2"
	"runtime"
	"strings"
	"sync"
	"testing"
	"time"

	"sttwall/policy"
	"sttwall/reason"
)

// withTemporary puts temporary rules in force.
func (b *bench) withTemporary(rules ...policy.Temporary) (ended int) {
	b.t.Helper()
	p, errs := b.shared.Policy().WithTemporary(rules)
	for _, err := range errs {
		if err != nil {
			b.t.Fatal(err)
		}
	}
	b.shared.SetPolicy(p)
	return b.shared.Rejudge(b.now)
}

const (
	temporarySYN  = "tcp 10.0.0.1:4000 > 10.0.0.2:80 syn seq 100"
	temporaryBack = "tcp 10.0.0.2:80 > 10.0.0.1:4000 syn,ack seq 500 ack-number 101 from 192.0.2.2 to 192.0.2.1"
	temporaryData = "tcp 10.0.0.1:4000 > 10.0.0.2:80 ack seq 101 ack-number 501"
)

func TestABlockEndsItsFlowsAtOnceAndStopsNewOnes(t *testing.T) {
	b := stateBench(t, 0)
	for _, text := range []string{temporarySYN, temporaryBack, temporaryData, "udp 10.0.0.1:9 > 10.0.0.2:53"} {
		if e := b.meet(400, text); e.Verdict != Accept {
			t.Fatalf("%s: %v", text, e.Reason)
		}
	}
	until := b.now/1e9 + 60
	if ended := b.withTemporary(policy.Temporary{Name: "b", Pattern: "tenant:flows tcp any > any:80", Expires: until}); ended != 1 {
		t.Errorf("%d flows ended, want the one that is blocked", ended)
	}
	for _, text := range []string{temporaryData, temporarySYN} {
		if e := b.meet(400, text); e.Verdict != Drop || e.Reason != reason.RuleDrop || e.Decision.Rule != "temporary/b" {
			t.Errorf("%s: %v by %q", text, e.Reason, e.Decision.Rule)
		}
	}
	if e := b.meet(400, "udp 10.0.0.1:9 > 10.0.0.2:53"); e.Verdict != Accept {
		t.Errorf("what is not blocked: %v", e.Reason)
	}
	b.now = until*1e9 - 1
	if e := b.meet(400, temporarySYN); e.Verdict != Drop {
		t.Errorf("in its last nanosecond: %v", e.Verdict)
	}
	b.now++
	if e := b.meet(400, temporarySYN); e.Verdict != Accept || e.Decision.Rule != "flows/web" {
		t.Errorf("when it has expired: %v by %q", e.Reason, e.Decision.Rule)
	}
}

// Nobody runs anything when an allow expires: the next packet of its flow finds
// it out.
func TestTheFlowsOfAnAllowEndWithIt(t *testing.T) {
	const syn, back, data = "tcp 10.0.0.1:4000 > 10.0.0.2:22 syn seq 100",
		"tcp 10.0.0.2:22 > 10.0.0.1:4000 syn,ack seq 500 ack-number 101 from 192.0.2.2 to 192.0.2.1", "tcp 10.0.0.1:4000 > 10.0.0.2:22 ack seq 101 ack-number 501"
	b := stateBench(t, 0)
	until := b.now/1e9 + 60
	b.withTemporary(policy.Temporary{Name: "a", Action: policy.Accept, Pattern: "tcp any > 10.0.0.2:22", Expires: until})
	for _, text := range []string{syn, back, data} {
		if e := b.meet(400, text); e.Verdict != Accept || e.Decision.Rule != "temporary/a" {
			t.Fatalf("%s: %v by %q", text, e.Reason, e.Decision.Rule)
		}
	}
	b.now = until*1e9 - 1
	if e := b.meet(400, data); e.Verdict != Accept {
		t.Errorf("in its last nanosecond: %v", e.Reason)
	}
	b.now++
	if e := b.meet(400, data); e.Verdict != Drop || e.Reason != reason.TenantDefault {
		t.Errorf("when it has expired: %v by %q", e.Reason, e.Decision.Rule)
	}
	if n := b.shared.Flows().Stats().Flows; n != 0 {
		t.Errorf("%d flows are left", n)
	}
}

// Later fragments follow their first one no longer than the rule that let it pass
// holds, and no longer than none blocks it.
func TestLaterFragmentsFollowTemporaryRules(t *testing.T) {
	fragment := func(which string, port, id int) string {
		return fmt.Sprintf("udp 10.0.0.1:9 > 10.0.0.2:%d frag %s id %d len 1472", port, which, id)
	}
	b := stateBench(t, 0)
	until := b.now/1e9 + 5
	b.withTemporary(policy.Temporary{Name: "a", Action: policy.Accept, Pattern: "udp any > any:9", Expires: until})
	for _, text := range []string{fragment("first", 9, 1), fragment("later", 9, 1), fragment("first", 9, 2), fragment("first", 53, 3)} {
		if e := b.meet(400, text); e.Verdict != Accept {
			t.Fatalf("%s: %v", text, e.Reason)
		}
	}
	b.now = until * 1e9
	if e := b.meet(400, fragment("later", 9, 2)); e.Verdict != Drop || e.Reason != reason.TenantDefault {
		t.Errorf("behind an allow that has expired: %v, %v", e.Verdict, e.Reason)
	}
	b.withTemporary(policy.Temporary{Name: "b", Pattern: "udp any > any:53", Expires: until + 5})
	if e := b.meet(400, fragment("later", 53, 3)); e.Verdict != Drop {
		t.Error("behind a block: it passes")
	}
}

func TestABlockHoldsInAnAuditTenantAndAnAllowOpensNoForeignEndpoint(t *testing.T) {
	b := stateBench(t, 0)
	const packet = "udp 10.0.0.1:9 > 10.0.0.2:9"
	if e := b.meet(700, packet); e.Verdict != Accept || !e.Decision.Audit {
		t.Fatalf("audit: %v", e.Reason)
	}
	until := b.now/1e9 + 60
	if ended := b.withTemporary(policy.Temporary{Name: "b", Pattern: "tenant:trial any > any", Expires: until},
		policy.Temporary{Name: "a", Action: policy.Accept, Pattern: "any > any", Expires: until}); ended != 1 {
		t.Errorf("%d flows ended", ended)
	}
	if e := b.meet(700, packet); e.Verdict != Drop || e.Decision.Rule != "temporary/b" {
		t.Errorf("blocked in audit mode: %v by %q", e.Verdict, e.Decision.Rule)
	}
	if e := b.meet(500, packet+" from 192.0.2.2 to 192.0.2.1"); e.Verdict != Drop || e.Reason != reason.TenantEndpoint {
		t.Errorf("allowed from a foreign endpoint: %v", e.Reason)
	}
	if e := b.meet(999, packet); e.Verdict != Drop || e.Reason != reason.ContextUnknown {
		t.Errorf("allowed for a context of nobody: %v", e.Reason)
	}
}

func TestLimitsGoOnCountingUnderTemporaryRules(t *testing.T) {
	b := stateBench(t, 0)
	if e := b.meet(400, "udp 10.0.0.1:9 > 10.0.0.2:10"); e.Verdict != Accept {
		t.Fatal(e.Reason)
	}
	sent := func() uint64 { return b.fw.Counters().RejectsSent.Load() }
	for range 3 { // of which the limit lets two be answered
		b.meet(400, "tcp 10.0.0.1:4000 > 10.0.0.2:113 syn")
	}
	before := sent()
	b.withTemporary(policy.Temporary{Name: "b", Pattern: "tcp any > any:9", Expires: b.now/1e9 + 60})
	if e := b.meet(400, "udp 10.0.0.1:99 > 10.0.0.2:10"); e.Reason != reason.RateLimit {
		t.Errorf("the limit of a rule: %v", e.Reason)
	}
	b.meet(400, "tcp 10.0.0.1:4000 > 10.0.0.2:113 syn")
	if sent() != before {
		t.Error("the limit on answers has begun anew")
	}
	// Another rate is another limit.
	b.shared.SetPolicy(compile(t, "settings {\n endpoints = [\"192.0.2.0/24\"]\n reject_rate = \"3/s\"\n}\ntenant \"flows\" {\n context_ids = [400]\n default_action = \"reject\"\n}\n"))
	b.meet(400, "tcp 10.0.0.1:4000 > 10.0.0.2:113 syn")
	if sent() != before+1 {
		t.Error("a new limit on answers has no tokens")
	}
}

// The counters of temporary rules go on while they are there, and end with them:
// names come and go without end.
func TestCountersOfTemporaryRulesEndWithThem(t *testing.T) {
	b := stateBench(t, 0)
	until := b.now/1e9 + 60
	count := func(name string) (Tally, bool) {
		rules, tenants := make(map[string]Tally), make(map[string]Tally)
		b.fw.Tallies(rules, tenants)
		tally, known := rules[name]
		return tally, known
	}
	rule := func(name string) policy.Temporary {
		return policy.Temporary{Name: name, Pattern: "tcp 10.0.0.1 <> any:80", Expires: until}
	}
	for i := range 100 {
		name := fmt.Sprintf("t%d", i)
		b.withTemporary(rule(name))
		b.meet(400, temporarySYN)
		b.withTemporary(rule(name), policy.Temporary{Name: "other", Pattern: "udp any > any", Expires: until})
		b.meet(400, temporarySYN)
		if tally, _ := count("temporary/" + name); tally.Dropped != 2 {
			t.Fatalf("%s: %+v", name, tally)
		}
	}
	if _, known := count("temporary/t98"); known {
		t.Error("a rule that is gone still counts")
	}
	if n := len(b.fw.tallies.ruleNames); n > len(b.shared.Policy().Rules()) {
		t.Errorf("%d names are known", n)
	}
	b.withTemporary()
	b.meet(400, temporarySYN)
	if tally, _ := count("flows/web"); tally.Flows != 1 {
		t.Errorf("the rules of the file: %+v", tally)
	}
}

// Temporary rules come and go while workers decide: no packet is ever decided by
// a rule that is not about it, and none that is always allowed is lost.
func TestTemporaryRulesChangeUnderWorkers(t *testing.T) {
	base := compile(t, "settings {\n endpoints = [\"192.0.2.0/24\"]\n}\ntenant \"a\" {\n context_ids = [1]\n rule \"udp\" {\n action = \"accept\"\n services = [\"udp\"]\n }\n}\n")
	shared, err := NewShared(base, newFilter(t, FrameIDConfig{Bits: 20}))
	if err != nil {
		t.Fatal(err)
	}
	var workers sync.WaitGroup
	for w := range 3 {
		var wrong string
		port, blocked := 0, 0
		fw, err := New(Config{Shared: shared, Random: rand.NewPCG(uint64(w), 2), Observer: func(e *FrameEvent) {
			rule := e.Decision.Rule
			switch {
			case rule == "a/udp" && e.Verdict == Accept:
			case rule == fmt.Sprintf("temporary/port-%d", port) && e.Verdict == Drop && port != 5:
				blocked++
			default:
				wrong = fmt.Sprintf("port %d: %v by %q, %v", port, e.Verdict, rule, e.Reason)
			}
		}})
		if err != nil {
			t.Fatal(err)
		}
		workers.Go(func() {
			var out Verdicts
			r := rand.New(rand.NewPCG(uint64(w), 7))
			now := int64(time.Hour)
			// Longer where the rules did not change meanwhile: the machine is busy.
			for i := 0; i < 4000 || blocked == 0 && i < 10_000_000; i++ {
				port = 1 + r.IntN(5)
				if i < 4000 {
					now += 1e6 // 4 seconds in all, in which rules expire too
				}
				fw.Process(now, udpPacket(t, 1, port, false), &out)
				out.Reset()
			}
			if wrong != "" || blocked == 0 {
				t.Errorf("worker %d: %d blocked; %s", w, blocked, wrong)
			}
		})
	}
	decided := make(chan struct{})
	go func() {
		workers.Wait()
		close(decided)
	}()
	r := rand.New(rand.NewPCG(3, 4))
	for {
		select {
		case <-decided:
			return
		default:
		}
		var rules []policy.Temporary
		for _, port := range r.Perm(4)[:r.IntN(5)] {
			rules = append(rules, policy.Temporary{Name: fmt.Sprintf("port-%d", port+1), Pattern: fmt.Sprintf("tenant:a udp any > any:%d", port+1), Expires: 3600 + 1 + r.Int64N(6)})
		}
		p, _ := shared.Policy().WithTemporary(rules)
		shared.SetPolicy(p)
		shared.Rejudge(int64(time.Hour))
	}
}

// Packets wait while a worker brings its counters to other rules: it does not go
// through those of a large file.
func TestAnotherPolicyKeepsNoPacketWaiting(t *testing.T) {
	const rules = 5000
	var file strings.Builder
	file.WriteString("settings {\n  endpoints = [\"192.0.2.0/24\"]\n}\ntenant \"flows\" {\n  context_ids = [400]\n")
	for i := range rules {
		fmt.Fprintf(&file, "  rule \"r%d\" {\n    action   = \"accept\"\n    services = [\"udp/%d\"]\n  }\n", i, i)
	}
	file.WriteString("}\n")
	policies := []*policy.Policy{compile(t, file.String()), compile(t, file.String())}
	b := newBench(t, benchConfig{rules: file.String()})
	b.fw.observer = nil
	packet := udpPacket(t, 400, 53, false)
	var out Verdicts
	b.fw.Process(b.now, packet, &out)
	var before, after runtime.MemStats
	for i := range 6 {
		if i%2 == 0 {
			b.shared.SetPolicy(policies[i/2%2])
		} else {
			b.withTemporary(policy.Temporary{Name: fmt.Sprintf("t%d", i), Pattern: "udp any <> any:4999", Expires: b.now/1e9 + 60})
		}
		runtime.ReadMemStats(&before)
		b.fw.Process(b.now, packet, &out)
		runtime.ReadMemStats(&after)
		if took := after.TotalAlloc - before.TotalAlloc; took > rules {
			t.Errorf("change %d: %d bytes for the counters of %d rules", i, took, rules)
		}
	}
	counted := make(map[string]Tally)
	b.fw.Tallies(counted, map[string]Tally{})
	if len(counted) != rules+1 || counted["flows/r53"].Frames != 7 {
		t.Errorf("%d rules are counted, %+v", len(counted), counted["flows/r53"])
	}
}

func TestTemporaryRulesAllocateNothing(t *testing.T) {
	b := stateBench(t, 0)
	b.fw.observer = nil
	rules := []policy.Temporary{{Name: "x", Pattern: "tenant:flows udp any <> any:9", Expires: b.now/1e9 + 5}}
	for i := range 50 {
		rules = append(rules, policy.Temporary{Name: fmt.Sprintf("t%d", i), Pattern: fmt.Sprintf("tcp any > 10.0.0.%d", i), Expires: b.now/1e9 + int64(i)})
	}
	b.withTemporary(rules...)
	blocked, passing := udpPacket(t, 400, 9, false), udpPacket(t, 400, 53, false)
	var out Verdicts
	step := func() {
		b.now += 1e8 // windows are looked at, and rules expire
		b.fw.Process(b.now, blocked, &out)
		b.fw.Process(b.now, passing, &out)
		out.Reset()
	}
	step() // the first brings the tallies along
	if n := testing.AllocsPerRun(200, step); n != 0 {
		t.Errorf("%v allocations", n)
	}
}
