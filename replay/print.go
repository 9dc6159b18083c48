package replay

import (
	"bufio"
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"net/netip"
	"slices"
	"strings"
	"time"

	"sttwall/reason"
)

// printer is one [Format].
type printer interface {
	frame(*Frame) error
	summary(*Summary) error
	flush() error
}

func newPrinter(out io.Writer, format Format) printer {
	w := bufio.NewWriterSize(out, 64<<10)
	if format == JSON {
		e := json.NewEncoder(w)
		e.SetEscapeHTML(false)
		return &jsonPrinter{w, e}
	}
	return &tablePrinter{w: w}
}

// silent prints nothing.
type silent struct{}

func (silent) frame(*Frame) error     { return nil }
func (silent) summary(*Summary) error { return nil }
func (silent) flush() error           { return nil }

type jsonPrinter struct {
	w *bufio.Writer
	e *json.Encoder
}

func (p *jsonPrinter) frame(f *Frame) error     { return p.e.Encode(f) }
func (p *jsonPrinter) summary(s *Summary) error { return p.e.Encode(s) }
func (p *jsonPrinter) flush() error             { return p.w.Flush() }

// columns of the table. Each is at least as wide as its heading and grows with
// what it has held, since a replay cannot know what is to come.
var columns = [...]string{"time (UTC)", "outer", "context", "inner", "verdict", "rule or reason"}

type tablePrinter struct {
	w      *bufio.Writer
	width  [len(columns)]int
	headed bool
}

func (p *tablePrinter) flush() error { return p.w.Flush() }

func (p *tablePrinter) frame(f *Frame) error {
	if !p.headed {
		p.headed = true
		// The widths of the common case, so that most tables need not grow.
		p.width = [len(columns)]int{15, 33, 12, 52, 7, 0}
		if err := p.row(columns); err != nil {
			return err
		}
	}
	why := f.Rule
	if reason := f.Reason + f.Would; reason != "" {
		why = reason
		if f.Would != "" {
			why = "audit: " + reason
		}
		if f.Rule != "" {
			why += " by " + f.Rule
		} else if f.Tenant != "" {
			why += " of " + f.Tenant
		}
	} else if why == "" {
		why = "default"
	}
	return p.row([len(columns)]string{
		time.Unix(0, int64(f.Time)).UTC().Format("15:04:05.000000"),
		endpoint(f.Outer.Src, &f.Outer.SrcPort) + " > " + f.Outer.Dst.String(),
		contextText(f.Header), f.InnerText(), f.Verdict, why,
	})
}

func (p *tablePrinter) row(cells [len(columns)]string) error {
	var b strings.Builder
	for i, cell := range cells {
		p.width[i] = max(p.width[i], len(cell))
		if i == len(cells)-1 {
			b.WriteString(cell)
		} else {
			fmt.Fprintf(&b, "%-*s  ", p.width[i], cell)
		}
	}
	_, err := fmt.Fprintln(p.w, b.String())
	return err
}

// contextText shows a Context ID without its leading zeros.
func contextText(h *Header) string {
	if h == nil {
		return "-"
	}
	digits := strings.TrimLeft(strings.TrimPrefix(h.ContextID, "0x"), "0")
	if digits == "" {
		return "0"
	}
	return "0x" + digits
}

// InnerText is the inner flow in one line.
func (f *Frame) InnerText() string {
	in := f.Inner
	switch {
	case in == nil && f.Header == nil:
		return fmt.Sprintf("(frame of %d bytes; packets seen: %d)", f.FrameLength, f.Segments)
	case in == nil:
		return fmt.Sprintf("(unreadable frame of %d bytes)", f.FrameLength)
	}
	var b strings.Builder
	for _, id := range in.VLAN {
		fmt.Fprintf(&b, "vlan %d ", id)
	}
	switch {
	case in.Protocol != nil:
		fmt.Fprintf(&b, "%s %s > %s", protocolName(*in.Protocol), endpoint(*in.Src, in.SrcPort), endpoint(*in.Dst, in.DstPort))
	case in.Src != nil:
		fmt.Fprintf(&b, "arp %s > %s", in.Src, in.Dst)
	default:
		fmt.Fprintf(&b, "%s %s > %s", in.EtherType, in.EthSrc, in.EthDst)
	}
	if in.TCPFlags != nil {
		fmt.Fprintf(&b, " %s", *in.TCPFlags)
	}
	if in.ICMPType != nil {
		fmt.Fprintf(&b, " type %d code %d", *in.ICMPType, *in.ICMPCode)
	}
	if in.Fragment != nil {
		fmt.Fprintf(&b, " fragment at %d", in.Fragment.Offset)
	}
	return b.String()
}

