package tui

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	tea "charm.land/bubbletea/v2"

	"sttwall/control"
	"sttwall/dissect"
	"sttwall/filter"
)

const (
	// lastFrames is how many frames of a flow are kept, the newest.
	lastFrames = 64
	// sampleFrames is how many are taken at most in one go, and sampleTime how long
	// is waited for them: a fast flow shows some of its frames, and costs little.
	sampleFrames = 8
	sampleTime   = 900 * time.Millisecond
	// frameSnap is how many bytes of each are asked for.
	frameSnap = 256
)

// frameSample is what came of one go.
type frameSample []control.Frame

var errEnough = errors.New("enough")

// sampleOf asks for the next frames of a flow, in both directions.
func sampleOf(f *control.Flow, wait time.Duration) question {
	q := control.FrameQuery{Filter: bothWaysFilter(f), Snap: frameSnap}
	return func(ctx context.Context, fw Firewall) (any, error) {
		ctx, cancel := context.WithTimeout(ctx, wait)
		defer cancel()
		var sample frameSample
		err := fw.Frames(ctx, q, func(f *control.Frame) error {
			if sample = append(sample, *f); len(sample) == sampleFrames {
				return errEnough
			}
			return nil
		}, nil)
		var refused *control.Error
		if errors.As(err, &refused) {
			return sample, refused
		}
		// That the time is over, that there are enough, or that the firewall has gone
		// meanwhile, says nothing about frames.
		return sample, nil
	}
}

// bothWaysFilter selects the frames of a flow in both directions.
func bothWaysFilter(f *control.Flow) string {
	terms := []string{"tenant:" + filter.Quote(f.Tenant), "proto:" + f.Protocol, "host:" + f.Src.String(), "host:" + f.Dst.String()}
	if f.SrcPort != nil {
		terms = append(terms, fmt.Sprintf("port:%d", *f.SrcPort))
	}
	if f.DstPort != nil {
		terms = append(terms, fmt.Sprintf("port:%d", *f.DstPort))
	}
	contexts := "context:" + contextText(f.Context)
	if f.ReplyContext != nil && *f.ReplyContext != f.Context {
		contexts += "," + contextText(*f.ReplyContext)
	}
	return strings.Join(append(terms, contexts), " ")
}

// sample asks for frames, unless it is asked already.
func (s *flow) sample() tea.Cmd {
	if s.sampling || s.ended || s.noFrames != nil || s.env.paused {
		return nil
	}
	s.sampling = true
	return s.env.callUntil(s.open, s, sampleOf(&s.flow, s.env.sampleTime))
}

// takeFrames takes a sample. A firewall that refuses them is not asked again.
func (s *flow) takeFrames(sample frameSample, refused error) {
	s.sampling, s.noFrames = false, refused
	s.frames = append(s.frames, sample...)
	s.frames = s.frames[max(0, len(s.frames)-lastFrames):]
}

// sent reports whether a frame goes the way of the flow's first packet.
func (s *flow) sent(f *control.Frame) bool {
	same := f.Src == s.flow.Src
	if f.Inner.SrcPort != nil && s.flow.SrcPort != nil {
		same = same && *f.Inner.SrcPort == *s.flow.SrcPort
	}
	return same
}

// frameLines are the newest frames, the newest first, and what is in that.
func (s *flow) frameLines(room, most int) []string {
	e := s.env
	lines := []string{e.line(room, piece{toneTitle, "Last packets"})}
	switch {
	case s.noFrames != nil:
		return append(lines, e.line(room, piece{toneDim, "  not to be had: " + s.noFrames.Error()}))
	case len(s.frames) == 0:
		return append(lines, e.line(room, piece{toneDim, "  none since this was opened"}))
	}
	newest := &s.frames[len(s.frames)-1]
	layers := s.layers(newest, room)
	n := min(len(s.frames), max(3, most-len(lines)-len(layers)-2))
	for i := range n {
		f := &s.frames[len(s.frames)-1-i]
		arrow, as := ">", tonePlot
		if !s.sent(f) {
			arrow, as = "<", tonePlot2
		}
		lines = append(lines, e.line(room, piece{toneDim, "  " + f.Time.Local().Format("15:04:05.000")}, piece{as, " " + arrow + " "},
			piece{verdictTone(f.Verdict), fit(verdictText(f.Verdict), 9)}, piece{toneText, fitRight(countText(uint64(f.InnerBytes)), 6)},
			piece{toneDim, " bytes  "}, piece{toneText, lastLayer(f)}))
	}
	lines = append(lines, "", e.line(room, piece{toneTitle, "Inside the newest"}))
	return append(lines, layers...)
}

// layers is what is in a frame, a line for each layer.
func (s *flow) layers(f *control.Frame, room int) (lines []string) {
	for _, l := range dissect.Dissect(&dissect.Frame{Header: f.Header, Data: f.Data, Length: f.InnerBytes}) {
		pieces := []piece{{toneStrong, "  " + fit(clean(l.Name), 18)}, {toneText, l.Summary}}
		if l.Note != "" {
			pieces = append(pieces, piece{toneWarn, "  " + l.Note})
		}
		lines = append(lines, s.env.line(room, pieces...))
	}
	return lines
}

// lastLayer says in a few words what the innermost header is.
func lastLayer(f *control.Frame) string {
	layers := dissect.Dissect(&dissect.Frame{Data: f.Data, Length: f.InnerBytes})
	for i := len(layers) - 1; i >= 0; i-- {
		switch layers[i].Name {
		case "payload", "trailer", "Payload", "Trailer":
			continue
		}
		return layers[i].Name + "  " + layers[i].Summary
	}
	return ""
}
