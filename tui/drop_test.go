package tui

import (
	"fmt"
	"strings"
	"testing"

	"sttwall/control"
)

// openDrop opens the detail of the dropped frame to that port.
func openDrop(t *testing.T, f *fake, width, height int, filter string) *driver {
	t.Helper()
	d := drive(t, f, width, height)
	d.press("5", "/")
	d.typed(filter)
	d.press("enter", "enter")
	if _, ok := d.top().(*drop); !ok {
		t.Fatalf("Enter leads to\n%s", d.screen())
	}
	return d
}

func TestADropAtThreeSizes(t *testing.T) {
	for _, size := range sizes {
		t.Run(size.name, func(t *testing.T) {
			d := openDrop(t, newBusy(), size.width, size.height, "dport:443")
			d.golden("drop-why-" + size.name)
			d.press("right")
			d.golden("drop-frame-" + size.name)
			d.press("r")
			d.golden("drop-rule-" + size.name)
			d.fits()
		})
	}
}

func TestADropSaysWhyInWords(t *testing.T) {
	d := openDrop(t, newBusy(), 120, 40, "dport:443")
	d.shows("x drop  tenant_default  acme  tcp 10.1.0.7:40000 > 10.1.0.10:443",
		"no rule of the tenant matched, and its default is drop", "acme/web (rules.hcl:22): source is", "10.1.0.7",
		"rule      none matches: default_action of the tenant: drop", "original: it would begin a flow", "r shows the smallest rule")
	if n := d.fake.asked["explain"]; n != 1 {
		t.Errorf("explained %d times", n)
	}
	d.tick()
	if n := d.fake.asked["explain"]; n != 1 {
		t.Errorf("asked again: %d times", n)
	}
}

func TestALieAboutTheL4OffsetIsWhereTheDetailBegins(t *testing.T) {
	d := openDrop(t, newBusy(), 120, 40, "dport:22")
	d.shows("L4 offset says 54, the TCP header is at 34")
	d.press("right")
	d.shows("L4 offset", "byte 2 of the STT frame header", "Wireshark: stt.l4offset", "! L4 offset says 54, the TCP header is at 34")
}

func TestMovingThroughFieldsMarksTheirBytes(t *testing.T) {
	d := openDrop(t, newBusy(), 120, 40, "dport:443")
	d.env.theme, _ = newTheme("dark")
	d.press("right", "home")
	marked := func() string {
		var out []string
		for _, line := range strings.Split(d.top().View(d.env.width, d.env.height), "\n") {
			at := strings.LastIndex(line, d.env.theme.on[toneSelected])
			for _, part := range strings.SplitAfter(line, d.env.theme.on[toneSelected])[1:] {
				text, _, _ := strings.Cut(part, toneEnd)
				if !strings.HasPrefix(text, ">") && at >= 0 {
					out = append(out, text)
				}
			}
		}
		return strings.Join(out, "|")
	}
	for _, c := range []struct {
		field, bytes string
	}{
		{"STT frame header  context", "00 0e 22 00 00 00 00 00 00 00 00 00 00 00 00 64|00 00"},
		{"flags", "0e"}, {"context ID", "00 00 00 00 00 00 00 64"}, {"source port", "9c 40"},
	} {
		d.press("home")
		for range 60 {
			if strings.Contains(d.screen(), "> "+c.field) || strings.Contains(d.screen(), ">"+c.field) || strings.Contains(d.screen(), ">  "+c.field) {
				break
			}
			d.press("down")
		}
		if got := marked(); !strings.HasPrefix(got, c.bytes) {
			t.Errorf("%s: %q is marked, want %q\n%s", c.field, got, c.bytes, d.screen())
		}
	}
}

func TestTheRuleIsAskedForOnceAndCopied(t *testing.T) {
	d := openDrop(t, newBusy(), 100, 30, "dport:443")
	if d.fake.asked["remedy"] != 0 {
		t.Error("the rule is asked for before anybody wants it")
	}
	d.press("r")
	d.shows(`rule "allow-10-1-0-7" {`, `services    = ["tcp/443"]`, "the rules file with it loads, and accepts the frame", "y copies it")
	d.press("r", "left", "r")
	if n := d.fake.asked["remedy"]; n != 1 {
		t.Errorf("asked %d times", n)
	}
	d.press("y")
	d.shows("copied the rule")
	found := false
	for _, msg := range d.other {
		found = found || fmt.Sprint(msg) == d.fake.remedy.Text
	}
	if !found {
		t.Error("the rule is not in the clipboard")
	}
}

