package nfq

import (
	"errors"
	"fmt"
	"strings"
	"time"

	"sttwall/firewall"
)

// Queue is one kernel queue. [Open] returns one; a driver keeps every promise
// written here, and the conformance tests hold it to them.
type Queue interface {
	// Receive fills batch with packets in the order in which the kernel queued
	// them and returns their number. It waits up to timeout for the first one
	// and for no other; a negative timeout waits for ever, 0 not at all.
	//
	// 0 and no error: the timeout passed, or Wake was called. An error is final:
	// nothing will come any more. After Close it is [ErrClosed]. Losing packets
	// is no error, it is counted in Stats.
	//
	// Packet.Data is the driver's, valid until the next Receive.
	Receive(batch []firewall.Packet, timeout time.Duration) (int, error)

	// SetVerdicts gives verdicts for packets received before, in this order,
	// which is the order in which they leave. [firewall.Again] has the kernel queue
	// the packet anew, behind the others, with all that it can copy; the copy range
	// of the others stays. A payload replaces the whole packet; one that the kernel could not carry ([MaxPayload]) or that is no
	// IP packet with a TCP header drops the packet instead. The list is borrowed
	// until the call returns.
	//
	// A verdict for a packet that the kernel no longer holds is counted, not
	// returned. An error is final.
	SetVerdicts(list []firewall.Verdict) error

	// SetCopyRange changes how many bytes of a packet the kernel copies from
	// the next packet on; 0 is all of it.
	SetCopyRange(bytes int) error

	// Wake makes the waiting Receive return early, or else the next one.
	Wake()

	// Stats returns what was counted so far.
	Stats() Stats

	// Close gives the kernel queue up. The kernel drops the packets that it
	// still holds. A second Close does nothing.
	Close() error
}

// NetNS is a file descriptor of a network namespace. Zero stands for the
// namespace of the calling thread.
type NetNS int

const (
	// MaxPayload is the longest payload in bytes that a netlink attribute
	// carries, either way: 65,535 less the attribute's header.
	MaxPayload = 65535 - 4

	// DefaultLength is the default of [Config.Length] in packets.
	DefaultLength = 65536
	// DefaultReceiveBuffer is the default of [Config.ReceiveBuffer] in bytes.
	DefaultReceiveBuffer = 32 << 20

	minLength        = 16
	maxReceiveBuffer = 1 << 30
	defaultBacklog   = 256
)

// Config says which kernel queue to open and how.
type Config struct {
	// NetNS is where the queue is opened.
	NetNS NetNS
	// Number is the number of the kernel queue.
	Number uint16
	// Length is how many packets the kernel holds, those without a verdict
	// included (NFQA_CFG_QUEUE_MAXLEN); at least 16, zero means
	// [DefaultLength]. When it is full the kernel drops, or with
	// FailOpenOverload accepts.
	Length int
	// ReceiveBuffer is the size of the socket's receive buffer in bytes; zero
	// means [DefaultReceiveBuffer]. Without the right to force it the kernel
	// gives net.core.rmem_max at most: Stats.ReceiveBuffer tells.
	ReceiveBuffer int
	// CopyRange is how many bytes of each packet are copied; zero means all, up
	// to [MaxPayload].
	CopyRange int
	// Driver is the way to the kernel; zero means [DriverFast].
	Driver Driver
	// FailOpenOverload lets packets pass uninspected when the queue or the
	// receive buffer is full (NFQA_CFG_F_FAIL_OPEN).
	FailOpenOverload bool
}

// Driver names a way to the kernel. All keep the promises of [Queue].
type Driver uint8

const (
	// DriverFast takes and answers packets in batches, by system calls of its
	// own, and copies nothing.
	DriverFast Driver = iota
	// DriverGoNFQueue goes through florianl/go-nfqueue: a second opinion.
	DriverGoNFQueue
	drivers
)

var driverNames = [drivers]string{DriverFast: "fast", DriverGoNFQueue: "go-nfqueue"}

// String returns the driver's name.
func (d Driver) String() string {
	if d < drivers {
		return driverNames[d]
	}
	return fmt.Sprintf("Driver(%d)", uint8(d))
}

// ParseDriver returns the driver with a name.
func ParseDriver(name string) (Driver, error) {
	for d, n := range driverNames {
		if n == name {
			return Driver(d), nil
		}
	}
	return 0, fmt.Errorf("driver %q: want %s", name, strings.Join(driverNames[:], " or "))
}

