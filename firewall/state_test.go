package firewall

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"strings"
	"testing"
	"time"

	"sttwall/conntrack"
	"sttwall/describe"
	"sttwall/inspect"
	"sttwall/policy"
	"sttwall/reason"
	"sttwall/rewrite"
	"sttwall/stt"
)

const stateRules = `
settings {
  endpoints   = ["192.0.2.0/24", "2001:db8:47::/64"]
  flows       = %d
  reject_rate = "2/s"
}
tenant "flows" {
  context_ids = [400]
  rule "no-ident" {
    action   = "reject"
    services = ["tcp/113", "udp/113"]
  }
  rule "web" {
    action   = "accept"
    services = ["tcp/80", "udp/53", "icmp/echo-request"]
  }
  rule "slow" {
    action   = "accept"
    services = ["udp/10"]
    limit {
      rate = "1/minute"
      over = "drop"
    }
  }
  rule "marked" {
    action   = "accept"
    services = ["tcp/5000", "udp/5000"]
    set {
      dscp    = "af21"
      mss_max = 1300
    }
  }
}
tenant "bound" {
  context_ids = [500]
  endpoints   = ["192.0.2.1"]
}
tenant "small" {
  context_ids = [600]
  limits {
    flows            = 3
    flows_per_source = 1
    half_open        = 1
  }
  rule "all" {
    action = "accept"
  }
}
tenant "trial" {
  context_ids = [700]
  mode        = "audit"
}
tenant "ovn" {
  context_layout = "ovn"
  datapaths      = [7]
  default_action = "reject"
}
`

func stateBench(t testing.TB, flows int) *bench {
	t.Helper()
	if flows == 0 {
		flows = 1000
	}
	return newBench(t, benchConfig{rules: fmt.Sprintf(stateRules, flows)})
}

// meet sends the described packet as one frame and returns what was decided.
func (b *bench) meet(context uint64, text string) *FrameEvent {
	b.t.Helper()
	h := stt.FrameHeader{ContextID: context, Flags: stt.FlagChecksumVerified}
	return b.meetFrame(h, text)
}

func (b *bench) meetFrame(h stt.FrameHeader, text string) *FrameEvent {
	b.t.Helper()
	d, err := describe.Parse(text)
	if err != nil {
		b.t.Fatal(text, err)
	}
	p := path()
	if d.From.IsValid() {
		p.Src = d.From
	}
	if d.To.IsValid() {
		p.Dst = d.To
	}
	b.events = nil
	b.send(cut(p, 5, sttFrame(h, d.Data), 0)...)
	if len(b.events) != 1 {
		b.t.Fatalf("%s: %d frames were decided", text, len(b.events))
	}
	return &b.events[0]
}

type deny struct {
	context uint64
	flows   int
}

// stateCase sends packets of which the last is dropped.
func stateCase(d deny, texts ...string) func(t *testing.T) *bench {
	return func(t *testing.T) *bench { return lastIsDropped(stateBench(t, d.flows), d.context, texts) }
}

func spoofCase(context uint64, texts ...string) func(t *testing.T) *bench {
	return func(t *testing.T) *bench { return lastIsDropped(spoofBench(t), context, texts) }
}

func lastIsDropped(b *bench, context uint64, texts []string) *bench {
	b.t.Helper()
	for i, text := range texts {
		e := b.meet(context, text)
		if i < len(texts)-1 && e.Verdict != Accept {
			b.t.Fatalf("%s: %v", text, e.Reason)
		}
	}
	b.primed = uint64(len(texts) - 1)
	return b
}