func TestKeysThatAreTypedAheadMeetWhatTheOnesBeforeHaveOpened(t *testing.T) {
	d := drive(t, newBusy(), 100, 30)
	d.press("5")
	// No command runs meanwhile, as when all keys come in one piece.
	for _, name := range []string{"end", "enter", "r"} {
		d.Update(keyMsg(name))
	}
	if s, ok := d.top().(*drop); !ok || s.part != partRule {
		t.Errorf("they lead to\n%s", d.screen())
	}
}

func TestAContextIDOfOVNIsTakenApart(t *testing.T) {
	f := newBusy()
	f.explain.Tenant, f.explain.Claim = "context ID 0x70009000003 (OVN: datapath 3, ingress port 7, egress port 9) is tenant acme", "datapaths 3"
	f.recent.Frames = nil
	f.drop("drop", "l4_offset_mismatch", "acme", "", "10.1.0.7:40000", "10.1.0.10:443", 7<<40|9<<24|3, 0x0e, 54)
	d := openDrop(t, f, 120, 40, "dport:443")
	d.press("right")
	// What is wrong stays selected, though there are more fields now.
	d.shows("ingress port       7", "egress port        9", "datapath           3", "! L4 offset says 54, the TCP header is at 34")
}

func TestNoRuleHelps(t *testing.T) {
	f := newBusy()
	f.remedy = control.Remedy{Why: "the sender lies about the L4 offset: look at it"}
	d := openDrop(t, f, 100, 30, "dport:22")
	d.press("r")
	d.shows("no rule would help", "the sender lies about the L4 offset")
	d.press("y")
	d.shows("there is nothing to copy here")
}

func TestRulesOfNowThatDecideOtherwiseSaySo(t *testing.T) {
	f := newBusy()
	f.explain = control.Explanation{Tenant: "t", Action: "accept", Rule: "acme/new", Rules: []control.RuleStep{{Rule: "acme/new", Matched: true}}}
	d := openDrop(t, f, 100, 30, "dport:443")
	d.shows("the rules and flows of now decide otherwise than then:", "+ accept", "acme/new matches")
}

func TestAFlowThatAFrameDoesNotBelongToIsNamed(t *testing.T) {
	f := newBusy()
	flow := f.flows[0]
	f.explain = control.Explanation{Action: "drop", Reason: "tcp_window", Live: &control.Live{State: "invalid", Flow: &flow}}
	d := openDrop(t, f, 120, 40, "dport:443")
	d.shows("x drop, tcp_window", "invalid: it can be of no flow", "tcp 10.1.0.7:40122 > 10.1.0.10:443, established, accept by acme/web", "was       new to the flow table")
}

func TestAFrameThatNeverBecameWhole(t *testing.T) {
	f := newBusy()
	frame := &f.recent.Frames[0]
	frame.Header, frame.Data, frame.InnerBytes, frame.Tenant, frame.Context, frame.Inner = nil, nil, 0, "", nil, control.Inner{}
	frame.Reason, frame.Protocol, frame.EtherType = "segment_overlap", "", ""
	d := openDrop(t, f, 80, 24, "reason:segment_overlap")
	d.shows("no tenant", "the frame never became whole")
	d.press("right")
	d.shows("None of its bytes were kept")
	if d.fake.asked["explain"] != 0 {
		t.Error("an explanation of nothing is asked for")
	}
}

func TestDropsFitEverySizeWithHostileAnswers(t *testing.T) {
	f := newBusy()
	f.explain.Rules[0].Rule, f.explain.Tenant = "\x1b[31ma/b", "\x1b]52;c;eA==\x07"
	f.explain.Rules[1].Want = "a\r\nb"
	f.remedy.Text = "rule \"\x1b[2J\" {\n\tx\n}"
	f.remedy.Place, f.remedy.Why = "\u202eplace", "\x00why"
	f.recent.Frames[0].InnerBytes = 1514
	for width := minWidth; width < 210; width += 9 {
		for height := minHeight; height < 60; height += 7 {
			d := openDrop(t, f, width, height, "dport:443")
			d.fits()
			d.press("right", "down", "down")
			d.fits()
			d.press("r", "down")
			d.fits()
		}
	}
}
