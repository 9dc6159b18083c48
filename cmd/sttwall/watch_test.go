package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"strings"
	"testing"
	"time"

	"sttwall/control"
)

func TestAScreenIsWrittenInPlace(t *testing.T) {
	var out bytes.Buffer
	width, height := 12, 4
	s := &screen{w: &out, size: func() (int, int) { return width, height }}
	for _, tt := range []struct {
		name          string
		width, height int
		text, want    string
	}{
		{"at first", 12, 4, "one\ntwo\n", "\x1b[2J\x1b[Hhead\x1b[K\none\x1b[K\ntwo\x1b[K\x1b[J"},
		{"again", 12, 4, "three\n", "\x1b[Hhead\x1b[K\nthree\x1b[K\x1b[J"},
		{"as much as there is room for", 12, 4, "1\n2\n3\n", "\x1b[Hhead\x1b[K\n1\x1b[K\n2\x1b[K\n3\x1b[K\x1b[J"},
		{"more", 22, 4, "1\n2\n3\n4\n", "\x1b[Hhead\x1b[K\n1\x1b[K\n2\x1b[K\n... and 2 more lines\x1b[K\x1b[J"},
		{"a long line", 5, 4, "é23456789\n", "\x1b[Hhead\x1b[K\né2345\x1b[K\x1b[J"},
		{"one line", 9, 1, "1\n2\n", "\x1b[Hhead\x1b[K\x1b[J"},
	} {
		out.Reset()
		width, height = tt.width, tt.height
		if err := s.draw("head", tt.text); err != nil || out.String() != tt.want {
			t.Errorf("%s: got %q\nwant %q, %v", tt.name, &out, tt.want, err)
		}
	}
	out.Reset()
	if err := errors.Join(s.leave(), new(screen).leave(), (*screen)(nil).leave()); err != nil || out.String() != "\n" {
		t.Errorf("%q, %v", &out, err)
	}
}

func TestWatchShowsAgainAndAgain(t *testing.T) {
	gone := errors.New("no sttwall listens")
	refused, busy := &control.Error{Code: 404, Message: "there is no tenant"}, &control.Error{Code: 503, Message: "ask again"}
	for _, tt := range []struct {
		name  string
		json  bool
		says  []error // of one call after the other; then it ends
		want  string  // heads are cut at their time
		fails error
	}{
		{name: "blocks", says: []error{nil, nil}, want: "sttwall x, every 1ms, \ncall 0\n\nsttwall x, every 1ms, \ncall 1\n\n"},
		{name: "JSON", json: true, says: []error{nil, nil}, want: "call 0\ncall 1\n"},
		{name: "a firewall that is not there", says: []error{gone}, fails: gone},
		{name: "a firewall that starts anew", says: []error{nil, gone, nil}, want: "sttwall x, every 1ms, \ncall 0\n\nsttwall x, every 1ms, \nno sttwall listens\n\nsttwall x, every 1ms, \ncall 2\n\n"},
		{name: "one that is too busy for a moment", says: []error{nil, busy}, want: "sttwall x, every 1ms, \ncall 0\n\nsttwall x, every 1ms, \nask again\n\n"},
		{name: "what is refused", says: []error{nil, refused}, want: "sttwall x, every 1ms, \ncall 0\n\n", fails: refused},
	} {
		t.Run(tt.name, func(t *testing.T) {
			ctx, stop := context.WithCancel(context.Background())
			defer stop()
			var out bytes.Buffer
			calls := 0
			err := (&watchFlag{time.Millisecond}).run(ctx, shown{streams: streams{out: &out}, what: "x", json: tt.json}, func(_ context.Context, w io.Writer, rows int) error {
				if calls == len(tt.says) {
					stop()
					return ctx.Err()
				}
				fmt.Fprintf(w, "call %d\n", calls)
				if rows != 0 {
					t.Errorf("%d rows of what is no terminal", rows)
				}
				calls++
				return tt.says[calls-1]
			})
			if !errors.Is(err, tt.fails) {
				t.Errorf("got %v, want %v", err, tt.fails)
			}
			var got strings.Builder
			for line := range strings.Lines(out.String()) {
				if at := strings.LastIndex(line, ", "); at > 0 && strings.HasPrefix(line, "sttwall ") {
					line = line[:at+2] + "\n"
				}
				got.WriteString(line)
			}
			if got.String() != tt.want {
				t.Errorf("got\n%s\nwant\n%s", &got, tt.want)
			}
		})
	}
	var out bytes.Buffer
	err := new(watchFlag).run(context.Background(), shown{streams: streams{out: &out}}, func(_ context.Context, w io.Writer, _ int) error {
		fmt.Fprintln(w, "once")
		return gone
	})
	if err != gone || out.String() != "once\n" {
		t.Errorf("without the flag: %q, %v", &out, err)
	}
}
