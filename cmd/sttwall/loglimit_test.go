package main

import (
	"net/netip"
	"strings"
	"testing"

	"sttwall/firewall"
)

// Who sends more frames to log than his rate loses his own lines, counted, and those of
// others are there.
func TestALogFloodIsBoundedAndHidesNobody(t *testing.T) {
	r, out := newTestReporter(t)
	flooder, other := netip.MustParseAddr("10.47.0.1"), netip.MustParseAddr("10.47.0.2")
	for r.limit.bucket(flooder) == r.limit.bucket(other) {
		other = other.Next()
	}
	frame := func(now int64, source netip.Addr) {
		e := firewall.FrameEvent{Time: now, Src: source}
		e.Decision.Log = true
		r.observe(&e)
		for len(r.frames) > 0 { // as the writer does meanwhile
			e := <-r.frames
			r.frame(&e)
		}
	}
	const flood, quiet = 50_000, 10
	for i := range int64(flood) { // within a second
		frame(i*20_000, flooder)
		if i%(flood/quiet) == 0 {
			frame(i*20_000, other)
		}
	}
	lines := strings.Count(out.String(), "outer_src=10.47.0.1 ")
	if want := int(sourceRate.Burst + sourceRate.Events); lines > want || lines < int(sourceRate.Burst) {
		t.Errorf("%d lines of %d frames, want up to %d", lines, flood, want)
	}
	if got := strings.Count(out.String(), "outer_src="+other.String()+" "); got != quiet {
		t.Errorf("of another source %d lines, want %d", got, quiet)
	}
	if missed := int(r.missed.Load()); missed != flood-lines {
		t.Errorf("%d frames counted as not logged, want %d", missed, flood-lines)
	}
	// In all, however many sources there are.
	before := strings.Count(out.String(), "msg=frame")
	for i := range 100_000 {
		frame(10e9, netip.AddrFrom4([4]byte{10, 48, byte(i >> 8), byte(i)}))
	}
	if got := strings.Count(out.String(), "msg=frame") - before; got > int(frameRate.Burst) {
		t.Errorf("%d lines at one moment, want up to %d", got, frameRate.Burst)
	}
}
