package policy

import (
	"fmt"
	"slices"
	"strings"
	"time"
	_ "time/tzdata" // hosts without a zone database

	"github.com/hashicorp/hcl/v2/hclsyntax"
)

// timeCondition holds while any of its windows is open.
type timeCondition struct{ windows []timeWindow }

// timeWindow is a span of the day on some days, in a time zone.
type timeWindow struct {
	days                uint8 // bit 0: Sunday
	from, to            int   // minutes of the day; to <= from: over midnight
	zone                *time.Location
	notBefore, notAfter int // days since 1970-01-01 in the zone; both inclusive
}

func (c *timeCondition) contains(wall int64) bool {
	for i := range c.windows {
		if c.windows[i].contains(wall) {
			return true
		}
	}
	return false
}

// String writes the windows: "mon-fri 08:00-18:00 Europe/Berlin".
func (c *timeCondition) String() string {
	parts := make([]string, len(c.windows))
	for i := range c.windows {
		parts[i] = c.windows[i].String()
	}
	return strings.Join(parts, " or ")
}

// timeText says of when a packet is, in the zone of each window.
func (c *timeCondition) timeText(wall int64) string {
	var parts []string
	for i := range c.windows {
		t := time.Unix(wall, 0).In(c.windows[i].zone)
		if s := strings.ToLower(t.Format("Mon")) + t.Format(" 2006-01-02 15:04 ") + t.Location().String(); !slices.Contains(parts, s) {
			parts = append(parts, s)
		}
	}
	return "of " + strings.Join(parts, ", which is ")
}

func (w *timeWindow) String() string {
	var days []string
	for i := 1; i <= 7; i++ { // from Monday on
		if w.days&(1<<(i%7)) != 0 {
			days = append(days, dayWords[i%7])
		}
	}
	text := fmt.Sprintf("%s %02d:%02d-%02d:%02d %s", strings.Join(days, ","), w.from/60, w.from%60, w.to/60, w.to%60, w.zone)
	date := func(day int) string { return time.Unix(int64(day)*86400, 0).UTC().Format(time.DateOnly) }
	if w.notBefore > -1<<40 {
		text += " from " + date(w.notBefore)
	}
	if w.notAfter < 1<<40 {
		text += " to " + date(w.notAfter)
	}
	return text
}

// contains reports whether the window is open at wall, in seconds since 1970. A
// window over midnight belongs to the day on which it opens.
func (w *timeWindow) contains(wall int64) bool {
	t := time.Unix(wall, 0).In(w.zone)
	minute := t.Hour()*60 + t.Minute()
	weekday := int(t.Weekday())
	_, offset := t.Zone()
	day := int(floorDiv(wall+int64(offset), 86400))
	if w.from < w.to {
		return w.on(weekday, day) && w.from <= minute && minute < w.to
	}
	return minute >= w.from && w.on(weekday, day) ||
		minute < w.to && w.on((weekday+6)%7, day-1)
}

func (w *timeWindow) on(weekday, day int) bool {
	return w.days&(1<<weekday) != 0 && w.notBefore <= day && day <= w.notAfter
}

func floorDiv(a, b int64) int64 {
	q := a / b
	if a%b < 0 {
		q--
	}
	return q
}

var dayWords = []string{"sun", "mon", "tue", "wed", "thu", "fri", "sat"}

// timeWindow compiles a time block.
func (l *loader) timeWindow(b *hclsyntax.Block) (w timeWindow, ok bool) {
	errors := l.errors
	l.check(b.Body, b.DefRange(), timeSchema)
	w = timeWindow{days: 0x7f, to: 24 * 60, zone: time.UTC, notBefore: -1 << 40, notAfter: 1 << 40}
	for _, a := range sortedAttributes(b.Body) {
		switch a.Name {
		case "days":
			w.days = l.days(a)
		case "from":
			w.from = l.minute(a)
		case "to":
			w.to = l.minute(a)
		case "timezone":
			w.zone = l.zone(a)
		case "not_before":
			w.notBefore = l.date(a)
		case "not_after":
			w.notAfter = l.date(a)
		}
	}
	if l.errors == errors && w.notBefore > w.notAfter {
		l.errorf(b.DefRange(), "Never open", "Expected not_before no later than not_after.")
	}
	return w, l.errors == errors
}

func (l *loader) days(a *hclsyntax.Attribute) uint8 {
	const example = `["mon-fri", "sun"]`
	var set uint8
	for _, v := range l.list(a, example, "Leave days out for every day.") {
		first, last, isRange := strings.Cut(v.text, "-")
		from, to := dayOf(first), dayOf(last)
		if !isRange {
			to = from
		}
		if v.kind != kindString || from < 0 || to < 0 {
			l.errorf(v.at, "Invalid day", "Expected days out of %s and ranges of them, as in %s; this is %s.", oneOf(dayWords), example, v.source)
			continue
		}
		for d := from; ; d = (d + 1) % 7 {
			set |= 1 << d
			if d == to {
				break
			}
		}
	}
	return set
}

func dayOf(s string) int {
	for i, w := range dayWords {
		if s == w {
			return i
		}
	}
	return -1
}

// minute compiles "HH:MM" to the minute of the day.
func (l *loader) minute(a *hclsyntax.Attribute) int {
	v := l.value(a.Expr)
	if v.failed {
		return 0
	}
	if v.kind == kindString && v.text == "24:00" {
		return 24 * 60
	}
	t, err := time.Parse("15:04", v.text)
	if v.kind != kindString || err != nil {
		l.errorf(v.at, "Invalid time", `Expected a time of day such as "08:00", to "24:00"; this is %s.`, v.source)
		return 0
	}
	return t.Hour()*60 + t.Minute()
}

func (l *loader) zone(a *hclsyntax.Attribute) *time.Location {
	v := l.value(a.Expr)
	if v.kind == kindString && v.text != "Local" && v.text != "" {
		if zone, err := time.LoadLocation(v.text); err == nil {
			return zone
		}
	}
	if !v.failed {
		l.errorf(v.at, "Invalid timezone", `Expected a zone of the IANA database, such as "Europe/Berlin" or "UTC"; this is %s.`, v.source)
	}
	return time.UTC
}

// date compiles "YYYY-MM-DD" to days since 1970.
func (l *loader) date(a *hclsyntax.Attribute) int {
	v := l.value(a.Expr)
	if v.failed {
		return 0
	}
	t, err := time.Parse(time.DateOnly, v.text)
	if v.kind != kindString || err != nil {
		l.errorf(v.at, "Invalid date", `Expected a date such as "2026-12-31"; this is %s.`, v.source)
		return 0
	}
	return int(floorDiv(t.Unix(), 86400))
}
