package conntrack

import (
	"testing"

	"sttwall/inspect"
)

// A table that is full takes no more than was said, and not much less.
func TestAFullTableTakesTheMemoryThatWasSaid(t *testing.T) {
	for _, flows := range []int{1, 1000, 5000, 100_000} {
		table := newTable(t, flows)
		var l lookup
		for i := range uint32(flows) {
			l.key = Key{Context: 1, Src: addressAt(i), Dst: server, Protocol: inspect.ProtocolUDP, SrcPort: 7, DstPort: 53}
			l.packed, _ = l.key.pack()
			h := table.hash(&l.packed)
			s, _ := table.shardOf(h)
			if _, _, ok := s.insert(&l.packed, h, table.memory); !ok {
				t.Fatalf("no room for flow %d", i)
			}
		}
		got, bound := int64(table.memory.Size()), table.config.Memory()
		if got > bound || flows == 100_000 && got < bound*2/3 {
			t.Errorf("%d flows: %d bytes, and %d were said", flows, got, bound)
		}
	}
}
