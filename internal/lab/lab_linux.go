package lab

import (
	"context"
	"errors"
	"fmt"
	"io"
	"sync"
	"sync/atomic"
	"time"

	"sttwall/control"
	"sttwall/endpoint"
	"sttwall/firewall"
	"sttwall/nfq"
)

// waitBound is how long a part of the lab may take to be ready.
const waitBound = 30 * time.Second

// Config says what a [Lab] is made of.
type Config struct {
	// Rules is the text of the rules file; nil means [DemoRules]. RulesName
	// stands in errors about it.
	Rules     []byte
	RulesName string
	// Queues is the number of NFQUEUE queues and workers; 0 means 2.
	Queues int
	// ReassemblyTimeout is that of the firewall; 0 means its default.
	ReassemblyTimeout time.Duration
	// FragmentWait is how long a later inner fragment waits for its first one in
	// the firewall; 0 means its default.
	FragmentWait time.Duration
	// StartupGuard is that of the firewall; 0 means none.
	StartupGuard time.Duration
	// Observer, if not nil, is told of every frame too.
	Observer func(*firewall.FrameEvent)
	// KeepInner is how many bytes of each inner frame [Lab.Events] keeps; 0
	// means 1024.
	KeepInner int

	// Position is where the firewall sits. The zero value is [Routed].
	Position Position
	// Without leaves parts out; the zero value has all.
	Without Parts
	// Third: there is a third tenant, initech, beside acme and globex.
	Third bool
	// OuterIPv6: the endpoints talk over IPv6.
	OuterIPv6 bool
	// Segmentation says who cuts the endpoints' large frames.
	Segmentation endpoint.Segmentation
	// HostLinks says what the hosts' interfaces are: KindAuto is a TAP where
	// one can be made, else a veth pair.
	HostLinks endpoint.Kind
}

// Parts are parts of a lab that can be left out.
type Parts uint8

const (
	// Endpoints: nothing listens to STT, and the hosts have no links.
	Endpoints Parts = 1 << iota
	// Inspection: the firewall host forwards without queue and table.
	Inspection
)

// Lab is a running network with a firewall in its middle.
type Lab struct {
	namespaces map[Place]*namespace
	injectors  map[Place]*injector
	closers    []io.Closer

	ctx      context.Context // ends with the lab
	cancel   context.CancelFunc
	running  sync.WaitGroup
	failures journal[error]

	firewall *nfq.Inline
	events   journal[firewall.FrameEvent]
	feed     control.Feed               // the same, for who asks over a control socket
	also     func(*firewall.FrameEvent) // is told of frames too, if not nil
	keep     int
	position Position
	moved    wakeup        // the firewall's counters have
	seen     atomic.Uint64 // packets that the firewall is done with, or holds

	endpoints map[Place]*endpoint.Endpoint
}

// New builds a lab. It works only inside the child: see [MaybeChild] and
// [Inside].
func New(c Config) (*Lab, error) {
	if !insideChild {
		return nil, errors.New("lab: outside of its child process; it would change the network of this host")
	}
	if c.Rules == nil {
		c.Rules, c.RulesName = DemoRules, "demo.hcl"
	}
	if c.Queues == 0 {
		c.Queues = 2
	}
	if c.KeepInner == 0 {
		c.KeepInner = 1024
	}
	l := &Lab{injectors: map[Place]*injector{}, endpoints: map[Place]*endpoint.Endpoint{}, keep: c.KeepInner, also: c.Observer, position: c.Position}
	l.events.bound = eventBound
	l.ctx, l.cancel = context.WithCancel(context.Background())
	if err := l.build(c); err != nil {
		return nil, errors.Join(err, l.Close())
	}
	return l, nil
}

func (l *Lab) build(c Config) error {
	if err := l.buildUnderlay(c); err != nil {
		return err
	}
	both := sides()
	for i, s := range both {
		if c.Position.underlay(&s) != Underlay {
			continue // the firewall's host: what it sends itself comes from its IP stack
		}
		if err := l.Do(s.endpoint, func() error {
			in, err := newInjector(Underlay, c.Position.nextHop(&both[i], &both[1-i]))
			if err == nil {
				in.hop = c.Position == Output
				l.injectors[s.endpoint] = in
				l.closers = append(l.closers, in.socket.file)
			}
			return err
		}); err != nil {
			return fmt.Errorf("lab: %s: %w", s.endpoint, err)
		}
	}
	if c.Without&Inspection == 0 {
		if err := l.startFirewall(c); err != nil {
			return err
		}
	}
	if c.Without&Endpoints == 0 {
		return l.startEndpoints(c)
	}
	return nil
}

// Do runs f on a thread of its own in the namespace of place and waits for
// it. Sockets that f opens stay in that namespace and may be used from
// anywhere; goroutines that f starts run outside of it.
func (l *Lab) Do(place Place, f func() error) error {
	ns := l.namespaces[place]
	if ns == nil {
		return fmt.Errorf("lab: no namespace %q", place)
	}
	return ns.do(f)
}

// Capture starts to collect all packets on an interface.
func (l *Lab) Capture(place Place, iface string) (c *Capture, err error) {
	err = l.Do(place, func() error {
		c, err = newCapture(iface)
		return err
	})
	return c, err
}

// Inject sends packet, from its outer IP header on, from one of the two
// endpoints to the firewall.
func (l *Lab) Inject(from Place, packet []byte, o Offload) error {
	in := l.injectors[from]
	if in == nil {
		return fmt.Errorf("lab: nothing can be injected from %q", from)
	}
	return in.inject(packet, o)
}

// Close stops all that runs in the lab: endpoints and workers, then the table.
// Namespaces and links end with the child process at the latest.
func (l *Lab) Close() error {
	l.cancel()
	var errs []error
	for _, e := range l.endpoints {
		errs = append(errs, e.Close())
	}
	l.running.Wait()
	if l.firewall != nil {
		errs = append(errs, l.Do(Firewall, l.firewall.Table().Remove))
	}
	for _, c := range l.closers {
		errs = append(errs, c.Close())
	}
	if l.namespaces[Firewall] != nil {
		// The firewall's namespace is the process's own: the next lab in it
		// uses the same names.
		errs = append(errs, l.Do(Firewall, removeUnderlay))
	}
	for _, ns := range l.namespaces {
		errs = append(errs, ns.close())
	}
	return errors.Join(errs...)
}
