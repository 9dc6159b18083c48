package conntrack

import (
	"cmp"
	"fmt"
	"strconv"
	"strings"
)

// Handle is a flow that was found. It does not keep the flow; one that is gone
// is noticed.
type Handle struct{ shard, index, version uint32 }

// Valid reports whether h was ever a flow.
func (h Handle) Valid() bool { return h.version != 0 }

// String returns the ID by which people name the flow while it lives: "20-1-7".
func (h Handle) String() string { return fmt.Sprintf("%d-%d-%d", h.shard, h.index, h.version) }

// ParseHandle reads what [Handle.String] has written, or says what it wants.
func ParseHandle(text string) (Handle, error) {
	var n [3]uint32
	parts := strings.Split(text, "-")
	for i, part := range parts {
		v, err := strconv.ParseUint(part, 10, 32)
		if err != nil || len(parts) != len(n) {
			return Handle{}, fmt.Errorf("flow ID %.40q: want three numbers, such as 20-1-7", text)
		}
		n[i] = uint32(v)
	}
	return Handle{n[0], n[1], n[2]}, nil
}

// Place is where in the table the flow is: the number of its shard, below
// [Table.Shards], and its place in it, below what [Table.Places] says. A later flow
// can have the same place, and then has another version.
func (h Handle) Place() (shard, index, version uint32) { return h.shard, h.index, h.version }

// Compare orders handles, by place and then version.
func (h Handle) Compare(o Handle) int {
	return cmp.Or(cmp.Compare(h.shard, o.shard), cmp.Compare(h.index, o.index), cmp.Compare(h.version, o.version))
}
