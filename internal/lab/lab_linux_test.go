package lab

import (
	"bytes"
	"context"
	"fmt"
	"net"
	"testing"
	"time"

	"sttwall/stt"
)

// testBound is how long a test, or a part of one, may take on a busy machine.
const testBound = 3 * time.Minute

// bounded returns a context that ends before a hanging test does.
func bounded(t *testing.T) context.Context {
	ctx, cancel := context.WithTimeout(context.Background(), testBound)
	t.Cleanup(cancel)
	return ctx
}

func newLab(t *testing.T, c Config) *Lab {
	t.Helper()
	l, err := New(c)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := l.Close(); err != nil {
			t.Error(err)
		}
	})
	return l
}

func TestUnderlayForwardsBetweenTheEndpoints(t *testing.T) {
	if !Inside(t) {
		return
	}
	l := newLab(t, Config{Without: Endpoints | Inspection})
	for _, at := range []string{"10.47.2.1:9", "[fd47:2::1]:9"} {
		capture, err := l.Capture(EndpointB, Underlay)
		if err != nil {
			t.Fatal(err)
		}
		marker := []byte("to " + at)
		if err := l.Do(EndpointA, func() error {
			c, err := net.Dial("udp", at)
			if err != nil {
				return err
			}
			defer c.Close()
			_, err = c.Write(marker)
			return err
		}); err != nil {
			t.Fatal(err)
		}
		got, err := capture.WaitFor(bounded(t), at, marker)
		if err != nil {
			t.Fatal(err)
		}
		if !bytes.HasSuffix(got.Data, marker) || got.Outgoing {
			t.Errorf("captured %+v", got)
		}
		if err := capture.Complete(); err != nil {
			t.Error(err)
		}
		if err := capture.Close(); err != nil {
			t.Error(err)
		}
	}
}

func TestInjectedPacketsArriveAsTheyWereSent(t *testing.T) {
	if !Inside(t) {
		return
	}
	l := newLab(t, Config{Without: Endpoints | Inspection})
	for _, path := range []stt.Path{
		{Src: OuterA, Dst: OuterB, SrcPort: 4000, DstPort: 9, TTL: 64, DontFragment: true},
		{Src: OuterA6, Dst: OuterB6, SrcPort: 4000, DstPort: 9, TTL: 64},
	} {
		for _, size := range []int{0, 1300} {
			t.Run(fmt.Sprintf("IPv4=%v/segment=%d", path.Src.Is4(), size), func(t *testing.T) {
				capture, err := l.Capture(EndpointB, Underlay)
				if err != nil {
					t.Fatal(err)
				}
				defer capture.Close()
				length, sum := 1300, stt.ChecksumFull
				if size > 0 {
					length, sum = 20000, stt.ChecksumPartial
				}
				payload := bytes.Repeat([]byte("0123456789"), length/10)
				packet := stt.AppendSegment(nil, &path, &stt.Piece{FrameID: 7, FrameLength: length, Payload: payload, Checksum: sum})
				if err := l.Inject(EndpointA, packet, Offload{Partial: size > 0, SegmentSize: size}); err != nil {
					t.Fatal(err)
				}
				got, err := capture.WaitFor(bounded(t), "the packet", payload)
				if err != nil {
					t.Fatal(err)
				}
				if len(got.Data) != etherHeaderLen+len(packet) {
					t.Errorf("got %d bytes, want %d", len(got.Data), etherHeaderLen+len(packet))
				}
			})
		}
	}
}
