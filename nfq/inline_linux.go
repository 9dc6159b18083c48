package nfq

import (
	"context"
	crand "crypto/rand"
	"errors"
	"fmt"
	"math/rand/v2"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/sys/unix"

	"sttwall/firewall"
	"sttwall/internal/gsoguard"
	"sttwall/policy"
	"sttwall/reassembly"
)

// InlineConfig is a whole firewall on one host: queues, a worker and a core
// for each, and the table that feeds them.
type InlineConfig struct {
	// Policy decides, and names the STT ports and the endpoints.
	Policy *policy.Policy
	// Queue is the first queue; the others have the numbers behind it and are
	// otherwise alike. A CopyRange that is not 0 is how much of a packet is copied
	// while that is cheaper than to copy all of it, see [WorkerConfig].
	Queue Config
	// Queues is how many there are; 1 to 256.
	Queues int
	// CPUs are the processors that the workers' threads are pinned to, counted from 0:
	// the first worker to the first, and from the start again where there are more
	// workers. Empty means all on which the process may run.
	CPUs []int
	// Whole, if not nil, reports whether somebody wants whole packets although
	// Queue.CopyRange is less: captures do. Workers ask after each batch; it must
	// not wait.
	Whole func() bool
	// Table says whether the table is installed.
	Table TableMode
	// Hooks are where STT is taken out, with [TableInstalled].
	Hooks Hooks
	// GSOGuard says what is done about super-segments of small pieces.
	GSOGuard GuardMode
	// FailOpenAbsent lets STT pass while nobody listens on its queue.
	FailOpenAbsent bool
	// FailOpenException: see [firewall.Shared.FailOpen].
	FailOpenException bool
	// OtherTunnels says whether other tunnels pass between endpoints.
	OtherTunnels TunnelMode

	// Reassembly bounds what all workers hold together; each gets its part.
	// The zero value has the defaults of [reassembly.Config].
	Reassembly reassembly.Config
	// Hold bounds the later inner fragments that wait in each worker. The zero
	// value has the defaults of [firewall.HoldConfig], but at most a quarter of
	// the worker's part of Reassembly.Packets.
	Hold firewall.HoldConfig
	// FrameIDBits sizes the frame-ID filter; see [firewall.FrameIDConfig].
	FrameIDBits int
	// StartupGuard: see [firewall.FrameIDConfig]. 0 means no guard.
	StartupGuard time.Duration
	// Observer, if not nil, is told of every frame, from every worker at once.
	Observer func(*firewall.FrameEvent)
	// WantsQuiet: see [firewall.Config.WantsQuiet].
	WantsQuiet func() bool
	// spreadSeed: see [TableConfig].Seed; one for as long as the queues are open.
	spreadSeed uint32
	own        Own // see [TableConfig].Own

	// Adopt, if not nil, puts what an earlier instance has handed over into what the
	// workers share, before any packet comes; false if that is not to be used: then it
	// is made anew, and Adopt not asked again. now is the workers' clock.
	Adopt func(s *firewall.Shared, now func() int64) bool
	// Panicked, if not nil, is told of each panic that was contained, from every worker at
	// once; see [firewall.Panic].
	Panicked func(*firewall.Panic)
	// Fault, if not nil, may panic at stages of a packet's way, in every worker; see
	// [firewall.Config.Fault].
	Fault func(firewall.Stage)
	// Wrap, if not nil, stands between a worker and its core.
	Wrap func(*firewall.Firewall) Core
	// Simulate, if not nil, has it meet failures that are none.
	Simulate *Simulation
}

// TableMode says who installs the nftables table.
type TableMode uint8

const (
	// TableInstalled: the table is installed, and stays at the end.
	TableInstalled TableMode = iota
	// TableForeign: somebody else queues the packets.
	TableForeign
)