func TestARejectedPacketIsAnswered(t *testing.T) {
	for _, tt := range []struct {
		name, text string
		context    uint64
		tci        uint16
		want       func(f *inspect.Frame, h *stt.FrameHeader) bool
	}{
		{"a SYN by a RST", "tcp 10.0.0.1:4000 > 10.0.0.2:113 syn seq 77 len 3", 400, 0, func(f *inspect.Frame, h *stt.FrameHeader) bool {
			return f.HasTCP && f.TCPFlags == inspect.RST|inspect.ACK && f.SrcPort == 113 && f.DstPort == 4000 && h.ContextID == 400
		}},
		{"UDP by an ICMP error, in its VLAN", "udp 10.0.0.1:4000 > 10.0.0.2:113", 400, 0x1007, func(f *inspect.Frame, h *stt.FrameHeader) bool {
			return f.HasICMP && f.ICMPType == 3 && f.ICMPCode == 13 && h.TCI == 0x1007
		}},
		{"in the OVN layout with the ports swapped", "udp 10.0.0.1:4000 > 10.0.0.2:9", 3<<40 | 5<<24 | 7, 0, func(f *inspect.Frame, h *stt.FrameHeader) bool {
			return f.HasICMP && h.ContextID == 5<<40|3<<24|7
		}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			b := stateBench(t, 0)
			e := b.meetFrame(stt.FrameHeader{ContextID: tt.context, TCI: tt.tci, Flags: stt.FlagChecksumVerified}, tt.text)
			if e.Verdict != Drop || e.Decision.Action != policy.Reject || len(b.out.Answers) != 1 {
				t.Fatalf("%v by %v, %d answers", e.Verdict, e.Decision, len(b.out.Answers))
			}
			answer := b.out.Answers[0].Data
			var s stt.Segment
			if r := s.Decode(answer, len(answer), []uint16{stt.Port}); r != reason.None || !s.ChecksumGood(answer) || !s.Canonical() {
				t.Fatalf("the answer's segment: %v, %+v", r, s)
			}
			if s.Src != endpointB || s.Dst != endpointA || !s.WholeFrame() {
				t.Errorf("from %v to %v", s.Src, s.Dst)
			}
			var h stt.FrameHeader
			h.Decode(s.Payload)
			inner := s.Payload[stt.FrameHeaderLen:]
			var f inspect.Frame
			if r := f.Decode(inner, len(inner), h.TCI, inspect.Tagged(h.TCI != 0)); r != reason.None || !rewrite.ChecksumGood(inner, &f) {
				t.Fatalf("the answer's frame: %v", r)
			}
			if f.Src.String() != "10.0.0.2" || f.Dst.String() != "10.0.0.1" || !tt.want(&f, &h) {
				t.Errorf("%+v in %+v", f, h)
			}
			if b.fw.Counters().RejectsSent.Load() != 1 {
				t.Error("not counted")
			}
		})
	}
}

func TestAnswersHaveALimitAndConditions(t *testing.T) {
	b := stateBench(t, 0)
	for i := range 5 {
		b.meet(400, fmt.Sprintf("tcp 10.0.0.1:%d > 10.0.0.2:113 syn", 4000+i))
	}
	c := b.fw.Counters()
	if c.RejectsSent.Load() != 2 || c.RejectsLimited.Load() != 3 || c.Reasons[reason.RuleReject].Load() != 5 {
		t.Errorf("%d sent, %d over the limit", c.RejectsSent.Load(), c.RejectsLimited.Load())
	}
	b.now += int64(time.Second)
	b.meet(400, "tcp 10.0.0.1:1 > 10.0.0.2:113 rst")
	b.meet(7|0x8000<<24, "udp 10.0.0.1:1 > 10.0.0.2:2") // to a multicast group
	if len(b.out.Answers) != 0 || c.RejectsRefused.Load() != 2 {
		t.Errorf("%d answers; %d refused", len(b.out.Answers), c.RejectsRefused.Load())
	}
	open := newBench(t, benchConfig{rules: strings.Replace(fmt.Sprintf(stateRules, 10), `"192.0.2.0/24", "2001:db8:47::/64"`, `"any"`, 1)})
	open.meet(400, "tcp 10.0.0.1:1 > 10.0.0.2:113 syn")
	if len(open.out.Answers) != 0 {
		t.Error("without a list of endpoints anybody can aim answers")
	}
}

