package main

import (
	"errors"
	"fmt"
	"runtime"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/pflag"

	"sttwall/nfq"
	"sttwall/reassembly"
)

const (
	// defaultQueue is the number of the first queue: that of the STT port, far
	// from the 0 with which other programs begin.
	defaultQueue = 7471
	// mostQueues is as many queues as are opened unless told otherwise.
	mostQueues = 8
	// minCopyRange holds the headers of all but contrived packets.
	minCopyRange = nfq.PartOfPacket
	// The words that --copy-range takes besides a number.
	copyAuto, copyWhole = "auto", "whole"
	// startupGuard is as long as receivers may hold pieces of frames that an
	// earlier instance let out (DESIGN 4).
	startupGuard = 90 * time.Second
)

// inlineFlags are the flags that make a [nfq.InlineConfig].
type inlineFlags struct {
	queue, queues int
	failOpen      []string
	hooks         []string
	cpus          string
	otherTunnels  string
	noNFT         bool
	guard         time.Duration
	driver        string
	copyRange     string
	gsoGuard      string
	into          nfq.InlineConfig
}

// addTable adds the flags that the nftables table depends on.
func (f *inlineFlags) addTable(flags *pflag.FlagSet) {
	flags.IntVar(&f.queue, "queue", defaultQueue, "number of the first queue")
	flags.IntVar(&f.queues, "queues", min(runtime.NumCPU(), mostQueues), "how many queues, each with a worker of its own")
	flags.StringSliceVar(&f.failOpen, "fail-open", nil, "let STT pass in these `cases`: uninspected where it is\nabsent (no sttwall listens) or overload (the queue is full);\nexception (the flow table is full) what the rules accept")
	flags.StringSliceVar(&f.hooks, "hook", []string{nfq.HookPrerouting.String()}, "where STT is taken out: prerouting (what comes in), output (what\nthis host sends), bridge (what its bridges forward, and what comes in);\nseveral with commas")
	flags.StringVar(&f.otherTunnels, "other-tunnels", "", "drop or pass other tunnels between endpoints,\nwhatever other_tunnels in the rules file says; \"\" is as it says")
}

// addRun adds the flags of a running firewall.
func (f *inlineFlags) addRun(flags *pflag.FlagSet) {
	f.addTable(flags)
	flags.BoolVar(&f.noNFT, "no-nft", false, "do not install the nftables table; see 'sttwall nft'")
	flags.StringVar(&f.driver, "driver", nfq.DriverFast.String(), "how packets are taken from the kernel: fast or go-nfqueue")
	flags.StringVar(&f.cpus, "cpus", "", "processors that the workers are pinned to, in turn: a `list`\nsuch as 2,4-7; \"\" is all on which the process may run")
	q := &f.into.Queue
	flags.IntVar(&q.Length, "queue-length", 0, "how many packets each queue takes in the kernel, held ones included;\n0 is 65536, or less where super-segments in all queues would be more than\na quarter of the host's memory")
	flags.IntVar(&q.ReceiveBuffer, "receive-buffer", nfq.DefaultReceiveBuffer, "receive buffer of each queue in `bytes`")
	flags.StringVar(&f.copyRange, "copy-range", copyAuto, "how many `bytes` of each packet are copied from the kernel\nwhere that is enough, 256 at least: auto is 256, whole is all of it")
	r := &f.into.Reassembly
	flags.IntVar(&r.Packets, "max-held", reassembly.DefaultPackets, "how many packets of unfinished frames are held,\nall queues together")
	flags.IntVar(&r.Memory, "reassembly-memory", reassembly.DefaultMemory, "memory for unfinished frames in `bytes`,\nall queues together")
	flags.IntVar(&r.SourceMemory, "reassembly-source-memory", 0, "the part of it in `bytes` that one endpoint may hold;\n0 is a quarter")
	flags.IntVar(&r.Frames, "reassembly-frames", reassembly.DefaultFrames, "how many unfinished frames are held, all queues together")
	flags.DurationVar(&r.Timeout, "reassembly-timeout", reassembly.DefaultTimeout, "how long a frame may take to become whole")
	flags.IntVar(&f.into.FrameIDBits, "frame-id-filter", 26, "size of the frame-ID filter: three bitmaps of 2^`N` bits")
	flags.DurationVar(&f.guard, "startup-guard", startupGuard, "how long after the start frames of several packets\nget new frame IDs")
	addGuard(flags, &f.gsoGuard)
}

