package tui

import (
	"errors"
	"net/http"
	"testing"

	"sttwall/control"
)

// What is seen when there is little to see.
func TestStatesAtThreeSizes(t *testing.T) {
	for _, size := range sizes {
		for _, state := range []struct {
			name string
			of   func(f *fake)
			do   func(d *driver)
		}{
			{"idle", func(f *fake) { f.flows, f.status.Flows, f.status.Totals = nil, 0, control.Totals{} }, func(*driver) {}},
			{"gone", func(*fake) {}, func(d *driver) {
				d.fake.err = errAway
				d.tick()
				d.tick()
			}},
			{"help", func(*fake) {}, func(d *driver) { d.press("?") }},
			{"prompt", func(*fake) {}, func(d *driver) {
				d.press("/")
				d.typed("tenant:acme dp")
			}},
			{"columns", func(*fake) {}, func(d *driver) { d.press("c", "j", "space") }},
			{"frozen", func(*fake) {}, func(d *driver) { d.press("j", "j", "space", "g") }},
			{"rule", func(*fake) {}, func(d *driver) { d.press("4", "enter") }},
		} {
			t.Run(state.name+"-"+size.name, func(t *testing.T) {
				f := newFake()
				state.of(f)
				d := drive(t, f, size.width, size.height, func(c *Config) { c.Screen = "flows" })
				d.tick()
				state.do(d)
				d.golden(state.name + "-" + size.name)
			})
		}
	}
}

func TestAnEmptyTableSaysWhyItIsEmpty(t *testing.T) {
	none := func(f *fake) { f.flows, f.status.Flows, f.status.Totals = nil, 0, control.Totals{} }
	for _, tt := range []struct {
		name   string
		change func(*fake)
		config func(*Config)
		want   []string
	}{
		{"no packet yet", none, nil, []string{"No flows yet", "has seen no STT packet", "settings.stt_ports"}},
		{"packets, but none made a flow", func(f *fake) {
			none(f)
			f.status.Totals.Packets = 7
		}, nil, []string{"No flows yet", "has seen 7 packets so far, and passed 0 packets", "Drops"}},
		{"a filter", nil, func(c *Config) { c.Filter = "dport:9999" }, []string{"The filter selects nothing", "dport:9999 hides 6 flows", "Esc takes it away"}},
		{"not connected", func(f *fake) { f.err = errAway }, nil, []string{"Not connected", "is it running, and with this --control?", "tried again"}},
		{"not allowed", func(f *fake) {
			f.flowsErr = &control.Error{Code: http.StatusForbidden, Message: "only root may see that"}
		}, nil,
			[]string{"Not allowed", "only root may see that", "Ask as root"}},
		{"refused", func(f *fake) {
			f.flowsErr = &control.Error{Code: http.StatusServiceUnavailable, Message: "too many at once"}
		}, nil,
			[]string{"The firewall does not tell", "too many at once"}},
		{"too slow", func(f *fake) { f.flowsErr = errors.New("context deadline exceeded") }, nil, []string{"The firewall does not tell", "deadline"}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			f := newFake()
			if tt.change != nil {
				tt.change(f)
			}
			d := drive(t, f, 100, 30, func(c *Config) {
				c.Screen = "flows"
				if tt.config != nil {
					tt.config(c)
				}
			})
			d.shows(tt.want...)
		})
	}
}

func TestARuleThatDropsLeadsToItsDrops(t *testing.T) {
	f := newBusy()
	d := drive(t, f, 120, 30, func(c *Config) { c.Screen = "rules" })
	d.press("enter")
	d.shows("Enter its flows")
	d.press("enter")
	d.shows("[2 Flows]", "/rule:acme/web")
	h := &f.rules[0].Hits
	h.Flows, h.Dropped = 0, h.Frames
	d.press("esc", "4")
	d.tick()
	d.shows("Enter its drops")
	d.press("enter")
	d.shows("[5 Drops]", "/rule:acme/web")
}

func TestRulesAreReloadedByASecondPress(t *testing.T) {
	f := newFake()
	f.reloaded = control.Reloaded{Tenants: 3, Rules: 5, FlowsEnded: 1}
	d := drive(t, f, 120, 30, func(c *Config) { c.Screen = "rules" })
	d.press("R")
	d.shows("R once more puts the rules file in force: rules.hcl")
	d.press("j", "R")
	if got := f.asked["reload"]; got != 0 {
		t.Fatalf("reloaded %d times, before it was asked for twice in a row", got)
	}
	d.press("R")
	d.shows("in force: 3 tenants, 5 rules; 1 flow ended")
	f.reloaded.Warnings = []string{"one", "two"}
	d.press("R", "R")
	d.shows("2 warnings, see 'sttwall check'")
	f.reloadErr = &control.Error{Code: http.StatusUnprocessableEntity, Message: "rules.hcl:3: no\nmore"}
	d.press("R", "R")
	d.shows("nothing has changed: rules.hcl:3: no ...")
	f.reloadErr = &control.Error{
		Code: http.StatusUnprocessableEntity, Message: "the rules file does not load",
		Diagnostics: "/etc/sttwall/rules.hcl:28,17-24: error: Invalid service\n  28 |     services = [\"tcp/x\"]\n",
	}
	d.press("R", "R")
	d.shows("nothing has changed: rules.hcl:28,17-24: error: Invalid service ... ('sttwall check' says all)")
	if got := f.asked["reload"]; got != 4 {
		t.Errorf("reloaded %d times, want 4", got)
	}
}
