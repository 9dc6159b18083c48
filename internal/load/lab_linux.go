package load

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"time"

	"github.com/cilium/ebpf"
	"github.com/cilium/ebpf/asm"
	"github.com/cilium/ebpf/link"
	"github.com/vishvananda/netns"
)

// LabConfig says what a [Lab] is made of.
type LabConfig struct {
	// Window is how many packets may be between source and sink; 0 means
	// [DefaultWindow]. It must fit into what the thing under test can hold.
	Window int
	// Batch is how many packets the source gives to the network stack at a time, 1
	// to 256; 0 means [DefaultBatch].
	Batch int
	// CPU is where the source runs.
	CPU int
	// Ends says who talks.
	Ends Ends
	// Own: what is under test runs in this process; see [Result.Process].
	Own bool
}

const (
	// DefaultWindow keeps a queue of some thousand packets busy.
	DefaultWindow = 1024
	// DefaultBatch is what a network driver hands over at a time (NAPI_POLL_WEIGHT).
	DefaultBatch = 64
)

// Lab is a firewall host between two ends, each a network namespace of its own. It may
// be used by one goroutine at a time.
type Lab struct {
	config   LabConfig
	firewall netns.NsHandle
	sides    [2]*side
	board    *board
	sinks    [2]*sink
	receive  *ebpf.Program // makes the firewall's links ready for the source
	ready    [2]link.Link

	opened   [2]int        // by Inner: flows that are established
	patience time.Duration // with packets that open flows
	// whole is the payload of a packet in bytes if it is counted by that, and
	// payloadBefore what was counted before.
	whole, payloadBefore uint64
}

// NewLab makes the namespaces, links and sinks. It needs root: BPF is closed to user
// namespaces. [Lab.Close] takes all of it away.
func NewLab(c LabConfig) (*Lab, error) {
	if c.Window == 0 {
		c.Window = DefaultWindow
	}
	if c.Batch == 0 {
		c.Batch = DefaultBatch
	}
	if c.Batch < 1 || c.Batch > 256 {
		return nil, fmt.Errorf("load: batch of %d packets: 1 to 256", c.Batch)
	}
	var err error
	if c.Ends, err = c.Ends.withDefaults(); err != nil {
		return nil, err
	}
	l := &Lab{config: c, patience: drainBound, firewall: -1, sides: [2]*side{{
		name: "left", outer: c.Ends.Left.AsSlice(), router: []byte{169, 254, 48, 1},
		mac: [6]byte{2, 0x48, 0, 0, 1, 1}, routerMAC: [6]byte{2, 0x48, 0, 0, 1, 0xfe}, ns: -1,
	}, {
		name: "right", outer: c.Ends.Right.AsSlice(), router: []byte{169, 254, 48, 2},
		mac: [6]byte{2, 0x48, 0, 0, 2, 1}, routerMAC: [6]byte{2, 0x48, 0, 0, 2, 0xfe}, ns: -1,
	}}}
	if err := l.build(); err != nil {
		return nil, errors.Join(err, l.Close())
	}
	return l, nil
}

func (l *Lab) build() (err error) {
	if l.board, err = newBoard(); err != nil {
		return err
	}
	if l.firewall, err = newNamespace(); err != nil {
		return err
	}
	for _, s := range l.sides {
		if s.ns, err = newNamespace(); err != nil {
			return err
		}
		if err := inNamespace(s.ns, sysctls); err != nil {
			return err
		}
	}
	// A veth's receive queue is known to XDP only while it has a program, and the
	// source's packets must come in on a queue that is known.
	if l.receive, err = ebpf.NewProgram(&ebpf.ProgramSpec{
		Name: "load_receive", Type: ebpf.XDP, License: "GPL",
		Instructions: asm.Instructions{asm.Mov.Imm(asm.R0, 2), asm.Return()}, // XDP_PASS
	}); err != nil {
		return fmt.Errorf("load: %w", err)
	}
	if err := inNamespace(l.firewall, func() error {
		if err := sysctls(); err != nil {
			return err
		}
		for _, s := range l.sides {
			if err := s.build(); err != nil {
				return err
			}
		}
		return l.listen(true)
	}); err != nil {
		return err
	}
	return l.attachSinks(nil, 0)
}

// listen makes the firewall's links take packets of the source, or of an ordinary
// sender: XDP on a veth keeps its peer from sending packets larger than the MTU. The
// calling thread is in the firewall's namespace.
func (l *Lab) listen(on bool) (err error) {
	for i, s := range l.sides {
		switch {
		case on && l.ready[i] == nil:
			if l.ready[i], err = link.AttachXDP(link.XDPOptions{Program: l.receive, Interface: s.ifindex, Flags: link.XDPDriverMode}); err != nil {
				l.ready[i] = nil
				return fmt.Errorf("load: link %s: XDP: %w", s.name, err)
			}
		case !on && l.ready[i] != nil:
			err := l.ready[i].Close()
			l.ready[i] = nil
			if err != nil {
				return fmt.Errorf("load: link %s: XDP: %w", s.name, err)
			}
		}
	}
	return nil
}

// attachSinks has the ends count what comes in, and how old it is if histogram is not
// nil; stampAt is that of the traffic.
func (l *Lab) attachSinks(histogram *ebpf.Map, stampAt int) error {
	for i, s := range l.sides {
		if err := inNamespace(s.ns, func() error {
			next, err := newSink(l.board, sinkConfig{histogram, stampAt, s.end, l.config.Ends.Port})
			if err != nil {
				return err
			}
			old := l.sinks[i]
			if l.sinks[i] = next; old != nil {
				return old.close()
			}
			return nil
		}); err != nil {
			return err
		}
	}
	return nil
}

// FirewallNS is the namespace of the firewall: a descriptor, which is the lab's, and a
// path that `nsenter --net=` and other processes of the same user can open.
func (l *Lab) FirewallNS() (fd int, path string) {
	return int(l.firewall), fmt.Sprintf("/proc/%d/fd/%d", os.Getpid(), int(l.firewall))
}

// InFirewall runs f on a thread of its own in the firewall's namespace.
func (l *Lab) InFirewall(f func() error) error { return inNamespace(l.firewall, f) }

// Start starts a program in the firewall's namespace, bound to CPUs if there are any.
// Who starts it waits for it, and ends it before the lab.
func (l *Lab) Start(c *exec.Cmd, cpus ...int) error {
	return inNamespace(l.firewall, func() error {
		if err := pin(cpus...); err != nil {
			return err
		}
		return c.Start() // a child has the namespace and the CPUs of the thread that forks
	})
}

// Close takes all away: links go with the namespaces.
func (l *Lab) Close() error {
	var errs []error
	for i, s := range l.sides {
		if l.sinks[i] != nil {
			errs = append(errs, l.sinks[i].close())
		}
		if l.ready[i] != nil {
			errs = append(errs, l.ready[i].Close())
		}
		if s.ns >= 0 {
			errs = append(errs, s.ns.Close())
		}
	}
	if l.receive != nil {
		errs = append(errs, l.receive.Close())
	}
	if l.firewall >= 0 {
		errs = append(errs, l.firewall.Close())
	}
	if l.board != nil {
		errs = append(errs, l.board.close())
	}
	return errors.Join(errs...)
}