func TestASetChangesWhatLeavesAndNothingElse(t *testing.T) {
	for _, tt := range []struct {
		name    string
		partial bool
	}{{"checksum complete", false}, {"checksum partial", true}} {
		t.Run(tt.name, func(t *testing.T) {
			b := stateBench(t, 0)
			d, err := describe.Parse("tcp 10.0.0.1:4000 > 10.0.0.2:5000 syn mss 1460 wscale 7")
			if err != nil {
				t.Fatal(err)
			}
			h := stt.FrameHeader{ContextID: 400}
			data := bytes.Clone(d.Data)
			if tt.partial {
				l4 := d.Frame.L4Offset
				h.Flags, h.L4Offset = stt.FlagChecksumPartial|stt.FlagIPv4|stt.FlagTCP, uint8(l4)
				pseudo := uint32(inspect.ProtocolTCP) + uint32(len(data)-l4)
				for at := 26; at < 34; at += 2 {
					pseudo += uint32(binary.BigEndian.Uint16(data[at:]))
				}
				binary.BigEndian.PutUint16(data[l4+16:], uint16(pseudo>>16+pseudo&0xffff))
			}
			left := b.one(reason.None, cut(path(), 5, sttFrame(h, data), 0)...)
			var s stt.Segment
			if r := s.Decode(left[0], len(left[0]), []uint16{stt.Port}); r != reason.None || !s.ChecksumGood(left[0]) {
				t.Fatal(r)
			}
			var f inspect.Frame
			inner := s.Payload[stt.FrameHeaderLen:]
			if r := f.Decode(inner, len(inner), 0, inspect.NoTag); r != reason.None {
				t.Fatal(r)
			}
			if mss := binary.BigEndian.Uint16(inner[f.L4Offset+22:]); f.TOS != 18<<2 || mss != 1300 {
				t.Errorf("DSCP %d, MSS %d", f.TOS>>2, mss)
			}
			if !tt.partial && !rewrite.ChecksumGood(inner, &f) {
				t.Error("the checksum is wrong")
			}
			if tt.partial && !bytes.Equal(inner[f.L4Offset+16:f.L4Offset+18], data[f.L4Offset+16:f.L4Offset+18]) {
				t.Error("the partial checksum has changed")
			}
			if !b.events[0].Rewritten {
				t.Error("not counted as encoded anew")
			}
			// The reply is of the same rule.
			e := b.meet(400, "tcp 10.0.0.2:5000 > 10.0.0.1:4000 syn,ack seq 5 ack-number 1 mss 1460 from 192.0.2.2 to 192.0.2.1")
			if e.Verdict != Accept || !e.Rewritten || e.Decision.Rule != "flows/marked" {
				t.Errorf("the reply: %v %v", e.Reason, e.Decision)
			}
		})
	}
}

func TestAReloadEndsWhatTheNewRulesDeny(t *testing.T) {
	b := stateBench(t, 0)
	const dns, web = "udp 10.0.0.1:1 > 10.0.0.2:53 from 192.0.2.1 to 192.0.2.2", "tcp 10.0.0.1:1 > 10.0.0.2:80 syn seq 1 from 192.0.2.1 to 192.0.2.2"
	b.meet(400, dns)
	b.meet(400, web)
	b.meet(600, dns)
	if n := b.shared.Rejudge(b.now); n != 0 {
		t.Errorf("%d flows end under the rules that accepted them", n)
	}
	b.shared.SetPolicy(compile(t, `
settings {
  endpoints = ["192.0.2.0/24"]
}
tenant "new" {
  context_ids = [9]
}
tenant "flows" {
  context_ids = [400]
  rule "only-dns" {
    action   = "accept"
    services = ["udp/53"]
  }
}`))
	e := b.meet(400, "udp 10.0.0.2:53 > 10.0.0.1:1 from 192.0.2.2 to 192.0.2.1")
	if e.Verdict != Accept || e.State != conntrack.StateReply || e.Decision.Rule != "flows/only-dns" {
		t.Errorf("a flow that both accept: %v %v %v", e.Verdict, e.State, e.Decision)
	}
	e = b.meet(400, "tcp 10.0.0.2:80 > 10.0.0.1:1 syn ack seq 9 ack-number 2 from 192.0.2.2 to 192.0.2.1")
	if e.Reason != reason.TenantDefault {
		t.Errorf("a flow that the new rules deny: %v %v", e.Verdict, e.Reason)
	}
	if n := b.shared.Rejudge(b.now); n != 1 {
		t.Errorf("%d flows end, want that of the tenant that is gone", n)
	}
	if n := b.shared.Flows().Stats().Flows; n != 1 {
		t.Errorf("%d flows are left", n)
	}
}

