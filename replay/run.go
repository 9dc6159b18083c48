package replay

import (
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"os"

	"sttwall/capture"
	"sttwall/firewall"
	"sttwall/reason"
	"sttwall/stt"
)

// run is one replay under way.
type run struct {
	Config
	firewall *firewall.Firewall
	shared   *firewall.Shared
	ports    []uint16
	printer  printer
	written  *capture.Writer // nil: nobody wants it
	summary  Summary

	clock    int64 // ns; goes forward with every packet
	time     int64 // of the packet at hand, ns
	held     packets
	verdicts firewall.Verdicts
	segment  stt.Segment // of the packet at hand
	leaving  stt.Segment // of a packet on its way out

	decided   Frame // what was reported last
	rewritten bool  // it left with other bytes
	deferred  []Frame
	told      int   // verdicts that belong to frames that were reported
	err       error // of Out or Write: the first, which ends the replay
}

// Run replays the inputs and returns what came of them. Where an input cannot
// be read to its end, what came before has been replayed all the same; the
// other inputs follow, and the error names each that failed. An error of Out or
// Write, or the end of ctx, stops it; the summary holds what was done by then.
func Run(ctx context.Context, c Config) (Summary, error) {
	r, err := newRun(c)
	if err != nil {
		return Summary{}, err
	}
	var unread []error
	for _, path := range c.Inputs {
		if err := r.input(ctx, path); err != nil {
			unread = append(unread, err)
		}
	}
	r.finish()
	return r.summary, errors.Join(append(unread, r.err, ctx.Err())...)
}

func newRun(c Config) (*run, error) {
	if c.Out == nil && c.Observer == nil {
		return nil, errors.New("replay without an output")
	}
	if err := checkInputs(c.Inputs); err != nil {
		return nil, err
	}
	r := &run{Config: c, held: newPackets(), printer: newPrinter(c.Out, c.Format)}
	if c.Out == nil {
		r.printer = silent{}
	}
	// New frame IDs come from a known seed, so that a replay comes out the
	// same every time. No receiver is there to be fooled.
	ids, err := firewall.NewFrameIDFilter(firewall.FrameIDConfig{})
	if err != nil {
		return nil, err
	}
	r.shared, err = firewall.NewShared(c.Policy, ids)
	if err != nil {
		return nil, err
	}
	r.firewall, err = firewall.New(firewall.Config{
		Shared: r.shared, Reassembly: c.Reassembly,
		Random: rand.NewPCG(1, 1), Observer: r.observe,
	})
	if err != nil {
		return nil, err
	}
	r.ports = c.Policy.Settings().STTPorts
	r.summary = newSummary(c.Policy)
	if c.Write != nil {
		if r.written, err = capture.NewWriter(c.Write, "sttwall replay"); err != nil {
			return nil, fmt.Errorf("capture of what left: %w", err)
		}
	}
	return r, nil
}

// checkInputs tells of an input that is not there before the first is read.
func checkInputs(paths []string) error {
	stdin := 0
	for _, path := range paths {
		if path == "-" {
			stdin++
		} else if _, err := os.Stat(path); err != nil {
			return err
		}
	}
	switch {
	case len(paths) == 0:
		return errors.New("replay without an input")
	case stdin > 1:
		return errors.New("standard input can be read only once")
	}
	return nil
}

// input replays one capture.
func (r *run) input(ctx context.Context, path string) error {
	if r.err != nil || ctx.Err() != nil {
		return nil
	}
	in, err := capture.Open(path, r.Stdin)
	if err != nil {
		return err
	}
	defer in.Close()
	r.summary.Files++
	live := path == "-"
	var p capture.Packet
	for ctx.Err() == nil && r.err == nil {
		switch err := in.Next(&p); {
		case err == io.EOF:
			return nil
		case err != nil:
			return err
		}
		r.packet(&p)
		if live {
			r.note(r.printer.flush())
		}
	}
	return nil
}

// packet takes one packet of a capture through the firewall.
func (r *run) packet(p *capture.Packet) {
	r.summary.packet(p)
	data := p.IPPacket()
	if !p.IP || r.segment.Decode(data, p.IPLength(), r.ports) == reason.NotSTT {
		// nftables would not have queued it, so the core is not asked.
		r.summary.NotSTT++
		return
	}
	r.summary.STT++
	r.tick(p.Time)
	item := firewall.Packet{Data: data, Length: p.IPLength(), Checksum: r.checksum()}
	unfinished := item.Checksum == firewall.ChecksumPartial
	if unfinished {
		r.summary.Unfinished++
		// The kernel or the network card finished it behind the capture, and
		// cut it up if it is longer than an Ethernet carries.
		item.GSO = r.segment.TotalLen > ethernetMTU
		if !item.GSO {
			item.Checksum = firewall.ChecksumGood
		}
	}
	item.ID = r.held.arrive(p, r.summary.Packets, r.clock, unfinished)
	r.firewall.Process(r.clock, &item, &r.verdicts)
	r.settle()
	r.held.keep(item.ID, r.written != nil)
}

// ethernetMTU is the largest IP packet that an ordinary Ethernet carries, in
// bytes.
const ethernetMTU = 1500

// tick brings the clock to a packet's time. It moves with every packet, so
// that one time on it is one packet; and never back, though captures from
// several interfaces or CPUs have packets out of order.
func (r *run) tick(at int64) {
	r.time = at
	r.clock = max(at, r.clock+1)
	r.firewall.Expire(r.clock, &r.verdicts)
	r.settle()
}

// checksum says what the firewall is told of the outer checksum of the packet
// at hand.
func (r *run) checksum() firewall.ChecksumState {
	switch {
	case r.Checksums != ChecksumsRequire && r.segment.ChecksumIsPseudo():
		return firewall.ChecksumPartial
	case r.Checksums == ChecksumsIgnore:
		return firewall.ChecksumGood
	}
	return firewall.ChecksumUnverified
}

// observe takes down what became of a frame. Those that never became whole are
// shown behind all others.
func (r *run) observe(e *firewall.FrameEvent) {
	r.decided = newFrame(e, r.held.timeOf(e.Time), r.Hash)
	r.rewritten = e.Rewritten
	r.summary.frame(e)
	if r.Observer != nil {
		r.Observer(e)
	}
	r.told = len(r.verdicts.List)
	if e.Incomplete && len(r.deferred) < maxDeferred {
		r.deferred = append(r.deferred, r.decided)
		return
	}
	r.note(r.printer.frame(&r.decided))
}

// maxDeferred bounds the frames that are shown at the end. Any beyond it that
// never become whole are shown when that is known.
const maxDeferred = 1 << 16

// note keeps the first error of the output.
func (r *run) note(err error) {
	if err != nil && r.err == nil {
		r.err = fmt.Errorf("output: %w", err)
	}
}

// finish drops what is still held and shows what was kept for the end.
func (r *run) finish() {
	r.firewall.Flush(&r.verdicts)
	r.settle()
	for i := range r.deferred {
		r.note(r.printer.frame(&r.deferred[i]))
	}
	r.summary.finish(r.firewall.Counters())
	r.note(r.printer.summary(&r.summary))
	r.note(r.printer.flush())
	if r.written != nil {
		if err := r.written.Flush(); err != nil && r.err == nil {
			r.err = fmt.Errorf("capture of what left: %w", err)
		}
	}
}
