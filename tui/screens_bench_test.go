package tui

import (
	"context"
	"fmt"
	"io"
	"testing"
	"time"

	tea "charm.land/bubbletea/v2"
)

// View is called after every message, and an answer comes once a second.
func BenchmarkScreens(b *testing.B) {
	for _, name := range []string{"overview", "drops", "health"} {
		f := newBusy()
		for i := range 1000 {
			f.drop("drop", "tenant_default", "acme", "", fmt.Sprintf("10.1.%d.%d:40000", i/250, i%250), "10.1.0.10:443", 100, 0x0e, 34)
		}
		a, err := newApp(context.Background(), Config{Firewall: f, Screen: name, Theme: "dark", Now: func() time.Time { return fakeNow }, Output: io.Discard})
		if err != nil {
			b.Fatal(err)
		}
		a.after = func(time.Duration) tea.Cmd { return nil }
		a.Update(tea.WindowSizeMsg{Width: 200, Height: 60})
		a.abandon()
		a.Update(a.ask(withStatus)())
		b.Run("screen="+name+"/size=200x60/view", func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				a.View()
			}
		})
		got, err := a.top().Ask()(context.Background(), f)
		if err != nil {
			b.Fatal(err)
		}
		b.Run("screen="+name+"/answer", func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				a.top().Update(answer{value: got})
			}
		})
	}
}
