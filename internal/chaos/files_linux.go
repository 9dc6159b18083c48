package chaos

import (
	"context"
	"errors"
	"fmt"
	"os"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"sttwall/control"
)

// files are faults of files, sockets and those who read them.
func files() []*fault {
	return []*fault{
		{name: "rules-gone", what: "the rules file is gone at a reload", run: rulesGone, mend: mendRules},
		{name: "rules-broken", what: "the rules file is broken at a reload", run: rulesBroken, mend: mendRules},
		{name: "disk", what: "the disk of event log, drop capture and state file is full for 3 s", run: diskFull, mend: func(_ context.Context, b *bench) error {
			return os.RemoveAll(b.path("small/ballast"))
		}},
		{name: "socket", what: "the control socket is deleted", run: socketGone},
		{name: "reader", what: "who reads the event log from a named pipe is gone, and another one comes", run: readerGone,
			prepare: func(b *bench) error {
				if err := unix.Mkfifo(b.path("events.pipe"), 0o640); err != nil && !errors.Is(err, unix.EEXIST) {
					return err
				}
				return nil
			},
			flags: []string{"--event-log", "FOLDER/events.pipe"}},
	}
}

func mendRules(_ context.Context, b *bench) error { return b.writeRules() }

// refusedReload asks for a reload and wants it to be refused.
func (b *bench) refusedReload(ctx context.Context) (string, error) {
	var refused *control.Error
	err := b.ask(ctx, func(ctx context.Context, c *control.Client) error {
		_, err := c.Reload(ctx)
		return err
	})
	if err == nil {
		return "", errors.New("the reload was not refused")
	}
	if !errors.As(err, &refused) {
		return "", err
	}
	return refused.Message, nil
}

func (b *bench) reloads(ctx context.Context) error {
	return b.ask(ctx, func(ctx context.Context, c *control.Client) error {
		_, err := c.Reload(ctx)
		return err
	})
}

func rulesGone(ctx context.Context, b *bench) (string, error) {
	if err := os.Remove(b.path("rules.hcl")); err != nil {
		return "", err
	}
	said, err := b.refusedReload(ctx)
	if err != nil {
		return "", err
	}
	if err := wait(ctx, time.Second); err != nil {
		return "", err
	}
	b.over()
	return quoted(said), errors.Join(b.writeRules(), b.reloads(ctx))
}

func rulesBroken(ctx context.Context, b *bench) (string, error) {
	if err := os.WriteFile(b.path("rules.hcl"), []byte("tenant \"acme\" {\n  rule \"all\" {\n    action = \"accept\"\n"), 0o644); err != nil {
		return "", err
	}
	said, err := b.refusedReload(ctx)
	if err != nil {
		return "", err
	}
	if err := wait(ctx, time.Second); err != nil {
		return "", err
	}
	b.over()
	return quoted(said), errors.Join(b.writeRules(), b.reloads(ctx))
}

func diskFull(ctx context.Context, b *bench) (string, error) {
	mark := b.fw.log.mark()
	ballast, err := os.Create(b.path("small/ballast"))
	if err != nil {
		return "", err
	}
	defer os.Remove(b.path("small/ballast"))
	// What the drop capture gives up when it begins a new file is taken too.
	full, stop := context.WithCancel(ctx)
	filled := make(chan struct{})
	go func() {
		defer close(filled)
		for full.Err() == nil {
			if _, err := ballast.Write(make([]byte, 1<<12)); err != nil {
				wait(full, time.Millisecond)
			}
		}
		ballast.Close()
	}()
	defer func() {
		stop()
		<-filled
	}()
	begun := time.Now()
	if _, _, err := b.fw.log.waitSince(ctx, startBound, mark, "drop capture cannot be written", b.fw.ended); err != nil {
		return "", err
	}
	trouble, err := b.trouble(ctx, "event log")
	if err != nil {
		return "", err
	}
	// A temporary rule that would not outlast a restart.
	blocked := b.ask(ctx, func(ctx context.Context, c *control.Client) error {
		_, err := c.SetTemporary(ctx, control.TemporaryRequest{Action: "drop", Pattern: "udp 192.0.2.1 > 192.0.2.2", For: "10m", Name: "chaos"})
		return err
	})
	state := "a temporary rule is kept"
	if blocked != nil {
		state = "a temporary rule is refused: " + quoted(blocked.Error())
	}
	if err := wait(ctx, time.Until(begun.Add(3*time.Second))); err != nil {
		return "", err
	}
	mark = b.fw.log.mark()
	stop()
	<-filled
	b.over()
	if err := os.Remove(b.path("small/ballast")); err != nil {
		return "", err
	}
	if blocked == nil {
		if err := b.ask(ctx, func(ctx context.Context, c *control.Client) error {
			_, err := c.RemoveTemporary(ctx, "chaos")
			return err
		}); err != nil {
			return "", err
		}
	}
	if _, _, err := b.fw.log.waitSince(ctx, startBound, mark, "drop capture is written again", b.fw.ended); err != nil {
		return "", err
	}
	return fmt.Sprintf("stats: %s; %s; written again when there was room", quoted(trouble), state), nil
}

func socketGone(ctx context.Context, b *bench) (string, error) {
	if err := os.Remove(b.path("control.sock")); err != nil {
		return "", err
	}
	begun := time.Now()
	var err error
	for range 50 {
		if _, err = b.troubles(ctx); err == nil {
			b.over()
			return fmt.Sprintf("it is there again after %v", time.Since(begun).Round(time.Millisecond)), nil
		}
		if err := wait(ctx, 200*time.Millisecond); err != nil {
			return "", err
		}
	}
	return "", fmt.Errorf("it is not there again within 10 s: %w", err)
}

func readerGone(ctx context.Context, b *bench) (string, error) {
	pipe := b.path("events.pipe")
	read := func() (string, error) {
		f, err := os.OpenFile(pipe, os.O_RDONLY, 0)
		if err != nil {
			return "", err
		}
		defer f.Close()
		f.SetReadDeadline(time.Now().Add(startBound))
		buffer := make([]byte, 1<<12)
		n, err := f.Read(buffer)
		return string(buffer[:n]), err
	}
	if _, err := read(); err != nil { // and then it is gone
		return "", fmt.Errorf("the first reader: %w", err)
	}
	trouble, err := b.trouble(ctx, "event log")
	if err != nil {
		return "", err
	}
	b.over()
	line, err := read()
	if err == nil && !strings.Contains(line, "{") {
		err = fmt.Errorf("no lines but %q", line)
	}
	return "stats: " + quoted(trouble) + "; the next reader gets lines again", err
}