// Inline is a firewall between a kernel and itself. Its methods may be called
// from any goroutine.
type Inline struct {
	queues    []Queue
	workers   []*Worker
	firewalls []*firewall.Firewall
	injectors []*Injector
	shared    *firewall.Shared
	since     firewall.Since
	clock     func() int64
	table     atomic.Pointer[Table] // nil: somebody else's
	config    InlineConfig
	bounds    Bounds
	watch     tableState

	guard        *gsoguard.Guard       // once it was loaded; of a start, then of the watch's lock
	guardMissing atomic.Pointer[error] // see GuardMissing
	bridgeLeft   error                 // see BridgeLeft
}

// StartInline opens the queues and then installs the table, so that no packet
// passes uninspected and none is lost for want of a listener. Nothing is left
// open after an error, and no table installed. Packets wait in the queues
// until [Inline.Run]. Errors: [ErrTableInUse], [ErrQueueTaken], [ErrNoKernelQueue], and those
// of [InstallTable].
func StartInline(c InlineConfig) (*Inline, error) {
	settings, err := c.validate()
	if err != nil {
		return nil, err
	}
	if c.Table != TableForeign {
		if err := c.rival(); err != nil {
			return nil, err
		}
	}
	c.spreadSeed = NewSeed()
	if c.Hooks.Has(HookOutput) {
		c.own = NewOwn()
	}
	in := &Inline{config: c}
	if err := in.open(c); err != nil {
		in.closeQueues()
		return nil, err
	}
	config := c.TableConfig(settings)
	missing, err := in.guardFor(&settings, &config)
	if err != nil {
		in.closeQueues()
		return nil, err
	}
	in.setGuardMissing(missing)
	if c.Table == TableForeign {
		return in, nil
	}
	table, err := InstallTable(config)
	if err != nil {
		closeGuard(config.Guard)
		in.closeQueues()
		return nil, err
	}
	in.bridgeLeft = table.bridgeLeft
	in.table.Store(table)
	return in, nil
}

// validate checks what can be checked before anything is touched.
func (c *InlineConfig) validate() (policy.Settings, error) {
	if c.Policy == nil {
		return policy.Settings{}, errors.New("firewall without a policy")
	}
	settings := c.Policy.Settings()
	if err := c.TableConfig(settings).Validate(); err != nil {
		return settings, err
	}
	if c.Table == TableForeign && c.Hooks != 0 && c.Hooks != HooksOf(HookPrerouting) {
		return settings, fmt.Errorf("hooks %v: the table of others decides where STT is taken out", c.Hooks)
	}
	if err := c.Queue.Validate(); err != nil {
		return settings, err
	}
	per, err := share(c.Reassembly, c.Queues)
	if err != nil {
		return settings, fmt.Errorf("reassembly: %w", err)
	}
	hold, err := c.holdOf(per)
	if err != nil {
		return settings, fmt.Errorf("held fragments: %w", err)
	}
	if err := c.Queue.ValidateHolding(per.Packets + hold.Packets); err != nil {
		return settings, fmt.Errorf("%w (%d are for frames that are not whole, %d for inner fragments)", err, per.Packets, hold.Packets)
	}
	return settings, nil
}

// holdOf returns what bounds the inner fragments of a worker.
func (c *InlineConfig) holdOf(per reassembly.Config) (firewall.HoldConfig, error) {
	hold := c.Hold
	if hold.Packets == 0 {
		hold.Packets = min(firewall.DefaultHeldPackets, max(1, per.Packets/4))
	}
	return hold.WithDefaults()
}

