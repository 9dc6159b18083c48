package tui

import (
	"fmt"
	"strconv"
	"time"
)

// countText writes a number in at most six columns: 0 to 99999, then 123k, 4.56M.
func countText(n uint64) string {
	if n < 100_000 {
		return strconv.FormatUint(n, 10)
	}
	return scaled(float64(n), 1000, []string{"", "k", "M", "G", "T", "P", "E"})
}

// bytesText writes a size in at most six columns.
func bytesText(n uint64) string {
	return scaled(float64(n), 1000, []string{"B", "kB", "MB", "GB", "TB", "PB", "EB"})
}

// bitsText writes bytes a second as bits a second, in at most seven columns.
func bitsText(bytes float64) string {
	return scaled(8*bytes, 1000, []string{"b/s", "kb/s", "Mb/s", "Gb/s", "Tb/s", "Pb/s", "Eb/s"})
}

// perSecond writes a rate.
func perSecond(n float64) string {
	return scaled(n, 1000, []string{"/s", "k/s", "M/s", "G/s", "T/s", "P/s", "E/s"})
}

// scaled writes three digits at most before its unit.
func scaled(n, step float64, units []string) string {
	i := 0
	for i < len(units)-1 && n >= step-0.5 {
		n /= step
		i++
	}
	switch {
	case n == 0:
		return "0" + units[i]
	case n < 9.95 && (i > 0 || n != float64(int(n))):
		return fmt.Sprintf("%.1f%s", n, units[i])
	}
	return fmt.Sprintf("%.0f%s", n, units[i])
}

// ageText writes a duration in at most six columns: 0s, 59s, 4m10s, 3h05m, 12d04h.
func ageText(d time.Duration) string {
	s := int64(max(0, d) / time.Second)
	switch {
	case s < 60:
		return fmt.Sprintf("%ds", s)
	case s < 3600:
		return fmt.Sprintf("%dm%02ds", s/60, s%60)
	case s < 86400:
		return fmt.Sprintf("%dh%02dm", s/3600, s%3600/60)
	case s < 100*86400:
		return fmt.Sprintf("%dd%02dh", s/86400, s%86400/3600)
	}
	return fmt.Sprintf("%dd", s/86400)
}

// grouped writes a number with a space between thousands.
func grouped(n uint64) string {
	s := strconv.FormatUint(n, 10)
	for i := len(s) - 3; i > 0; i -= 3 {
		s = s[:i] + " " + s[i:]
	}
	return s
}
