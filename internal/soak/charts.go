package soak

import (
	"fmt"
	"time"

	"sttwall/internal/benchreport"
)

// Charts draws the pictures, by the names of their files.
func Charts(samples []Sample, where string) map[string][]byte {
	took := time.Duration(0)
	if len(samples) > 0 {
		took = samples[len(samples)-1].After
	}
	unit, name := time.Minute, "minutes"
	if took < 4*time.Minute {
		unit, name = time.Second, "seconds"
	}
	var ticks []string
	for i := range 5 {
		ticks = append(ticks, fmt.Sprintf("%.0f", float64(took)/float64(unit)*float64(i)/4))
	}
	series := func(name string, tone benchreport.Tone, of func(*Sample) float64) benchreport.Series {
		s := benchreport.Series{Name: name, Tone: tone}
		for i := range samples {
			s.Values = append(s.Values, of(&samples[i]))
		}
		return s
	}
	draw := func(title string, panels ...benchreport.Panel) []byte {
		l := benchreport.Lines{Title: title, Subtitle: where, Axis: name, Ticks: ticks, Panels: panels}
		return l.SVG()
	}
	mib := func(n int64) float64 { return float64(n) / (1 << 20) }
	millis := func(d time.Duration) float64 { return float64(d) / float64(time.Millisecond) }
	return map[string][]byte{
		"soak-memory.svg": draw("Memory of the firewall", benchreport.Panel{Title: "MiB", Lines: []benchreport.Series{
			series("resident", benchreport.Own, func(s *Sample) float64 { return mib(s.Resident) }),
			series("heap", benchreport.Peer, func(s *Sample) float64 { return mib(s.Heap) }),
		}}),
		"soak-descriptors.svg": draw("What the firewall holds",
			benchreport.Panel{Title: "open files", Lines: []benchreport.Series{series("files", benchreport.Own, func(s *Sample) float64 { return float64(s.Files) })}},
			benchreport.Panel{Title: "goroutines and threads", Lines: []benchreport.Series{
				series("goroutines", benchreport.Own, func(s *Sample) float64 { return float64(s.Goroutines) }),
				series("threads", benchreport.Peer, func(s *Sample) float64 { return float64(s.Threads) }),
			}}),
		"soak-latency.svg": draw("From a question to its answer, through the firewall both ways",
			benchreport.Panel{Title: "p50, in milliseconds", Lines: []benchreport.Series{series("p50", benchreport.Own, func(s *Sample) float64 { return millis(s.P50) })}},
			benchreport.Panel{Title: "p99, in milliseconds", Lines: []benchreport.Series{series("p99", benchreport.Peer, func(s *Sample) float64 { return millis(s.P99) })}}),
	}
}
