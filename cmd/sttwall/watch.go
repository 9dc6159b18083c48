package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"
	"golang.org/x/sys/unix"

	"sttwall/control"
)

// How often --watch asks: by default, and at most and at least.
const (
	watchDefault = 2 * time.Second
	watchMost    = 200 * time.Millisecond
	watchLeast   = time.Hour
)

// watchFlag is --watch: ask again and again.
type watchFlag struct{ every time.Duration } // 0: once

func (f *watchFlag) add(flags *pflag.FlagSet) {
	flags.Var(f, "watch", "show it again every two seconds, or as often as `EVERY` says (--watch=5s), until ^C; in place on a terminal")
	flags.Lookup("watch").NoOptDefVal = watchDefault.String()
}

// Set reads how often.
func (f *watchFlag) Set(text string) error {
	d, err := time.ParseDuration(text)
	if err != nil || d < watchMost || d > watchLeast {
		return fmt.Errorf("want a time from %v to %v, such as 5s", watchMost, watchLeast)
	}
	f.every = d
	return nil
}

// noArgs wants no arguments, but takes "--watch 5s" as "--watch=5s".
func (f *watchFlag) noArgs(cmd *cobra.Command, args []string) error {
	if f.every != watchDefault || len(args) != 1 {
		return cobra.NoArgs(cmd, args)
	}
	if err := f.Set(args[0]); err != nil {
		return fmt.Errorf("--watch %.40q: %w", args[0], err)
	}
	return nil
}

// String returns how often.
func (f *watchFlag) String() string {
	if f.every == 0 {
		return ""
	}
	return f.every.String()
}

// Type is what help calls the value.
func (f *watchFlag) Type() string { return "EVERY" }

// shown is where something is shown, and what.
type shown struct {
	streams
	what string
	json bool
}

// run calls once, or again and again until ctx ends. once writes what is to be seen
// to w; rows is how many lines there is room for, 0 where that does not matter.
func (f *watchFlag) run(ctx context.Context, to shown, once func(ctx context.Context, w io.Writer, rows int) error) error {
	if f.every == 0 {
		return once(ctx, to.out, 0)
	}
	var place *screen
	if !to.json {
		place = screenOf(to.out)
	}
	ticker := time.NewTicker(f.every)
	defer ticker.Stop()
	for first := true; ; first = false {
		rows := 0
		if place != nil {
			_, height := place.size()
			rows = max(1, height-1)
		}
		var block bytes.Buffer
		err := once(ctx, &block, rows)
		var refused *control.Error
		switch {
		case ctx.Err() != nil: // ^C: all is well
		case err != nil && (first || errors.As(err, &refused) && refused.Code < http.StatusInternalServerError):
			return err
		case err != nil: // it may come back
			block.Reset()
			fmt.Fprintf(&block, "%v\n", err)
		}
		if ctx.Err() == nil {
			if err := to.write(place, f.head(to.what), &block); err != nil {
				return err
			}
		}
		select {
		case <-ticker.C:
		case <-ctx.Done():
			return place.leave()
		}
	}
}

func (f *watchFlag) head(what string) string {
	return fmt.Sprintf("sttwall %s, every %v, %s", what, f.every, time.Now().Format(time.TimeOnly))
}

// write shows a block: in place, or behind the last one.
func (to *shown) write(place *screen, head string, block *bytes.Buffer) error {
	switch {
	case place != nil:
		return place.draw(head, cleanLines(block.String()))
	case to.json:
		_, err := inJSON(to.out).Write(block.Bytes())
		return err
	}
	_, err := fmt.Fprintf(to.out, "%s\n%s\n", head, block)
	return err
}

// screen is a terminal on which the same place is written again and again.
type screen struct {
	w     io.Writer
	size  func() (width, height int)
	drawn bool
}

// screenOf returns the terminal that out is; nil if it is none, or one on which
// nothing can be put in its place.
func screenOf(out io.Writer) *screen {
	file, ok := unwrap(out).(*os.File)
	if !ok || !terminal(out) || os.Getenv("TERM") == "dumb" {
		return nil
	}
	return &screen{w: file, size: func() (int, int) {
		size, err := unix.IoctlGetWinsize(int(file.Fd()), unix.TIOCGWINSZ)
		if err != nil || size.Col == 0 || size.Row == 0 {
			return 80, 24
		}
		return int(size.Col), int(size.Row)
	}}
}

// draw writes head and lines, as far as there is room. Text is clean.
func (s *screen) draw(head, text string) error {
	width, height := s.size()
	lines := append([]string{head}, strings.Split(strings.TrimSuffix(text, "\n"), "\n")...)
	if more := len(lines) - height; more > 0 && height > 1 {
		lines = append(lines[:height-1], fmt.Sprintf("... and %d more lines", more+1))
	}
	var out strings.Builder
	if !s.drawn {
		out.WriteString("\x1b[2J")
	}
	s.drawn = true
	out.WriteString("\x1b[H") // home; each line then erases what is behind it
	for i, line := range lines[:min(len(lines), height)] {
		if i > 0 {
			out.WriteByte('\n')
		}
		out.WriteString(cutTo(line, width) + "\x1b[K")
	}
	out.WriteString("\x1b[J")
	_, err := io.WriteString(s.w, out.String())
	return err
}

// leave puts the cursor behind what was drawn.
func (s *screen) leave() error {
	if s == nil || !s.drawn {
		return nil
	}
	_, err := io.WriteString(s.w, "\n")
	return err
}

// cutTo returns at most so many characters of a line.
func cutTo(line string, width int) string {
	if utf8.RuneCountInString(line) <= width {
		return line
	}
	return string([]rune(line)[:width])
}
