package eventlog

import (
	"log/slog"
	"testing"
	"time"

	"sttwall/conntrack"
)

// BenchmarkLine makes a line of an event, as the goroutine of the log does.
func BenchmarkLine(b *testing.B) {
	l, err := New(Config{Targets: []Target{{path: "/x"}}, Sampled: rate(1e9), Log: slog.New(slog.DiscardHandler), Host: "fw1"})
	if err != nil {
		b.Fatal(err)
	}
	core := newCore(b, testRules, l.Observe)
	c := newCollector(l, core)
	c.put = func(*sink, line) {}
	c.setClock(time.Now())
	ends, leave, err := core.shared.Flows().WatchEnds()
	if err != nil {
		b.Fatal(err)
	}
	defer leave()
	core.send(b, 100, "udp 10.0.0.1:9 > 10.0.0.2:53", there)
	core.send(b, 100, "udp 10.0.0.1:9 > 10.0.0.2:54", there)
	core.pass(time.Hour)
	core.shared.Flows().Reap(core.Now())
	var begins, drops seen
	l.frames.Take(func(s *seen) { begins = *s })
	l.frames.Take(func(s *seen) { drops = *s })
	var end conntrack.End
	ends.Take(func(e *conntrack.End) { end = *e })
	for name, make := range map[string]func(){
		"flow_start": func() { s := begins; c.takeFrame(&s) },
		"drop":       func() { s := drops; c.takeFrame(&s) },
		"flow":       func() { c.emit(c.ended(&end, time.Now())) },
	} {
		b.Run(name, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				make()
			}
		})
	}
}
