package eventlog

import (
	"context"
	"log/slog"
	"strings"
	"testing"
	"time"
)

// Hasty has what waits for seconds wait for milliseconds.
func (c Config) Hasty() Config {
	c.retry, c.reap = time.Millisecond, time.Millisecond
	return c.Slow()
}

// Slow gives the last words and writes as long as a slow machine may need.
func (c Config) Slow() Config {
	c.last, c.write = time.Minute, time.Minute
	return c
}

// Said is a logger whose messages can be waited for.
type Said chan string

func (s Said) Enabled(context.Context, slog.Level) bool { return true }
func (s Said) WithAttrs([]slog.Attr) slog.Handler       { return s }
func (s Said) WithGroup(string) slog.Handler            { return s }
func (s Said) Handle(_ context.Context, r slog.Record) error {
	s <- r.Message
	return nil
}

// Wait waits for a message with those words, and returns those before it.
func (s Said) Wait(t *testing.T, words string) (before []string) {
	t.Helper()
	limit := time.After(time.Minute)
	for {
		select {
		case m := <-s:
			if strings.Contains(m, words) {
				return before
			}
			before = append(before, m)
		case <-limit:
			t.Fatalf("it does not say %q, but %q", words, before)
		}
	}
}
