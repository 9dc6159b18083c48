package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/netip"
	"os"
	"runtime"
	"slices"
	"strconv"
	"syscall"
	"testing"
	"time"

	"sttwall/control"
	"sttwall/describe"
	"sttwall/internal/lab"
	"sttwall/internal/onlooker"
	"sttwall/stt"
)

// screenRounds in the environment has the cost of a screen measured in so many rounds;
// else it is only looked whether that works. `make screencost` sets it.
const screenRounds = "STTWALL_SCREEN_ROUNDS"

const (
	// measuredFlows is how many flows there are meanwhile, and roundTime about how long a
	// transfer takes. Where nothing is measured there are a few, and a short one.
	measuredFlows, fewFlows  = 100_000, 2_000
	roundTime, shortTransfer = 4 * time.Second, 4 << 20

	screenRules = `settings {
  endpoints = ["10.47.1.1", "10.47.2.1"]
  timeouts {
    udp = "1h"
  }
}
tenant "acme" {
  context_ids = [100]
  rule "bulk" {
    action   = "accept"
    services = ["tcp/5201"]
  }
  rule "many" {
    action   = "accept"
    services = ["udp/9"]
  }
}
`
)

// screened is a lab, and the control socket of the firewall in it.
type screened struct {
	lab    *lab.Lab
	client *control.Client
}

// beginFlows has so many flows begin, each with a packet through the queue.
func (s *screened) beginFlows(ctx context.Context, flows int) error {
	l, c := s.lab, s.client
	path := stt.Path{Src: lab.OuterA, Dst: lab.OuterB, SrcPort: 40000, DstPort: stt.Port, TTL: 64, DontFragment: true}
	header := stt.FrameHeader{ContextID: lab.ContextAcme, Flags: stt.FlagChecksumVerified}
	send := func(i int) error {
		// Nobody is at the other end, so that nobody answers.
		d, err := describe.Parse(fmt.Sprintf("udp 10.9.%d.%d:%d > 10.8.0.1:9", i>>16, i>>8&0xff, 1000+i&0xff))
		if err != nil {
			return err
		}
		frame := append(make([]byte, stt.FrameHeaderLen), d.Data...)
		path.SrcPort = uint16(i)
		return l.Inject(lab.EndpointA, stt.AppendSegment(nil, &path, &stt.Piece{FrameID: uint32(i), FrameLength: len(frame), Payload: frame, Header: &header}), lab.Offload{})
	}
	again := time.NewTicker(50 * time.Millisecond)
	defer again.Stop()
	for { // some may get lost on the way to the queue
		for i := range flows {
			if err := send(i); err != nil && !errors.Is(err, syscall.ENOBUFS) {
				return err
			}
		}
		for packets := uint64(0); ; {
			now, err := c.Status(ctx)
			if err != nil {
				return err
			}
			if now.Flows >= flows {
				return nil
			}
			if now.Totals.Packets == packets {
				break // all that will come has
			}
			packets = now.Totals.Packets
			select {
			case <-again.C:
			case <-ctx.Done():
				return fmt.Errorf("%d flows: %w", now.Flows, ctx.Err())
			}
		}
	}
}

// watchedWhile looks each second while f runs, and returns how long the looks took together.
func watchedWhile(ctx context.Context, c *control.Client, f func() error) (looked time.Duration, looks int, err error) {
	done := make(chan error, 1)
	go func() { done <- f() }()
	tick := time.NewTicker(time.Second)
	defer tick.Stop()
	for {
		start := time.Now()
		if err := onlooker.Look(ctx, c); err != nil {
			return 0, 0, errors.Join(err, <-done)
		}
		looked, looks = looked+time.Since(start), looks+1
		select {
		case err := <-done:
			return looked, looks, err
		case <-tick.C:
		}
	}
}

// startSink takes all that is sent to it in a place, until the test ends.
func startSink(t *testing.T, l *lab.Lab, at lab.Place, port uint16) {
	t.Helper()
	var listener net.Listener
	if err := l.Do(at, func() (err error) {
		listener, err = net.Listen("tcp", fmt.Sprintf(":%d", port))
		return err
	}); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { listener.Close() })
	go func() {
		for {
			c, err := listener.Accept()
			if err != nil {
				return
			}
			go func() {
				defer c.Close()
				n, _ := io.Copy(io.Discard, c)
				fmt.Fprintln(c, n)
			}()
		}
	}()
}

