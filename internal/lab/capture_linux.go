package lab

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"slices"
	"sync/atomic"

	"golang.org/x/sys/unix"
)

// captureBound is how many bytes a capture keeps. What comes above it counts
// as lost.
const captureBound = 256 << 20

// Captured is a packet that a capture saw.
type Captured struct {
	// Data starts with the Ethernet header. A GSO packet is here as one; its
	// TCP checksum may hold the pseudo-header sum alone.
	Data []byte
	// Outgoing: the capture's own side sent it.
	Outgoing bool
}

// source is where a capture has its packets from.
type source interface {
	// receive waits for a packet, and returns its length, which is more than len(b) if
	// that was too small, and whether this host sent it. The error is os.ErrClosed
	// after stop.
	receive(b []byte) (length int, outgoing bool, err error)
	// dropped returns for how many there was no room since the last call.
	dropped() (n int, err error)
	// stop ends receive; a second one is an error, os.ErrClosed.
	stop() error
}

// Capture collects the packets of one source, an interface in most cases, from its start on.
type Capture struct {
	source  source
	packets journal[Captured]
	lost    atomic.Int64
	ended   chan struct{}
	failure error // valid when ended is closed
}

// newCapture starts one in the calling thread's namespace: what passes the
// interface after it has returned is in it.
func newCapture(iface string) (*Capture, error) {
	socket, err := openPacketSocket(iface, unix.ETH_P_ALL)
	if err != nil {
		return nil, fmt.Errorf("capture: %w", err)
	}
	return startCapture(socket), nil
}

func startCapture(s source) *Capture {
	c := &Capture{source: s, ended: make(chan struct{})}
	c.packets.bound = captureBound
	go c.collect()
	return c
}

func (c *Capture) collect() {
	defer close(c.ended)
	buffer := make([]byte, 1<<17)
	for {
		n, outgoing, err := c.source.receive(buffer)
		switch {
		case errors.Is(err, os.ErrClosed):
			return
		case err != nil:
			c.failure = err
			return
		case n > len(buffer):
			c.lost.Add(1)
		default:
			c.packets.add(Captured{slices.Clone(buffer[:n]), outgoing}, n)
		}
	}
}

// Wait returns the first packet, of those seen and those to come until ctx
// ends, that match reports true for. what names it in the error.
func (c *Capture) Wait(ctx context.Context, what string, match func(Captured) bool) (Captured, error) {
	return c.packets.wait(ctx, what, match)
}

// WaitFor waits for a packet that contains marker.
func (c *Capture) WaitFor(ctx context.Context, what string, marker []byte) (Captured, error) {
	return c.Wait(ctx, what, func(p Captured) bool { return bytes.Contains(p.Data, marker) })
}

// Packets returns what was seen so far; the packets are shared.
func (c *Capture) Packets() []Captured { return c.packets.all() }

// Contains reports whether a packet seen so far contains marker.
func (c *Capture) Contains(marker []byte) bool {
	return slices.ContainsFunc(c.Packets(), func(p Captured) bool { return bytes.Contains(p.Data, marker) })
}

// Forget drops what was seen so far.
func (c *Capture) Forget() { c.packets.clear() }

// Complete returns an error if the capture has lost a packet, so that what is
// not in it may have passed all the same.
func (c *Capture) Complete() error {
	dropped, err := c.source.dropped()
	if err != nil {
		return fmt.Errorf("capture: %w", err)
	}
	c.packets.mu.Lock()
	overflown := c.packets.lost
	c.packets.mu.Unlock()
	if lost := c.lost.Add(int64(dropped)) + int64(overflown); lost > 0 {
		return fmt.Errorf("capture: lost %d packets", lost)
	}
	select {
	case <-c.ended:
		if c.failure != nil {
			return fmt.Errorf("capture: %w", c.failure)
		}
	default:
	}
	return nil
}

// Close ends the capture. What it has seen stays readable. It may be called
// more than once.
func (c *Capture) Close() error {
	err := c.source.stop()
	<-c.ended
	if errors.Is(err, os.ErrClosed) {
		return nil
	}
	return err
}
