package reason

import (
	"flag"
	"fmt"
	"os"
	"regexp"
	"strings"
	"testing"
)

var update = flag.Bool("update", false, "write docs/reasons.md anew")

func TestEveryReasonHasOneNameAMeaningAndARemedy(t *testing.T) {
	name := regexp.MustCompile(`^[a-z][a-z0-9_]+$`)
	seen := map[string]Reason{}
	for r := None; r < Count; r++ {
		if !name.MatchString(r.String()) {
			t.Errorf("reason %d is named %q", r, r)
		}
		if other, twice := seen[r.String()]; twice {
			t.Errorf("reasons %d and %d are both named %q", other, r, r)
		}
		seen[r.String()] = r
		for what, text := range map[string]string{"meaning": r.Meaning(), "remedy": r.Remedy()} {
			if len(text) < 10 || strings.ContainsAny(text, "\n|") {
				t.Errorf("%v: its %s is %q", r, what, text)
			}
		}
	}
}

func TestAnUnknownReasonIsNamedSo(t *testing.T) {
	if r := Reason(255); r.Known() || r.String() != "unknown" || r.Remedy() != "" || r.Meaning() != "" {
		t.Errorf("got %v, %q", r, r.Remedy())
	}
}

// elsewhere is what the nftables table and the queues drop; a test of internal/vitals
// holds it to what `sttwall drops` says.
const elsewhere = `
## Before the firewall

The nftables table ([table.md](table.md)) and the kernel's queues drop packets that the firewall does not see, and which
` + "`sttwall drops`" + ` tells with it. They are in ` + "`sttwall_dropped_packets_total`" + ` (table) and
` + "`sttwall_queue_dropped_packets_total`" + `. The table also drops under ` + "`outer_fragment` and `endpoint_unknown`" + `, as above.

| name | where | what was seen | what to do |
| --- | --- | --- | --- |
` + "| `other_tunnel` | table | another tunnel between two endpoints, which would lead around the firewall, or STT that SRv6 has put into a VRF of this host | write settings.other_tunnels = \"pass\" if those tunnels are yours; have SRv6 end on another host |\n" +
	"| `endpoint_interface` | table | STT from a listed endpoint, on another interface than its own | correct the interface in settings.endpoints if the endpoint has moved; else someone forges its address |\n" +
	"| `encapsulated` | table | a bridged frame in which STT could pass unseen: two VLAN tags, PPPoE, MPLS, or another of docs/table.md | write settings.other_tunnels = \"pass\" if those frames are yours, and see that no STT is in them |\n" +
	"| `not_stt` | table | a packet between two endpoints that is no STT | take out settings.only_stt if others than tunnels talk there |\n" +
	"| `endpoint_rate` | table | an endpoint sent more packets than settings.endpoint_rate allows each | raise settings.endpoint_rate if that endpoint needs more; else look at what it sends |\n" +
	"| `gso_too_small` | table | a super-segment whose pieces have less than 512 bytes of payload, which receivers on Windows can misread | real endpoints fill the MTU; look at who sent it. See docs/receivers.md |\n" +
	"| `queue_full` | queue | the kernel's queue was full | more --queues, or a larger --queue-length |\n" +
	"| `receive_buffer_full` | queue | the receive buffer of the queue's socket was full, so many times at least | more --queues, or a larger --receive-buffer |\n"

// docs/reasons.md is generated, so that it cannot say anything else.
func TestDocsListEveryReason(t *testing.T) {
	const path = "../docs/reasons.md"
	var b strings.Builder
	b.WriteString("# Drop reasons\n\nEvery packet that sttwall drops is counted under one of these names, and every name is the\n" +
		"same in logs, counters and `replay --json`. The table is generated (`make docs`).\n\n" +
		"| name | what was seen | what to do |\n| --- | --- | --- |\n")
	for r := None + 1; r < Count; r++ {
		fmt.Fprintf(&b, "| `%v` | %s | %s |\n", r, r.Meaning(), r.Remedy())
	}
	b.WriteString(elsewhere)
	if *update {
		if err := os.WriteFile(path, []byte(b.String()), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	got, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if string(got) != b.String() {
		t.Errorf("%s is not what the table says; run make docs", path)
	}
}

func ExampleReason() {
	r := SegmentOverlap
	fmt.Println(r)
	fmt.Println(r.Remedy())
	// Output:
	// segment_overlap
	// real endpoints never send this; look at who did
}
