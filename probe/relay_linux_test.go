package probe

import (
	"bytes"
	"net"
	"sync"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"sttwall/endpoint"
	"sttwall/internal/lab"
	"sttwall/stt"
)

// relay has packets from endpoint A go through carry, and not through the router's kernel.
// n counts those that hold a whole frame; carry may call send more than once, and later.
func relay(t *testing.T, l *lab.Lab, carry func(n int, send func())) {
	t.Helper()
	impair(t, l, append(from(lab.UnderlayA), drop()))
	fd := -1
	var to unix.SockaddrLinklayer
	var mac net.HardwareAddr
	if err := l.Do(lab.Firewall, func() (err error) {
		link, err := net.InterfaceByName(lab.UnderlayB)
		if err != nil {
			return err
		}
		mac, to.Ifindex = link.HardwareAddr, link.Index
		fd, err = unix.Socket(unix.AF_PACKET, unix.SOCK_RAW|unix.SOCK_CLOEXEC, 0)
		return err
	}); err != nil {
		t.Fatal(err)
	}
	var (
		mu     sync.Mutex // of closed, and of to, which Sendto writes to
		closed bool
	)
	n := 0
	stop, _, err := l.Watch(lab.Firewall, lab.UnderlayA, func(packet []byte, outgoing bool) {
		var s stt.Segment
		if outgoing || len(packet) < 14 {
			return
		}
		s.Decode(packet[14:], len(packet)-14, []uint16{stt.Port})
		if s.Payload == nil {
			return
		}
		copied := bytes.Clone(packet)
		copy(copied, []byte{0x02, 0x47, 0, 0, 2, 1}) // endpoint B
		copy(copied[6:], mac)
		send := func() { // also when the relay has ended
			mu.Lock()
			defer mu.Unlock()
			if closed {
				return
			}
			if err := unix.Sendto(fd, copied, 0, &to); err != nil {
				t.Errorf("relay: %v", err)
			}
		}
		if !s.WholeFrame() {
			send()
			return
		}
		n++
		carry(n, send)
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		stop()
		mu.Lock()
		defer mu.Unlock()
		closed = true
		unix.Close(fd)
	})
}

func TestReorderedAndDoubledFramesAreCounted(t *testing.T) {
	if !lab.Inside(t) {
		return
	}
	for _, test := range []struct {
		name             string
		carry            func(n int, send func())
		reordered, twice bool
	}{
		{"as they come", func(_ int, send func()) { send() }, false, false},
		{"each fifth one later", func(n int, send func()) {
			if n%5 == 0 {
				time.AfterFunc(20*time.Millisecond, send)
				return
			}
			send()
		}, true, false},
		{"each fifth one twice", func(n int, send func()) {
			send()
			if n%5 == 0 {
				send()
			}
		}, false, true},
	} {
		t.Run(test.name, func(t *testing.T) {
			l := newPath(t, lab.Config{Without: lab.Inspection, Segmentation: endpoint.SegmentMTU})
			relay(t, l, test.carry)
			r := ask(t, l, nil)
			if got := r.Forward.Reordered > 0; got != test.reordered || r.Back.Lost+r.Forward.Lost != 0 {
				t.Errorf("got %+v forward, want reordered ones: %v", r.Forward, test.reordered)
			}
			if got := r.Forward.Duplicates > 0; got != test.twice || r.Back.Duplicates != 0 {
				t.Errorf("got %+v forward, %+v back, want doubled ones: %v", r.Forward, r.Back, test.twice)
			}
			if got := len(r.Findings) > 0; got != test.twice {
				t.Errorf("findings %q, want some: %v", r.Findings, test.twice)
			}
		})
	}
}
