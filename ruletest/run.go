package ruletest

import (
	"fmt"
	"math/rand/v2"
	"strings"
	"time"

	"github.com/hashicorp/hcl/v2"

	"sttwall/firewall"
	"sttwall/policy"
	"sttwall/reason"
	"sttwall/stt"
)

// Failure is a step whose verdict was another one.
type Failure struct {
	Test  string
	Step  int       // from 1; 0 if the test has only one
	At    hcl.Range // of the packet's description
	Text  string    // the description
	Wrong string    // what was expected and what came instead, in one line
}

// String writes the failure for a person: file and line first.
func (f Failure) String() string {
	step := ""
	if f.Step > 0 {
		step = fmt.Sprintf(", step %d", f.Step)
	}
	return fmt.Sprintf("%s:%d: test %q%s: %s\n    packet: %s", f.At.Filename, f.At.Start.Line, f.Test, step, f.Wrong, f.Text)
}

// Run runs all tests of the policy and returns what failed. The error says that
// they could not be run at all.
func Run(p *policy.Policy) ([]Failure, error) {
	var failures []Failure
	tests := p.Tests()
	for i := range tests {
		failed, err := run(p, &tests[i])
		if err != nil {
			return nil, fmt.Errorf("test %q: %w", tests[i].Name, err)
		}
		failures = append(failures, failed...)
	}
	return failures, nil
}

// flows bounds the flow table of a test; no test has more packets.
const flows = 4096

func run(p *policy.Policy, t *policy.Test) (failures []Failure, err error) {
	r, err := newRunner(p, t.Start)
	if err != nil {
		return nil, err
	}
	for i := range t.Steps {
		s := &t.Steps[i]
		wrong, err := r.step(s)
		if err != nil {
			return nil, err
		}
		if wrong == "" {
			continue
		}
		f := Failure{Test: t.Name, At: s.At, Text: s.Text, Wrong: wrong}
		if len(t.Steps) > 1 {
			f.Step = i + 1
		}
		failures = append(failures, f)
	}
	return failures, nil
}

// runner sends the packets of one test.
type runner struct {
	policy   *policy.Policy
	firewall *firewall.Firewall
	now      int64
	frameID  uint32
	out      firewall.Verdicts
	event    firewall.FrameEvent
}

func newRunner(p *policy.Policy, start time.Time) (*runner, error) {
	ids, err := firewall.NewFrameIDFilter(firewall.FrameIDConfig{})
	if err != nil {
		return nil, err
	}
	shared, err := firewall.NewShared(p.Fresh(flows), ids)
	if err != nil {
		return nil, err
	}
	r := &runner{policy: p, now: start.UnixNano()}
	r.firewall, err = firewall.New(firewall.Config{
		Shared: shared, Random: rand.NewPCG(1, 1),
		Observer: func(e *firewall.FrameEvent) { r.event = *e },
	})
	return r, err
}

// step sends a packet and says what is wrong with its verdict; "" for nothing.
func (r *runner) step(s *policy.Step) (string, error) {
	r.now += int64(s.After)
	from, to := r.policy.OuterEndpoints(s)
	if from.Is4() != to.Is4() {
		return "", fmt.Errorf("line %d: outer endpoints %s and %s: want two IPv4 or two IPv6 addresses", s.At.Start.Line, from, to)
	}
	r.frameID++
	h := stt.FrameHeader{ContextID: s.ContextID, Flags: stt.FlagChecksumVerified}
	frame := append(make([]byte, stt.FrameHeaderLen), s.Packet.Data...)
	path := stt.Path{Src: from, Dst: to, SrcPort: 50000, DstPort: r.policy.Settings().STTPorts[0], TTL: 64, DontFragment: true}
	packet := stt.AppendSegment(nil, &path, &stt.Piece{FrameID: r.frameID, FrameLength: len(frame), Payload: frame, Header: &h})
	r.out.Reset()
	r.event = firewall.FrameEvent{}
	r.firewall.Process(r.now, &firewall.Packet{ID: 1, Data: packet, Length: len(packet)}, &r.out)
	for len(r.out.List) == 0 {
		// A later fragment waits for its first one; each step is decided before the
		// next one.
		deadline, ok := r.firewall.NextDeadline()
		if !ok {
			break
		}
		r.now = max(r.now, deadline)
		r.firewall.Expire(r.now, &r.out)
	}
	return compare(s, &r.event), nil
}

func compare(s *policy.Step, e *firewall.FrameEvent) string {
	var gots []string
	got := policy.Drop
	if e.Verdict == firewall.Accept {
		got = policy.Accept
	} else if e.Decision.Action == policy.Reject {
		got = policy.Reject
	}
	wants := []string{s.Expect.String()}
	if s.Rule != "" && s.Rule != ruleOf(e) {
		wants = append(wants, "by "+s.Rule)
	}
	if s.Reason != reason.None && s.Reason != e.Reason && s.Reason != e.Decision.Would {
		wants = append(wants, "because of "+s.Reason.String())
	}
	if got == s.Expect && len(wants) == 1 {
		return ""
	}
	gots = append(gots, got.String())
	switch e.Reason {
	case reason.None, reason.TenantDefault, reason.ContextUnknown:
		gots = append(gots, "by "+deciderOf(e))
	default: // where no rule has decided, no default has
		if e.Decision.Rule != "" {
			gots = append(gots, "by "+e.Decision.Rule)
		}
	}
	if e.Reason != reason.None {
		gots = append(gots, "because of "+e.Reason.String())
	}
	if e.Decision.Audit {
		gots = append(gots, "in audit mode, else because of "+e.Decision.Would.String())
	}
	return fmt.Sprintf("expected %s, got %s", strings.Join(wants, " "), strings.Join(gots, " "))
}

// ruleOf names what decided; "default" where no rule did.
func ruleOf(e *firewall.FrameEvent) string {
	if e.Decision.Rule == "" {
		return "default"
	}
	return e.Decision.Rule
}

// deciderOf names what decided for a person.
func deciderOf(e *firewall.FrameEvent) string {
	if e.Decision.Neighbor {
		return "neighbour discovery"
	}
	return ruleOf(e)
}
