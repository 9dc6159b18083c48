package tmux

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

// ErrMissing: there is no tmux on this host.
var ErrMissing = errors.New("tmux is not installed (apt-get install tmux)")

const (
	// lookEvery is how often [Terminal.WaitFor] looks at the screen.
	lookEvery = 25 * time.Millisecond
	// commandBound is how long tmux itself may take.
	commandBound = time.Minute
)

// wrapper runs the program, notes its PID and status, and keeps the terminal as it
// was left: what tmux itself knows of an end comes late, or never, and with it the
// cursor goes. Its arguments are the folder for the notes and the command.
const wrapper = `folder=$1; shift; trap : INT QUIT TSTP
sh -c 'echo $$ >"$0/pid"; exec "$@"' "$folder" "$@"
echo $? >"$folder/status"; exec sleep infinity`

// Config says what runs in a [Terminal].
type Config struct {
	// Command is the program and its arguments.
	Command []string
	// Environment is added to that of this process, as NAME=VALUE. TMUX and
	// COLORTERM are taken out of it first; TERM is tmux-256color.
	Environment []string
	// Dir is where the program starts; "" is here.
	Dir string
	// Width and Height are in cells; 0 means 80 and 24.
	Width, Height int
}

// Terminal is a running program and its screen.
type Terminal struct {
	folder string
	socket string
}

// Start starts the program. ctx bounds the start alone.
func Start(ctx context.Context, c Config) (*Terminal, error) {
	if _, err := exec.LookPath("tmux"); err != nil {
		return nil, ErrMissing
	}
	if len(c.Command) == 0 {
		return nil, errors.New("tmux: no command")
	}
	if c.Width == 0 {
		c.Width = 80
	}
	if c.Height == 0 {
		c.Height = 24
	}
	folder, err := os.MkdirTemp("", "terminal")
	if err != nil {
		return nil, fmt.Errorf("tmux: %w", err)
	}
	t := &Terminal{folder: folder, socket: filepath.Join(folder, "socket")}
	arguments := []string{"-u", "-f", "/dev/null", "new-session", "-d", "-x", strconv.Itoa(c.Width), "-y", strconv.Itoa(c.Height)}
	if c.Dir != "" {
		arguments = append(arguments, "-c", c.Dir)
	}
	// A pane that is never without a program: the real one begins when the
	// options are set.
	setup := [][]string{
		append(arguments, "sleep", "infinity"),
		{"set-option", "-g", "status", "off"},
		{"set-option", "-g", "default-terminal", "tmux-256color"},
		{"set-option", "-g", "window-size", "manual"},
		{"set-option", "-g", "escape-time", "0"},
		{"set-option", "-g", "history-limit", "0"},
		{"set-option", "-s", "set-clipboard", "on"},
		{"resize-window", "-x", strconv.Itoa(c.Width), "-y", strconv.Itoa(c.Height)},
	}
	program := append([]string{"respawn-pane", "-k", "env"}, c.Environment...)
	program = append(program, "sh", "-c", wrapper, "sh", folder)
	for _, argument := range c.Command {
		program = append(program, plain(argument))
	}
	setup = append(setup, program)
	for _, s := range setup {
		if _, err := t.command(ctx, s...); err != nil {
			return nil, errors.Join(err, t.Close())
		}
	}
	return t, nil
}

// command has the server do something.
func (t *Terminal) command(ctx context.Context, arguments ...string) (string, error) {
	ctx, end := context.WithTimeout(ctx, commandBound)
	defer end()
	cmd := exec.CommandContext(ctx, "tmux", append([]string{"-S", t.socket}, arguments...)...)
	for _, v := range os.Environ() {
		if name, _, _ := strings.Cut(v, "="); name != "TMUX" && name != "TMUX_PANE" && name != "COLORTERM" && name != "NO_COLOR" {
			cmd.Env = append(cmd.Env, v)
		}
	}
	var out, wrong bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &wrong
	if err := cmd.Run(); err != nil {
		return "", fmt.Errorf("tmux %s: %w: %s", arguments[0], err, bytes.TrimSpace(wrong.Bytes()))
	}
	return out.String(), nil
}

// Press presses keys, by tmux's names for them: "q", "Enter", "C-c", "Escape",
// "Up", "F1".
func (t *Terminal) Press(ctx context.Context, keys ...string) error {
	arguments := []string{"send-keys", "--"}
	for _, key := range keys {
		arguments = append(arguments, plain(key))
	}
	_, err := t.command(ctx, arguments...)
	return err
}

// Type types text, letter for letter.
func (t *Terminal) Type(ctx context.Context, text string) error {
	_, err := t.command(ctx, "send-keys", "-l", "--", plain(text))
	return err
}

// plain is an argument that tmux takes as it is: a semicolon at its end would part
// two commands.
func plain(argument string) string {
	if before, ends := strings.CutSuffix(argument, ";"); ends {
		return before + `\;`
	}
	return argument
}

