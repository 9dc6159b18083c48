package load

import (
	"bytes"
	"errors"
	"fmt"
	"math"
	"net/netip"
	"os"
	"os/exec"
	"strings"
	"testing"
	"time"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"
)

// newTestLab makes a lab, which needs root of the whole machine.
func newTestLab(t *testing.T, c LabConfig) *Lab {
	t.Helper()
	l, err := NewLab(c)
	if err != nil {
		if os.Getenv("CI") == "" || os.Geteuid() != 0 {
			t.Skipf("needs root, since BPF is closed to others: %v", err)
		}
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := l.Close(); err != nil {
			t.Error(err)
		}
	})
	return l
}

// measured measures until the source has had a CPU for long enough to be seen.
func measured(t *testing.T, l *Lab, traffic Traffic) Result {
	t.Helper()
	for duration := 20 * time.Millisecond; ; duration *= 2 {
		r, err := l.Measure(t.Context(), traffic, duration)
		if err != nil || r.Lost != 0 {
			t.Fatalf("%+v: %+v, %v", traffic, r, err)
		}
		if r.PPS > 0 {
			return r
		}
	}
}

// tapped collects what comes in at the right end, as long as there is room, until done is
// closed.
func tapped(t *testing.T, l *Lab, done <-chan struct{}) <-chan [][]byte {
	t.Helper()
	var fd int
	if err := inNamespace(l.sides[1].ns, func() (err error) {
		if fd, err = unix.Socket(unix.AF_PACKET, unix.SOCK_RAW|unix.SOCK_CLOEXEC, 0); err != nil {
			return err
		}
		const all = unix.ETH_P_ALL<<8&0xff00 | unix.ETH_P_ALL>>8
		return errors.Join(
			unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_RCVBUFFORCE, 64<<20),
			unix.SetsockoptTimeval(fd, unix.SOL_SOCKET, unix.SO_RCVTIMEO, &unix.Timeval{Usec: 20_000}),
			unix.Bind(fd, &unix.SockaddrLinklayer{Protocol: all, Ifindex: l.sides[1].end}))
	}); err != nil {
		t.Fatal(err)
	}
	out := make(chan [][]byte, 1)
	go func() {
		defer unix.Close(fd)
		var list [][]byte
		buffer := make([]byte, 1<<17)
		for {
			n, _, err := unix.Recvfrom(fd, buffer, 0)
			if err == nil {
				list = append(list, bytes.Clone(buffer[:n]))
				continue
			}
			select {
			case <-done:
				out <- list
				return
			default:
			}
		}
	}()
	return out
}

func TestWhatArrivesIsWhatIsSent(t *testing.T) {
	for _, traffic := range everyTraffic() {
		t.Run(fmt.Sprintf("%v/%v", traffic.Packet, map[Inner]string{TCP: "tcp", UDP: "udp"}[traffic.Inner]), func(t *testing.T) {
			l := newTestLab(t, LabConfig{Window: 256})
			traffic.Flows = 100
			if err := l.Open(t.Context(), traffic); err != nil {
				t.Fatal(err)
			}
			done := make(chan struct{})
			out := tapped(t, l, done)
			r := measured(t, l, traffic)
			close(done)
			list := <-out
			// A sink that is counting has counted the bytes of one packet more, on each CPU.
			bits, one := r.PPS*float64(8*traffic.PacketLen())/1e9, float64(8*traffic.PacketLen())/1e9/r.Elapsed.Seconds()
			if math.Abs(r.Gbps-bits) > 0.01*bits+float64(l.board.cpus)*one || r.Packets == 0 || r.Elapsed <= 0 {
				t.Errorf("%+v: want %f Gbit/s", r, bits)
			}
			got := reader{ends: l.config.Ends, traffic: traffic, step: stepData}
			ids := map[uint32]bool{}
			for i, b := range list {
				if err := got.add(b); err != nil {
					t.Fatalf("packet %d: %v", i, err)
				}
			}
			if len(got.done) == 0 {
				t.Fatalf("%d packets captured of %d, and no frame", len(list), r.Packets)
			}
			// Flows take turns; each measurement begins with the first one.
			last, turn := got.done[0].id, -1
			for _, f := range got.done {
				flow := int(f.port - tunnelPort)
				if ids[f.id] || f.clientAt != l.config.Ends.ClientOf(flow).String() || flow >= traffic.Flows {
					t.Fatalf("frame %d (twice: %t) of flow %d and %s", f.id, ids[f.id], flow, f.clientAt)
				}
				if f.id == last+1 && flow != 0 && flow != (turn+1)%traffic.Flows {
					t.Fatalf("frame %d is of flow %d, that before of %d", f.id, flow, turn)
				}
				ids[f.id], last, turn = true, f.id, flow
			}
		})
	}
}

