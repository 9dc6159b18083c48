package eventlog

import (
	"fmt"
	"net/netip"
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"sttwall/conntrack"
	"sttwall/control"
)

// Each type is documented, with a line that could be one.
func TestTheReferenceShowsEachType(t *testing.T) {
	text, err := os.ReadFile("../docs/events.md")
	if err != nil {
		t.Fatal(err)
	}
	doc := string(text)
	var shown []string
	for _, section := range strings.Split(doc, "\n### ")[1:] {
		kind, rest, _ := strings.Cut(section, "\n")
		shown = append(shown, kind)
		if !regexp.MustCompile("(?m)^\\| `" + kind + "` \\|").MatchString(doc) {
			t.Errorf("%s is not in the table of types", kind)
		}
		blocks := regexp.MustCompile("(?s)```json\n(.*?)```").FindAllStringSubmatch(rest, -1)
		if len(blocks) != 1 {
			t.Errorf("%s: %d examples", kind, len(blocks))
			continue
		}
		list, err := schema(t).Lines([]byte(blocks[0][1]))
		if err != nil || len(list) != 1 || list[0].Type() != kind {
			t.Errorf("%s: %v, %v", kind, list, err)
		}
	}
	if !slices.Equal(shown, Types()) {
		t.Errorf("documented are %v, there are %v", shown, Types())
	}
	ended := endedTenant
	for e := range conntrack.EndedShutdown + 1 {
		ended += " " + e.String()
	}
	for word := range strings.FieldsSeq(ended) {
		if !strings.Contains(doc, fmt.Sprintf("| `%s` | `%s` |", word, suricataEnd[word])) {
			t.Errorf("how a flow ends as %s is not explained", word)
		}
	}
	a, port := netip.MustParseAddr("10.0.0.1"), uint16(1)
	id := control.ContextID(1)
	full := record{
		FlowID: 1, SrcIP: a, DestIP: a, SrcPort: &port, DestPort: &port, Proto: "TCP", Drop: &drop{Reason: "x"}, Tunnel: &tunnel{SrcIP: a, DestIP: a},
		Own: &own{Tenant: "x", Rule: "x", WouldReason: "x", ContextID: &id},
	}
	for name := range journalFields(&full, nil) {
		if strings.HasPrefix(name, "STTWALL_") && !strings.Contains(doc, "`"+strings.TrimPrefix(name, "STTWALL")+"`") && !strings.Contains(doc, "`"+name+"`") {
			t.Errorf("the field %s is not named", name)
		}
	}
	for _, bound := range []string{
		fmt.Sprintf("| frames that wait for the log | %d |", framesRoom),
		fmt.Sprintf("| lines that wait for a target | %d, and %d MiB |", maxLines, maxBytes>>20),
		fmt.Sprintf("| the time at the end for what is left, and then for writing it | %d s, %d s |", lastWords/time.Second, lastWrites/time.Second),
		fmt.Sprintf("no more than %d tenants at a time", maxTenants),
		fmt.Sprintf("up to %d in %d ms", maxTold, lookEvery/time.Millisecond),
		fmt.Sprintf("up to %d targets", MaxTargets),
		fmt.Sprintf("; %d unless told otherwise", DefaultSampled),
		fmt.Sprintf("`--event-log-stats %v`", DefaultStats),
		fmt.Sprintf("within about %d seconds", reapEvery/time.Second),
	} {
		if !strings.Contains(doc, bound) {
			t.Errorf("it does not say %q", bound)
		}
	}
}