// Show writes to the terminal what the program has not, escape codes too.
func (t *Terminal) Show(ctx context.Context, text string) error {
	tty, err := t.command(ctx, "display-message", "-p", "#{pane_tty}")
	if err != nil {
		return err
	}
	f, err := os.OpenFile(strings.TrimSuffix(tty, "\n"), os.O_WRONLY|unix.O_NOCTTY, 0)
	if err != nil {
		return fmt.Errorf("tmux: %w", err)
	}
	_, err = f.WriteString(text)
	return errors.Join(err, f.Close())
}

// Resize gives the terminal another size, and so the program a SIGWINCH.
func (t *Terminal) Resize(ctx context.Context, width, height int) error {
	_, err := t.command(ctx, "resize-window", "-x", strconv.Itoa(width), "-y", strconv.Itoa(height))
	return err
}

// Screen is what a terminal shows: one string a row, without blanks at its end.
type Screen []string

// Contains reports whether text stands somewhere in a row.
func (s Screen) Contains(text string) bool { return s.Row(text) >= 0 }

// Row returns the number of the first row that contains text; -1: none.
func (s Screen) Row(text string) int {
	for i, row := range s {
		if strings.Contains(row, text) {
			return i
		}
	}
	return -1
}

func (s Screen) String() string { return strings.Join(s, "\n") }

// Screen returns what is shown now.
func (t *Terminal) Screen(ctx context.Context) (Screen, error) {
	out, err := t.command(ctx, "capture-pane", "-p")
	return rows(out), err
}

// Coloured returns what is shown now, with the escape codes (SGR) that colour it.
func (t *Terminal) Coloured(ctx context.Context) (Screen, error) {
	out, err := t.command(ctx, "capture-pane", "-p", "-e")
	return rows(out), err
}

func rows(out string) Screen { return strings.Split(strings.TrimSuffix(out, "\n"), "\n") }

// WaitFor waits until the screen is as match wants it, and returns it. The error
// of ctx comes with what was shown instead.
func (t *Terminal) WaitFor(ctx context.Context, what string, match func(Screen) bool) (Screen, error) {
	ticker := time.NewTicker(lookEvery)
	defer ticker.Stop()
	for {
		s, err := t.Screen(context.WithoutCancel(ctx))
		if err != nil {
			return s, err
		}
		if match(s) {
			return s, nil
		}
		select {
		case <-ticker.C:
		case <-ctx.Done():
			return s, fmt.Errorf("waiting for %s: %w; the screen is:\n%s", what, context.Cause(ctx), s)
		}
	}
}

// State is what the program has made of its terminal.
type State struct {
	// Alternate: it is on the alternate screen. Cursor: the cursor is shown.
	// Mouse: it is told of the mouse.
	Alternate, Cursor, Mouse bool
	// Bottom is the last row that scrolls, from 0: of the screen, unless the program
	// has said otherwise (DECSTBM).
	Bottom int
	// Title is that of the window.
	Title string
	// PID is that of the program; 0: it has not begun.
	PID int
	// Ended: the program has ended, with that Status as a shell has it. The
	// terminal is as it has left it.
	Ended  bool
	Status int
}

// State returns the state of the terminal now.
func (t *Terminal) State(ctx context.Context) (s State, err error) {
	// Before the terminal is looked at, so that one that has ended had left it.
	s.Status, s.Ended = t.number("status")
	out, err := t.command(ctx, "display-message", "-p", "#{alternate_on}\t#{cursor_flag}\t#{mouse_any_flag}\t#{scroll_region_lower}\t#{pane_title}")
	if err != nil {
		return s, err
	}
	fields := strings.SplitN(strings.TrimSuffix(out, "\n"), "\t", 5)
	if len(fields) != 5 {
		return s, fmt.Errorf("tmux: its state is %q", out)
	}
	s.Alternate, s.Cursor, s.Mouse, s.Title = fields[0] == "1", fields[1] == "1", fields[2] == "1", fields[4]
	if s.Bottom, err = strconv.Atoi(fields[3]); err != nil {
		return s, fmt.Errorf("tmux: its state is %q", out)
	}
	s.PID, _ = t.number("pid") // behind it: what has done something has begun
	return s, nil
}

// number reads a number that the wrapper has written, if it has.
func (t *Terminal) number(name string) (n int, there bool) {
	line, err := os.ReadFile(filepath.Join(t.folder, name))
	if err != nil || !bytes.HasSuffix(line, []byte("\n")) {
		return 0, false
	}
	n, err = strconv.Atoi(string(bytes.TrimSpace(line)))
	return n, err == nil
}

// WaitState waits until the state is as match wants it.
func (t *Terminal) WaitState(ctx context.Context, what string, match func(State) bool) (s State, err error) {
	_, waited := t.WaitFor(ctx, what, func(Screen) bool {
		s, err = t.State(context.WithoutCancel(ctx))
		return err != nil || match(s)
	})
	return s, errors.Join(err, waited)
}

// Clipboard returns what the program has copied last (OSC 52).
func (t *Terminal) Clipboard(ctx context.Context) (string, error) {
	return t.command(ctx, "show-buffer")
}

// Close ends the program with a SIGHUP, if it still runs, and the server.
func (t *Terminal) Close() error {
	_, err := t.command(context.Background(), "kill-server")
	if _, there := os.Stat(t.socket); there != nil {
		err = nil // it never started
	}
	return errors.Join(err, os.RemoveAll(t.folder))
}
