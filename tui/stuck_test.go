package tui

import (
	"context"
	"math/rand/v2"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	tea "charm.land/bubbletea/v2"

	"sttwall/control"
)

// stuck is a firewall that answers nothing until whoever asks gives up, and counts how
// many ask the same at a time.
type stuck struct {
	*fake
	mu   sync.Mutex
	now  map[string][]context.Context
	most map[string]int
}

func (s *stuck) wait(ctx context.Context, name string) error {
	s.mu.Lock()
	// Who asks may have been given up before he comes to it.
	s.now[name] = slices.DeleteFunc(append(s.now[name], ctx), func(c context.Context) bool { return c.Err() != nil })
	s.most[name] = max(s.most[name], len(s.now[name]))
	s.mu.Unlock()
	<-ctx.Done()
	return ctx.Err()
}

func (s *stuck) Flows(ctx context.Context, q control.FlowQuery) (page control.FlowPage, err error) {
	if q.Limit == control.MaxFlows {
		return page, s.wait(ctx, "export")
	}
	return s.fake.Flows(ctx, q)
}
func (s *stuck) Tenants(ctx context.Context) ([]control.TenantHits, error) {
	return nil, s.wait(ctx, "tenants")
}
func (s *stuck) Reload(ctx context.Context) (r control.Reloaded, err error) {
	return r, s.wait(ctx, "reload")
}
func (s *stuck) Remedy(ctx context.Context, _ control.RemedyRequest) (r control.Remedy, err error) {
	return r, s.wait(ctx, "remedy")
}
func (s *stuck) Frames(ctx context.Context, _ control.FrameQuery, _ func(*control.Frame) error, _ func(uint64)) error {
	return s.wait(ctx, "frames")
}

// loop runs the app with commands beside it, as Bubble Tea does.
type loop struct {
	*app
	messages chan tea.Msg
	wait     sync.WaitGroup
}

func (l *loop) do(cmd tea.Cmd) {
	if cmd == nil {
		return
	}
	l.wait.Add(1)
	go func() {
		defer l.wait.Done()
		switch msg := cmd().(type) {
		case nil:
		case tea.BatchMsg:
			for _, each := range msg {
				l.do(each)
			}
		default:
			l.messages <- msg
		}
	}()
}

func (l *loop) send(msg tea.Msg) {
	_, cmd := l.Update(msg)
	l.do(cmd)
}

// settle takes what has come.
func (l *loop) settle() {
	for {
		select {
		case msg := <-l.messages:
			l.send(msg)
		case <-time.After(2 * time.Millisecond):
			return
		}
	}
}

func TestNothingIsAskedTwiceAtATimeWhateverIsPressed(t *testing.T) {
	s := &stuck{fake: newBusy(), now: make(map[string][]context.Context), most: make(map[string]int)}
	ctx, cancel := context.WithCancel(t.Context())
	a, err := newApp(ctx, Config{Firewall: s, Where: "x", Theme: "none", ExportDir: t.TempDir(), Screen: "flows"})
	if err != nil {
		t.Fatal(err)
	}
	a.after = func(time.Duration) tea.Cmd { return nil }
	l := &loop{app: a, messages: make(chan tea.Msg, 10000)}
	l.do(a.Init())
	l.settle()
	random := rand.New(rand.NewPCG(3, 4))
	keys := []string{"2", "enter", "esc", "e c", "2 e j", "/", "/ esc", "4", "4 R R", "5", "enter", "r", "esc", "tab", "j", "3", "p", "s", "f", "space", "?", "y", "t", "G", "g", "v"}
	for range 600 {
		for _, key := range strings.Fields(keys[random.IntN(len(keys))]) {
			l.send(keyMsg(key))
		}
		if random.IntN(10) == 0 {
			l.send(tickMsg{})
		}
		l.settle()
	}
	s.mu.Lock()
	for kind, n := range s.most {
		most := 1
		if kind == "tenants" {
			most = 2 // the screen, and names for completion
		}
		if n > most {
			t.Errorf("%s: asked %d times at once", kind, n)
		}
	}
	s.mu.Unlock()
	cancel()
	l.wait.Wait() // all have given up
}
