package main

import (
	"context"
	"errors"
	"os"
	"path/filepath"

	"github.com/spf13/pflag"

	"sttwall/control"
)

// defaultSocket is where the control socket is unless told otherwise; "" where
// the user has no folder for such things.
func defaultSocket() string {
	dir := "/run"
	if os.Geteuid() != 0 {
		if dir = os.Getenv("XDG_RUNTIME_DIR"); dir == "" {
			return ""
		}
	}
	return filepath.Join(dir, "sttwall", "control.sock")
}

// controlFlag is the flag of the commands that ask a running firewall.
type controlFlag struct{ path string }

func (f *controlFlag) add(flags *pflag.FlagSet) {
	flags.StringVar(&f.path, "control", defaultSocket(), "control `socket` of the firewall")
}

// ask calls f with a client of the running firewall.
func (f *controlFlag) ask(ctx context.Context, ask func(context.Context, *control.Client) error) error {
	if f.path == "" {
		return usageError{errors.New("--control: which socket? XDG_RUNTIME_DIR is not set")}
	}
	c, err := control.Dial(f.path)
	if err != nil {
		return err
	}
	defer c.Close()
	return ask(ctx, c)
}
