package replay_test

import (
	"encoding/json"
	"strings"
	"testing"

	"sttwall/describe"
	"sttwall/replay"
	"sttwall/stt"
)

// Real inner fragments, decided without a rule that names later ones: all of a
// packet shares the fate of its first fragment. Echo requests are dropped; how
// many later fragments belong to those can be counted in the frames.jsonl.
func TestRealInnerFragmentsFollowTheirFirst(t *testing.T) {
	rules := load(t, `settings {
  endpoints = ["any"]
}
tenant "all" {
  context_ids    = ["0x0/0"]
  default_action = "accept"
  tcp_loose      = true
  rule "no-pings" {
    action   = "drop"
    services = ["icmp/echo-request", "icmpv6/echo-request"]
    state    = "stateless"
  }
}
`)
	for _, tt := range []struct {
		name           string
		later, dropped int // fragments
	}{
		{"off-ping-large", 90, 45}, {"on-ping6", 4, 2}, {"off-udp-large", 52, 0}, {"off-vlan", 4, 2},
	} {
		t.Run(tt.name, func(t *testing.T) {
			lines, _ := run(t, replay.Config{Policy: rules, Inputs: []string{"../testdata/pcaps/" + tt.name + ".pcap"}})
			verdicts := map[string]string{}
			later, dropped := 0, 0
			for _, l := range lines {
				inner, _ := l["inner"].(map[string]any)
				g, _ := inner["fragment"].(map[string]any)
				if g == nil {
					continue
				}
				packet := strings.Join([]string{l["context_id"].(string), inner["src"].(string), inner["dst"].(string), g["id"].(json.Number).String()}, " ")
				verdict := l["verdict"].(string)
				if r, ok := l["reason"].(string); ok {
					verdict += " " + r
				}
				if g["offset"].(json.Number).String() == "0" {
					verdicts[packet] = verdict
					continue
				}
				later++
				if verdict != "accept" {
					dropped++
				}
				if want := verdicts[packet]; verdict != want {
					t.Errorf("a later fragment of %s: %s, the first: %q", packet, verdict, want)
				}
			}
			if later != tt.later || dropped != tt.dropped {
				t.Errorf("%d later fragments, %d dropped; want %d, %d", later, dropped, tt.later, tt.dropped)
			}
		})
	}
}

// In a capture the later fragment may come first.
func TestALaterFragmentWaitsInAReplay(t *testing.T) {
	rules := load(t, "settings {\n  endpoints = [\"any\"]\n}\ntenant \"all\" {\n  context_ids    = [100]\n  default_action = \"accept\"\n}\n")
	var packets [][]byte
	for i, text := range []string{
		"udp 10.0.0.1:1 > 10.0.0.2:53 frag later id 7", "udp 10.0.0.1:1 > 10.0.0.2:53 frag later id 8", "udp 10.0.0.1:1 > 10.0.0.2:53 frag first id 7",
	} {
		d, err := describe.Parse(text)
		if err != nil {
			t.Fatal(err)
		}
		f := frame{path: path4, id: uint32(i + 1), header: stt.FrameHeader{ContextID: 100, Flags: stt.FlagChecksumVerified}, inner: d.Data, cuts: []int{0}}
		packets = append(packets, f.packets()...)
	}
	lines, summary := run(t, replay.Config{Policy: rules, Inputs: []string{record(t, packets...)}})
	var got []string
	for _, l := range lines[:len(lines)-1] {
		text := l["frame_id"].(string) + " " + l["verdict"].(string)
		if r, ok := l["reason"].(string); ok {
			text += " " + r
		}
		got = append(got, text)
	}
	want := "0x00000003 accept, 0x00000001 accept, 0x00000002 drop fragment_first_missing"
	if strings.Join(got, ", ") != want || summary.Packets != 3 {
		t.Errorf("got %q, want %q", strings.Join(got, ", "), want)
	}
}
