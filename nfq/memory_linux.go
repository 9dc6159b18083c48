package nfq

import (
	"fmt"

	"sttwall/binding"
	"sttwall/conntrack"
	"sttwall/firewall"
	"sttwall/policy"
)

// MemoryBound is what something takes at most, in bytes.
type MemoryBound struct {
	What, Setting string
	Bytes         int64
	// Heap: it is on Go's heap, where as much garbage can be beside it before it is
	// collected (GOGC=100). All else is outside.
	Heap bool
}

// MemoryBounds lists what a firewall of c takes at most while it runs, all workers
// together: what grows with packets, whoever sends them. Not in it is what it takes from
// the start, and what the kernel keeps for it; see [InlineConfig.KernelMemory].
func (c InlineConfig) MemoryBounds(s policy.Settings) ([]MemoryBound, error) {
	per, err := share(c.Reassembly, c.Queues)
	if err != nil {
		return nil, fmt.Errorf("reassembly: %w", err)
	}
	hold, err := c.holdOf(per)
	if err != nil {
		return nil, fmt.Errorf("held fragments: %w", err)
	}
	queues := int64(c.Queues)
	flows := conntrack.Config{MaxFlows: s.Flows}
	return []MemoryBound{
		{"flows", "flows", flows.Memory(), false},
		{"flows by source, where flows_per_source is a limit", "flows", flows.Heap(), true},
		{"inner packets in fragments", "flows", conntrack.FragmentConfig{MaxPackets: firewall.FragmentedPackets(s.Flows)}.Memory(), true},
		{"learned bindings", "bindings", binding.Config{MaxBindings: s.Bindings}.Memory(), true},
		{"frames that are not whole", "--reassembly-memory", queues * per.HeapBytes(), true},
		{"inner fragments that wait", "--max-held", queues * int64(hold.Memory+hold.Packets*heldPacket), true},
		{"frame IDs that have left", "--frame-id-filter", firewall.FrameIDConfig{Bits: c.FrameIDBits}.Memory(), false},
		{"packets of a batch", "--queues", queues * slots * slotLen, false},
	}, nil
}

// heldPacket is what is kept of an inner fragment that waits, besides its bytes.
const heldPacket = 512

// KernelMemory is what the kernel keeps at most for the queues of c, in bytes: messages in
// the receive buffers, which it counts, and packets that wait for a verdict, of which it
// counts the number alone (struct nfqnl_instance in net/netfilter/nfnetlink_queue.c:
// queue_maxlen). A super-segment is up to 64 KiB, and its memory is pages.
func (c InlineConfig) KernelMemory() (messages, packets int64) {
	length := c.Queue.Length
	if length == 0 {
		length = 65536
	}
	queues := int64(c.Queues)
	// SO_RCVBUF counts twice what it is told (socket(7)).
	return queues * 2 * int64(c.Queue.ReceiveBuffer), queues * int64(length) * largestWaiting
}

// FittingLength is the length of the queues of c with which what waits in all of them is at
// most a quarter of memory, in bytes: up to [DefaultLength], and at least what holding
// needs.
func (c InlineConfig) FittingLength(memory int64) (int, error) {
	per, err := share(c.Reassembly, c.Queues)
	if err != nil {
		return 0, fmt.Errorf("reassembly: %w", err)
	}
	hold, err := c.holdOf(per)
	if err != nil {
		return 0, fmt.Errorf("held fragments: %w", err)
	}
	n := memory / 4 / largestWaiting / int64(c.Queues)
	least := max(leastLength, 2*(per.Packets+hold.Packets))
	return min(max(int(min(n, DefaultLength)), least), max(DefaultLength, least)), nil
}

// leastLength takes some milliseconds of packets in which a worker does not run.
const leastLength = 4096

// largestWaiting is what a super-segment takes in the kernel: 64 KiB of pages, a head and a
// struct sk_buff with its shared part.
const largestWaiting = 68 << 10