// copyRangeOf reads the value of --copy-range.
func copyRangeOf(word string) (bytes int, err error) {
	switch word {
	case "": // the flag is not there
	case copyAuto:
		bytes = minCopyRange
	case copyWhole, "0":
		bytes = 0
	default:
		bytes, err = strconv.Atoi(word)
		if err != nil || bytes < minCopyRange || bytes > 65535 {
			return 0, fmt.Errorf("--copy-range %s: want %d to 65535 bytes, %s or %s", word, minCopyRange, copyAuto, copyWhole)
		}
	}
	return bytes, nil
}

// config returns what the flags say.
func (f *inlineFlags) config() (nfq.InlineConfig, error) {
	c := f.into
	c.StartupGuard = f.guard
	if f.queue < 0 || f.queue > 65535 {
		return c, fmt.Errorf("--queue %d: want 0 to 65535", f.queue)
	}
	if f.queues < 1 || f.queues > 256 {
		return c, fmt.Errorf("--queues %d: want 1 to 256", f.queues)
	}
	var err error
	if c.Queue.CopyRange, err = copyRangeOf(f.copyRange); err != nil {
		return c, err
	}
	if c.CPUs, err = cpuList(f.cpus); err != nil {
		return c, fmt.Errorf("--cpus %s: %w", f.cpus, err)
	}
	if f.driver != "" {
		driver, err := nfq.ParseDriver(f.driver)
		if err != nil {
			return c, fmt.Errorf("--%w", err)
		}
		c.Queue.Driver = driver
	}
	if c.GSOGuard, err = guardMode(f.gsoGuard, f.noNFT); err != nil {
		return c, err
	}
	c.Queue.Number, c.Queues = uint16(f.queue), f.queues
	for _, flag := range []struct {
		name  string
		value int64
	}{
		{"--startup-guard", int64(f.guard)}, {"--max-held", int64(c.Reassembly.Packets)},
		{"--reassembly-memory", int64(c.Reassembly.Memory)}, {"--reassembly-source-memory", int64(c.Reassembly.SourceMemory)},
		{"--reassembly-frames", int64(c.Reassembly.Frames)}, {"--reassembly-timeout", int64(c.Reassembly.Timeout)},
	} {
		if flag.value < 0 {
			return c, fmt.Errorf("%s must not be negative", flag.name)
		}
	}
	for _, word := range f.hooks {
		hook, err := nfq.ParseHook(strings.TrimSpace(word))
		if err != nil {
			return c, fmt.Errorf("--%w", err)
		}
		c.Hooks |= nfq.HooksOf(hook)
	}
	if f.noNFT {
		c.Table = nfq.TableForeign
		if c.Hooks != nfq.HooksOf(nfq.HookPrerouting) {
			return c, errors.New("--hook and --no-nft: the table that is not installed decides where STT is taken out; see 'sttwall nft --hook'")
		}
	}
	for _, word := range f.failOpen {
		switch strings.TrimSpace(word) {
		case "absent":
			c.FailOpenAbsent = true
		case "overload":
			c.Queue.FailOpenOverload = true
		case "exception":
			c.FailOpenException = true
		default:
			return c, fmt.Errorf("--fail-open=%s: want absent, overload, exception", word)
		}
	}
	switch f.otherTunnels {
	case "": // as the rules file says
	case "drop":
		c.OtherTunnels = nfq.TunnelsDropped
	case "pass":
		c.OtherTunnels = nfq.TunnelsPassed
	default:
		return c, fmt.Errorf("--other-tunnels=%s: want drop or pass", f.otherTunnels)
	}
	return c, fitLength(&c)
}
