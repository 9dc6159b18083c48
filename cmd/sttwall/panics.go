package main

import (
	"log/slog"
	"time"

	"sttwall/firewall"
	"sttwall/limit"
)

// stackRate is how often the stack of a panic is logged: one tells as much as many of
// the same.
var stackRate = limit.Rate{Events: 1, Per: time.Minute, Burst: 2}

// logPanics returns what logs the mistakes of the firewall that it has contained. It does
// not wait for the log: at most [firewall.MostPanics] a minute and worker wait for it.
func logPanics(log *slog.Logger) func(*firewall.Panic) {
	stacks := limit.NewBucket(stackRate)
	return func(p *firewall.Panic) {
		list := []any{"panic", p.Value, "packets_dropped", p.Packets}
		if p.Known {
			list = append(list, "src", p.Src, "dst", p.Dst, "frame_id", p.FrameID)
		}
		if stacks.Take(p.Time, 1) {
			list = append(list, "stack", string(p.Stack))
		}
		go log.Error("sttwall has met a mistake of its own while it decided, dropped what it was about, and goes on: please report it (SECURITY.md)", list...)
	}
}