func TestAReloadHandsOutNoTokens(t *testing.T) {
	b := stateBench(t, 0)
	slow := func(port int) *FrameEvent {
		return b.meet(400, fmt.Sprintf("udp 10.0.0.1:%d > 10.0.0.2:10 from 192.0.2.1 to 192.0.2.2", port))
	}
	ident := func() { b.meet(400, "tcp 10.0.0.1:1 > 10.0.0.2:113 syn from 192.0.2.1 to 192.0.2.2") }
	if e := slow(1); e.Verdict != Accept {
		t.Fatal(e.Reason)
	}
	for range 3 {
		ident()
	}
	rules := fmt.Sprintf(stateRules, 1000)
	b.shared.SetPolicy(compile(t, rules))
	ident()
	if e := slow(2); e.Reason != reason.RateLimit || b.fw.Counters().RejectsSent.Load() != 2 {
		t.Errorf("after a reload: %v %v; %d rejects were sent of 2/s", e.Verdict, e.Reason, b.fw.Counters().RejectsSent.Load())
	}
	b.shared.SetPolicy(compile(t, strings.NewReplacer("1/minute", "2/minute", "2/s", "3/s").Replace(rules)))
	ident()
	if e := slow(3); e.Verdict != Accept || b.fw.Counters().RejectsSent.Load() != 3 {
		t.Errorf("under another limit: %v; %d rejects were sent", e.Reason, b.fw.Counters().RejectsSent.Load())
	}
}

// Rules that name ports hold for all packets of a flow in the direction of its first.
func TestAFlowPassesFromPortsThatTheRulesAccept(t *testing.T) {
	const rules = `
settings {
  endpoints = ["192.0.2.0/24"]
}
tenant "ovn" {
  context_layout = "ovn"
  datapaths      = [7, 8]
  rule "port-3" {
    action       = "accept"
    datapath     = [7]
    ingress_port = [3]
    tcp_flags    = ["syn"]
  }
  rule "port-3-udp" {
    action       = "accept"
    services     = ["udp"]
    ingress_port = [3]
  }
  rule "port-5" {
    action       = "accept"
    ingress_port = [5]
    egress_port  = [4, 6]
  }
  rule "port-6" {
    action       = "accept"
    ingress_port = [6]
    state        = "stateless"
  }
}
`
	const port3, port5, port6, port9, reply = 3<<40 | 4<<24 | 7, 5<<40 | 6<<24 | 7, 6<<40 | 4<<24 | 7, 9<<40 | 4<<24 | 7, 4<<40 | 3<<24 | 7
	const there, back = " from 192.0.2.1 to 192.0.2.2", " from 192.0.2.2 to 192.0.2.1"
	for _, tt := range []struct {
		protocol, first, more, answer string
	}{
		{"udp", "udp 10.0.0.1:1 > 10.0.0.2:2", "udp 10.0.0.1:1 > 10.0.0.2:2 len 9", "udp 10.0.0.2:2 > 10.0.0.1:1"},
		{"tcp", "tcp 10.0.0.1:1 > 10.0.0.2:2 syn seq 1000", "tcp 10.0.0.1:1 > 10.0.0.2:2 ack seq 1001 ack-number 5001", "tcp 10.0.0.2:2 > 10.0.0.1:1 syn,ack seq 5000 ack-number 1001"},
	} {
		t.Run(tt.protocol, func(t *testing.T) {
			b := newBench(t, benchConfig{rules: rules})
			meet := func(context uint64, packet string, want reason.Reason, rule string, state conntrack.State) {
				t.Helper()
				if e := b.meet(context, packet); e.Reason != want || e.Decision.Rule != rule || e.State != state {
					t.Errorf("context %#x: %s: %v by %q, %v; want %v by %q, %v", context, packet, e.Reason, e.Decision.Rule, e.State, want, rule, state)
				}
			}
			by3 := map[string]string{"udp": "ovn/port-3-udp", "tcp": "ovn/port-3"}[tt.protocol]
			meet(port3, tt.first+there, reason.None, by3, conntrack.StateOriginal)
			meet(reply, tt.answer+back, reason.None, by3, conntrack.StateReply)
			meet(port9, tt.more+there, reason.TenantDefault, "", conntrack.StateUntracked)
			meet(port3+1, tt.more+there, map[string]reason.Reason{"tcp": reason.TenantDefault}[tt.protocol], map[string]string{"udp": by3}[tt.protocol],
				map[string]conntrack.State{"udp": conntrack.StateOriginal}[tt.protocol]) // datapath 8
			meet(port3, tt.more+there, reason.None, by3, conntrack.StateOriginal)
			meet(port5, tt.more+there, reason.None, "ovn/port-5", conntrack.StateOriginal)
			meet(reply+1<<24, tt.answer+back, reason.None, "ovn/port-5", conntrack.StateReply)
			meet(port6, tt.more+there, reason.None, "ovn/port-6", conntrack.StateUntracked)
			// A reload asks about the port from which it came last.
			b.shared.SetPolicy(compile(t, rules))
			if n := b.shared.Rejudge(b.now); n != 0 {
				t.Errorf("%d flows end", n)
			}
			meet(port5, tt.more+there, reason.None, "ovn/port-5", conntrack.StateOriginal)
			meet(port3, tt.more+there, reason.None, by3, conntrack.StateOriginal)
			b.shared.SetPolicy(compile(t, strings.ReplaceAll(rules, "ingress_port = [5]", "ingress_port = [15]")))
			meet(port5, tt.more+there, reason.TenantDefault, "", conntrack.StateUntracked)
			meet(port3, tt.more+there, reason.None, by3, conntrack.StateOriginal)
			if n := b.shared.Flows().Stats().Flows; n != 1 {
				t.Errorf("%d flows", n)
			}
		})
	}
}

