package conntrack

import (
	"errors"
	"fmt"
	"math/bits"
	"net/netip"
	"runtime"
	"sync"
	"sync/atomic"
	"unsafe"

	"sttwall/inspect"
	"sttwall/internal/arena"
	"sttwall/internal/ring"
	"sttwall/reason"
)

// Config makes a [Table].
type Config struct {
	// MaxFlows bounds the table; 1 to 16,777,216. Memory grows with the flows,
	// in slabs, up to 256 bytes for each.
	MaxFlows int
	// Timeouts by state; the zero value has the defaults.
	Timeouts Timeouts
}

// Limits bound what a tenant may hold at once; 0 is no bound.
type Limits struct {
	Flows          int // of the tenant
	FlowsPerSource int // begun by one inner address
	HalfOpen       int // TCP flows of the tenant without a whole handshake
}

// Packet is a decoded inner packet. All of it is borrowed.
type Packet struct {
	Tenant   int32 // the caller's number for the tenant, below [MaxTenants]; the same across reloads
	OVN      bool  // the two directions of a flow have different context IDs
	Context  uint64
	From, To netip.Addr // outer source and destination
	Frame    *inspect.Frame
	Data     []byte // the inner frame; at least Frame.HeaderBytes of it
	Bytes    int    // length of the inner frame
	// Trusted: receivers will find the L4 checksum right, so that the packet may
	// move state.
	Trusted bool
	// AnyEndpoint: packets of a flow may come from any outer endpoint.
	AnyEndpoint bool
	// Loose: TCP flows may be picked up in the middle.
	Loose bool
	// Asked: the rules have accepted the first packet of the flow with Context as its
	// ID, by Rule and with Mark; see [StateOtherContext].
	Asked bool
	Rule  int32
	Mark  uint32
	// MayMove: the inner source is known to be behind From now. Where the flow
	// remembers another endpoint and the packet is otherwise what the flow allows,
	// that side of the flow moves to From.
	MayMove bool
}

// State is what a packet is to the table.
type State uint8

// The states.
const (
	StateUntracked State = iota // of a kind that has no state: rules decide about each packet
	StateNew                    // begins a flow, if the rules accept it
	StateOriginal               // of a known flow, in the direction of its first packet
	StateReply                  // the other direction
	StateRelated                // an ICMP error about a known flow
	StateStale                  // of a known flow that other rules have accepted
	StateInvalid                // of no flow, and cannot begin one; or not what its flow allows
	// StateOtherContext: in the OVN layout, of a known flow, in the direction of its
	// first packet, but from another port or datapath or to one, by its context ID.
	// Nothing has moved: the rules are asked about the flow's first packet with that
	// ID; where they accept it, [Packet.Asked] makes the packet one of the flow.
	StateOtherContext
)

var stateNames = [...]string{"untracked", "new", "original", "reply", "related", "stale", "invalid", "other_context"}

// String returns the name of the state.
func (s State) String() string {
	if int(s) < len(stateNames) {
		return stateNames[s]
	}
	return "unknown"
}

// Result says what a packet is.
type Result struct {
	State  State
	Reason reason.Reason // for StateInvalid
	Handle Handle        // of the flow; not valid if there is none
	Rule   int32         // as given to Create or Confirm
	Mark   uint32        // likewise
	Begun  bool          // by [Table.Create], with this packet
	// ReverseContext is the context ID last seen in the other direction.
	ReverseContext    uint64
	HasReverseContext bool
	holds             uint32 // the shard that is locked, plus one: for Mend
	// MovedFrom is the endpoint at which the flow remembered the packet's side until
	// now; not valid if it has not moved.
	MovedFrom netip.Addr
	// HeaderBytes is how many bytes of the inner frame an answer about an ICMP
	// error rests on: the quoted headers are behind [inspect.Frame.HeaderBytes].
	// 0 for all other packets.
	HeaderBytes int
}

// Creation is what a new flow remembers.
type Creation struct {
	Rule   int32
	Mark   uint32
	Limits Limits
}

// Table holds flows. Its methods may be called from any goroutine.
type Table struct {
	config Config
	secret *secret
	shards []shard
	mask   uint32
	memory *arena.Arena // of the slabs

	_         [64]byte // what stands before it is read for each packet
	flows     atomic.Int64
	tenants   tenantTable
	sources   countTable[source]   // by inner address, where a limit asks for it
	endpoints countTable[[16]byte] // by outer endpoint of the side that began
	swept     atomic.Int64         // when all shards were last looked through for a limit
	stats     counters
	idBegin   uint64      // of [Table.FlowID]
	refuse    func() bool // see [Table.Refuse]

	ends     atomic.Pointer[[]*ring.Ring[End]] // nil: nobody watches
	watching sync.Mutex                        // of changing ends
}

const (
	maxShards = 64
	// chunk is how much memory the table asks for at a time, in bytes: a large page.
	chunk = 2 << 20
	// MaxFlows is the largest [Config.MaxFlows].
	MaxFlows = 16 << 20
)

// New makes an empty table. The error says which field is out of bounds.
func New(c Config) (*Table, error) {
	if c.MaxFlows < 1 || c.MaxFlows > MaxFlows {
		return nil, fmt.Errorf("flows: %d, want 1 to %d", c.MaxFlows, MaxFlows)
	}
	if c.Timeouts == (Timeouts{}) {
		c.Timeouts = DefaultTimeouts()
	}
	if !c.Timeouts.positive() {
		return nil, errors.New("timeouts: want all more than 0")
	}
	return makeTable(c, makeSecret()), nil
}

func makeTable(c Config, secret *secret) *Table {
	n := shardsFor(c.MaxFlows)
	t := &Table{config: c, secret: secret, shards: make([]shard, n), mask: uint32(n - 1), idBegin: newIDs()}
	for i := range t.shards {
		t.shards[i].init((c.MaxFlows + n - 1) / n)
	}
	slabs := n * len(t.shards[0].slabs)
	t.memory = arena.New(min(chunk, slabs*int(unsafe.Sizeof(pages{}))))
	for i := range t.shards {
		t.shards[i].leaveHeap(t.memory)
	}
	// Whoever is about to touch a flow has its shard.
	runtime.AddCleanup(&t.shards[0], (*arena.Arena).Close, t.memory)
	t.sources.init()
	t.endpoints.init()
	return t
}

// shardsFor is how many shards so many flows have.
func shardsFor(flows int) int { return min(maxShards, 1<<max(0, bits.Len(uint(flows/1024))-1)) }

// Like returns an empty table that is as large as t, with its timeouts, and would have
// the same flows at the same places: so that two that are given the same packets can be
// compared.
func (t *Table) Like() *Table { return makeTable(t.config, t.secret) }

// SetTimeouts changes the timeouts; flows that are there follow the new ones
// from their next look.
func (t *Table) SetTimeouts(timeouts Timeouts) {
	for i := range t.shards {
		t.shards[i].mu.Lock()
	}
	t.config.Timeouts = timeouts
	for i := range t.shards {
		t.shards[i].mu.Unlock()
	}
}

func (t *Table) shardOf(h uint64) (*shard, uint32) {
	n := uint32(h) & t.mask
	return &t.shards[n], n
}
