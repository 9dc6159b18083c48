package reassembly

import (
	"math/rand/v2"
	"net/netip"
	"reflect"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
)

// tight has bounds that a few segments fill.
func tight() Config {
	return Config{
		Memory: 10 << 10, SourceMemory: 5 << 10,
		Frames: 6, SourceFrames: 3,
		Packets: 10, SourcePackets: 5,
		Tombstones: 6, SourceTombstones: 3,
		Timeout: 100 * time.Nanosecond, TombstoneLife: 300 * time.Nanosecond,
		Listed: func(a netip.Addr) bool { return a.As16()[15] < 4 },
	}
}

// opBytes is how many bytes make one operation of operate.
const opBytes = 8

// operate reads operations from data, does each on a reassembler and on the
// model, and compares what came out. The rig checks the invariants.
func operate(t *testing.T, c Config, data []byte) {
	g := newRig(t, c)
	m := &model{c: g.c}
	lengths := []int{60, 60, 90, 1100, 1600, 2100, 3200, 5000, 12, 18, 0, 65535}
	var now int64
	var id uint64
	for step := 0; len(data) >= opBytes && !t.Failed(); step++ {
		op := data[:opBytes]
		data = data[opBytes:]
		now += int64(op[0] >> 4)
		var got, want []outcome
		switch op[0] & 15 {
		case 0:
			now += int64(op[1])
			got, want = g.expire(now), m.expire(now)
		case 1:
			if op[1] < 16 {
				got, want = g.flush(), m.flush()
				break
			}
			// The clock goes back: nothing may break.
			got, want = g.expire(now-int64(op[1])), m.expire(now-int64(op[1]))
		default:
			id++
			s := segmentOf(op, lengths)
			s.Packet.ID = id
			got, want = g.add(now, s), m.add(now, s)
		}
		if !reflect.DeepEqual(got, want) {
			t.Errorf("step %d, op %v (-model +got):\n%s", step, op,
				cmp.Diff(want, got, cmpopts.EquateComparable(Key{})))
		}
		if got, want := g.r.Held().Tombstones, len(m.tombstones); got != want {
			t.Errorf("step %d, op %v: %d tombstones, want %d", step, op, got, want)
		}
	}
	g.flush()
	now += int64(g.c.Timeout + g.c.TombstoneLife)
	g.expire(now)
	st := g.r.Held()
	st.Idle = 0
	if st != (Stats{}) {
		t.Errorf("held %+v when all is over", st)
	}
}

// segmentOf makes a segment of an operation: most of the time one that fits,
// of few keys.
func segmentOf(op []byte, lengths []int) Segment {
	src := netip.AddrFrom4([4]byte{192, 0, 2, op[1] % 6})
	if op[1]&64 != 0 {
		src = netip.AddrFrom16(src.As16())
	}
	key := int(op[1]%6) + int(op[2]%4)
	length := lengths[key%5]
	s := Segment{Src: src, Dst: endpointB, FrameID: uint32(op[2] % 4), SrcPort: 1, DstPort: 7471}
	switch odd := op[3]; {
	case odd > 252:
		s.SrcPort = 2
	case odd > 249:
		s.DstPort = 7472
	case odd > 244:
		length = lengths[int(op[4])%len(lengths)]
	case odd > 240:
		s.Dst = endpointA
	}
	unit := (length + 2) / 3
	from := int(op[5]%3) * unit
	to := min(from+unit*(1+int(op[6])/200), length)
	if op[6]%16 == 15 {
		from, to = int(op[5])-4, int(op[5])-4+int(op[7])
	}
	if op[6]%64 == 13 {
		from, to = 0, length
	}
	s.FrameLength, s.Offset = length, from
	s.Payload = make([]byte, max(0, to-from))
	for i := range s.Payload {
		s.Payload[i] = byte(key) ^ byte(from+i) ^ byte((from+i)>>8)*3
	}
	if op[7] > 250 {
		s.Packet.Length = len(s.Payload)
		s.Payload = s.Payload[:len(s.Payload)/2]
	}
	return s
}

// FuzzReassemble compares with the model after every operation. Run it with
// -fuzzminimizetime=1x: else the fuzzer spends its time on shortening inputs.
func FuzzReassemble(f *testing.F) {
	rng := rand.New(rand.NewPCG(1, 2))
	for n := range 5 {
		ops := make([]byte, opBytes*(8<<n))
		for i := range ops {
			ops[i] = byte(rng.Uint32())
		}
		f.Add(ops)
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		// The bounds are full long before.
		operate(t, tight(), data[:min(len(data), opBytes*128)])
	})
}

func TestEveryOutcomeIsThatOfTheModel(t *testing.T) {
	seed := uint64(time.Now().UnixNano())
	t.Logf("seed %d", seed)
	rng := rand.New(rand.NewPCG(seed, 0))
	seen := make(map[string]int)
	for run := 0; run < 40 && !t.Failed(); run++ {
		c := tight()
		switch run % 4 {
		case 1: // only the totals bind
			c.SourceMemory, c.SourceFrames, c.SourcePackets, c.SourceTombstones = c.Memory, c.Frames, c.Packets, c.Tombstones
		case 2:
			c.Listed = nil
		case 3: // one after the other
			c.Frames, c.SourceFrames = 2+rng.IntN(30), 0
			c.Packets, c.SourcePackets = 2+rng.IntN(30), 0
			c.Memory, c.SourceMemory = 1024*(2+rng.IntN(30)), 0
		}
		ops := make([]byte, opBytes*600)
		for i := range ops {
			ops[i] = byte(rng.Uint32())
		}
		operate(t, c, ops)
		count(seen, c, ops)
	}
	// The random operations must reach what they are there to test.
	for _, what := range []string{
		"none", "segment_empty", "segment_past_end", "segment_too_small", "segment_duplicate",
		"segment_overlap", "frame_length_changed", "source_port_changed", "destination_port_changed",
		"frame_timeout", "frame_incomplete", "source_share_full", "reassembly_full", "late",
	} {
		if seen[what] == 0 {
			t.Errorf("no operation led to %s: %v", what, seen)
		}
	}
}

// count runs the operations on the model alone and counts their outcomes.
func count(seen map[string]int, c Config, data []byte) {
	c, _ = c.WithDefaults()
	m := &model{c: c}
	lengths := []int{60, 60, 90, 1100, 1600, 2100, 3200, 5000, 12, 18, 0, 65535}
	var now int64
	for ; len(data) >= opBytes; data = data[opBytes:] {
		now += int64(data[0] >> 4)
		for _, o := range m.add(now, segmentOf(data[:opBytes], lengths)) {
			seen[o.Reason.String()]++
			if o.Late {
				seen["late"]++
			}
		}
	}
	for _, o := range m.flush() {
		seen[o.Reason.String()]++
	}
}
