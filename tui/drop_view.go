package tui

import (
	"cmp"
	"fmt"
	"path/filepath"
	"strings"

	"sttwall/control"
	"sttwall/reason"
)

// From this size on, text and frame stand beside each other.
const besideWidth, besideHeight = 130, 24

// dropHead is the lines above the parts.
const dropHead = 2

func (s *drop) beside(width, height int) bool { return width >= besideWidth && height >= besideHeight }

// textWidth is the room of the parts that are text.
func (s *drop) textWidth(width int) int {
	if s.beside(width, s.env.height) {
		return width*9/20 - 2
	}
	return width
}

func (s *drop) textHeight(height int) int { return max(1, height-dropHead) }

func (s *drop) View(width, height int) string {
	e := s.env
	lines := []string{s.headLine(width), s.partsLine(width)}
	body := s.textHeight(height)
	if s.beside(width, height) {
		part := s.part
		if part == partFrame {
			part = partWhy
			if s.ruleHeard {
				part = partRule
			}
		}
		room := s.textWidth(width)
		lines = append(lines, beside(s.seenText(part, room, body), s.frameLines(width-room-2, body), room+2)...)
	} else if s.part == partFrame {
		lines = append(lines, s.frameLines(width, body)...)
	} else {
		lines = append(lines, s.seenText(s.part, width, body)...)
	}
	if e.height < len(lines) || height < len(lines) {
		lines = lines[:min(len(lines), height)]
	}
	return strings.Join(lines, "\n")
}

// seenText is the part of a text that is scrolled to.
func (s *drop) seenText(part dropPart, room, height int) []string {
	at := scroll{s.top[part]}
	return strings.Split(at.View(s.env, s.text(part, room), room, height), "\n")
}

// headLine says which frame it is.
func (s *drop) headLine(room int) string {
	f := &s.frame
	as := verdictTone(f.Verdict)
	pieces := []piece{{as, verdictText(f.Verdict)}, {toneText, "  "}}
	if !s.passed() {
		pieces = append(pieces, piece{toneStrong, cmp.Or(f.Reason, "no reason")}, piece{toneText, "  "})
	}
	pieces = append(pieces, piece{toneText, cmp.Or(f.Tenant, "no tenant") + "  "})
	if f.Src.IsValid() {
		pieces = append(pieces, piece{toneText, frameProtocol(f) + " "}, piece{toneStrong, end(f.Src, f.Inner.SrcPort)}, piece{toneDim, " > "}, piece{toneStrong, end(f.Dst, f.DstPort)})
	} else if p := frameProtocol(f); p != "" {
		pieces = append(pieces, piece{toneText, "ethertype " + p})
	}
	return s.env.line(room, append(pieces, piece{toneDim, "  " + ageText(s.env.now().Sub(f.Time)) + " ago"})...)
}

// partNames are as wide on the screen as they are here, and partGap more.
var partNames = [dropParts]string{"Why", "Frame", "Rule that would allow it"}

const partGap = 3

// partsLine names the parts; the one that has the keys is marked.
func (s *drop) partsLine(room int) string {
	e := s.env
	var pieces []piece
	for part, name := range partNames[:s.parts()] {
		if dropPart(part) == s.part {
			pieces = append(pieces, piece{toneTitle, "[" + name + "]"}, piece{toneText, " "})
		} else {
			pieces = append(pieces, piece{toneDim, " " + name + "  "})
		}
	}
	return e.line(room, append(pieces, piece{toneKey, "←→"}, piece{toneDim, " other part"})...)
}

// text is a part that is text, wrapped.
func (s *drop) text(part dropPart, room int) []string {
	switch part {
	case partWhy:
		return s.whyLines(room)
	case partRule:
		return s.ruleLines(room)
	}
	return nil
}

// plainText is a part without colours, as it is copied.
func (s *drop) plainText(part dropPart) []string {
	const room = 100
	lines := append([]string{s.headLine(room)}, s.text(part, room)...)
	for i := range lines {
		lines[i] = strings.TrimRight(stripStyles(lines[i]), " ")
	}
	return lines
}

const whyLabel = 10

