package limit

import (
	"fmt"
	"math"
	"strconv"
	"strings"
	"time"
)

// Rate is so many events in a time, and how many may come at once.
type Rate struct {
	Events uint64        // at least 1
	Per    time.Duration // more than 0
	Burst  uint64        // at least 1
}

// MaxEvents bounds [Rate.Events] and [Rate.Burst]: a nanosecond for each event
// is as fine as a bucket counts.
const MaxEvents = 1_000_000_000

var units = map[string]time.Duration{
	"s": time.Second, "sec": time.Second, "second": time.Second,
	"m": time.Minute, "min": time.Minute, "minute": time.Minute,
	"h": time.Hour, "hour": time.Hour,
	"d": 24 * time.Hour, "day": 24 * time.Hour,
}

// ParseRate reads "1000/s", "10/minute", "5/h" or "1/day". The burst is what a
// second allows, at least 1. The error says what was expected.
func ParseRate(s string) (Rate, error) {
	const form = `a rate such as "1000/s", "10/minute", "5/hour" or "1/day"`
	count, unit, ok := strings.Cut(s, "/")
	per, known := units[unit]
	if !ok || !known {
		return Rate{}, fmt.Errorf("expected %s; this is %q", form, s)
	}
	n, err := strconv.ParseUint(count, 10, 64)
	if err != nil || n == 0 || n > MaxEvents {
		return Rate{}, fmt.Errorf("expected %s, of 1 to %d events; this is %q", form, MaxEvents, s)
	}
	r := Rate{Events: n, Per: per, Burst: max(1, n/uint64(per/time.Second))}
	return r, r.Validate()
}

// Validate says what is out of bounds.
func (r Rate) Validate() error {
	switch {
	case r.Events == 0 || r.Events > MaxEvents:
		return fmt.Errorf("rate: %d events, want 1 to %d", r.Events, MaxEvents)
	case r.Burst == 0 || r.Burst > MaxEvents:
		return fmt.Errorf("rate: burst of %d, want 1 to %d", r.Burst, MaxEvents)
	case r.Per <= 0 || r.Per > 24*time.Hour:
		return fmt.Errorf("rate: per %v, want more than 0 and at most a day", r.Per)
	case r.interval() == 0:
		return fmt.Errorf("rate: %d events in %v are more than one a nanosecond", r.Events, r.Per)
	case r.Burst > math.MaxInt64/4/uint64(r.interval()):
		return fmt.Errorf("rate: a burst of %d at %d events in %v takes centuries to refill", r.Burst, r.Events, r.Per)
	}
	return nil
}

// interval is the time between two events, in ns.
func (r Rate) interval() int64 { return int64(r.Per) / int64(r.Events) }

// String writes the rate as [ParseRate] reads it.
func (r Rate) String() string {
	for _, u := range []string{"s", "minute", "hour", "day"} {
		if units[u] == r.Per {
			return fmt.Sprintf("%d/%s", r.Events, u)
		}
	}
	return fmt.Sprintf("%d/%v", r.Events, r.Per)
}
