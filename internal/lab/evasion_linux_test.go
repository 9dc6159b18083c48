package lab

import (
	"strings"
	"testing"

	"sttwall/internal/evasion"
)

// TestNothingDeniedComesOutOfTheRealQueues has each attack meet real queues on some of the
// ways. On the first way TestDemoGoesAsExpected sends all; `make evasion` sends all on all.
func TestNothingDeniedComesOutOfTheRealQueues(t *testing.T) {
	if !Inside(t) {
		return
	}
	missed := 0
	const share = 6 // of the cases on each way one in so many
	for i, way := range evasionWays() {
		c := evasionConfig{Networks: 3, Only: func(number int, _ *evasion.Case) bool { return (number+i)%share == 0 }}
		if err := runEvasion(t.Context(), c, []evasionWay{way}, func(r evasionResult) {
			for _, why := range r.Findings {
				t.Errorf("%s: %s", r.Way, why)
			}
			if r.Attacks < 30 || r.Accepted < 10 || r.Delivered < r.Accepted {
				t.Errorf("%s: %d attacks, %d frames accepted, %d delivered", r.Way, r.Attacks, r.Accepted, r.Delivered)
			}
			missed += r.Missed
			t.Logf("%s: %d attacks, %d packets, %d left, %d frames accepted", r.Way, r.Attacks, r.Sent, r.Left, r.Accepted)
		}); err != nil {
			t.Error(err)
		}
	}
	if missed == 0 {
		t.Error("the kernel and the table kept no packet from the queues")
	}
}

// What a queue whose worker accepts everything lets out must be noticed.
func TestWithoutAFirewallBehindTheQueuesAttacksAreNoticed(t *testing.T) {
	if !Inside(t) {
		return
	}
	want := map[string]string{
		"a segment twice, with other bytes":                             "the receivers deliver different things",
		"total length shrinks to what has come":                         "nobody has sent this frame",
		"a small first segment, for a denied port":                      "denied: TCP port 22",
		"just after the frame was accepted":                             "nobody has sent this frame",
		"two frames spliced: denied headers, accepted rest":             "nobody has sent this frame",
		"both checksum flags":                                           "the receivers deliver different things",
		"a denied VLAN without V":                                       "denied: VLAN 43",
		"V alone where there must be a priority":                        "denied: priority -1",
		"STT in STT":                                                    "denied: TCP port 7471",
		"denied while a frame is held":                                  "denied: nothing may pass",
		"each of the nine reserved bits":                                "denied: Context ID",
		"about another port":                                            "denied: protocol 1",
		"a wrong checksum, and MSS lowered":                             "nobody has sent this frame",
		"a denied VLAN without V, for Linux":                            "denied: VLAN 43",
		"the length of the IP packet is more than there is":             "",
		"a real TCP handshake to the STT port":                          "",
		"an endpoint that nobody listed":                                "",
		"outer fragments that overlap":                                  "",
		"wrong IPv4 header checksum":                                    "",
		"a whole frame in one packet, under the ID of one that is held": "",
	}
	c := evasionConfig{Networks: 20, Open: true, Only: func(_ int, k *evasion.Case) bool { _, wanted := want[k.Name]; return wanted }}
	way := evasionWay{Name: "nobody decides", rig: rigConfig{Queues: 2}, ways: evasion.OnPlain | evasion.OnFlow}
	if err := runEvasion(t.Context(), c, []evasionWay{way}, func(r evasionResult) {
		for name, why := range want {
			noticed := false
			for _, finding := range r.Findings {
				if strings.Contains(finding, "/ "+name+" /") && !strings.Contains(finding, "behind the queue") {
					noticed = true
					if !strings.Contains(finding, why) {
						t.Errorf("%q, want %q in it", finding, why)
					}
				}
			}
			if noticed != (why != "") {
				t.Errorf("%s: noticed: %v", name, noticed)
			}
		}
	}); err != nil {
		t.Error(err)
	}
}
