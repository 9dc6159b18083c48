package plain

import (
	"sync"
	"time"
)

const (
	minutesADay = 24 * 60
	secondsADay = 24 * 60 * 60
)

// open says whether the window is open at that time. It lays the clock of the
// zone out as one row of minutes, day after day, and looks whether a window that
// opened on one of the last days is open.
func (w *Window) open(wall int64) bool {
	now := time.Unix(wall, 0).In(zone(w.Zone))
	today := dayNumber(now.Year(), now.Month(), now.Day())
	minute := today*minutesADay + now.Hour()*60 + now.Minute()
	for day := today - 1; day <= today; day++ {
		// > and belongs to the day on which it opens.
		if !w.onDay(day) {
			continue
		}
		opens, closes := day*minutesADay+w.from(), day*minutesADay+w.to()
		// > The first minute that is out again. Not after from: the window goes over midnight
		if closes <= opens {
			closes += minutesADay
		}
		if opens <= minute && minute < closes {
			return true
		}
	}
	return false
}

// > | `from` | "HH:MM" | "00:00" | The first minute. |
func (w *Window) from() int { return max(0, w.From) }

// > | `to` | "HH:MM" | "24:00" |
func (w *Window) to() int {
	if w.To < 0 {
		return minutesADay
	}
	return w.To
}

// Open has a letter for each rule with time blocks: whether it holds.
//
// > Flows are judged again when a window opens or closes.
func (p *Policy) Open(wall int64) string {
	lists := [][]*Rule{p.Before, p.After}
	for _, t := range p.Tenants {
		lists = append(lists, t.Rules)
	}
	var open []byte
	for _, list := range lists {
		for _, r := range list {
			if r.Times == nil {
				continue
			}
			letter := byte('-')
			if r.Holds("time", nil, &Packet{Wall: wall}) {
				letter = 'o'
			}
			open = append(open, letter)
		}
	}
	return string(open)
}

func (w *Window) onDay(day int) bool {
	date := time.Unix(int64(day)*secondsADay, 0).UTC()
	// > | `not_before` | "YYYY-MM-DD" | none | The first day. |
	// > | `not_after` | "YYYY-MM-DD" | none | The last day. |
	text := date.Format(time.DateOnly)
	if w.NotBefore != "" && text < w.NotBefore || w.NotAfter != "" && text > w.NotAfter {
		return false
	}
	// > | `days` | list of days and ranges | all | Days of the week. |
	for _, d := range w.Days {
		for n := d.Lo; ; n = (n + 1) % 7 {
			if int(n) == int(date.Weekday()) {
				return true
			}
			if n == d.Hi {
				break
			}
		}
	}
	return w.Days == nil
}

// dayNumber counts days from 1970.
func dayNumber(year int, month time.Month, day int) int {
	return int(time.Date(year, month, day, 0, 0, 0, 0, time.UTC).Unix() / secondsADay)
}

var zones sync.Map // by name, for they are read from disk

// > | `timezone` | name | "UTC" | A zone of the IANA database. |
func zone(name string) *time.Location {
	if name == "" {
		return time.UTC
	}
	if z, ok := zones.Load(name); ok {
		return z.(*time.Location)
	}
	z, err := time.LoadLocation(name)
	if err != nil {
		panic(err)
	}
	zones.Store(name, z)
	return z
}
