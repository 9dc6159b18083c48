package tui

import (
	"fmt"
	"maps"
	"slices"
	"time"

	"sttwall/control"
	"sttwall/tui/plot"
)

// nearlyFull and quiteFull are the parts of a bound from which a gauge warns.
const nearlyFull, quiteFull = 0.8, 0.95

func (s *health) View(width, height int) string {
	if !s.heard {
		return s.env.empty(width, height, emptyTable{heard: s.heard, err: s.err, what: "answer"})
	}
	return s.scroll.View(s.env, s.lines(width), width, height)
}

// lines are all there is to tell, troubles first.
func (s *health) lines(room int) []string {
	e, h := s.env, &s.now
	var lines []string
	if len(h.Troubles) == 0 {
		lines = append(lines, e.line(room, piece{toneGood, "+ All is well"}, piece{toneDim, ": nothing is lost, and nothing nearly full"}))
	}
	for _, t := range h.Troubles {
		lines = append(lines, troubleWrapped(e, room, t)...)
	}
	part := func(title string, body ...string) {
		if e.height >= 30 {
			lines = append(lines, "")
		}
		lines = append(lines, e.line(room, piece{toneTitle, title}))
		lines = append(lines, body...)
	}
	part("Queues of the kernel", s.queueLines(room)...)
	r := &h.Reassembly
	part("Put together from segments and fragments",
		s.gauge(room, "frames", float64(r.Frames.Now), float64(r.Frames.Bound), countOf, piece{}),
		s.gauge(room, "packets held", float64(r.Packets.Now), float64(r.Packets.Bound), countOf, piece{}),
		s.gauge(room, "memory", float64(r.Memory.Now), float64(r.Memory.Bound), bytesOf, piece{}),
		s.gauge(room, "tombstones", float64(r.Tombstones.Now), float64(r.Tombstones.Bound), countOf, piece{toneDim, "of dropped frames"}),
		s.gauge(room, "inner fragments", float64(r.FragmentPackets.Now), float64(r.FragmentPackets.Bound), countOf,
			piece{toneDim, grouped(uint64(max(0, r.Fragments))) + " without their first"}))
	f := &h.Flows
	before := &s.before.Flows
	part("Tables",
		s.gauge(room, "flows", float64(f.Now), float64(f.Bound), countOf, piece{toneDim, grouped(uint64(max(0, f.HalfOpen))) + " half-open, " + s.rate(f.Created, before.Created) + " new"}),
		s.counts(room, "since the start", count{"begun", f.Created, toneText}, count{"expired", f.Expired, toneText}, count{"ended", f.Ended, toneText},
			count{"evicted", f.Evicted, toneWarn}, count{"refused", f.Refused, toneBad}),
		s.gauge(room, "bindings", float64(h.Bindings.Now), float64(h.Bindings.Bound), countOf,
			piece{toneDim, counted(int(h.Bindings.Moved), "move") + ", " + grouped(h.Bindings.Unlearned) + " not learned"}))
	if log := h.EventLog; log != nil {
		part("Event log", s.eventLogLines(room, log)...)
	}
	part("Process",
		s.counts(room, "memory", count{"heap", h.Memory.Heap, toneText}, count{"resident", h.Memory.Resident, toneText}),
		s.labelled(room, "goroutines", piece{toneText, grouped(uint64(max(0, h.Memory.Goroutines)))}),
		s.labelled(room, "control", piece{toneText, e.where}),
		s.labelled(room, "up", piece{toneText, ageText(time.Duration(h.Uptime * float64(time.Second)))}),
		s.counts(room, "event followers", count{"", uint64(max(0, h.Events.Followers)), toneText}, count{"lost", h.Events.Lost, toneWarn}))
	return lines
}

// troubleWrapped is a trouble with all its words.
func troubleWrapped(e *env, room int, t control.Trouble) []string {
	as := toneWarn
	if t.Severity == severityCritical {
		as = toneBad
	}
	const mark = 2
	var lines []string
	for i, text := range wrapLines([]string{clean(t.Severity) + ": " + clean(t.What)}, room) {
		if i == 0 {
			text = "! " + text[mark:]
		}
		lines = append(lines, e.paint(as, text))
	}
	for _, text := range wrapLines([]string{"do: " + clean(t.Remedy)}, room-mark) {
		lines = append(lines, e.paint(toneText, cut("  "+text, room)))
	}
	return lines
}

const healthLabel = 17

func (s *health) labelled(room int, label string, pieces ...piece) string {
	return s.env.line(room, append([]piece{{toneDim, "  " + fit(label, healthLabel)}}, pieces...)...)
}

