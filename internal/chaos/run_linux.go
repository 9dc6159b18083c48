package chaos

import (
	"context"
	"encoding/json"
	"errors"
	"io"

	"sttwall/internal/lab"
)

// Options say what is tried.
type Options struct {
	Input
	// Stderr takes the firewalls' logs, if Input.Logs.
	Stderr io.Writer
	// Receive is told of rows, samples and progress, in order, from one goroutine.
	Receive func(*Told)
}

// Run builds the lab in a child process and tries faults there. ok: nothing denied has
// arrived, no byte was another one, and the firewall recovered each time.
func Run(ctx context.Context, o Options) (ok bool, err error) {
	if _, err := choose(o.Faults); err != nil {
		return false, err
	}
	group, remove, err := makeGroup()
	if err != nil {
		o.NoGroup = err.Error()
	} else {
		o.Group = group
		defer remove()
	}
	var unread error
	ok, err = lab.RunInside(ctx, lab.InsideRun{Program: Program, Input: &o.Input, Stderr: o.Stderr, Receive: func(text json.RawMessage) {
		var told Told
		if unread = errors.Join(unread, json.Unmarshal(text, &told)); unread == nil {
			o.Receive(&told)
		}
	}})
	return ok, errors.Join(err, unread)
}
