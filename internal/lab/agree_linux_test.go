package lab

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"testing"

	"github.com/google/go-cmp/cmp"

	"sttwall/firewall"
	"sttwall/policy"
	"sttwall/replay"
)

// mixedRules accept some of what is in the captures and stop the rest, for
// every reason that a policy has.
const mixedRules = "../../testdata/rules/captures.hcl"

// judged is what replay and the real queue must say alike.
type judged struct {
	FrameID string `json:"frame_id"`
	Verdict string `json:"verdict"`
	Tenant  string `json:"tenant"`
	Rule    string `json:"rule"`
	Reason  string `json:"reason"`
}

func judgedOf(e firewall.FrameEvent) judged {
	j := judged{FrameID: fmt.Sprintf("0x%08x", e.FrameID), Verdict: e.Verdict.String(), Tenant: e.Decision.Tenant, Rule: e.Decision.Rule}
	if e.Verdict == firewall.Drop {
		j.Reason = e.Reason.String()
	}
	return j
}

func TestTheRealQueueGivesTheVerdictsOfReplay(t *testing.T) {
	if !Inside(t) {
		return
	}
	files, err := filepath.Glob("../../testdata/pcaps/*.pcap")
	if err != nil || len(files) == 0 {
		t.Fatalf("no captures: %v", err)
	}
	text, err := os.ReadFile(mixedRules)
	if err != nil {
		t.Fatal(err)
	}
	rules, diagnostics := policy.Load(mixedRules, text)
	if rules == nil {
		t.Fatal(diagnostics)
	}
	l := newLab(t, Config{Rules: text, RulesName: mixedRules, Without: Endpoints, ReassemblyTimeout: testBound, FragmentWait: testBound})
	reasons := map[string]int{}
	for _, file := range files {
		t.Run(filepath.Base(file), func(t *testing.T) {
			var out bytes.Buffer
			if _, err := replay.Run(context.Background(), replay.Config{
				Policy: rules, Inputs: []string{file}, Out: &out, Format: replay.JSON,
			}); err != nil {
				t.Fatal(err)
			}
			var want []judged
			for lines := bufio.NewScanner(&out); lines.Scan(); {
				var line struct {
					Event string `json:"event"`
					judged
				}
				if err := json.Unmarshal(lines.Bytes(), &line); err != nil {
					t.Fatal(err)
				}
				if line.Event == "frame" {
					want = append(want, line.judged)
				}
			}
			events, err := l.Replay(bounded(t), file)
			if err != nil {
				t.Fatal(err)
			}
			var got []judged
			for _, e := range events {
				got = append(got, judgedOf(e))
				reasons[e.Reason.String()]++
			}
			if diff := cmp.Diff(got, want); diff != "" {
				t.Errorf("verdicts differ (-queue +replay):\n%s", diff)
			}
		})
	}
	for _, r := range []string{"none", "rule_drop", "tenant_default"} {
		if reasons[r] == 0 {
			t.Errorf("no frame was decided as %s: %v", r, reasons)
		}
	}
}
