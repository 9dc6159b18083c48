package main

import (
	"context"
	"io"
	"os"
	"os/signal"

	"golang.org/x/sys/unix"

	"sttwall/internal/chaos"
	"sttwall/internal/lab"
	"sttwall/internal/soak"
)

func main() {
	// The demo runs in namespaces that it makes by starting this program
	// again; then this call does not return.
	lab.MaybeChild(lab.Programs{Live: runLiveFirewall, Inside: map[string]lab.InsideProgram{chaos.Program: chaos.Inside, soak.Program: soak.Inside}})

	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, unix.SIGTERM)
	status := execute(ctx, os.Args[1:], streams{os.Stdin, os.Stdout, os.Stderr})
	stop()
	os.Exit(status)
}

// streams are what a command reads from and writes to.
type streams struct {
	in       io.Reader
	out, err io.Writer
}