func endpoint(a netip.Addr, port *uint16) string {
	if port == nil {
		return a.String()
	}
	return netip.AddrPortFrom(a, *port).String()
}

func protocolName(p uint8) string {
	switch p {
	case 1:
		return "icmp"
	case 6:
		return "tcp"
	case 17:
		return "udp"
	case 58:
		return "icmp6"
	case 132:
		return "sctp"
	}
	return fmt.Sprintf("ip/%d", p)
}

func (p *tablePrinter) summary(s *Summary) error {
	if p.headed {
		fmt.Fprintln(p.w)
	}
	fmt.Fprintf(p.w, "%d packets: %d STT, %d not STT; %d with a VLAN tag outside, %d cut short, %d with an unfinished checksum\n",
		s.Packets, s.STT, s.NotSTT, s.Tagged, s.CutShort, s.Unfinished)
	byAudit := ""
	if s.Audited > 0 {
		byAudit = fmt.Sprintf(", %d by audit mode alone", s.Audited)
	}
	fmt.Fprintf(p.w, "%d frames: %d accepted (%d encoded anew%s), %d dropped (%d never whole)\n",
		s.Frames, s.Accepted, s.Rewritten, byAudit, s.Dropped, s.Incomplete)
	fmt.Fprintf(p.w, "%d packets would have left\n", s.Left)

	width := 0
	for _, names := range [][]string{keys(s.Tenants), keys(s.Rules), keys(s.Reasons)} {
		for _, name := range names {
			width = max(width, len(name))
		}
	}
	if len(s.Tenants) > 0 {
		fmt.Fprintf(p.w, "\n%-*s  %9s  %9s", width, "tenant", "accepted", "dropped")
		if s.Audited > 0 {
			fmt.Fprintf(p.w, "  %9s", "audited")
		}
		fmt.Fprintln(p.w)
	}
	for _, name := range keys(s.Tenants) {
		fmt.Fprintf(p.w, "%-*s  %9d  %9d", width, name, s.Tenants[name].Accepted, s.Tenants[name].Dropped)
		if s.Audited > 0 {
			fmt.Fprintf(p.w, "  %9d", s.Tenants[name].Audited)
		}
		fmt.Fprintln(p.w)
	}
	if len(s.Rules) > 0 {
		fmt.Fprintf(p.w, "\n%-*s  %9s\n", width, "rule", "frames")
	}
	for _, name := range keys(s.Rules) {
		fmt.Fprintf(p.w, "%-*s  %9d\n", width, name, s.Rules[name])
	}
	return p.reasons(s, width)
}

// reasons names what was dropped, why, and what to do about it.
func (p *tablePrinter) reasons(s *Summary, width int) error {
	if len(s.Reasons) > 0 {
		fmt.Fprintf(p.w, "\n%-*s  %9s\n", width, "reason", "dropped")
	}
	for r := reason.None + 1; r < reason.Count; r++ {
		if n := s.Reasons[r.String()]; n > 0 {
			fmt.Fprintf(p.w, "%-*s  %9d  %s\n", width, r, n, r.Meaning())
			fmt.Fprintf(p.w, "%-*s  %9s  > %s\n", width, "", "", r.Remedy())
		}
	}
	// The writer keeps the first error; the caller's flush tells of it.
	return nil
}

func keys[V any](m map[string]V) []string { return slices.Sorted(maps.Keys(m)) }
