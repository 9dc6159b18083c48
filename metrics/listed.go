package metrics

import (
	"strings"

	"sttwall/firewall"
)

// Others is the label value of the tenants and rules that have no series of their
// own. Names in a rules file begin with a letter or "_": none can be called so.
const Others = "(others)"

// listed chooses which names have series of their own: as many as there is room
// for, the first ones of the rules file first. Who is chosen stays so until the
// name leaves the rules, whoever comes or goes: series do not flap, and how they
// are labelled does not depend on traffic.
//
// What the others count is added up here, so that their sum never falls: not when one
// of them leaves the rules, nor when one gets a series of its own. What such a
// name has counted since the scrape before is in no series.
type listed struct {
	limit  int
	labels map[string]string         // of the names that are chosen
	taken  map[string]bool           // the labels
	last   map[string]firewall.Tally // of the others, as it was when it was added
	sum    firewall.Tally            // of the others, since the start
}

func newListed(limit int) *listed {
	return &listed{limit: limit, labels: make(map[string]string), taken: make(map[string]bool), last: make(map[string]firewall.Tally)}
}

// choose takes the names that there are now, in the order of the rules file; it
// returns those of the others.
func (l *listed) choose(names []string) (others []string) {
	there := make(map[string]bool, len(names))
	for _, name := range names {
		there[name] = true
	}
	for name, label := range l.labels {
		if !there[name] {
			delete(l.labels, name)
			delete(l.taken, label)
		}
	}
	for name := range l.last {
		if !there[name] {
			delete(l.last, name)
		}
	}
	for _, name := range names {
		if _, chosen := l.labels[name]; chosen || !there[name] {
			continue
		}
		label := strings.ToValidUTF8(name, "\uFFFD")
		if len(l.labels) < l.limit && !l.taken[label] && label != Others {
			l.labels[name], l.taken[label] = label, true
			delete(l.last, name)
			continue
		}
		there[name] = false // a rule that goes both ways has its name twice
		others = append(others, name)
	}
	return others
}

// add adds what the others have counted since the last time, and returns the sum.
func (l *listed) add(others []string, tallies map[string]firewall.Tally) firewall.Tally {
	for _, name := range others {
		now := tallies[name]
		l.sum.Add(since(now, l.last[name]))
		l.last[name] = now
	}
	return l.sum
}

// since returns what was counted between two tallies. One that has fallen has
// begun anew.
func since(now, last firewall.Tally) firewall.Tally {
	grown := func(now, last uint64) uint64 {
		if now < last {
			return now
		}
		return now - last
	}
	return firewall.Tally{
		Frames: grown(now.Frames, last.Frames), Bytes: grown(now.Bytes, last.Bytes), Flows: grown(now.Flows, last.Flows),
		Dropped: grown(now.Dropped, last.Dropped), Audited: grown(now.Audited, last.Audited),
	}
}
