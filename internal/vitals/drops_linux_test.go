package vitals

import (
	"fmt"
	"os"
	"strings"
	"testing"

	"sttwall/nfq"
)

func TestWhatIsDroppedBeforeTheFirewallIsAmongTheReasons(t *testing.T) {
	text, err := os.ReadFile("../../docs/reasons.md")
	if err != nil {
		t.Fatal(err)
	}
	for _, d := range append(tableDrops(new(nfq.TableCounters)), queueDrops(nil)...) {
		row := fmt.Sprintf("| `%s` | %s | %s | %s |\n", d.Reason, d.Where, d.Meaning, d.Remedy)
		if d.Reason == "outer_fragment" || d.Reason == "endpoint_unknown" {
			row = fmt.Sprintf("| `%s` | %s | %s |\n", d.Reason, d.Meaning, d.Remedy) // the firewall drops them too
		}
		if !strings.Contains(string(text), row) {
			t.Errorf("docs/reasons.md has no %s", row)
		}
	}
}
