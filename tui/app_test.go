package tui

import (
	"context"
	"errors"
	"fmt"
	"image/color"
	"regexp"
	"strings"
	"testing"
	"time"

	tea "charm.land/bubbletea/v2"

	"sttwall/filter"
)

func TestAFilterIsTypedCompletedAndPutInForce(t *testing.T) {
	d := drive(t, newFake(), 100, 30)
	d.press("3", "/")
	d.typed("ten")
	d.shows("tenant:", "the tenant")
	d.press("tab")
	d.typed("gl")
	d.press("tab")
	d.shows("/ tenant:globex")
	d.press("enter")
	if got, want := d.env.filter.String(), "tenant:globex"; got != want {
		t.Fatalf("the filter is %q, want %q", got, want)
	}
	d.press("2")
	d.shows("10.1.0.7:45500", "selects 2 flows of 6")
	d.hides("acme")
	d.press("3")
	d.shows("globex", "selects 1 tenant of 3")
	d.hides("initech")
	d.press("esc")
	d.shows("initech")
}

func TestAWrongFilterIsPointedAtAndNotUsed(t *testing.T) {
	d := drive(t, newFake(), 100, 30)
	d.press("/")
	d.typed("tenant:acme dport:http")
	d.press("enter")
	lines := strings.Split(d.screen(), "\n")
	for i, line := range lines {
		if at := strings.Index(line, "http"); at >= 0 && strings.HasPrefix(line, "/") {
			if got := strings.Index(lines[i+1], "^"); got != at {
				t.Errorf("the caret is below column %d, want %d:\n%s", got, at, d.screen())
			}
			if !strings.Contains(lines[i+2], "column 19: dport: expected") {
				t.Errorf("it does not say what is wrong:\n%s", d.screen())
			}
		}
	}
	if d.prompt == nil || !d.env.filter.All() {
		t.Error("the filter was taken")
	}
	d.press("esc")
	if d.prompt != nil {
		t.Error("Esc leaves the prompt open")
	}
}

func TestFiltersFromBeforeAreRecalled(t *testing.T) {
	d := drive(t, newFake(), 100, 30)
	for _, text := range []string{"tcp", "udp"} {
		d.press("/", "ctrl+u")
		d.typed(text)
		d.press("enter")
	}
	d.press("/", "ctrl+u")
	d.typed("icm")
	d.press("up")
	d.shows("/ udp")
	d.press("up", "up")
	d.shows("/ tcp")
	d.press("down", "down")
	d.shows("/ icm")
}

func TestWhenTheFirewallGoesAwayOldDataStaysAndItComesBackByItself(t *testing.T) {
	f := newFake()
	d := drive(t, f, 100, 30)
	d.tick()
	d.shows("10.1.0.7:45500")
	f.err = errAway
	d.tick()
	d.tick()
	d.shows("the firewall does not answer; trying again (for 1s): no sttwall listens", "no answer", "10.1.0.7:45500")
	f.err = nil
	f.status.PID, f.status.Started = 4712, d.now
	d.tick()
	d.shows("the firewall was started anew", "10.1.0.7:45500")
	d.hides("does not answer")
}

func TestWithoutAnAnswerYetTheScreenSaysSo(t *testing.T) {
	f := newFake()
	f.err = errAway
	d := drive(t, f, 100, 30)
	d.shows("Not connected", "is it running")
	f.err = nil
	d.tick()
	d.shows("10.1.0.7:45500")
}

func TestPauseKeepsWhatIsShownAndStillLooksWhetherTheFirewallAnswers(t *testing.T) {
	f := newFake()
	d := drive(t, f, 100, 30)
	d.press("p")
	asked := f.asked["flows"]
	f.flows = nil
	d.tick()
	d.tick()
	d.shows("paused", "10.1.0.7:45500")
	if got := f.asked["flows"]; got != asked {
		t.Errorf("asked %d times for flows while paused", got-asked)
	}
	d.press("p")
	d.shows("No flows yet")
}