// share returns one worker's part of the bounds.
func share(c reassembly.Config, workers int) (reassembly.Config, error) {
	c, err := c.WithDefaults()
	if err != nil {
		return c, err
	}
	for _, bound := range []*int{
		&c.Memory, &c.SourceMemory, &c.Frames, &c.SourceFrames,
		&c.Packets, &c.SourcePackets, &c.Tombstones, &c.SourceTombstones,
	} {
		*bound /= workers
	}
	// A share below this would stop large frames for good, without a word.
	c.SourceMemory = min(max(c.SourceMemory, reassembly.LargestBuffer), c.Memory)
	if c, err = c.WithDefaults(); err != nil {
		return c, fmt.Errorf("divided by %d workers: %w", workers, err)
	}
	if c.SourceMemory < reassembly.LargestBuffer {
		return c, fmt.Errorf("memory: the part of each of %d workers is %d bytes and has no room for the largest frame: "+
			"want at least %d in all, or fewer queues", workers, c.Memory, workers*reassembly.LargestBuffer)
	}
	return c, nil
}

func (in *Inline) open(c InlineConfig) error {
	clock := c.Simulate.clock(Clock())
	in.clock = clock
	var err error
	if in.shared, err = c.makeShared(clock); err != nil {
		return err
	}
	in.shared.FailOpen(c.FailOpenException)
	in.since.Put(clock(), c.Policy)
	per, err := share(c.Reassembly, c.Queues)
	if err != nil {
		return fmt.Errorf("reassembly: %w", err)
	}
	hold, err := c.holdOf(per)
	if err != nil {
		return fmt.Errorf("held fragments: %w", err)
	}
	in.bounds = boundsOf(per, hold, c.Queues)
	if c.Simulate != nil {
		per.Refuse = c.Simulate.Memory
		in.shared.Flows().Refuse(c.Simulate.Table)
		c.Fault = c.Simulate.Fault
	}
	cpus, err := workerCPUs(c.CPUs)
	if err != nil {
		return err
	}
	if c.Panicked == nil {
		c.Panicked = func(*firewall.Panic) {} // contained all the same
	}
	for i := range c.Queues {
		var seed [32]byte
		crand.Read(seed[:]) // never fails
		core, err := firewall.New(firewall.Config{
			Shared: in.shared, Reassembly: per, Hold: hold, Random: rand.NewChaCha8(seed),
			Observer: c.Observer, WantsQuiet: c.WantsQuiet, Panicked: c.Panicked, Fault: c.Fault,
		})
		if err != nil {
			return err
		}
		config := c.Queue
		config.Number += uint16(i)
		queue, err := Open(config)
		if err != nil {
			return err
		}
		queue = c.Simulate.queue(queue)
		in.queues = append(in.queues, queue)
		var wrapped Core = core
		if c.Wrap != nil {
			wrapped = c.Wrap(core)
		}
		send, err := in.openInjector(c.Queue.NetNS)
		if err != nil {
			return err
		}
		worker, err := NewWorker(WorkerConfig{
			Queue: queue, Core: wrapped, Send: send, Clock: clock, Affinity: cpus[i%len(cpus)],
			Part: c.Queue.CopyRange, Whole: in.wantsWhole,
		})
		if err != nil {
			return err
		}
		in.workers = append(in.workers, worker)
		in.firewalls = append(in.firewalls, core)
	}
	return nil
}

// wantsWhole reports whether packets have to be copied whole.
func (in *Inline) wantsWhole() bool {
	return in.shared.ChangesPackets() || in.config.Whole != nil && in.config.Whole()
}

func (in *Inline) closeQueues() {
	for _, q := range in.queues {
		q.Close() // what led here is the error that counts
	}
	in.closeInjectors()
}

// Run decides packets until ctx ends or a queue fails; then what is held is
// dropped and all queues are closed. The table stays. The error is nil if ctx
// ended.
func (in *Inline) Run(ctx context.Context) error {
	ctx, stop := context.WithCancel(ctx)
	defer stop()
	errs := make([]error, len(in.workers))
	var running sync.WaitGroup
	for i, w := range in.workers {
		running.Go(func() {
			defer stop() // one that fails takes the others along
			errs[i] = w.Run(ctx)
		})
	}
	running.Wait()
	in.closeInjectors()
	// The kernel keeps the program for the table, which stays.
	in.watch.mu.Lock()
	closeGuard(in.guard)
	in.watch.mu.Unlock()
	return errors.Join(errs...)
}

