package tui

import (
	"context"
	"io"
	"testing"
	"time"

	tea "charm.land/bubbletea/v2"
)

// newBench is an app with a page of many flows.
func newBench(b *testing.B) *app {
	a, err := newApp(context.Background(), Config{Firewall: newFake().many(100_000), Screen: "flows", Theme: "dark", Now: func() time.Time { return fakeNow }, Output: io.Discard})
	if err != nil {
		b.Fatal(err)
	}
	a.after = func(time.Duration) tea.Cmd { return nil }
	a.Update(tea.WindowSizeMsg{Width: 200, Height: 60})
	a.abandon()
	a.Update(a.ask(withStatus)())
	return a
}

// View is called after every message: it must be cheap.
func BenchmarkView(b *testing.B) {
	a := newBench(b)
	b.Run("screen=flows/size=200x60/flows=100k", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			a.View()
		}
	})
}

// What a key costs without the drawing, and what an answer does.
func BenchmarkUpdate(b *testing.B) {
	a := newBench(b)
	b.Run("message=key/flows=100k", func(b *testing.B) {
		b.ReportAllocs()
		keys := []tea.Msg{keyMsg("j"), keyMsg("k")}
		for i := 0; b.Loop(); i++ {
			a.Update(keys[i%2])
		}
	})
	page, err := a.top().Ask()(context.Background(), a.env.source)
	if err != nil {
		b.Fatal(err)
	}
	b.Run("message=answer/flows=100k", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			a.top().Update(answer{value: page})
		}
	})
}
