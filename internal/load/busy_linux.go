package load

import (
	"fmt"
	"os"
	"strconv"
	"strings"
)

// busy is the time in clock ticks that each CPU spent, in all and idle.
type busy []struct{ all, idle uint64 }

// readBusy reads /proc/stat (proc_stat(5)).
func readBusy() (busy, error) {
	text, err := os.ReadFile("/proc/stat")
	if err != nil {
		return nil, fmt.Errorf("load: %w", err)
	}
	var b busy
	for line := range strings.Lines(string(text)) {
		f := strings.Fields(line)
		if len(f) < 6 || !strings.HasPrefix(f[0], "cpu") || f[0] == "cpu" {
			continue
		}
		var c struct{ all, idle uint64 }
		for i, s := range f[1:min(len(f), 9)] { // guest time is in user time
			n, err := strconv.ParseUint(s, 10, 64)
			if err != nil {
				return nil, fmt.Errorf("load: /proc/stat: %w", err)
			}
			c.all += n
			if i == 3 || i == 4 { // idle, iowait
				c.idle += n
			}
		}
		b = append(b, c)
	}
	return b, nil
}

// since returns which part of the time each CPU was busy since before.
func (b busy) since(before busy) []float64 {
	parts := make([]float64, len(b))
	for i := range b {
		if i < len(before) && b[i].all > before[i].all {
			parts[i] = 1 - float64(b[i].idle-before[i].idle)/float64(b[i].all-before[i].all)
		}
	}
	return parts
}
