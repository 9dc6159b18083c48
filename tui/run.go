package tui

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"slices"
	"strings"
	"time"

	tea "charm.land/bubbletea/v2"

	"sttwall/filter"
)

// Config says what is shown, and where.
type Config struct {
	Firewall Firewall
	// Where names the firewall, such as the path of its socket, for messages.
	Where string
	// Title stands beside the program's name, such as the name of the host; "": nothing.
	Title string
	// Screen is the one to begin with, by its title in any case; "": the first.
	Screen string
	// Filter is the filter to begin with, see docs/filter.md; "": none.
	Filter string
	// Theme is ThemeAuto or one of Themes; "" is ThemeAuto.
	Theme string
	// Hint stands at the bottom until the first key; "": nothing.
	Hint string
	// Inside: the firewall runs in this process, so that leaving the screen leaves
	// it running, and ^C stops it. The keys say so.
	Inside bool
	// ExportDir is where exports are written; "": the current folder.
	ExportDir string
	// Every is how often is asked; 0 is a second.
	Every time.Duration
	// Now is the clock; nil is the system's.
	Now func() time.Time
	// Input and Output are the terminal; nil are those of the process. Environ are
	// its variables (TERM, NO_COLOR, COLORTERM); nil likewise.
	Input   io.Reader
	Output  io.Writer
	Environ []string
}

// Check says what is wrong with the names of screen and theme and with the filter.
func (c *Config) Check() error {
	titles := ScreenTitles()
	if c.Screen != "" && !slices.Contains(titles, strings.ToLower(c.Screen)) {
		return fmt.Errorf("there is no screen %q: want one of %s", c.Screen, strings.Join(titles, ", "))
	}
	if c.Theme != "" && c.Theme != ThemeAuto {
		if _, err := newTheme(c.Theme); err != nil {
			return err
		}
	}
	_, err := filter.Parse(c.Filter)
	return err
}

// ScreenTitles are the names for [Config.Screen].
func ScreenTitles() (titles []string) {
	for _, s := range screens(&env{now: time.Now}) {
		titles = append(titles, strings.ToLower(s.Title()))
	}
	return titles
}

// ErrInterrupted says that the user pressed ^C.
var ErrInterrupted = errors.New("interrupted")

// ErrDumb says that the terminal cannot show a screen.
var ErrDumb = errors.New("this terminal cannot show a full screen (TERM is dumb or not set)")

// Capable returns ErrDumb if the terminal of these variables shows no screen.
func Capable(environ []string) error {
	if term := variable(environ, "TERM"); term == "" || term == "dumb" {
		return ErrDumb
	}
	return nil
}

// Run shows the screen until the user leaves it (nil), presses ^C ([ErrInterrupted]),
// the terminal is gone ([ErrGone]), or ctx ends (nil). It returns [ErrDumb] where TERM says that nothing can be shown.
func Run(ctx context.Context, c Config) error { return run(ctx, c) }

func run(ctx context.Context, c Config, more ...tea.ProgramOption) error {
	if c.Environ == nil {
		c.Environ = os.Environ()
	}
	if err := Capable(c.Environ); err != nil {
		return err
	}
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil) // ends what still asks
	a, err := newApp(ctx, c)
	if err != nil {
		return err
	}
	// Signals are the caller's: ctx ends with them.
	options := []tea.ProgramOption{tea.WithContext(ctx), tea.WithoutSignalHandler(), tea.WithEnvironment(c.Environ), tea.WithFPS(30)}
	if c.Input == nil {
		c.Input = os.Stdin
	}
	input, release, err := watchInput(ctx, c.Input, func() { cancel(ErrGone) })
	if err != nil {
		return fmt.Errorf("screen: %w", err)
	}
	defer release()
	options = append(options, input...)
	if c.Output != nil {
		options = append(options, tea.WithOutput(c.Output))
	}
	_, err = tea.NewProgram(a, append(options, more...)...).Run()
	a.close()
	switch {
	case errors.Is(err, tea.ErrInterrupted):
		return ErrInterrupted
	case context.Cause(ctx) == ErrGone:
		return ErrGone
	case ctx.Err() != nil:
		return nil
	case err != nil:
		return fmt.Errorf("screen: %w", err)
	}
	return nil
}

// variable looks an environment variable up; the last one counts.
func variable(environ []string, name string) (value string) {
	for _, e := range environ {
		if text, ok := strings.CutPrefix(e, name+"="); ok {
			value = text
		}
	}
	return value
}

// utf8Locale reports whether the terminal shows more than ASCII, by the variables that
// say so, the first that is set. Without any of them it is taken to.
func utf8Locale(environ []string) bool {
	for _, name := range []string{"LC_ALL", "LC_CTYPE", "LANG"} {
		if v := strings.ToLower(variable(environ, name)); v != "" {
			return strings.Contains(v, "utf-8") || strings.Contains(v, "utf8")
		}
	}
	return true
}