func countOf(v float64) string { return countText(uint64(max(0, v))) }
func bytesOf(v float64) string { return bytesText(uint64(max(0, v))) }

// gauge is how full something is: a bar, the numbers, and words.
func (s *health) gauge(room int, label string, now, bound float64, write func(float64) string, words piece) string {
	bar := max(4, min(40, room-healthLabel-50))
	as, percent := tonePlot, ""
	if bound > 0 {
		part := now / bound
		switch {
		case part >= quiteFull:
			as = toneBad
		case part >= nearlyFull:
			as = toneWarn
		}
		percent = fmt.Sprintf("%.0f%%", 100*part)
	}
	number := write(now)
	if now < 0 {
		number, percent = "?", ""
	}
	return s.labelled(room, label, piece{as, plot.Bar(now, bound, bar, s.env.glyphs)}, piece{as, fitRight(percent, 5)},
		piece{toneStrong, fitRight(number, 8)}, piece{toneDim, fit(" of "+write(bound), 11)}, words)
}

// count is a counter, in a tone if it is not 0.
type count struct {
	name string
	n    uint64
	tone tone
}

// counts are counters beside each other; those of memory are in bytes.
func (s *health) counts(room int, label string, all ...count) string {
	var pieces []piece
	for _, c := range all {
		as, text := c.tone, grouped(c.n)
		if label == "memory" {
			text = bytesText(c.n)
		}
		if c.n == 0 {
			as = toneDim
		}
		if len(pieces) > 0 {
			pieces = append(pieces, piece{toneText, "  "})
		}
		if c.name != "" {
			text += " " + c.name
		}
		pieces = append(pieces, piece{as, text})
	}
	return s.labelled(room, label, pieces...)
}

// rate is how much a counter grew a second.
func (s *health) rate(now, before uint64) string {
	if s.seconds <= 0 {
		return perSecond(0)
	}
	return perSecond(float64(now-min(now, before)) / s.seconds)
}

// eventLogLines are a line for each target, and what never came so far.
func (s *health) eventLogLines(room int, log *control.EventLogHealth) []string {
	var lines []string
	for i := range log.Targets {
		t := &log.Targets[i]
		var before uint64
		if s.before.EventLog != nil {
			for _, was := range s.before.EventLog.Targets {
				if was.Target == t.Target {
					before = was.Written
				}
			}
		}
		as, text := toneText, "written"
		if t.Failing {
			as, text = toneBad, "cannot be written"
		}
		pieces := []piece{{as, text + "  "}, {toneStrong, s.rate(t.Written, before)}, {toneDim, " lines, " + grouped(t.Written) + " so far"}}
		for _, c := range []count{{"lost", t.Lost, toneBad}, {"errors", t.Errors, toneWarn}} {
			if c.n > 0 {
				pieces = append(pieces, piece{c.tone, "  " + grouped(c.n) + " " + c.name})
			}
		}
		lines = append(lines, s.labelled(room, "target", append([]piece{{toneText, t.Target + "  "}}, pieces...)...))
	}
	left := []count{{"lost before", log.Lost, toneBad}}
	for _, kind := range slices.Sorted(maps.Keys(log.LeftOut)) {
		left = append(left, count{clean(kind) + " left out by their bound", log.LeftOut[kind], toneText})
	}
	return append(lines, s.counts(room, "events", left...))
}

// queueLines are a gauge for each queue, and what was lost there.
func (s *health) queueLines(room int) []string {
	var lines []string
	for i := range s.now.Queues {
		q := &s.now.Queues[i]
		var before control.QueueHealth
		for j := range s.before.Queues {
			if s.before.Queues[j].Number == q.Number {
				before = s.before.Queues[j]
			}
		}
		lines = append(lines, s.gauge(room, fmt.Sprintf("queue %d", q.Number), float64(q.Waiting), float64(q.Length), countOf,
			piece{toneDim, s.rate(q.Packets, before.Packets) + " packets"}))
		var losses []count
		for _, c := range []count{{"lost as it was full", q.DroppedFull, toneBad}, {"lost for want of buffer", q.DroppedBuffer, toneBad},
			{"overruns", q.Overruns, toneBad}, {"late verdicts", q.Late, toneWarn}, {"refused", q.Refused, toneWarn}, {"errors", q.Errors, toneWarn}} {
			if c.n > 0 {
				losses = append(losses, c)
			}
		}
		if len(losses) > 0 {
			lines = append(lines, s.counts(room, "", losses...))
		}
	}
	if len(lines) == 0 {
		lines = append(lines, s.labelled(room, "none", piece{toneDim, "this firewall reads no queue"}))
	}
	return lines
}
