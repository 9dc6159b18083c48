package tui_test

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/signal"

	"sttwall/control"
	"sttwall/tui"
)

// A program of its own that watches the firewall of this host.
func ExampleRun() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	const socket = "/run/sttwall/control.sock"
	firewall, err := control.Dial(socket)
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return
	}
	defer firewall.Close()
	err = tui.Run(ctx, tui.Config{Firewall: firewall, Where: socket, Filter: "not verdict:accept", Screen: "flows"})
	if err != nil && !errors.Is(err, tui.ErrInterrupted) {
		fmt.Fprintln(os.Stderr, err)
	}
}
