package tmux

import (
	"context"
	"errors"
	"os"
	"strings"
	"testing"
	"time"
)

func start(t *testing.T, c Config) (context.Context, *Terminal) {
	t.Helper()
	ctx, end := context.WithTimeout(t.Context(), 3*time.Minute)
	t.Cleanup(end)
	terminal, err := Start(ctx, c)
	if errors.Is(err, ErrMissing) {
		if os.Getenv("CI") == "true" {
			t.Fatalf("must run in CI: %v", err)
		}
		t.Skip(err)
	}
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := terminal.Close(); err != nil {
			t.Error(err)
		}
		if _, err := os.Stat(terminal.folder); !errors.Is(err, os.ErrNotExist) {
			t.Errorf("its folder is still there: %v", err)
		}
	})
	return ctx, terminal
}

func shows(text string) func(Screen) bool {
	return func(s Screen) bool { return s.Contains(text) }
}

func TestKeysReachTheProgramAndItsOutputTheScreen(t *testing.T) {
	ctx, terminal := start(t, Config{
		Command:     []string{"sh", "-c", `echo "$SAID in $(stty size)"; read -r line; printf 'got \033[31m%s\033[0m\n' "$line"; exit 3`},
		Environment: []string{"SAID=hello wörld"}, Width: 40, Height: 10,
	})
	if _, err := terminal.WaitFor(ctx, "the first line", shows("hello wörld in 10 40")); err != nil {
		t.Fatal(err)
	}
	if err := errors.Join(terminal.Type(ctx, "-x Enter;"), terminal.Press(ctx, "Enter")); err != nil {
		t.Fatal(err)
	}
	s, err := terminal.WaitFor(ctx, "the answer", shows("got -x Enter;"))
	if err != nil {
		t.Fatal(err)
	}
	if strings.Contains(s.String(), "\x1b") {
		t.Errorf("escape codes in %q", s)
	}
	coloured, err := terminal.Coloured(ctx)
	if err != nil || !coloured.Contains("\x1b[31m-x Enter;") {
		t.Errorf("got %q, %v", coloured, err)
	}
	state, err := terminal.WaitState(ctx, "its end", func(s State) bool { return s.Ended })
	if err != nil || state.Status != 3 || state.Alternate || !state.Cursor {
		t.Errorf("got %+v, %v", state, err)
	}
}

func TestTheProgramIsToldOfANewSize(t *testing.T) {
	ctx, terminal := start(t, Config{Command: []string{"sh", "-c", `trap 'stty size' WINCH; echo ready; while :; do sleep 0.02; done`}})
	if _, err := terminal.WaitFor(ctx, "the start", shows("ready")); err != nil {
		t.Fatal(err)
	}
	if err := terminal.Resize(ctx, 120, 30); err != nil {
		t.Fatal(err)
	}
	if _, err := terminal.WaitFor(ctx, "the size", shows("30 120")); err != nil {
		t.Fatal(err)
	}
}

func TestWhatTheProgramMakesOfItsTerminalIsKnown(t *testing.T) {
	ctx, terminal := start(t, Config{Command: []string{"sh", "-c",
		`printf '\033[?1049h\033[?25l\033[?1000h\033]2;a title\007\033]52;c;Y29waWVk\007'; read -r line; printf '\033[?1000l\033[?25h\033[?1049l'; read -r line`}})
	state, err := terminal.WaitState(ctx, "the alternate screen", func(s State) bool { return s.Alternate && !s.Cursor && s.Mouse && s.Title == "a title" })
	if err != nil || state.Ended || state.PID == 0 {
		t.Fatalf("got %+v, %v", state, err)
	}
	if _, err := terminal.WaitFor(ctx, "the clipboard", func(Screen) bool { // there is none before
		copied, err := terminal.Clipboard(ctx)
		return err == nil && copied == "copied"
	}); err != nil {
		t.Error(err)
	}
	if state.Bottom != 23 {
		t.Errorf("row %d is the last that scrolls", state.Bottom)
	}
	if err := terminal.Show(ctx, "\x1b[3;7r"); err != nil {
		t.Fatal(err)
	}
	if _, err := terminal.WaitState(ctx, "the region", func(s State) bool { return s.Bottom == 6 }); err != nil {
		t.Fatal(err)
	}
	if err := terminal.Press(ctx, "Enter"); err != nil {
		t.Fatal(err)
	}
	if _, err := terminal.WaitState(ctx, "the way back", func(s State) bool { return !s.Alternate && s.Cursor && !s.Mouse }); err != nil {
		t.Fatal(err)
	}
}

func TestWaitingInVainSaysWhatWasThereInstead(t *testing.T) {
	ctx, terminal := start(t, Config{Command: []string{"sh", "-c", "echo something else; read -r line"}})
	if _, err := terminal.WaitFor(ctx, "the start", shows("something else")); err != nil {
		t.Fatal(err)
	}
	ctx, end := context.WithCancelCause(ctx)
	end(errors.New("enough"))
	_, err := terminal.WaitFor(ctx, "a miracle", shows("a miracle"))
	if err == nil || !strings.Contains(err.Error(), "a miracle") || !strings.Contains(err.Error(), "enough") || !strings.Contains(err.Error(), "something else") {
		t.Errorf("got %v", err)
	}
}