// told is a label, and words that are wrapped beside it.
func (e *env) told(room int, label string, as tone, text string) []string {
	var out []string
	for i, line := range wrapLines([]string{clean(text)}, max(10, room-whyLabel)) {
		head := spaces(whyLabel)
		if i == 0 {
			head = fit(label, whyLabel)
		}
		out = append(out, e.line(room, piece{toneDim, head}, piece{as, strings.TrimPrefix(line, "  ")}))
	}
	return out
}

func (s *drop) whyLines(room int) []string {
	e, f := s.env, &s.frame
	var lines []string
	say := func(label string, as tone, text string) { lines = append(lines, e.told(room, label, as, text)...) }
	if !s.passed() {
		meaning, remedy := reasonWords(f.Reason)
		say("why", toneText, meaning)
		say("do", toneText, remedy)
	}
	if len(f.Data) > 0 && !s.passed() {
		lines = append(lines, e.line(room, piece{toneDim, fit("", whyLabel)}, piece{toneKey, "r"}, piece{toneText, " shows the smallest rule that would have allowed it"}))
	}
	if f.State != "" {
		say("was", toneText, f.State+" to the flow table")
	}
	if p := f.Spoofed; p != nil {
		text := p.Kind + " " + p.Value + " is declared for another endpoint"
		if p.LivesAt.IsValid() {
			text = p.Kind + " " + p.Value + " lives at " + p.LivesAt.String()
		}
		say("claims", toneBad, text)
	}
	for _, l := range s.layers {
		if l.Note != "" {
			say("wrong", toneBad, l.Name+": "+l.Note)
		}
		for _, field := range l.Fields {
			if field.Note != "" {
				say("wrong", toneBad, l.Name+", "+field.Name+" = "+field.Value+": "+field.Note)
			}
		}
	}
	lines = append(lines, "")
	switch {
	case len(f.Data) == 0:
		say("rules", toneDim, "no rule was asked: the frame never became whole, so nothing of it was kept")
	case s.whyErr != nil:
		say("rules", toneBad, s.whyErr.Error())
	case !s.explained:
		say("rules", toneDim, "asking ...")
	default:
		lines = append(lines, s.explainLines(room)...)
	}
	lines = append(lines, "")
	outer := addressText(f.From) + " > " + addressText(f.To) + ", source port " + fmt.Sprint(f.SrcPort) + fmt.Sprintf(", frame ID 0x%x, ", f.FrameID) + counted(f.Segments, "packet")
	say("tunnel", toneText, outer)
	if f.Context != nil {
		text := fmt.Sprintf("%s = %d", contextText(*f.Context), uint64(*f.Context))
		// Less has no ports in it, if it is of OVN at all.
		const ports = 1 << 24
		if *f.Context >= ports {
			text += "; as OVN has it: " + ovnText(uint64(*f.Context))
		}
		say("context", toneText, text)
	}
	return lines
}

// explainLines are what the firewall says of the rules.
func (s *drop) explainLines(room int) []string {
	e, x := s.env, &s.why
	var lines []string
	say := func(label string, as tone, text string) { lines = append(lines, e.told(room, label, as, text)...) }
	if s.otherSince {
		say("", toneWarn, "the rules and flows of now decide otherwise than then:")
	}
	say("now", verdictTone(s.decides()), verdictText(s.decides())+reasonIn(x))
	if why := cmp.Or(x.Reason, x.Would); why != "" && why != s.frame.Reason {
		meaning, _ := reasonWords(why)
		say("", toneText, meaning)
	}
	if live := x.Live; live != nil && live.State != "" {
		say("state", toneText, live.State+stateWords(live))
	}
	label := "rule"
	if x.Live != nil && x.Live.Flow != nil {
		flow := x.Live.Flow
		text := fmt.Sprintf("%s %s > %s, %s, %s", flow.Protocol, end(flow.Src, flow.SrcPort), end(flow.Dst, flow.DstPort), flow.State, flowVerdict(flow))
		if flow.Rule != "" {
			text += " by " + flow.Rule
		}
		say("flow", toneText, text)
	}
	for i := range x.Rules {
		if step := &x.Rules[i]; step.Matched {
			say(label, toneStrong, step.Rule+placeIn(step)+" matches")
			label = ""
		}
	}
	switch {
	case x.Default == "":
	case len(x.Rules) == 0:
		say("decided", toneStrong, x.Default)
	default:
		say(label, toneStrong, "none matches: "+x.Default)
	}
	tenant := x.Tenant
	if x.Claim != "" {
		tenant += " (" + x.Claim + ")"
	}
	if tenant != "" {
		say("tenant", toneText, tenant)
	}
	for _, b := range x.Bindings {
		say("binding", toneText, b)
	}
	if x.Changed {
		say("", toneWarn, "these rules are later ones than those that have decided about the frame")
	}
	label = "tried"
	for i := range x.Rules {
		step := &x.Rules[i]
		if step.Matched {
			continue
		}
		text := step.Rule + placeIn(step) + ": " + step.Condition + " is " + step.Want + ", the packet has " + step.Got
		say(label, toneDim, text)
		label = ""
	}
	if x.Omitted > 0 {
		say(label, toneDim, counted(x.Omitted, "more rule")+" did not match either")
	}
	return lines
}

