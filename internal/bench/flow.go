package bench

import (
	"errors"
	"fmt"
	"net/netip"
	"strings"

	"sttwall/control"
	"sttwall/describe"
	"sttwall/inspect"
	"sttwall/internal/load"
	"sttwall/policy"
)

// Flow is what the source sends: packets of TCP or UDP over IPv4 that the rules let pass,
// and the tunnel around them.
type Flow struct {
	// ContextID is that of the frames, Back that of the answers.
	ContextID, Back uint64
	// From and To are the tunnel endpoints.
	From, To netip.Addr
	// Src and Dst are the inner ends of the first flow; see [load.Ends].
	Src, Dst       netip.AddrPort
	EthSrc, EthDst [6]byte
	TCP            bool
	// Rule decides about its first packet ("acme/web"); "" is a default.
	Rule string
}

// String describes the flow as users of `explain` write it.
func (f *Flow) String() string {
	protocol, by := "udp", "a default"
	if f.TCP {
		protocol = "tcp"
	}
	if f.Rule != "" {
		by = f.Rule
	}
	return fmt.Sprintf("context %d, %s %s > %s, from %s to %s, by %s", f.ContextID, protocol, f.Src, f.Dst, f.From, f.To, by)
}

// Asked is a packet that the user wants to be sent. Text is the inner packet as
// docs/packets.md has it; "" leaves the choice to [Choose].
type Asked struct {
	ContextID uint64
	Text      string
}

// Choose finds a flow that the rules let pass at wall, in ns since 1970: the one that is
// asked for, else one that a test of the file expects to pass, else one that the rules
// are found to accept. The last one of so many flows passes, too.
func Choose(p *policy.Policy, wall int64, asked Asked, flows int) (*Flow, error) {
	c := chooser{policy: p, wall: wall, flows: flows}
	if asked.Text != "" {
		f, why := c.try(asked)
		if why != "" {
			return nil, fmt.Errorf("context %d, %s: %s", asked.ContextID, asked.Text, why)
		}
		return f, nil
	}
	for _, t := range p.Tests() {
		if s := t.Steps[0]; s.Expect == policy.Accept {
			if f, why := c.try(Asked{s.ContextID, s.Text}); why == "" {
				return f, nil
			}
		}
	}
	return c.fromRules()
}

type chooser struct {
	policy *policy.Policy
	wall   int64
	flows  int
}

// fromRules takes what rules that drop everything would decide otherwise.
func (c *chooser) fromRules() (*Flow, error) {
	nothing, diagnostics := policy.Load("nothing.hcl", []byte("settings {\n  default_action = \"drop\"\n  endpoints = [\"any\"]\n}\n"))
	if diagnostics.HasErrors() {
		return nil, fmt.Errorf("rules that drop everything: %w", diagnostics)
	}
	for _, change := range policy.Compare(nothing, c.policy).Changes {
		if change.New.Action.String() != "accept" {
			continue
		}
		asked, ok := exampleOf(policy.ExampleText(&change.Example))
		if !ok {
			continue
		}
		if f, why := c.try(asked); why == "" {
			return f, nil
		}
	}
	return nil, errors.New("no TCP or UDP packet over IPv4, without a VLAN tag, is found that the rules let pass now: " +
		"name one with --context and --packet ('sttwall explain' says which passes)")
}

// exampleOf reads "context 0x64: tcp ...".
func exampleOf(text string) (Asked, bool) {
	id, packet, ok := strings.Cut(strings.TrimPrefix(text, "context "), ": ")
	if !ok {
		return Asked{}, false
	}
	context, err := control.ParseContextID(id)
	return Asked{uint64(context), packet}, err == nil
}

// try makes a flow of a packet; where it is nil, why says what is in its way.
func (c *chooser) try(asked Asked) (f *Flow, why string) {
	d, err := describe.Parse(asked.Text)
	if err != nil {
		return nil, err.Error()
	}
	frame := &d.Frame
	switch {
	case frame.IP != 4 || !frame.HasPorts || frame.Protocol == inspect.ProtocolSCTP || frame.Fragmented || frame.TagCount > 0:
		return nil, "what is sent is TCP or UDP over IPv4, without VLAN tags and not in fragments"
	case frame.HasTCP && frame.TCPFlags != inspect.SYN:
		return nil, "a flow begins with syn"
	}
	f = &Flow{
		ContextID: asked.ContextID, Back: c.back(asked.ContextID), TCP: frame.HasTCP,
		Src: netip.AddrPortFrom(frame.Src, load.FirstPort), Dst: netip.AddrPortFrom(frame.Dst, frame.DstPort),
		EthSrc: frame.EthSrc, EthDst: frame.EthDst,
	}
	f.From, f.To = c.policy.OuterEndpoints(&policy.Step{ContextID: asked.ContextID, Packet: d})
	if d.To.IsValid() && d.To != f.From {
		return f, c.opens(f)
	}
	// Anybody who may answer will do.
	first := ""
	for range partnersTried {
		if f.To = f.To.Next(); !f.To.IsValid() {
			break
		}
		if why = c.opens(f); why == "" {
			return f, ""
		}
		if first == "" {
			first = why
		}
	}
	return nil, first
}

// partnersTried is how many addresses behind the first endpoint are tried for the other.
const partnersTried = 64

// back is the context ID of answers.
func (c *chooser) back(id uint64) uint64 {
	if d, _ := c.policy.Find(id); d.TenantIndex >= 0 && c.policy.Tenant(d.TenantIndex).OVN {
		if back, ok := policy.OVNReverse(id); ok {
			return back
		}
	}
	return id
}