func TestOneQuestionIsUnderWayAtATimeAndALateAnswerIsLeftOut(t *testing.T) {
	d := drive(t, newFake(), 100, 30)
	first := d.ask(withStatus)
	if first == nil {
		t.Fatal("nothing is asked")
	}
	if d.ask(withStatus) != nil {
		t.Error("a second question while one is under way")
	}
	late := first()
	d.press("3")
	if d.ask(withStatus) == nil {
		t.Error("another screen waits for the question of the one before")
	}
	d.send(late)
	if d.poll.cancel == nil {
		t.Error("a late answer ended the question that is under way")
	}
}

func TestEnterOnATenantShowsItsFlows(t *testing.T) {
	d := drive(t, newFake(), 100, 30, func(c *Config) { c.Screen = "tenants" })
	d.press("G", "enter")
	d.shows("/tenant:initech", "10.9.0.4:33333", "~ audit")
	d.hides("acme")
}

func TestTabsGoRoundAndAnswerTheMouse(t *testing.T) {
	d := drive(t, newFake(), 100, 30)
	first := d.at
	for range d.tabs {
		d.press("tab")
	}
	if d.at != first {
		t.Errorf("at tab %d after all of them, want %d", d.at, first)
	}
	d.press("shift+tab")
	if want := (first + len(d.tabs) - 1) % len(d.tabs); d.at != want {
		t.Errorf("at tab %d, want %d", d.at, want)
	}
	spans := d.tabSpans()
	d.send(tea.MouseClickMsg{X: spans[1].from + 1, Y: tabsLine, Button: tea.MouseLeft})
	if d.at != 1 {
		t.Errorf("a click on the second tab shows tab %d", d.at)
	}
}

func TestANoticeGoesAway(t *testing.T) {
	d := drive(t, newFake(), 100, 30)
	d.press("t")
	d.shows("theme: dark")
	d.now = d.now.Add(noticeFor)
	d.tick()
	d.hides("theme:")
}

func TestQuitAndInterruptAreToldApart(t *testing.T) {
	d := drive(t, newFake(), 100, 30)
	d.press("q")
	if !d.quit {
		t.Error("q does not quit")
	}
	d = drive(t, newFake(), 100, 30)
	d.press("ctrl+c")
	if _, ok := d.other[len(d.other)-1].(tea.InterruptMsg); !ok || d.quit {
		t.Errorf("^C is %T", d.other[len(d.other)-1])
	}
	d.press("ctrl+z")
	if _, ok := d.other[len(d.other)-1].(tea.SuspendMsg); !ok {
		t.Errorf("^Z is %T", d.other[len(d.other)-1])
	}
	before := len(d.other)
	d.resumable = func() bool { return false }
	d.press("ctrl+z")
	d.shows("no shell here that could go on with this after ^Z")
	for _, msg := range d.other[before:] {
		if _, ok := msg.(tea.SuspendMsg); ok {
			t.Error("^Z stops it where nobody can let it go on")
		}
	}
}

func TestTheWindowOfManyFlowsFollowsTheSelection(t *testing.T) {
	f := newFake().many(20_000)
	d := drive(t, f, 100, 30, func(c *Config) { c.Screen = "flows" })
	d.press("G")
	d.shows("m", "10.2.78.31:") // the last: 19999 = 0x4e1f
	d.press("g")
	d.shows("10.2.0.0:0")
	if got := len(d.top().(*flows).table.rows); got > 100 {
		t.Errorf("%d rows are here", got)
	}
	// The selected one becomes slower than all others: the page goes after it.
	d.press("j", "j")
	chosen := d.top().(*flows).table.chosen
	for i := range f.flows {
		if f.flows[i].ID == chosen {
			f.flows[i].OriginalRate = nil
		}
	}
	d.tick()
	table := d.top().(*flows).table
	if table.chosen != chosen || table.at != 19_999 || table.current() == nil {
		t.Errorf("the selection is %q at %d, want %q at 19999", table.chosen, table.at, chosen)
	}
	d.shows("> + accept")
}

func TestTimeIsShownByTheClockThatIsHandedIn(t *testing.T) {
	d := drive(t, newFake(), 100, 30)
	d.now = start.Add(3*time.Hour + 5*time.Minute)
	d.shows("up 3h05m")
}

