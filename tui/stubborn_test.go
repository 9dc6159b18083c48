package tui

import (
	"context"
	"strings"
	"testing"
	"time"

	tea "charm.land/bubbletea/v2"

	"sttwall/control"
)

// promising says that there are more flows than it ever tells.
type promising struct{ *fake }

func (f promising) Flows(ctx context.Context, q control.FlowQuery) (control.FlowPage, error) {
	page, err := f.fake.Flows(ctx, q)
	f.mu.Lock()
	defer f.mu.Unlock()
	page.Matched = 1000
	if f.asked["flows"] > 20 {
		page.Matched = len(page.Flows) // so that a test ends that fails
	}
	return page, err
}

func TestRowsThatNeverComeAreAskedForOnceASecond(t *testing.T) {
	f := newFake()
	d := drive(t, f, 100, 40, func(c *Config) { c.Firewall = promising{f} })
	before := f.asked["flows"]
	d.tick()
	if n := f.asked["flows"] - before; n > 2 {
		t.Errorf("asked %d times in a second", n)
	}
	d.shows("1 000")
}

// A screen that is asked twice at nearly the same time, as after a resize, has nothing
// to make rates of.
func TestRatesAreNotMadeOfMoments(t *testing.T) {
	for _, screen := range []string{"tenants", "drops", "overview"} {
		d := drive(t, newBusy(), 120, 40, func(c *Config) { c.Screen = screen })
		d.more()
		d.more()
		was := d.screen()
		d.now = d.now.Add(time.Millisecond)
		d.send(tea.WindowSizeMsg{Width: 120, Height: 40})
		if got := d.screen(); got != was {
			t.Errorf("%s: after a moment in which nothing came, the screen is\n%s\nand was\n%s", screen, got, was)
		}
		d.fake.tenants[0].Bytes += 64_000 // a large frame
		d.fake.drops[0].Count++
		d.now = d.now.Add(time.Millisecond)
		d.send(tea.WindowSizeMsg{Width: 120, Height: 40})
		d.hides("Mb/s  100%", "512Mb/s", "1.0k/s")
	}
}

func TestTrendsGrowWithTimeAndNotWithKeys(t *testing.T) {
	d := drive(t, newFake(), 120, 30)
	d.tick()
	length := func() int { return len(d.top().(*flows).trends["g1"]) }
	before := length()
	d.press("s", "S", "S", "s")
	if got := length(); got != before {
		t.Errorf("%d rates after four keys, and %d before", got, before)
	}
	d.tick()
	if got := length(); got != before+1 {
		t.Errorf("%d rates after a second, and %d before", got, before)
	}
}

func TestPausingTwiceMakesNoRates(t *testing.T) {
	d := drive(t, newFake(), 140, 30)
	d.fake.status.Totals.Packets += 5000
	d.tick()
	d.shows("5.0k/s packets")
	d.now = d.now.Add(time.Millisecond)
	d.press("p", "p")
	d.shows("5.0k/s packets")
}

func TestSuspendingWouldStopTheFirewallOfThisProcess(t *testing.T) {
	d := drive(t, newFake(), 100, 30, func(c *Config) { c.Inside = true })
	d.press("ctrl+z")
	for _, msg := range d.other {
		if _, ok := msg.(tea.SuspendMsg); ok {
			t.Fatal("^Z stops the firewall")
		}
	}
	d.shows("^Z would stop the firewall too")
}

func TestAnAnswerThatIsUnderWayDoesNotChangeWhatIsPaused(t *testing.T) {
	f := newFake()
	d := drive(t, f, 100, 30)
	tick := d.ask(withStatus)
	d.press("p")
	was := d.screen()
	f.flows = f.flows[2:]
	d.run(tick)
	if got := d.screen(); got != was {
		t.Errorf("after the pause the screen is\n%s\nand was\n%s", got, was)
	}
	d.press("p")
	d.hides("40122")

	// What a key has asked for comes.
	tick = d.ask(withStatus)
	d.press("3", "p")
	d.run(tick)
	d.shows("paused", "acme", "enforce")
}

func TestRulesAreTurnedInTheOrderOfTheFile(t *testing.T) {
	d := drive(t, newFake(), 120, 30, func(c *Config) { c.Screen = "rules" })
	order := func() string {
		var names []string
		for _, r := range d.top().(*rules).table.rows {
			names = append(names, r.Rule)
		}
		return strings.Join(names, " ")
	}
	const file, turned = "acme/web acme/dns acme/ssh globex/bulk globex/ping", "globex/ping globex/bulk acme/ssh acme/dns acme/web"
	for i, step := range []struct {
		key, want string
	}{{"f", file}, {"S", turned}, {"", turned}, {"S", file}} {
		if step.key != "" {
			d.press(step.key)
		}
		d.tick()
		if got := order(); got != step.want {
			t.Errorf("step %d, %q: %s, want %s", i, step.key, got, step.want)
		}
	}
}
