package doctor

import (
	"errors"
	"fmt"
	"strings"

	"sttwall/nfq"
)

// besideQueue looks whether STT meets the rule that leads to the firewall's queues, where
// those rules are the operator's own.
func besideQueue(h *host) (string, []Finding, error) {
	s, err := h.rules()
	if err != nil {
		return "", nil, err
	}
	if _, there := h.tableQueues(s); there {
		return "the table of sttwall leads to its queues", nil, nil
	}
	samples, err := h.samples()
	if err != nil {
		return "", nil, err
	}
	var found []Finding
	told := make(map[*chain]bool)
	led, missed := 0, []packet(nil)
	for _, place := range h.Hooks {
		for _, p := range samples {
			leads := false
			for _, c := range s.others(hookOfQueue(place), p.v4) {
				if c.family == "bridge" || !s.leadsToQueue(c, p, h.ours) {
					continue
				}
				leads = true
				f, ok := fateOf(s, p, met{c, ctInvalid | ctUntracked}, accepted)
				if !ok || f.text == policyAccept && !f.certain || told[c] {
					continue
				}
				told[c] = true
				found = append(found, Finding{Severity: severityOf(f), What: fmt.Sprintf("%s lets STT pass before the rule that hands it to the firewall's queue: uninspected", c.where()),
					Evidence: []string{c.where() + ": " + f.text, "for a packet " + p.text()},
					Cure:     "Put the rule that leads to the queue in front of that one, or give up --no-nft: sttwall nft --rules FILE prints the rules that run puts in"})
			}
			if leads {
				led++
			} else {
				missed = append(missed, p)
			}
		}
	}
	if led == 0 && len(s.unread) > 0 {
		return "", nil, errors.New(strings.Join(s.unread, "; "))
	}
	known := len(missed) > 0 && missed[0].src.IsValid()
	if led > 0 && !known || len(missed) == 0 {
		return fmt.Sprintf("rules of others lead %d packets to the queues", led), found, nil
	}
	runs, hidden, err := h.firewalls()
	switch {
	case err != nil:
		return "", found, err
	case len(runs) == 0 && len(hidden) > 0:
		return "", found, fmt.Errorf("not allowed: on which queues process %s listens", strings.Join(hidden, ", "))
	case len(runs) == 0:
		return "no table of sttwall, and no sttwall listens", found, nil
	}
	found = append(found, Finding{What: "sttwall runs, and no rule hands STT to its queues: it passes uninspected",
		Evidence: []string{runs[0].text(), "table inet " + nfq.TableName + ": not there", "for a packet " + missed[0].text()},
		Cure:     "Start it without --no-nft, or load rules that lead to its queues: sttwall nft --rules FILE prints them"})
	return "", found, nil
}

// ours reports whether a queue's number is one of the firewall's.
func (h *host) ours(queue uint16) bool { return queue >= h.Queue && int(queue) < int(h.Queue)+256 }

// leadsToQueue reports whether a rule of a base chain, or of those that it jumps to, hands
// the packet to such a queue.
func (s *ruleset) leadsToQueue(base *chain, p packet, wanted func(uint16) bool) bool {
	p.ct = ctInvalid | ctUntracked
	todo, seen := []*chain{base}, make(map[*chain]bool)
	for len(todo) > 0 {
		c := todo[0]
		if todo = todo[1:]; c == nil || seen[c] {
			continue
		}
		seen[c] = true
		for i := range c.rules {
			_, _, acts := c.rules[i].judge(&p)
			for _, a := range acts {
				switch {
				case a.kind == queued && wanted(a.queue):
					return true
				case a.kind == jumps || a.kind == goes:
					todo = append(todo, s.find(c, a.chain))
				}
			}
		}
	}
	return false
}
