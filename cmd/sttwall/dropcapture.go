package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math"
	"sync/atomic"
	"time"

	"github.com/spf13/pflag"

	"sttwall/capture"
	"sttwall/control"
	"sttwall/firewall"
	"sttwall/limit"
	"sttwall/tap"
)

// dropCaptureRate is how many dropped frames are written: a flood of them must not fill
// the disk's queue, nor take a processor. What is over it is counted.
var dropCaptureRate = limit.Rate{Events: 5000, Per: time.Second, Burst: 5000}

// dropCaptureFlags are those of `run` that are about captures of dropped frames.
type dropCaptureFlags struct {
	file  string
	files int
	size  int // MiB
}

func (f *dropCaptureFlags) add(flags *pflag.FlagSet) {
	flags.StringVar(&f.file, "drop-capture", "", "write dropped frames to this pcapng `file`, with the reason as comment; older ones are FILE.1, FILE.2, ...")
	flags.IntVar(&f.files, "drop-capture-files", 10, "keep so many `files` at most")
	flags.IntVar(&f.size, "drop-capture-size", 10, "size of each in `MiB` at most")
}

// check refuses what cannot be.
func (f *dropCaptureFlags) check() error {
	switch {
	case f.file == "-":
		return errors.New("--drop-capture -: want a file; 'sttwall capture -w - --verdict drop' writes to standard output")
	case f.files < 1 || f.files > 1000:
		return fmt.Errorf("--drop-capture-files %d: want 1 to 1000", f.files)
	case f.size < 1 || f.size > 1<<20:
		return fmt.Errorf("--drop-capture-size %d: want 1 to %d", f.size, 1<<20)
	}
	return nil
}

// dropCapture writes the frames that a firewall drops to files. The inner frames, and
// not the packets that carried them: for those each packet of all traffic would have to
// be copied, since nobody knows before which are dropped. nil does nothing.
type dropCapture struct {
	ring *capture.Ring
	from *tap.Tap
	now  func() int64 // the firewall's clock
	log  *slog.Logger

	over    atomic.Uint64 // dropped faster than they may be written
	missed  uint64        // could not be written
	unknown uint64        // nothing of them is known
	broken  bool          // the last one could not be written
}

// open begins the files; nil if there are to be none.
func (f *dropCaptureFlags) open(taps *tap.Taps, log *slog.Logger) (*dropCapture, error) {
	if f.file == "" {
		return nil, nil
	}
	d := &dropCapture{log: log}
	var err error
	if d.ring, err = capture.OpenRing(capture.RingConfig{
		Path: f.file, Files: f.files, Size: int64(f.size) << 20, Link: capture.LinkEthernet, Application: "sttwall " + version(),
	}); err != nil {
		return nil, fmt.Errorf("--drop-capture: %w", err)
	}
	rate := limit.NewBucket(dropCaptureRate)
	d.from, err = taps.Open(tap.Config{Snap: tap.MaxSnap, Wants: func(e *firewall.FrameEvent) bool {
		if e.Verdict != firewall.Drop {
			return false
		}
		if !rate.Take(e.Decided, 1) {
			d.over.Add(1)
			return false
		}
		return true
	}})
	if err != nil {
		return nil, errors.Join(fmt.Errorf("--drop-capture: %w", err), d.ring.Close())
	}
	return d, nil
}

// run writes until ctx ends, and then what waits. What could not be captured is logged
// as often as every says; 0 is at the end alone.
func (d *dropCapture) run(ctx context.Context, now func() int64, every time.Duration) {
	if d == nil {
		return
	}
	if d.now = now; every <= 0 {
		every = math.MaxInt64
	}
	told := time.Now()
	for ctx.Err() == nil {
		d.take()
		wait, done := context.WithTimeout(ctx, every)
		d.from.Wait(wait)
		done()
		if time.Since(told) >= every {
			told = time.Now()
			d.tell()
		}
	}
	d.from.Close()
	d.take()
	d.tell()
	if err := d.ring.Close(); err != nil {
		d.log.Warn("the drop capture", "why", err)
	}
}

// tell logs what could not be captured since the last time.
func (d *dropCapture) tell() {
	for what, n := range map[string]uint64{
		"dropped frames not captured: too many at once":           d.from.Lost() + d.over.Swap(0),
		"dropped frames not captured: nothing of them is known":   d.unknown,
		"dropped frames not captured: the file cannot be written": d.missed,
	} {
		if n > 0 {
			d.log.Warn(what, "at_least", n)
		}
	}
	d.unknown, d.missed = 0, 0
}

// take writes all frames that wait.
func (d *dropCapture) take() {
	var (
		f tap.Frame
		r capture.Record
	)
	behind := time.Now().UnixNano() - d.now()
	wall := func(t int64) time.Time { return time.Unix(0, t+behind).UTC() }
	for d.from.Take(&f) {
		line := control.FrameOf(&f, wall)
		if !line.Record(&r) {
			d.unknown++
			continue
		}
		d.wrote(d.ring.Write(&r))
	}
}

// wrote notes whether a frame was written: the first that was not is told, and the
// first that was again.
func (d *dropCapture) wrote(err error) {
	switch {
	case err != nil:
		if d.missed++; !d.broken {
			d.log.Error("the drop capture cannot be written: the firewall goes on without it until it can", "why", err)
		}
		d.broken = true
		return
	case d.broken:
		d.log.Info("the drop capture is written again")
		d.broken = false
	}
}