// Where the rules need no state for flows from another port, a packet from there is
// decided as if there were no flow: TCP from the middle begins none.
func TestFromAPortWithoutStateAPacketIsDecidedByItself(t *testing.T) {
	b := newBench(t, benchConfig{rules: `
settings {
  endpoints = ["192.0.2.0/24"]
}
tenant "ovn" {
  context_layout = "ovn"
  datapaths      = [7]
  rule "port-3" {
    action       = "accept"
    ingress_port = [3]
  }
  rule "syn" {
    action       = "accept"
    ingress_port = [6]
    services     = ["tcp"]
    tcp_flags    = ["syn"]
    state        = "stateless"
  }
  rule "rest" {
    action       = "accept"
    ingress_port = [6]
    services     = ["tcp"]
  }
}
`})
	const port3, port6 = 3<<40 | 4<<24 | 7, 6<<40 | 4<<24 | 7
	const syn, ack = "tcp 10.0.0.1:1 > 10.0.0.2:2 syn seq 1000", "tcp 10.0.0.1:1 > 10.0.0.2:2 ack seq 1001 ack-number 5001"
	const there = " from 192.0.2.1 to 192.0.2.2"
	for i, step := range []struct {
		context uint64
		text    string
		want    reason.Reason
	}{
		{port6, ack + there, reason.StateInvalid},
		{port3, syn + there, reason.None},
		{port6, syn + there, reason.None},
		{port3, "tcp 10.0.0.2:2 > 10.0.0.1:1 syn,ack seq 5000 ack-number 1001 from 192.0.2.2 to 192.0.2.1", reason.None},
		{port6, ack + there, reason.StateInvalid},
		{port3, ack + there, reason.None},
	} {
		if e := b.meet(step.context, step.text); e.Reason != step.want {
			t.Errorf("step %d: %v, want %v", i, e.Reason, step.want)
		}
	}
}

// A reply that comes before all flows are judged again does not keep one whose first
// packet is another tenant's by the new rules.
func TestAFlowEndsWhereItsFirstContextIDGoesToAnotherTenant(t *testing.T) {
	const rules = `
settings {
  endpoints = ["192.0.2.0/24"]
}
tenant "one" {
  context_layout = "ovn"
  datapaths      = [%s]
  rule "dns" {
    action   = "accept"
    services = ["udp/53"]
  }
}
tenant "other" {
  context_layout = "ovn"
  datapaths      = [%s]
}
`
	const there, back = 3<<40 | 4<<24 | 7, 9<<40 | 4<<24 | 8
	b := newBench(t, benchConfig{rules: fmt.Sprintf(rules, "7, 8", "9")})
	const answer = "udp 10.0.0.2:53 > 10.0.0.1:1000 len 1472 from 192.0.2.2 to 192.0.2.1"
	for _, p := range []struct {
		context uint64
		text    string
	}{
		{there, "udp 10.0.0.1:1000 > 10.0.0.2:53 from 192.0.2.1 to 192.0.2.2"}, {back, answer}, {back, answer + " frag first id 5"},
	} {
		if e := b.meet(p.context, p.text); e.Verdict != Accept {
			t.Fatalf("%s: %v", p.text, e.Reason)
		}
	}
	b.shared.SetPolicy(compile(t, fmt.Sprintf(rules, "8", "7, 9")))
	if e := b.meet(back, "udp 10.0.0.2:53 > 10.0.0.1:1000 len 100 from 192.0.2.2 to 192.0.2.1 frag later id 5"); e.Verdict != Drop {
		t.Errorf("the rest of an answer: %v", e.Verdict)
	}
	if e := b.meet(back, answer); e.Reason != reason.TenantDefault {
		t.Errorf("another answer: %v %v", e.Verdict, e.Reason)
	}
	if n := b.shared.Flows().Stats().Flows; n != 0 {
		t.Errorf("%d flows are left", n)
	}
}