// ErrClosed is the error of a queue after Close.
var ErrClosed = errors.New("queue is closed")

// Validate reports the first field out of its bounds.
func (c Config) Validate() error {
	switch {
	case c.Length < 0 || c.Length != 0 && c.Length < minLength:
		return fmt.Errorf("queue %d: length %d: at least %d packets, or 0 for %d", c.Number, c.Length, minLength, DefaultLength)
	case int64(c.Length) > 1<<31-1:
		return fmt.Errorf("queue %d: length %d: at most %d packets", c.Number, c.Length, 1<<31-1)
	case c.ReceiveBuffer < 0 || c.ReceiveBuffer > maxReceiveBuffer:
		return fmt.Errorf("queue %d: receive buffer %d: 0 to %d bytes", c.Number, c.ReceiveBuffer, maxReceiveBuffer)
	case c.CopyRange < 0 || c.CopyRange > 65535:
		return fmt.Errorf("queue %d: copy range %d: 0 to 65535 bytes", c.Number, c.CopyRange)
	case c.Driver >= drivers:
		return fmt.Errorf("queue %d: %v is no driver", c.Number, c.Driver)
	}
	return nil
}

// ValidateHolding refuses a bound on held packets above half the queue's
// length. Held packets count in the length: with more than half of it held, a
// few senders of unfinished frames could fill the queue for all others.
func (c Config) ValidateHolding(maxHeld int) error {
	if maxHeld < 0 {
		return fmt.Errorf("queue %d: bound on held packets is %d: must not be negative", c.Number, maxHeld)
	}
	if length := c.withDefaults().Length; maxHeld > length/2 {
		return fmt.Errorf("queue %d: up to %d packets may be held, but the queue is %d packets long and at most half of it may be held: "+
			"hold at most %d, or make the queue at least %d long", c.Number, maxHeld, length, length/2, 2*maxHeld)
	}
	return nil
}

func (c Config) withDefaults() Config {
	if c.Length == 0 {
		c.Length = DefaultLength
	}
	if c.ReceiveBuffer == 0 {
		c.ReceiveBuffer = DefaultReceiveBuffer
	}
	if c.CopyRange == 0 {
		c.CopyRange = 65535
	}
	return c
}

// Stats is what one queue counted since it was opened.
type Stats struct {
	// Packets received from the kernel.
	Packets uint64
	// Verdicts sent to the kernel.
	Verdicts uint64
	// Overruns is how often the receive buffer ran full (ENOBUFS). Each time
	// the kernel lost one packet or more; Kernel.DroppedBuffer says how many.
	Overruns uint64
	// Late verdicts found no packet: the kernel had dropped it, for instance
	// because its interface went away.
	Late uint64
	// PayloadRefused counts packets dropped because the payload of their
	// verdict was too long for the kernel or no IP packet.
	PayloadRefused uint64
	// VerdictsLost counts verdicts that the kernel had no memory to take. Their
	// packets do not leave.
	VerdictsLost uint64
	// Unreadable messages from the kernel; their packets get no verdict.
	Unreadable uint64
	// OtherErrors that the socket reported and the queue survived.
	OtherErrors uint64

	// Again counts packets that were asked for again, because too little of them had
	// been copied. Packets and Verdicts count them twice.
	Again uint64
	// Messages that carried verdicts; one can carry many of them.
	Messages uint64
	// Syscalls is how many system calls it took to receive, to wait and to give
	// verdicts; 0 where the driver does not know.
	Syscalls uint64

	// ReceiveBuffer is the receive buffer that the kernel granted in bytes;
	// less than Config.ReceiveBuffer where forcing it was refused.
	ReceiveBuffer int

	// Kernel is the kernel's own view; valid iff KernelKnown. An ordinary user
	// in a user namespace may not read it.
	Kernel      KernelStats
	KernelKnown bool
}

// KernelStats is the line of a queue in /proc/net/netfilter/nfnetlink_queue.
// The kernel counts in 32 bits.
type KernelStats struct {
	// Owner is the netlink port of the listener, usually its process ID.
	Owner uint32
	// Waiting packets have no verdict yet.
	Waiting uint32
	// DroppedFull packets met a queue that was Config.Length long.
	DroppedFull uint32
	// DroppedBuffer packets met a receive buffer that was full.
	DroppedBuffer uint32
	// Sequence is the ID of the last packet queued.
	Sequence uint32
}
