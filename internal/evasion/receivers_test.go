package evasion

import (
	"math/rand/v2"
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"

	"sttwall/metrics"
	"sttwall/reason"
)

// tableCounters are drops of the nftables table that the firewall itself has no reason
// for; the test of package vitals has them.
var tableCounters = []string{"gso_too_small", "other_tunnel"}

const (
	rewrittenMetric = "sttwall_rewritten_frames_total"
	replacedMetric  = "sttwall_replaced_frame_ids_total"
)

// TestTheRowsOfReceiversAreShownByTheirCases holds docs/receivers.md to the cases: what a
// row is counted as is what its cases are, no more and no less.
func TestTheRowsOfReceiversAreShownByTheirCases(t *testing.T) {
	data, err := os.ReadFile("../../docs/receivers.md")
	if err != nil {
		t.Fatal(err)
	}
	text, listed := string(data), metrics.Reference()
	reasons := map[string]reason.Reason{}
	for r := reason.None + 1; r.Known(); r++ {
		reasons[r.String()] = r
	}
	for _, word := range regexp.MustCompile("`([a-z0-9]+_[a-z0-9_]+)").FindAllStringSubmatch(text, -1) {
		if _, ok := reasons[word[1]]; !ok && !slices.Contains(tableCounters, word[1]) && !strings.Contains(listed, "| `"+word[1]+"` |") {
			t.Errorf("%s is no reason, no counter of the table and no metric", word[1])
		}
	}
	cases := map[string][]Case{}
	for _, c := range Cases() {
		cases[c.Name] = append(cases[c.Name], c)
	}
	rows := 0
	for line := range strings.Lines(text) {
		cells := strings.Split(strings.Trim(strings.TrimSpace(line), "|"), " | ")
		if len(cells) != 6 || !strings.Contains(cells[0], "**") {
			continue
		}
		rows++
		row := cells[0]
		var counted []string
		for _, word := range regexp.MustCompile("`([^`]+)`").FindAllStringSubmatch(cells[4], -1) {
			counted = append(counted, word[1])
		}
		provoked, accepted, rewritten, replaced := map[string]bool{}, 0, 0, false
		for name := range strings.SplitSeq(strings.TrimSpace(cells[5]), "; ") {
			found := cases[name]
			if len(found) != 1 {
				t.Errorf("%s: %d cases are called %q", row, len(found), name)
				continue
			}
			c := found[0]
			for _, r := range c.Reasons {
				if r != reason.TenantDefault && r != reason.RuleDrop { // the rules deny it, whoever receives it
					provoked[r.String()] = true
				}
			}
			accepted += c.Accepted
			if c.On != 0 && c.On&OnPlain == 0 {
				continue
			}
			s := &Script{Way: OnPlain}
			c.Send(s)
			r, err := Run(s, rand.New(rand.NewPCG(1, 2)))
			if err != nil {
				t.Fatal(err)
			}
			rewritten += r.Rewritten
			replaced = replaced || otherIDs(s, r)
		}
		for _, word := range counted {
			switch {
			case word == rewrittenMetric:
				if rewritten == 0 {
					t.Errorf("%s: no case has a frame leave with other bytes", row)
				}
			case word == replacedMetric:
				if !replaced {
					t.Errorf("%s: no case has a frame leave with another ID", row)
				}
			case !provoked[word]:
				t.Errorf("%s: no case provokes %s", row, word)
			}
		}
		for word := range provoked {
			if !slices.Contains(counted, word) {
				t.Errorf("%s: a case provokes %s, which the row does not name", row, word)
			}
		}
		if rewritten > 0 && !slices.Contains(counted, rewrittenMetric) && !slices.Contains(counted, replacedMetric) {
			t.Errorf("%s: frames leave with other bytes, and the row does not say so", row)
		}
		if len(counted) == 0 && accepted == 0 {
			t.Errorf("%s: nothing is counted and nothing passes", row)
		}
	}
	if rows < 24 {
		t.Errorf("%d rows were found", rows)
	}
}

// otherIDs reports whether a frame left with an ID that nobody has sent.
func otherIDs(s *Script, r *Result) bool {
	sent := map[uint32]bool{}
	for _, p := range s.Sent {
		sent[frameIDOf(p.Packet)] = true
	}
	return slices.ContainsFunc(r.Left, func(w Wire) bool { return !sent[frameIDOf(w.Packet)] })
}

// frameIDOf reads the acknowledgment number of an outer IPv4 packet without options.
func frameIDOf(packet []byte) uint32 { return get32(packet[28:]) }
