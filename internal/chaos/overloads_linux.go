package chaos

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"net"
	"net/netip"
	"os"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"sttwall/control"
	"sttwall/internal/lab"
)

// overloads are faults in which the firewall hangs, or more comes than there is room for.
func overloads() []*fault {
	resume := func(_ context.Context, b *bench) error {
		if err := b.fw.signal(unix.SIGCONT); !isGone(err) {
			return err
		}
		return nil
	}
	return []*fault{
		{
			name: "stop", what: "SIGSTOP for 10 s, then SIGCONT",
			run: func(ctx context.Context, b *bench) (string, error) {
				seen, err := b.stopped(ctx, func() error { return wait(ctx, 10*time.Second) })
				if err == nil {
					_, err = b.troubles(ctx) // it answers again
				}
				after, failed := b.dropped(ctx)
				n := after["queue/queue_full"] + after["queue/receive_buffer_full"]
				return fmt.Sprintf("%s; what came meanwhile waited in the queues, which dropped %d. What is lost all the same: when all comes at once, endpoints and hosts have no room", seen, n), errors.Join(err, failed)
			},
			mend: resume,
		},
		{
			name: "overrun", what: "SIGSTOP and a flood: queues of 1,024 packets run over", fails: Overload,
			flags: []string{"--queue-length", "1024", "--max-held", "512"},
			run:   func(ctx context.Context, b *bench) (string, error) { return b.flooded(ctx, "the queue was full") },
			mend:  resume,
		},
		{
			name: "enobufs", what: "SIGSTOP and a flood: receive buffers of 256 KiB run over (ENOBUFS)", fails: Overload,
			flags: []string{"--receive-buffer", "262144"},
			run: func(ctx context.Context, b *bench) (string, error) {
				return b.flooded(ctx, "the receive buffer was full")
			},
			mend: resume,
		},
		{
			name: "flows", what: fmt.Sprintf("a flow table of %d flows is filled with flows that are answered", smallTable), fails: Exception,
			flags: []string{"--rules", "FOLDER/small.hcl"},
			run:   fillFlows,
		},
	}
}

// stopped stops the firewall while f runs.
func (b *bench) stopped(ctx context.Context, f func() error) (string, error) {
	if err := b.fw.signal(unix.SIGSTOP); err != nil {
		return "", err
	}
	for !b.fw.stopped() {
		if err := wait(ctx, time.Millisecond); err != nil {
			return "", err
		}
	}
	err := f()
	b.over()
	return "stopped, and went on", errors.Join(err, b.fw.signal(unix.SIGCONT))
}

// flooded sends more denied packets to a firewall that is stopped than there is room for.
func (b *bench) flooded(ctx context.Context, tells string) (string, error) {
	before, err := b.dropped(ctx)
	if err != nil {
		return "", err
	}
	b.nowOpen()
	if _, err := b.stopped(ctx, func() error {
		r := rand.New(rand.NewPCG(uint64(b.fw.pid()), 3))
		for _, f := range lab.Forgeries()[:1] {
			for range 12_000 {
				packets, err := f.Packets(r, b.traffic.denied.mark(0))
				if err != nil {
					return err
				}
				for _, p := range packets {
					if b.lab.Inject(lab.EndpointA, p, lab.Offload{}) == nil {
						b.traffic.denied.sent[0].Add(1)
					}
				}
			}
		}
		return wait(ctx, 500*time.Millisecond)
	}); err != nil {
		return "", err
	}
	// What waited is decided; then the case is over.
	if _, err := b.steady(ctx, time.Now(), recoverBound); err != nil {
		return "", err
	}
	b.nowShut()
	after, err := b.dropped(ctx)
	if err != nil {
		return "", err
	}
	var lost uint64
	for name, n := range after {
		if strings.HasPrefix(name, "queue/") {
			lost += n - before[name]
		}
	}
	if b.open == Overload {
		if _, inside := b.traffic.denied.count(b.opened); inside == 0 {
			return "", errors.New("nothing was let pass")
		}
		return "what did not fit passed uninspected", nil
	}
	if !b.countsKnown() {
		return "what did not fit was dropped; how much, an ordinary user cannot know", nil
	}
	trouble, err := b.trouble(ctx, tells)
	if err == nil && lost == 0 {
		err = fmt.Errorf("the queue's drops were not counted: %v", after)
	}
	return fmt.Sprintf("the kernel dropped %d packets, most of them of the flood; stats: %s", lost, quoted(trouble)), err
}

// countsKnown reports whether the firewall may read what its queues have dropped.
func (b *bench) countsKnown() bool {
	_, err := os.ReadFile("/proc/net/netfilter/nfnetlink_queue")
	return err == nil
}

// fillFlows fills the flow table from both sides, with flows that are answered and so do
// not make room.
func fillFlows(ctx context.Context, b *bench) (string, error) {
	before, err := b.dropped(ctx)
	if err != nil {
		return "", err
	}
	if b.open == Exception {
		b.opened = window{from: time.Now()} // until the flows that fill it are over
	}
	until, stop := context.WithTimeout(ctx, 4*time.Second)
	defer stop()
	var sockets []net.PacketConn
	defer func() {
		for _, c := range sockets {
			c.Close()
		}
	}()
	fill := func(place lab.Place, to netip.Addr, n int) error {
		return b.lab.Do(place, func() error {
			for range n {
				c, err := net.ListenPacket("udp4", ":0")
				if err != nil {
					return err
				}
				sockets = append(sockets, c)
				c.WriteTo([]byte("begin"), net.UDPAddrFromAddrPort(netip.AddrPortFrom(to, portAnswer)))
			}
			return nil
		})
	}
	if err := errors.Join(fill(lab.AcmeA, lab.InnerB, smallTable), fill(lab.AcmeB, lab.InnerA, smallTable)); err != nil {
		return "", err
	}
	// They are kept alive while others try to begin.
	var refused uint64
	for until.Err() == nil {
		for i, c := range sockets {
			to := lab.InnerB
			if i >= smallTable {
				to = lab.InnerA
			}
			c.WriteTo([]byte("go on"), net.UDPAddrFromAddrPort(netip.AddrPortFrom(to, portAnswer)))
		}
		if err := wait(ctx, 250*time.Millisecond); err != nil {
			return "", err
		}
	}
	if b.open == Exception {
		return "the table is full; 40 of 40 new flows passed all the same, without state", b.newFlows(ctx, true)
	}
	after, err := b.dropped(ctx)
	if err != nil {
		return "", err
	}
	for _, name := range []string{"firewall/flow_table_full", "firewall/endpoint_flows"} {
		refused += after[name] - before[name]
	}
	var used control.Gauge
	if err := b.ask(ctx, func(ctx context.Context, c *control.Client) error {
		h, err := c.Health(ctx)
		used = h.Flows.Gauge
		return err
	}); err != nil {
		return "", err
	}
	b.over()
	seen := fmt.Sprintf("%d of %d flows; %d packets that begin one were refused; the flows that are there go on", used.Now, used.Bound, refused)
	if refused == 0 && b.open == NoCase {
		err = errors.New(seen + ": the table was to be full")
	}
	return seen, err
}
