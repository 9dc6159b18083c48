package lab

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
)

// InsideRun is one run of a program of [Programs.Inside].
type InsideRun struct {
	// Program is its name there.
	Program string
	// Input is given to it as JSON.
	Input any
	// Receive takes what it tells, in order, from one goroutine.
	Receive func(json.RawMessage)
	// Stderr takes what it and its children write.
	Stderr io.Writer
}

// RunInside runs a program in the lab's child, and reports whether all was as it
// should be there. It returns when the child and everything in it is gone. If ctx
// ends, the program is told to stop.
func RunInside(ctx context.Context, r InsideRun) (ok bool, err error) {
	input, err := json.Marshal(r.Input)
	if err != nil {
		return false, fmt.Errorf("lab: %w", err)
	}
	var said tail
	c := child{
		entry: r.Program, arguments: []string{r.Program}, order: order{Input: input},
		stdout: io.MultiWriter(r.Stderr, &said), stderr: io.MultiWriter(r.Stderr, &said),
		receive: func(m message) {
			if m.Told != nil {
				r.Receive(m.Told)
			}
		},
	}
	status, err := c.run(ctx)
	if err == nil && status > 1 {
		err = fmt.Errorf("lab: the child ended with status %d", status)
		if words := said.String(); words != "" {
			err = fmt.Errorf("%w; its last words:\n%s", err, words)
		}
	}
	return status == 0 && err == nil, err
}

// CoverFolder mounts an empty file system of at most so many bytes ("4m") over one of
// the folders that are there on every host, and returns which. Nobody sees it there
// who does not come through the lab's child, which alone may call this.
func CoverFolder(size string) (string, error) {
	if !insideChild {
		return "", errors.New("lab: outside of its child process")
	}
	return coverFolder(size)
}