func TestAFlowThatAFragmentBeganIsJudgedAgainAsOne(t *testing.T) {
	const rules = `
settings {
  endpoints = ["192.0.2.0/24"]
}
tenant "one" {
  context_ids = [400]
  rule "dns" {
    action   = "accept"
    services = ["udp/53"]
    fragment = ["%s"]
  }
}
`
	b := newBench(t, benchConfig{rules: fmt.Sprintf(rules, "first")})
	if e := b.meet(400, "udp 10.0.0.1:1000 > 10.0.0.2:53 len 1472 from 192.0.2.1 to 192.0.2.2 frag first id 5"); !e.Begins {
		t.Fatal(e.Reason)
	}
	const reply = "udp 10.0.0.2:53 > 10.0.0.1:1000 from 192.0.2.2 to 192.0.2.1"
	for _, tt := range []struct {
		fragment string
		ended    int
		want     reason.Reason
	}{{"first", 0, reason.None}, {"whole", 1, reason.TenantDefault}} {
		b.shared.SetPolicy(compile(t, fmt.Sprintf(rules, tt.fragment)))
		if n := b.shared.Rejudge(b.now); n != tt.ended {
			t.Errorf("%s: %d flows end, want %d", tt.fragment, n, tt.ended)
		}
		if e := b.meet(400, reply); e.Reason != tt.want {
			t.Errorf("%s: a reply: %v, want %v", tt.fragment, e.Reason, tt.want)
		}
	}
}

func TestWhatLaterRulesHaveAcceptedIsNotEndedByEarlierOnes(t *testing.T) {
	const rules = `
settings {
  endpoints = ["192.0.2.0/24"]
}
tenant "one" {
  context_ids = [400]
  rule "some" {
    action   = "accept"
    services = ["udp/%d"]
  }
}
`
	b := newBench(t, benchConfig{rules: fmt.Sprintf(rules, 1)})
	if e := b.meet(400, "udp 10.0.0.1:1000 > 10.0.0.2:1 from 192.0.2.1 to 192.0.2.2"); !e.Begins {
		t.Fatal(e.Reason)
	}
	b.shared.SetPolicy(compile(t, fmt.Sprintf(rules, 3)))
	sweeping := b.shared.current.Load()
	b.shared.SetPolicy(compile(t, fmt.Sprintf(rules, 2)))
	if e := b.meet(400, "udp 10.0.0.1:1000 > 10.0.0.2:2 from 192.0.2.1 to 192.0.2.2"); !e.Begins {
		t.Fatal(e.Reason)
	}
	if n := b.shared.rejudge(b.now, sweeping); n != 1 {
		t.Errorf("%d flows end, want the first alone", n)
	}
}

func TestAuditCountsWhatWouldBeDropped(t *testing.T) {
	b := stateBench(t, 0)
	e := b.meet(700, "udp 10.0.0.1:1 > 10.0.0.2:2 from 192.0.2.1 to 192.0.2.2")
	if e.Verdict != Accept || !e.Decision.Audit || e.Decision.Would != reason.TenantDefault {
		t.Errorf("%v %+v", e.Verdict, e.Decision)
	}
	e = b.meet(700, "udp 10.0.0.2:2 > 10.0.0.1:1 from 192.0.2.2 to 192.0.2.1")
	if e.State != conntrack.StateReply || !e.Decision.Audit || e.Decision.Would != reason.TenantDefault {
		t.Errorf("its reply: %v %+v", e.State, e.Decision)
	}
	if n := b.fw.Counters().FramesAudited.Load(); n != 2 {
		t.Errorf("%d frames counted", n)
	}
}

