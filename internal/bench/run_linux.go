package bench

import (
	"context"
	"errors"
	"fmt"
	"os"
	"time"

	"golang.org/x/sys/unix"

	"sttwall/internal/benchreport"
	"sttwall/internal/load"
	"sttwall/nfq"
)

// Bounds of [Config].
const (
	MaxRounds   = 1000
	MinDuration = 10 * time.Millisecond
	MaxDuration = time.Minute
)

// Config says what is measured.
type Config struct {
	// Inline is the firewall: its policy, queues and workers. The namespace is the
	// lab's, and frame IDs are taken for known: there is no guard after the start.
	Inline nfq.InlineConfig
	// Flow is what [Choose] has found.
	Flow Flow
	// Packets are the kinds of packets, one after the other.
	Packets []load.Packet
	// Flows is how many inner flows there are, 1 to [load.MaxFlows].
	Flows int
	// Rounds is how often each way is measured, 1 to [MaxRounds].
	Rounds int
	// Duration is how long one measurement takes, of throughput and of latency each;
	// from [MinDuration] to [MaxDuration].
	Duration time.Duration
	// Progress, if not nil, is called before each measurement.
	Progress func(Progress)
}

// Progress is what is measured next.
type Progress struct {
	Done, Of int // measurements
	Packet   string
	Round    int // from 1
	Way      benchreport.Way
}

// Validate reports the first field that is out of its bounds.
func (c *Config) Validate() error {
	switch {
	case len(c.Packets) == 0:
		return errors.New("no kind of packet")
	case c.Flows < 1 || c.Flows > load.MaxFlows:
		return fmt.Errorf("%d flows: want 1 to %d", c.Flows, load.MaxFlows)
	case c.Rounds < 1 || c.Rounds > MaxRounds:
		return fmt.Errorf("%d rounds: want 1 to %d", c.Rounds, MaxRounds)
	case c.Duration < MinDuration || c.Duration > MaxDuration:
		return fmt.Errorf("duration %v: want %v to %v", c.Duration, MinDuration, MaxDuration)
	}
	return nil
}

// Of is how many measurements there are.
func (c *Config) Of() int { return len(c.Packets) * c.Rounds * len(benchreport.Ways) }

// ErrNotRoot: the user is an ordinary one.
var ErrNotRoot = errors.New("this needs root: the packets are made by BPF in the kernel, which is closed to others, in user namespaces too. Run it with sudo")

// Ready reports whether this user may measure.
func Ready() error {
	if os.Geteuid() != 0 {
		return ErrNotRoot
	}
	return nil
}

// Run measures. What it has built is gone when it returns, after an error and at the end
// of ctx too; then the samples of the rounds that are whole come with the error.
func Run(ctx context.Context, c Config) ([]benchreport.Sample, error) {
	if err := c.Validate(); err != nil {
		return nil, err
	}
	if err := Ready(); err != nil {
		return nil, err
	}
	cpus, err := allowedCPUs()
	if err != nil {
		return nil, err
	}
	r := &runner{config: c, sourceCPU: cpus[len(cpus)-1]}
	err = r.build(ctx)
	if err == nil {
		err = r.measure(ctx)
	}
	err = errors.Join(err, r.close())
	if ctx.Err() != nil {
		err = ctx.Err()
	}
	if err != nil && len(r.beds) > 0 {
		r.samples = r.samples[:len(r.samples)-len(r.samples)%len(r.beds)]
	}
	return r.samples, err
}

// frameTime is how long a frame may take to become whole, if no more is asked for: on a busy
// host the source may have to wait for its processor in the middle of one, and that is no
// loss of the firewall's.
const frameTime = time.Minute

// How often, and for how long at least, is measured again where nothing arrives.
const (
	triesMore = 3
	longTime  = 200 * time.Millisecond
)

type runner struct {
	config    Config
	sourceCPU int // workers begin with the first ones
	beds      []*bed
	samples   []benchreport.Sample
}

// bed is one way in a lab of its own. All of them are there at once, so that nothing is
// begun anew between two measurements; one is at work at a time.
type bed struct {
	way   benchreport.Way
	lab   *load.Lab
	under *under
}

