package binding

import (
	"math/bits"
	"unsafe"
)

// Memory is how many bytes of Go's heap the table of c takes at most: bindings, the slots
// that find them, and an account for each endpoint, of which there are never more than
// bindings.
func (c Config) Memory() int64 {
	n := int64(shardsFor(c.MaxBindings))
	capacity := (int64(c.MaxBindings) + n - 1) / n
	slots := int64(4) << max(4, bits.Len(uint(2*capacity-1)))
	slabs := (capacity + slabSize - 1) / slabSize * slabSize * int64(unsafe.Sizeof(entry{}))
	return n * (slots + slabs)
}
