package tui

import (
	"fmt"
	"strings"

	"sttwall/control"
)

func (s *flow) View(width, height int) string {
	return s.scroll.View(s.env, s.lines(width), width, height)
}

// labelled is a line with a word before it.
func (e *env) labelled(room int, label string, pieces ...piece) string {
	return e.line(room, append([]piece{{toneDim, "  " + fit(label, 13)}}, pieces...)...)
}

// sideBySide is from how many columns on the frames stand beside the rest.
const sideBySide = 170

// lines are all there is to tell, some of which may not fit.
func (s *flow) lines(room int) []string {
	if room < sideBySide {
		facts := append(s.facts(room), "")
		return append(append(facts, s.frameLines(room, s.env.height-len(facts))...), s.ruleLines(room)...)
	}
	half := room / 2
	left, right := append(s.facts(half-2), s.ruleLines(half-2)...), s.frameLines(room-half, s.env.height)
	for i, line := range right {
		if i == len(left) {
			left = append(left, "")
		}
		left[i] += spaces(half-styledWidth(left[i])) + line
	}
	return left
}

// facts is what is known of the flow.
func (s *flow) facts(room int) []string {
	e, f := s.env, &s.flow
	now := e.now()
	verdict := flowVerdict(f)
	lines := []string{e.line(room, piece{toneTitle, "Flow"}, piece{toneText, "  " + f.Protocol + "  "},
		piece{toneStrong, end(f.Src, f.SrcPort)}, piece{toneText, " > "}, piece{toneStrong, end(f.Dst, f.DstPort)})}
	if s.ended {
		lines[0] += e.line(max(0, room-styledWidth(lines[0])), piece{toneText, "  "}, piece{toneWarn, "has ended: this is what was last known"})
	}
	add := func(label string, pieces ...piece) { lines = append(lines, e.labelled(room, label, pieces...)) }
	add("tenant", piece{toneStrong, f.Tenant})
	verdictPieces := []piece{{verdictTone(verdict), verdictText(verdict)}}
	if f.WouldBe != "" {
		verdictPieces = append(verdictPieces, piece{toneText, fmt.Sprintf("  without audit mode: %s (%s)", f.WouldBe, f.Reason)})
	}
	add("verdict", verdictPieces...)
	switch {
	case f.Rule == "":
		add("rule", piece{toneText, "none matched: the tenant's default"})
	case s.rule != nil && s.rule.File != "":
		add("rule", piece{toneStrong, f.Rule}, piece{toneDim, fmt.Sprintf("  %s:%d", s.rule.File, s.rule.Line)})
	default:
		add("rule", piece{toneStrong, f.Rule})
	}
	add("state", piece{toneText, f.State}, piece{toneDim, "   age "}, piece{toneText, ageText(now.Sub(f.Begun))},
		piece{toneDim, "   last packet "}, piece{toneText, ageText(now.Sub(f.Last)) + " ago"},
		piece{toneDim, "   forgotten in "}, piece{toneText, ageText(f.Expires.Sub(now))})
	lines = append(lines, "")
	direction := func(label string, t control.Traffic, r *control.Rate, past []float64, as tone) {
		if r == nil {
			r = new(control.Rate)
		}
		pieces := []piece{{toneStrong, fitRight(bitsText(r.Bytes), 8)}, {toneText, fitRight(perSecond(r.Packets), 8)},
			{toneDim, fmt.Sprintf("  %s packets, %s  ", grouped(t.Packets), bytesText(t.Bytes))}}
		used := 15
		for _, p := range pieces {
			used += width(p.text)
		}
		pieces = append(pieces, piece{as, e.spark(past, min(60, room-used))})
		add(label, pieces...)
	}
	direction(">  sent", f.Original, f.OriginalRate, s.original, tonePlot)
	direction("<  replies", f.Reply, f.ReplyRate, s.reply, tonePlot2)
	lines = append(lines, "", e.line(room, piece{toneTitle, "Tunnel"}))
	add("endpoints", piece{toneText, addressText(f.From) + " > " + addressText(f.To)})
	if ports := s.outerPorts(); ports != nil {
		add("source ports", ports...)
	}
	context := func(label string, id control.ContextID) {
		add(label, piece{toneText, contextText(id)}, piece{toneDim, fmt.Sprintf("  = %d", uint64(id))})
		add("", piece{toneDim, "OVN  "}, piece{toneText, ovnText(uint64(id))})
	}
	context("context", f.Context)
	if f.ReplyContext != nil && *f.ReplyContext != f.Context {
		context("of replies", *f.ReplyContext)
	}
	if len(f.VLANs) > 0 {
		add("vlan", piece{toneText, strings.Trim(fmt.Sprint(f.VLANs), "[]")})
	}
	if s.err != nil {
		lines = append(lines, "", e.line(room, piece{toneBad, s.err.Error()}))
	}
	return lines
}

// outerPorts are those of the outer packets, as the newest frames had them; the
// senders choose them.
func (s *flow) outerPorts() (pieces []piece) {
	var newest [2]*control.Frame
	for i := range s.frames {
		f := &s.frames[i]
		if s.sent(f) {
			newest[0] = f
		} else {
			newest[1] = f
		}
	}
	for i, arrow := range []string{"> ", "< "} {
		if f := newest[i]; f != nil {
			pieces = append(pieces, piece{toneDim, arrow}, piece{toneText, fmt.Sprintf("%d   ", f.SrcPort)})
		}
	}
	return pieces
}

// ruleLines are the rule as it stands in the file.
func (s *flow) ruleLines(room int) []string {
	if s.rule == nil || s.rule.Text == "" {
		return nil
	}
	return append([]string{"", s.env.line(room, piece{toneTitle, "Rule"})}, s.env.ruleText(room, s.rule)...)
}

// ovnText reads a context ID as OVN packs it: 9 bits reserved, 15 ingress port, 16
// egress port, 24 logical datapath (ovn-architecture(7)).
func ovnText(id uint64) string {
	text := fmt.Sprintf("datapath %d, ingress port %d, egress port %d", id&0xffffff, id>>40&0x7fff, id>>24&0xffff)
	if reserved := id >> 55; reserved != 0 {
		text += fmt.Sprintf(", reserved bits 0x%x: not from OVN", reserved)
	}
	return text
}
