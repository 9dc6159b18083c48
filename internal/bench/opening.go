package bench

import (
	"fmt"
	"math/rand/v2"
	"net/netip"

	"sttwall/control"
	"sttwall/describe"
	"sttwall/firewall"
	"sttwall/internal/load"
	"sttwall/stt"
)

// turn is one of the packets of a flow.
type turn struct {
	what string // for people
	text string // as docs/packets.md has it
	back bool   // it is an answer
}

// turns open a flow, and send a piece of data.
func (f *Flow) turns() []turn {
	there := fmt.Sprintf("%s > %s mac %s > %s ", f.Src, f.Dst, mac(f.EthSrc), mac(f.EthDst))
	back := fmt.Sprintf("%s > %s mac %s > %s ", f.Dst, f.Src, mac(f.EthDst), mac(f.EthSrc))
	if !f.TCP {
		return []turn{{"its first packet", "udp " + there + "len 50", false}, {"the answer", "udp " + back + "len 50", true}}
	}
	return []turn{
		{"its SYN", "tcp " + there + "syn seq 1000", false},
		{"the SYN+ACK", "tcp " + back + "syn ack seq 5000 ack-number 1001", true},
		{"the ACK", "tcp " + there + "ack seq 1001 ack-number 5001", false},
		{"its data", "tcp " + there + "ack seq 1001 ack-number 5001 len 50", false},
	}
}

func mac(a [6]byte) string {
	return fmt.Sprintf("%02x:%02x:%02x:%02x:%02x:%02x", a[0], a[1], a[2], a[3], a[4], a[5])
}

// openingFlows is the size of the flow table that an opening is tried with.
const openingFlows = 64

// opens reports whether the first and the last flow pass; "": they do, else it says what is
// dropped and why.
func (c *chooser) opens(f *Flow) string {
	if why := c.open(f); why != "" || c.flows == 1 {
		return why
	}
	last := *f
	if last.Src = (load.Ends{Client: f.Src.Addr()}).ClientOf(c.flows - 1); !last.Src.IsValid() {
		return fmt.Sprintf("%d flows: there are not so many addresses behind %s: ask for less with --flows", c.flows, f.Src.Addr())
	}
	if why := c.open(&last); why != "" {
		return fmt.Sprintf("flow %d of %d, from %s: %s", c.flows, c.flows, last.Src, why)
	}
	return ""
}

// open sends the packets that open a flow through a firewall of their own, and takes down
// which rule lets the first one pass. It says what is dropped and why; "" is nothing.
func (c *chooser) open(f *Flow) string {
	for _, e := range []netip.Addr{f.From, f.To} {
		if !e.Is4() {
			return fmt.Sprintf("tunnel endpoint %s: what is sent is IPv4 on the outside", e)
		}
		if control.ForeignEndpoint(c.policy, e) != nil {
			return fmt.Sprintf("tunnel endpoint %s is not in settings.endpoints", e)
		}
	}
	ids, err := firewall.NewFrameIDFilter(firewall.FrameIDConfig{})
	if err != nil {
		return err.Error()
	}
	shared, err := firewall.NewShared(c.policy.Fresh(openingFlows), ids)
	if err != nil {
		return err.Error()
	}
	var event firewall.FrameEvent
	core, err := firewall.New(firewall.Config{
		Shared: shared, Random: rand.NewPCG(1, 1), Observer: func(e *firewall.FrameEvent) { event = *e },
	})
	if err != nil {
		return err.Error()
	}
	var out firewall.Verdicts
	for i, turn := range f.turns() {
		d, err := describe.Parse(turn.text)
		if err != nil {
			return err.Error()
		}
		packet := f.encoded(turn, d.Data, uint32(i), c.policy.Settings().STTPorts[0])
		out.Reset()
		core.Process(c.wall, &firewall.Packet{ID: uint64(i), Data: packet, Length: len(packet)}, &out)
		if event.Verdict != firewall.Accept {
			return said(&event, turn.what)
		}
		if i == 0 {
			f.Rule = event.Decision.Rule
		}
	}
	return ""
}

// encoded puts an inner frame into its tunnel.
func (f *Flow) encoded(t turn, inner []byte, id uint32, port uint16) []byte {
	h := stt.FrameHeader{ContextID: f.ContextID, Flags: stt.FlagChecksumVerified}
	path := stt.Path{Src: f.From, Dst: f.To, SrcPort: 50000, DstPort: port, TTL: 64, DontFragment: true}
	if t.back {
		h.ContextID = f.Back
		path.Src, path.Dst = path.Dst, path.Src
	}
	frame := append(make([]byte, stt.FrameHeaderLen), inner...)
	return stt.AppendSegment(nil, &path, &stt.Piece{FrameID: id, FrameLength: len(frame), Payload: frame, Header: &h})
}

// said tells who drops a frame.
func said(e *firewall.FrameEvent, what string) string {
	by := "no rule lets it pass"
	if e.Decision.Rule != "" {
		by = "dropped by " + e.Decision.Rule
	}
	return fmt.Sprintf("%s: %s (%s: %s)", what, by, e.Reason, e.Reason.Meaning())
}