// openInjector returns what a worker sends answers with; nil without the right
// to, which stops no packet that rules accept.
func (in *Inline) openInjector(ns NetNS) (send func(packet []byte, device int), err error) {
	injector, err := NewInjector(ns, in.config.own)
	if errors.Is(err, unix.EPERM) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	in.injectors = append(in.injectors, injector)
	return injector.Send, nil
}

// Answers reports whether rejected frames can be answered: that takes
// CAP_NET_RAW.
func (in *Inline) Answers() bool { return len(in.injectors) > 0 }

func (in *Inline) closeInjectors() {
	for _, i := range in.injectors {
		i.Close()
	}
}

// Reload puts another policy in force without losing a packet, and judges the
// flows by it; it returns how many of them ended. The table follows the
// settings. After an error the policy that was in force still is. Another size
// of the flow table waits for the next start.
func (in *Inline) Reload(p *policy.Policy) (ended int, err error) {
	if err := in.reloadTable(p.Settings()); err != nil {
		return 0, err
	}
	in.shared.SetPolicy(p)
	in.since.Put(in.clock(), p)
	return in.shared.Rejudge(in.clock()), nil
}

// Tallies returns what all workers have counted together, by rule
// ("tenant/rule") and by tenant.
func (in *Inline) Tallies() (rules, tenants map[string]firewall.Tally) {
	rules, tenants = make(map[string]firewall.Tally), make(map[string]firewall.Tally)
	for _, f := range in.firewalls {
		f.Tallies(rules, tenants)
	}
	return rules, tenants
}

// TenantTallies returns those of the tenants alone: there can be many rules.
func (in *Inline) TenantTallies() map[string]firewall.Tally {
	tenants := make(map[string]firewall.Tally)
	for _, f := range in.firewalls {
		f.Tallies(nil, tenants)
	}
	return tenants
}

// Since returns since when each rule ("tenant/rule") and tenant is in force.
func (in *Inline) Since() (rules, tenants map[string]int64) { return in.since.Get() }

// Shared returns what the workers have in common.
func (in *Inline) Shared() *firewall.Shared { return in.shared }

// Now is the clock of the workers, in ns.
func (in *Inline) Now() int64 { return in.clock() }

// Totals returns what all workers have counted together.
func (in *Inline) Totals() (t firewall.Totals) {
	for _, f := range in.firewalls {
		t.Add(f.Counters())
	}
	return t
}

// QueueStats returns what each queue has counted.
func (in *Inline) QueueStats() []Stats {
	stats := make([]Stats, len(in.queues))
	for i, q := range in.queues {
		stats[i] = q.Stats()
	}
	return stats
}

// Config returns what the firewall was started with. Its policy may be another one
// by now: see [firewall.Shared.Policy].
func (in *Inline) Config() InlineConfig { return in.config }

// Bounds are those of all workers together.
type Bounds struct {
	Frames, Packets, Memory, Tombstones int // of [reassembly.Config]
	FragmentPackets                     int // of [firewall.HoldConfig]
}

func boundsOf(per reassembly.Config, hold firewall.HoldConfig, workers int) Bounds {
	return Bounds{
		Frames: workers * per.Frames, Packets: workers * per.Packets, Memory: workers * per.Memory,
		Tombstones: workers * per.Tombstones, FragmentPackets: workers * hold.Packets,
	}
}

// Held returns what all workers hold, as of the batch that each has decided last,
// and what they can.
func (in *Inline) Held() (now firewall.Held, bounds Bounds) {
	for _, f := range in.firewalls {
		now.Add(f.HeldLately())
	}
	return now, in.bounds
}

// Table returns the table; nil with [TableForeign].
func (in *Inline) Table() *Table { return in.table.Load() }