func TestABadInnerChecksumMovesNoState(t *testing.T) {
	b := stateBench(t, 0)
	d, err := describe.Parse("tcp 10.0.0.1:1 > 10.0.0.2:80 syn seq 1")
	if err != nil {
		t.Fatal(err)
	}
	send := func(data []byte) {
		b.events = nil
		b.send(cut(path(), 5, sttFrame(stt.FrameHeader{ContextID: 400}, data), 0)...)
	}
	send(d.Data)
	rst, err := describe.Parse("tcp 10.0.0.1:1 > 10.0.0.2:80 rst seq 2")
	if err != nil {
		t.Fatal(err)
	}
	rst.Data[rst.Frame.L4Offset+16]++
	send(rst.Data)
	if e := b.meet(400, "tcp 10.0.0.2:80 > 10.0.0.1:1 syn ack seq 9 ack-number 2 from 192.0.2.2 to 192.0.2.1"); e.Verdict != Accept {
		t.Errorf("a RST that its receiver will not take has ended the flow: %v", e.Reason)
	}
}

// A frame of an established flow, a refused one and one that a rule changes
// allocate nothing.
func TestStateAllocatesNothing(t *testing.T) {
	for _, tt := range []struct{ name, text string }{
		{"a packet of a known flow", "udp 10.0.0.1:1 > 10.0.0.2:53"},
		{"one that is changed", "udp 10.0.0.1:1 > 10.0.0.2:5000"},
		{"one that is rejected", "udp 10.0.0.1:1 > 10.0.0.2:113"},
		{"TCP from the middle", "tcp 10.0.0.1:1 > 10.0.0.2:80 ack"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			b := stateBench(t, 0)
			d, err := describe.Parse(tt.text)
			if err != nil {
				t.Fatal(err)
			}
			b.fw.observer = func(*FrameEvent) {}
			data := cut(path(), 5, sttFrame(stt.FrameHeader{ContextID: 400}, d.Data), 0)[0]
			p := Packet{ID: 1, Data: data, Length: len(data)}
			if n := testing.AllocsPerRun(200, func() {
				b.now += int64(time.Second)
				b.out.Reset()
				b.fw.Process(b.now, &p, &b.out)
			}); n != 0 {
				t.Errorf("%v allocations", n)
			}
		})
	}
}

// Nor does one that comes from another port than the one before it in its flow.
func TestAnotherContextIDAllocatesNothing(t *testing.T) {
	b := newBench(t, benchConfig{rules: `
settings {
  endpoints = ["192.0.2.0/24"]
}
tenant "ovn" {
  context_layout = "ovn"
  datapaths      = [7]
  rule "some" {
    action       = "accept"
    ingress_port = [3, 5]
  }
  rule "none" {
    action       = "reject"
    ingress_port = [4]
  }
}
`})
	b.fw.observer = func(*FrameEvent) {}
	d, err := describe.Parse("udp 10.0.0.1:1 > 10.0.0.2:53")
	if err != nil {
		t.Fatal(err)
	}
	var packets []Packet
	want := []Action{Accept, Accept, Drop, Drop}
	for i, port := range []uint64{3, 5, 4, 9} {
		data := cut(path(), uint32(i), sttFrame(stt.FrameHeader{ContextID: port<<40 | 2<<24 | 7}, d.Data), 0)[0]
		packets = append(packets, Packet{ID: uint64(i), Data: data, Length: len(data)})
	}
	if n := testing.AllocsPerRun(100, func() {
		b.now += int64(time.Second)
		for i := range packets {
			b.out.Reset()
			b.fw.Process(b.now, &packets[i], &b.out)
			if got := b.out.List[0].Action; got != want[i] {
				t.Errorf("packet %d: %v", i, got)
			}
		}
	}); n != 0 {
		t.Errorf("%v allocations", n)
	}
}

// A guest that marks what it sends with a priority gets answers without.
func TestAPriorityTagMakesNoOtherFlow(t *testing.T) {
	b := stateBench(t, 0)
	h := stt.FrameHeader{ContextID: 400, Flags: stt.FlagChecksumVerified, TCI: 5 << 13}
	if e := b.meetFrame(h, "udp 10.0.0.1:9 > 10.0.0.2:53"); e.Verdict != Accept || e.Inner.TagCount != 1 {
		t.Fatalf("%v, %d tags", e.Reason, e.Inner.TagCount)
	}
	const answer = "udp 10.0.0.2:53 > 10.0.0.1:9 from 192.0.2.2 to 192.0.2.1"
	for tci, want := range map[uint16]conntrack.State{0: conntrack.StateReply, 3 << 13: conntrack.StateReply, 7: conntrack.StateNew} {
		h.TCI = tci
		if e := b.meetFrame(h, answer); e.State != want || (e.Verdict == Accept) != (want == conntrack.StateReply) {
			t.Errorf("tag %#x: %v, %v", tci, e.State, e.Reason)
		}
	}
}