// upload sends so many bytes through the tunnel, and returns how long that took.
func upload(l *lab.Lab, to netip.AddrPort, bytes int64) (time.Duration, error) {
	var c net.Conn
	if err := l.Do(lab.AcmeA, func() (err error) {
		c, err = net.DialTimeout("tcp", to.String(), time.Minute)
		return err
	}); err != nil {
		return 0, err
	}
	defer c.Close()
	c.SetDeadline(time.Now().Add(5 * time.Minute))
	start := time.Now()
	if _, err := io.CopyN(c, zeros{}, bytes); err != nil {
		return 0, err
	}
	if err := c.(*net.TCPConn).CloseWrite(); err != nil {
		return 0, err
	}
	var n int64
	if _, err := fmt.Fscanln(c, &n); err != nil || n != bytes {
		return 0, fmt.Errorf("%d of %d bytes came: %w", n, bytes, err)
	}
	return time.Since(start), nil
}

type zeros struct{}

func (zeros) Read(b []byte) (int, error) {
	clear(b)
	return len(b), nil
}

func median(list []float64) float64 {
	slices.Sort(list)
	return list[len(list)/2]
}

// What somebody who watches costs: throughput through the real program, with a client
// that asks all that the screens ask, once a second, and without, in turn. The figures
// are printed: what they are depends on what else this machine does.
func TestWhatAScreenCosts(t *testing.T) {
	if !lab.Inside(t) {
		return
	}
	rounds, flows, measured := 1, fewFlows, false
	if text := os.Getenv(screenRounds); text != "" {
		n, err := strconv.Atoi(text)
		if err != nil || n < 1 {
			t.Fatalf("%s=%s: want a number", screenRounds, text)
		}
		rounds, flows, measured = n, measuredFlows, true
	}
	l, err := lab.New(lab.Config{Without: lab.Inspection})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := l.Close(); err != nil {
			t.Error(err)
		}
	})
	// The program ends with the thread that starts it, and threads that the lab uses end.
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	fw := startRules(t, rulesFile(t, screenRules), "--queues", "2", "--startup-guard", "0s")
	c, err := control.Dial(fw.socket)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	ctx, stop := context.WithTimeout(t.Context(), 5*time.Minute+time.Duration(rounds)*4*roundTime)
	defer stop()
	startSink(t, l, lab.AcmeB, 5201)
	to := netip.AddrPortFrom(lab.InnerB, 5201)
	bytes := int64(shortTransfer)
	took, err := upload(l, to, bytes) // finds the neighbours
	if err != nil {
		t.Fatal(err)
	}
	if err := (&screened{l, c}).beginFlows(ctx, flows); err != nil {
		t.Fatal(err)
	}
	if measured {
		if took, err = upload(l, to, 16*bytes); err != nil {
			t.Fatal(err)
		}
		bytes = int64(float64(16*bytes) * float64(roundTime) / float64(took))
	}
	var alone, watched []float64
	var looked time.Duration
	looks := 0
	for range rounds {
		if took, err = upload(l, to, bytes); err != nil {
			t.Fatal(err)
		}
		alone = append(alone, float64(bytes)/1e6/took.Seconds())
		spent, n, err := watchedWhile(ctx, c, func() (err error) {
			took, err = upload(l, to, bytes)
			return err
		})
		if err != nil {
			t.Fatal(err)
		}
		watched = append(watched, float64(bytes)/1e6/took.Seconds())
		looked, looks = looked+spent, looks+n
	}
	status, err := c.Status(ctx)
	if err != nil || status.Flows < flows {
		t.Errorf("%d flows at the end, %v", status.Flows, err)
	}
	if measured {
		a, w := median(alone), median(watched)
		t.Logf("%d rounds of %d MB with %d flows: %.0f MB/s, %.0f MB/s with a screen: %.3f; %d looks of %v",
			rounds, bytes/1e6, status.Flows, a, w, w/a, looks, (looked / time.Duration(looks)).Round(time.Microsecond))
		t.Logf("alone   %.0f\nwatched %.0f", alone, watched)
	}
	if code, said := fw.stop(t, syscall.SIGTERM); code != statusFine {
		t.Errorf("status %d\n%s", code, said)
	}
}