func TestWhereTheLocaleIsASCIINothingElseIsDrawn(t *testing.T) {
	d := drive(t, newFake(), 80, 24, func(c *Config) { c.Environ = []string{"TERM=xterm", "LANG=C"} })
	for i := range d.tabs {
		d.press(fmt.Sprint(i+1), "j", "s")
		d.tick()
		for _, r := range d.View().Content {
			if r > '~' {
				t.Fatalf("screen %d has %q:\n%s", i+1, r, d.View().Content)
			}
		}
	}
	for _, tt := range []struct {
		environ []string
		want    bool
	}{
		{nil, true}, {[]string{"LANG=de_DE.UTF-8"}, true}, {[]string{"LANG=C.utf8"}, true}, {[]string{"LANG=C"}, false}, {[]string{"LC_ALL=POSIX", "LANG=en_US.UTF-8"}, false},
		{[]string{"LC_ALL=", "LC_CTYPE=en_US.UTF-8", "LANG=C"}, true},
	} {
		if got := utf8Locale(tt.environ); got != tt.want {
			t.Errorf("%v: %v, want %v", tt.environ, got, tt.want)
		}
	}
}

func TestTheThemeIsThatOfTheTerminal(t *testing.T) {
	auto := func(environ ...string) func(*Config) {
		return func(c *Config) { c.Theme, c.Environ = ThemeAuto, append([]string{"TERM=xterm"}, environ...) }
	}
	d := drive(t, newFake(), 80, 24, auto())
	d.send(tea.BackgroundColorMsg{Color: color.White})
	if got := d.env.theme.name; got != "light" {
		t.Errorf("on white it is %s", got)
	}
	d.send(tea.BackgroundColorMsg{Color: color.Black})
	if got := d.env.theme.name; got != "dark" {
		t.Errorf("on black it is %s", got)
	}
	d.press("t")
	was := d.env.theme.name
	d.send(tea.BackgroundColorMsg{Color: color.White})
	if got := d.env.theme.name; got != was {
		t.Errorf("what was chosen by key became %s", got)
	}
	d = drive(t, newFake(), 80, 24, auto("NO_COLOR=1"))
	if regexp.MustCompile(`\x1b\[[0-9;]*[34]8;`).MatchString(d.content()) {
		t.Error("colours under NO_COLOR")
	}
	d.send(tea.BackgroundColorMsg{Color: color.White})
	if got := d.env.theme.name; got != "none" {
		t.Errorf("under NO_COLOR it is %s", got)
	}
}

func TestAVerdictIsNeverToldByItsColourAlone(t *testing.T) {
	for _, name := range Themes {
		look, err := newTheme(name)
		if err != nil {
			t.Fatal(err)
		}
		texts, tones := make(map[string]bool), make(map[string]bool)
		for _, v := range []string{"accept", "drop", "reject", "audit"} {
			texts[verdictText(v)[:1]] = true
			tones[look.on[verdictTone(v)]] = true
		}
		if len(texts) != 4 {
			t.Errorf("verdicts have the marks %v", texts)
		}
		if want := 4; name != "none" && len(tones) != want {
			t.Errorf("%s: verdicts have %d colours, want %d", name, len(tones), want)
		}
	}
}

func TestAllOfWhatIsWrongWithAFilterIsSaidAt80Columns(t *testing.T) {
	d := drive(t, newFake(), 80, 24)
	d.press("/")
	d.typed("not proto:tcp and drpo")
	d.press("enter")
	d.shows(`column 19: "drpo" is no verdict, protocol or address; did you mean drop?;`, "text:drpo looks for it in names")
	d.fits()
}

func TestWhatIsWrongWithTheConfigurationIsSaid(t *testing.T) {
	for _, tt := range []struct {
		c    Config
		want string
	}{
		{Config{Theme: "pink"}, `theme "pink": want auto or dark, light, okabe-ito, none`},
		{Config{Screen: "x"}, `there is no screen "x": want one of overview, flows,`},
		{Config{Filter: "dport:x"}, "column 7: dport: expected"},
	} {
		if _, err := newApp(t.Context(), tt.c); err == nil || !strings.Contains(err.Error(), tt.want) {
			t.Errorf("%+v: %v, want %q", tt.c, err, tt.want)
		}
	}
	for _, environ := range [][]string{{}, {"TERM=dumb"}, {"TERM=xterm", "TERM="}} {
		if err := Run(t.Context(), Config{Environ: environ}); !errors.Is(err, ErrDumb) {
			t.Errorf("%v: %v", environ, err)
		}
	}
}