// build makes the beds and opens the flows in them.
func (r *runner) build(ctx context.Context) error {
	f := &r.config.Flow
	for _, way := range benchreport.Ways {
		lab, err := load.NewLab(load.LabConfig{CPU: r.sourceCPU, Own: true, Ends: load.Ends{
			Left: f.From, Right: f.To, Port: r.config.Inline.Policy.Settings().STTPorts[0],
			ContextID: f.ContextID, Back: f.Back,
			Client: f.Src.Addr(), Server: f.Dst.Addr(), ServerPort: f.Dst.Port(), ClientMAC: f.EthSrc, ServerMAC: f.EthDst,
		}})
		if err != nil {
			return explained(err)
		}
		b := &bed{way: way, lab: lab}
		r.beds = append(r.beds, b)
		c := r.config.Inline
		fd, _ := lab.FirewallNS()
		c.Queue.NetNS, c.StartupGuard, c.Table = nfq.NetNS(fd), 0, nfq.TableInstalled
		c.Reassembly.Timeout = max(c.Reassembly.Timeout, frameTime)
		if b.under, err = start(way, c); err != nil {
			return fmt.Errorf("%s: %w", way, err)
		}
		if err := lab.Open(ctx, r.traffic(r.config.Packets[0])); err != nil {
			return fmt.Errorf("%s: %s: %w", way, f, b.blamed(explained(err)))
		}
	}
	return nil
}

func (r *runner) close() error {
	var errs []error
	for _, b := range r.beds {
		errs = append(errs, b.under.end(), b.lab.Close())
	}
	return errors.Join(errs...)
}

func (r *runner) traffic(kind load.Packet) load.Traffic {
	t := load.Traffic{Packet: kind, Flows: r.config.Flows, Inner: load.UDP}
	if r.config.Flow.TCP {
		t.Inner = load.TCP
	}
	return t
}

func (r *runner) measure(ctx context.Context) error {
	for _, kind := range r.config.Packets {
		for round := range r.config.Rounds {
			for _, b := range r.beds {
				if r.config.Progress != nil {
					r.config.Progress(Progress{
						Done: len(r.samples), Of: r.config.Of(),
						Packet: kind.String(), Round: round + 1, Way: b.way,
					})
				}
				s, err := b.sample(ctx, r.traffic(kind), r.config.Duration)
				if err != nil {
					return fmt.Errorf("%s, packets %s: %w", b.way, kind, err)
				}
				r.samples = append(r.samples, s)
			}
		}
	}
	return nil
}

// sample measures throughput, and then latency at half of it.
func (b *bed) sample(ctx context.Context, t load.Traffic, duration time.Duration) (benchreport.Sample, error) {
	s := benchreport.Sample{Way: b.way, Packet: t.Packet.String()}
	got, err := longer(duration, func(d time.Duration) (r load.Result, some bool, err error) {
		r, err = b.lab.Measure(ctx, t, d)
		return r, r.PPS > 0, err
	})
	if err != nil {
		return s, b.blamed(err)
	}
	s.Elapsed, s.CPU, s.Lost = got.Elapsed, got.Process, got.Lost
	s.Packets, s.Bytes = uint64(got.PPS*got.Elapsed.Seconds()+0.5), uint64(got.Gbps*1e9/8*got.Elapsed.Seconds()+0.5)
	timed, err := longer(duration, func(d time.Duration) (l load.Latency, some bool, err error) {
		l, err = b.lab.Latency(ctx, t, max(1, got.PPS/2), d)
		return l, l.Times.Count() > 0, err
	})
	if err != nil {
		return s, b.blamed(err)
	}
	s.Lost += timed.Lost
	s.Latency = &benchreport.Latency{P50: timed.Times.Quantile(0.5), P99: timed.Times.Quantile(0.99), P999: timed.Times.Quantile(0.999)}
	return s, nil
}

// longer measures for a time, and where nothing arrives in it, for longer ones: on a busy
// host a worker may have to wait for its processor.
func longer[T any](duration time.Duration, measure func(time.Duration) (T, bool, error)) (T, error) {
	for tries := 0; ; tries++ {
		got, some, err := measure(duration)
		switch {
		case err != nil || some:
			return got, err
		case tries == triesMore:
			return got, errors.New("nothing arrives")
		}
		duration = max(4*duration, longTime)
	}
}

// blamed adds to an error who has dropped what did not arrive.
func (b *bed) blamed(err error) error {
	if why := b.under.blame(); why != "" {
		return fmt.Errorf("%w; %s", err, why)
	}
	return err
}

// explained says what to do about a user or a kernel that has not what a lab needs.
func explained(err error) error {
	switch {
	case errors.Is(err, unix.EPERM), errors.Is(err, unix.EACCES):
		return fmt.Errorf("this needs root of the whole machine; in a container CAP_BPF, CAP_NET_ADMIN and CAP_SYS_ADMIN, and no seccomp filter in the way of BPF: %w", err)
	case errors.Is(err, unix.EINVAL), errors.Is(err, unix.EOPNOTSUPP), errors.Is(err, unix.ENOSYS), errors.Is(err, unix.ENOENT):
		return fmt.Errorf("this kernel seems to lack what packets are made and counted with; it takes Linux 5.18 or newer, with BPF, veth, sch_ingress and cls_bpf: %w", err)
	}
	return err
}