func TestFlowsAreOpenedOnceInBothDirections(t *testing.T) {
	l := newTestLab(t, LabConfig{})
	seen := func() uint64 { return l.board.sum(seenPackets) }
	for _, tt := range []struct {
		traffic Traffic
		want    uint64 // packets more
	}{
		{Traffic{}, 3}, {Traffic{Flows: 1}, 0}, {Traffic{Flows: 1000}, 3 * 999}, {Traffic{Flows: 20_000, Packet: Segments45}, 3 * 19_000},
		{Traffic{Flows: 1000, Packet: GSO64K}, 0}, {Traffic{Flows: 10, Inner: UDP}, 2 * 10},
	} {
		before := seen()
		if err := l.Open(t.Context(), tt.traffic); err != nil {
			t.Fatal(err)
		}
		if got := seen() - before; got != tt.want {
			t.Errorf("%+v: %d packets, want %d", tt.traffic, got, tt.want)
		}
	}
}

func TestTheTimeOfEachPacketIsTaken(t *testing.T) {
	l := newTestLab(t, LabConfig{})
	for _, traffic := range []Traffic{{Flows: 10}, {Packet: Full1500, Inner: UDP}, {Packet: Shuffled45}, {Packet: GSO64K, Flows: 10}} {
		var r Latency
		for duration := 20 * time.Millisecond; r.Packets == 0; duration *= 2 {
			var err error
			if r, err = l.Latency(t.Context(), traffic, 20_000, duration); err != nil {
				t.Fatal(err)
			}
		}
		if n := r.Times.Count(); n != r.Packets || r.Wrong != 0 || r.Lost != 0 || r.Times.Quantile(0.5) <= 0 {
			t.Errorf("%+v: %d times of %d packets, %d wrong, %d lost, median %v", traffic, n, r.Packets, r.Wrong, r.Lost, r.Times.Quantile(0.5))
		}
	}
	measured(t, l, Traffic{}) // and then it is as it was
}

// What a firewall drops is counted, whole frames and parts alike.
func TestALossIsSeen(t *testing.T) {
	l := newTestLab(t, LabConfig{Window: 64})
	if err := l.Open(t.Context(), Traffic{}); err != nil {
		t.Fatal(err)
	}
	if err := l.InFirewall(func() error {
		link, err := netlink.LinkByName("right")
		if err != nil {
			return err
		}
		return netlink.LinkSetDown(link)
	}); err != nil {
		t.Fatal(err)
	}
	var r Result
	for duration := 10 * time.Millisecond; r.Packets < 64; duration *= 2 {
		var err error
		if r, err = l.Measure(t.Context(), Traffic{}, duration); err != nil || r.Packets > 64 || r.Lost != r.Packets || r.PPS != 0 {
			t.Fatalf("with the link down: %+v, %v", r, err)
		}
	}
	// So short a patience may be over before the source has had a CPU.
	for l.patience = 10 * time.Millisecond; ; l.patience *= 2 {
		err := l.Open(t.Context(), Traffic{Flows: 5})
		if err != nil && strings.Contains(err.Error(), "of 4 packets that were sent 4 did not arrive") {
			break
		}
		if err == nil || l.patience > drainBound {
			t.Fatalf("open: %v", err)
		}
	}
}

func TestAProgramThatIsStartedIsInTheFirewallsNamespace(t *testing.T) {
	l := newTestLab(t, LabConfig{})
	var out bytes.Buffer
	c := exec.Command("sh", "-c", "readlink /proc/self/ns/net; taskset -pc $$ | sed 's/.*: //'")
	c.Stdout = &out
	if err := l.Start(c, 0); err != nil {
		t.Fatal(err)
	}
	if err := c.Wait(); err != nil {
		t.Fatal(err)
	}
	_, path := l.FirewallNS()
	name, err := os.Readlink(path)
	if err != nil {
		t.Fatal(err)
	}
	if got, want := out.String(), name+"\n0\n"; got != want {
		t.Errorf("got %q, want %q", got, want)
	}
}

func TestTheEndsAreThoseThatAreAskedFor(t *testing.T) {
	l := newTestLab(t, LabConfig{Ends: Ends{
		Left: netip.MustParseAddr("10.47.0.1"), Right: netip.MustParseAddr("10.47.0.2"), Port: 7472, ContextID: 1 << 40, Back: 2 << 40,
		Client: netip.MustParseAddr("203.0.113.9"), Server: netip.MustParseAddr("10.1.0.10"), ServerPort: 8443,
	}})
	measured(t, l, Traffic{Flows: 3 << portBits})
	if _, err := l.Measure(t.Context(), Traffic{Flows: MaxFlows + 1}, time.Millisecond); err == nil {
		t.Error("more flows than there are")
	}
}
