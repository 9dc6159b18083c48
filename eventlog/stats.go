package eventlog

import (
	"maps"
	"slices"
	"time"

	"sttwall/control"
	"sttwall/firewall"
)

// tellStats writes the counters: of the firewall, of this log, and of the tenants
// whose counters have moved.
func (c *collector) tellStats(now time.Time) {
	var elsewhere []control.Drop
	if c.config.Elsewhere != nil {
		elsewhere = c.config.Elsewhere()
	}
	totals := c.running.Totals()
	r := c.stats(now, c.started, &totals, elsewhere)
	r.Own.EventLog = c.Health()
	c.emit(r)
	c.tellTenants(now)
}

// tellTenants writes the counters that have moved since they were last written. Where
// there are too many, those behind the last one have their turn the next time.
func (c *collector) tellTenants(now time.Time) {
	_, is := c.running.Tallies()
	names := slices.Sorted(maps.Keys(is))
	at, found := slices.BinarySearch(names, c.turn)
	if found {
		at++
	}
	if c.tenants == nil {
		c.tenants = make(map[string]firewall.Tally)
	}
	maps.DeleteFunc(c.tenants, func(name string, _ firewall.Tally) bool {
		_, there := is[name]
		return !there
	})
	told := 0
	for i := range names {
		if told == maxTenants {
			return
		}
		name := names[(at+i)%len(names)]
		if is[name] == c.tenants[name] {
			continue
		}
		c.tenants[name], c.turn = is[name], name
		c.emit(c.tenant(now, name, is[name]))
		told++
	}
}