func TestATabBeforeTheNamesHaveComeIsDoneWhenTheyCome(t *testing.T) {
	f := newFake()
	f.err = errAway
	d := drive(t, f, 100, 30)
	d.press("/")
	d.typed("tenant:glo")
	d.press("tab")
	d.hides("globex")
	f.err = nil
	d.run(d.askNames())
	d.shows("/ tenant:globex")
	// One that was followed by other keys is not.
	d.press("ctrl+u")
	d.typed("tenant:in")
	d.run(d.askNames())
	d.hides("/ tenant:initech")
	d.shows("initech")
}

func TestAScreenWhoseQuestionFailsSaysThatItIsNotUpToDate(t *testing.T) {
	f := newFake()
	d := drive(t, f, 100, 30, func(c *Config) { c.Screen = "flows" })
	f.flowsErr = fmt.Errorf("flows: %w", context.DeadlineExceeded)
	d.tick()
	d.shows("10.1.0.7:45500", "not up to date: no answer within 5s")
	f.flowsErr = nil
	d.tick()
	d.tick()
	d.hides("not up to date")
}

func TestTheTabThatIsShownIsNamedWhereThereIsLittleRoom(t *testing.T) {
	d := drive(t, newFake(), 40, 10)
	for i, stack := range d.tabs {
		d.press(fmt.Sprint(i + 1))
		line := strings.Split(d.screen(), "\n")[tabsLine]
		if want := fmt.Sprintf("[%d %s]", i+1, stack[0].Title()); !strings.Contains(line, want) {
			t.Errorf("no %s in %q", want, line)
		}
		for j, span := range d.tabSpans() {
			if got := line[min(span.from, len(line)):min(span.to, len(line))]; !strings.Contains(got, fmt.Sprint(j+1)) {
				t.Errorf("tab %d is not at %v in %q", j+1, span, line)
			}
		}
	}
}

func TestWhatIsChosenNarrowsTheFilter(t *testing.T) {
	d := drive(t, newFake(), 100, 30)
	for _, tt := range []struct{ filter, want string }{
		{"", "tenant:acme"},
		{"dport:443", "dport:443 tenant:acme"},
		{"tcp or udp", "(tcp or udp) tenant:acme"},
		{"tenant:globex tcp", "tenant:acme"},
		{"text:" + strings.Repeat("x", filter.MaxLen-10), "tenant:acme"},
	} {
		d.run(d.setFilter(tt.filter))
		got := d.env.narrowed("tenant", "acme")
		if got != tt.want {
			t.Errorf("%.40q becomes %q, want %q", tt.filter, got, tt.want)
		}
		if _, err := filter.Parse(got); err != nil {
			t.Error(err)
		}
	}
	d.run(d.setFilter("udp"))
	d.press("3", "g", "enter")
	d.shows("/udp tenant:", "10.1.0.53:53")
}

func TestTheHeaderLeavesOffWholePartsWhereThereIsLittleRoom(t *testing.T) {
	d := drive(t, newFake(), 120, 30, func(c *Config) { c.Title = "demo" })
	r := &d.env.rates
	r.known, r.bytes, r.packets, r.dropped, r.audited = true, 123_456_789, 34_567, 1_234, 567
	for columns, want := range map[int]string{
		120: " sttwall  demo  up 9m26s  6 flows  988Mb/s  35k/s packets  1.2k/s dropped  567/s audited",
		80:  " sttwall  demo  up 9m26s  6 flows  988Mb/s  35k/s pkts  1.2k/s drop  567/s audit",
		78:  " sttwall  demo  up 9m26s  6 flows  988Mb/s  35k/s pkts  1.2k/s drop",
		60:  " sttwall  demo  up 9m26s  6 flows  988Mb/s  35k/s pkts",
		40:  " sttwall  demo  up 9m26s  6 flows",
	} {
		d.app.resize(columns, 30)
		got, _, _ := strings.Cut(d.screen(), "\n")
		got = strings.TrimRight(strings.TrimRight(got, " ▁▂▃▄▅▆▇█"), " ")
		if got != want {
			t.Errorf("at %d columns the header is\n%s\nwant\n%s", columns, got, want)
		}
	}
}
