package main

import (
	"fmt"
	"os"
	"runtime"
	"strings"
)

// printMemory prints what the process has, in MB of a million bytes.
func printMemory(when string) error {
	text, err := os.ReadFile("/proc/self/status")
	if err != nil {
		return err
	}
	of := make(map[string]float64)
	for line := range strings.Lines(string(text)) {
		if name, rest, found := strings.Cut(line, ":"); found {
			var kilobytes float64
			if _, err := fmt.Sscan(rest, &kilobytes); err == nil {
				of[name] = kilobytes * 1024 / 1e6
			}
		}
	}
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	fmt.Printf("memory, %s: resident %.0f MB (most so far %.0f); heap %.0f MB, next collection at %.0f\n",
		when, of["VmRSS"], of["VmHWM"], float64(m.HeapAlloc)/1e6, float64(m.NextGC)/1e6)
	return nil
}
