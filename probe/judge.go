package probe

import "fmt"

// judge fills in the findings.
func (r *Report) judge() {
	find := func(format string, args ...any) { r.Findings = append(r.Findings, fmt.Sprintf(format, args...)) }
	if !r.Answered {
		find("no answer from %v under Context ID %d: is an endpoint there that runs with --answer-probes %d and lists this one, and do firewalls on the way let it pass (udp/%d)?",
			r.Remote, r.ContextID, r.ContextID, Port)
		return
	}
	if r.MTUForward < r.PathMTU {
		find("to %v at most %d bytes pass with DF, but packets of %d are sent: give --mtu %d to the endpoint here, or mend the path", r.Remote, r.MTUForward, r.PathMTU, r.MTUForward)
	}
	if r.MTUBack < min(r.MTUForward, r.RemoteMTU) {
		find("back from %v at most %d bytes pass with DF, but packets of %d are sent: give --mtu %d to the endpoint there, or mend the path", r.Remote, r.MTUBack, min(r.MTUForward, r.RemoteMTU), r.MTUBack)
	}
	for _, f := range r.Frames {
		if f.Forward < f.Tried {
			find("frames of %d bytes in %s: %d of %d arrive at %v", f.Length, plural(f.Segments, "packet"), f.Forward, f.Tried, r.Remote)
		} else if f.Back < f.Forward {
			find("frames of %d bytes: %d of %d come back from %v", f.Length, f.Back, f.Tried, r.Remote)
		}
	}
	for _, w := range []struct {
		name string
		Way
	}{{"to " + r.Remote.String(), r.Forward}, {"back from " + r.Remote.String(), r.Back}} {
		if w.Lost > 0 {
			find("%d of %d frames were lost %s (%.1f%%)", w.Lost, w.Sent, w.name, 100*float64(w.Lost)/float64(w.Sent))
		}
		if w.Duplicates > 0 {
			find("%d frames came twice %s: a doubled segment makes firewalls and receivers drop its frame", w.Duplicates, w.name)
		}
		if w.BadChecksum > 0 {
			find("%d packets %s had a wrong TCP checksum: something rewrites without mending it", w.BadChecksum, w.name)
		}
		if w.Refused > 0 {
			find("%d packets %s were no segments any more: IP options, fragments or headers that do not fit", w.Refused, w.name)
		}
	}
	for _, c := range r.Changes {
		if c.Hurts {
			find("%s: %s was changed from %s to %s in %d of %d frames: %s", c.Direction, c.Field, c.Sent, c.Seen, c.Frames, c.Of, c.Means)
		}
	}
}