func placeIn(step *control.RuleStep) string {
	switch {
	case step.File != "":
		return fmt.Sprintf(" (%s:%d)", filepath.Base(step.File), step.Line)
	case step.Pattern != "":
		return " (temporary: " + step.Pattern + ")"
	}
	return ""
}

// reasonIn is the reason of an explanation, as it follows a verdict.
func reasonIn(x *control.Explanation) string {
	if why := cmp.Or(x.Reason, x.Would); why != "" {
		return ", " + why
	}
	return ""
}

// stateWords says what a state means for the packet.
func stateWords(live *control.Live) string {
	switch live.State {
	case "original", "reply", "related":
		switch {
		case live.Belongs:
			return ": of a flow that is known"
		case live.Begins:
			return ": it would begin a flow"
		}
		return ": there is such a flow, and it does not belong to it"
	case "new":
		return ": of no flow that is known"
	case "invalid":
		return ": it can be of no flow, and begin none"
	case "untracked":
		return ": it has none"
	case "stale":
		return ": of a flow that the rules end"
	case "other_context":
		return ": of a flow that may not have this context ID"
	}
	return ""
}

// reasonWords are the meaning and the remedy of a reason.
func reasonWords(name string) (meaning, remedy string) {
	for r := reason.None; r < reason.Count; r++ {
		if r.String() == name {
			return r.Meaning(), r.Remedy()
		}
	}
	return "a reason that this program does not know: " + name, "ask with a program of the firewall's version"
}

func (s *drop) ruleLines(room int) []string {
	e := s.env
	switch {
	case s.ruleErr != nil:
		return append(e.told(room, "error", toneBad, s.ruleErr.Error()), e.line(room, piece{toneDim, fit("", whyLabel)}, piece{toneKey, "r"}, piece{toneText, " asks again"}))
	case !s.ruleHeard:
		return e.told(room, "", toneDim, "asking the firewall for the smallest rule that would let it pass ...")
	}
	var lines []string
	if s.rule.Text == "" {
		return append(e.told(room, "rule", toneWarn, "no rule would help"), e.told(room, "why", toneText, s.rule.Why)...)
	}
	lines = append(lines, e.told(room, "does", toneText, s.rule.Why)...)
	if s.rule.Place != "" {
		lines = append(lines, e.told(room, "goes", toneText, s.rule.Place)...)
	}
	if s.rule.Tried {
		lines = append(lines, e.told(room, "tried", toneGood, "the rules file with it loads, and accepts the frame")...)
	}
	lines = append(lines, e.line(room, piece{toneDim, fit("copy", whyLabel)}, piece{toneKey, "y"}, piece{toneText, " copies it; paste it there, then R twice on Rules, or 'sttwall reload'"}), "")
	for _, text := range strings.Split(strings.TrimRight(s.rule.Text, "\n"), "\n") {
		lines = append(lines, e.line(room, piece{toneText, "  "}, piece{toneStrong, strings.ReplaceAll(text, "\t", "  ")}))
	}
	return lines
}
