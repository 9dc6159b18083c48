// Pictures renews the pictures in docs/pictures: it builds sttwall, runs its demo
// in a terminal of its own, presses keys as a person would, and draws what is on
// the screen. Run it in the repository:
//
//	go run ./scripts/pictures
package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"regexp"
	"strings"
	"time"

	"sttwall/internal/picture"
	"sttwall/internal/tmux"
)

const (
	width, height = 120, 34
	patience      = 2 * time.Minute
	folder        = "docs/pictures"
)

// view is keys to press, then text to type and keys to press after it, what has to be
// seen then, and the name of the picture of that; "": none is drawn.
type view struct {
	name string
	keys []string
	text string
	then []string
	sees []string
}

var views = []view{
	// A minute of traffic, so that the plots are full.
	{name: "overview", keys: []string{"1"}, sees: []string{` up 1m`, `Throughput`, `> acme`, `l4_offset_mismatch`}},
	{name: "flows", keys: []string{"2"}, sees: []string{`TENANT`, `~ audit +initech`, `globex`, `10\.1\.0\.90:873`}},
	{name: "drops", keys: []string{"5"}, sees: []string{`REASON`, `l4_offset_mismatch`, `10\.1\.0\.7:\d+ +10\.1\.0\.80:443`}},
	{keys: []string{"/"}, text: "host:10.1.0.7 dport:443 drop", then: []string{"Enter"}, sees: []string{`dport:443 drop`, `> \S+ +x drop +acme`}},
	{name: "why", keys: []string{"Enter"}, sees: []string{`> Drop`, `acme/no-telnet \(rules\.hcl:`}},
	{name: "rule", keys: []string{"r"}, sees: []string{`rule "https"`, `rules.hcl:\d+`}},
}

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	if err := draw(ctx); err != nil {
		fmt.Fprintln(os.Stderr, "pictures:", err)
		os.Exit(1)
	}
}

func draw(ctx context.Context) (err error) {
	build, err := os.MkdirTemp("", "pictures")
	if err != nil {
		return err
	}
	defer os.RemoveAll(build)
	program := filepath.Join(build, "sttwall")
	if out, err := exec.CommandContext(ctx, "go", "build", "-o", program, "./cmd/sttwall").CombinedOutput(); err != nil {
		return fmt.Errorf("go build: %w\n%s", err, out)
	}
	terminal, err := tmux.Start(ctx, tmux.Config{
		Command: []string{program, "demo", "--theme", "dark"}, Environment: []string{"LANG=C.UTF-8", "COLORTERM=truecolor"},
		Dir: build, Width: width, Height: height,
	})
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, terminal.Close()) }()
	if err := os.MkdirAll(folder, 0o755); err != nil {
		return err
	}
	for _, v := range views {
		if v.name != "" {
			fmt.Fprintf(os.Stderr, "%s/%s.svg ...\n", folder, v.name)
		}
		if err := v.draw(ctx, terminal); err != nil {
			return err
		}
	}
	return terminal.Press(ctx, "q")
}

func (v view) draw(ctx context.Context, terminal *tmux.Terminal) error {
	ctx, end := context.WithTimeout(ctx, patience)
	defer end()
	if _, err := terminal.WaitFor(ctx, "the screen", func(s tmux.Screen) bool { return s.Contains("q quit") }); err != nil {
		return err
	}
	if err := terminal.Press(ctx, v.keys...); err != nil {
		return err
	}
	if v.text != "" {
		if err := errors.Join(terminal.Type(ctx, v.text), terminal.Press(ctx, v.then...)); err != nil {
			return err
		}
	}
	var patterns []*regexp.Regexp
	for _, pattern := range v.sees {
		patterns = append(patterns, regexp.MustCompile(pattern))
	}
	if _, err := terminal.WaitFor(ctx, strings.Join(v.sees, ", "), func(s tmux.Screen) bool {
		for _, p := range patterns {
			if !p.MatchString(s.String()) {
				return false
			}
		}
		return true
	}); err != nil {
		return err
	}
	if v.name == "" {
		return nil
	}
	rows, err := terminal.Coloured(ctx)
	if err != nil {
		return err
	}
	svg := picture.SVG(rows, picture.Config{Title: "sttwall demo", Width: width, Height: height})
	return os.WriteFile(filepath.Join(folder, v.name+".svg"), svg, 0o644)
}
